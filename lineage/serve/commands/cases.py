"""Open a case and change it: each change is one fact in the log, so nothing is half-done and nothing is lost."""

import uuid
from collections.abc import Sequence
from typing import Final

from ingest.codec import limits
from lineage.core.cases.action_ranges import id_of_range, range_of_id
from lineage.core.cases.case import CLOSED, MOST_CHANGES, MOST_ITEMS, OPEN, RANGE, Case
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import CaseChanged, CaseItem
from lineage.core.model.keys import key_of
from lineage.core.model.times import Instant, format_instant
from lineage.core.model.vocabulary import CASE_ITEM_KINDS
from lineage.serve.commands.append import append, event_of
from lineage.serve.commands.order_request import refuse_people
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.cases.cases import case_in_brief, known_case, unknown_findings
from lineage.serve.queries.service import Service

MOST_AT_ONCE: Final = limits.LIST_ENTRIES  # items of one change
_TITLE_CHARACTERS: Final = 200
_UNIQUE: Final = 12  # hexadecimal digits


class UnknownItemsError(RefusedError):
    """No fact names some of the items, so nothing was added.

    Attributes:
        items: ``KIND:ID`` of each of them.
    """

    def __init__(self, items: Sequence[str]) -> None:
        """Build the message from the items."""
        self.items = list(items)
        super().__init__(f"no fact names {', '.join(items)}; nothing was changed")


class OtherVersionError(RefusedError):
    """The case has changed since the version that a change was meant for; nothing was changed.

    Attributes:
        version: The version as of now.
    """

    def __init__(self, case: Case) -> None:
        """Build the message from the case as it is now."""
        last = case.changes[-1]
        self.version = case.version
        super().__init__(
            f"the case {case.id} was changed meanwhile: {last.body.change} by {last.body.by} at "
            f"{format_instant(last.fact.given_at)}; nothing was changed. Look at it again, and state its version "
            f"{case.version}, or none"
        )


class OtherCaseError(RefusedError):
    """The id of a case is already that of a different one."""


def open_case(
    service: Service,
    *,
    by: str,
    title: str,
    items: Sequence[CaseItem] = (),
    assignee: str | None = None,
    note: str | None = None,
    case: str | None = None,
) -> Document:
    """Open a case.

    Args:
        service: The service.
        by: Who opens it.
        title: What it is about, in a line.
        items: What it contains from the start.
        assignee: The assignee; None for none.
        note: A first note.
        case: Its id; None to generate one. Opening it again in the same words changes nothing.

    Raises:
        RefusedError: The title or another value is invalid, or the id is that of another case; nothing was opened.
        UnknownItemsError: No fact names some of the items; nothing was opened.
    """
    now = service.clock()
    if not title.strip() or "\n" in title or len(title) > _TITLE_CHARACTERS:
        raise RefusedError(f"a case needs a title: one line of at most {_TITLE_CHARACTERS} characters")
    service.catch_up()
    id_ = id_of_day(now, uuid.uuid4().hex) if case is None else case
    _refuse_id(id_)
    body = CaseChanged(
        id_, "opened", by, _usable_items(service, items, now), title=title, assignee=assignee, note=_usable_note(note)
    )
    _refuse_people(by, assignee)
    if (known := known_case(service, id_)) is not None:
        if known.opened is not None and known.opened.body == body:
            return {**case_in_brief(service, known), "repeated": True}
        raise OtherCaseError(f"there is a case {id_} already; nothing was opened. Give this one a different id")
    _record(service, body, now, 1)
    return {**case_in_brief(service, _after(service, id_)), "repeated": False}


def change_case(
    service: Service,
    case: str,
    change: str,
    *,
    by: str,
    items: Sequence[CaseItem] = (),
    assignee: str | None = None,
    note: str | None = None,
    version: str | None = None,
) -> Document | None:
    """Change a case; None if there is no such case.

    Args:
        service: The service.
        case: Its id.
        change: ``added``, ``removed``, ``noted``, ``assigned``, ``closed`` or ``reopened``.
        by: Who changes it.
        items: What is added or removed.
        assignee: The new assignee, for ``assigned``; None to remove the assignee.
        note: The note, or why.
        version: The version that the change is meant for; None for any.

    Raises:
        OtherVersionError: It has another version by now.
        RefusedError: A value is invalid, a limit is reached, or there is nothing to change.
        UnknownItemsError: No fact names some of the items that are added.
    """
    now = service.clock()
    _refuse_people(by, assignee)
    service.catch_up()
    known = known_case(service, case)
    if known is None:
        return None
    if version is not None and version != known.version:
        raise OtherVersionError(known)
    if len(known.changes) >= MOST_CHANGES:
        raise RefusedError(f"the case {case} has {MOST_CHANGES:,} changes, the most that one can have; open another")
    changed_items = _usable_items(service, items, now) if change == "added" else tuple(map(_canonical, items))
    changed_items = _refuse_without_effect(known, change, changed_items, note)
    body = CaseChanged(case, change, by, changed_items, assignee=assignee, note=_usable_note(note))
    _record(service, body, now, len(known.changes) + 1)
    return {**case_in_brief(service, _after(service, case)), "items_changed": len(changed_items)}


def _record(service: Service, body: CaseChanged, now: Instant, number: int) -> None:
    """Append a change. Its id begins with its number, so changes of the same microsecond stay in their order."""
    append(service, event_of(service, body, now)._replace(event_id=f"{number:06}-{uuid.uuid4()}"))


def _after(service: Service, id_: str) -> Case:
    case = known_case(service, id_)
    if case is None:
        raise RefusedError(
            f"the change of the case {id_} is recorded, but the trust file does not let the source {service.source} "
            "state it; list the source there"
        )
    return case


def id_of_day(at: Instant, unique: str) -> str:
    """Build an id that begins with the day, so that the list of cases begins with the latest."""
    return f"case-{format_instant(at)[:10].replace('-', '')}-{unique[:_UNIQUE]}"


def _refuse_id(id_: str) -> None:
    if fault := limits.fault_of_id(id_):
        raise RefusedError(f"the id of the case {fault}")


def _refuse_people(by: str, assignee: str | None) -> None:
    refuse_people(by=by, approved_by=None)
    if assignee is not None and (fault := limits.fault_of_id(assignee)):
        raise RefusedError(f"the id of the assignee {fault}")


def _usable_note(note: str | None) -> str | None:
    if note is None or not note.strip():
        return None
    if fault := limits.fault_of_text(note):
        raise RefusedError(f"the note {fault}")
    return note


def _refuse_without_effect(
    known: Case, change: str, items: tuple[CaseItem, ...], note: str | None
) -> tuple[CaseItem, ...]:
    """Return the items that a change concerns; refuse a change that would have no effect."""
    contained = {one.item for one in known.items}
    if change == "added":
        fresh = tuple(item for item in items if item not in contained)
        if not fresh:
            raise RefusedError(f"the case {known.id} contains that already; nothing was changed")
        if len(contained) + len(fresh) > MOST_ITEMS:
            raise RefusedError(
                f"the case {known.id} would have more than {MOST_ITEMS:,} items, the most that one can have; nothing "
                "was changed. Add a range of actions as one item, or open another case"
            )
        return fresh
    if change == "removed":
        present = tuple(item for item in items if item in contained)
        if missing := [item.key for item in items if item not in contained]:
            raise RefusedError(f"the case {known.id} does not contain {', '.join(missing)}; nothing was changed")
        if not present:
            raise RefusedError("say what is removed, as KIND:ID; nothing was changed")
        return present
    if change == "noted" and not (note or "").strip():
        raise RefusedError("a note needs words; nothing was changed")
    if change == "closed" and known.status == CLOSED:
        raise RefusedError(f"the case {known.id} is closed already; nothing was changed")
    if change == "reopened" and known.status == OPEN:
        raise RefusedError(f"the case {known.id} is open; nothing was changed")
    if items:
        raise RefusedError(f"a case is {change} without items; nothing was changed. Add them in a change of their own")
    return ()


def _usable_items(service: Service, items: Sequence[CaseItem], at: Instant) -> tuple[CaseItem, ...]:
    """Return the items to add, each once and in its canonical form.

    Raises:
        RefusedError: There are too many for one change, or one of them cannot be in a case.
        UnknownItemsError: No fact names some of them.
    """
    usable = tuple(dict.fromkeys(map(_canonical, items)))
    if len(usable) > MOST_AT_ONCE:
        raise RefusedError(
            f"{len(usable):,} items are more than the {MOST_AT_ONCE} that one change can add; nothing was changed. Add "
            "them in parts, or a range of actions as one item"
        )
    with service.reader() as reader:
        facts = [item for item in usable if item.kind not in (RANGE, "finding")]
        unknown = [item.key for item in facts if not reader.is_named(key_of(item.kind, item.id))]
    findings = [item.id for item in usable if item.kind == "finding"]
    unknown += [f"finding:{id_}" for id_ in unknown_findings(service, findings, at)]
    if unknown:
        raise UnknownItemsError(unknown)
    return usable


def _canonical(item: CaseItem) -> CaseItem:
    if item.kind == "workload":
        item = CaseItem("principal", item.id)
    if item.kind not in CASE_ITEM_KINDS:
        raise RefusedError(f"{item.kind!r} cannot be in a case; there are {', '.join(CASE_ITEM_KINDS)}")
    if item.kind == RANGE:
        item = CaseItem(RANGE, id_of_range(range_of_id(item.id)))
    if fault := limits.fault_of_id(item.id):
        raise RefusedError(f"the id of {item.kind} {fault}")
    return item
