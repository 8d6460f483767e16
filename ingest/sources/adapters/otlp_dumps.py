"""Spans in forms other than OTLP, as libraries write them to files.

- One object per span with attributes by name: the output of the console exporter of OpenTelemetry's SDKs
  (``context.trace_id``, ``parent_id``, ``start_time``), and the same under shorter names (``trace``, ``span``).
- The traces of OpenAI's Agents SDK: ``{"object": "trace", ...}``, which has no time, and ``{"object": "trace.span",
  "span_data": {"type": "agent" | "function" | "handoff", ...}}``.

Pure.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from ingest.sources.adapters.kit import BadRecordError, member, moment, text
from ingest.sources.adapters.otlp_spans import PERSON, OtlpSpan, arguments_digest, hexadecimal, interpreted, nanoseconds

_TRACE_NAMES: Final = (("context", "trace_id"), ("trace_id",), ("traceId",), ("trace",))
_SPAN_NAMES: Final = (("context", "span_id"), ("span_id",), ("spanId",), ("span",))
_PARENT_NAMES: Final = (("parent_id",), ("parent_span_id",), ("parentSpanId",), ("parent",))
_TIME_NAMES: Final = ("start_time", "startTime", "start_time_unix_nano", "startTimeUnixNano")
# The names under which applications store the person in a trace's metadata, since the SDK has no field for it.
_PERSON: Final = (*PERSON, "user_id", "userId", "user")
_NATIVE_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")
NO_TIME: Final = "no-time"
_HEADER: Final = "trace-header"


def is_dump(value: Mapping[str, Any]) -> bool:
    """Whether an object is a span, or the head of a trace, in one of these forms."""
    kind = value.get("object")
    if kind == "trace.span":
        return "span_data" in value and "trace_id" in value
    if kind == "trace":
        return "workflow_name" in value and "id" in value
    return (
        isinstance(value.get("attributes"), Mapping)
        and _id(value, _TRACE_NAMES) is not None
        and _id(value, _SPAN_NAMES) is not None
    )


def dumped_span(value: Mapping[str, Any]) -> OtlpSpan:
    """Parse such an object.

    Raises:
        BadRecordError: It has no ids, or an invalid time.
    """
    if value.get("object") in ("trace", "trace.span"):
        return _native(value)
    trace, own, above = _id(value, _TRACE_NAMES), _id(value, _SPAN_NAMES), _id(value, _PARENT_NAMES)
    if trace is None or own is None:
        raise BadRecordError("missing-field", "the ids of the trace and the span are not hexadecimal")
    attributes = member(value, "attributes")
    fields = {
        name: str(item).lower() if isinstance(item, bool) else str(item)
        for name, item in (attributes.items() if isinstance(attributes, Mapping) else ())
        if isinstance(item, str | int | float) and item != ""
    }
    status = text(value, "status", "status_code") or text(value, "status", "code") or text(value, "status")
    at = _moment(value)
    return interpreted(
        OtlpSpan(f"{trace}/{own}", f"{trace}/{above}" if above else None, at, is_root=above is None),
        fields,
        text(value, "name") or "",
        has_failed=status is not None and status.upper().endswith("ERROR"),
        other=None if at else NO_TIME,
    )


def _native(value: Mapping[str, Any]) -> OtlpSpan:
    if value["object"] == "trace":
        trace = _native_id(value, "id")
        metadata = member(value, "metadata")
        person = next((found for name in _PERSON if (found := text(metadata, name))), None)
        return OtlpSpan(f"{trace}/{trace}", None, "", person=person, session=text(value, "group_id"), other=_HEADER)
    trace, own, above = _native_id(value, "trace_id"), _native_id(value, "id"), text(value, "parent_id")
    data = member(value, "span_data")
    kind, name = text(data, "type"), text(data, "name")
    at = moment(value, "started_at") if text(value, "started_at") else ""
    to, from_ = text(data, "to_agent"), text(data, "from_agent")
    return OtlpSpan(
        f"{trace}/{own}",
        f"{trace}/{above or trace}",
        at,
        agent=name if kind == "agent" else None,
        is_tool=kind == "function",
        tool=name if kind == "function" else None,
        handoff=(from_, to) if kind == "handoff" and from_ and to else None,
        outcome="succeeded" if member(value, "error") is None else "failed",
        params_digest=arguments_digest(text(data, "input")) if kind == "function" else None,
        other="model-call" if kind in ("generation", "response") else "no-agent-work" if at else NO_TIME,
        is_root=above is None,
    )


def _native_id(value: Mapping[str, Any], name: str) -> str:
    found = text(value, name)
    if found is None or not _NATIVE_ID.fullmatch(found):
        raise BadRecordError("missing-field", f"{name} is not the id of a trace or span")
    return found


def _id(value: Mapping[str, Any], names: tuple[tuple[str, ...], ...]) -> str | None:
    found = next((found for path in names if (found := text(value, *path))), None)
    return None if found is None else hexadecimal(found.lower().removeprefix("0x"))


def _moment(value: Mapping[str, Any]) -> str:
    name = next((name for name in _TIME_NAMES if value.get(name) is not None), None)
    if name is None:
        return ""
    found = value[name]
    is_number = type(found) is int or (isinstance(found, str) and found.isascii() and found.isdigit())
    return nanoseconds(found, name) if is_number else moment(value, name)
