"""The rows of a batch, as far as the batch alone determines them: the part of writing that needs no database.

So another process than the writer can make them (``delegraph rebuild``). What depends on the facts in the store, which
are duplicates, conflicts, higher bounds and several facts about one action, is left to ``projection``.
"""

import marshal
import pickle
from collections import defaultdict
from collections.abc import Set as AbstractSet
from operator import itemgetter
from typing import Any, Final, NamedTuple

from lineage.core.evidence.record_tree import Committed
from lineage.core.model.events import PrincipalRegistered
from lineage.core.model.keys import ELEMENT_KINDS
from lineage.core.model.records import Batch, DecodedRecord, RejectedRecord
from lineage.core.model.references import RefRole, mentions, subject_of
from lineage.store import acts_in_time
from lineage.store.database.dialects import storable
from lineage.store.database.sorted_runs import Entries
from lineage.store.database.tables import ENDLESS, UPWARD, Hashes, Keys, fact, span_after
from lineage.store.writing import trees

# A display name in the table ``name``, and the principal that it belongs to.
CALLED: Final = "called"
BETWEEN: Final = "\t"
BOUNDED: Final = frozenset({RefRole.DEPENDS, RefRole.NAMES, RefRole.PRIOR})

_COLUMNS: Final = [column.name for column in fact.c]
N, IDENT, ABOUT, OUTCOME, MISROUTED, RECORDED_AT, UNTIL, VALUE = map(
    _COLUMNS.index, ("n", "ident", "about", "outcome", "misrouted", "recorded_at", "until", "value")
)
_BY_ABOUT: Final = itemgetter(ABOUT, UNTIL, N)
_BY_IDENT: Final = itemgetter(IDENT, N)

_PLAIN: Final = 2  # the version of marshal that does not look for repeated objects

Row = tuple[Any, ...]
Ref = tuple[int, int, int, int, int]  # a row of ``ref``


class Outcome:
    """The outcome of a decoded record, as stored."""

    ACCEPTED: Final = 0
    CONFLICT: Final = 1
    UNAUTHORISED: Final = 2


def entries_of(facts: list[Row], refs: list[Ref]) -> Entries:
    """Build the entries of facts from their rows, and from those of ``ref``."""
    return Entries(
        upward=sorted({(about, key, role, n) for key, _, role, about, n in refs if role in UPWARD}),
        about=sorted(map(_BY_ABOUT, facts)),
        ident=sorted(map(_BY_IDENT, facts)),
    )


class FactRows(NamedTuple):
    """The rows of some records, as if the store were empty and no two records had the same identity.

    Attributes:
        facts: Rows of ``fact``, in the order of the records; none of them is in conflict.
        refs: Rows of ``ref``, sorted by key. A row with a bound has the one that its fact alone implies.
        granting: For each element that the records grant, the bound that these records imply.
        uneven: The elements for which the records imply different bounds.
        upward: The dependencies of each element.
        acts: Rows of ``act``.
        names: Rows of ``name``. An id that was mentioned before may be missing.
        entries: Their entries in the index on SQLite; None on PostgreSQL.
    """

    facts: list[Row]
    refs: list[Ref]
    granting: dict[int, int]
    uneven: set[int]
    upward: dict[int, set[int]]
    acts: list[Row]
    names: list[tuple[str]]
    entries: Entries | None

    def without(self, numbers: AbstractSet[int], facts: list[Row]) -> "FactRows":
        """Leave out duplicates.

        The bounds that they imply stay, since the facts that they repeat imply the same ones; so do their names.

        Args:
            numbers: The numbers of the duplicates.
            facts: The rows of the other facts.
        """
        return self._replace(
            facts=facts,
            refs=[row for row in self.refs if row[-1] not in numbers],
            acts=acts_in_time.without(self.acts, numbers),
            entries=None if self.entries is None else self.entries.without(numbers),
        )


class BatchRows(NamedTuple):
    """A batch, with rows instead of decoded records.

    Attributes:
        rows: The rows of the readable records.
        unreadable: The unreadable records.
        committed: What the trees need of every record.
        advance: For (topic, partition): the previous next offset and the new one.
    """

    rows: FactRows
    unreadable: list[RejectedRecord]
    committed: list[Committed]
    advance: dict[tuple[str, int], tuple[int, int]]

    def dump(self) -> bytes:
        """Encode it for another process of the same program."""
        rows = self.rows._replace(entries=None if self.rows.entries is None else tuple(self.rows.entries))  # type: ignore[arg-type]
        # In a third of the time that pickle takes for many small tuples.
        return marshal.dumps((tuple(rows), pickle.dumps(self.unreadable), self.committed, self.advance), _PLAIN)


def load(dumped: bytes) -> BatchRows:
    """Decode what ``BatchRows.dump`` encoded in another process of ours."""
    rows, unreadable, committed, advance = marshal.loads(dumped)  # noqa: S302 (from our own process)
    made = FactRows(*rows)
    if made.entries is not None:
        made = made._replace(entries=Entries(*made.entries))
    return BatchRows(made, pickle.loads(unreadable), committed, advance)  # noqa: S301 (from our own process)


class _Names(Hashes):
    """Hashes of the ids of one kind; an id that is hashed is queued for the table ``name``.

    An id that was not cached, or no longer is, is queued again, which is harmless.
    """

    __slots__ = ("_down", "_kind")

    def __init__(self, keys: Keys, kind: str, down: list[tuple[str]]) -> None:
        super().__init__(keys.blank, kind)
        self._kind, self._down = kind, down

    def once(self, id_: str) -> int:
        key = f"{self._kind}:{id_}"
        self._down.append((storable(key) if self._kind in acts_in_time.STATED else key,))
        return super().once(id_)


class _NamedThings(dict[str, _Names]):
    """Hashes of everything that facts mention, by kind, and the queue of rows for the table ``name``."""

    def __init__(self, keys: Keys) -> None:
        super().__init__()
        self._keys = keys
        self.down: list[tuple[str]] = []

    def __missing__(self, kind: str) -> _Names:
        found = self[kind] = _Names(self._keys, kind, self.down)
        return found


def display_name_key(body: PrincipalRegistered) -> str | None:
    """Return the entry of the table ``name`` for a display name; None if the fact states none."""
    if not body.display_name:
        return None
    name = storable(body.display_name[: acts_in_time.LONGEST]).replace(BETWEEN, " ")
    return f"{CALLED}:{name}{BETWEEN}{body.principal}"


class RowMaker:
    """Makes the rows of batches that are written one after the other."""

    def __init__(self, keys: Keys, dialect: str) -> None:
        """Use the store's hash of keys, and make rows for a database."""
        self._keys = keys
        self._in_runs = dialect == "sqlite"
        self._named = _NamedThings(keys)

    def forget(self) -> None:
        """Forget which names were made, because they were not written or are no longer stored."""
        self._named = _NamedThings(self._keys)

    def batch_rows(self, batch: Batch) -> BatchRows:
        """Make the rows of a batch."""
        return BatchRows(self.rows(batch.readable), batch.unreadable, trees.committed_of(batch), batch.advance)

    def rows(self, records: list[DecodedRecord]) -> FactRows:
        """Make the rows of decoded records."""
        facts: list[Row] = []
        refs: list[Ref] = []
        granting: dict[int, int] = {}
        uneven: set[int] = set()
        upward: dict[int, set[int]] = {}
        acts: defaultdict[int, list[acts_in_time.Row]] = defaultdict(list)
        named, sources, identity = self._named, self._keys["source"], self._keys["event"].once
        stated = {"outcome": self._keys["outcome"], **{kind: named[kind] for kind in ("operation", "tool", "resource")}}
        add_fact, add_ref, depends = facts.append, refs.append, int(RefRole.DEPENDS)
        for number, (event, recorded_at, misrouted), value, authorised in records:
            ident = identity(f"{event.source}\0{event.event_id}")
            kind, id_ = subject_of(event)
            own = named[kind].once(id_) if kind == "action" else named[kind][id_]
            until = 0
            if kind in ELEMENT_KINDS:
                ends_at = event.body.expires_at  # type: ignore[union-attr]
                until = ENDLESS if ends_at is None else span_after(ends_at)
                if granting.setdefault(own, until) != until:
                    granting[own] = max(granting[own], until)
                    uneven.add(own)
            for role, mentioned, id_ in mentions(event):
                hashed = named[mentioned][id_]
                add_ref((hashed, until if until and role in BOUNDED else 0, role, own, number))
                if role == depends:
                    upward.setdefault(own, set()).add(hashed)
            if kind == "principal" and isinstance(event.body, PrincipalRegistered):
                self._call(event.body)
            acts[acts_in_time.sort_of(kind)].append(acts_in_time.row_of(event, number, own, stated))
            source = sources[event.source]
            outcome = Outcome.ACCEPTED if authorised else Outcome.UNAUTHORISED
            add_fact((number, ident, own, outcome, misrouted, recorded_at, until, source, event.sequence, value))
        refs.sort(key=itemgetter(0))
        names = named.down.copy()
        named.down.clear()
        entries = entries_of(facts, refs) if self._in_runs else None
        return FactRows(facts, refs, granting, uneven, upward, acts_in_time.parts_of(acts), names, entries)

    def _call(self, body: PrincipalRegistered) -> None:
        """Queue a display name for the table ``name``."""
        if (key := display_name_key(body)) is not None:
            self._named.down.append((key,))


def row_maker(secret: bytes, dialect: str) -> RowMaker:
    """Create a maker of rows for a store with a secret, on a database."""
    return RowMaker(Keys(secret), dialect)


def with_bounds(rows: FactRows, bounds: dict[int, int]) -> list[Ref]:
    """Return the rows of ``ref`` with the computed bounds, sorted by key: adjacent rows go to the same pages."""
    values_of = rows.granting
    other = {own: until for own, until in bounds.items() if values_of.get(own) != until or own in rows.uneven}
    if not other:
        return rows.refs
    return [
        (key, other[about], role, about, n) if until and about in other else row
        for row in rows.refs
        for key, until, role, about, n in (row,)
    ]
