"""Keycloak read as events: hand-made entries for every rule, and those of a real server if available."""

import io
import json
from collections.abc import Sequence
from typing import Any

import pytest

from ingest.sources.adapters import FORMATS, Memory, Reading, detect, read_records
from ingest.sources.adapters.console_lines import console_entry
from tests.support.adapter_tables import Row, assert_rules, check, read

KEYCLOAK = FORMATS["keycloak"]
BASE, REALM_ID, MASTER_ID = "https://sso.test", "11111111-r", "99999999-m"
ISS = f"{BASE}/realms/shop"
SHOP = KEYCLOAK.source("sso", issuer=ISS)
SERVER = KEYCLOAK.source("sso", issuer=BASE)
ANN, ROOT = "aaaa-user", "ffff-admin"
MINUTE = 60_000
TEN = 1_772_359_200_000  # 2026-03-01T10:00:00Z in milliseconds


def at(minute: float) -> str:
    return f"2026-03-01T10:{int(minute):02}:{round(minute % 1 * 60):02}.000000Z"


def event(
    type_: str,
    id_: str,
    minute: float,
    *,
    client: str | None = "portal",
    user: str | None = ANN,
    session: str | None = "S",
    error: str | None = None,
    **details: str,
) -> dict[str, Any]:
    """Build an event of the REST API."""
    made = {"id": id_, "time": TEN + round(minute * MINUTE), "type": type_, "realmId": REALM_ID, "ipAddress": "::1"}
    made |= {"clientId": client, "userId": user, "sessionId": session, "error": error, "details": details}
    return {name: value for name, value in made.items() if value is not None}


def admin(
    operation: str, resource: str, path: str, id_: str, minute: float, representation: Any = None, **extra: Any
) -> dict[str, Any]:
    """Build an admin event of the REST API: an admin of the master realm changes the realm."""
    made = {"id": id_, "time": TEN + round(minute * MINUTE), "realmId": REALM_ID, "operationType": operation}
    made |= {"authDetails": {"realmId": MASTER_ID, "clientId": "c", "userId": ROOT, "ipAddress": "::1"}}
    made |= {"resourceType": resource, "resourcePath": path}
    return made | ({"representation": json.dumps(representation)} if representation is not None else {}) | extra


def line(entry: dict[str, Any], *, quote: str = '"', realm: str = "shop") -> dict[str, Any]:
    """Build the line that the logging listener writes for an entry."""
    if "operationType" in entry:
        own = {
            "operationType": entry["operationType"],
            "realmId": MASTER_ID,
            "realmName": realm if realm != "shop" else "master",
        }
        own |= {"clientId": "c", "userId": entry["authDetails"]["userId"], "ipAddress": "::1"}
        own |= {
            name: entry[name] for name in ("resourceType", "resourcePath", "error", "representation") if name in entry
        }
    else:
        own = {"type": entry["type"], "realmId": entry["realmId"], "realmName": realm}
        own |= {"clientId": entry.get("clientId", "null"), "userId": entry.get("userId", "null")}
        own |= {"sessionId": entry["sessionId"]} if "sessionId" in entry else {}
        own |= {"ipAddress": "::1"} | ({"error": entry["error"]} if "error" in entry else {}) | entry["details"]
    pairs = [f"{name}={quoted(value, quote)}" for name, value in own.items()]
    return {
        "timestamp": at((entry["time"] - TEN) / MINUTE).replace("000000Z", "000123456Z"),
        "loggerName": "org.keycloak.events",
        "level": "INFO",
        "message": ", ".join(pairs),
    }


def quoted(value: str, quote: str) -> str:
    if not quote:
        return f"'{value}'" if " " in value else value
    return quote + value.replace(quote, f"\\{quote}") + quote


def login(
    id_: str = "l", minute: float = 0, token: str = "T0", session: str = "S", client: str = "portal", **extra: Any
) -> dict[str, Any]:
    fields = {"token_id": token, "refresh_token_id": f"{token}-r", "scope": "openid email", "username": "ann"}
    return event("LOGIN", id_, minute, client=client, session=session, **(fields | extra))


def refresh(id_: str, minute: float, used: str, token: str, **extra: Any) -> dict[str, Any]:
    fields = {"token_id": token, "refresh_token_id": f"{used}-r", "updated_refresh_token_id": f"{token}-r"}
    return event("REFRESH_TOKEN", id_, minute, **(fields | extra))


def exchange(id_: str, minute: float, of: str, by: str, token: str, *audience: str, **extra: Any) -> dict[str, Any]:
    fields = {"token_id": token, "subject_token_client_id": of, "username": "ann"}
    fields |= {"audience": " ".join(audience)} if audience else {}
    return event("TOKEN_EXCHANGE", id_, minute, **({"client": by} | fields | extra))


def issued(token: str, holder: str = "portal", **extra: Any) -> dict[str, Any]:
    return {
        "type": "token.issued",
        "token": f"{ISS}#{token}",
        "subject": f"{ISS}#{ANN}",
        "actor": f"{ISS}#{holder}",
    } | extra


def parent(token: str, of: str | None) -> dict[str, Any]:
    """Return the parent of an exchanged token; None for a gap."""
    of = f"{ISS}#{of}" if of else f"{ISS}#{token}/subject-token"
    return {"type": "token.issued", "token": f"{ISS}#{token}", "derived_from": [{"token": of, "role": "subject"}]}


def order(kind: str, id_: str, **extra: Any) -> dict[str, Any]:
    return {
        "type": "revocation.ordered",
        "target": {"kind": kind, "id": f"{ISS}#{id_}"},
        "cascade": False,
        "mode": "revoke",
    } | extra


REGISTERED = {"type": "principal.registered", "principal": f"{ISS}#{ANN}", "kind": "human", "display_name": "ann"}
DONE = {"type": "action.performed", "actor": f"sso/realms/{MASTER_ID}#{ROOT}", "outcome": "succeeded"}
LOGGED_IN = [issued("T0"), issued("T0-r", token_type="refresh_token")]

ISSUES = [
    Row(
        "a login issues an access token and a refresh token, in a session, to a client, for a user",
        [login()],
        [
            issued(
                "T0",
                token_type="access_token",
                client=f"{ISS}#portal",
                session=f"{ISS}#S",
                scopes=["openid", "email"],
                derived_from=None,
                expires_at=None,
                occurred_at=at(0),
            ),
            issued("T0-r", token_type="refresh_token", session=f"{ISS}#S"),
            REGISTERED,
        ],
        source=SHOP,
    ),
    Row(
        "a line states the same, names its realm, and has no id",
        [line(login())],
        [issued("T0", session=f"{ISS}#S", scopes=["openid", "email"]), issued("T0-r"), REGISTERED],
        source=SERVER,
    ),
    *(
        Row(
            f"a line with {about} says the same",
            [line(login(), quote=quote)],
            [issued("T0", scopes=["openid", "email"]), issued("T0-r"), REGISTERED],
            source=SERVER,
        )
        for about, quote in [("single quotes", "'"), ("quotes only around values with spaces", "")]
    ),
    Row(
        "without settings ids contain their realm",
        [login(), line(login("l2", token="T1"))],
        [
            {"token": f"keycloak/realms/{REALM_ID}#T0"},
            {"token": f"keycloak/realms/{REALM_ID}#T0-r"},
            {"token": "keycloak/realms/shop#T1"},
            {"token": "keycloak/realms/shop#T1-r"},
            {"principal": f"keycloak/realms/{REALM_ID}#{ANN}"},
            {"principal": f"keycloak/realms/shop#{ANN}"},
        ],
    ),
    Row(
        "a login with a browser yields a code, and the code yields the tokens",
        [
            event("LOGIN", "l", 0, username="ann", code_id="S"),
            event("CODE_TO_TOKEN", "c", 1, token_id="T0", refresh_token_id="T0-r"),
        ],
        [
            {
                "type": "action.performed",
                "operation": "LOGIN",
                "actor": f"{ISS}#{ANN}",
                "session": f"{ISS}#S",
                "outcome": "succeeded",
            },
            *LOGGED_IN,
            REGISTERED,
        ],
        source=SHOP,
    ),
    Row(
        "a service account is not a person, and has no session",
        [
            event(
                "CLIENT_LOGIN",
                "c",
                0,
                client="cron",
                user="bbbb",
                session=None,
                token_id="T0",
                username="service-account-cron",
            )
        ],
        [
            {"token": f"{ISS}#T0", "subject": f"{ISS}#bbbb", "actor": f"{ISS}#cron", "session": None},
            {"type": "principal.registered", "principal": f"{ISS}#bbbb", "kind": "service"},
        ],
        source=SHOP,
    ),
    Row(
        "a refreshed token is derived from the refresh token used, and the event states its lifetime",
        [refresh("r", 2, "T0", "T1", access_token_expiration_time="300")],
        [
            issued(
                "T1", derived_from=[{"token": f"{ISS}#T0-r", "role": "refresh"}], expires_at=at(7), exchange="refresh"
            ),
            issued("T1-r", derived_from=[{"token": f"{ISS}#T0-r", "role": "refresh"}], expires_at=None),
        ],
        source=SHOP,
    ),
    Row(
        "a reused refresh token is not issued again",
        [refresh("r", 2, "T0", "T1", updated_refresh_token_id="T0-r")],
        [issued("T1")],
        source=SHOP,
    ),
    Row(
        "the settings determine the lifetime of tokens",
        [login()],
        [issued("T0", expires_at=at(5)), issued("T0-r", expires_at=at(30)), REGISTERED],
        source=KEYCLOAK.source("sso", issuer=ISS, lifetimes={"access": 300, "refresh": 1800}),
    ),
    Row(
        "an offline token outlives its session",
        [event("CODE_TO_TOKEN", "c", 0, token_id="ofrtac:1", refresh_token_id="R", refresh_token_type="Offline")],
        [issued("ofrtac:1", session=f"{ISS}#S/offline"), issued("R", session=f"{ISS}#S/offline")],
        source=SHOP,
    ),
    Row(
        "if Keycloak accepts the actor token, the event names the actor",
        [
            exchange("x", 1, "portal", "boss", "X1", actor_type="client", actor="hand", actor_id="cccc"),
            exchange("y", 1, "portal", "boss", "Y1", actor_type="user", actor="bob", actor_id="cccc"),
        ],
        [
            issued("X1", "hand", exchange="delegation", client=f"{ISS}#boss"),
            issued("Y1", "cccc", exchange="delegation", client=f"{ISS}#boss"),
            REGISTERED,
            parent("X1", None),
            parent("Y1", None),
        ],
        source=SHOP,
    ),
    Row(
        "an impersonator is responsible for the tokens of the session",
        [
            event("IMPERSONATE", "i", 0, client=None, impersonator="admin", impersonator_realm="master"),
            event("CODE_TO_TOKEN", "c", 1, token_id="T0"),
        ],
        [
            {
                "type": "action.performed",
                "operation": "IMPERSONATE",
                "actor": f"{BASE}/realms/master#username:admin",
                "on_behalf_of": f"{ISS}#{ANN}",
            },
            issued("T0"),
            {"type": "token.issued", "token": f"{ISS}#T0", "prior_actors": [f"{BASE}/realms/master#username:admin"]},
        ],
        source=SHOP,
    ),
]

REFRESHES = refresh("z", 50, "Z", "Z1", session="other")  # shows that the log reports refreshed tokens
CHAIN = [login(), exchange("x1", 1, "portal", "boss", "X1", "hand"), exchange("x2", 2, "boss", "hand", "X2")]


def parents_of(entries: Sequence[dict[str, Any]], source: Any = SHOP) -> dict[str, str | None]:
    """Return the parent of each exchanged token; None for a gap."""
    found = {}
    for made in read(KEYCLOAK, entries, source).events:
        if "/parent/" in made["event_id"]:
            of = made["derived_from"][0]["token"].removeprefix(f"{ISS}#")
            found[made["token"].removeprefix(f"{ISS}#")] = None if of.endswith("/subject-token") else of
    return found


LIFETIMES = KEYCLOAK.source("sso", issuer=ISS, lifetimes={"access": 300})
PARENTS = {
    "the one token of the subject token's client in the session": ([*CHAIN, REFRESHES], {"X1": "T0", "X2": "X1"}),
    "lines report every refresh, so that none is missing": (
        [line(entry) for entry in CHAIN],
        {"X1": "T0", "X2": "X1"},
    ),
    "the REST API reports refreshes only if configured: a gap": (CHAIN, {"X1": None, "X2": None}),
    "the lines of another session do not replace what the REST API omits: a gap": (
        [*CHAIN, line(login("l2", 0.2, "T9", session="S9"))],
        {"X1": None, "X2": None},
    ),
    "without the login of the session there may be other tokens: a gap": (
        [*CHAIN[1:], REFRESHES],
        {"X1": None, "X2": None},
    ),
    "two candidates: a gap": ([*CHAIN, refresh("r", 0.5, "T0", "T1")], {"X1": None, "X2": "X1"}),
    "a token issued later is not a candidate": ([*CHAIN, refresh("r", 1.5, "T0", "T1")], {"X1": "T0", "X2": "X1"}),
    "a token for another audience is not a candidate: Keycloak refuses it": (
        [*CHAIN, REFRESHES, exchange("x3", 1.5, "portal", "boss", "X3", "printer")],
        {"X1": "T0", "X2": "X1", "X3": "T0"},
    ),
    "a client may exchange its own token, whatever its audience": (
        [*CHAIN[:2], REFRESHES, exchange("x3", 3, "boss", "boss", "X3", "printer")],
        {"X1": "T0", "X3": "X1"},
    ),
    "a token of another session is not a candidate": (
        [*CHAIN, REFRESHES, login("l2", 0.2, "T9", session="S9")],
        {"X1": "T0", "X2": "X1"},
    ),
    "an expired token is not a candidate": (
        [*CHAIN[:1], refresh("r", 4, "T0", "T1"), exchange("x1", 6, "portal", "boss", "X1")],
        {"X1": "T1"},
        LIFETIMES,
    ),
    "without a client of the subject token: a gap": (
        [*CHAIN[:1], REFRESHES, exchange("x1", 1, "", "boss", "X1")],
        {"X1": None},
    ),
    "a requested refresh token has the same parent": (
        [*CHAIN[:1], REFRESHES, exchange("x1", 1, "portal", "boss", "X1", refresh_token_id="X1-r")],
        {"X1": "T0", "X1-r": "T0"},
    ),
    "the same in both logs is one token": (
        [*CHAIN, *(line(entry) for entry in CHAIN)],
        {"X1": "T0", "X2": "X1"},
        SHOP,
    ),
}


@pytest.mark.parametrize("case", PARENTS.values(), ids=PARENTS)
def test_the_parent_of_an_exchanged_token(case):
    """
    It is claimed only if there is a single candidate, in any order of the entries.
    """
    entries, expected, *source = case

    assert expected == parents_of(entries, *source)
    assert expected == parents_of(entries[::-1], *source)


BEFORE = {
    "along the exchanges": ([*CHAIN, REFRESHES], {"X1": ["portal"], "X2": ["portal", "boss"]}),
    "even if refreshes are not reported: a refreshed token came the same way": (
        CHAIN,
        {"X1": ["portal"], "X2": ["portal", "boss"]},
    ),
    "only the nearest without the login": (CHAIN[1:], {"X1": ["portal"], "X2": ["boss"]}),
    "only the nearest if there were two paths": (
        [*CHAIN, login("l2", 0.1, "T9", client="shop"), exchange("x9", 1.5, "shop", "boss", "X9", "hand")],
        {"X1": ["portal"], "X9": ["shop"], "X2": ["boss"]},
    ),
    "once if there was one path, used twice": (
        [*CHAIN, exchange("x9", 1.5, "portal", "boss", "X9", "hand")],
        {"X1": ["portal"], "X9": ["portal"], "X2": ["portal", "boss"]},
    ),
    "not again by a client that exchanges its own token": (
        [*CHAIN[:2], exchange("x9", 1.5, "boss", "boss", "X9"), CHAIN[2]],
        {"X1": ["portal"], "X9": ["portal"], "X2": ["portal", "boss"]},
    ),
    "there and back": (
        [*CHAIN, exchange("x9", 3, "hand", "portal", "X9")],
        {"X1": ["portal"], "X2": ["portal", "boss"], "X9": ["portal", "boss", "hand"]},
    ),
}


@pytest.mark.parametrize("case", BEFORE.values(), ids=BEFORE)
def test_the_clients_that_an_exchanged_token_passed_through(case):
    """
    Root to leaf, as far as they are certain, in any order of the entries.
    """
    entries, expected = case

    for order_ in (entries, entries[::-1]):
        found = [made for made in read(KEYCLOAK, order_, SHOP).events if "/parent/" in made["event_id"]]
        prior_actors = {made["token"]: made.get("prior_actors", []) for made in found}
        assert {
            f"{ISS}#{token}": [f"{ISS}#{client}" for client in chain] for token, chain in expected.items()
        } == prior_actors


def test_live_parents_are_claimed_once_the_log_has_advanced_by_a_minute():
    """
    Before that an entry that changes them may still come; the end of the input is not awaited.
    """
    reading = Reading(KEYCLOAK, SHOP, Memory())

    def batch(*entries: dict[str, Any]) -> list[str]:
        for record in read_records(io.BytesIO(b"\n".join(json.dumps(entry).encode() for entry in entries))):
            list(reading.outcomes(record))
        settled = [event_ for outcome in reading.settled(end=False) for event_ in outcome.translation.events]
        return [made["token"] for made in settled if made["type"] == "token.issued"]

    assert [] == batch(*CHAIN[:2])
    assert [f"{ISS}#X1"] == batch(CHAIN[2])
    assert [f"{ISS}#X2"] == batch(event("LOGOUT", "o", 3.5))
    assert [] == batch(event("LOGOUT", "o", 9))


def test_the_parent_is_found_when_the_login_is_read_in_a_later_command():
    """
    The reported gap stays, and the parent is added: once the whole session is known, there is no other candidate.
    """
    reading = Reading(KEYCLOAK, SHOP, Memory())
    answers = []
    for part in (CHAIN[1:], CHAIN[:1]):
        for record in read_records(io.BytesIO(b"\n".join(json.dumps(line(entry)).encode() for entry in part))):
            list(reading.outcomes(record))
        settled = [event_ for outcome in reading.settled(end=True) for event_ in outcome.translation.events]
        answers.append(
            {
                made["token"].removeprefix(f"{ISS}#"): (
                    made["derived_from"][0]["token"].removeprefix(f"{ISS}#"),
                    [client.removeprefix(f"{ISS}#") for client in made["prior_actors"]],
                )
                for made in settled
                if "/parent/" in made["event_id"]
            }
        )

    assert {"X1": ("X1/subject-token", ["portal"]), "X2": ("X2/subject-token", ["boss"])} == answers[0]
    assert {"X1": ("T0", ["portal"]), "X2": ("X1", ["portal", "boss"])} == answers[1]


def test_a_session_with_very_many_exchanges_is_processed_quickly():
    """
    Two clients exchange each other's tokens 400 times: the number of paths doubles each time, and is not counted.
    """
    entries = [login(), exchange("x", 0.001, "portal", "a", "X"), exchange("y", 0.002, "portal", "b", "Y")]
    entries += [exchange(f"x{n}", n / 100, "ab"[n % 2], "ba"[n % 2], f"X{n}") for n in range(1, 400)]

    assert 401 == len(parents_of(entries))


OFF, ON = {"enabled": False}, {"enabled": True}
ENDINGS = [
    Row(
        "an access token is revoked alone",
        [event("REVOKE_GRANT", "v", 1, client="boss", session=None, token_id="X1")],
        [order("token", "X1", ordered_by=f"{ISS}#boss", reason="other", occurred_at=at(1), note="REVOKE_GRANT")],
        source=SHOP,
    ),
    Row(
        "with a refresh token the session ends",
        [event("REVOKE_GRANT", "v", 1, refresh_token_id="T0-r", revoked_client="portal")],
        [order("session", "S", ordered_by=f"{ISS}#portal")],
        source=SHOP,
    ),
    Row(
        "with an offline token the offline session ends, and the other one lives",
        [event("REVOKE_GRANT", "v", 1, refresh_token_id="T0-r", refresh_token_type="Offline")],
        [order("session", "S/offline")],
        source=SHOP,
    ),
    Row(
        "where a session is not named the refresh token is",
        [event("REVOKE_GRANT", "v", 1, session=None, refresh_token_id="T0-r")],
        [order("token", "T0-r")],
        source=SHOP,
    ),
    Row(
        "a withdrawn consent names no token",
        [event("REVOKE_GRANT", "v", 1, session=None, revoked_client="portal")],
        [{"type": "action.performed", "operation": "REVOKE_GRANT"}],
        source=SHOP,
    ),
    Row(
        "revoked with an access token: the tokens that other clients got for it, in that session",
        [
            *(login(), exchange("x1", 1, "portal", "boss", "X1"), exchange("x3", 3, "portal", "boss", "X3")),
            event("REVOKE_GRANT", "v", 2, session=None, token_id="T0", token_exchange_revoked_clients="boss"),
            login("l9", 0, "T9", session="S9"),
        ],
        [
            *(
                *LOGGED_IN,
                issued("X1", "boss"),
                issued("X3", "boss"),
                order("token", "T0"),
                issued("T9"),
                issued("T9-r"),
            ),
            *(REGISTERED, parent("X1", None), parent("X3", None), order("token", "X1", ordered_by=f"{ISS}#portal")),
        ],
        source=SHOP,
    ),
    Row(
        "a logout ends the session",
        [event("LOGOUT", "o", 1)],
        [order("session", "S", ordered_by=f"{ISS}#{ANN}")],
        source=SHOP,
    ),
    Row(
        "an expired or removed session has ended",
        [event("USER_SESSION_DELETED", "o", 1, client=None, reason="user_session_expired")],
        [order("session", "S", note="USER_SESSION_DELETED user_session_expired")],
        source=SHOP,
    ),
    Row(
        "an admin ends a session, online or not",
        [
            admin("DELETE", "USER_SESSION", "sessions/S", "d", 1, {"offline": False}),
            admin("DELETE", "USER_SESSION", "sessions/S", "e", 2, {"offline": True}),
        ],
        [
            DONE | {"operation": "DELETE USER_SESSION", "resource": {"type": "USER_SESSION", "id": "sessions/S"}},
            order("session", "S", ordered_by=DONE["actor"]),
            DONE,
            order("session", "S/offline"),
        ],
        source=SHOP,
    ),
    Row(
        "a user is disabled, and enabled again",
        [admin("UPDATE", "USER", f"users/{ANN}", "d", 1, OFF), admin("UPDATE", "USER", f"users/{ANN}", "e", 2, ON)],
        [
            DONE | {"operation": "UPDATE USER"},
            order("principal", ANN, mode="suspend", revocation="sso#d"),
            DONE,
            {"type": "revocation.lifted", "revocation": "sso#d", "lifted_by": DONE["actor"], "occurred_at": at(2)},
        ],
        source=SHOP,
    ),
    Row(
        "an enabling before the disabling lifts nothing",
        [admin("UPDATE", "USER", f"users/{ANN}", "e", 1, ON), admin("UPDATE", "USER", f"users/{ANN}", "d", 2, OFF)],
        [DONE, DONE, order("principal", ANN, mode="suspend")],
        source=SHOP,
    ),
    Row(
        "a client is disabled under the name in its representation",
        [admin("UPDATE", "CLIENT", "clients/uuid", "d", 1, OFF | {"clientId": "boss"})],
        [DONE, order("client", "boss", mode="suspend")],
        source=SHOP,
    ),
    Row(
        "or another entry about it, whichever comes first",
        [
            admin("UPDATE", "CLIENT", "clients/uuid", "d", 1, OFF),
            admin("DELETE", "CLIENT", "clients/uuid", "x", 3),
            admin("CREATE", "CLIENT", "clients/uuid", "c", 0, ON | {"clientId": "boss"}),
        ],
        [DONE, DONE, DONE, order("client", "boss", mode="suspend"), order("client", "boss", issued_before=at(3))],
        source=SHOP,
    ),
    Row(
        "a client without a known name: there is an action, but no order",
        [admin("UPDATE", "CLIENT", "clients/uuid", "d", 1, OFF)],
        [DONE],
        source=SHOP,
    ),
    Row(
        "tokens from before a client's not-before are refused",
        [admin("UPDATE", "CLIENT", "clients/uuid", "n", 9, {"clientId": "boss", "notBefore": TEN // 1000 + 60})],
        [DONE, order("client", "boss", issued_before=at(1))],
        source=SHOP,
    ),
    Row(
        "a user is deleted; all sessions of a user are ended",
        [admin("DELETE", "USER", f"users/{ANN}", "d", 2), admin("ACTION", "USER", f"users/{ANN}/logout", "o", 1)],
        [DONE, order("principal", ANN, issued_before=None), DONE, order("principal", ANN, issued_before=at(1))],
        source=SHOP,
    ),
    Row(
        "a permanent lockout disables the user; a temporary one ends nothing",
        [
            event("USER_DISABLED_BY_PERMANENT_LOCKOUT", "p", 1, session=None),
            event("USER_DISABLED_BY_TEMPORARY_LOCKOUT", "t", 1, session=None),
        ],
        [order("principal", ANN, mode="suspend"), {"type": "action.performed"}],
        source=SHOP,
    ),
    Row(
        "an account that its user deletes is gone",
        [event("DELETE_ACCOUNT", "d", 1)],
        [order("principal", ANN)],
        source=SHOP,
    ),
    Row(
        "a logout of the realm ends each known session, and tokens without a session",
        [
            login(),
            event("CLIENT_LOGIN", "c", 0, client="cron", user="bbbb", session=None, token_id="T1"),
            admin("ACTION", "REALM", "logout-all", "o", 1, {}),
            login("l2", 2, "T2", session="S2"),
        ],
        [
            *(*LOGGED_IN, {"token": f"{ISS}#T1"}, DONE),
            order("session", "S", issued_before=at(1)),
            order("client", "cron", issued_before=at(1)),
            *(issued("T2"), issued("T2-r"), REGISTERED),
        ],
        source=SHOP,
    ),
    Row(
        "a line of an admin event names the admin's realm; the settings say which one it is about",
        [line(admin("UPDATE", "USER", f"users/{ANN}", "d", 1, OFF))],
        [
            {"type": "action.performed", "actor": f"{BASE}/realms/master#{ROOT}"},
            order("principal", ANN, mode="suspend", ordered_by=f"{BASE}/realms/master#{ROOT}"),
        ],
        source=SHOP,
    ),
    Row(
        "if they name only a server, an admin of master may have meant any realm: no order",
        [line(admin("UPDATE", "USER", f"users/{ANN}", "d", 1, OFF))],
        [{"type": "action.performed", "operation": "UPDATE USER"}],
        source=SERVER,
    ),
    Row(
        "and an admin of the realm meant that",
        [line(admin("UPDATE", "USER", f"users/{ANN}", "d", 1, OFF), realm="other")],
        [
            {"type": "action.performed", "actor": f"{BASE}/realms/other#{ROOT}"},
            {"type": "revocation.ordered", "target": {"kind": "principal", "id": f"{BASE}/realms/other#{ANN}"}},
        ],
        source=SERVER,
    ),
    Row(
        "a refused or unrelated change ends nothing",
        [
            admin("UPDATE", "USER", f"users/{ANN}", "d", 1, OFF, error="access_denied"),
            admin("UPDATE", "USER", f"users/{ANN}", "u", 1, {"firstName": "Ann"}),
            admin("CREATE", "USER", f"users/{ANN}", "c", 1, OFF | {"username": "ann"}),
            admin("DELETE", "USER", f"users/{ANN}/consents/portal", "k", 1),
            admin("ACTION", "CLIENT", "clients/uuid/client-secret", "s", 1, {"type": "secret"}),
            admin("UPDATE", "USER", f"users/{ANN}", "b", 1) | {"representation": "{broken"},
        ],
        [DONE | {"outcome": "denied"}, DONE, DONE, DONE, DONE, DONE, REGISTERED],
        source=SHOP,
    ),
]

REFUSED = {"type": "action.performed", "outcome": "denied"}
ACTIONS = [
    Row(
        "an introspected token is not a token of the caller",
        [
            event("INTROSPECT_TOKEN", "i", 1, client="api", token_id="T0", token_issued_for="portal"),
            event(
                "INTROSPECT_TOKEN_ERROR", "j", 2, client="api", user=None, error="user_session_not_found", token_id="T0"
            ),
        ],
        [
            {
                "operation": "INTROSPECT_TOKEN",
                "outcome": "succeeded",
                "token": f"{ISS}#T0",
                "tool": f"{ISS}#api",
                "actor": None,
            },
            REFUSED | {"operation": "INTROSPECT_TOKEN", "token": f"{ISS}#T0", "tool": f"{ISS}#api", "actor": None},
        ],
        source=SHOP,
    ),
    Row(
        "a client acts for its user",
        [
            event("USER_INFO_REQUEST", "u", 1, token_id="T0"),
            event("TOKEN_EXCHANGE_ERROR", "x", 1, client="boss", error="not_allowed", reason="no"),
            event("REFRESH_TOKEN_ERROR", "r", 1, error="invalid_request"),
        ],
        [
            {
                "operation": "USER_INFO_REQUEST",
                "outcome": "succeeded",
                "actor": f"{ISS}#portal",
                "on_behalf_of": f"{ISS}#{ANN}",
            },
            REFUSED | {"operation": "TOKEN_EXCHANGE", "actor": f"{ISS}#boss", "on_behalf_of": f"{ISS}#{ANN}"},
            {"operation": "REFRESH_TOKEN", "outcome": "failed"},
        ],
        source=SHOP,
    ),
    Row(
        "a failed login does not prove the claimed identity",
        [event("LOGIN_ERROR", "e", 1, session=None, error="invalid_user_credentials", username="ann")],
        [REFUSED | {"operation": "LOGIN", "actor": None, "resource": {"type": "user", "id": f"{ISS}#{ANN}"}}],
        source=SHOP,
    ),
    Row(
        "anything else is an action of its user",
        [event("UPDATE_PASSWORD", "p", 1)],
        [{"operation": "UPDATE_PASSWORD", "actor": f"{ISS}#{ANN}", "outcome": "succeeded"}],
        source=SHOP,
    ),
    Row(
        "an unreadable entry is quarantined",
        [
            login() | {"time": "noon"},
            event("LOGIN", "l", 0, client=None, token_id="T0"),
            line(login()) | {"message": "Could not send mail"},
            line(login()) | {"message": 'realmName="shop"'},
        ],
        faults=["bad-time", "missing-field", "message", "missing-field"],
        source=SHOP,
    ),
]


@pytest.mark.parametrize("row", [*ISSUES, *ENDINGS, *ACTIONS], ids=str)
def test_each_rule(row: Row):
    """
    Entries, their events, and the rules of the kit: any order, twice, across a restart.
    """
    check(KEYCLOAK, row)


BOTH = [
    *(
        *CHAIN,
        REFRESHES,
        event("IMPERSONATE", "i", 0, client=None, session="I", impersonator="root", impersonator_realm="m"),
    ),
    event("CODE_TO_TOKEN", "c", 1, session="I", token_id="T5"),
    admin("UPDATE", "USER", f"users/{ANN}", "d", 3, OFF),
    admin("UPDATE", "USER", f"users/{ANN}", "e", 4, ON),
    event("REVOKE_GRANT", "v", 5, session=None, token_id="T0", token_exchange_revoked_clients="boss"),
    admin("ACTION", "REALM", "logout-all", "o", 6, {}),
]


def test_both_logs_of_one_session_agree_in_any_order():
    """
    The REST API and the lines state the same with other ids and times, slightly apart.
    """
    assert_rules(KEYCLOAK, [*BOTH, *map(line, BOTH)], SHOP)


def test_a_value_in_a_message_cannot_pass_for_another_field():
    """
    Input of a user, with quotes and names of fields in it, stays a value.
    """
    name = 'x", token_id="forged", userId="root'

    (event_,) = read(
        KEYCLOAK, [line(event("LOGIN_ERROR", "e", 1, error="user_not_found", user=None, username=name))], SHOP
    ).events

    assert "forged" not in json.dumps(event_)
    assert "root" not in json.dumps(event_)


CONSOLE = b"""2026-03-01 10:00:00,000 INFO  [io.quarkus] (main) Keycloak started
2026-03-01 10:00:01,250 DEBUG [org.keycloak.events] (t-3) type="LOGIN", realmId="r", realmName="shop", \
clientId="portal", userId="aaaa-user", sessionId="S", token_id="t1", username="ann"
java.lang.IllegalStateException: {}
\tat org.keycloak.Some.thing(Some.java:12)
2026-03-01 10:00:02 WARN [org.keycloak.events] type=LOGIN_ERROR, realmId=r, clientId=portal, userId=null, error=bad
2026-03-01 10:00:03,000 WARN [org.keycloak.events] (t-4) something else
{"loggerName": "org.keycloak.events", "message": "type=\\"LOGIN
""".replace(b"\\\n", b"")


def test_lines_of_the_console_are_read_and_other_text_is_skipped():
    """A malformed event is quarantined, and so is malformed JSON."""
    reading = Reading(KEYCLOAK, SHOP, Memory())
    found = [
        outcome.translation for record in read_records(io.BytesIO(CONSOLE)) for outcome in reading.outcomes(record)
    ]

    events = [event for one in found for event in one.events if event["type"] in {"token.issued", "action.performed"}]
    assert ["2026-03-01T10:00:01.250Z", "2026-03-01T10:00:02Z"] == [event["occurred_at"] for event in events]
    assert (f"{ISS}#t1", "denied") == (events[0]["token"], events[1]["outcome"])
    assert ["not-an-event"] * 3 == [one.skipped for one in found if one.skipped]
    assert ["message", "json"] == [one.fault.reason for one in found if one.fault]


@pytest.mark.parametrize(
    "front",
    [
        "2026-03-01 10:00:00,000 WARN  [org.keycloak.services] (t-1) no such user: ",
        '{"message": "',
        'user="',
        "no such user: ",
    ],
)
def test_an_event_quoted_by_another_line_is_not_read(front):
    """A stranger may type a line of the listener into a field that another logger writes."""
    line = "2026-03-01 10:00:01,250 INFO [org.keycloak.events] (t) type=LOGIN, realmId=r, clientId=portal, token_id=t1"
    reading = Reading(KEYCLOAK, SHOP, Memory())
    text = f"{front}{line}\n".encode()
    found = [outcome.translation for record in read_records(io.BytesIO(text)) for outcome in reading.outcomes(record)]

    assert [()] == [one.events for one in found]
    assert all(one.fault is not None and one.fault.reason in {"json", "truncated"} for one in found)
    assert console_entry(line) is not None


def test_the_message_of_another_logger_is_not_a_wrapper():
    """This holds even if it is a whole line of the listener."""
    line = "2026-03-01 10:00:01,250 INFO [org.keycloak.events] (t) type=LOGIN, realmId=r, clientId=portal, token_id=t1"
    record = json.dumps({"loggerName": "org.keycloak.services", "message": line}).encode()
    reading = Reading(KEYCLOAK, SHOP, Memory())
    found = [outcome.translation for one in read_records(io.BytesIO(record)) for outcome in reading.outcomes(one)]

    assert [("not-an-event", ())] == [(one.skipped, one.events) for one in found]


def test_a_file_of_the_console_is_recognised():
    """The first line of the listener decides."""
    assert "keycloak" == detect(CONSOLE)
