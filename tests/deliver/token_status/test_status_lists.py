"""Token status lists: the encoding of the draft, and lists that agree with the rule."""

import json
import random
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from ingest.trust_file import Trust
from lineage.core.authority.world import LARGEST, World
from lineage.core.model.errors import DelegraphError
from lineage.core.model.events import Event, Fact, RevocationOrdered, StatusList, Target, TokenIssued
from lineage.core.model.times import parse_instant
from lineage.core.revocation.status_lists import CAPACITY, decoded, encoded, packed, status_at, statuses_of
from lineage.deliver.http.problems import problem_of
from lineage.deliver.http.signing_keys import SigningKeys, load_keys
from lineage.deliver.token_status.status_lists import LIFE_SECONDS, MEDIA_TYPE, StatusLists, routes
from lineage.serve.cache.question_cache import QuestionCache
from lineage.serve.queries.service import Service
from lineage.store.authority_replica import AuthorityReplica
from tests.support import compare, model, worlds
from tests.support.asgi import Asking
from tests.support.desk import Desk, day, derived, done, lifted, ordered, token
from tests.support.kafka_worlds import opened
from tests.support.places import DATA
from tests.support.signing_keys import P256, file_of, pem
from tests.support.status_list_uris import BASE, URI

VECTORS: Final = DATA / "status_list"
VALID, INVALID, SUSPENDED = 0, 1, 2


# The encoding


def test_the_vectors_of_the_draft():
    """The vectors are those in its text: least significant bits first, and every status at its position."""
    one, two = bytes.fromhex("b9a3"), bytes.fromhex("c944f9")

    assert ("eNrbuRgAAhcBXQ", "eNo76fITAAPfAgc") == (encoded(one), encoded(two))
    assert (one, two) == (decoded("eNrbuRgAAhcBXQ"), decoded("eNo76fITAAPfAgc"))
    assert [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1] == [status_at(one, place, 1) for place in range(16)]
    assert [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3] == [status_at(two, place, 2) for place in range(12)]


def test_the_vectors_of_the_draft_repository():
    """Each is decoded to its statuses, and encoded to the same text."""
    if not VECTORS.is_dir():
        pytest.skip("status_list/ is not there: set DELEGRAPH_TEST_DATA to the folder of real data")
    for vector in json.loads((VECTORS / "decoded.json").read_text()):
        array = decoded(vector["lst"])
        assert (vector["decoded_len"], vector["first16"]) == (len(array), array[:16].hex())
        assert array == decoded(encoded(array))
        written = re.sub(r"\s", "", (VECTORS / vector["file"]).read_text())
        assert vector["lst"] in written


@given(st.data(), st.sampled_from([1, 2, 4, 8]))
def test_packed_statuses_are_read_back(data: st.DataObject, bits: int):
    """Any width and index work; beyond the end there is no status."""
    size = data.draw(st.integers(1, 100))
    statuses = data.draw(st.dictionaries(st.integers(0, size - 1), st.integers(0, 2**bits - 1)))
    array = decoded(encoded(packed(statuses, size, bits)))

    assert [statuses.get(place, 0) for place in range(size)] == [status_at(array, place, bits) for place in range(size)]
    for beyond in (-1, len(array) * 8 // bits):
        with pytest.raises(IndexError):
            status_at(array, beyond, bits)


@pytest.mark.parametrize("lst", ["", "!", "eNrbuRgAAhcB", "eNrbuRgAAhcBXQAA", encoded(bytes(100))])
def test_an_invalid_list_is_refused(lst: str):
    """Truncated, followed by more bytes, not base64url, or larger than allowed."""
    with pytest.raises(ValueError, match="not the bytes of a status list"):
        decoded(lst, largest=50)


@pytest.mark.parametrize(("statuses", "bits"), [({0: 4}, 2), ({9: 1}, 2), ({-1: 1}, 2), ({0: 1}, 3)])
def test_a_status_that_does_not_fit_is_refused(statuses: dict[int, int], bits: int):
    """A status that is too large, an index beyond the list, and an invalid width."""
    with pytest.raises(ValueError, match=r"a status has|does not fit"):
        packed(statuses, 8, bits)


# What a list says


@settings(max_examples=100)
@given(st.integers(0, 2**32))
def test_a_list_equals_that_of_the_model(seed: int):
    """
    In any world, at any instant and any time of knowledge: each entry that any fact states has the worst status of its
    tokens. INVALID is revoked or cascaded, SUSPENDED is suspended, and everything else is VALID.
    """
    rng = random.Random(seed)
    records = worlds.world(rng)
    for record in records:
        if record["event"]["type"] == "token.issued" and rng.random() < 0.7:
            record["event"]["status_list"] = {"uri": rng.choice([URI, f"{BASE}/2"]), "idx": rng.randint(0, 5)}
    at, known_at = rng.choice(worlds.grid), rng.choice([None, None, *worlds.grid])
    facts = compare.facts_of(records)
    rng.shuffle(facts)
    found = statuses_of(World(facts, known_at=known_at), URI, at)
    states = model.status_list(records, URI, at, known_at)
    worst = {
        place: INVALID if value & {"revoked", "cascaded"} else SUSPENDED if "suspended" in value else VALID
        for place, value in states.items()
    }

    assert (found is None) == (not states)
    if found is not None:  # what has ended by itself says so itself, and the list may say what was ordered besides
        certain = {place for place, value in states.items() if "expired" not in value}
        assert {place: worst[place] for place in certain} == {
            place: found.statuses.get(place, VALID) for place in certain
        }
        assert worst.keys() >= found.statuses.keys()
        assert CAPACITY == found.size


@pytest.mark.parametrize("moment", [0, 1, 5])
def test_no_other_sighting_moves_a_token_to_another_entry(moment: int):
    """Whatever its date: the first stated entry shows the status of the token, and so does the other."""
    sighting = Event("later", "urn:other", moment, TokenIssued("dead", "human:a", status_list=StatusList(URI, 900)))
    found = statuses_of(a_world(("dead", 7), more=[Fact(sighting, 9)]), URI, 9)
    elsewhere = sighting._replace(body=sighting.body._replace(status_list=StatusList(f"{BASE}/2", 3)))
    other = statuses_of(a_world(("dead", 7), more=[Fact(elsewhere, 9)]), f"{BASE}/2", 9)

    assert {7: INVALID, 900: INVALID} == (found.statuses if found else None)
    assert {3: INVALID} == (other.statuses if other else None)


def a_world(*tokens: tuple[str, int], more: Iterable[Fact] = ()) -> World:
    facts = [
        Event(name, "urn:s", 1, TokenIssued(name, "human:a", status_list=StatusList(URI, at))) for name, at in tokens
    ]
    order = RevocationOrdered("r1", Target("token", "dead"), "test", "human:ir")
    return World([*(Fact(event, 1) for event in [*facts, Event("o", "urn:s", 2, order)]), *more])


def test_the_worse_status_of_a_shared_entry_counts():
    """Whichever is dead: in doubt it must not be honoured."""
    for tokens in ([("dead", 5), ("alive", 5)], [("alive", 5), ("dead", 5)]):
        found = statuses_of(a_world(*tokens), URI, 3)
        assert found is not None
        assert {5: INVALID} == found.statuses


def test_a_list_grows_by_doubling_up_to_a_limit():
    """A token newer than the list still has its entry; an impossible index creates no list."""
    assert (CAPACITY, CAPACITY * 2, None) == (
        a_size(CAPACITY - 1),
        a_size(CAPACITY),
        statuses_of(a_world(("t", 2**60), ("u", -1)), URI, 3),
    )


def a_size(last: int) -> int | None:
    found = statuses_of(a_world(("dead", 0), ("t", last)), URI, 3)
    return None if found is None else found.size


# Over HTTP


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> SigningKeys:
    return load_keys([file_of(tmp_path_factory.mktemp("keys"), pem(P256))])


class Clock:
    def __init__(self, at: str) -> None:
        self.at = parse_instant(day(at))

    def __call__(self) -> int:
        return self.at


@contextmanager
def serving(url: str, keys: SigningKeys, clock: Clock) -> Iterator[Asking]:
    with opened(url) as store:
        app = Starlette(routes=routes(StatusLists(AuthorityReplica(store, None), clock, BASE, keys), clock))
        app.add_exception_handler(DelegraphError, lambda _, fault: problem_of(fault))  # type: ignore[arg-type]
        yield Asking(app)


def listed(id_: str, idx: int, parent: str | None = None, uri: str = URI, **fields: Any) -> dict[str, Any]:
    made = token(id_) if parent is None else derived(id_, parent)
    return {**made, "status_list": {"uri": uri, "idx": idx}, **fields}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Create four tokens in a list: one revoked, one below it, one suspended, one active; and one in another list."""
    desk = Desk(tmp_path)
    desk.take(
        *(listed("revoked", 1), listed("cascaded", 2, "revoked"), listed("suspended", 3), listed("alive", 4)),
        listed("theirs", 0, uri="https://them.example/status-lists/1"),
        ordered("r1", "token", "revoked", "12:00"),
        ordered("r2", "token", "suspended", "12:00", mode="suspend"),
    )
    return desk


def verified(token_: str, keys: SigningKeys, at: Clock) -> dict[str, Any]:
    """Read a list like a relying party, except for its clock."""
    key = jwt.PyJWKSet.from_dict(keys.jwks())[jwt.get_unverified_header(token_)["kid"]]
    claims: dict[str, Any] = jwt.decode(
        token_, key, algorithms=["ES256"], options={"verify_exp": False, "verify_iat": False}
    )
    assert "statuslist+jwt" == jwt.get_unverified_header(token_)["typ"]
    assert claims["iat"] <= at() // 1_000_000 <= claims["exp"]
    return claims


def statuses(claims: dict[str, Any]) -> list[int]:
    array = decoded(claims["status_list"]["lst"])
    return [status_at(array, place, claims["status_list"]["bits"]) for place in range(6)]


def test_a_list_is_signed_and_has_each_status(desk: Desk, keys: SigningKeys):
    """`sub` is its URI, `ttl` and `exp` are there, and an unknown token is valid."""
    clock = Clock("13:00")
    with serving(desk.url, keys, clock) as client:
        answer = client.get("/status-lists/1", headers={"accept": f"{MEDIA_TYPE}, text/html;q=0.5"})
        claims = verified(answer.text, keys, clock)

        assert (200, MEDIA_TYPE) == (answer.status_code, answer.headers["content-type"])
        assert (URI, LIFE_SECONDS, 60) == (claims["sub"], claims["exp"] - claims["iat"], claims["ttl"])
        assert [VALID, INVALID, INVALID, SUSPENDED, VALID, VALID] == statuses(claims)
        assert {"status_lists": [URI]} == client.get("/status-lists").json()
        assert BASE == claims["status_list"]["aggregation_uri"]


def test_a_list_of_an_earlier_time(desk: Desk, keys: SigningKeys):
    """Before the orders all were valid; the requested time is within the validity of the answer."""
    clock = Clock("13:00")
    with serving(desk.url, keys, clock) as client:
        for at, expected in [("11:59", VALID), ("12:00", INVALID)]:
            then = Clock(at)
            answer = client.get("/status-lists/1", params={"time": str(then() // 1_000_000)})
            assert expected == statuses(verified(answer.text, keys, then))[2]


@pytest.mark.parametrize(
    ("path", "accept", "expected"),
    [
        ("/status-lists/2", "*/*", (404, "no-such-list")),
        ("/status-lists/1?time=32503680000", "*/*", (404, "no-such-list")),
        ("/status-lists/1?time=1000", "*/*", (404, "no-such-list")),
        ("/status-lists/1?time=soon", "*/*", (400, "refused")),
        ("/status-lists/1?time=-1", "*/*", (400, "refused")),
        ("/status-lists/1?time=1&time=2", "*/*", (400, "refused")),
        ("/status-lists/1", "application/statuslist+cwt", (406, "not-acceptable")),
    ],
)
def test_an_unavailable_list_is_reported(
    desk: Desk, keys: SigningKeys, path: str, accept: str, expected: tuple[int, str]
):
    """No such list, a time in the future or before the list, an invalid time, an unsupported format."""
    with serving(desk.url, keys, Clock("13:00")) as client:
        answer = client.get(path, headers={"accept": accept})

    assert expected == (answer.status_code, answer.json()["type"].rpartition(":")[2])


def test_an_unchanged_list_is_not_sent_again(desk: Desk, keys: SigningKeys, monkeypatch: pytest.MonkeyPatch):
    """304 for a client that has it; a new one at once after a revocation or reinstatement, and when it gets old."""
    monkeypatch.setattr("lineage.deliver.token_status.status_lists._MADE_SECONDS", 0.0)
    clock = Clock("13:30")
    with serving(desk.url, keys, clock) as client:
        first = client.get("/status-lists/1")
        clock.at += 1_000_000
        tag = {"if-none-match": first.headers["etag"]}
        again = client.get("/status-lists/1", headers=tag)
        desk.take(lifted("r2"))
        changed = client.get("/status-lists/1", headers=tag)
        clock.at += 30_000_000
        old = client.get("/status-lists/1", headers={"if-none-match": changed.headers["etag"]})

    assert (304, "", "max-age=59") == (again.status_code, again.text, again.headers["cache-control"])
    assert (200, VALID) == (changed.status_code, statuses(verified(changed.text, keys, clock))[3])
    assert (200, True) == (old.status_code, old.headers["etag"] != changed.headers["etag"])


def test_the_number_of_cached_lists_is_bounded(desk: Desk, keys: SigningKeys):
    """However many names events mention, and of whatever size; a dropped list is built again, and is right."""
    names = [f"many-{k}" for k in range(200)]
    desk.take(*(listed(f"t{k}", k % 6, uri=f"{BASE}/{name}") for k, name in enumerate(names)))
    desk.take(ordered("r3", "token", "t0", "12:00"), listed("large", LARGEST - 1, uri=f"{BASE}/large"))
    with opened(desk.url) as store:
        lists = StatusLists(AuthorityReplica(store, None), Clock("13:00"), BASE, keys, kept=16)
        assert not lists._made  # what nobody asks for is not made
        for name in ["1", *names, "large"]:
            assert lists.now(name) is not None
            assert lists.now("many-0") is not None  # what is used again is not dropped
            assert len(lists._made) <= 16
        kept = list(lists._made)
        assert [f"{BASE}/{name}" for name in (*names[-14:], "large", "many-0")] == kept
        assert max(len(digest) for _, digest, _ in lists._made.values()) == 32
        again = [lists.now(name) for name in ("1", "many-0", "many-1")]
        assert lists.now("of nobody") is None
    lines = [statuses(verified(one.token, keys, Clock("13:00"))) for one in again if one is not None]

    assert [[VALID, INVALID, INVALID, SUSPENDED, VALID, VALID], [INVALID, *[VALID] * 5], [VALID] * 6] == lines


def test_two_tokens_with_one_entry_are_a_finding(desk: Desk):
    """One status cannot represent both: each of them is a finding, however far apart their facts are."""
    desk.take({**listed("second", 4), "event_id": "again"})
    found = [one for one in desk.ask("findings")[0]["items"] if one["kind"] == "shared-status-list"]

    assert ["token:alive", "token:second"] == sorted(one["of"] for one in found)


def shared(document: dict[str, Any]) -> list[tuple[str, str]]:
    findings = document.get("items", document.get("findings", []))
    return sorted((one["of"], one["why"]) for one in findings if one["kind"] == "shared-status-list")


@pytest.mark.parametrize("keeping", [True, False])
def test_a_chain_shows_the_same_shared_entries_as_findings(tmp_path: Path, *, keeping: bool):
    """
    For every token on the path of a token, a delegation or an action, even if it shares entries in several lists, by
    several facts; and the cache is invalidated when another token gets the entry.
    """
    before = [
        listed("top", 1),
        {**listed("top", 2, uri=f"{BASE}/2"), "event_id": "top-again"},
        listed("middle", 3, "top"),
        listed("bottom", 4, "middle"),
        derived("unlisted", "bottom"),
        done("a1", token="bottom"),
        done("a2", token="unlisted"),
    ]
    others = [listed("x", 1), listed("y", 2, uri=f"{BASE}/2"), listed("z", 2), listed("w", 3), listed("v", 3)]
    on_the_path = {"token:top", "token:middle"}
    desk = Desk(tmp_path)
    desk.take(*before)
    with opened(desk.url) as store:
        worlds = QuestionCache(store, None, None, log_inside=True) if keeping else None
        service = Service(store, None, Trust(), lambda: parse_instant(day("13:00")), source="urn:us", worlds=worlds)

        def asked() -> list[list[tuple[str, str]]]:
            at = parse_instant(day("13:00"))
            chains = [service.chain("token", id_, at=at) for id_ in ("bottom", "unlisted")]
            return [shared(found or {}) for found in (*chains, *(service.who(id_, at=at) for id_ in ("a1", "a2")))]

        assert [[]] * 4 == asked()
        desk.take(*others)
        listing = desk.one("findings")
        expected = [one for one in shared(listing) if one[0] in on_the_path]

        assert 3 == len(expected)
        assert [expected] * 4 == asked()
