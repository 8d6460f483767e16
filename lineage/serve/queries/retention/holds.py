"""Legal holds: the list of them, and what those in force name."""

from collections.abc import Container, Iterable, Iterator
from typing import Final

from lineage.core.cases.action_ranges import range_of_id
from lineage.core.cases.case import OPEN, RANGE, Case
from lineage.core.model.events import CaseItem, HoldChanged
from lineage.core.model.references import about
from lineage.core.model.times import Instant, format_instant
from lineage.core.retention.holds import Hold, holds_of
from lineage.core.retention.leaving import KINDS, Aliases, HoldConditions
from lineage.serve.documents.core_documents import Document, instant
from lineage.serve.queries.activity.actions import actions
from lineage.serve.queries.cases.cases import known_case
from lineage.serve.queries.findings.one_finding import found_by_id
from lineage.serve.queries.service import Service

_AT_ONCE: Final = 1_000


def holds(service: Service) -> Document:
    """List every hold, those in force first."""
    found = sorted(known_holds(service), key=lambda hold: (not hold.is_in_force, hold.id))
    items = [hold_document(hold) for hold in found]
    return {"items": items, "total": len(items), "complete": True, "next": None, "as_of": service.as_of()}


def known_holds(service: Service) -> list[Hold]:
    """Return every hold, by id."""
    with service.reader() as reader:
        return holds_of(reader.facts_of_holds())


def hold_document(hold: Hold) -> Document:
    """Describe a hold."""
    return {
        "hold": hold.id,
        "in_force": hold.is_in_force,
        "changes": [
            {
                **{name: getattr(body, name) for name in ("change", "by", "reason", "principal", "case")},
                "starts_at": instant(body.starts_at),
                "ends_at": instant(body.ends_at),
                "given_at": format_instant(fact.given_at),
                "in_force": body in hold.in_force,
            }
            for fact in hold.history
            if isinstance(body := fact.event.body, HoldChanged)
        ],
    }


def holds_on(service: Service, kind: str, id_: str) -> list[Document]:
    """List the holds in force that name a principal, by any of its ids, or a case; and those that keep everything."""
    names = frozenset({id_})
    if kind == "principal":
        with service.reader() as reader:
            world = reader.world()
            reader.load_parties(world, [f"principal:{id_}"])
        names |= world.principals.party(id_)
    return [
        hold_document(hold) for hold in known_holds(service) if any(_names(body, kind, names) for body in hold.in_force)
    ]


def _names(body: HoldChanged, kind: str, names: Container[str]) -> bool:
    named = body.case if kind == "case" else body.principal
    everything = (body.principal, body.case, body.starts_at, body.ends_at) == (None, None, None, None)
    return everything or (named is not None and named in names)


def what_is_held(service: Service, parties: Aliases, at: Instant) -> list[HoldConditions]:
    """Return what the holds in force name, and what open cases contain, which is kept as well."""
    held = [
        each._replace(by=f"hold:{hold.id}")
        for hold in known_holds(service)
        for one in hold.in_force
        for each in _named(service, one, parties, at)
    ]
    for id_ in _cases(service):
        case = known_case(service, id_)
        if case is not None and case.status == OPEN:
            held += [each._replace(by=f"case:{id_}") for each in _contained(service, case, parties, at)]
    return held


def _named(service: Service, hold: HoldChanged, parties: Aliases, at: Instant) -> Iterator[HoldConditions]:
    names = None if hold.principal is None else parties.keys_of("principal", hold.principal)
    if hold.case is None:
        yield HoldConditions(names=names, starts_at=hold.starts_at, ends_at=hold.ends_at)
        return
    case = known_case(service, hold.case)
    for each in () if case is None else _contained(service, case, parties, at):
        both = each.names if each.names is not None else names  # two conditions on parties: the wider result is kept
        yield each._replace(names=both, starts_at=hold.starts_at, ends_at=hold.ends_at)


def _contained(service: Service, case: Case, parties: Aliases, at: Instant) -> Iterator[HoldConditions]:
    """Yield what the items of a case name: single things, and parties with all that names them."""
    keys: set[str] = set()
    names: set[str] = set()
    for contained in case.items:
        item = contained.item
        if item.kind == RANGE:
            keys.update(_in_range(service, item, at))
        elif item.kind == "finding":
            keys.update(_of_finding(service, item.id, at))
        elif item.kind in KINDS:
            keys.add(item.key)
        else:
            names |= parties.keys_of(item.kind, item.id)
    if keys:
        yield HoldConditions(keys=frozenset(keys))
    if names:
        yield HoldConditions(names=frozenset(names))


def _in_range(service: Service, item: CaseItem, at: Instant) -> Iterator[str]:
    filters, after = range_of_id(item.id), None
    while (found := actions(service, filters, at=at, after=after, limit=_AT_ONCE)) is not None:
        yield from (f"action:{one['action']}" for one in found["items"])
        if (after := found["next"]) is None:
            return


def _of_finding(service: Service, id_: str, at: Instant) -> Iterable[str]:
    found = found_by_id(service, id_, at)
    if found is None:
        return ()
    one = found[0]
    return [key for key in (one.of, one.about, *(about(fact.event) for fact in one.facts)) if key is not None]


def _cases(service: Service) -> Iterator[str]:
    after = None
    while True:
        with service.reader() as reader:
            ids = list(dict.fromkeys(reader.cases(after=after, most=_AT_ONCE)))
        if not ids:
            return
        yield from ids
        after = ids[-1]
