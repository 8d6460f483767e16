"""Clear the bits of complete runs on PostgreSQL for keys that they do not have: see ``database.key_runs``.

Each step reads the keys of a run for some blocks and writes the rows of these blocks, in one transaction with how far
it is. So nothing is kept in memory, and any process continues, after each batch.
"""

from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from lineage.store.database.key_runs import ALL_RUNS, SLOTS, key_runs, slots_of
from lineage.store.database.sorted_runs import IS_NARROWED, fact_in_run, run_on_postgresql, sorted_ref

_STEP: Final = 10_000  # keys that are read at a time
_KEYS_OF_BLOCK: Final = 128  # at most, of one run: eight slots for each key, so 2 % of the other keys are looked for
_LEAST: Final = -(1 << 63)
_MOST_BITS: Final = 24  # of a key that say its block; its slots are in the forty lowest bits
_BLOCKS: Final = 64  # that are written at a time
# One process at a time; the others have nothing to do. The number is arbitrary.
_OURS: Final = f"SELECT pg_try_advisory_xact_lock({int.from_bytes(b'keyruns', 'big')})"
# A rebuild that replaces the runs locks the rows, and waits for whoever has read a run: do not wait for it in turn.
_BRIEFLY: Final = "SET LOCAL lock_timeout = '200ms'"

_DUE: Final = (
    sa.select(run_on_postgresql)
    .where(run_on_postgresql.c.level > 0, ~IS_NARROWED)
    .order_by(run_on_postgresql.c.id)
    .limit(1)
)


def _keys_of(table: sa.Table, column: sa.Column[int]) -> sa.Select[Any]:
    keys = (
        sa.select(column)
        .where(table.c.run == sa.bindparam("run"), column.between(sa.bindparam("first"), sa.bindparam("last")))
        .order_by(column)
        .limit(_STEP)
    )
    return sa.select(sa.func.array(keys.scalar_subquery()))  # as one value: reading rows takes twice the time


_SOURCES: Final = (_keys_of(fact_in_run, fact_in_run.c.about), _keys_of(sorted_ref, sorted_ref.c.key))


def clear_some(connection: Connection, most: int) -> int:
    """Clear bits of a complete run, for the next blocks.

    Args:
        connection: In a transaction of a writer of its own.
        most: About how many keys to read.

    Returns:
        About how many were read; 0 if nothing is left to do, or another process does it.

    Raises:
        OperationalError: A table is locked; nothing was changed.
    """
    connection.exec_driver_sql(_BRIEFLY)
    if not connection.exec_driver_sql(_OURS).scalar_one():
        return 0
    due = connection.execute(_DUE).first()
    if due is None:
        return 0
    shift = due.shift if due.shift is not None else _shift_of(connection, due.id)
    half = 1 << (63 - shift)
    cleared, read = due.cleared, 0
    while read < most and cleared < 2 * half:
        first = cleared - half
        beyond = min(first + _BLOCKS, half)
        read += 1 + _clear(connection, due.id, shift, first, beyond)
        cleared = beyond + half
    changed = run_on_postgresql.update().where(run_on_postgresql.c.id == due.id)
    connection.execute(changed.values(shift=shift, cleared=cleared))
    return read


def _shift_of(connection: Connection, run: int) -> int:
    """Return how many of the bits of a key do not say its block, for the runs of an octet."""
    of_octet = run_on_postgresql.c.id.between(run & ~7, run | 7)
    known = connection.execute(sa.select(sa.func.max(run_on_postgresql.c.shift)).where(of_octet)).scalar()
    if known is not None:
        return int(known)
    # Keys are random: as many as in the part that is read are in every part of that size.
    some = [_some_keys(connection, source, run, _LEAST, -_LEAST - 1) for source in _SOURCES]
    last = min((keys[-1] for keys in some if len(keys) == _STEP), default=-_LEAST - 1)
    count = len({key for keys in some for key in keys if key <= last})
    all_keys = (count << 64) // (last - _LEAST + 1)
    bits = (all_keys // _KEYS_OF_BLOCK).bit_length()
    return 64 - min(max(bits, 1), _MOST_BITS)


def _clear(connection: Connection, run: int, shift: int, first: int, beyond: int) -> int:
    """Clear the bits of a run in some blocks, and return how many keys it has there."""
    octet, bit = run >> 3, 1 << (run & 7)
    keys = {
        key
        for source in _SOURCES
        for key in _keys_between(connection, source, run, first << shift, (beyond << shift) - 1)
    }
    others = bytes([ALL_RUNS & ~bit]) * SLOTS
    kept = [bytearray(others) for _ in range(first, beyond)]
    for key in keys:
        slots = kept[(key >> shift) - first]
        for slot in slots_of(key):
            slots[slot] = ALL_RUNS
    known = _rows(connection, octet, first, beyond)
    written = [
        (int.from_bytes(known[block]) & int.from_bytes(slots)).to_bytes(SLOTS) if block in known else bytes(slots)
        for block, slots in enumerate(kept, first)
    ]
    rows = sa.select(
        sa.literal(octet, sa.SmallInteger),
        sa.func.unnest(sa.literal([*range(first, beyond)], sa.ARRAY(sa.Integer))),
        sa.func.unnest(sa.literal(written, sa.ARRAY(sa.LargeBinary))),
    )
    added = postgresql.insert(key_runs).from_select(["octet", "block", "slots"], rows)
    connection.execute(
        added.on_conflict_do_update(index_elements=["octet", "block"], set_={"slots": added.excluded.slots})
    )
    return len(keys)


def _rows(connection: Connection, octet: int, first: int, beyond: int) -> dict[int, bytes]:
    """Return the slots of some blocks; of those that have a row."""
    of_blocks = (key_runs.c.octet == octet, key_runs.c.block.between(first, beyond - 1))
    return {
        block: bytes(slots)
        for block, slots in connection.execute(sa.select(key_runs.c.block, key_runs.c.slots).where(*of_blocks))
    }


def _keys_between(connection: Connection, source: sa.Select[Any], run: int, first: int, last: int) -> Iterator[int]:
    """Yield the keys of a run from one to another, in order; of a key in very many entries, only the first of these."""
    while first <= last:
        keys = _some_keys(connection, source, run, first, last)
        yield from keys
        if len(keys) < _STEP:
            break
        first = keys[-1] + 1


def _some_keys(connection: Connection, source: sa.Select[Any], run: int, first: int, last: int) -> list[int]:
    found: list[int] = connection.execute(source, {"run": run, "first": first, "last": last}).scalar_one()
    return found


def denied_by_rows(connection: Connection) -> Iterator[tuple[int, int]]:
    """Yield each run whose bits are cleared for keys of it, and for how many: there should be none."""
    for each in connection.execute(sa.select(run_on_postgresql).order_by(run_on_postgresql.c.id)).all():
        if each.shift is None:
            continue
        bit, half, denied = 1 << (each.id & 7), 1 << (63 - each.shift), 0
        for first in range(-half, half, _BLOCKS):
            beyond = min(first + _BLOCKS, half)
            known = _rows(connection, each.id >> 3, first, beyond)
            keys = {
                key
                for source in _SOURCES
                for key in _keys_between(connection, source, each.id, first << each.shift, (beyond << each.shift) - 1)
            }
            denied += sum(
                not all(slots[slot] & bit for slot in slots_of(key))
                for key in keys
                if (slots := known.get(key >> each.shift)) is not None
            )
        if denied:
            yield each.id, denied
