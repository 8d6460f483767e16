"""Find out who listens at the addresses of named sources: nobody, ``delegraph collect``, or another program.

Whether an address is free is tested by listening there for a moment.
"""

import errno
import socket
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from lineage.core.model.errors import RefusedError
from lineage.plumbing.addresses import fault_of_listening
from lineage.serve.processes.collect_http import ONLY_POST, TRACES
from lineage.serve.server.listening import address_of

_ASK_SECONDS: Final = 2.0
_LISTENING: Final = "0A"  # the state of a socket in /proc/net/tcp


def listener(address: str, kind: str, *, speaks_http: bool = False) -> str:
    """Describe who listens at an address of a source.

    Args:
        address: ``host:port``.
        kind: The setting that names it.
        speaks_http: Whether a collector would answer requests there.

    Raises:
        RefusedError: The address cannot be used, or another program listens there.
    """
    host, port = address_of(address)
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(place)
            tried.listen(1)
    except (OSError, UnicodeError) as error:
        if getattr(error, "errno", None) != errno.EADDRINUSE:
            raise RefusedError(
                f"nobody can listen on {address}: {fault_of_listening(error)}; give {kind!r} another address"
            ) from error
    else:
        return f"{address} is free: 'delegraph collect' is not running"
    program = _program_at(port)
    ours = _is_collector(host, port) if speaks_http else program is None or "collect" in program.split()
    if not ours:
        by = f"by {program!r}" if program else "by another program"
        raise RefusedError(f"{address} is taken {by}: stop it, or give {kind!r} another address")
    if not speaks_http and program is None:
        return f"somebody listens on {address}: if that is not 'delegraph collect', give {kind!r} another address"
    return f"'delegraph collect' listens on {address}"


def _is_collector(host: str, port: int) -> bool:
    with suppress(OSError, HTTPException), closing(HTTPConnection(host, port, timeout=_ASK_SECONDS)) as connection:
        connection.request("GET", TRACES)
        return ONLY_POST.encode() in connection.getresponse().read(1_000)
    return False


def _program_at(port: int) -> str | None:
    """Return the command line of the process that listens at a port, if our permissions allow it."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        with suppress(OSError):
            if any(str(handle.readlink()) in inodes for handle in (process / "fd").iterdir()):
                return (process / "cmdline").read_text(errors="replace").replace("\0", " ").strip()
    return None
