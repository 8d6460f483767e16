"""Findings of a large store with an index: its pages and the posture over HTTP, and turns of the keeper.

``python -m benchmarks.findings --store sqlite:////tmp/store.db --events 1000000`` fills an empty store (or PostgreSQL
database) with a day on which every fiftieth event is wrong, builds the index if there is none, and measures the
queries.
"""

import argparse
import random
import resource
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import events
from benchmarks.measures import put
from ingest.codec import api as codec
from ingest.opening import open_log
from ingest.trust_file import Trust
from lineage.core.findings.options import DEFAULT
from lineage.core.model.events import ActionPerformed, DelegationGranted, Event, RevocationOrdered, Target, TokenIssued
from lineage.core.model.times import format_instant
from lineage.serve.commands.finding_keeper import FindingKeeper
from lineage.serve.config.wiring import now
from lineage.serve.queries.service import Service
from lineage.store import kept_findings
from lineage.store.store import Store, open_store

GOAL_MS = 100
TURNS = 15
WRONG = 0.02  # the share of events that are wrong
_REVOKED = 2_000  # events per order


def a_faulty_day(count: int, seed: int = 1) -> Iterator[Event]:
    """Generate the day of the benchmarks with some wrong events."""
    rng = random.Random(seed)
    stolen, number = "", 1 << 47
    for event in events.a_day(count, seed):
        yield _wrong(event, rng) if rng.random() < WRONG else event
        if isinstance(event.body, TokenIssued):
            stolen = event.body.token
        elif stolen and rng.random() < 1 / _REVOKED:
            number += 1
            order = RevocationOrdered(
                revocation=f"stolen-{number - (1 << 47)}",
                target=Target("token", stolen),
                reason="compromise",
                ordered_by="human:ir@example.com",
            )
            yield events.numbered(order, number, event.occurred_at)


def _wrong(event: Event, rng: random.Random) -> Event:
    """Change an event so that something is wrong."""
    body = event.body
    if isinstance(body, TokenIssued):
        return event._replace(body=body._replace(scopes=("mail", "crm", "pay"), expires_at=None))
    if isinstance(body, DelegationGranted):
        return event._replace(body=body._replace(scopes=("*",), expires_at=None))
    assert isinstance(body, ActionPerformed)
    match rng.randrange(4):
        case 0:
            return event._replace(occurred_at=event.occurred_at + 3 * events.HOUR)
        case 1:
            return event._replace(body=body._replace(workload=f"spiffe://elsewhere/{rng.randrange(200)}"))
        case 2:
            return event._replace(body=body._replace(required_scopes=("pay",)))
        case _:
            return event._replace(body=body._replace(token=f"https://idp.example#never-{rng.randrange(99)}"))


def paths(store: Store) -> Iterator[tuple[str, str]]:
    """Yield a name and a path for each query: each filter of the list alone, and the most expensive ones combined."""
    some = kept_findings.page(store, kept_findings.Filters(), _latest(store), None, 1)
    yield "all, 50 of them", "/v1/findings?limit=50"
    for severity in ("critical", "high", "medium", "low", "informational"):
        yield f"severity {severity}", f"/v1/findings?limit=50&severity={severity}"
    kinds = {kind for kind, _, _ in kept_findings.state_of(store).numbers}
    for kind in sorted(kinds):
        yield f"kind {kind}", f"/v1/findings?limit=50&kind={kind}"
    yield "kind without findings", "/v1/findings?limit=50&kind=self-approval"
    for status in ("new", "acknowledged", "suppressed", "resolved"):
        yield f"status {status}", f"/v1/findings?limit=50&status={status}"
    yield "all, with suppressed ones", "/v1/findings?limit=50&all=true"
    since = format_instant(events.START + 12 * events.HOUR)
    late = format_instant(now() - events.HOUR)
    yield "since the middle of the day", f"/v1/findings?limit=50&since={since}"
    yield "since an hour ago", f"/v1/findings?limit=50&since={late}"
    yield "since the middle, low", f"/v1/findings?limit=50&severity=low&since={since}"
    if some:
        yield "of one thing", f"/v1/findings?limit=50&of={some[0].of}"
        yield "one finding", f"/v1/findings/{some[0].id}"
        yield "the page of one finding", f"/findings/{some[0].id}"
    yield "the page of findings", "/findings"
    yield "the start page", "/"
    yield "posture", "/v1/posture"
    yield "the page of the posture", "/posture"


def _latest(store: Store) -> kept_findings.Moment:
    return kept_findings.Moment(kept_findings.state_of(store).turn, now())


@contextmanager
def served(url: str) -> Iterator[str]:
    """Serve a store, sign in, and yield the address."""
    delegraph = str(Path(sys.executable).with_name("delegraph"))
    command = [delegraph, "serve", "--http", "127.0.0.1:0", "--store", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as started:
        try:
            assert started.stdout is not None
            link = next(word for line in started.stdout for word in line.split() if word.startswith("http://"))
            fetch(link)
            yield link.partition("/sign-in")[0]
        finally:
            started.terminate()


def timed(ask: Callable[[], object], turns: int = 1) -> list[float]:
    """Repeat a query; return the milliseconds of each repetition."""
    took = []
    for _ in range(turns):
        began = time.perf_counter()
        ask()
        took.append((time.perf_counter() - began) * 1e3)
    return took


_client = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())


def fetch(url: str) -> int:
    """Fetch an address; return the size of the answer."""
    with _client.open(url, timeout=120) as answer:  # our own server
        return len(answer.read())


def keeper_turns(store: Store, service: Service, more: Iterable[Event]) -> Iterator[tuple[str, float]]:
    """Yield how long the keeper takes to read everything, for a turn without news, and for a few new events."""
    keeper = FindingKeeper(store, None, DEFAULT)
    yield "the keeper reads everything", timed(lambda: keeper.sweep(now()))[0]
    for turn in range(3):
        yield f"a turn in which nothing is new, {turn + 1}", timed(lambda: keeper.look(now()))[0]
    busy = time.process_time()
    put(service, more)
    put_ms = (time.process_time() - busy) * 1e3
    yield "intake of the new events (processor)", put_ms
    yield "a turn with the new events", timed(lambda: keeper.look(now()))[0]
    yield "peak memory, MB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Fill an empty store, build its index, measure the queries, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.findings", description=__doc__)
    parser.add_argument("--store", required=True, help="URL of the store")
    parser.add_argument("--events", type=int, default=1_000_000, help="events that an empty store is given")
    parser.add_argument("--keep", action="store_true", help="measure a keeper, too: it reads everything into memory")
    parser.add_argument("--only", default="", help="only questions that begin so")
    options = parser.parse_args()
    store = open_store(options.store, codec.read, create=True)
    log = open_log(options.store, create=True, clock=now)
    service = Service(store, log, Trust(), now, source="urn:bench")
    if not store.positions():
        took = timed(lambda: put(service, a_faulty_day(options.events)))
        print(f"filled in {took[0] / 1e3:,.0f} s", flush=True)
    if kept_findings.state_of(store).swept is None:
        took = timed(lambda: FindingKeeper(store, None, DEFAULT).sweep(now()))
        print(f"index kept in {took[0] / 1e3:,.0f} s", flush=True)
    if options.keep:
        more = [one._replace(event_id=f"more-{one.event_id}", occurred_at=now()) for one in a_faulty_day(1_000, seed=2)]
        for name, value in keeper_turns(store, service, more):
            print(f"{name:<46}{value:>12,.1f}", flush=True)
    records = sum(store.positions().values())
    kept = sum(kept_findings.counts(store).values())
    print(f"{records:,} records, {kept:,} findings; milliseconds over HTTP, of {TURNS} turns; goal {GOAL_MS} at p95")
    print(f"{'question':<46}{'first':>9}{'p50':>9}{'p95':>9}")
    asked = [(name, path) for name, path in paths(store) if name.startswith(options.only)]
    with served(options.store) as address:
        for name, path in asked:
            first, *rest = timed(partial(fetch, address + path), TURNS)
            cut = statistics.quantiles(rest, n=20, method="inclusive")
            missed = "  MISSED" if cut[18] > GOAL_MS else ""
            print(f"{name:<46}{first:>9.1f}{cut[9]:>9.1f}{cut[18]:>9.1f}{missed}", flush=True)
    log.close()
    store.close()


if __name__ == "__main__":
    main()
