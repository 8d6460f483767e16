"""Scopes and audiences: whether some contain another, and what a token or a delegation effectively allows.

"Contains" has three answers: yes, no, and unknown. Unknown never accuses.
"""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

from lineage.core.authority.elements import Element
from lineage.core.authority.graph import AuthorityGraph
from lineage.core.authority.principals import Principals
from lineage.core.findings.options import LOGIN_SCOPES, Options
from lineage.core.findings.scene.derived import Upward
from lineage.core.model.events import Fact

Scopes = frozenset[str] | None
"""Some scopes; None if unknown."""

_SEPARATORS: Final = (":", ".", "/")
_GRANTED: Final = frozenset({"parent", "delegation"})
_RENEWED: Final = frozenset({"refresh", "replaced"})


def contains(held: Iterable[str], scope: str, options: Options) -> bool | None:
    """Whether some scopes contain another; None if unknown.

    With exact comparison, an apparent wildcard or parent scope makes it unknown: only the resource server knows
    whether ``crm`` contains ``crm:read``.

    Examples:
        >>> contains({"crm:read"}, "crm:read", Options()), contains({"crm:read"}, "crm:write", Options())
        (True, False)
        >>> contains({"crm:*"}, "crm:read", Options()) is None
        True
        >>> contains({"crm:*"}, "crm:read", Options(scope_match="prefix"))
        True
    """
    doubtful = False
    for one in held:
        if one == scope or scope in options.implies.get(one, ()):
            return True
        if _is_wildcard_over(one, scope):
            if options.scope_match == "prefix":
                return True
            doubtful = True
        elif any(scope.startswith(one + separator) for separator in _SEPARATORS):
            doubtful = True
    return None if doubtful else False


def lacking(held: Scopes, required: Iterable[str], options: Options) -> tuple[str, ...]:
    """Return the wanted scopes that are certainly not contained, sorted."""
    if held is None:
        return ()
    return tuple(sorted({scope for scope in required if contains(held, scope, options) is False}))


def matches(patterns: Iterable[str], word: str) -> bool:
    """Whether a scope or an operation matches a pattern, in which ``*`` stands for any characters."""
    return any(fnmatchcase(word, pattern) for pattern in patterns)


def is_wildcard(scope: str) -> bool:
    """Whether a scope stands for many."""
    return "*" in scope


def _is_wildcard_over(wild: str, scope: str) -> bool:
    return is_wildcard(wild) and fnmatchcase(scope, wild)


def first_stated(facts: Iterable[Fact]) -> Scopes:
    """Return the scopes of the first fact that states any; ``no_scopes`` states that there are none."""
    for fact in facts:
        body = fact.event.body
        if getattr(body, "no_scopes", None):
            return frozenset()
        if scopes := getattr(body, "scopes", ()):
            return _as_set(scopes)
    return None


# Very many grants and tokens state the same scopes and audiences, so they share one set.
_as_set: Final = lru_cache(maxsize=4_096)(frozenset[str])


@lru_cache(maxsize=4_096)
def alone(scope: str) -> frozenset[str]:
    """Return the set of one scope, which very many actions share."""
    return frozenset((scope,))


@lru_cache(maxsize=4_096)
def _permitting(scopes: tuple[str, ...]) -> frozenset[str]:
    return frozenset(scopes) - LOGIN_SCOPES


@lru_cache(maxsize=4_096)
def _without_slashes(audience: tuple[str, ...]) -> frozenset[str]:
    return frozenset(one.rstrip("/") for one in audience)


def claimed(element: Element) -> frozenset[str]:
    """Return every scope that any fact claims for an element, except those that only identify someone."""
    if len(element.facts) == 1:  # nearly every element
        return _permitting(getattr(element.facts[0].event.body, "scopes", ()))
    return frozenset(scope for fact in element.facts for scope in getattr(fact.event.body, "scopes", ())) - LOGIN_SCOPES


class ScopeIndex:
    """The scopes that elements hold and those that they effectively allow, computed once."""

    def __init__(self, graph: AuthorityGraph, principals: Principals, options: Options) -> None:
        """Store the graph, the kinds of principals, and how scopes are compared."""
        self._graph = graph
        self._principals = principals
        self._options = options
        self._held = Upward[Scopes](self.sources, self._fold_held)
        self._effective = Upward[Scopes](self.sources, self._fold_effective)

    def held(self, key: str) -> Scopes:
        """Return the scopes that an element states, else those that its sources hold."""
        return self._held.of(key)

    def effective(self, key: str) -> Scopes:
        """Return the scopes that an element effectively allows: its own, restricted by everything above it."""
        return self._effective.of(key)

    def forget(self, keys: AbstractSet[str]) -> None:
        """Discard the scopes of some elements, which include everything below each."""
        self._held.forget(keys)
        self._effective.forget(keys)

    def trim(self, most: int) -> None:
        """Keep the scopes of at most ``most`` elements; others are computed again when needed."""
        self._held.trim(most)
        self._effective.trim(most)

    def sources(self, key: str) -> list[str]:
        """Return the granted elements that an element draws its scopes from.

        A delegation: its parents. A token: its delegations, else the tokens it renews; never the tokens it was
        exchanged with, because an exchange exists to change what a token is for.
        """
        element = self._graph.element(key)
        if element is None:
            return []
        delegations: list[str] = []
        renewed: list[str] = []
        for parent, roles in element.parents.items():
            if not _GRANTED.isdisjoint(roles):
                found = delegations
            elif not _RENEWED.isdisjoint(roles):
                found = renewed
            else:
                continue
            if parent != key and self._graph.granted(parent):
                found.append(parent)
        return delegations or renewed

    def union(self, keys: Iterable[str]) -> Scopes:
        """Return the combined scopes of elements, because a delegation may draw on any of its parents."""
        return self._union({key: self.held(key) for key in keys})

    def _fold_held(self, key: str, above: Mapping[str, Scopes]) -> Scopes:
        element = self._graph.element(key)
        own = first_stated(element.facts) if element else None
        return own if own is not None else self._union(above)

    def _fold_effective(self, key: str, above: Mapping[str, Scopes]) -> Scopes:
        element = self._graph.element(key)
        own = first_stated(element.facts) if element else None
        allowed = self._union(above)
        if own is None or allowed is None:
            return allowed if own is None else own
        kept = {scope for scope in own if contains(allowed, scope, self._options) is not False}
        return frozenset(kept | {scope for scope in allowed if contains(own, scope, self._options)})

    def _union(self, above: Mapping[str, Scopes]) -> Scopes:
        """Combine scopes; None if any is unknown, except for an agent's self-made roots, which vouch for nothing."""
        if not above:
            return None
        found: set[str] = set()
        is_stated = False
        for key, scopes in above.items():
            if scopes is not None:
                found |= scopes
                is_stated = True
            elif not self._is_self_made(key):
                return None
        return frozenset(found) if is_stated else None

    def _is_self_made(self, key: str) -> bool:
        element = self._graph.element(key)
        if element is None or not key.startswith("delegation:") or self.sources(key):
            return False
        return self._principals.kind(element.first("delegator")) == "agent"


def audiences(element: Element) -> frozenset[str]:
    """Return every audience of an element, by all its facts; trailing slashes are ignored."""
    if len(element.facts) == 1:  # nearly every element
        return _without_slashes(getattr(element.facts[0].event.body, "audience", ()))
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
        return _union_of_audiences(self._held.of(key) for key in keys)

    def forget(self, keys: AbstractSet[str]) -> None:
        """Discard the audiences of some elements, which include everything below each."""
        self._held.forget(keys)

    def trim(self, most: int) -> None:
        """Keep the audiences of at most ``most`` elements; others are computed again when needed."""
        self._held.trim(most)

    def _fold(self, key: str, above: Mapping[str, Scopes]) -> Scopes:
        element = self._element(key)
        own = audiences(element) if element else frozenset()
        return own or _union_of_audiences(above.values())


def _union_of_audiences(held: Iterable[Scopes]) -> Scopes:
    found: set[str] = set()
    for audience in held:
        if audience is None:
            return None
        found |= audience
    return frozenset(found) or None
