"""The results of the doctor's checks, each a name, a result and a sentence; and the format of durations in them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Final, TypeVar

from lineage.core.model.errors import DamagedError, DelegraphError, RefusedError
from lineage.core.model.times import SECOND
from lineage.serve.documents.core_documents import Document

_UNITS: Final = (("days", 86_400), ("h", 3_600), ("min", 60), ("s", 1))

_T = TypeVar("_T")


class Checks:
    """The results of checks, in order.

    Attributes:
        found: The checks.
        is_damaged: Whether a file turned out to be damaged.
    """

    def __init__(self) -> None:
        self.found: list[Document] = []
        self.is_damaged = False

    def ask(self, name: str, question: Callable[[], str]) -> bool:
        """Run a check, record its answer or error, and return whether there was an answer."""
        try:
            self.report(name, question())
        except DelegraphError as fault:
            self.failed(name, fault)
            return False
        return True

    def failed(self, name: str, fault: DelegraphError) -> None:
        """Record an error."""
        self.report(name, str(fault), ok=False)
        self.is_damaged |= isinstance(fault, DamagedError)

    def ask_if_allowed(self, name: str, question: Callable[[], str]) -> None:
        """Run a check for which our credentials may lack the permission; that is not an error."""
        try:
            self.report(name, question())
        except RefusedError as fault:
            self.report(name, f"not for us to see: {fault}")
        except DelegraphError as fault:
            self.failed(name, fault)

    def report(self, name: str, message: str, *, ok: bool = True) -> None:
        """Record a result that is known already."""
        self.found.append({"check": name, "ok": ok, "says": message})

    def wrong(self, name: str, faults: Sequence[str], well: str) -> None:
        """Record problems, or that there are none."""
        self.report(name, "; ".join(faults) or well, ok=not faults)

    def opened(self, name: str, opening: AbstractContextManager[_T], stack: ExitStack) -> _T | None:
        """Open something; None, with a recorded error, if it cannot be opened."""
        try:
            return stack.enter_context(opening)
        except DelegraphError as fault:
            self.failed(name, fault)
            return None


def seconds(span: int) -> str:
    """Format microseconds in seconds."""
    return f"{span / SECOND:,.3f} s"


def ago(span: int) -> str:
    """Format microseconds in the largest unit that fits."""
    return next(
        (f"{span // (size * SECOND):,} {name}" for name, size in _UNITS if span >= size * SECOND), "less than 1 s"
    )
