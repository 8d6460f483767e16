"""What can be said about a piece of work while it goes on, for traces; and nothing, where nobody asked for them."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol


class Span(Protocol):
    """A piece of work."""

    def note(self, **numbers: int) -> None:
        """Numbers that belong to it."""
        ...

    def link(self, traceparents: Iterable[str]) -> None:
        """The traces of what it works on."""
        ...


Tracer = Callable[[str], AbstractContextManager[Span]]  # from the name of a piece of work


class _NoSpan:
    def note(self, **numbers: int) -> None:
        """Nobody listens."""

    def link(self, traceparents: Iterable[str]) -> None:
        """Nobody listens; what would be linked is not even looked for."""


_NO_SPAN: Final = nullcontext(_NoSpan())


def no_tracer(_name: str) -> AbstractContextManager[Span]:
    """The tracer where nobody asked for traces."""
    return _NO_SPAN
