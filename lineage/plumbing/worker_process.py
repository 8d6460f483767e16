"""A process of ours that works for this one and ends with it, however it ends, because their pipe is then closed."""

import multiprocessing
from collections.abc import Callable
from typing import Any, Final

_SPAWN: Final = multiprocessing.get_context("spawn")  # a forked process would share our connections
_END_SECONDS: Final = 5.0  # how long a process that is no longer needed may take to end


class WorkerProcess:
    """A worker process, and the pipe to it."""

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        """Start it.

        Args:
            work: The function that it calls, with its end of the pipe; it must return when the pipe is closed.
            arguments: Further arguments, which are sent there.

        Raises:
            OSError: The system permits no further process, or no further open file.
        """
        self.pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=work, args=(theirs, *arguments), daemon=True)
        try:
            self._process.start()
        except BaseException:
            self.pipe.close()
            raise
        finally:
            theirs.close()  # so that the end of the worker is the end of the pipe

    def close(self) -> None:
        """End it, and wait until it has ended."""
        self.pipe.close()
        self._process.join(_END_SECONDS)
        if self._process.is_alive():
            self.kill()

    def kill(self) -> None:
        """Kill it, and wait until it has ended; the pipe stays open."""
        self._process.kill()
        self._process.join()

    def ending(self) -> str:
        """Say how it has ended, as "by signal 9" or "with exit code 1"."""
        self._process.join(_END_SECONDS)
        code = self._process.exitcode
        return f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
