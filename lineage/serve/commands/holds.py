"""Place and release legal holds: each is one fact in the log, with its author and the reason."""

import uuid

from ingest.codec import limits
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import HoldChanged
from lineage.core.model.times import Instant, format_instant
from lineage.core.retention.holds import PLACED, RELEASED, Hold, changed_by
from lineage.serve.commands.append import append, event_of
from lineage.serve.commands.cases import id_of_day
from lineage.serve.commands.order_request import refuse_people
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.cases.cases import known_case
from lineage.serve.queries.inventory.identity import identity
from lineage.serve.queries.retention.holds import hold_document, known_holds
from lineage.serve.queries.service import Service


class OtherHoldError(RefusedError):
    """Something else was placed or released with the same key."""


def place_hold(
    service: Service,
    *,
    by: str,
    reason: str,
    principal: str | None = None,
    case: str | None = None,
    starts_at: Instant | None = None,
    ends_at: Instant | None = None,
    everything: bool = False,
    hold: str | None = None,
    unseen: bool = False,
    key: str | None = None,
) -> Document:
    """Place a hold.

    Args:
        service: The service.
        by: Who places it.
        reason: Why.
        principal: The person whose records are held.
        case: The case whose items are held.
        starts_at: The first instant of a span; None for the beginning.
        ends_at: The first instant after it; None for no end.
        everything: Whether every record is held, if nothing is named.
        hold: Its id; None to generate one. A hold of this id that is in force is extended.
        unseen: Whether a principal that no fact names yet may be held.
        key: Identifies repetitions, 32 hexadecimal digits; a repetition changes nothing. None if it is no repetition.

    Raises:
        OtherHoldError: Something else was placed with this key.
        RefusedError: It names nothing, or a value is invalid; nothing was placed.
    """
    now = service.clock()
    unique = uuid.uuid4().hex if key is None else key
    _refuse_reason(reason)
    refuse_people(by=by, approved_by=None)
    id_ = id_of_day(now, unique).replace("case-", "hold-", 1) if hold is None else hold
    for what, value in (("hold", id_), ("principal", principal), ("case", case)):
        if value is not None and (fault := limits.fault_of_id(value)):
            raise RefusedError(f"the id of the {what} {fault}")
    names_nothing = principal is None and case is None and starts_at is None and ends_at is None
    if names_nothing != everything:
        raise RefusedError("a hold names a principal, a case or a span of time, or else everything; nothing was placed")
    if starts_at is not None and ends_at is not None and starts_at >= ends_at:
        raise RefusedError("the span ends before it begins; nothing was placed")
    service.catch_up()
    body = HoldChanged(id_, PLACED, by, reason, principal, case, starts_at, ends_at)
    if (repeated := _repeated(service, body, unique, same_id=hold is not None)) is not None:
        return repeated
    if case is not None and known_case(service, case) is None:
        raise RefusedError(f"there is no case {case}; nothing was placed. See 'delegraph case list'")
    if principal is not None and not unseen:
        _refuse_unknown(service, principal)
    known = _known(service, id_)
    _record(service, body, now, 1 if known is None else len(known.history) + 1, unique)
    return _after(service, id_)


def release_hold(service: Service, hold: str, *, by: str, reason: str, key: str | None = None) -> Document | None:
    """Release a hold; None if there is none with this id.

    Args:
        service: The service.
        hold: Its id.
        by: Who releases it.
        reason: Why.
        key: Identifies repetitions, as in ``place_hold``.

    Raises:
        OtherHoldError: Something else was released with this key.
        RefusedError: It is not in force, or a value is invalid; nothing was released.
    """
    now = service.clock()
    unique = uuid.uuid4().hex if key is None else key
    _refuse_reason(reason)
    refuse_people(by=by, approved_by=None)
    service.catch_up()
    known = _known(service, hold)
    if known is None:
        return None
    body = HoldChanged(hold, RELEASED, by, reason)
    if (repeated := _repeated(service, body, unique, same_id=True)) is not None:
        return repeated
    if not known.is_in_force:
        last = known.history[-1]
        raise RefusedError(
            f"the hold {hold} is not in force: {known.last.by} released it at {format_instant(last.given_at)}; nothing "
            "was released"
        )
    _record(service, body, now, len(known.history) + 1, unique)
    return _after(service, hold)


def _repeated(service: Service, body: HoldChanged, unique: str, *, same_id: bool) -> Document | None:
    """Return the hold that a change was made to with the same key; None if none was."""
    for hold in known_holds(service):
        found = changed_by(hold, unique)
        if found is None:
            continue
        if found != (body if same_id else body._replace(hold=hold.id)):
            raise OtherHoldError(f"the hold {hold.id} was {found.change} with this key, in other words")
        return {**hold_document(hold), "repeated": True, "as_of": service.as_of()}
    return None


def _refuse_unknown(service: Service, principal: str) -> None:
    """Refuse a principal that no fact names: a hold on a name that is misspelled would keep nothing."""
    if identity(service, principal, at=service.clock()) is None:
        raise RefusedError(
            f"no fact names the principal {principal}; nothing was placed. Spell it as its page does, or state that it "
            "is unseen"
        )


def _record(service: Service, body: HoldChanged, now: Instant, number: int, unique: str) -> None:
    """Append a change. Its id begins with its number, so changes of the same microsecond stay in their order."""
    append(service, event_of(service, body, now)._replace(event_id=f"{number:06}-{unique}"))


def _known(service: Service, id_: str) -> Hold | None:
    return next((one for one in known_holds(service) if one.id == id_), None)


def _after(service: Service, id_: str) -> Document:
    found = _known(service, id_)
    if found is None:
        raise RefusedError(
            f"the change of the hold {id_} is recorded, but the trust file does not let the source {service.source} "
            "state it; list the source there"
        )
    return {**hold_document(found), "repeated": False, "as_of": service.as_of()}


def _refuse_reason(reason: str) -> None:
    if not reason.strip():
        raise RefusedError("a hold needs a reason: give it in a sentence")
    if fault := limits.fault_of_text(reason):
        raise RefusedError(f"the reason {fault}")
