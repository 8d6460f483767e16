"""Enforcement points that a stop-proof asks, and the settings that say how."""

import json
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.desk import Desk
from tests.support.signing_keys import file_of, pem

SECRET = "correct-horse"


@dataclass
class Following:
    """A follower of the feed, as ``Revocations`` is one."""

    dead: set[str] = field(default_factory=set)
    is_current: bool = True

    def is_dead(self, token: str) -> bool | None:
        return token in self.dead

    def status_of(self, kind: str, id_: str) -> Any:
        return None


def configure(desk: Desk, **probes: dict[str, Any]) -> None:
    """Write a settings file with a signing key, kept over several calls, and a table for each enforcement point."""
    key = desk.folder / "keys.pem"
    if not key.exists():
        file_of(desk.folder, pem(Ed25519PrivateKey.generate()))
    file_of(desk.folder, SECRET, name="secret")
    lines = [f'signing_key_file = "{key}"']
    for name, table in probes.items():
        lines += [f'[probes."{name}"]', *(f"{setting} = {json.dumps(value)}" for setting, value in table.items())]
    (desk.folder / "delegraph.toml").write_text("\n".join(lines), encoding="utf-8")
