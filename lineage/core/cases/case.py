"""Cases: the items, the assignee and the status of a case, computed from its changes. Pure.

The changes only add up, so two people who change one case at once both have an effect, and neither the order in which
the changes arrive nor repetition matters (ADR 0057).
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from lineage.core.authority.elements import by_given, in_order
from lineage.core.model.events import CaseChanged, CaseItem, Fact, digest

OPEN: Final = "open"
CLOSED: Final = "closed"
STATUSES: Final = (OPEN, CLOSED)
MOST_ITEMS: Final = 10_000  # in a case
MOST_CHANGES: Final = 10_000  # of a case
RANGE: Final = "actions"  # the kind of an item that represents all actions that match some filters
_ADDING: Final = frozenset({"opened", "added"})
_ASSIGNING: Final = frozenset({"opened", "assigned"})


@dataclass(frozen=True, slots=True)
class CaseChange:
    """One change of a case."""

    fact: Fact
    body: CaseChanged


@dataclass(frozen=True, slots=True)
class Contained:
    """An item of a case, with the change that added it."""

    item: CaseItem
    added: CaseChange


@dataclass(frozen=True, slots=True)
class Case:
    """A case, computed from its changes.

    Attributes:
        id: The id of the case.
        changes: All changes, each content once, in the order in which they were given.
        items: Its items, in the order in which they were added.
        opened: The first change that opened it; None if none is known.
        settled: The last change that closed or reopened it; None if there is none.
        assigned: The last change of the assignee; None if there is none.
        version: Identifies this set of changes, whatever their order: a hexadecimal string.
    """

    id: str
    changes: tuple[CaseChange, ...]
    items: tuple[Contained, ...]
    opened: CaseChange | None
    settled: CaseChange | None
    assigned: CaseChange | None
    version: str

    @property
    def status(self) -> str:
        """``open`` or ``closed``."""
        return CLOSED if self.settled is not None and self.settled.body.change == "closed" else OPEN

    @property
    def title(self) -> str | None:
        """Its title; None if no change states one."""
        return None if self.opened is None else self.opened.body.title

    @property
    def assignee(self) -> str | None:
        """Its assignee; None if it has none."""
        return None if self.assigned is None else self.assigned.body.assignee

    @property
    def notes(self) -> tuple[CaseChange, ...]:
        """The changes that carry a note."""
        return tuple(change for change in self.changes if change.body.note is not None)

    def contains(self, item: CaseItem) -> bool:
        """Whether the case contains an item."""
        return any(contained.item == item for contained in self.items)


def case_of(id_: str, facts: Iterable[Fact]) -> Case | None:
    """Compute a case from facts; None if none of them is a change of it.

    The last change counts, by the time at which it was given (``by_given``); if several opened it, the first does.
    """
    changes = tuple(_changes(id_, facts))
    if not changes:
        return None
    items: dict[CaseItem, CaseChange] = {}
    opened = settled = assigned = None
    for change in changes:
        kind = change.body.change
        if kind in _ADDING:
            for item in change.body.items:
                items.setdefault(item, change)
        elif kind == "removed":
            for item in change.body.items:
                items.pop(item, None)
        elif kind in ("closed", "reopened"):
            settled = change
        if kind == "opened" and opened is None:
            opened = change
        if kind == "assigned" or (kind in _ASSIGNING and change.body.assignee is not None):
            assigned = change
    contained = tuple(Contained(item, change) for item, change in items.items())
    return Case(id_, changes, contained, opened, settled, assigned, _version(changes))


def _changes(id_: str, facts: Iterable[Fact]) -> Iterator[CaseChange]:
    for fact in by_given(in_order(facts)):
        body = fact.event.body
        if isinstance(body, CaseChanged) and body.case == id_:
            yield CaseChange(fact, body)


def _version(changes: tuple[CaseChange, ...]) -> str:
    digests = sorted(digest(change.fact.event) for change in changes)
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:16]
