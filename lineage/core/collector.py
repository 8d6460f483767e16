"""Python's garbage collector, put off while very many values are made that hold no cycle, or kept from them."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_put_off() -> Iterator[None]:
    """Without the collector for a while: to look for cycles among values that have none costs a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def collector_spared() -> None:
    """Keep the collector from looking again at all that there is now, which is to stay.

    What is no longer wanted of it is freed all the same, but for cycles: so this is for now and then.
    """
    gc.freeze()
