"""``delegraph prove`` for enforcement points that decide by status lists: our list, or their copy of it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from lineage.core.model.times import SECOND
from lineage.core.revocation.status_lists import encoded
from lineage.deliver.http.signing_keys import SigningKeys, load_keys
from lineage.deliver.token_status.status_lists import LIFE_SECONDS, TYPE, StatusLists, routes
from lineage.serve.config.wiring import now
from lineage.store.authority_replica import AuthorityReplica
from tests.support.desk import LATER, Desk, derived, done, granted, ordered, token
from tests.support.http_worlds import served
from tests.support.kafka_worlds import opened
from tests.support.proving import configure
from tests.support.receivers import receiver
from tests.support.signing_keys import file_of, pem

GATEWAY = "urn:gw"


class Listing:
    """Our status lists on a real server, and an enforcement point's copy, which may be old."""

    def __init__(self, desk: Desk, lists: StatusLists, keys: SigningKeys, address: str) -> None:
        self.desk, self.lists, self.keys, self.address = desk, lists, keys, address
        self.copy: Callable[[str], str] = self.current
        lists.base = f"{address}/status-lists"

    @property
    def uri(self) -> str:
        return f"{self.lists.base}/1"

    def current(self, _uri: str) -> str:
        signed = self.lists.now("1")
        assert signed is not None
        return signed.token

    def claims(self) -> dict[str, Any]:
        return jwt.decode(self.current(self.uri), options={"verify_signature": False})

    def ask(self, **settings: Any) -> dict[str, Any]:
        """Prove with these list settings of the enforcement point."""
        table = {"kind": "status_list", "url": self.lists.base, "timeout_seconds": 5, **settings}
        configure(self.desk, **{GATEWAY: table})
        return dict(self.desk.one("prove", "r1")["proof"])


@pytest.fixture
def listing(tmp_path: Path) -> Iterator[Listing]:
    """Create two tokens that a revocation has ended, in one of our lists."""
    desk = Desk(tmp_path, env={"DELEGRAPH_CONFIG": str(tmp_path / "delegraph.toml")})
    configure(desk)
    desk.take(receiver(GATEWAY))
    keys = load_keys([tmp_path / "keys.pem"])
    with opened(desk.url) as store:
        lists = StatusLists(AuthorityReplica(store, None), now, "", keys)

        def copy(request: Request) -> Response:
            return PlainTextResponse(found.copy(request.query_params["uri"]))

        app = Starlette(routes=[Route("/copy", copy), *routes(lists, now)])
        with served(app) as address:
            found = Listing(desk, lists, keys, address)
            desk.take(listed(found, "t1", 1), listed(found, "t2", 2, parent="t1"))
            desk.take(ordered("r1", "token", "https://idp#t1"))
            yield found


def listed(listing: Listing, id_: str, idx: int, parent: str | None = None) -> dict[str, Any]:
    name = f"https://idp#{id_}"
    made = token(name, expires_at=LATER)
    if parent is not None:
        made = derived(name, f"https://idp#{parent}", expires_at=LATER)
    return {**made, "status_list": {"uri": listing.uri, "idx": idx}}


def test_what_the_list_denies_is_closed_once_no_older_copy_lives(listing: Listing):
    """Right after the order the result is unknown, because a copy lives ten minutes; without copies it is closed."""
    fresh = listing.ask()
    no_copy = listing.ask(cached_seconds=0)

    assert ["UNKNOWN", "CLOSED"] == [fresh["verdict"], no_copy["verdict"]]
    assert (2, "status_list") == (fresh["points"][0]["revocation_unavailable"], fresh["points"][0]["asked_by"])
    assert 2 == no_copy["points"][0]["denied"]
    assert LIFE_SECONDS == listing.claims()["exp"] - listing.claims()["iat"]


def test_the_current_content_of_a_copy_counts(listing: Listing):
    """An old copy accepts both tokens; the current one denies both immediately."""
    url = f"{listing.address}/copy?uri={{uri}}"
    current = listing.ask(url=url)
    old = {**listing.claims(), "status_list": {"bits": 2, "lst": encoded(bytes(100))}}
    listing.copy = lambda _: listing.keys.sign(old, TYPE)

    assert ("CLOSED", "PARTIAL") == (current["verdict"], listing.ask(url=url)["verdict"])


@pytest.mark.slow
@pytest.mark.parametrize("change", ["signature", "key", "uri", "end", "future", "type", "text", "bits", "short"])
def test_an_invalid_list_is_not_a_denial(listing: Listing, change: str):
    """Whatever is wrong with the list, the enforcement point counts as unavailable, and nothing is proved."""
    result, at = listing.claims(), now() // SECOND
    stranger = file_of(listing.desk.folder, pem(Ed25519PrivateKey.generate()), name="other.pem")
    status_list = result["status_list"]
    lists = {
        "key": load_keys([stranger]).sign(result, TYPE),
        "uri": listing.keys.sign({**result, "sub": f"{result['sub']}2"}, TYPE),
        "end": listing.keys.sign({**result, "exp": at - 1}, TYPE),
        "future": listing.keys.sign({**result, "iat": at + 3600, "exp": at + 7200}, TYPE),
        "type": listing.keys.sign(result, "jwt"),
        "text": "not a list",
        "bits": listing.keys.sign({**result, "status_list": {**status_list, "bits": 3}}, TYPE),
        "short": listing.keys.sign({**result, "status_list": {**status_list, "lst": encoded(b"")}}, TYPE),
    }
    valid = listing.current(listing.uri)
    lists["signature"] = f"{valid[:-6]}{'A' * 6}"
    listing.copy = lambda _: lists[change]
    proof = listing.ask(url=f"{listing.address}/copy?uri={{uri}}")

    assert ("UNKNOWN", 2) == (proof["verdict"], proof["points"][0]["revocation_unavailable"])


def test_an_element_without_an_entry_is_unsupported(listing: Listing):
    """This covers a token without an entry, one in a list of another publisher, and a delegation; nothing else is
    fetched.
    """
    listing.desk.take(
        derived("https://idp#t3", "https://idp#t1", expires_at=LATER),
        {
            **derived("https://idp#t4", "https://idp#t1", expires_at=LATER),
            "status_list": {"uri": f"{listing.lists.base}.evil.example/1", "idx": 1},
        },
    )
    listing.desk.take(granted("d9", "human:alice", "agent:x", expires_at=LATER), ordered("r2", "delegation", "d9"))
    proof = listing.ask(cached_seconds=0)
    of_delegation = listing.desk.one("prove", "r2")["proof"]

    assert ("UNKNOWN", 2, 2) == (
        proof["verdict"], proof["points"][0]["denied"], proof["points"][0]["revocation_unsupported"],
    )  # fmt: skip
    assert 1 == of_delegation["points"][0]["revocation_unsupported"]


def test_a_use_since_the_order_keeps_an_older_copy_possible(listing: Listing):
    """The use counts as just accepted, so a copy that lives for a minute may still be in use."""
    listing.desk.take(done("late", "13:00", token="https://idp#t1"))
    proof = listing.ask(cached_seconds=60)

    assert ("UNKNOWN", 2) == (proof["verdict"], proof["points"][0]["revocation_unavailable"])


def test_a_list_shows_how_fast_it_denies_a_canary(listing: Listing):
    """The canary is valid before, and invalid once the list is built again, within a second."""
    listing.desk.take(listed(listing, "canary", 9))
    configure(listing.desk, **{GATEWAY: {"kind": "status_list", "url": listing.lists.base}})
    by = ("--by", "human:ruth", "--wait", "20")
    result = listing.desk.one("prove", "--ready", "token:https://idp#canary", *by)["proof"]

    [point] = result["points"]
    assert ("CLOSED", "accepted", True) == (result["verdict"], point["before"], point["would_enforce"])
    assert 0 < point["milliseconds"] < 20_000


def test_lists_of_another_publisher_are_verified_with_its_keys(listing: Listing):
    """The keys are in a file; an unreadable file is named, and no point is asked."""
    other = load_keys([file_of(listing.desk.folder, pem(Ed25519PrivateKey.generate()), name="other.pem")])
    (listing.desk.folder / "issuer.jwks").write_text(json.dumps(other.jwks()), encoding="utf-8")
    url = f"{listing.address}/copy?uri={{uri}}"
    listing.copy = lambda _: other.sign(listing.claims(), TYPE)
    known = listing.ask(url=url, jwks_file="issuer.jwks")
    (listing.desk.folder / "issuer.jwks").write_text("{}", encoding="utf-8")
    refused = listing.desk.run("prove", "r1", exit=2).output

    assert "CLOSED" == known["verdict"]
    assert "issuer.jwks cannot be read as the keys that sign status lists" in " ".join(refused.split())


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"kind": "introspection", "cached_seconds": 5}, "'cached_seconds' of"),
        ({"kind": "answers", "jwks_file": "x"}, "is for the kind status_list alone"),
        ({"kind": "status_list", "cached_seconds": -1}, "must be a number from 0 to"),
        ({"kind": "status_list", "cached_seconds": True}, "must be a number from 0 to"),
    ],
)
def test_an_invalid_list_setting_is_named(tmp_path: Path, table: dict[str, Any], message: str):
    """Exit code 2."""
    desk = Desk(tmp_path, env={"DELEGRAPH_CONFIG": str(tmp_path / "delegraph.toml")})
    configure(desk, **{GATEWAY: {"url": "https://gw.example/", **table}})

    assert message in " ".join(desk.run("prove", "r1", exit=2).output.split())
