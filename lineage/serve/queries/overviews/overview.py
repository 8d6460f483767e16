"""The overview: who acted, who stood behind it, what evidence is missing, and what is wrong."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from lineage.core.authority.chain import Chain, action_gaps, chain_of, chain_of_action
from lineage.core.authority.rule import Gap, gaps
from lineage.core.authority.world import World
from lineage.core.findings.options import Options
from lineage.core.model.events import Event
from lineage.core.model.finding import SEVERITIES
from lineage.core.model.keys import split_key
from lineage.core.model.references import mentions, subject_of
from lineage.core.model.times import Instant
from lineage.serve.documents.core_documents import Document, finding_document
from lineage.serve.queries.findings.findings import Survey, survey
from lineage.serve.queries.service import Service

_SHOWN: Final = 10  # items listed of people, agents, gaps and findings


class _Behind(NamedTuple):
    """The chain behind an action and behind all actions that name the same authority."""

    chain: Chain
    missing: tuple[Gap, ...]


def overview(service: Service, *, at: Instant, options: Options | None = None) -> Document:
    """Build the overview.

    Cost:
        As for all findings; every fact is read into memory.
    """
    found = survey(service, at, options=options)
    world = found.world
    parties = _PartyCounter(world)
    roots: Counter[str] = Counter()
    missing: Counter[Gap] = Counter()
    longest: tuple[Chain, str] | None = None
    chains: set[tuple[str, ...]] = set()
    for key, chain, gaps_of in _behind(world):
        if key.startswith("action:"):
            roots["nobody" if chain.root is None else parties.kind(chain.root)] += 1
            parties.acted(split_key(key)[1])
        missing.update(gaps_of)
        hops = tuple(parties.one(hop.principal) for hop in chain.hops)
        if len(hops) > 1:
            chains.add(hops)
        if longest is None or _rank(parties, chain) > _rank(parties, longest[0]):
            longest = chain, key
    elements = Counter(split_key(key)[0] for key in world.graph.facts if world.graph.granted(key))
    return {
        "counts": {
            "people": len(parties.of("human")),
            "agents": len(parties.of("agent")),
            "services": len(parties.of("service", "workload")),
            "unknown": len(parties.of("unknown")),
            "tokens": elements["token"],
            "delegations": elements["delegation"],
            "actions": len(world.actions),
            "decisions": len(world.decisions),
            "revocations": len(world.orders.by_id),
            "chains": len(chains),
        },
        "roots": dict(sorted(roots.items())),
        "people": parties.listed("human"),
        "agents": parties.listed("agent"),
        "services": parties.listed("service", "workload"),
        "unknown": parties.listed("unknown"),
        "longest": None if longest is None else _longest(parties, *longest),
        "gaps": {
            "total": len(missing),
            "items": [
                {"kind": gap.kind, "id": gap.id, "why": gap.why, "cause": gap.cause.value, "behind": count}
                for gap, count in sorted(missing.items(), key=_most_behind)[:_SHOWN]
            ],
        },
        "findings": _findings(found),
        "as_of": service.as_of(),
    }


class _PartyCounter:
    """The principals that facts name, counting each party once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._actions: Counter[str] = Counter()
        named = {id_ for fact in world.facts() for kind, id_ in _named(fact.event) if kind == "principal"}
        self._kinds = {party: world.principals.kind(party) for party in {self.one(id_) for id_ in named}}

    def one(self, id_: str) -> str:
        """Return the id that represents a party: the one people know it by."""
        known = self._world.principals.known_as(id_)
        return known if known != id_ else min(self._world.principals.party(id_))

    def kind(self, id_: str) -> str:
        return self._kinds.get(self.one(id_), "unknown")

    def acted(self, action: str) -> None:
        self._actions.update({self.one(id_) for id_ in self._world.acted(action)})

    def of(self, *kinds: str) -> list[str]:
        return [party for party, kind in self._kinds.items() if kind in kinds]

    def name(self, id_: str) -> str | None:
        return self._world.principals.display_name(id_)

    def listed(self, *kinds: str) -> list[Document]:
        """List the parties of some kinds, the most active first."""
        most = sorted(self.of(*kinds), key=lambda party: (-self._actions[party], party))[:_SHOWN]
        return [{"id": party, "display_name": self.name(party), "actions": self._actions[party]} for party in most]


def _named(event: Event) -> Iterator[tuple[str, str]]:
    yield subject_of(event)
    for _, kind, id_ in mentions(event):
        yield kind, id_


def _behind(world: World) -> Iterator[tuple[str, Chain, Iterable[Gap]]]:
    """Yield the chain behind every action, then behind every element, without counting their gaps again."""
    seen: dict[tuple[object, ...], _Behind] = {}
    for action in world.actions:
        hops = tuple(world.action_field(action, field) for field in ("actor", "on_behalf_of", "prior_actors"))
        key = (*world.authorities_named(action), *(None if one is None else one.value for one in hops))
        if key not in seen:
            chain = chain_of_action(world, action)
            named = action_gaps(world, action, chain)
            seen[key] = _Behind(chain, tuple(named))
        yield f"action:{action}", seen[key].chain, seen[key].missing
    for element in world.graph.facts:
        if world.graph.granted(element):
            yield element, chain_of(world, element), gaps(world, [element])


def _most_behind(item: tuple[Gap, int]) -> tuple[int, str, str, str]:
    gap, count = item
    return (-count, gap.kind, gap.id, gap.why)


def _rank(parties: _PartyCounter, chain: Chain) -> tuple[bool, int, int]:
    """Rank chains: those rooted in a person first, then by the number of parties, then of tokens."""
    root = chain.root
    return root is not None and parties.kind(root) == "human", len(chain.hops), len(chain.tokens)


def _longest(parties: _PartyCounter, chain: Chain, key: str) -> Document:
    return {
        "of": key,
        "hops": [
            {"id": parties.one(one), "kind": parties.kind(one), "display_name": parties.name(one)}
            for one in (hop.principal for hop in chain.hops)
        ],
        "tokens": len(chain.tokens),
        "delegations": len(chain.delegations),
    }


def _findings(found: Survey) -> Document:
    rows = found.ordered()
    by_severity = Counter(severity.word for _, severity, _ in rows)
    by_kind = Counter(one.kind for one, _, _ in rows)
    return {
        "total": len(rows),
        "by_severity": {word: by_severity[word] for word in SEVERITIES if by_severity[word]},
        "by_kind": dict(by_kind.most_common()),
        "items": [finding_document(one, found.options, status) for one, _, status in rows[:_SHOWN]],
    }
