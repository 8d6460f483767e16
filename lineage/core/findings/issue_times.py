"""When an element was issued, if its source splits what it states."""

from lineage.core.authority.elements import Element
from lineage.core.model.times import Instant


def issued_at_least(element: Element, leeway: Instant) -> Instant:
    """Return the time before which an element was not issued.

    Usually that is its earliest issue time. But a fact whose ``issued_at`` is after its own occurrence, by more than
    the leeway, reports an issue that was still to come: then the facts that state no issue time do not make it earlier.
    """
    if len(element.facts) == 1:  # nearly every element
        return element.issued_at
    stated = [
        (issued_at, fact.event.occurred_at)
        for fact in element.facts
        if (issued_at := getattr(fact.event.body, "issued_at", None)) is not None
    ]
    if all(issued_at <= occurred_at + leeway for issued_at, occurred_at in stated):
        return element.issued_at
    earliest: Instant = min(stated)[0]
    return max(element.issued_at, earliest)
