"""The memory of adapters survives the end of a collector at any time: real logs, cut and interrupted at random."""

import random
from contextlib import suppress

import pytest

from ingest.codec import api as codec
from lineage.core.model.errors import UnavailableError
from lineage.core.model.events import digest
from tests.support.collecting import World
from tests.support.places import DATA

LOGS = {
    "vault": "openbao/audit.log",
    "keycloak": "keycloak/log-lines.jsonl",
    "kubernetes": "kubernetes/audit.log",
}


def contents(world: World) -> set[bytes]:
    return {digest(codec.decode(entry.value)) for entry in world.log}


@pytest.mark.parametrize("format_", LOGS)
def test_following_a_log_across_restarts_and_faults_equals_one_import(tmp_path, format_):
    """
    It yields the same events with the same contents: no conflict, no gap, no record counted twice.
    """
    source = DATA / LOGS[format_]
    if not source.is_file():
        pytest.skip(f"there is no {source}; name the folder of logs in DELEGRAPH_TEST_DATA")
    lines = source.read_bytes().splitlines(keepends=True)
    whole = World()
    intake = whole.intake("prod", format_)
    follower = whole.follower(source, name="prod", format_=format_)
    follower.round()
    follower.close()
    intake.settle(at_once=True)

    chance, broken = random.Random(3), World()
    log = tmp_path / "audit.log"
    follower = broken.follower(log, name="prod", format_=format_)
    while lines:
        count = chance.randrange(1, 60)
        with log.open("ab") as file:
            file.write(b"".join(lines[:count]))
        del lines[:count]
        if chance.random() < 0.5:  # another process
            follower.close()
            follower = broken.follower(log, name="prod", format_=format_)
        if chance.random() < 0.4:
            broken.failing, broken.fails_after = chance.randrange(3), chance.random() < 0.5
            with suppress(UnavailableError):
                follower.round()
            broken.failing = None
        else:
            follower.round()
    follower.round()
    follower.close()
    broken.intake("prod", format_).settle(at_once=True)

    assert contents(whole) == contents(broken)
    assert whole.counts["record", ""] == broken.counts["record", ""]
