"""Pause Python's garbage collector while many acyclic values are created, or exempt values that will stay."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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
