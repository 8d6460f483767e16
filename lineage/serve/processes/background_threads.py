"""Run functions in threads for as long as a block lasts."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def background_threads(
    targets: Mapping[str, Callable[[threading.Event], None]], stopped: threading.Event
) -> Iterator[None]:
    """Run each function in a thread of its name; at the end of the block set ``stopped`` and wait for all of them.

    Args:
        targets: By the name of the thread. Each is called with ``stopped`` and must return soon after it is set.
        stopped: Ends the threads.
    """
    threads = [threading.Thread(target=target, args=(stopped,), name=name) for name, target in targets.items()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
