"""The tracing interface of the ingest layer, and its no-op implementation."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol


class Span(Protocol):
    """A unit of work in a trace."""

    def note(self, **numbers: int) -> None:
        """Add attributes to the span."""
        ...

    def link(self, traceparents: Iterable[str]) -> None:
        """Link the span to the traces of the events it processes."""
        ...


Tracer = Callable[[str], AbstractContextManager[Span]]  # starts the span of that name


class _NoSpan:
    def note(self, **numbers: int) -> None:
        """Do nothing."""

    def link(self, traceparents: Iterable[str]) -> None:
        """Do nothing; the iterable is not even consumed."""


_NO_SPAN: Final = nullcontext(_NoSpan())


def no_tracer(_name: str) -> AbstractContextManager[Span]:
    """The tracer to use when tracing is disabled."""
    return _NO_SPAN
