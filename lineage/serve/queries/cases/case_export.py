"""The export of a case: every change, every item, and for each statement the events that it rests on.

Another person checks it with its documentation alone (docs/cases.md).
"""

import hashlib
import shlex
from collections.abc import Iterable
from typing import Final

from lineage.core.cases.case import Case, Contained
from lineage.core.model.errors import TooManyError
from lineage.core.model.events import Fact, canonical_json, digest, document
from lineage.core.model.records import Position, position_of
from lineage.core.model.times import Instant, format_instant
from lineage.deliver.http.signing_keys import SigningKeys
from lineage.serve.documents.core_documents import Document, instant
from lineage.serve.queries.cases.case_items import present_states
from lineage.serve.queries.cases.case_statements import Basis, Statement, finding_statements, statements_of
from lineage.serve.queries.cases.cases import change_document, known_case
from lineage.serve.queries.evidence.exported_evidence import proofs_of
from lineage.serve.queries.service import Service
from lineage.store.reading.reader import Reader

FORMAT: Final = "delegraph-case-1"
TYPE: Final = "delegraph-case+jws"


def export_case(
    service: Service,
    id_: str,
    *,
    at: Instant,
    known_at: Instant | None = None,
    keys: SigningKeys | None = None,
    most: int | None = None,
    origin: str | None = None,
) -> Document | None:
    """Export a case; None if no fact names it.

    Args:
        service: The service to query.
        id_: The case.
        at: The instant of the states.
        known_at: Only facts recorded by then; None for all.
        keys: Keys to sign the export with; None for no signature.
        most: The most items; None for any number.
        origin: The configured origin of the trees over the log.

    Returns:
        ``export``, the ``sha256`` of its canonical JSON, ``jws`` and ``jwk`` if it is signed, and the ``evidence`` for
        its events if the log is under checkpoints.

    Raises:
        TooManyError: The case contains more items than ``most``.

    Cost:
        A few questions for each item.
    """
    as_of = service.as_of()
    case = known_case(service, id_, known_at=known_at)
    if case is None:
        return None
    if most is not None and len(case.items) > most:
        raise TooManyError(
            f"the case {id_} contains {len(case.items):,} items, more than the {most:,} that are exported here; "
            f"the command line takes its time: delegraph case export '{id_}' --format json --out case.json"
        )
    with service.reader(known_at=known_at) as reader:
        items, cited = _items(service, reader, case, at, known_at)
        events = _events(reader, [*(change.fact for change in case.changes), *cited])
    export = {
        "format": FORMAT,
        "case": case.id,
        "title": case.title,
        "status": case.status,
        "assignee": case.assignee,
        "version": case.version,
        "at": format_instant(at),
        "known_at": instant(known_at),
        "recorded_at": as_of["recorded_at"],
        "source": service.source,
        "changes": [_change(change_document(change)) for change in case.changes],
        "items": items,
        "events": events,
    }
    raw = canonical_json(export)
    signed = {} if keys is None else {"jws": keys.sign_detached(raw, TYPE), "jwk": keys.jwks()["keys"][0]}
    bundle = f"delegraph evidence case {shlex.quote(id_)} --out FILE"
    positions = {one["digest"]: None if one["position"] is None else Position(**one["position"]) for one in events}
    return {
        "export": export,
        "sha256": hashlib.sha256(raw).hexdigest(),
        "jws": None,
        "jwk": None,
        **signed,
        "evidence": proofs_of(service, origin, positions, bundle),
    }


def cited_facts(service: Service, export: Document) -> list[Fact]:
    """Return the facts whose events an export cites."""
    digests = {one["digest"] for one in export["events"]}
    identities = {(one["event"]["source"], one["event"]["event_id"]) for one in export["events"]}
    return [fact for fact in service.store.facts_cited(identities) if digest(fact.event) in digests]


def _items(
    service: Service, reader: Reader, case: Case, at: Instant, known_at: Instant | None
) -> tuple[list[Document], list[Fact]]:
    """Return the items of a case with their statements, and the facts that these cite."""
    basis, cited = Basis(reader), list[Fact]()
    states = present_states(service, [one.item for one in case.items], at=at, known_at=known_at)
    ids = [one.item.id for one in case.items if one.item.kind == "finding"]
    found = finding_statements(service, ids, at=at, known_at=known_at)
    items = []
    for one in case.items:
        statements = list(statements_of(service, basis, one.item, at=at, known_at=known_at))
        if one.item.kind == "finding" and one.item.id in found:
            statements.append(found[one.item.id])
        cited += [fact for statement in statements for fact in statement.facts]
        items.append(
            {**_added(one), **states[one.item], "statements": [_statement(statement) for statement in statements]}
        )
    return items, cited


def _added(one: Contained) -> Document:
    return {
        "kind": one.item.kind,
        "id": one.item.id,
        "added_at": format_instant(one.added.fact.given_at),
        "added_by": one.added.body.by,
        "note": one.added.body.note,
        "rests_on": [digest(one.added.fact.event)],
    }


def _statement(statement: Statement) -> Document:
    return {**statement.content, "rests_on": sorted({digest(fact.event) for fact in statement.facts})}


def _change(document: Document) -> Document:
    """Convert a change: what its event says is in the event."""
    names = ("change", "by", "given_at", "contained", "title", "assignee", "note")
    return {**{name: document[name] for name in names}, "rests_on": [document["digest"]]}


def _events(reader: Reader, facts: Iterable[Fact]) -> list[Document]:
    """Return each event once: its digest, its place in the log, when it was recorded, and itself."""
    once = {digest(fact.event): fact for fact in facts}
    places = reader.places_of(once.values())
    return [
        {
            "digest": name,
            "position": position_of(places[name])._asdict() if name in places else None,
            "recorded_at": format_instant(fact.recorded_at),
            "event": document(fact.event),
        }
        for name, fact in sorted(once.items())
    ]
