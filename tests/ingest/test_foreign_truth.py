"""Real logs of real systems, and what `delegraph` says of them, held against what those systems were seen to do."""

import json
import random
import re

import pytest

from tests.support.cloudtrail_records import DATA
from tests.support.configured_sources import Configured

DEAD = {"revoked", "cascaded", "expired"}
KUBERNETES = """
[[source]]
name = "prod"
format = "kubernetes"
issuer = "https://kubernetes.default.svc"

[[source.identity]]
match = '.*#(?P<who>[^:]+@example\\.com)'
id = "human:{who}"
kind = "human"
"""


@pytest.fixture
def desk(tmp_path):
    """An empty folder."""
    return Configured(tmp_path)


def truth_of(name):
    file = DATA / name / "truth.json"
    if not file.exists():
        pytest.skip(f"{name}/truth.json is not there: set DELEGRAPH_TEST_DATA to the folder of real logs")
    return file.parent, json.loads(file.read_text())


def shuffled(desk, file):
    lines = file.read_text().splitlines(keepends=True)
    random.Random(7).shuffle(lines)
    parts = (lines[::2], lines[1::2])
    for number, part in enumerate(parts):
        (desk.folder / f"{number}.log").write_text("".join(part))
    return [str(desk.folder / f"{number}.log") for number in range(len(parts))]


@pytest.mark.parametrize("mixed", [False, True], ids=["as written", "two files, in any order"])
@pytest.mark.parametrize("name", ["openbao", "openbao/clear"])
def test_openbao(desk, name, mixed):
    """
    State and parent of every token but the root; with clear accessors not of what `revoke-accessor` hides.
    """
    folder, truth = truth_of(name)
    files = shuffled(desk, folder / "audit.log") if mixed else [str(folder / "audit.log")]
    counts = desk.one("ingest", *files)
    clear = name.endswith("clear")
    tokens = {n: t for n, t in truth["tokens"].items() if not (clear and n.startswith("r_acc"))}
    handle = "clear_accessor" if clear else "log_accessor"
    ids = {n: f"vault#{t[handle] or t['log_token']}" for n, t in tokens.items()}
    names = {id_: n for n, id_ in ids.items()}

    keys = [f"token:{id_}" for id_ in ids.values()]
    states = dict(zip(ids, desk.ask("status", *keys, "--at", truth["end"]), strict=True))
    chains = dict(zip(ids, desk.ask("chain", *keys, "--at", truth["end"]), strict=True))

    assert (0, 0) == (counts["conflicts"], counts["quarantined"])
    for n, token in tokens.items():
        if n == "root":
            continue
        expected = {"active"} if token["usable_at_end"] else {"suspended"} if token["alive_at_end"] else DEAD
        assert states[n]["state"] in expected, n
        above = [names.get(id_) for id_ in chains[n]["tokens"][:-1]]
        if token["parent"] == "root":
            assert ids["root"] in [gap["id"] for gap in chains[n]["gaps"]], n
        else:
            assert [token["parent"]] == (above[-1:] or [None]), n
    worker = chains["worker"]["chain"]
    human = truth["tokens"]["human1"]["holder"].rpartition(":")[2]
    assert ("human", human) == (worker[0]["kind"], worker[0]["display_name"])
    assert ["planner", "researcher", "worker"] == [hop["principal"].rpartition("token-")[2] for hop in worker[-3:]]


@pytest.mark.parametrize("mixed", [False, True], ids=["as written", "two files, in any order"])
def test_kubernetes(desk, mixed):
    """
    Every token with who stands behind it, and its state; and who it was that acted as another.
    """
    folder, truth = truth_of("kubernetes")
    desk.settings(KUBERNETES)
    files = shuffled(desk, folder / "audit.log") if mixed else [str(folder / "audit.log")]
    desk.one("ingest", "--source", "prod", *files, str(folder / "webhook-bodies.jsonl"))
    human, end = f"human:{truth['human']}", truth["calls"][-1]["at"]
    deleted = {"planner-t", "planner-t2", "scraper-t"}

    for name, token in truth["tokens"].items():
        chain = desk.one("chain", f"token:{token['id']}", "--at", end)
        assert human == chain["chain"][0]["known_as"], name
        assert token["sub"] == chain["chain"][-1]["principal"].partition("#")[2], name
        assert (chain["state"] in DEAD) == (name in deleted), name
    acted_as = [call for call in truth["calls"] if call["impersonate"] and call["status"] < 400]
    for call in acted_as:
        who = desk.one("who", f"prod#{call['auditID']}")
        assert (human, call["impersonate"]["Impersonate_User"]) == (
            who["chain"][0]["known_as"],
            re.sub(r"^[^#]*#", "", who["chain"][-1]["principal"]),
        )
    assert 3 == len(acted_as)
