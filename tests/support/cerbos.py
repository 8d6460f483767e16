"""A real Cerbos that writes its decisions to a file."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import jwt

from compose.native.cerbos import PROGRAM
from compose.native.processes import LOOPBACK, ports_of

_POLICY = """
apiVersion: api.cerbos.dev/v1
resourcePolicy:
  version: default
  resource: document
  rules:
    - {actions: [read], effect: EFFECT_ALLOW, roles: [agent]}
    - actions: [export]
      effect: EFFECT_ALLOW
      roles: [agent]
      condition: {match: {expr: 'request.aux_data.jwt.act.sub == P.id'}}
"""
ISSUER = "https://idp.example"


class Cerbos:
    """A server with a policy for documents: an agent may read, and export with a token that names it as its actor."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        with closing(HTTPConnection(LOOPBACK, self._port, timeout=30)) as connection:
            connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def check(self, agent: str, actions: list[str], *, token: str | None = None) -> tuple[str, dict[str, bool]]:
        """Check what an agent may do with a document; return the id of the call, and what is permitted."""
        body: dict[str, Any] = {
            "requestId": "r",
            "principal": {"id": agent, "roles": ["agent"]},
            "resources": [{"actions": actions, "resource": {"kind": "document", "id": "d1"}}],
        }
        if token is not None:
            body["auxData"] = {"jwt": {"token": token}}
        status, answer = self.ask("POST", "/api/check/resources", body)
        assert status == 200, answer
        document = json.loads(answer)
        [result] = document["results"]
        return document["cerbosCallId"], {name: word == "EFFECT_ALLOW" for name, word in result["actions"].items()}


def token_for(human: str, agent: str, jti: str) -> str:
    """Build a token of a person, used by an agent. The server does not verify it."""
    claims = {"iss": ISSUER, "sub": human, "jti": jti, "act": {"sub": agent}, "exp": 2_000_000_000}
    return jwt.encode(claims, "a key of thirty-two bytes or more", algorithm="HS256")


@contextmanager
def cerbos(folder: Path, audit_log: Path) -> Iterator[Cerbos]:
    """Start a separate server."""
    ports = ports_of(folder, ("cerbos-http", "cerbos-grpc"))
    policies = folder / "policies"
    policies.mkdir()
    (policies / "document.yaml").write_text(_POLICY)
    settings = folder / "cerbos.yaml"
    settings.write_text(
        json.dumps(
            {
                "server": {
                    "httpListenAddr": f"{LOOPBACK}:{ports['cerbos-http']}",
                    "grpcListenAddr": f"{LOOPBACK}:{ports['cerbos-grpc']}",
                },
                "storage": {"driver": "disk", "disk": {"directory": str(policies)}},
                "telemetry": {"disabled": True},
                "auxData": {"jwt": {"disableVerification": True}},
                "audit": {
                    "enabled": True,
                    "accessLogsEnabled": True,
                    "decisionLogsEnabled": True,
                    "backend": "file",
                    "file": {"path": str(audit_log)},
                },
            }
        )
    )
    with (folder / "cerbos.log").open("wb") as log:
        started = subprocess.Popen([PROGRAM, "server", f"--config={settings}"], stdout=log, stderr=log)
    try:
        server, deadline = Cerbos(ports["cerbos-http"]), time.monotonic() + 30
        while True:
            with suppress(OSError):
                if server.ask("GET", "/_cerbos/health")[0] == 200:
                    break
            assert time.monotonic() < deadline, (folder / "cerbos.log").read_text()
            time.sleep(0.1)
        yield server
    finally:
        started.terminate()
        started.wait(30)
