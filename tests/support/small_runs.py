"""Small stores on SQLite with several runs, whose filters are built and which are merged in several steps."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ingest.codec import api as codec
from ingest.projector import read_records
from lineage.core.model.events import Derivation, Event, TokenIssued
from lineage.core.model.records import DECISIONS, Batch, Position, Record
from lineage.store import store as stores_of
from lineage.store.database import sorted_runs
from lineage.store.store import Store, open_store
from lineage.store.writing import merge_pace, run_filters

START = 1_790_000_000_000_000
MANY = 1_000_000  # records in a batch for which filters are loaded

Setting = Callable[[object, str, object], None]


def small(setting: Setting) -> None:
    """Let small stores have several filters, each stored in several parts and built in several steps."""
    for module, name, value in (
        (sorted_runs, "HOT", 8),
        (sorted_runs, "FAN", 2),
        (run_filters, "_FEW", 0),
        (run_filters, "_STEP", 4),
        (run_filters, "_KEYS_OF_PART", 4),
        (run_filters, "_WORDS_OF_PART", 16),
        (merge_pace, "SMALLEST_STEP", 6),
        (merge_pace, "LARGEST_STEP", 20),
        (stores_of, "PAUSE_SECONDS", 60),
    ):
        setting(module, name, value)


def token(rng: random.Random) -> Event:
    """Issue one of some tokens: identities are repeated, also with other contents, and parents get later children."""
    body = TokenIssued(
        token=f"t{rng.randrange(60)}",
        derived_from=tuple(Derivation(f"t{rng.randrange(60)}", "subject") for _ in range(rng.randrange(2))),
        subject="human:alice",
        expires_at=START + rng.randrange(1, 50) * 10**9,
    )
    return Event(event_id=f"e{rng.randrange(200)}", source="urn:s", occurred_at=START, body=body)


def a_batch(events: list[Event], start: int) -> Batch:
    batch = Batch(advance={(DECISIONS, 0): (start, start + len(events))})
    records = [
        Record(Position(DECISIONS, 0, start + place).number, START, codec.encode(event))
        for place, event in enumerate(events)
    ]
    read_records(records, None, batch)
    return batch


def tokens(count: int, seed: int = 1) -> list[Event]:
    rng = random.Random(seed)
    return [token(rng) for _ in range(count)]


def write(store: Store, events: list[Event], *, batch: int = 7, start: int = 0) -> None:
    for place in range(0, len(events), batch):
        store.write(a_batch(events[place : place + batch], start + place))


@contextmanager
def a_store(url: str) -> Iterator[Store]:
    store = open_store(url, codec.read, create=True)
    try:
        yield store
    finally:
        store.close()


class KilledError(Exception):
    """Ends a process within a transaction."""


def lose_a_step(store: Store, *, build: int, merge: int) -> None:
    """Build and merge some, and roll it back; what is in memory stays, as after a failure to commit."""
    try:
        with store._write() as connection:
            if merge:
                sorted_runs.merge_some(connection, merge)
            store._projection.filters.build_some(connection, build)
            raise KilledError  # noqa: TRY301 (it ends the transaction)
    except KilledError:
        return
