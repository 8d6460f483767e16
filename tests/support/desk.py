"""A command line with embedded defaults in a temporary folder, and short forms of the events that tests use."""

import dataclasses
import json
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from ingest.log.port import Entry
from ingest.opening import open_log
from lineage.core.model.records import ORDERS
from lineage.serve.cli.main import main
from lineage.serve.config.wiring import now


@dataclasses.dataclass
class Desk:
    """A store in a separate folder, and its command line."""

    folder: Path
    options: tuple[str, ...] = ()
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.folder / "delegraph.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.file}"

    def run(self, *words: str, exit: int = 0, stdin: bytes | None = None) -> Result:
        given = [*words, "--store", self.url, *self.options]
        result = invoke(*given, stdin=stdin, env=self.env)

        assert exit == result.exit_code, result.output
        return result

    def ask(self, *words: str, exit: int = 0, stdin: bytes | None = None) -> list[dict[str, Any]]:
        text = self.run(*words, "--json", exit=exit, stdin=stdin).stdout
        return [json.loads(line) for line in text.split("\n") if line]

    def one(self, *words: str, exit: int = 0) -> dict[str, Any]:
        [document] = self.ask(*words, exit=exit)
        return document

    def take(self, *events: dict[str, Any]) -> dict[str, Any]:
        file = self.folder / "events.jsonl"
        file.write_text("".join(f"{json.dumps(event)}\n" for event in events), encoding="utf-8")
        return self.one("ingest", str(file))

    def state(self, of: str, *words: str) -> str:
        return self.one("status", of, *words)["state"]

    def sql(self, *statements: str) -> None:
        with sqlite3.connect(self.file) as connection:
            for statement in statements:
                assert connection.execute(statement).rowcount != 0, statement
        connection.close()

    def append(self, topic: str, *values: bytes) -> None:
        log = open_log(self.url, create=True, clock=now)
        log.append(Entry(topic, value) for value in values)
        log.close()


def invoke(*words: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None) -> Result:
    quiet = {name: None for name in os.environ if name.startswith("DELEGRAPH_") or name.endswith("_COLOR")}
    return CliRunner(env=quiet | dict(env or {})).invoke(
        main, words, input=stdin, catch_exceptions=False, prog_name="delegraph"
    )


def raw_event(type: str, event_id: str, at: str = "09:00", source: str = "urn:idp", **fields: Any) -> dict[str, Any]:
    """Build an event of 1 May 2024."""
    return {"type": type, "event_id": event_id, "source": source, "occurred_at": day(at), **fields}


def day(at: str) -> str:
    return f"2024-05-01T{at}:00Z"


def token(
    id: str, at: str = "09:00", subject: str = "human:alice", event_id: str = "", **fields: Any
) -> dict[str, Any]:
    return raw_event("token.issued", event_id or f"issue {id}", at, token=id, subject=subject, **fields)


def derived(id: str, parent: str, role: str = "subject", **fields: Any) -> dict[str, Any]:
    return token(id, derived_from=[{"token": parent, "role": role}], **fields)


def granted(id: str, delegator: str, delegatee: str, at: str = "09:00", **fields: Any) -> dict[str, Any]:
    return raw_event(
        "delegation.granted", f"grant {id}", at, delegation=id, delegator=delegator, delegatee=delegatee, **fields
    )


def done(id: str, at: str = "10:00", event_id: str = "", **fields: Any) -> dict[str, Any]:
    stated = {"operation": "mail.send", "outcome": "succeeded", **fields}
    return raw_event("action.performed", event_id or f"do {id}", at, "urn:gateway", action=id, **stated)


def ordered(id: str, kind: str, target: str, at: str = "12:00", event_id: str = "", **fields: Any) -> dict[str, Any]:
    stated = {"reason": "test", "ordered_by": "human:ruth", **fields}
    named = {"kind": kind, "id": target}
    return raw_event(
        "revocation.ordered", event_id or f"order {id}", at, "urn:ir", revocation=id, target=named, **stated
    )


def lifted(id: str, at: str = "13:00", **fields: Any) -> dict[str, Any]:
    stated = {"lifted_by": "human:ruth", **fields}
    return raw_event("revocation.lifted", f"lift {id}", at, "urn:ir", revocation=id, **stated)


def registered(id: str, kind: str, event_id: str = "", **fields: Any) -> dict[str, Any]:
    named = event_id or f"register {id}"
    return raw_event("principal.registered", named, "08:00", "urn:directory", principal=id, kind=kind, **fields)


LATER = "2099-01-01T00:00:00Z"


# Alice, her planner and its mailer; a revoked token of Bob; two actions with t2, one by another party.
WORLD = [
    registered("agent:planner", "agent", owner="human:alice"),
    raw_event("workload.bound", "bind", "08:00", "urn:directory", agent="agent:mailer", workload="spiffe://x/mailer"),
    granted("d1", "human:alice", "agent:planner", scopes=["mail"]),
    granted("d2", "agent:planner", "agent:mailer", parents=["d1"], expires_at=LATER),
    token("t1", actor="agent:planner", delegation="d1", session="idp#s1", client="idp#c1", expires_at=LATER),
    derived(
        "t2", "t1", actor="agent:mailer", delegation="d2", scopes=["mail"], expires_at=LATER,
        workload="spiffe://x/mailer",
    ),
    token("t3", subject="human:bob", actor="agent:reporter", expires_at=LATER),
    raw_event(
        "decision.made", "decide q1", "09:59", "urn:pdp", decision="q1", permitted=True, operation="mail.send",
        token="t2", reasons=["scope mail"],
    ),
    done("a1", token="t2", actor="agent:mailer", decision="q1", tool="smtp", resource={"type": "mailbox", "id": "m"}),
    done("a2", "10:30", token="t2", actor="agent:rogue"),
    done("a3", token="ghost", on_behalf_of="human:carol"),
    done("a4", actor="agent:planner"),
    ordered("r0", "token", "t3", effective_at=day("11:00"), reason="offboarding"),
]  # fmt: skip


REVOKE_T1 = ("revoke", "token:t1", "--reason", "credential_leak", "--by", "human:ruth")


def orders_in(desk: Desk) -> int:
    """Count the orders and lifts in the log."""
    log = open_log(desk.url, create=False, clock=now)
    end = log.ends()[ORDERS, 0]
    log.close()
    return end
