"""Pause Python's garbage collector while many acyclic values are created, or spare it what will stay."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_MIDDLE: Final = 50  # collections of the middle generation between two of everything; Python's default is 10


@contextmanager
def gc_paused() -> Iterator[None]:
    """Disable the collector within the block: scanning many acyclic values for cycles costs a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def gc_rarely_whole() -> Iterator[None]:
    """Collect everything a fifth as often within the block; young objects are collected as before.

    A full collection scans everything that is cached, and delays the request during which it happens to run.
    """
    young, middle, old = gc.get_threshold()
    gc.set_threshold(young, middle, _MIDDLE)
    try:
        yield
    finally:
        gc.set_threshold(young, middle, old)


def gc_freeze(*, collect_first: bool = False) -> None:
    """Exempt all existing objects, which are expected to stay, from further collections.

    Exempt objects are still freed by reference counting, but not if they are in cycles.

    Args:
        collect_first: First collect everything once, since objects exempted earlier may have become garbage.
    """
    if collect_first:
        gc.unfreeze()
        gc.collect()
    gc.freeze()
