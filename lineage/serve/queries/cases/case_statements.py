"""Statements of the export of a case about each item, and the events that each statement rests on.

There are six kinds of statements (docs/cases.md). Each names the keys whose events it rests on, so that the export can
cite them, and is written such that a reader who has only these events can check it.
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from lineage.core.authority.elements import first_stated
from lineage.core.cases.action_ranges import range_of_id
from lineage.core.cases.case import RANGE
from lineage.core.model.events import CaseItem, DelegationGranted, Fact, TokenIssued, digest, document
from lineage.core.model.keys import ELEMENT_KINDS, key_of, split_key
from lineage.core.model.references import dependencies_of
from lineage.core.model.times import Instant, format_instant
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.activity.actions import actions
from lineage.serve.queries.findings.one_finding import briefs_of
from lineage.serve.queries.lists.list_pages import OVER_HTTP
from lineage.serve.queries.service import Service
from lineage.store.reading.reader import Reader

MOST_ACTIONS: Final = 200  # actions of a range that are listed
_ACTION_FIELDS: Final = (
    *("operation", "outcome", "tool", "token", "delegation", "decision", "actor", "on_behalf_of", "workload"),
)
_FIELDS: Final = {
    "action": _ACTION_FIELDS,
    "decision": ("permitted", "operation", "token", "delegation", "actor", "on_behalf_of"),
    "revocation": ("target", "reason", "mode", "ordered_by", "approved_by"),
}


class Statement(NamedTuple):
    """A statement, and the facts that it rests on."""

    content: Document
    facts: tuple[Fact, ...]


class Basis:
    """Facts by what they are about, each read once."""

    def __init__(self, reader: Reader) -> None:
        """Read from one snapshot of the store."""
        self._reader = reader
        self._known: dict[str, tuple[Fact, ...]] = {}

    def about(self, key: str) -> tuple[Fact, ...]:
        """The facts about a key."""
        if key not in self._known:
            self._known[key] = tuple(self._reader.known_about([key]))
        return self._known[key]


def statements_of(
    service: Service, basis: Basis, item: CaseItem, *, at: Instant, known_at: Instant | None
) -> Iterator[Statement]:
    """Yield what is stated about an item."""
    kind, id_ = item
    key = key_of(kind, id_)
    if kind in _FIELDS:
        yield from _stated(basis, key, _FIELDS[kind])
    if kind == "action":
        answer = service.who(id_, at=at, known_at=known_at)
        if answer is not None:
            yield from _chain(basis, key, answer)
            if (element := answer["authority"]["element"]) is not None:
                yield from _state(basis, element, answer["authority"]["now"], at)
    elif kind in ELEMENT_KINDS:
        answer = service.chain(kind, id_, at=at, known_at=known_at)
        if answer is not None:
            yield from _chain(basis, key, answer)
            yield from _state(basis, key, answer, at)
    elif kind in ("principal", "session", "client"):
        answer = service.status(kind, id_, at=at, known_at=known_at)
        if answer is not None:
            yield from _state(basis, key, answer, at)
    elif kind == RANGE:
        yield from _matches(service, basis, item, at, known_at)


def finding_statements(
    service: Service, ids: Iterable[str], *, at: Instant, known_at: Instant | None
) -> dict[str, Statement]:
    """Return what is stated about findings, by id; those that do not exist now are omitted."""
    finding_ids = list(ids)
    found = briefs_of(service, finding_ids, at=at, known_at=known_at) if finding_ids else {}
    statements = {}
    for id_, one in found.items():
        digests = {fact["digest"] for fact in one["facts"]}
        known = service.store.facts_cited([(fact["source"], fact["event_id"]) for fact in one["facts"]])
        cited = [fact for fact in known if digest(fact.event) in digests]
        content = {
            "says": "found",
            "of": f"finding:{id_}",
            "rule": one["kind"],
            "subject": one["of"],
            "about": one["about"],
            "severity": one["severity"],
            "why": one["why"],
        }
        statements[id_] = Statement(content, tuple(cited))
    return statements


def _stated(basis: Basis, key: str, fields: Iterable[str]) -> Iterator[Statement]:
    """Yield the fields that facts about a thing state, each with the fact that states it."""
    for name in fields:
        if (found := first_stated(basis.about(key), name)) is not None:
            value = document(found.fact.event).get(name)
            if value is not None:
                yield Statement({"says": "stated", "of": key, "field": name, "value": value}, (found.fact,))


def _chain(basis: Basis, key: str, answer: Document) -> Iterator[Statement]:
    """Yield who stood behind a thing, root first, and which element depends on which."""
    for place, hop in enumerate(answer["chain"]):
        named_by = key
        for kind in ("token", "delegation"):
            if hop[kind] is not None:
                named_by = f"{kind}:{hop[kind]}"
        actors = _actor_tokens(basis, named_by)
        by, facts = _naming(basis, (named_by, key, *actors), hop["principal"])
        yield Statement({"says": "named", "of": key, "place": place, "principal": hop["principal"], "by": by}, facts)
        if by is not None and by in actors:
            yield Statement({"says": "depends", "of": named_by, "on": by}, _depending(basis, named_by, by))
    for kind, ids in (("token", answer["tokens"]), ("delegation", answer["delegations"])):
        path = [f"{kind}:{id_}" for id_ in ids]
        for parent, child in itertools.pairwise(path):
            if facts := _depending(basis, child, parent):
                yield Statement({"says": "depends", "of": child, "on": parent}, facts)


def _actor_tokens(basis: Basis, key: str) -> list[str]:
    """Return the tokens that identify who uses an element that names no actor itself."""
    return [
        f"token:{one.token}"
        for fact in basis.about(key)
        if isinstance(fact.event.body, TokenIssued)
        for one in fact.event.body.derived_from
        if one.role == "actor"
    ]


def _naming(basis: Basis, keys: Iterable[str], principal: str) -> tuple[str | None, tuple[Fact, ...]]:
    """Return the first key whose facts name a principal, with these facts; None if there is none among them."""
    for key in dict.fromkeys(keys):
        if facts := tuple(fact for fact in basis.about(key) if names_principal(fact, principal)):
            return key, facts
    return None, ()


def names_principal(fact: Fact, principal: str) -> bool:
    """Whether an event names a principal as a party, in one of the fields that docs/cases.md lists."""
    event: dict[str, Any] = document(fact.event)
    single = ("subject", "actor", "delegator", "delegatee", "on_behalf_of", "workload")
    return principal in event.get("prior_actors", ()) or any(event.get(name) == principal for name in single)


def _depending(basis: Basis, child: str, parent: str) -> tuple[Fact, ...]:
    """Return the facts about an element that state that it depends on another one, or names it."""
    kind, id_ = split_key(parent)
    found = []
    for fact in basis.about(child):
        body = fact.event.body
        if not isinstance(body, TokenIssued | DelegationGranted):
            continue
        on = {key for key, _ in dependencies_of(body)}
        named = getattr(body, kind, None) == id_ if kind in ("session", "client") else names_principal(fact, id_)
        if parent in on or (kind not in ELEMENT_KINDS and named):
            found.append(fact)
    return tuple(found)


def _state(basis: Basis, key: str, verdict: Document, at: Instant) -> Iterator[Statement]:
    """Yield the state of a thing, and where an order causes it, the order and the path from its target."""
    because = verdict["because"]
    content: Document = {"says": "state", "of": key, "state": verdict["state"], "at": format_instant(at)}
    if because is None:
        if known := basis.about(key):
            yield Statement(content, known)
        return
    path = because["path"]
    facts = [*basis.about(f"revocation:{because['revocation']}"), *basis.about(key)]
    for parent, child in itertools.pairwise(path):
        facts += _depending(basis, child, parent)
    if path and path[0].startswith("principal:"):
        facts += basis.about(path[0])
    yield Statement({**content, "revocation": because["revocation"], "path": path}, tuple(dict.fromkeys(facts)))


def _matches(
    service: Service, basis: Basis, item: CaseItem, at: Instant, known_at: Instant | None
) -> Iterator[Statement]:
    """Yield the actions that a range matches, the latest first."""
    filter_ = range_of_id(item.id)
    found = actions(service, filter_, at=at, known_at=known_at, limit=MOST_ACTIONS, budget=OVER_HTTP)
    if found is not None:
        ids = [one["action"] for one in found["items"]]
        content = {"says": "matches", "of": item.key, "actions": ids, "complete": found["complete"]}
        yield Statement(content, tuple(fact for id_ in ids for fact in basis.about(f"action:{id_}")))
