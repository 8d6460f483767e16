"""Traces of agents: OpenTelemetry's GenAI spans, and OpenInference's. docs/foreign-logs.md has the table.

A span contains no credential: everything in it is stated by the application. Spans are exported children first and in
any number of batches, so a span alone yields only its own content; on whose behalf it ran is a separate event,
emitted once the spans above it are known.

The memory of a span consists of the parties it names and its parent, never its messages. Pure.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from ingest.sources.adapters.kit import Document, Format, Memory, Source, Translation, UnwrappedRecord, skipped, stated
from ingest.sources.adapters.otlp_dumps import dumped_span, is_dump
from ingest.sources.adapters.otlp_paths import SPANS, Path, path_of
from ingest.sources.adapters.otlp_protobuf import BEGINNING
from ingest.sources.adapters.otlp_spans import OtlpSpan, is_otlp, span_of, spans_in
from ingest.sources.adapters.parties import NamingRecord, party_of, registered

# Topics of the memory: the spans of a trace that wait for those above them; traces with new spans, and with a root;
# hand-offs, by the span below which both agents run and the name of the second.
_WAITING, _NEWS, _ROOTS, _HANDOFFS = "waiting", "news", "root", "hand-off"
_MOST_WAITING: Final = 10_000
_TRACE_DIGITS: Final = 32  # lengths in a traceparent; ids defined by libraries may have others
_SPAN_DIGITS: Final = 16


def _translate(record: UnwrappedRecord, source: Source, memory: Memory) -> Translation:
    span = span_of(record.value) if is_otlp(record.value) else dumped_span(record.value)
    _remember(span, memory)
    if not span.at:
        return skipped(span.other)
    mention = NamingRecord(span.id, span.at)
    events = [
        registered(source, _agent(source, name), "agent", mention, name)
        for name in dict.fromkeys((span.agent, *(span.handoff or ())))
        if name is not None
    ]
    if span.person is not None:
        events.append(registered(source, _person(source, span.person), "human", mention, span.person))
    if span.is_tool:
        called = {"tool": span.tool, "params_digest": span.params_digest}
        events.append(_action(source, "call", mention, span.outcome, **called))
    return Translation(events=tuple(events)) if events else skipped(span.other)


def _remember(span: OtlpSpan, memory: Memory) -> None:
    known = stated(
        above=span.parent,
        at=span.at or None,
        agent=span.agent,
        tool=span.outcome if span.is_tool else None,
        handoff=list(span.handoff) if span.handoff else None,
        person=span.person,
        session=span.session,
        conversation=span.conversation,
    )
    memory.put(SPANS, span.id, known)
    memory.put(_NEWS, span.trace, 1)
    if span.is_root:
        memory.put(_ROOTS, span.trace, 1)
    waiting = memory.get(_WAITING, span.trace, [])
    if (
        span.at
        and known.keys() & {"agent", "tool", "handoff"}
        and span.id not in waiting
        and len(waiting) < _MOST_WAITING
    ):
        memory.put(_WAITING, span.trace, [*waiting, span.id])


def _settle(source: Source, memory: Memory, *, end: bool) -> Iterable[Translation]:
    """Yield on whose behalf the spans of a trace ran, once its root is known or no more records are expected."""
    for trace, _ in memory.entries(_NEWS):
        if not end and not memory.get(_ROOTS, trace):
            continue
        memory.drop(_NEWS, trace)
        paths = [path_of(memory, id_) for id_ in memory.drop(_WAITING, trace) or []]
        paths = [path for path in paths if path.spans]
        still = [path for path in paths if not _hand_over(path, memory)]
        taking_over = {path.spans[0][1]["handoff"][1] for path in still}  # the giver is not known yet
        for path in paths:
            is_early = path.spans[0][1].get("agent") in taking_over
            events = [] if is_early else _explained(path, source, memory)
            if events:
                yield Translation(events=tuple(events))
            elif (is_early or not path.whole) and path not in still:
                still.append(path)
        if still:
            memory.put(_WAITING, trace, [path.spans[0][0] for path in still])


def _hand_over(path: Path, memory: Memory) -> bool:
    """Remember a hand-off where the receiving agent will look for it; False if the giver is not known yet."""
    id_, known = path.spans[0]
    if "handoff" not in known:
        return True
    from_, to = known["handoff"]
    giver, giving = path.above("agent")
    if giving.get("agent") != from_:
        return path.whole
    key = f"{id_.partition('/')[0]}/{giving.get('above', '')}/{to}"
    found, known_already = [known["at"], giver, from_], memory.get(_HANDOFFS, key, [])
    if found not in known_already:
        memory.put(_HANDOFFS, key, sorted([*known_already, found]))
    return True


def _explained(path: Path, source: Source, memory: Memory) -> list[Document]:
    id_, known = path.spans[0]
    if "tool" in known:
        agent, named = path.above("agent")
        caller, _ = path.above("tool")
        person, session = path.first("person"), path.first("session") or path.first("conversation")
        if agent is None and not (path.whole and person):
            return []
        fields = stated(
            actor=_agent(source, named["agent"]) if agent else None,
            delegation=source.id(agent) if agent else None,
            on_behalf_of=None if agent else _person(source, person),
            session=source.id(session) if session else None,
            parent_action=source.id(caller) if caller else None,
        )
        done = _action(source, "by", NamingRecord(id_, known["at"]), known["tool"], **fields)
        return [done, *_person_of_timeless(path, source)]
    if "agent" not in known:
        return []
    delegator, parent = _delegator(path, source, memory)
    if delegator is None:
        return []
    fields = {"delegation": source.id(id_), "delegator": delegator, "delegatee": _agent(source, known["agent"])}
    parents = [source.id(parent)] if parent else []
    granted = source.event("delegation.granted", f"{id_}/grant", known["at"], **_trace(id_), **fields, parents=parents)
    return [granted, *_person_of_timeless(path, source)]


def _person_of_timeless(path: Path, source: Source) -> list[Document]:
    """Return the person if the record that names them has no time: then the spans below report them."""
    person, (id_, known) = path.first("person"), path.spans[0]
    if person is None or not path.is_timeless("person"):
        return []
    return [registered(source, _person(source, person), "human", NamingRecord(id_, known["at"]), person)]


def _delegator(path: Path, source: Source, memory: Memory) -> tuple[str | None, str | None]:
    """Return who delegated to an agent, and by which grant: the agent that handed over, else the nearest agent above.

    An agent run directly below another of the same name is the same run: client and server both report the call.
    """
    id_, known = path.spans[0]
    key = f"{id_.partition('/')[0]}/{known.get('above', '')}/{known['agent']}"
    handed = [found for found in memory.get(_HANDOFFS, key, []) if found[0] <= known["at"]]
    if handed:
        return _agent(source, handed[-1][2]), handed[-1][1]
    above, agent = path.above("agent", other_than=known["agent"])
    if above is not None:
        return _agent(source, agent["agent"]), above
    person = path.first("person")
    return (_person(source, person), None) if person and path.whole else (None, None)


def _action(source: Source, part: str, mention: NamingRecord, outcome: str, **body: Any) -> Document:
    body |= {"action": source.id(mention.id), "operation": "execute_tool", "outcome": outcome}
    return source.event("action.performed", f"{mention.id}/{part}", mention.at, **_trace(mention.id), **body)


def _trace(id_: str) -> dict[str, str]:
    trace, _, span = id_.partition("/")
    is_w3c = len(trace) == _TRACE_DIGITS and len(span) == _SPAN_DIGITS
    return {"txn": trace} | ({"traceparent": f"00-{trace}-{span}-01"} if is_w3c else {})


def _agent(source: Source, name: str) -> str:
    return party_of(source, "agent", name)


def _person(source: Source, name: str) -> str:
    return party_of(source, "user", name)


FORMAT: Final = Format(
    name="otlp",
    known_by="resourceSpans, or the ids of a trace and a span",
    marks=lambda value: is_otlp(value) or is_dump(value),
    signs=re.compile(
        rb'"resourceSpans"\s*:|"startTimeUnixNano"\s*:|"object"\s*:\s*"trace\.span"|\A(?s:.{4})?' + BEGINNING.pattern,
        re.DOTALL,
    ),
    translate=_translate,
    settle=_settle,
    unwrap=spans_in,
)
