"""OTLP spans: the statements of each about agents, tools and people, in the vocabularies of the instrumentations.

Two vocabularies are read: OpenTelemetry's semantic conventions for GenAI (``gen_ai.*``) and OpenInference's. Only a
span marked as an agent's own names an agent, because one instrumentation puts its own name on all others. Pure.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from ingest.codec.params_digest import digest_of
from ingest.sources.adapters.kit import BadRecordError, member, text
from ingest.sources.adapters.raw_records import parse
from lineage.core.model.times import LATEST, format_instant

PERSON: Final = ("enduser.id", "user.id")
"""Attributes that name the person for whom an application works."""

_ARGUMENTS: Final = ("gen_ai.tool.call.arguments", "input.value")
_MODEL_CALLS: Final = frozenset({"chat", "text_completion", "generate_content", "embeddings", "LLM", "EMBEDDING"})
_FAILED: Final = (2, "STATUS_CODE_ERROR")
_IN_HAND_OFF: Final = re.compile(r"hand-?off to (?P<to>.+)", re.IGNORECASE)
_HEXADECIMAL: Final = re.compile(r"(?:[0-9a-f]{16}){1,2}")
_VALUES: Final = ("stringValue", "intValue", "boolValue", "doubleValue")


class OtlpSpan(NamedTuple):
    """The relevant content of a span.

    Attributes:
        id: ``<trace id>/<span id>``, in lower-case hexadecimal.
        parent: The id of its parent; None if it has none.
        at: When it began; empty if the record does not say.
        agent: The agent whose run it is.
        is_tool: Whether it is the call of a tool.
        tool: The name of that tool.
        handoff: The agents that it hands over from and to.
        person: The person for whom the application works.
        session: The session of that person with the application.
        conversation: The conversation with one agent, if the application names no session.
        outcome: The outcome of the call of a tool: succeeded or failed.
        params_digest: The digest of the tool's arguments.
        other: Why it yields no event, if it has none of the above.
        is_root: Whether it is the root, after which no other span of its trace ends.
    """

    id: str
    parent: str | None
    at: str
    agent: str | None = None
    is_tool: bool = False
    tool: str | None = None
    handoff: tuple[str, str] | None = None
    person: str | None = None
    session: str | None = None
    conversation: str | None = None
    outcome: str = "succeeded"
    params_digest: str | None = None
    other: str = "no-agent-work"
    is_root: bool = False

    @property
    def trace(self) -> str:
        """The id of its trace."""
        return self.id.partition("/")[0]


def spans_in(value: Mapping[str, Any]) -> Iterator[dict[str, Any]] | None:
    """Yield the spans of an export request (``resourceSpans``); None if it is not one."""
    return _spans(value["resourceSpans"]) if isinstance(value.get("resourceSpans"), list) else None


def is_otlp(value: Mapping[str, Any]) -> bool:
    """Whether an object is a span in OTLP."""
    return "traceId" in value and "spanId" in value and "startTimeUnixNano" in value


def span_of(value: Mapping[str, Any]) -> OtlpSpan:
    """Parse a span.

    Raises:
        BadRecordError: ``missing-field`` or ``bad-time``: it has no ids or no valid time.
    """
    trace, own, above = _hex(value, "traceId"), _hex(value, "spanId"), _hex(value, "parentSpanId")
    if trace is None or own is None:
        raise BadRecordError("missing-field", "traceId or spanId is not hexadecimal")
    at = nanoseconds(value.get("startTimeUnixNano"), "startTimeUnixNano")
    return interpreted(
        OtlpSpan(f"{trace}/{own}", f"{trace}/{above}" if above else None, at, is_root=above is None),
        attributes(value),
        text(value, "name") or "",
        has_failed=member(value, "status", "code") in _FAILED,
    )


def interpreted(
    span: OtlpSpan, values: Mapping[str, str], name: str, *, has_failed: bool, other: str | None = None
) -> OtlpSpan:
    """Interpret the attributes of a span by the vocabularies of the instrumentations.

    Args:
        span: The ids and the time of the span.
        values: The attributes that have a simple value.
        name: The name of the span.
        has_failed: Whether its status is an error.
        other: Why it yields no event, whatever its attributes are.
    """
    operation, kind = values.get("gen_ai.operation.name"), values.get("openinference.span.kind")
    handoff = _handoff(values, kind, name)
    is_tool = handoff is None and (operation == "execute_tool" or (kind == "TOOL" and "tool.name" in values))
    agent = values.get("gen_ai.agent.name") if operation == "invoke_agent" else None
    return span._replace(
        agent=agent or (values.get("agent.name") if kind == "AGENT" else None),
        is_tool=is_tool,
        tool=values.get("gen_ai.tool.name") or values.get("tool.name") if is_tool else None,
        handoff=handoff,
        person=_first(values, PERSON),
        session=values.get("session.id"),
        conversation=values.get("gen_ai.conversation.id"),
        outcome="failed" if has_failed or "error.type" in values else "succeeded",
        params_digest=arguments_digest(_first(values, _ARGUMENTS)) if is_tool else None,
        other=other or ("model-call" if {operation, kind} & _MODEL_CALLS else "no-agent-work"),
    )


def attributes(value: Any) -> dict[str, str]:
    """Return the attributes with simple values, as text."""
    found: dict[str, str] = {}
    listed = member(value, "attributes")
    for item in listed if isinstance(listed, list) else []:
        name, stated = text(item, "key"), member(item, "value")
        simple = (
            next((stated[kind] for kind in _VALUES if kind in stated), None) if isinstance(stated, Mapping) else None
        )
        if name is not None and simple is not None and simple != "":
            found[name] = str(simple)
    return found


def _spans(resources: list[Any]) -> Iterator[dict[str, Any]]:
    for resource_spans in resources:
        for name in ("scopeSpans", "instrumentationLibrarySpans"):
            scopes = member(resource_spans, name)
            for scope in scopes if isinstance(scopes, list) else []:
                spans = member(scope, "spans")
                yield from spans if isinstance(spans, list) else []


def _handoff(values: Mapping[str, str], kind: str | None, name: str) -> tuple[str, str] | None:
    """Return a hand-off in either form: as attributes, or, in OpenInference, as a tool whose span name describes it."""
    if from_ := values.get("gen_ai.handoff.from_agent"):
        to = values.get("gen_ai.handoff.to_agent")
        return (from_, to) if to else None
    match = _IN_HAND_OFF.fullmatch(name)
    if kind == "TOOL" and "tool.name" not in values and match and "input.value" in values:
        return values["input.value"], values.get("output.value", match["to"])
    return None


def hexadecimal(found: str) -> str | None:
    """Parse an id of a trace or a span; None if it is invalid, or the id of no span."""
    return found if _HEXADECIMAL.fullmatch(found) and found.strip("0") else None


def _hex(value: Mapping[str, Any], name: str) -> str | None:
    return hexadecimal((text(value, name) or "").lower())


def nanoseconds(since_epoch: Any, name: str) -> str:
    """Convert nanoseconds since the epoch to a time.

    Raises:
        BadRecordError: ``bad-time``: the value is not such a number.
    """
    if isinstance(since_epoch, str) and since_epoch.isascii() and since_epoch.isdigit():
        since_epoch = int(since_epoch[:32])
    if type(since_epoch) is not int or not 0 < since_epoch // 1_000 <= LATEST:
        raise BadRecordError("bad-time", f"{name} is not a number of nanoseconds within the years 1970 to 9999")
    return format_instant(since_epoch // 1_000)


def _first(values: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((values[name] for name in names if name in values), None)


def arguments_digest(arguments: str | None) -> str | None:
    """Compute the digest of a tool's arguments, which does not depend on the white space in their JSON."""
    if arguments is None:
        return None
    try:
        return digest_of(parse(arguments.encode(errors="surrogatepass")))
    except BadRecordError:
        return digest_of(arguments)
