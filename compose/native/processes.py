"""A process that outlives whoever started it: found again, and stopped, by what it left in its folder.

Its number is in ``NAME.pid``, its output in ``NAME.log``. As long as it, or a child of it, lives it holds a lock on
``NAME.pid``: so a number that has since been given to a stranger is never taken for it.
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
# Below the range from which kernels number the ports of clients. A client that tries again and again to reach a server
# that is down would otherwise come to be given the server's own port, connect to itself, and keep the server from it.
PORTS: Final = range(20_000, 30_000)
POLL_SECONDS: Final = 0.02
QUOTED_LINES: Final = 15


class Process:
    """A process in a session of its own, so that a Ctrl-C at the terminal does not reach it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.pid_file = folder / f"{name}.pid"
        self.log_file = folder / f"{name}.log"

    def start(self, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        """Start it; its output is added to the log. A process that lives already is an error."""
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.pid_file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UnavailableError(f"{self.name} runs already: {self.pid_file}") from None
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
                setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGPIPE],  # which a shell, or Python, may have ignored
            )
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % pid, 0)
        finally:
            os.close(descriptor)

    @property
    def pid(self) -> int:
        """Its number, when it was last started."""
        return int(self.pid_file.read_text(encoding="ascii"))

    def is_alive(self) -> bool:
        """Whether it, or a child that it left, lives."""
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
        """Ask it to leave, and end it if it does not. Nothing happens if it is not alive."""
        if not self.is_alive():
            return
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
        if not self._leaves(grace_seconds):
            self.kill()

    def kill(self) -> None:
        """End it and its group at once, with SIGKILL."""
        if not self.is_alive():
            return
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if not self._leaves(30):
            raise UnavailableError(f"{self.name} (process {self.pid}) does not end")

    def last_words(self) -> str:
        """The end of its log."""
        try:
            lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(lines[-QUOTED_LINES:])

    def _leaves(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self.is_alive():
            if time.monotonic() > end:
                return False
            time.sleep(POLL_SECONDS)
        # A child of ours stays in the table of processes until it is asked for.
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        return True


def wait_for(process: Process, is_ready: Callable[[], bool], *, seconds: float) -> None:
    """Wait until a process that was just started answers; if it does not, end it and say what it said last."""
    end = time.monotonic() + seconds
    while not is_ready():
        if not process.is_alive():
            raise UnavailableError(f"{process.name} did not start. Its last words:\n{process.last_words()}")
        if time.monotonic() > end:
            process.kill()
            raise UnavailableError(f"{process.name} gave no answer in {seconds:g} s:\n{process.last_words()}")
        time.sleep(POLL_SECONDS)


def stop_all(folder: Path) -> None:
    """Stop every server whose own folder is in this one, in the order of their names: consumers, kafka, postgres.

    At SIGINT all three leave in order, and PostgreSQL without waiting for its clients.
    """
    for pid_file in sorted(folder.glob("*/*.pid")):
        Process(pid_file.parent, pid_file.stem).stop(signal.SIGINT)


def ports_of(folder: Path, names: Iterable[str]) -> dict[str, int]:
    """The ports of the server in a folder: chosen free the first time, the same ever after."""
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


def free_port(taken: Container[int] = ()) -> int:
    """A port that nobody has, and that no client is given."""
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        if port not in taken:
            with socket.socket() as trial, suppress(OSError):
                trial.bind((LOOPBACK, port))
                return port
    raise UnavailableError(f"no port of {LOOPBACK} from {PORTS.start} to {PORTS.stop} is free")
