"""What Vault's lines state only together: digests and accessors, roles and their tokens, prefixes, mounts, entities."""

import json

import pytest

from ingest.sources.adapters import FORMATS
from tests.support.adapter_tables import Row, assert_rules, check, read
from tests.support.desk import Desk
from tests.support.vault_records import ALICE, CHILD, response_line

VAULT = FORMATS["vault"]
ROOT = {"client_token": "hmac-sha256:r-token", "accessor": "hmac-sha256:r", "display_name": "root"}


@pytest.fixture
def desk(tmp_path):
    """Create an empty folder."""
    return Desk(tmp_path)


def at(minute):
    return f"2026-03-01T10:{minute:02}:00Z"


def login(id_="l1", auth=ALICE, *, mount="userpass", name="alice", minute=0, carried=None, **extra):
    made = auth | {"metadata": {"username": name}, "token_ttl": 7200}
    request = {"mount_type": mount, "mount_point": f"auth/{mount}/"} | extra.pop("request", {})
    path = f"auth/{mount}/login/{name}"
    line = response_line(id_, path, auth=carried, response={"auth": made}, time=at(minute), request=request, **extra)
    return line | {"auth": made}


def create(id_="c1", auth=CHILD, *, by=ALICE, path="auth/token/create", minute=1, data=None):
    request = {"data": data or {}}
    return response_line(id_, path, auth=by, response={"auth": auth}, time=at(minute), request=request)


def use(id_="u1", auth=ALICE, *, minute=5, **extra):
    line = response_line(id_, "kv/x", auth=auth, time=at(minute))
    return line | {"auth": line["auth"] | extra}


def dead(id_="d1", auth=CHILD, *, minute=8):
    """Build a line about a token that Vault does not know any more: it has only the digest."""
    line = response_line(id_, "kv/x", auth=None, time=at(minute), error="permission denied")
    line["request"]["client_token"] = auth["client_token"]
    return line


def role(id_="w1", *, orphan=None, minute=0, operation="create", name="ci"):
    data = {} if orphan is None else {"orphan": orphan}
    line = response_line(id_, f"auth/token/roles/{name}", auth=ROOT, time=at(minute), request={"data": data})
    line["request"]["operation"] = operation
    return line


def admin(id_, path, *, minute=6, operation="update", data=None, **request):
    line = response_line(id_, path, auth=ROOT, time=at(minute), request={"data": data or {}} | request)
    line["request"]["operation"] = operation
    return line


ACTION = {"type": "action.performed"}
ISSUE = {"type": "token.issued"}
ORDER = {"type": "revocation.ordered"}
CHILD_ID, ALICE_ID = "vault#hmac-sha256:c", "vault#hmac-sha256:a"
BY_ROLE = "auth/token/create/ci"
PARENT = [{"token": ALICE_ID, "role": "subject"}]

ROWS = [
    Row(
        "a login registers the entity, and the display name is the token's holder",
        [login()],
        [
            ACTION | {"actor": "vault:display-name:userpass-alice"},
            {
                "type": "principal.registered",
                "principal": "vault:entity:e-alice",
                "kind": "human",
                "display_name": "alice",
            },
            ISSUE
            | {
                "subject": "vault:entity:e-alice",
                "actor": "vault:display-name:userpass-alice",
                "client": "vault#auth/userpass/",
                "expires_at": "2026-03-01T12:00:00.000000Z",
                "derived_from": None,
            },
        ],
    ),
    Row(
        "a machine's login registers a service",
        [login(auth=ALICE | {"display_name": "approle"}, mount="approle", name="planner")],
        [ACTION, {"kind": "service", "display_name": "planner"}, ISSUE | {"actor": "vault:display-name:approle"}],
    ),
    Row(
        "a login with an existing token: the log has the digest of that one instead of the new one's",
        [login(auth=ALICE | {"client_token": CHILD["client_token"]}, carried=CHILD), dead(auth=CHILD)],
        [
            ACTION | {"token": CHILD_ID},
            {"type": "principal.registered"},
            ISSUE | {"token": ALICE_ID, "session": None},
            ACTION | {"token": None},
            {"event_id": "vault#d1/joined", "token": CHILD_ID},
        ],
    ),
    Row(
        "a role that makes orphans makes no children",
        [role(orphan=True), create(path=BY_ROLE)],
        [ACTION, ACTION, ISSUE | {"event_id": "vault#c1/token", "derived_from": None}],
    ),
    Row(
        "a role that does not makes children",
        [role(orphan=False), create(path=BY_ROLE)],
        [ACTION, ACTION, ISSUE | {"derived_from": None}, {"event_id": "vault#c1/parent", "derived_from": PARENT}],
    ),
    Row(
        "a role that was written again, without mentioning orphans, makes children",
        [role(), create(path=BY_ROLE)],
        [ACTION, ACTION, ISSUE, {"event_id": "vault#c1/parent", "derived_from": PARENT}],
    ),
    Row(
        "the tokens of an unknown role count as children",
        [create(path=BY_ROLE)],
        [ACTION, ISSUE, {"event_id": "vault#c1/parent", "derived_from": PARENT}],
    ),
    Row(
        "the role at the time of the token's creation counts",
        [
            role("w1", orphan=False, minute=0),
            create("c1", path=BY_ROLE, minute=1),
            role("w2", orphan=True, minute=2, operation="update"),
            role("w3", minute=3, operation="update"),
            create(
                "c2", CHILD | {"accessor": "hmac-sha256:c2", "client_token": "hmac-sha256:c2t"}, path=BY_ROLE, minute=4
            ),
        ],
        [*[ACTION] * 2, ISSUE, *[ACTION] * 3, ISSUE, {"event_id": "vault#c1/parent"}],
    ),
    Row(
        "a dead token is known by the line that issued it",
        [create(), dead()],
        [
            ACTION,
            ISSUE,
            ACTION | {"token": None, "outcome": "denied"},
            {"event_id": "vault#d1/joined", "token": CHILD_ID},
        ],
    ),
    Row(
        "or by a line that used it",
        [use(auth=CHILD), dead()],
        [ACTION, ACTION, {"event_id": "vault#d1/joined", "token": CHILD_ID}],
    ),
    Row(
        "a dead token that no line knows is named by its digest",
        [dead()],
        [ACTION | {"token": None}, {"event_id": "vault#d1/unjoined", "token": "vault#hmac-sha256:c-token"}],
    ),
    Row(
        "a batch token has nothing but its digest",
        [
            create(auth={name: value for name, value in CHILD.items() if name != "accessor"} | {"token_type": "batch"}),
            dead(),
        ],
        [
            ACTION,
            ISSUE | {"token": "vault#hmac-sha256:c-token"},
            ACTION,
            {"event_id": "vault#d1/joined", "token": "vault#hmac-sha256:c-token"},
        ],
    ),
    Row(
        "a revocation by token is an order on the token",
        [create(), admin("o1", "auth/token/revoke", data={"token": CHILD["client_token"]})],
        [
            ACTION,
            ISSUE,
            ACTION,
            ORDER
            | {
                "revocation": "vault#o1",
                "target": {"kind": "token", "id": CHILD_ID},
                "cascade": True,
                "ordered_by": "vault:display-name:root",
                "note": "auth/token/revoke",
            },
        ],
    ),
    Row(
        "while the token is unknown, on its session",
        [admin("o1", "auth/token/revoke-orphan", data={"token": CHILD["client_token"]})],
        [ACTION, ORDER | {"target": {"kind": "session", "id": "vault#hmac-sha256:c-token"}, "cascade": False}],
    ),
    Row(
        "the last use ends a token, and is still an action under it",
        [use("u1", CHILD, remaining_uses=2), use("u2", CHILD, remaining_uses=1, minute=6)],
        [
            ACTION,
            ACTION,
            ORDER
            | {
                "event_id": "vault#u2/last-use",
                "target": {"kind": "token", "id": CHILD_ID},
                "effective_at": "2026-03-01T10:06:00.000001Z",
            },
        ],
    ),
    Row(
        "the holder of a wrapped token is stated when it is used",
        [
            response_line(
                "c1",
                "auth/token/create",
                time=at(1),
                response={
                    "wrap_info": {
                        "ttl": 120,
                        "token": "hmac-sha256:w-token",
                        "accessor": "hmac-sha256:w",
                        "wrapped_accessor": "hmac-sha256:c",
                    }
                },
            ),
            use(auth=CHILD),
        ],
        [
            ACTION,
            ISSUE | {"token": "vault#hmac-sha256:w", "token_type": "wrapping", "derived_from": None},
            ISSUE | {"token": CHILD_ID, "actor": None, "subject": "vault:entity:e-alice", "derived_from": PARENT},
            ACTION,
            {"event_id": "vault#c1/holder", "token": CHILD_ID, "actor": "vault:display-name:token-ci"},
        ],
    ),
    Row(
        "a lease prefix ends the logins below it that came before",
        [
            login("l1", ALICE, minute=0),
            login("l2", CHILD | {"entity_id": "e-bob"}, name="bob", minute=1),
            admin("o1", "sys/leases/revoke-prefix/auth/userpass/login/alice", minute=6),
            login("l3", ALICE | {"accessor": "hmac-sha256:a3", "client_token": "hmac-sha256:a3t"}, minute=7),
        ],
        [
            *[ACTION, {"type": "principal.registered"}, ISSUE] * 2,
            ACTION,
            ORDER
            | {
                "target": {"kind": "token", "id": ALICE_ID},
                "cascade": True,
                "note": "sys/leases/revoke-prefix/auth/userpass/login/alice",
            },
            *[ACTION, ISSUE],
        ],
    ),
    Row(
        "a prefix of a whole mount ends the tokens issued through the mount",
        [
            login("l1", mount="approle"),
            admin("o1", "sys/leases/revoke-force/auth/approle", minute=6),
        ],
        [
            *[ACTION, {"type": "principal.registered"}, ISSUE],
            ACTION,
            ORDER | {"target": {"kind": "client", "id": "vault#auth/approle/"}, "issued_before": at(6)},
        ],
    ),
    Row(
        "a disabled auth method ends the tokens issued through it",
        [admin("o1", "sys/auth/userpass2", operation="delete")],
        [
            ACTION,
            ORDER
            | {
                "target": {"kind": "client", "id": "vault#auth/userpass2/"},
                "cascade": True,
                "issued_before": at(6),
            },
        ],
    ),
    Row(
        "a namespace ends with all its mounts",
        [
            login("l1", request={"namespace": {"id": "n1", "path": "team1/"}}),
            response_line(
                "c1",
                "auth/token/create",
                response={"auth": CHILD},
                time=at(1),
                request={"namespace": {"id": "n1", "path": "team1/"}, "mount_point": "team1/auth/token/"},
            ),
            admin("o1", "sys/namespaces/team1", operation="delete"),
        ],
        [
            *[ACTION, {"type": "principal.registered"}, ISSUE | {"client": "vault#team1/auth/userpass/"}],
            *[ACTION | {"resource": {"id": "team1/auth/token/create"}}, ISSUE | {"client": "vault#team1/auth/token/"}],
            ACTION,
            ORDER | {"target": {"kind": "client", "id": "vault#team1/auth/userpass/"}, "issued_before": at(6)},
            ORDER | {"target": {"kind": "client", "id": "vault#team1/auth/token/"}, "issued_before": at(6)},
        ],
    ),
    Row(
        "a disabled entity is suspended until it is enabled again",
        [
            admin("o1", "identity/entity/id/e-alice", data={"disabled": True}, minute=3),
            admin("o2", "identity/entity/id/e-alice", data={"disabled": False}, minute=6),
            admin("o3", "identity/entity/id/e-alice", data={"name": "hmac-sha256:x"}, minute=7),
        ],
        [
            ACTION,
            ORDER
            | {
                "revocation": "vault#o1",
                "target": {"kind": "principal", "id": "vault:entity:e-alice"},
                "mode": "suspend",
                "cascade": False,
            },
            ACTION,
            {"type": "revocation.lifted", "revocation": "vault#o1", "lifted_by": "vault:display-name:root"},
            ACTION,
        ],
    ),
    Row(
        "deleting a user ends no token",
        [admin("o1", "auth/userpass/users/bob", operation="delete")],
        [ACTION],
    ),
    Row(
        "a refused request ends nothing",
        [admin("o1", "sys/auth/userpass", operation="delete") | {"error": "permission denied"}],
        [ACTION | {"outcome": "denied"}],
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_rules(row):
    """
    The events of a few lines, in any order, twice, and with restarts in between.
    """
    check(VAULT, row)


def test_all_rules_together():
    """
    The lines of all rows in one log; the ids of each row are distinct.
    """
    lines = []
    for number, row in enumerate(ROWS):
        text = json.dumps(row.records).replace("hmac-sha256:", f"hmac-sha256:{number}-")
        for record in json.loads(text):
            record["request"]["id"] += f"-{number}"
            record["request"]["namespace"] = {"id": f"n{number}", "path": f"n{number}/"}
            lines.append(record)

    assert_rules(VAULT, lines)


def test_a_revocation_that_is_read_before_the_issue_ends_the_token(desk):
    """
    This also holds if the two are in files that are read on different days.
    """
    later, earlier = desk.folder / "later.log", desk.folder / "earlier.log"
    later.write_text(json.dumps(admin("o1", "auth/token/revoke", data={"token": CHILD["client_token"]})))
    earlier.write_text(json.dumps(create()) + "\n" + json.dumps(login()))

    desk.one("ingest", str(later))
    desk.one("ingest", str(earlier))

    assert "revoked" == desk.state(f"token:{CHILD_ID}", "--at", at(30))
    assert "active" == desk.state(f"token:{ALICE_ID}", "--at", at(30))


def test_waiting_digests_are_reported_once():
    """
    The end of a batch comes repeatedly.
    """
    lines = [dead(f"d{number}") for number in range(3)]

    found = read(VAULT, lines)

    assert 3 == sum(event["event_id"].endswith("/unjoined") for event in found.events)


@pytest.mark.parametrize(
    ("method", "metadata", "kind"),
    [
        ("userpass", {"username": "alice"}, "human"),
        ("approle", {"role_name": "ci"}, "service"),
        ("cert", {"username": "alice"}, "service"),
        (None, {"username": "alice"}, "human"),
        (None, {"role_name": "ci"}, "service"),
        (None, None, "service"),
    ],
)
def test_the_kind_of_the_party_that_logged_in(method, metadata, kind):
    """
    The method tells it; if an older version does not log the method, the name of a user does.
    """
    line = login(auth=ALICE)
    line["request"]["mount_type"] = method
    line["auth"] = line["response"]["auth"] = line["auth"] | {"metadata": metadata}

    assert [kind] == [
        event["kind"] for event in read(FORMATS["vault"], [line]).events if event["type"] == "principal.registered"
    ]
