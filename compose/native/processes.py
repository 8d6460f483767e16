"""A process that outlives its parent, and can be found and stopped by the files in its folder.

Its pid is in ``NAME.pid``, its output in ``NAME.log``. While it or one of its children is alive, it has a lock on
``NAME.pid``, so that a pid reused by another process is never mistaken for it.
"""

import fcntl
import json
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from lineage.core.model.errors import UnavailableError

LOOPBACK: Final = "127.0.0.1"
# Below the range of ephemeral ports. Otherwise a client that keeps retrying a server that is down could be assigned the
# server's own port, connect to itself, and prevent the server from binding it.
PORTS: Final = range(20_000, 30_000)
POLL_SECONDS: Final = 0.02
QUOTED_LINES: Final = 15


class Process:
    """A process in its own session, so that Ctrl-C at the terminal does not reach it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.pid_file = folder / f"{name}.pid"
        self.log_file = folder / f"{name}.log"

    def start(self, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        """Start the process; its output is appended to the log.

        Raises:
            UnavailableError: It is running already.
        """
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.pid_file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UnavailableError(f"{self.name} is running already: {self.pid_file}") from None
            os.set_inheritable(descriptor, True)  # noqa: FBT003
            pid = os.posix_spawnp(
                str(command[0]),
                [str(word) for word in command],
                os.environ if env is None else env,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, str(self.log_file), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGPIPE],  # a shell or Python may ignore them
            )
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % pid, 0)
        finally:
            os.close(descriptor)

    @property
    def pid(self) -> int:
        """The pid of its last start."""
        return int(self.pid_file.read_text(encoding="ascii"))

    def is_alive(self) -> bool:
        """Whether the process, or a child of it, is alive."""
        try:
            descriptor = os.open(self.pid_file, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def stop(self, number: signal.Signals = signal.SIGTERM, *, grace_seconds: float = 30) -> None:
        """Send a signal to end the process, and kill it if it does not end; does nothing if it is not alive."""
        if not self.is_alive():
            return
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
        if not self._ends(grace_seconds):
            self.kill()

    def kill(self) -> None:
        """Kill the process and its group with SIGKILL."""
        if not self.is_alive():
            return
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if not self._ends(30):
            raise UnavailableError(f"{self.name} (process {self.pid}) does not end")

    def last_words(self) -> str:
        """The end of its log."""
        try:
            lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(lines[-QUOTED_LINES:])

    def _ends(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self.is_alive():
            if time.monotonic() > end:
                return False
            time.sleep(POLL_SECONDS)
        # Reap it if it is a child of ours.
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        return True


def wait_for(process: Process, is_ready: Callable[[], bool], *, seconds: float) -> None:
    """Wait until a process that was just started is ready.

    Raises:
        UnavailableError: It has ended, or is not ready in time and was killed; the message has the end of its log.
    """
    end = time.monotonic() + seconds
    while not is_ready():
        if not process.is_alive():
            raise UnavailableError(f"{process.name} did not start. The end of its log:\n{process.last_words()}")
        if time.monotonic() > end:
            process.kill()
            raise UnavailableError(f"{process.name} did not answer within {seconds:g} s:\n{process.last_words()}")
        time.sleep(POLL_SECONDS)


def stop_all(folder: Path) -> None:
    """Stop every server with a folder in this one, in alphabetical order: consumers, kafka, postgres.

    On SIGINT all of them shut down cleanly, PostgreSQL without waiting for its clients.
    """
    for pid_file in sorted(folder.glob("*/*.pid")):
        Process(pid_file.parent, pid_file.stem).stop(signal.SIGINT)


def ports_of(folder: Path, names: Iterable[str]) -> dict[str, int]:
    """The ports of the server in a folder: free ones chosen the first time, and the same ones from then on."""
    file = folder / "ports.json"
    try:
        ports: dict[str, int] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        ports = {}
    for name in names:
        if name not in ports:
            ports[name] = free_port(set(ports.values()))
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(ports), encoding="utf-8")
    return ports


def free_port(excluded: Container[int] = ()) -> int:
    """Find a free port below the range of ephemeral ports."""
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        if port not in excluded:
            with socket.socket() as trial, suppress(OSError):
                trial.bind((LOOPBACK, port))
                return port
    raise UnavailableError(f"no port of {LOOPBACK} from {PORTS.start} to {PORTS.stop} is free")
