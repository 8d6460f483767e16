"""Finding things in a large store: actions, the inventory, words, lists of one thing, and the overview.

``python -m benchmarks.asking --store sqlite:////tmp/store.db --events 1000000`` fills an empty store (or PostgreSQL
database, with ``--log sqlite:////tmp/log.db``) and queries it; a store that has facts is queried unchanged. Times are
those of this process, by the clock and of the processor; that of a database server comes in addition.
"""

import argparse
import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import events
from benchmarks.measures import NOW, put
from ingest.codec import api as codec
from ingest.log.port import Log
from ingest.opening import open_log
from ingest.trust_file import Trust
from lineage.core.authority.action_filter import ActionFilter
from lineage.core.model.events import ActionPerformed, DelegationGranted, TokenIssued
from lineage.serve.queries.activity.actions import actions
from lineage.serve.queries.activity.uses import uses
from lineage.serve.queries.history.timeline import timeline
from lineage.serve.queries.inventory import inventory
from lineage.serve.queries.inventory.inventory import ElementFilter, PrincipalFilter
from lineage.serve.queries.inventory.search import search
from lineage.serve.queries.lists.list_pages import OVER_HTTP, WORDS_OVER_HTTP
from lineage.serve.queries.overviews.attention import attention
from lineage.serve.queries.service import Service
from lineage.store.store import Store, open_store

GOAL_MS = 300
PAGE = 50
TURNS = 20
_SAMPLE = 50_000  # events from which the ids in the queries are taken

Question = tuple[str, Callable[[int], object]]


def questions(service: Service) -> Iterator[Question]:
    """Yield each kind of query, as a function of the number of its repetition."""
    rng = random.Random(1)
    done, tokens, grants, people = [], [], [], Counter[str]()
    for event in events.a_day(_SAMPLE):
        body = event.body
        if isinstance(body, ActionPerformed):
            done.append(body)
        elif isinstance(body, TokenIssued):
            tokens.append(body.token)
            people[body.subject] += 1
        elif isinstance(body, DelegationGranted):
            grants.append(body)
    some = rng.sample(done, TURNS)

    def acts(**fields: Any) -> object:
        budget = WORDS_OVER_HTTP if "text" in fields else OVER_HTTP
        return actions(service, ActionFilter(**fields), at=NOW, limit=PAGE, budget=budget)

    def held(kind: str, **fields: Any) -> object:
        return inventory.held(service, kind, ElementFilter(**fields), at=NOW, limit=PAGE, looked_at=inventory.LOOKED_AT)

    yield "actions: all", lambda _: acts()
    yield "actions: by a tool that all have", lambda _: acts(tool="mail")
    yield "actions: by a tool that nothing used", lambda n: acts(tool=f"tool{n}")
    yield "actions: by the human at the root", lambda n: acts(human=[*people][n])
    yield "actions: by an agent on the chain", lambda n: acts(agent=grants[n].delegatee)
    yield "actions: by the actor", lambda n: acts(actor=some[n].actor)
    yield "actions: under a token", lambda n: acts(token=some[n].token)
    yield "actions: of a client that all share", lambda _: acts(client="https://idp.example#agents")
    yield "actions: denied", lambda _: acts(outcome="denied")
    yield "actions: a word that all have", lambda _: acts(text="mail")
    yield "actions: a rare word", lambda n: acts(text=f"rare{n}")
    yield "principals: the first page", lambda _: people_of(service)
    yield "principals: a word", lambda n: people_of(service, text=f"user{n}7")
    yield "tokens: the first page", lambda _: held("token")
    yield "tokens: by the holder", lambda n: held("token", holder=some[n].actor)
    yield "tokens: revoked, of which there are none", lambda _: held("token", state="revoked")
    yield "delegations: the first page", lambda _: held("delegation")
    yield "delegations: by the holder", lambda n: held("delegation", holder=grants[n].delegatee)
    yield "search: a word", lambda n: search(service, f"planner-{n}", limit=PAGE)
    yield "search: two words", lambda n: search(service, f"user{n} example", limit=PAGE)
    yield "search: an id", lambda n: search(service, tokens[n], limit=PAGE)
    yield "search: a near miss", lambda n: search(service, f"user{n}3@exampel.com", limit=PAGE)
    yield "search: nothing alike", lambda n: search(service, f"zzqqxx{n}", limit=PAGE)
    yield "timeline: of a client that all share", lambda _: line_of(service, "client", "https://idp.example#agents")
    yield "timeline: of a person", lambda n: line_of(service, "principal", [*people][n])
    yield "timeline: of an agent", lambda n: line_of(service, "principal", grants[n].delegatee)
    yield "uses: of a token", lambda n: uses(service, "token", str(some[n].token), limit=PAGE, budget=OVER_HTTP)
    yield "overview", lambda _: attention(service, at=NOW)


def people_of(service: Service, **fields: Any) -> object:
    """Query a page of principals."""
    return inventory.principals(service, PrincipalFilter(**fields), at=NOW, limit=PAGE, looked_at=inventory.LOOKED_AT)


def line_of(service: Service, kind: str, id_: str) -> object:
    """Query a page of a timeline."""
    return timeline(service, kind, id_, limit=PAGE, budget=OVER_HTTP._replace(counted=2_000))


def time_question(question: Callable[[int], object]) -> tuple[list[float], list[float]]:
    """Repeat a query; return the milliseconds of each repetition by the clock, and of the processor."""
    clock, cores = [], []
    for turn in range(TURNS):
        began, busy = time.perf_counter(), time.process_time()
        question(turn)
        clock.append((time.perf_counter() - began) * 1e3)
        cores.append((time.process_time() - busy) * 1e3)
    return clock, cores


def opened(url: str, log: str) -> tuple[Store, Log]:
    """Open a store and its log."""
    return open_store(url, codec.read, create=True), open_log(log, create=True, clock=lambda: NOW)


def main() -> None:
    """Fill the store if it is empty, query it, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.asking", description=__doc__)
    parser.add_argument("--store", required=True, help="URL of the store")
    parser.add_argument("--log", help="URL of the log; by default it is in the store, which must be SQLite")
    parser.add_argument("--events", type=int, default=1_000_000, help="number of events for an empty store")
    parser.add_argument("--only", default="", help="only queries whose name begins with this")
    parser.add_argument("--json", type=Path, help="output file for the figures")
    options = parser.parse_args()
    store, log = opened(options.store, options.log or options.store)
    service = Service(store, log, Trust(), lambda: NOW, source="urn:bench")
    if not store.positions():
        put(service, events.a_day(options.events))
    records = sum(store.positions().values())
    print(f"{records:,} records; milliseconds, of {TURNS} turns each; the goal is {GOAL_MS} at the 95th percentile")
    print(f"{'question':<46}{'first':>9}{'p50':>9}{'p95':>9}{'core p50':>10}{'core p95':>10}")
    figures = []
    for name, question in questions(service):
        if not name.startswith(options.only):
            continue
        clock, cores = time_question(question)
        cuts = [statistics.quantiles(took, n=20, method="inclusive") for took in (clock, cores)]
        row = [clock[0], *(cut[place] for cut in cuts for place in (9, 18))]
        figures.append({"question": name, "first": row[0], "p50": row[1], "p95": row[2], "core": row[3:]})
        missed = "  MISSED" if row[2] > GOAL_MS else ""
        print(f"{name:<46}{row[0]:>9.1f}{row[1]:>9.1f}{row[2]:>9.1f}{row[3]:>10.1f}{row[4]:>10.1f}{missed}", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    log.close()
    store.close()


if __name__ == "__main__":
    main()
