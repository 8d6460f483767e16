"""Checks of the doctor: each a name, whether it is well, and one sentence; and how spans of time are said there."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Final, TypeVar

from lineage.core.model.errors import DamagedError, DelegraphError, RefusedError
from lineage.core.model.times import SECOND
from lineage.serve.documents.core_documents import Document

_UNITS: Final = (("days", 86_400), ("h", 3_600), ("min", 60), ("s", 1))

_T = TypeVar("_T")


class Checks:
    """What was checked, in order.

    Attributes:
        found: The checks.
        is_damaged: Whether a file turned out to be damaged.
    """

    def __init__(self) -> None:
        self.found: list[Document] = []
        self.is_damaged = False

    def ask(self, name: str, question: Callable[[], str]) -> bool:
        """Ask, and keep the answer or the fault; whether there was an answer."""
        try:
            self.told(name, question())
        except DelegraphError as fault:
            self.failed(name, fault)
            return False
        return True

    def failed(self, name: str, fault: DelegraphError) -> None:
        """Keep a fault."""
        self.told(name, str(fault), ok=False)
        self.is_damaged |= isinstance(fault, DamagedError)

    def ask_if_allowed(self, name: str, question: Callable[[], str]) -> None:
        """Ask what our credential may not be allowed to ask; that it is not is no fault."""
        try:
            self.told(name, question())
        except RefusedError as fault:
            self.told(name, f"not for us to see: {fault}")
        except DelegraphError as fault:
            self.failed(name, fault)

    def told(self, name: str, says: str, *, ok: bool = True) -> None:
        """Keep what is known already."""
        self.found.append({"check": name, "ok": ok, "says": says})

    def wrong(self, name: str, faults: Sequence[str], well: str) -> None:
        """Keep faults, or that there are none."""
        self.told(name, "; ".join(faults) or well, ok=not faults)

    def opened(self, name: str, opening: AbstractContextManager[_T], stack: ExitStack) -> _T | None:
        """Open something; None, and a fault, if it cannot be opened."""
        try:
            return stack.enter_context(opening)
        except DelegraphError as fault:
            self.failed(name, fault)
            return None


def seconds(span: int) -> str:
    """A span of microseconds in seconds."""
    return f"{span / SECOND:,.3f} s"


def ago(span: int) -> str:
    """A span of microseconds in the largest unit that fits."""
    return next(
        (f"{span // (size * SECOND):,} {name}" for name, size in _UNITS if span >= size * SECOND), "less than 1 s"
    )
