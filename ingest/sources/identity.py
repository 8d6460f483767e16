"""The identity map: which native ids of a source belong to which people and agents, configured as rules.

A rule joins ids by an alias: facts keep the id that the source states, and a ``principal.registered`` event says that
it is the same party as the one that people know (clause 4.3). Pure: no clock, no I/O.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ingest.codec.credentials import find
from ingest.codec.limits import fault_of_id
from ingest.sources.adapters.kit import Document, Memory, Source
from lineage.core.authority.principals import declared_kind
from lineage.core.model.errors import RefusedError

KINDS: Final = ("human", "agent", "service", "workload")
# Ids of many shapes: a pattern that matches them all identifies nobody.
_ANYBODY: Final = (
    *("x", "0", "alice@example.com", "vault:entity:9f0c", "https://idp.example#5f2c-11", "system:serviceaccount:a:b"),
    *("arn:aws:iam::111122223333:user/x", "spiffe://example.org/x"),
)
# The fields in which events name principals.
_FIELDS: Final = frozenset(
    {"subject", "actor", "on_behalf_of", "delegator", "delegatee", "principal", "workload", "agent"}
    | {"ordered_by", "lifted_by", "approved_by", "owner"}
)
_LISTS: Final = frozenset({"prior_actors", "aliases"})
_PLACE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")

_MAPPED: Final = "identity"  # native id -> the id it was mapped to; empty if no rule matches
_NATIVE: Final = "identity-of"  # the reverse: mapped id -> native ids
_SEVERAL: Final = "identity-several"  # native id -> the rules that map it to different ids
_UNMAPPED: Final = "unmapped"  # native id -> how often it was seen
_RULES: Final = "identity-rules"
_MOST_UNMAPPED: Final = 1_000
_MOST_NATIVE: Final = 8


@dataclass(frozen=True, slots=True)
class IdentityRule:
    """An entry of ``[[source.identity]]``.

    Attributes:
        match: A pattern that must match the whole id.
        id: The id that people know; ``{name}`` is replaced by the named group.
        kind: The kind of the principal.
    """

    match: re.Pattern[str]
    id: str
    kind: str

    def of(self, native: str) -> str | None:
        """Map a native id to the one people know; None if it does not match."""
        found = self.match.fullmatch(native)
        if found is None:
            return None
        known = _PLACE.sub(lambda place: found[place[1]] or "", self.id)
        return None if fault_of_id(known) or find(known) else known


def rule(match: str, id_: str, kind: str, where: str) -> IdentityRule:
    """Check an entry.

    Raises:
        RefusedError: It is invalid; the message names the entry (``where``) and the remedy.
    """
    try:
        pattern = re.compile(match)
    except re.error as error:
        raise RefusedError(f"'match' of {where} is not a regular expression: {error}") from error
    if all(pattern.fullmatch(anybody) for anybody in _ANYBODY):
        raise RefusedError(
            f"'match' of {where} is {match!r}, which matches every id, so all principals would be one; "
            "make it more specific"
        )
    if kind not in KINDS:
        raise RefusedError(f"'kind' of {where} is {kind!r}; give one of {', '.join(KINDS)}")
    if unknown := set(_PLACE.findall(id_)) - set(pattern.groupindex):
        name = min(unknown)
        raise RefusedError(f"'id' of {where} has {{{name}}}, which 'match' has no group for: write (?P<{name}>...)")
    if fault := fault_of_id(id_):
        raise RefusedError(f"'id' of {where} {fault}")
    if (declared := declared_kind(id_)) not in (None, kind):
        raise RefusedError(f"'id' of {where} begins with the prefix of kind {declared}, and 'kind' is {kind}")
    return IdentityRule(pattern, id_, kind)


class Unmapped(NamedTuple):
    """An id that no rule matches, and how often it was seen."""

    id: str
    seen: int


class IdentityMap:
    """The rules of a source, and the memory of the ids they were applied to."""

    def __init__(self, rules: Iterable[IdentityRule], source: Source, memory: Memory) -> None:
        """Set the rules; if they have changed since the last run, they are applied again to every remembered id."""
        self._rules = tuple(rules)
        self._source = source
        self._memory = memory
        self._unmapped: dict[str, int] = {}
        text = "\n".join(f"{one.match.pattern}\t{one.id}\t{one.kind}" for one in self._rules)
        digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
        self._changed = memory.get(_RULES, "", digest) != digest
        if memory.get(_RULES, "") != digest:
            memory.put(_RULES, "", digest)

    def registrations(self, events: Iterable[Document]) -> list[Document]:
        """Return registrations of the principals that events name, each when it is first named."""
        found = []
        for event in events:
            for native in _named(event):
                mapped = self._memory.get(_MAPPED, native)
                if mapped is None:
                    found += self._registered(native, event["occurred_at"])
                    mapped = self._memory.get(_MAPPED, native)
                if not mapped:
                    self._unmapped[native] = self._unmapped.pop(native, 0) + 1  # last, as in the memory
                    if len(self._unmapped) > _MOST_UNMAPPED:
                        self.count()
        return found

    def count(self) -> None:
        """Add the counts of unmapped ids to the memory, where a change for every sighting would cost too much."""
        for native, seen in self._unmapped.items():
            self._memory.put(_UNMAPPED, native, self._memory.get(_UNMAPPED, native, 0) + seen, most=_MOST_UNMAPPED)
        self._unmapped.clear()

    def settled(self, at: str) -> list[Document]:
        """Return the registrations that changed rules imply for ids seen before."""
        if not self._changed:
            return []
        self._changed = False
        self.count()
        for topic in (_NATIVE, _SEVERAL):
            for key, _ in self._memory.entries(topic):
                self._memory.drop(topic, key)
        found = []
        for native, _ in self._memory.entries(_MAPPED):
            found += self._registered(native, at)
            if self._memory.get(_MAPPED, native):
                self._memory.drop(_UNMAPPED, native)
        return found

    def _registered(self, native: str, at: str) -> list[Document]:
        if declared_kind(native) is not None and not any(one.of(native) for one in self._rules):
            self._memory.put(_MAPPED, native, native)  # the log itself registers it
            return []
        matching = [(number, known, one.kind) for number, one in enumerate(self._rules, 1) if (known := one.of(native))]
        if not matching:
            self._memory.put(_MAPPED, native, "")
            return []
        if len({(known, kind) for _, known, kind in matching}) > 1:
            self._memory.put(_SEVERAL, native, [number for number, _, _ in matching])
        _, known, kind = matching[0]
        self._memory.put(_MAPPED, native, known)
        others = self._memory.get(_NATIVE, known, [])
        if native not in others and len(others) < _MOST_NATIVE:
            self._memory.put(_NATIVE, known, [*others, native])
        digest = hashlib.sha256(f"{native}\n{known}\n{kind}".encode()).hexdigest()[:20]
        return [
            self._source.event(
                "principal.registered",
                f"identity/{digest}/{at}",
                at,
                principal=known,  # what the log itself says about the native id is unchanged
                kind=kind,
                aliases=[native] if known != native else [],
            )
        ]


def unmapped(memory: Memory) -> list[Unmapped]:
    """Return the ids that no rule matches, the most frequent first."""
    found = [Unmapped(id_, count) for id_, count in memory.entries(_UNMAPPED)]
    return sorted(found, key=lambda one: (-one.seen, one.id))


def several(memory: Memory) -> Iterator[tuple[str, list[int]]]:
    """Yield the ids that several rules map differently, with the numbers of those rules; the first one counts."""
    yield from sorted(memory.entries(_SEVERAL))


def joined(memory: Memory) -> Iterator[tuple[str, list[str]]]:
    """Yield each id to which several native ids were mapped, with those native ids."""
    yield from sorted((known, natives) for known, natives in memory.entries(_NATIVE) if len(natives) > 1)


def _named(event: Document) -> set[str]:
    found: set[Any] = {event[field] for field in _FIELDS & event.keys()}
    for field in _LISTS & event.keys():
        found.update(event[field])
    return found
