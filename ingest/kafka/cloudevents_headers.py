"""Headers of a Kafka record for other tools. delegraph itself never reads them: the value alone is complete."""

from collections.abc import Callable
from typing import Final

from ingest.codec import api as codec
from lineage.core.model.events import Event
from lineage.core.model.times import format_instant

Headers = list[tuple[str, bytes]]

_CONTENT_TYPE: Final = ("content-type", b"application/avro")


def headers_maker(*, cloudevents: bool, traceparent: bool) -> Callable[[bytes], Headers] | None:
    """Build the function from a value of the log to its headers; None if no headers are enabled."""
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
    """The headers of CloudEvents 1.0 in binary mode.

    Source:
        CloudEvents Kafka protocol binding 1.0.2, section 3.2: attributes have the prefix ``ce_`` and are UTF-8.
    """
    attributes = {
        "specversion": "1.0",
        "id": event.event_id,
        "source": event.source,
        "type": event.type,
        "time": format_instant(event.occurred_at),
    }
    return [_CONTENT_TYPE, *((f"ce_{name}", text.encode()) for name, text in attributes.items())]


def current_traceparent() -> str | None:
    """The current OpenTelemetry trace context as a ``traceparent`` (W3C Trace Context); None if there is none."""
    try:
        from opentelemetry import trace  # noqa: PLC0415 (an extra)
    except ImportError:
        return None
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
