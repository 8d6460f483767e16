"""The proof of a cascade: what depends on an element is dead, and everything else is unchanged.

It does not rely on the rule of authority: the descendants are computed from the events in the files, and the service
is asked for the state of every token and delegation, before the order and after.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from lineage.core.model.keys import split_key
from lineage.core.model.times import Instant, parse_instant
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.service import Service


@dataclass(frozen=True, slots=True)
class CheckedElement:
    """The states of one element according to the service.

    Attributes:
        of: ``KIND:ID``.
        before: Its state just before the order took effect.
        after: Its state at the end.
        at_birth: Its state at the instant of its issue, if that is after the order; else None.
    """

    of: str
    before: str
    after: str
    at_birth: str | None


@dataclass(frozen=True, slots=True)
class DemoProof:
    """The states of the leaked token's descendants, and of all other elements."""

    descendants: tuple[CheckedElement, ...]
    siblings: tuple[CheckedElement, ...]

    @property
    def dead(self) -> list[CheckedElement]:
        """The descendants that were alive or not issued yet before the order, and are dead after it."""
        return [
            one
            for one in self.descendants
            if _is_dead(one.after) and (one.before == "active" if one.at_birth is None else _is_dead(one.at_birth))
        ]

    @property
    def born_dead(self) -> list[CheckedElement]:
        """The dead ones that were issued after the order."""
        return [one for one in self.dead if one.at_birth is not None]

    @property
    def alive(self) -> list[CheckedElement]:
        """The other elements that were alive before the order and still are."""
        return [one for one in self.siblings if one.before == one.after == "active"]

    @property
    def failures(self) -> list[CheckedElement]:
        """The elements in an unexpected state."""
        good = {one.of for one in (*self.dead, *self.alive)}
        return [one for one in (*self.descendants, *self.siblings) if one.of not in good]

    def __bool__(self) -> bool:
        """Whether the proof holds; a proof about no elements does not."""
        return bool(self.born_dead and self.alive) and not self.failures


def prove(service: Service, events: Iterable[Document], *, ended: str, ordered_at: Instant, at: Instant) -> DemoProof:
    """Ask a service for every token and delegation of a story, one by one.

    Args:
        service: The service under test.
        events: The story, from its files.
        ended: ``KIND:ID`` of the order's target.
        ordered_at: When the order took effect.
        at: The end of the story.
    """
    parents: dict[str, set[str]] = {}
    issued: dict[str, Instant] = {}
    for event in events:
        if event["type"] not in ("token.issued", "delegation.granted"):
            continue
        kind = event["type"].split(".")[0]
        key = f"{kind}:{event[kind]}"
        above = parents.setdefault(key, set())
        above.update(f"token:{parent['token']}" for parent in event.get("derived_from", ()))
        above.update(f"delegation:{parent}" for parent in event.get("parents", ()))
        if kind == "token" and "delegation" in event:
            above.add(f"delegation:{event['delegation']}")
        issued[key] = parse_instant(event["occurred_at"])
    below = {ended}
    while more := {key for key, above in parents.items() if above & below} - below:
        below |= more

    def ask(key: str) -> CheckedElement:
        def state(instant: Instant) -> str:
            found = service.status(*split_key(key), at=instant)
            return str(found["state"]) if found else "not found"

        born = issued.get(key, 0)
        return CheckedElement(key, state(ordered_at - 1), state(at), state(born) if born >= ordered_at else None)

    return DemoProof(
        descendants=tuple(map(ask, sorted(below))), siblings=tuple(map(ask, sorted(parents.keys() - below)))
    )


def _is_dead(state: str) -> bool:
    return state in ("revoked", "cascaded")
