"""The counts of findings in a state of their index, for the last state and for earlier ones."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ingest.codec import api as codec
from lineage.core.findings.judging import RESOLVED
from lineage.store import kept_findings
from lineage.store.kept_findings import Filters, Moment, StoredFinding
from lineage.store.store import Store, open_store
from tests.support import stores

NOW = 1_790_000_000_000_000
DAY = 86_400_000_000
STATUSES = ("new", "acknowledged", "suppressed", RESOLVED)
FILTERS = (
    Filters(),
    Filters(since=NOW - 3 * DAY),
    Filters(since=NOW - 3 * DAY, severities=(2, 4)),
    Filters(since=NOW - 1 * DAY, statuses=(RESOLVED, "new")),
    Filters(kinds=("cycle",), not_statuses=("suppressed",)),
    Filters(since=NOW + DAY),
)


@pytest.fixture(scope="module", params=stores.KINDS)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    for fresh in stores.fresh_places(request):
        with fresh() as url:
            opened = open_store(url, codec.read, create=True)
            yield opened
            opened.close()


def a_finding(rng: random.Random, number: int) -> StoredFinding:
    seen = NOW - rng.randrange(6 * DAY)
    kind, severity, status = rng.choice(["cycle", "branch"]), rng.randint(1, 5), rng.choice(STATUSES)
    return StoredFinding(
        f"F-{number}", kind, f"token:{number}", None, severity, status, seen, seen, {"of": "x", "about": None}
    )


def is_shown(one: StoredFinding, filters: Filters) -> bool:
    return (
        (one.status != RESOLVED or RESOLVED in filters.statuses)
        and (not filters.kinds or one.kind in filters.kinds)
        and (not filters.severities or one.severity in filters.severities)
        and (not filters.statuses or one.status in filters.statuses)
        and one.status not in filters.not_statuses
        and (filters.since is None or one.last_seen >= filters.since)
    )


def test_numbers_of_every_state(store: Store):
    """
    The counts of each state are those of its findings, for the last state and earlier ones.
    """
    rng = random.Random(7)
    state = kept_findings.state_of(store)
    current: dict[str, StoredFinding] = {}
    states: list[tuple[Moment, list[StoredFinding]]] = []
    for turn in range(6):
        now = NOW + turn * 1_000_000
        changed = [a_finding(rng, number) for number in rng.sample(range(40), 20)]
        state = kept_findings.write(
            store, state, replace(state, swept_at=now), [("changed", one) for one in changed], now
        )
        current |= {one.id: one for one in changed}
        states.append((Moment(state.turn, now), list(current.values())))
        for moment, findings in states:
            for filters in FILTERS:
                expected = Counter((one.severity, one.status) for one in findings if is_shown(one, filters))
                assert kept_findings.numbers(store, filters, moment) == expected
