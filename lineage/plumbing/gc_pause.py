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


def collector_spared(*, anew: bool = False) -> None:
    """Keep the collector from looking again and again at all that there is now, which is to stay.

    What is no longer wanted of it is freed all the same, but for cycles.

    Args:
        anew: Look at everything once more before, for what was kept from it earlier may be garbage by now.
    """
    if anew:
        gc.unfreeze()
        gc.collect()
    gc.freeze()
