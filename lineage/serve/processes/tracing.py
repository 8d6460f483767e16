"""OpenTelemetry spans for each batch; a no-op unless configured.

Requires the extra ``traces`` and an endpoint in the standard variables (``OTEL_EXPORTER_OTLP_ENDPOINT`` and the
like). A span is linked to some of the traces in which its events were created, by their ``traceparent``; no span
contains an id or a text of an event.
"""

import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ingest.tracing import Span, Tracer, no_tracer

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace.export import SpanExporter

logger = logging.getLogger(__name__)

LINKS: Final = 8  # a batch may come from thousands of traces
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_NAMED: Final = ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES")
_CLOSE_SECONDS: Final = 1.0
# https://www.w3.org/TR/trace-context/#traceparent-header, version 00.
_TRACEPARENT: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})", re.ASCII)


@contextmanager
def tracer(environ: Mapping[str, str]) -> Iterator[Tracer]:
    """Open the tracer that the environment configures. At the end, unsent spans get one second."""
    configured = any(environ.get(name) for name in _ENDPOINTS)
    if not configured or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        yield no_tracer
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        logger.warning("an endpoint for traces is set, and the extra 'traces' is not installed: no traces are sent")
        yield no_tracer
        return
    with tracer_to(OTLPSpanExporter(), named=any(environ.get(name) for name in _NAMED)) as traced:
        yield traced


@contextmanager
def tracer_to(exporter: "SpanExporter", *, named: bool = False) -> Iterator[Tracer]:
    """Open a tracer that exports in batches on a separate thread.

    Args:
        exporter: Where spans go.
        named: Whether the standard variables name the service; otherwise it is called ``delegraph``.
    """
    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(
        resource=Resource.create({} if named else {"service.name": "delegraph"}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    made = provider.get_tracer("delegraph")

    @contextmanager
    def traced(name: str) -> Iterator[Span]:
        with made.start_as_current_span(name, kind=trace.SpanKind.CONSUMER) as span:
            yield _Traced(span)

    try:
        yield traced
    finally:
        # Shutting down sends what is left, and would wait for an unavailable endpoint.
        closing = threading.Thread(target=provider.shutdown, name="delegraph-traces", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)


class _Traced:
    def __init__(self, span: "trace.Span") -> None:
        self._span = span

    def note(self, **numbers: int) -> None:
        """Attach numbers."""
        self._span.set_attributes({f"delegraph.{name}": number for name, number in numbers.items()})

    def link(self, traceparents: Iterable[str]) -> None:
        """Link the traces of its events; the first ``LINKS`` that can be parsed."""
        from opentelemetry.trace import SpanContext, TraceFlags

        linked: set[tuple[str, ...]] = set()
        for match in filter(None, map(_TRACEPARENT.fullmatch, traceparents)):
            if len(linked) == LINKS:
                break
            if (ids := match.groups()) not in linked:
                linked.add(ids)
                trace_id, span_id, flags = (int(part, 16) for part in ids)
                self._span.add_link(SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags)))
