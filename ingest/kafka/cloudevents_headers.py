"""Headers of a Kafka record for other people's tools: nothing of ours reads one, and the value alone is complete."""

from collections.abc import Callable
from typing import Final

from ingest.codec import api as codec
from lineage.core.model.events import Event
from lineage.core.model.times import format_instant

Headers = list[tuple[str, bytes]]

_CONTENT_TYPE: Final = ("content-type", b"application/avro")


def headers_maker(*, cloudevents: bool, traceparent: bool) -> Callable[[bytes], Headers] | None:
    """What makes the headers for a value of the log; None if none are asked for."""
    if not (cloudevents or traceparent):
        return None

    def headers_of(value: bytes) -> Headers:
        event = codec.read(value)
        headers = cloudevents_headers(event) if cloudevents else []
        if traceparent and event.traceparent is not None:
            headers.append(("traceparent", event.traceparent.encode()))
        return headers

    return headers_of


def cloudevents_headers(event: Event) -> Headers:
    """The headers of CloudEvents 1.0 in the binary mode of its Kafka binding: attributes are ``ce_``, in UTF-8."""
    attributes = {
        "specversion": "1.0",
        "id": event.event_id,
        "source": event.source,
        "type": event.type,
        "time": format_instant(event.occurred_at),
    }
    return [_CONTENT_TYPE, *((f"ce_{name}", text.encode()) for name, text in attributes.items())]


def current_traceparent() -> str | None:
    """The trace context that is current in OpenTelemetry (W3C Trace Context, ``traceparent``); None without any."""
    try:
        from opentelemetry import trace  # noqa: PLC0415 (an extra)
    except ImportError:
        return None
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
