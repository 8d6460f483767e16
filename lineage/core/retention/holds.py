"""Legal holds: which are in force, computed from the facts about them. Pure.

A release ends the placements of its id that were given before it (``by_given``), like the lift of an order. So neither
the order in which the facts arrive nor repetition matters.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from lineage.core.authority.elements import by_given, in_order
from lineage.core.model.events import Fact, HoldChanged

PLACED = "placed"
RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold with everything that was done to it.

    Attributes:
        id: Its id.
        history: Its facts, in the order in which they were given.
        in_force: The placements that no later release ended.
    """

    id: str
    history: tuple[Fact, ...]
    in_force: tuple[HoldChanged, ...]

    @property
    def is_in_force(self) -> bool:
        """Whether it keeps anything."""
        return bool(self.in_force)

    @property
    def last(self) -> HoldChanged:
        """The last change."""
        return _body(self.history[-1])


def holds_of(facts: Iterable[Fact]) -> list[Hold]:
    """Compute the holds from facts, sorted by id."""
    by_id: dict[str, list[Fact]] = {}
    for fact in facts:
        if isinstance(fact.event.body, HoldChanged):
            by_id.setdefault(fact.event.body.hold, []).append(fact)
    return [_hold_of(id_, about) for id_, about in sorted(by_id.items())]


def changed_by(hold: Hold, unique: str) -> HoldChanged | None:
    """Return the change whose event id ends in ``-`` and a text; None if there is none."""
    return next((_body(fact) for fact in hold.history if fact.event.event_id.endswith(f"-{unique}")), None)


def _hold_of(id_: str, facts: Iterable[Fact]) -> Hold:
    history = tuple(by_given(in_order(facts)))
    in_force: list[HoldChanged] = []
    for fact in history:
        body = _body(fact)
        if body.change == RELEASED:
            in_force.clear()
        elif body not in in_force:
            in_force.append(body)
    return Hold(id_, history, tuple(in_force))


def _body(fact: Fact) -> HoldChanged:
    body = fact.event.body
    assert isinstance(body, HoldChanged)  # noqa: S101 (``holds_of`` takes no other)
    return body
