"""Audiences: where elements may be used, according to themselves or their dependencies."""

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase

from lineage.core.authority.elements import Element
from lineage.core.findings.derived import Upward
from lineage.core.findings.scopes import Scopes


def audiences(element: Element) -> frozenset[str]:
    """Return every audience of an element, by all its facts; trailing slashes are ignored."""
    return frozenset(
        audience.rstrip("/") for fact in element.facts for audience in getattr(fact.event.body, "audience", ())
    )


def may_cover(held: Iterable[str], audience: str) -> bool:
    """Whether some audiences contain another, or might: a pattern that it matches, or an address above it.

    Examples:
        >>> may_cover({"https://crm"}, "https://crm/orders"), may_cover({"https://crm"}, "https://crm-pay")
        (True, False)
    """
    return any(
        audience == one or audience.startswith(f"{one}/") or ("*" in one and fnmatchcase(audience, one)) for one in held
    )


class AudienceIndex:
    """The audiences of each element, computed once."""

    def __init__(self, element: Callable[[str], Element | None], sources: Callable[[str], list[str]]) -> None:
        """Store the functions that look up elements and their sources."""
        self._element = element
        self._held = Upward[Scopes](sources, self._fold)

    def held(self, keys: Iterable[str]) -> Scopes:
        """Return the combined audiences of elements; None if one of them is unknown."""
        return _union(self._held.of(key) for key in keys)

    def forget(self, keys: Iterable[str]) -> None:
        """Discard the audiences of some elements, which include everything below each."""
        self._held.forget(keys)

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
