"""A store whose process can be killed at a chosen time, and the events that are written to it."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from multiprocessing import popen_spawn_posix
from typing import Any, NoReturn

import pytest
from click.testing import CliRunner

from lineage.serve.cli.main import main
from tests.support.places import ROOT


def events(count: int, rng: random.Random) -> list[dict[str, Any]]:
    """Generate a history of every kind: trees of tokens, actions, decisions, orders, lifts, duplicates, conflicts."""
    made: list[dict[str, Any]] = []
    while len(made) < count:
        n = len(made)
        seconds = f"2024-05-01T{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}Z"
        event: dict[str, Any] = {"event_id": f"e{n}", "source": f"urn:source:{n % 7}", "occurred_at": seconds}
        parent = f"t{rng.randrange(max(0, n - 500), n + 1)}"
        match rng.choices(range(7), weights=[50, 25, 10, 4, 2, 5, 4])[0]:
            case 0:
                event |= {"type": "token.issued", "token": f"t{n}", "subject": f"human:h{n % 50}"}
                event |= {"actor": f"agent:a{n % 90}", "scopes": ["mail"]}
                if rng.random() < 0.8:
                    event["derived_from"] = [{"token": parent, "role": "subject"}]
            case 1:
                event |= {"type": "action.performed", "action": f"x{n}", "operation": "mail.send"}
                event |= {"outcome": "succeeded", "token": parent, "actor": f"agent:a{n % 90}"}
            case 2:
                event |= {"type": "decision.made", "decision": f"q{n}", "permitted": True, "operation": "mail.send"}
                event |= {"token": parent}
            case 3:
                event |= {"type": "revocation.ordered", "revocation": f"r{n}", "reason": "test"}
                event |= {"ordered_by": "human:ruth", "target": {"kind": "token", "id": parent}}
            case 4:
                event |= {"type": "revocation.lifted", "revocation": f"r{rng.randrange(n + 1)}"}
                event |= {"lifted_by": "human:ruth"}
            case 5:
                event = rng.choice(made) if made else {**event, "type": "receiver.registered", "receiver": "gw"}
            case _:
                event |= {"type": "principal.registered", "principal": f"agent:a{n % 90}", "kind": "agent"}
                event |= {"event_id": f"register {n % 90}", "source": "urn:directory", "purpose": f"purpose {n % 11}"}
        made.append(event)
    return made


def here(url: str, *words: str) -> list[dict[str, Any]]:
    """Return the output of a command that runs in this process: faster, if nothing is killed."""
    result = CliRunner().invoke(main, [*words, "--json", "--store", url], catch_exceptions=False)

    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.split("\n") if line]


def refuse_processes(patch: pytest.MonkeyPatch) -> None:
    """Let every start of a worker process fail, as where the system permits no further one."""

    def refuse(*_: Any) -> NoReturn:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    patch.setattr(popen_spawn_posix, "Popen", refuse)


def killed_after(batches: int, script: str, url: str, rng: random.Random) -> None:
    """Run a script that writes to a store and prints "written" after each batch; kill it shortly after some of them."""
    command = [sys.executable, "-c", script, url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ}) as writer:
        assert writer.stdout is not None
        for _ in range(batches):
            assert b"written" in writer.stdout.readline()
        time.sleep(rng.uniform(0, 0.03))
        writer.send_signal(signal.SIGKILL)
