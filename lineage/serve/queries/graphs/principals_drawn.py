"""Select what to draw of who delegated what to whom: principals, findings, and what a revocation would end."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from lineage.core.authority.handovers import HandoverCounts, Party, PrincipalGraph, Tie, party_id
from lineage.core.authority.verdict import State
from lineage.core.authority.world import World
from lineage.core.model.errors import RefusedError
from lineage.core.model.finding import SEVERITIES, Severity
from lineage.core.model.keys import ELEMENT_KINDS, NAME_KINDS, split_key
from lineage.serve.documents.core_documents import Document, summary_of
from lineage.serve.drawing.layout import layout
from lineage.serve.queries.graphs.graph_view import MOST

NAMED: Final = 20  # elements that an edge lists, and actions that a use lists
PRINCIPAL_KINDS: Final = ("human", "agent", "service", "workload", "unknown")
STATES: Final = tuple(str(state) for state in State if state is not State.UNKNOWN)
_THEFT: Final = ("wielder-mismatch", "actor")  # the rule, and what its finding is about: another party acted


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The part of the graph that is drawn.

    Attributes:
        of: ``KIND:ID`` of a thing around which it is drawn; None for everything.
        kinds: Only relations with a principal of one of these kinds at an end; empty for any.
        states: Only elements in one of these states; empty for any.
        tool: Only elements with which this tool was used, and their dependencies.
        target: The target of a revocation to preview, or None.
        most: The most principals.
    """

    of: tuple[str, str] | None = None
    kinds: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    tool: str | None = None
    target: tuple[str, str] | None = None
    most: int = MOST

    def check(self) -> None:
        """Refuse invalid values.

        Raises:
            RefusedError: There is no such kind or state; the message lists them.
        """
        known = ELEMENT_KINDS | NAME_KINDS
        for name, values, there in (
            ("kind of principal", self.kinds, PRINCIPAL_KINDS),
            ("state", self.states, STATES),
            ("kind to draw a graph around", () if self.of is None else self.of[:1], sorted(known)),
            ("kind of target", () if self.target is None else self.target[:1], sorted(known)),
        ):
            if unknown := [one for one in values if one not in there]:
                raise RefusedError(f"there is no {name} {unknown[0][:64]!a}; there are {', '.join(there)}")


class Drawn:
    """The graph with findings and the effect of a revocation, as documents."""

    def __init__(
        self,
        graph: PrincipalGraph,
        world: World,
        findings: list[Document],
        ended: set[str] | None,
        focus: set[str],
    ) -> None:
        self._graph = graph
        self._world = world
        self._ended = ended
        self._focus = focus
        self._of_party: defaultdict[str, list[Document]] = defaultdict(list)
        self._of_tie: defaultdict[tuple[str, str], list[Document]] = defaultdict(list)
        self._uses: dict[tuple[str, str, str], list[tuple[str, Document]]] = {}
        for finding in findings:
            self._place(finding)

    def _place(self, document: Document) -> None:
        """Attach a finding to a party, to a delegation, or to the use by another party."""
        kind, id_ = split_key(document["of"])
        principals = self._world.principals
        if kind == "principal":
            self._of_party[party_id(principals, id_)].append(document)
            return
        key = self._world.authority(id_) if kind == "action" else document["of"]
        handover = None if key is None else self._graph.handovers.get(key)
        if handover is None or key is None:
            return
        actor = self._world.action_field(id_, "actor") if kind == "action" else None
        is_severe = document["severity"] != Severity.INFORMATIONAL.word
        is_theft = is_severe and (document["kind"], document["about"]) == _THEFT
        if is_theft and actor is not None:
            other = party_id(principals, actor.value)
            self._uses.setdefault((handover.holder, other, key), []).append((id_, document))
        elif handover.giver is None:
            self._of_party[handover.holder].append(document)
        else:
            self._of_tie[handover.giver, handover.holder].append(document)

    # Selection

    def _ties(self, shown: Shown) -> list[Tie]:
        kinds = set(shown.kinds)
        parties = self._graph.parties
        return [
            tie
            for tie in self._graph.ties.values()
            if not kinds or parties[tie.giver].kind in kinds or parties[tie.holder].kind in kinds
        ]

    def _parties(self, shown: Shown) -> set[str]:
        kinds = set(shown.kinds)
        alone = {id_ for id_, party in self._graph.parties.items() if not kinds or party.kind in kinds}
        tied = {one for tie in self._ties(shown) for one in (tie.giver, tie.holder)}
        used = {other for holder, other, _ in self._uses if holder in alone | tied}
        return alone | tied | used | self._focus

    def count_parties(self, shown: Shown) -> int:
        """Count the parties to show."""
        return len(self._parties(shown))

    def count_ties(self, shown: Shown) -> int:
        """Count the edges to show."""
        return len(self._ties(shown))

    def visible(self, shown: Shown) -> tuple[set[str], list[Document], list[Document]]:
        """Return the parties to show with those above them, the worst and most alive first, and the edges between."""
        ties, left = self._ties(shown), self._parties(shown)
        givers: defaultdict[str, list[str]] = defaultdict(list)
        alive: Counter[str] = Counter()
        for tie in ties:
            givers[tie.holder].append(tie.giver)
            alive.update(dict.fromkeys((tie.giver, tie.holder), tie.tokens.alive + tie.delegations.alive))
        nodes: set[str] = set()
        for party in sorted(left, key=lambda one: (one not in self._focus, -self._worst(one), -alive[one], one)):
            path = [party]
            while (above := min((one for one in givers[path[-1]] if one not in path), default=None)) is not None:
                path.append(above)
            new = [one for one in path if one not in nodes]
            if len(nodes) + len(new) <= shown.most:
                nodes.update(new)
        edges = [self._edge(tie) for tie in ties if {tie.giver, tie.holder} <= nodes]
        uses = [self._use(*pair) for pair in sorted(self._uses) if {pair[0], pair[1]} <= nodes]
        return nodes, edges, uses

    def _worst(self, party: str) -> int:
        documents = list(self._of_party[party])
        documents += [one for pair, found in self._of_tie.items() if party in pair for one in found]
        documents += [one for use, found in self._uses.items() if party in use[:2] for _, one in found]
        return max((SEVERITIES[one["severity"]] for one in documents), default=0)

    # Documents

    def nodes(self, shown: Collection[str], edges: list[Document], uses: list[Document]) -> list[Document]:
        """Convert the parties, with their positions."""
        lines = [(one["from"], one["to"]) for one in (*edges, *uses)]
        stand = layout(shown, lines).places
        ordered = sorted(shown, key=lambda one: (stand[one].layer, stand[one].row))
        return [{**self._node(self._party(id_)), **stand[id_]._asdict()} for id_ in ordered]

    def _party(self, id_: str) -> Party:
        """Return a party; one that only used what another holds has nothing."""
        known = self._graph.parties.get(id_)
        if known is not None:
            return known
        principals = self._world.principals
        ids = tuple(sorted(principals.party(id_)))
        name = principals.display_name(id_)
        return Party(
            id=id_,
            ids=ids,
            kind=principals.kind(id_),
            display_name=name,
            tokens=HandoverCounts(),
            delegations=HandoverCounts(),
        )

    def _node(self, party: Party) -> Document:
        handovers = [key for key, one in self._graph.handovers.items() if one.holder == party.id] if self._ended else []
        return {
            "id": party.id,
            "kind": party.kind,
            "display_name": party.display_name,
            "ids": list(party.ids),
            "focus": party.id in self._focus,
            "tokens": party.tokens._asdict(),
            "delegations": party.delegations._asdict(),
            "findings": summary_of(self._of_party.get(party.id, ())),
            "would_end": self._would_end(handovers),
        }

    def _edge(self, tie: Tie) -> Document:
        return {
            "from": tie.giver,
            "to": tie.holder,
            "tokens": tie.tokens._asdict(),
            "delegations": tie.delegations._asdict(),
            "scopes": list(tie.scopes),
            "unverified": tie.unverified,
            "elements": list(tie.elements[:NAMED]),
            "findings": summary_of(self._of_tie.get((tie.giver, tie.holder), ())),
            "would_end": self._would_end(tie.elements),
        }

    def _use(self, holder: str, other: str, key: str) -> Document:
        found = self._uses[holder, other, key]
        return {
            "from": holder,
            "to": other,
            "element": key,
            "actions": sorted({action for action, _ in found})[:NAMED],
            "findings": summary_of([document for _, document in found]),
            "why": found[0][1]["why"],
        }

    def _would_end(self, keys: Iterable[str]) -> int | None:
        """Count the elements that the previewed revocation would end; None without one."""
        return None if self._ended is None else sum(key in self._ended for key in keys)

    def target(self, shown: Shown) -> Document | None:
        """Describe what the previewed revocation would end, and how much of that was not read."""
        if shown.target is None or self._ended is None:
            return None
        count = Counter(split_key(key)[0] for key in self._ended)
        return {
            "kind": shown.target[0],
            "id": shown.target[1],
            "would_end": {"tokens": count["token"], "delegations": count["delegation"]},
            "elsewhere": len(self._ended.difference(self._graph.handovers)),
        }
