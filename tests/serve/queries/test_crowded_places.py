"""A status list index that very many tokens share: the work is bounded, and every answer shows the same finding."""

from collections.abc import Iterator
from typing import Any

import pytest

from ingest.codec import api as codec
from lineage.core.authority.world import MOST_SHARING
from lineage.core.model.events import Event, Fact, StatusList, TokenIssued
from lineage.core.model.records import DECISIONS, Batch, DecodedRecord, Position
from lineage.core.model.trust import SourceGrant, TrustTable
from lineage.store.store import Store, open_store
from tests.support import stores
from tests.support.desk import Desk, done, token

PLACE = {"uri": "https://as.example/list", "idx": 7}
START = 1_790_000_000_000_000


def shared(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {name: finding[name] for name in ("id", "kind", "of", "why", "about", "facts")}
        for finding in document["findings" if "findings" in document else "items"]
        if finding["kind"] == "shared-status-list" and finding["of"] == "token:t0"
    ]


@pytest.mark.parametrize("others", [1, 2, MOST_SHARING, MOST_SHARING + 1, 3 * MOST_SHARING])
def test_every_question_shows_the_same_finding_for_a_shared_index(tmp_path, others: int):
    """
    Other tokens are named up to a limit; beyond it the sentence says that there are more, in chain, who and findings.
    """
    desk = Desk(tmp_path)
    desk.take(*(token(f"t{number}", status_list=PLACE) for number in range(others + 1)), done("a1", token="t0"))
    [listed] = shared(desk.one("findings", "--of", "token:t0"))

    assert [listed] == shared(desk.one("chain", "token:t0")) == shared(desk.one("who", "a1"))
    assert (others <= MOST_SHARING) == ("token:t1" in listed["why"])
    assert (others > MOST_SHARING) == (f"more than {MOST_SHARING} other tokens" in listed["why"])
    assert (min(others + 1, 20) if others <= MOST_SHARING else 1) == len(listed["facts"])


@pytest.fixture(params=stores.KINDS)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    for place in stores.fresh_places(request):
        with place() as url:
            opened = open_store(url, codec.read, create=True)
            yield opened
            opened.close()


def written(store: Store, count: int, *, source: str, first: int, start: int) -> None:
    readable = []
    for number in range(count):
        body = TokenIssued(token=f"t{first + number}", subject="human:ann", status_list=StatusList(**PLACE))
        event = Event(f"e{first + number}", source, START, body)
        place = Position(DECISIONS, 0, start + number).number
        readable.append(DecodedRecord(place, Fact(event, START), codec.encode(event), source == "urn:idp"))
    store.write(Batch(readable=readable, advance={(DECISIONS, 0): (start, start + count)}))


def test_no_more_is_loaded_than_is_needed(store: Store):
    """
    Of a thousand tokens with the same index a bounded number is loaded; unauthorised ones do not hide others.
    """
    trust = TrustTable({"urn:idp": SourceGrant(frozenset({"token.issued"}), ("t",))})
    written(store, 1_000, source="urn:mallory", first=10_000, start=0)
    written(store, 2, source="urn:idp", first=0, start=1_000)

    def loaded() -> int:
        with store.reader(trust=trust) as reader:
            world = reader.world()
            reader.load_elements(world, ["token:t0"])
            reader.load_places(world, list(world.graph))
            [tokens] = world.listings.tokens.values()
            return len(tokens)

    assert 2 == loaded()
    written(store, 1_000, source="urn:idp", first=2, start=1_002)
    assert MOST_SHARING < loaded() <= MOST_SHARING + 3
