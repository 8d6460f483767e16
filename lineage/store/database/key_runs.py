"""In which runs of the index on PostgreSQL a key may be: one look-up instead of a search in each complete run.

For each block of keys and each eight runs with consecutive numbers, an *octet*, there is a row with 1,024 slots of one
byte, of which each bit stands for a run. A key has four slots in its block: a run may have it if its bit is set in all
of them (a Bloom filter of eight runs, side by side).

A run is never overlooked, because a bit says so only once it is cleared: it is set when a row is added, and a row that
is missing is as good as one with all bits set. Bits of a run are cleared in the transaction that reads all its keys of
a block and sees that it is complete, so nothing is ever added to it (``writing.key_runs``). A question reads the rows,
the runs and their entries from one snapshot. So nothing else has to be observed after a rebuild, a failover or a crash:
a transaction that is lost leaves bits set.
"""

from collections.abc import Iterator
from functools import reduce
from typing import Final

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, SmallInteger, Table

from lineage.store.database.dialects import values_of

IN_RUNS: Final = "postgresql in runs"  # the wording of statements that use this: instead of the name of the database
SLOTS: Final = 1_024  # of a row, so that seven rows fit into a page
ALL_RUNS: Final = 255
_PLACES: Final = (0, 10, 20, 30)  # the bits of a key from which on its slots are read; its highest bits are its block

key_runs = Table(
    "key_runs",
    MetaData(),
    Column("octet", SmallInteger, primary_key=True, autoincrement=False),  # the number of a run without its last bits
    Column("block", Integer, primary_key=True, autoincrement=False),  # the highest bits of a key, with their sign
    Column("slots", LargeBinary, nullable=False),
)


def slots_of(key: int) -> tuple[int, int, int, int]:
    """Return the slots of a key in its block."""
    return key & 1023, key >> 10 & 1023, key >> 20 & 1023, key >> 30 & 1023


def _both(bits: sa.ColumnElement[int], others: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    return bits.op("&")(others)


def _number(value: int) -> sa.ColumnElement[int]:
    """Write a number into the text of a statement."""
    return sa.literal_column(str(value), Integer)


_run = sa.table("run", sa.column("id", SmallInteger), sa.column("shift", SmallInteger))  # see ``sorted_runs``
_octet = sa.literal_column("id >> 3", SmallInteger)
# The octets with their runs, and how many bits of a key do not say its block; NULL if no row is written yet. The
# condition is always true: without statistics of this small table the planner expects 1,500 runs, and then prepares for
# millions of keys.
_octets = (
    sa.select(
        _octet.label("octet"), sa.func.array_agg(_run.c.id).label("ids"), sa.func.max(_run.c.shift).label("shift")
    )
    .where(sa.literal_column("id & 0", Integer) == _number(0))
    .group_by(_octet)
    .cte("octets")
    .prefix_with("MATERIALIZED")
)


def possible_runs(keys: sa.FromClause) -> sa.FromClause:
    """Find for each key the runs that may have it, in the column ``id``.

    Args:
        keys: A table with the column ``key``, with which this is joined.
    """
    key = keys.c.key
    slots: Iterator[sa.ColumnElement[int]] = (
        sa.func.get_byte(key_runs.c.slots, sa.cast(key.op(">>")(_number(place)).op("&")(_number(SLOTS - 1)), Integer))
        for place in _PLACES
    )
    bits = (
        sa.select(reduce(_both, slots))
        .where(key_runs.c.octet == _octets.c.octet, key_runs.c.block == sa.cast(key.op(">>")(_octets.c.shift), Integer))
        .correlate(keys, _octets)
        .scalar_subquery()
    )
    # OFFSET 0: otherwise the bits would be looked up for each run, and more runs be expected than one.
    of_key = (
        sa.select(_octets.c.ids, sa.func.coalesce(bits, _number(ALL_RUNS)).label("bits"))
        .correlate(keys)
        .offset(_number(0))
        .lateral()
    )
    each = (
        sa.func.unnest(of_key.c.ids).table_valued(sa.column("id", SmallInteger)).render_derived(name="each").lateral()
    )
    listed = sa.select(each.c.id, of_key.c.bits).select_from(of_key).join(each, sa.true()).offset(_number(0)).lateral()
    is_set = listed.c.bits.op(">>")(listed.c.id.op("&")(_number(7))).op("&")(_number(1)) == _number(1)
    return sa.select(listed.c.id).where(is_set).lateral()


def keys_by_run(keys: sa.FromClause) -> sa.Subquery:
    """Group keys by the runs that may have them: rows with ``id`` and the array ``keys``."""
    possible = possible_runs(keys)
    grouped = (
        sa.select(possible.c.id, sa.func.array_agg(keys.c.key, type_=sa.ARRAY(BigInteger)).label("keys"))
        .select_from(keys)
        .join(possible, sa.true())
        .group_by(possible.c.id)
    )
    return grouped.offset(_number(0)).subquery()


def runs_of(keys: str) -> sa.Select[int]:
    """Select the runs that may have one of some keys, the parameter of that name; a run may be repeated."""
    asked = values_of(keys).subquery()
    possible = possible_runs(asked)
    return sa.select(possible.c.id).select_from(asked.join(possible, sa.true()))
