"""Audiences: where elements may be used, by what they state or by what is above them."""

from collections.abc import Callable, Iterable, Mapping

from lineage.core.authority.elements import Element
from lineage.core.findings.scopes import Scopes
from lineage.core.findings.upward import Upward


def audiences(element: Element) -> frozenset[str]:
    """Everywhere that an element may be used, by all of its facts; a slash at the end makes no difference."""
    return frozenset(
        audience.rstrip("/") for fact in element.facts for audience in getattr(fact.event.body, "audience", ())
    )


class AudienceIndex:
    """Where each element may be used, worked out once."""

    def __init__(self, element: Callable[[str], Element | None], sources: Callable[[str], list[str]]) -> None:
        """Take how elements are found, and what each draws on."""
        self._element = element
        self._held = Upward[Scopes](sources, self._fold)

    def held(self, keys: Iterable[str]) -> Scopes:
        """Where some elements may be used together; None if that of one is not known."""
        return _union(self._held.of(key) for key in keys)

    def _fold(self, key: str, above: Mapping[str, Scopes]) -> Scopes:
        element = self._element(key)
        own = audiences(element) if element else frozenset()
        return own or _union(above.values())


def _union(held: Iterable[Scopes]) -> Scopes:
    found: set[str] = set()
    for audience in held:
        if audience is None:
            return None
        found |= audience
    return frozenset(found) or None
