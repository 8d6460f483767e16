"""The present state of the items of a case: one word and one sentence for each."""

from collections.abc import Iterable
from typing import Final

from lineage.core.cases.action_ranges import range_of_id
from lineage.core.cases.case import RANGE
from lineage.core.model.errors import TooManyError
from lineage.core.model.events import CaseItem
from lineage.core.model.times import Instant
from lineage.serve.documents.core_documents import Document, decision_document
from lineage.serve.queries.activity.actions import actions
from lineage.serve.queries.findings.one_finding import briefs_of
from lineage.serve.queries.lists.list_pages import OVER_HTTP
from lineage.serve.queries.revocations.revocations import revocation
from lineage.serve.queries.service import Service
from lineage.serve.text import render_chain
from lineage.serve.text.text_page import many

UNKNOWN: Final = "unknown"


def present_states(
    service: Service, items: Iterable[CaseItem], *, at: Instant, known_at: Instant | None
) -> dict[CaseItem, Document]:
    """Look up each item: ``state`` in a word, and ``sentence``."""
    listed = list(items)
    ids = [item.id for item in listed if item.kind == "finding"]
    findings, why_not = _findings(service, ids, at, known_at)
    found: dict[CaseItem, Document] = {}
    for item in listed:
        state, sentence = UNKNOWN, why_not
        if item.kind != "finding":
            state, sentence = _state(service, item, at, known_at)
        elif item.id in findings:
            one = findings[item.id]
            state, sentence = one["status"], f"{one['severity']} {one['kind']}: {one['why']}"
        found[item] = {"state": state, "sentence": sentence}
    return found


def _findings(
    service: Service, ids: list[str], at: Instant, known_at: Instant | None
) -> tuple[dict[str, Document], str]:
    """Look up findings, and say why one is missing."""
    try:
        found = briefs_of(service, ids, at=at, known_at=known_at) if ids else {}
    except TooManyError as fault:
        return {}, f"Not looked up here: {fault}."
    return found, "There is no such finding now; a later fact may have resolved it."


def _state(service: Service, item: CaseItem, at: Instant, known_at: Instant | None) -> tuple[str, str]:
    kind, id_ = item
    answer: Document | None
    if kind == "action":
        answer = service.who(id_, at=at, known_at=known_at)
        if answer is not None:
            return str(answer["outcome"]), render_chain.who(answer, at=at).first_line()
    elif kind == RANGE:
        return _range(service, id_, at, known_at)
    elif kind == "decision":
        with service.reader(known_at=known_at) as reader:
            answer = decision_document(tuple(reader.known_about([f"decision:{id_}"])))
        if answer is not None:
            word = "permitted" if answer["permitted"] else "denied"
            return word, f"{answer['operation']} was {word}."
    elif kind == "revocation":
        return _revocation(service, id_, at, known_at)
    else:
        answer = service.status(kind, id_, at=at, known_at=known_at)
        if answer is not None and answer["state"] != UNKNOWN:
            return str(answer["state"]), render_chain.status(answer).first_line()
    if (why := service.why_missing(item.key)) is not None:
        return UNKNOWN, f"No fact mentions it any more: {why}."
    if answer is not None:
        return UNKNOWN, render_chain.status(answer).first_line()
    return UNKNOWN, "No fact names it."


def _range(service: Service, id_: str, at: Instant, known_at: Instant | None) -> tuple[str, str]:
    found = actions(service, range_of_id(id_), at=at, known_at=known_at, limit=1, budget=OVER_HTTP)
    if found is None:
        return UNKNOWN, "No fact names what these actions would mention."
    if found["total"] is None:
        return "many", f"More than {OVER_HTTP.counted:,} actions may match, so they are not counted."
    return "counted", f"{many(found['total'], 'action')}."


def _revocation(service: Service, id_: str, at: Instant, known_at: Instant | None) -> tuple[str, str]:
    try:
        found = revocation(service, id_, at=at, known_at=known_at)
    except TooManyError as fault:
        return UNKNOWN, f"Its verdict is not computed here: {fault}."
    if found is None:
        return UNKNOWN, "No fact names it."
    first = found["orders"][0]
    target = f"{first['target']['kind']}:{first['target']['id']}"
    return found[
        "verdict"
    ], f"{first['mode']} {target}, {first['reason']}, by {first['ordered_by']}: {found['verdict']}."
