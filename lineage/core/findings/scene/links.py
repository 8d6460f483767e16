"""The link of an element with what it draws on: whether there is anything about its chain to examine.

A chain grows by one link at a time, and nearly every link is plain: one parent, of the same subject, issued before, and
nothing that could contradict what the chain above it says. So the chain of such an element need not be built.
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from lineage.core.authority.chain import PATH_ROLES, chain_of
from lineage.core.authority.elements import Element
from lineage.core.authority.world import World
from lineage.core.findings.scene.derived import Upward

Granted = tuple[tuple[str, frozenset[str]], ...]
"""The granted dependencies of an element, except itself, with their roles."""


class ChainLink(NamedTuple):
    """An element and everything above it.

    Attributes:
        is_ordered: Whether each was issued after everything that it draws on, so that there is no cycle.
        agrees: Whether its chain tells one story: false if that is unknown.
        has_one_parent: Whether its path has no branch at the element.
        keeps_the_subject: Whether it has the subject of its parent.
    """

    is_ordered: bool
    agrees: bool
    has_one_parent: bool
    keeps_the_subject: bool

    @property
    def is_plain(self) -> bool:
        """Whether no rule about chains finds anything about the element itself."""
        return all(self)


class ChainLinks:
    """The link of each element, computed once."""

    def __init__(self, world: World, granted_above: Callable[[str], Granted]) -> None:
        """Store the facts, and how to find the granted dependencies of an element."""
        self._world = world
        self._granted_above = granted_above
        self._known = Upward[ChainLink](lambda key: [parent for parent, _ in granted_above(key)], self._fold)

    def of(self, key: str) -> ChainLink:
        """Return the link of a granted element."""
        return self._known.of(key)

    def forget(self, keys: AbstractSet[str]) -> None:
        """Discard the links of some elements, which include everything below each."""
        self._known.forget(keys)

    def trim(self, most: int) -> None:
        """Keep at most ``most`` links; others are determined again when needed."""
        self._known.trim(most)

    def _fold(self, key: str, above: Mapping[str, ChainLink]) -> ChainLink:
        graph = self._world.graph
        element = graph.element(key)
        if element is None:
            return ChainLink(is_ordered=False, agrees=False, has_one_parent=False, keeps_the_subject=False)
        path: list[str] = []
        subject = element.first("subject")
        is_ordered, keeps_the_subject = key not in element.parents, True
        for parent, roles in self._granted_above(key):
            one, link = graph.element(parent), above.get(parent)
            if one is None or link is None or not link.is_ordered or one.issued_at >= element.issued_at:
                is_ordered = False
            if not PATH_ROLES.isdisjoint(roles):
                path.append(parent)
                keeps_the_subject &= one is None or one.first("subject") == subject
        return ChainLink(is_ordered, self._agrees(element, path, above), len(path) <= 1, keeps_the_subject)

    def _begins_alike(self, path: list[str], delegations: list[str]) -> bool:
        """Whether a token is drawn from one of a party that has delegated by itself: the usual beginning."""
        graph = self._world.graph
        if len(path) != 1 or len(delegations) != 1 or self._granted_above(path[0]):
            return False
        login, delegation = graph.element(path[0]), graph.element(delegations[0])
        if login is None or delegation is None or self._granted_above(delegations[0]):
            return False
        adds_nobody = login.first("actor") is None and login.first("prior_actors") is None
        return adds_nobody and self._world.principals.same(login.first("subject"), delegation.first("delegator"))

    def _agrees(self, element: Element, path: list[str], above: Mapping[str, ChainLink]) -> bool:
        """Whether the tokens and the delegations of a chain tell the same.

        A token that names no granted delegation adds the same party, its user, to the end of what the tokens say and
        of what the delegations and tokens together say: if these agree above it, they still do.
        """
        world = self._world
        granted = [key for key, roles in self._granted_above(element.key) if "delegation" in roles]
        if len(path) > 1 or any(parent not in above for parent in path):
            return not chain_of(world, element.key).mismatch
        if granted:
            return self._begins_alike(path, granted) or not chain_of(world, element.key).mismatch
        if not path:
            return True
        if not above[path[0]].agrees:
            return False
        if element.key.startswith("token:"):
            return True
        parent = world.graph.element(path[0])
        return parent is not None and world.principals.same(parent.first("delegatee"), element.first("delegator"))
