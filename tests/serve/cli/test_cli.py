"""The command line: exact documents, exit codes, revocations, quarantine and findings, maintenance of the store.

Most commands run inside the test's own process; what only a real process has (pipes, exit codes as the shell sees
them) is tested in one.
"""

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from ingest.codec import api as codec
from ingest.opening import open_log
from lineage.core.model.events import BODIES, digest
from lineage.core.model.records import DECISIONS, ORDERS, Batch, RejectedRecord
from lineage.serve.cli.main import main
from lineage.serve.config.wiring import now
from lineage.store.store import open_store
from tests.support.desk import (
    LATER,
    REVOKE_T1,
    WORLD,
    Desk,
    day,
    derived,
    done,
    granted,
    invoke,
    lifted,
    ordered,
    orders_in,
    raw_event,
    registered,
    token,
)
from tests.support.places import ROOT

COMMANDS = main.list_commands(click.Context(main))

# The keys of the documents, in their order: users rely on them.
AUTHORITY_KEYS = ["element", "then_as_known_then", "then_as_known_now", "now"]
AS_OF_KEYS = ["recorded_at", "behind"]
CHAIN_PART = ["root", "human", "accountable", "agents", "tokens", "delegations", "chain"]
HOP_KEYS = [
    *("principal", "known_as", "display_name", "kind", "evidence", "source", "token", "delegation"),
    *("scopes", "effective_scopes", "issued_at", "expires_at", "state"),
]
WHO_KEYS = [
    *("action", "operation", "tool", "resource", "outcome", "occurred_at"),
    *CHAIN_PART,
    *("decision", "authority", "gaps", "findings", "as_of"),
]
CHAIN_KEYS = ["kind", "id", *CHAIN_PART, "state", "because", "gaps", "findings", "as_of"]
STATUS_KEYS = ["kind", "id", "state", "because", "at", "known_at", "gaps", "findings", "as_of"]
BECAUSE_KEYS = ["revocation", "mode", "target", "effective_at", "ordered_by", "reason", "path"]
REACH_KEYS = [
    *("target", "kills", "already_dead", "agents", "humans", "actions", "own_actions", "survivors"),
    *("last_expiry", "plan_digest", "as_of"),
]
# The additional keys, which are not part of its digest.
PLAN_KEYS = [
    *("depths", "receivers", "uncovered", "recent_hour", "shared", "spared"),
    *("unjudged", "backdated", "narrower", "warnings", "approvals", "findings"),
]
USES_KEYS = [
    *("kind", "id", "items", "total", "complete", "next", "first", "last", "places"),
    *("revoked_by", "unconfirmed", "used_after", "findings", "as_of"),
]
COUNTS = ["accepted", "duplicates", "conflicts", "unauthorised", "quarantined"]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """An empty folder."""
    return Desk(tmp_path)


def process(*words: str, stdin: bytes = b"", **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", "from lineage.serve.cli.main import main; main(prog_name='delegraph')", *words],
        input=stdin,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **options,
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """WORLD, ingested; for tests that change nothing."""
    desk = Desk(tmp_path_factory.mktemp("world"))
    desk.take(*WORLD)
    return desk


@pytest.fixture
def own_world(desk: Desk) -> Desk:
    """WORLD, ingested; for tests that change it."""
    desk.take(*WORLD)
    return desk


def without_as_of(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "as_of"}


def without_moments(document: Any) -> Any:
    """Remove recording times from a document, so that two stores with the same facts are equal."""
    if isinstance(document, dict):
        return {key: without_moments(value) for key, value in document.items() if key != "recorded_at"}
    return [without_moments(item) for item in document] if isinstance(document, list) else document


def answers(desk: Desk) -> list[dict[str, Any]]:
    """Return every answer of a world, without the progress of the projection."""
    elements = ["token:t1", "token:t2", "token:t3", "delegation:d1", "delegation:d2"]
    names = ["principal:agent:planner", "workload:spiffe://x/mailer", "session:idp#s1", "client:idp#c1"]
    at = ("--at", day("14:00"))
    found = desk.ask("who", "a1", "a2", "a3", "a4", *at)
    found += desk.ask("chain", *elements, *at)
    found += desk.ask("status", *elements, *names, *at)
    found += desk.ask("reach", *elements, *names, *at)
    found += desk.ask("findings", *at)
    found += desk.ask("timeline", *elements, *names, "action:a1", "decision:q1", "revocation:r0")
    found += desk.ask("uses", "token:t2")
    found += desk.ask("search", "t")
    found += desk.ask("conflicts")
    return [without_as_of(document) for document in found]


# The documents


def test_the_document_of_who_has_its_keys(world: Desk):
    """
    The document of `who` has exactly these keys, in their order.
    """
    who = world.one("who", "a1", "--at", day("14:00"))

    assert WHO_KEYS == list(who)
    assert AUTHORITY_KEYS == list(who["authority"])
    assert [["state", "because"]] * 3 == [list(who["authority"][key]) for key in AUTHORITY_KEYS[1:]]
    assert AS_OF_KEYS == list(who["as_of"])
    assert [HOP_KEYS] * 3 == [list(hop) for hop in who["chain"]]


def test_a_hop_has_the_name_that_people_know(desk):
    """
    It also has the smallest alias that declares a kind, which people see first, and the last stated name.
    """
    native = "https://idp.example#5f2c"
    desk.take(
        token("t1", subject=native, actor="agent:planner"),
        done("a1", token="t1"),
        registered(native, "human", display_name="alice"),
        registered(native, "human", event_id="mapped", aliases=["human:alice@example.com"]),
    )

    for document in (desk.one("who", "a1"), desk.one("chain", "token:t1")):
        root, agent = document["chain"]
        assert (native, "human:alice@example.com", "alice") == tuple(root[key] for key in HOP_KEYS[:3])
        assert ("agent:planner", "agent:planner", None) == tuple(agent[key] for key in HOP_KEYS[:3])
    assert f"human:alice@example.com (alice, {native})" in desk.run("chain", "token:t1").stdout


def test_who_names_human_agents_tokens_and_decision(world: Desk):
    """
    `who` names everyone from the human down to the tool, hop by hop, and what permitted it.
    """
    who = world.one("who", "a1", "--at", day("14:00"))

    assert ("mail.send", "smtp", {"type": "mailbox", "id": "m"}, "succeeded") == (
        who["operation"], who["tool"], who["resource"], who["outcome"],
    )  # fmt: skip
    assert "2024-05-01T10:00:00.000000Z" == who["occurred_at"]
    assert "human:alice" == who["root"] == who["human"] == who["accountable"]
    assert ["agent:planner", "agent:mailer"] == who["agents"]
    assert (["t1", "t2"], ["d1", "d2"]) == (who["tokens"], who["delegations"])
    assert ["human:alice", "agent:planner", "agent:mailer"] == [hop["principal"] for hop in who["chain"]]
    assert {"delegation"} == {hop["evidence"] for hop in who["chain"]}
    assert (True, "t2", ["scope mail"]) == tuple(who["decision"][key] for key in ("permitted", "token", "reasons"))
    assert "token:t2" == who["authority"]["element"]
    assert {"active"} == {who["authority"][key]["state"] for key in AUTHORITY_KEYS[1:]}
    assert ([], []) == (who["gaps"], [one for one in who["findings"] if one["of"] == "action:a1"])


def test_who_names_missing_evidence_and_findings(world: Desk):
    """
    A token that was never issued and an actor that the token was not issued to are named.
    """
    cached, ghost, plain = world.ask("who", "a2", "a3", "a4")

    assert "agent:rogue" == cached["chain"][-1]["principal"]
    assert "asserted" == cached["chain"][-1]["evidence"]
    assert ("wielder-mismatch", "action:a2") == tuple(cached["findings"][0][key] for key in ("kind", "of"))
    assert [("principal", "human:carol"), ("token", "ghost")] == [(gap["kind"], gap["id"]) for gap in ghost["gaps"]]
    assert [["kind", "id", "why"]] * 2 == [list(gap) for gap in ghost["gaps"]]
    assert ("token:ghost", "unknown") == (ghost["authority"]["element"], ghost["authority"]["now"]["state"])
    assert (None, "unknown") == (plain["authority"]["element"], plain["authority"]["now"]["state"])


def test_an_agent_at_the_root_has_an_owner_who_is_accountable(world: Desk):
    """
    If the root is not a human, `human` is null and `accountable` is the owner.
    """
    who = world.one("who", "a4")

    assert ("agent:planner", None, "human:alice") == (who["root"], who["human"], who["accountable"])


def test_the_document_of_chain_has_its_keys(world: Desk):
    """
    The document of `chain` has exactly these keys, for tokens and delegations.
    """
    of_token, of_delegation = world.ask("chain", "token:t3", "delegation:d2", "--at", day("14:00"))

    assert CHAIN_KEYS == list(of_token) == list(of_delegation)
    assert ("token", "t3", "revoked") == (of_token["kind"], of_token["id"], of_token["state"])
    assert BECAUSE_KEYS == list(of_token["because"])
    assert ["human:alice", "agent:planner", "agent:mailer"] == [hop["principal"] for hop in of_delegation["chain"]]
    assert (["d1", "d2"], "active", None) == (
        of_delegation["delegations"], of_delegation["state"], of_delegation["because"],
    )  # fmt: skip


def test_the_document_of_status_has_its_keys(world: Desk):
    """
    The document of `status` has exactly these keys, and names the order that causes the state.
    """
    status = world.one("status", "token:t3", "--at", day("14:00"))

    assert STATUS_KEYS == list(status)
    assert {
        "revocation": "r0",
        "mode": "revoke",
        "target": {"kind": "token", "id": "t3"},
        "effective_at": "2024-05-01T11:00:00.000000Z",
        "ordered_by": "human:ruth",
        "reason": "offboarding",
        "path": ["token:t3"],
    } == status["because"]
    assert ("2024-05-01T14:00:00.000000Z", None, []) == (status["at"], status["known_at"], status["gaps"])


@pytest.mark.parametrize(
    "of",
    [
        *("token:t1", "delegation:d1", "principal:human:alice", "principal:agent:planner"),
        *("workload:spiffe://x/mailer", "session:idp#s1", "client:idp#c1"),
    ],
)
def test_everything_that_an_order_can_target_has_a_state(world: Desk, of: str):
    """
    Tokens, delegations, principals, workloads, sessions and clients have a state; an id follows the first colon.
    """
    status = world.one("status", of)

    assert (*of.split(":", 1), "active") == (status["kind"], status["id"], status["state"])


def test_the_document_of_reach_has_its_keys(world: Desk):
    """
    The document of `reach` has these keys and, as every plan does, says which trust file is in force.
    """
    reach = world.one("reach", "token:t1", "--at", day("14:00"))

    assert REACH_KEYS == [key for key in reach if key not in (*PLAN_KEYS, "trust")]
    assert reach["trust"] is None
    assert {"kind": "token", "id": "t1"} == reach["target"]
    assert {"tokens": ["t1", "t2"], "delegations": []} == reach["kills"]
    assert {"tokens": 0, "delegations": 0} == reach["already_dead"]
    assert (["agent:mailer", "agent:planner"], ["human:alice"]) == (reach["agents"], reach["humans"])
    assert (2, ["a2", "a1"]) == (reach["actions"]["count"], [item["action"] for item in reach["actions"]["recent"]])
    assert "2099-01-01T00:00:00.000000Z" == reach["last_expiry"]
    assert 64 == len(reach["plan_digest"])


def test_reach_of_a_principal_names_what_survives(world: Desk):
    """
    What is bound to the target, and stays alive, is among the survivors with the reason.
    """
    reach = world.one("reach", "principal:agent:mailer")

    assert {"tokens": ["t2"], "delegations": ["d2"]} == reach["kills"]
    assert [("workload", "spiffe://x/mailer")] == [(item["kind"], item["id"]) for item in reach["survivors"]]
    assert ["kind", "id", "why"] == list(reach["survivors"][0])


@pytest.mark.parametrize(
    ("words", "kills"),
    [
        (["delegation:d1"], {"tokens": ["t1", "t2"], "delegations": ["d1", "d2"]}),
        (["delegation:d1", "--no-cascade"], {"tokens": [], "delegations": ["d1"]}),
        (["principal:human:alice", "--issued-before", day("09:00")], {"tokens": [], "delegations": []}),
        (
            ["principal:human:alice", "--issued-before", day("09:01")],
            {"tokens": ["t1", "t2"], "delegations": ["d1", "d2"]},
        ),
        (["token:t1", "--at", day("08:59")], {"tokens": ["t1", "t2"], "delegations": []}),
        (["token:t1", "--at", LATER], {"tokens": [], "delegations": []}),
        (["token:t3", "--at", day("14:00")], {"tokens": [], "delegations": []}),
        (["client:idp#c1", "--mode", "suspend"], {"tokens": ["t1", "t2"], "delegations": []}),
        (["session:idp#s1"], {"tokens": ["t1", "t2"], "delegations": []}),
    ],
)
def test_the_options_of_the_order_change_its_reach(world: Desk, words: list[str], kills: dict[str, list[str]]):
    """
    `--no-cascade`, `--issued-before`, `--mode` and `--at` change what would end.
    """
    assert kills == world.one("reach", *words)["kills"]


def test_elements_that_are_already_dead_are_counted(world: Desk):
    """
    What the order would also end, if it had not ended already, is counted.
    """
    reach = world.one("reach", "principal:human:bob", "--at", day("14:00"))

    assert ([], {"tokens": 1, "delegations": 0}) == (reach["kills"]["tokens"], reach["already_dead"])


# Several ids, and exit codes


def test_several_ids_are_answered_in_the_order_asked(world: Desk):
    """
    Each id gets one line, in the order asked; if no fact names one, its line says so and the exit code is 3.
    """
    found = world.ask("status", "token:t3", "token:never", "token:t1", "delegation:t1", exit=3)

    assert ["t3", None, "t1", None] == [document.get("id") if "kind" in document else None for document in found]
    assert {"error": "not_found", "id": "token:never"} == found[1]
    assert {"error": "not_found", "id": "delegation:t1"} == found[3]


@pytest.mark.parametrize(
    ("command", "known", "unknown"),
    [
        ("who", "a1", "a9"),
        ("chain", "token:t2", "token:t9"),
        ("status", "token:t2", "client:x"),
        ("reach", "token:t2", "token:x"),
    ],
)
def test_ids_are_read_from_standard_input(world: Desk, command: str, known: str, unknown: str):
    """
    `-` reads ids from standard input, one per line, in addition to those on the command line; blank lines are ignored.
    """
    found = world.ask(command, known, "-", known, exit=3, stdin=f"{unknown}\r\n\n{known}\n".encode())

    assert ["answer", unknown, "answer", "answer"] == [
        document["id"] if "error" in document else "answer" for document in found
    ]


def test_unknown_ids_are_reported_on_standard_error(world: Desk):
    """
    Without `--json` answers go to standard output and unknown ids to standard error.
    """
    result = world.run("status", "token:never", "token:t1", exit=3)

    assert "token:never" in result.stderr
    assert "token:never" not in result.stdout
    assert "t1" in result.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["status", "nothing-has-this-id"],
        ["status", "token:"],
        ["status", "action:a1"],
        ["chain", "principal:human:alice"],
        ["reach", "action:a1"],
        ["uses", "session:idp#s1"],
        ["diff", "action:a1", "--from", day("09:00"), "--to", day("10:00")],
        ["status", "token:t1", "--at", "2024-05"],
        ["status", "token:t1", "--at", "9"],
        ["status", "token:t1", "--at", "2024-02-30T09:00:00Z"],
        ["status", "token:t1", "--known-at", "some day"],
        ["reach", "token:t1", "--mode", "maim"],
        ["revoke", "token:t1"],
        ["revoke", "token:t1", "--reason", "spite", "--by", "human:ruth"],
        ["revoke", "token:t1", "--reason", "test", "--by", "human:ruth", "--execute", "--max-kills", "-1"],
        ["search"],
        ["ingest"],
        ["ingest", "events.csv", "--format", "csv"],
        ["no-such-command"],
        ["status", "token:t1", "--no-such-option"],
        ["status", "token:t1", "--log", "nonsense"],
    ],
)
def test_invalid_arguments_are_usage_errors(world: Desk, words: list[str]):
    """
    An invalid argument ends with exit code 2 and a sentence on standard error, without a traceback.
    """
    result = world.run(*words, exit=2)

    assert "Traceback" not in result.output
    assert 3 < len(result.stderr.split())


@pytest.mark.parametrize("command", ["who", "chain", "status", "reach", "uses", "timeline"])
def test_an_id_that_is_not_utf_8_is_not_found(world: Desk, command: str):
    """
    Ids are UTF-8, so no fact names one that is not: exit code 3, the others still answered.
    """
    known = "a1" if command == "who" else "token:t1"
    unknown = b"\xe9" if command == "who" else b"token:\xe9"

    on_input = world.ask(command, "-", exit=3, stdin=unknown + b"\n" + known.encode() + b"\n")
    as_word = world.ask(command, os.fsdecode(unknown), known, exit=3)

    assert ["error", "answer"] == ["error" if "error" in found else "answer" for found in on_input]
    assert ["error", "answer"] == ["error" if "error" in found else "answer" for found in as_word]


def test_an_id_with_an_escape_sequence_is_printed_visibly(world: Desk):
    """
    The id is printed back with visible characters only.
    """
    result = world.run("status", "token:\x1b[2Jx\x07\u202e", exit=3)

    assert "\x1b" not in result.output
    assert "\x07" not in result.output
    assert "\u202e" not in result.output


@pytest.mark.slow
def test_exit_codes_are_what_the_shell_sees(world: Desk, tmp_path: Path):
    """
    A real process exits with 0 when done, 2 for usage, 3 for an unknown id, 5 for an unavailable store.
    """
    store = ("--store", world.url)
    runs = [
        process("status", "token:t1", *store),
        process("status", "nothing-has-this-id", *store),
        process("status", "token:never", *store),
        process("status", "token:t1", "--store", f"sqlite:///{tmp_path}/none.db"),
    ]

    assert [0, 2, 3, 5] == [run.returncode for run in runs]
    assert b"delegraph init" in runs[3].stderr


@pytest.mark.slow
def test_piped_output_is_plain(own_world: Desk):
    """
    No command writes colours or other escape sequences into a pipe.
    """
    script = [
        ["who", "a2"],
        ["chain", "token:t2"],
        ["status", "token:t3"],
        ["reach", "delegation:d1"],
        ["findings"],
        ["doctor"],
        ["who", "--help"],
    ]

    for words in script:
        run = process(*words, *([] if "--help" in words else ["--store", own_world.url]))

        assert (0, b"") == (run.returncode, run.stderr), words
        assert b"\x1b" not in run.stdout, words


def test_a_closed_pipe_is_not_an_error(world: Desk):
    """
    `delegraph ... | head -1` ends without a traceback.
    """
    many = ["token:t1"] * 3000
    line = "import sys; from lineage.serve.cli.main import main; main(prog_name='delegraph')"
    run = subprocess.Popen(
        [sys.executable, "-c", line, "status", "-", "--json", "--store", world.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    run.stdin.write("\n".join(many).encode())
    run.stdin.close()
    first = run.stdout.readline()
    run.stdout.close()
    complaint = run.stderr.read()
    run.stderr.close()
    run.wait()

    assert "active" == json.loads(first)["state"]
    assert b"" == complaint


def test_the_store_comes_from_the_environment_or_before_the_command(world: Desk, monkeypatch: pytest.MonkeyPatch):
    """
    `DELEGRAPH_STORE` and an option before the command name the store like an option after it.
    """
    before = invoke("--store", world.url, "--json", "status", "token:t1")
    by_environment = CliRunner().invoke(main, ["status", "token:t1", "--json"], env={"DELEGRAPH_STORE": world.url})

    assert "active" == json.loads(before.stdout)["state"] == json.loads(by_environment.stdout)["state"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_a_command_does(command: str):
    """
    `--help` exits 0 and says in a sentence what the command does.
    """
    result = invoke(command, "--help")

    usage, _, rest = result.stdout.partition("\n")
    assert 0 == result.exit_code
    assert f"Usage: delegraph {command}" in usage
    assert 4 <= len(rest.strip().split("\n\n")[0].split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete(shell: str):
    """
    The completion script of each shell is printed, and knows the commands.
    """
    script = CliRunner().invoke(main, [], env={"_DELEGRAPH_COMPLETE": f"{shell}_source"}, prog_name="delegraph")
    commands = CliRunner().invoke(
        main,
        [],
        env={"_DELEGRAPH_COMPLETE": "bash_complete", "COMP_WORDS": "delegraph qua", "COMP_CWORD": "1"},
        prog_name="delegraph",
    )

    assert "delegraph" in script.stdout
    assert "quarantine" in commands.stdout


def test_every_command_exists():
    """
    The commands that need no broker, no HTTP and no delivery exist.
    """
    expected = (
        "init demo ingest emit consume who chain status reach revoke lift uses timeline diff search quarantine "
        "conflicts findings rebuild fsck doctor schema"
    )

    assert set() == set(expected.split()) - set(COMMANDS)


# Two clocks


def test_at_is_compared_with_times_inside_facts(world: Desk):
    """
    `--at` asks about another time: before the issue, before the order, when it takes effect, after the expiry.
    """
    moments = {
        day("08:59"): "not_yet_valid", day("09:00"): "active", "2024-05-01T10:59:59.999999Z": "active",
        day("11:00"): "revoked", "2024-05-01T13:00:00+02:00": "revoked", LATER: "revoked",
    }  # fmt: skip

    assert moments == {at: world.state("token:t3", "--at", at) for at in moments}
    assert "expired" == world.state("token:t1", "--at", LATER)


def test_known_at_hides_what_was_recorded_later(desk: Desk):
    """
    With `--known-at` before an order was recorded, the answer is the one that could be given then.
    """
    desk.take(*[event for event in WORLD if event["type"] != "revocation.ordered"])
    recorded_at = desk.one("status", "token:t3")["as_of"]["recorded_at"]
    time.sleep(0.05)
    between = datetime.now(UTC).isoformat()
    time.sleep(0.05)
    desk.take(ordered("r0", "token", "t1", effective_at=day("09:30")), token("t9"))
    at = ("--at", day("14:00"))

    assert "active" == desk.state("token:t1", *at, "--known-at", between)
    assert "active" == desk.state("token:t1", *at, "--known-at", recorded_at)
    assert "revoked" == desk.state("token:t1", *at, "--known-at", "now")
    assert "cascaded" == desk.state("token:t2", *at)
    assert "cascaded" == desk.one("chain", "token:t2", *at)["state"]
    assert "active" == desk.one("chain", "token:t2", *at, "--known-at", between)["state"]
    assert ["t1", "t2"] == desk.one("reach", "token:t1", *at, "--known-at", between)["kills"]["tokens"]
    assert [] == desk.one("reach", "token:t1", *at)["kills"]["tokens"]
    assert {"error": "not_found", "id": "token:t9"} == desk.one("status", "token:t9", "--known-at", between, exit=3)
    assert between[:19] == desk.one("status", "token:t1", "--known-at", between)["known_at"][:19]


def test_the_state_as_known_then_differs_from_the_state_as_known_now(desk: Desk):
    """
    If an order precedes an action but is recorded after it, the action was authorised as known then, not now.
    """
    desk.take(*WORLD)
    time.sleep(0.02)
    desk.take(ordered("r1", "token", "t1", effective_at=day("09:30")))

    authority = desk.one("who", "a1", "--at", day("14:00"))["authority"]

    assert ("active", "cascaded", "cascaded") == tuple(authority[key]["state"] for key in AUTHORITY_KEYS[1:])
    assert ["token:t1", "token:t2"] == authority["now"]["because"]["path"]


# Facts in


def test_the_counts_of_ingest_add_up(desk: Desk, tmp_path: Path):
    """
    Read is accepted plus duplicates plus conflicts plus unauthorised plus quarantined, over all files.
    """
    one, two, three = tmp_path / "one.jsonl", tmp_path / "two.jsonl", tmp_path / "three.jsonl"
    one.write_text("\n".join(map(json.dumps, [token("t1"), token("t1"), token("t2")])), encoding="utf-8")
    two.write_text(f"\n\n{json.dumps(token('t1', subject='human:bob'))}\n  \nnot json\n", encoding="utf-8")
    three.write_text("", encoding="utf-8")

    counts = desk.one("ingest", str(one), str(two), str(three))

    assert ["read", *COUNTS, "files", "as_of"] == list(counts)
    assert (5, 2, 1, 1, 0, 1) == tuple(counts[key] for key in ["read", *COUNTS])
    assert 0 == counts["as_of"]["behind"]


def test_a_second_ingest_gives_only_duplicates(own_world: Desk):
    """
    The same file again: every event is a duplicate, and no answer changes.
    """
    before = answers(own_world)

    counts = own_world.take(*WORLD)

    assert (len(WORLD), 0, len(WORLD), 0, 0, 0) == tuple(counts[key] for key in ["read", *COUNTS])
    assert before == answers(own_world)


def test_a_line_that_is_bad_twice_is_quarantined_once(desk: Desk):
    """
    A bad line of a file is counted at every reading and stored once.
    """
    file = desk.folder / "bad.jsonl"
    file.write_text("not json\n", encoding="utf-8")

    counts = [desk.one("ingest", "--format", "jsonl", str(file))["quarantined"] for _ in range(2)]

    assert [1, 1] == counts
    assert 1 == desk.one("quarantine")["total"]


def test_ingest_reads_standard_input_and_gzip(desk: Desk, tmp_path: Path):
    """
    `-` is standard input; a gzipped file is read as it is.
    """
    import gzip

    lines = "".join(f"{json.dumps(event)}\n" for event in WORLD).encode()
    zipped = tmp_path / "events.jsonl.gz"
    zipped.write_bytes(gzip.compress(lines))

    [piped] = desk.ask("ingest", "-", stdin=lines)
    unzipped = desk.one("ingest", str(zipped))

    assert (len(WORLD), len(WORLD)) == (piped["accepted"], unzipped["duplicates"])


def test_emit_and_consume_are_ingest(desk: Desk, tmp_path: Path):
    """
    Publishing to the log and draining it gives the answers that ingest gives; until then the records are behind.
    """
    other = Desk(tmp_path / "other")
    other.folder.mkdir()
    other.take(*WORLD)
    file = desk.folder / "world.jsonl"
    file.write_text("".join(f"{json.dumps(event)}\n" for event in WORLD), encoding="utf-8")
    desk.run("init")

    published = desk.one("emit", str(file))
    behind = desk.one("search", "t")["as_of"]
    consumed = desk.one("consume", "--drain")

    assert {"read": len(WORLD), "published": len(WORLD), "refused": []} == published
    assert {"recorded_at": None, "behind": len(WORLD)} == behind
    assert (len(WORLD), 0) == (consumed["records"], consumed["as_of"]["behind"])
    assert dict.fromkeys(COUNTS, 0) | {"accepted": len(WORLD)} == consumed["outcomes"]
    assert without_moments(answers(other)) == without_moments(answers(desk))
    assert 0 == desk.one("consume", "--drain")["records"]


def test_emit_names_the_lines_that_are_not_events(desk: Desk):
    """
    The message names the bad line and the reason; the others are published, and the exit code is 2.
    """
    file = desk.folder / "some.jsonl"
    file.write_text(f"{json.dumps(token('t1'))}\nnot json\n{json.dumps(token('t2'))}\n", encoding="utf-8")

    document = desk.one("emit", str(file), exit=2)
    desk.run("consume", "--drain")

    assert (3, 2) == (document["read"], document["published"])
    assert [(str(file), 2, "json")] == [(bad["file"], bad["line"], bad["reason"]) for bad in document["refused"]]
    assert ["active", "active"] == [desk.state("token:t1"), desk.state("token:t2")]


def test_init_can_be_repeated(own_world: Desk):
    """
    `init` on a store that has facts changes nothing.
    """
    before = answers(own_world)

    documents = [own_world.one("init"), own_world.one("init")]

    assert [["store", "log", "topics", "reader", "as_of"]] * 2 == [list(document) for document in documents]
    assert before == answers(own_world)


def test_the_log_may_be_a_separate_file(desk: Desk):
    """
    `--log` names another file; the store alone still answers, and says that its lag is unknown.
    """
    log = desk.folder / "log.db"
    apart = Desk(desk.folder, ("--log", f"sqlite:///{log}"))
    apart.take(*WORLD)
    log.rename(desk.folder / "away.db")

    status = apart.one("status", "token:t1")
    stale = apart.one("reach", "token:t1", "--stale")

    assert ("active", None) == (status["state"], status["as_of"]["behind"])
    assert ["t1", "t2"] == stale["kills"]["tokens"]
    assert "--stale" in apart.run("reach", "token:t1", exit=5).stderr
    revoke = ("revoke", "token:t1", "--reason", "test", "--by", "human:ruth")
    apart.run(*revoke, exit=5)
    apart.run(*revoke, "--execute", exit=5)
    apart.run(*revoke, "--execute", "--stale", exit=5)
    apart.run("lift", "r0", "--by", "human:ruth", exit=5)
    apart.run("fsck", exit=5)


@pytest.mark.parametrize("size", [3, 30])
def test_the_records_of_another_log_are_projected_or_refused(own_world: Desk, size: int):
    """
    If a store is used with another log, nothing may be counted as accepted and then be missing.
    """
    file = own_world.folder / "more.jsonl"
    events = [token(f"more{n}") for n in range(size)]
    file.write_text("".join(f"{json.dumps(event)}\n" for event in events), encoding="utf-8")
    other = ("--log", f"sqlite:///{own_world.folder}/other.db")

    result = invoke("ingest", str(file), "--store", own_world.url, *other)

    if result.exit_code == 0:
        ids = [f"token:{event['token']}" for event in events]
        assert {"active"} == {found["state"] for found in own_world.ask("status", *ids, *other)}
    else:
        assert result.exit_code in {5, 6}
        assert result.stderr.startswith("delegraph: ")


def test_an_invalid_id_does_not_prevent_other_answers(world: Desk):
    """
    Among several ids an invalid one is named, the others are answered in order, and the exit code is 2.
    """
    said_ = world.ask("status", "token:t1", "nonsense", "pet:rex", "token:nope", "token:t2", exit=2)

    assert [None, "refused", "refused", "not_found", None] == [document.get("error") for document in said_]
    assert ["t1", "nonsense", "pet:rex", "token:nope", "t2"] == [document["id"] for document in said_]
    assert ["active", "active"] == [said_[0]["state"], said_[-1]["state"]]


@pytest.mark.parametrize("command", ["ingest", "emit"])
def test_a_missing_file_is_reported_before_anything_is_ingested(tmp_path: Path, command: str):
    """
    If one of several files is missing, nothing is appended and no store is created, so the command can be repeated.
    """
    good = tmp_path / "good.jsonl"
    good.write_text(json.dumps(token("t1")), encoding="utf-8")
    desk = Desk(tmp_path)

    refused = desk.run(command, str(good), str(tmp_path / "missing.jsonl"), exit=2)

    assert "missing.jsonl" in refused.stderr
    assert not desk.file.exists()


# Orders


def test_revoke_without_execute_changes_nothing(own_world: Desk):
    """
    Without `--execute` the plan is printed, and no order is given.
    """
    before = answers(own_world)

    plan = own_world.one(*REVOKE_T1)

    assert set(REACH_KEYS) <= set(plan)
    assert (["t1", "t2"], False) == (plan["kills"]["tokens"], plan["executed"])
    assert before == answers(own_world)
    assert 1 == orders_in(own_world)


def test_revoke_with_execute_kills_all_the_way_down(own_world: Desk):
    """
    The order is in force when the command returns: the target revoked, what depends on it cascaded, siblings alive.
    """
    done_ = own_world.one(*REVOKE_T1, "--execute", "--note", "found in a paste")

    assert (["t1", "t2"], True) == (done_["kills"]["tokens"], done_["executed"])
    assert 0 == done_["as_of"]["behind"]
    assert ["revoked", "cascaded"] == [own_world.state("token:t1"), own_world.state("token:t2")]
    assert ["active", "active"] == [own_world.state("delegation:d1"), own_world.state("delegation:d2")]
    because = own_world.one("status", "token:t2")["because"]
    assert (done_["revocation"], ["token:t1", "token:t2"]) == (because["revocation"], because["path"])
    assert ("credential_leak", "human:ruth") == (because["reason"], because["ordered_by"])
    assert [] == own_world.one("reach", "token:t1")["kills"]["tokens"]


def test_an_order_that_would_end_more_than_its_plan_is_refused(own_world: Desk):
    """
    If the order would end anything that the plan does not list, that is shown, and the exit code is 4.
    """
    digest = own_world.one(*REVOKE_T1)["plan_digest"]
    own_world.take(derived("t4", "t2"), derived("t5", "t1"))

    result = own_world.run(*REVOKE_T1, "--execute", "--plan-digest", digest, "--json", exit=4)

    assert '{"error":"drifted","unlisted":["token:t4","token:t5"]}\n' == result.stdout
    assert "token:t4" in result.stderr
    assert 1 == orders_in(own_world)
    assert "active" == own_world.state("token:t1")


def test_a_plan_sees_what_is_in_the_log_and_not_yet_projected(own_world: Desk):
    """
    A child that was emitted but not consumed is drift as well, because it would end too.
    """
    digest = own_world.one(*REVOKE_T1)["plan_digest"]
    own_world.append(DECISIONS, codec.encode(codec.event_from_document(derived("t4", "t2"))))

    document = own_world.one(*REVOKE_T1, "--execute", "--plan-digest", digest, exit=4)

    assert ["token:t4"] == document["unlisted"]


def test_elements_that_ended_meanwhile_are_not_drift(own_world: Desk):
    """
    The plan stays valid if a listed element is dead by the time of the order.
    """
    digest = own_world.one(*REVOKE_T1)["plan_digest"]
    own_world.one("revoke", "token:t2", "--reason", "test", "--by", "human:ruth", "--execute")

    document = own_world.one(*REVOKE_T1, "--execute", "--plan-digest", digest)

    assert (["t1"], {"tokens": 1, "delegations": 0}) == (document["kills"]["tokens"], document["already_dead"])
    assert "revoked" == own_world.state("token:t1")


def test_an_unknown_plan_lists_nothing(own_world: Desk):
    """
    An unknown digest is drift: everything that would end is unlisted.
    """
    document = own_world.one(*REVOKE_T1, "--execute", "--plan-digest", "0" * 64, exit=4)

    assert ["token:t1", "token:t2"] == document["unlisted"]
    assert 1 == orders_in(own_world)


def test_without_a_digest_the_number_of_ended_elements_is_limited(own_world: Desk):
    """
    Above `--max-kills` the order is refused with the digest to look at; with the digest, or at the limit, it is given.
    """
    refused = own_world.run(*REVOKE_T1, "--execute", "--max-kills", "1", exit=2)
    digest = own_world.one(*REVOKE_T1)["plan_digest"]
    assert digest in refused.stderr
    assert 1 == orders_in(own_world)

    own_world.one(*REVOKE_T1, "--execute", "--max-kills", "1", "--plan-digest", digest)
    assert "revoked" == own_world.state("token:t1")


def test_at_the_limit_an_order_is_given(own_world: Desk):
    """
    Two elements are not more than two.
    """
    assert own_world.one(*REVOKE_T1, "--execute", "--max-kills", "2")["executed"]


def test_the_digest_depends_on_what_is_killed_and_how(own_world: Desk):
    """
    The digest contains neither time, person nor reason, but what would end and the mode.
    """
    digests = [
        own_world.one(*REVOKE_T1)["plan_digest"],
        own_world.one("revoke", "token:t1", "--reason", "test", "--by", "human:bob", "--note", "x")["plan_digest"],
        own_world.one("reach", "token:t1", "--at", day("23:00"))["plan_digest"],
        own_world.one(*REVOKE_T1, "--mode", "suspend")["plan_digest"],
        own_world.one(*REVOKE_T1, "--no-cascade")["plan_digest"],
        own_world.one("reach", "token:t2")["plan_digest"],
    ]

    assert 1 == len(set(digests[:3]))
    assert 4 == len(set(digests))


def test_an_order_on_an_unseen_target_must_be_confirmed(own_world: Desk):
    """
    An unseen id is not found (3); with `--unseen` it is revoked in advance, and is never valid.
    """
    order = ("revoke", "token:t7", "--reason", "test", "--by", "human:ruth")

    assert {"error": "not_found", "id": "token:t7"} == own_world.one(*order, exit=3)
    own_world.one(*order, "--execute", exit=3)
    assert 1 == orders_in(own_world)
    assert "--unseen" in own_world.run(*order, exit=3).stderr

    own_world.one(*order, "--execute", "--unseen")
    own_world.take(token("t7"), derived("t8", "t7"))
    assert ["revoked", "cascaded"] == [own_world.state("token:t7"), own_world.state("token:t8")]


def test_a_suspension_ends_when_it_is_lifted(own_world: Desk):
    """
    `--mode suspend` until the lift; afterwards everything is alive again.
    """
    order = own_world.one(*REVOKE_T1, "--mode", "suspend", "--execute", "--id", "pause")
    states = [own_world.state("token:t1"), own_world.state("token:t2")]
    lift = own_world.one("lift", "pause", "--by", "human:ruth")

    assert "pause" == order["revocation"] == lift["revocation"]
    assert ["suspended", "suspended"] == states
    assert ["active", "active"] == [own_world.state("token:t1"), own_world.state("token:t2")]
    assert (1, []) == (lift["orders"], lift["without_effect"])


def test_a_lift_brings_back_no_revoked_token(own_world: Desk):
    """
    A token is revoked permanently: a lift has no effect, says so, and is a finding.
    """
    own_world.one(*REVOKE_T1, "--execute", "--id", "r1")
    lift = own_world.one("lift", "r1", "--by", "human:ruth")

    assert ["token:t1"] == lift["without_effect"]
    assert "revoked" == own_world.state("token:t1")
    assert "lift-without-effect" in [found["kind"] for found in own_world.one("findings")["items"]]


def test_a_lift_of_no_order_is_not_found(own_world: Desk):
    """
    Only what was ordered can be lifted.
    """
    assert {"error": "not_found", "id": "r9"} == own_world.one("lift", "r9", "--by", "human:ruth", exit=3)
    assert 1 == orders_in(own_world)


def test_new_authority_for_a_revoked_principal_is_never_valid(own_world: Desk):
    """
    While an order on a principal is in force, what is issued to it is dead; after the lift only new tokens are active.
    """

    def issue(id: str) -> str:
        moment = datetime.now(UTC).isoformat()
        own_world.take({**token(id, actor="agent:mailer"), "occurred_at": moment})
        return own_world.state(f"token:{id}")

    target = "principal:agent:mailer"
    own_world.one("revoke", target, "--reason", "compromise", "--by", "human:ruth", "--execute", "--id", "r1")
    assert ["cascaded", "cascaded"] == [own_world.state("token:t2"), own_world.state("delegation:d2")]
    assert "revoked" == own_world.state(target) == own_world.state("workload:agent:mailer")
    assert "cascaded" == issue("t7")

    own_world.one("lift", "r1", "--by", "human:ruth")
    assert "active" == own_world.state(target)
    assert "active" == issue("t8")
    assert {"cascaded"} == {own_world.state(of) for of in ("token:t2", "delegation:d2", "token:t7")}


def test_an_order_spares_what_was_issued_later(own_world: Desk):
    """
    `--issued-before` hits what is older, strictly.
    """
    own_world.take(token("t6", "11:00"), token("t7", "11:01"))
    own_world.one(
        *("revoke", "principal:human:alice", "--reason", "test", "--by", "human:ruth"),
        *("--issued-before", day("11:01"), "--execute"),
    )

    assert ["cascaded", "active"] == [own_world.state("token:t6"), own_world.state("token:t7")]
    assert "active" == own_world.state("principal:human:alice")


def test_an_order_may_take_effect_later(own_world: Desk):
    """
    With `--effective-at` in the future the target stays active until then.
    """
    own_world.one(*REVOKE_T1, "--execute", "--effective-at", "2098-01-01T00:00:00Z")

    assert "active" == own_world.state("token:t1")
    assert "revoked" == own_world.state("token:t1", "--at", "2098-01-01T00:00:00Z")


@pytest.mark.parametrize(
    "words",
    [
        ["revoke", "token:t1", "--reason", "test", "--by", " human:ruth"],
        ["revoke", "token:t1", "--reason", "test", "--by", ""],
        ["revoke", "token:t1", "--reason", "test", "--by", "human:ruth", "--note", "x" * 5000],
        ["revoke", "token:t1", "--reason", "test", "--by", "human:ruth", "--id", "a\tb"],
        ["lift", "r0", "--by", "human:ruth "],
    ],
)
def test_an_order_with_invalid_fields_is_refused(own_world: Desk, words: list[str]):
    """
    A padded name, an over-long note, a control character: exit code 2, nothing ordered.
    """
    own_world.run(*words, *(["--execute"] if words[0] == "revoke" else []), exit=2)

    assert 1 == orders_in(own_world)


# Trust


TRUST = """
[sources."urn:idp"]
types = ["token.issued"]
prefixes = ["t"]

[sources."urn:gateway"]
types = ["action.performed", "decision.made"]

[sources."urn:ir"]
types = ["revocation.ordered", "revocation.lifted"]
prefixes = [""]
"""


@pytest.fixture
def guarded(desk: Desk) -> Desk:
    """A store with a trust file, and facts, only two of which (t1 and a1) are authorised."""
    trust = desk.folder / "trust.toml"
    trust.write_text(TRUST, encoding="utf-8")
    desk.options = ("--trust", str(trust))
    counts = desk.take(
        token("t1"),
        done("a1", token="t1"),
        raw_event("token.issued", "rogue", source="urn:rogue", token="t8", subject="human:mallory"),
        token("x1"),  # a prefix that is not its own
        granted("d1", "human:alice", "agent:planner"),  # a type that is not its own
        {**ordered("r1", "token", "t1"), "source": "urn:idp"},
    )

    assert (6, 2, 0, 0, 4, 0) == tuple(counts[key] for key in ["read", *COUNTS])
    return desk


def test_unauthorised_facts_have_no_effect(guarded: Desk):
    """
    Facts that the trust file does not allow are counted, are in no answer, and order nothing.
    """
    found = guarded.ask(
        "status", "token:t1", "token:t8", "token:x1", "delegation:d1", "principal:human:mallory", exit=3
    )

    assert ["active"] + ["not_found"] * 4 == [document.get("state", document.get("error")) for document in found]
    assert "active" == guarded.one("who", "a1")["authority"]["now"]["state"]
    assert ["t1"] == guarded.one("reach", "token:t1")["kills"]["tokens"]
    assert 2 == guarded.one("timeline", "token:t1")["total"]
    assert {"unauthorised", "late-fact"} == {item["kind"] for item in guarded.one("findings")["items"]}


def test_every_plan_says_which_trust_file_is_in_force(guarded: Desk):
    """
    A plan names the trust file; `doctor` does too, and says if there is none.
    """
    file = guarded.options[1]

    assert file == guarded.one("reach", "token:t1")["trust"]
    assert file in json.dumps(guarded.one("doctor")["checks"])
    assert "every source may state anything" in json.dumps(Desk(guarded.folder).one("doctor")["checks"])


def test_unauthorised_facts_are_shown(guarded: Desk):
    """
    An unauthorised fact is kept and shown: `findings` lists each, and cites it.
    """
    items = guarded.one("findings", "--kind", "unauthorised")["items"]

    cited = {item["of"]: item["facts"][0]["event_id"] for item in items}
    assert {
        "delegation:d1": "grant d1",
        "revocation:r1": "order r1",
        "token:t8": "rogue",
        "token:x1": "issue x1",
    } == cited
    assert len(cited) == len(items)


def test_an_order_under_an_unauthorised_source_is_refused(guarded: Desk):
    """
    It is refused before it reaches the log; an order under an authorised source is accepted.
    """
    order = ("revoke", "token:t1", "--reason", "test", "--by", "human:ruth", "--execute")

    refused = guarded.run(*order, exit=2)
    assert "urn:delegraph:cli" in refused.stderr
    assert 1 == orders_in(guarded)

    guarded.one(*order, "--source", "urn:ir")
    assert "revoked" == guarded.state("token:t1")


def test_another_trust_file_gives_other_answers_about_the_same_facts(guarded: Desk):
    """
    Without the file, facts that were unauthorised have effect: facts are kept, and the table is an argument.
    """
    open_to_all = Desk(guarded.folder)

    assert "revoked" == open_to_all.state("token:t1")
    assert "active" == open_to_all.state("token:t8")


@pytest.mark.parametrize(
    "text", ["not toml [", "[other]\n", '[sources."urn:x"]\ntypes = ["no.such"]\n', '[sources."urn:x"]\ntypes = "*"\n']
)
def test_an_invalid_trust_file_is_refused(desk: Desk, text: str):
    """
    A mistake in a trust file is a usage error that names the file; it never opens access.
    """
    trust = desk.folder / "trust.toml"
    trust.write_text(text, encoding="utf-8")
    desk.run("init")

    result = desk.run("search", "t", "--trust", str(trust), exit=2)
    missing = desk.run("search", "t", "--trust", str(trust) + ".none", exit=2)

    assert str(trust) in result.stderr
    assert str(trust) in missing.stderr


def test_an_order_on_the_topic_of_decisions_orders_nothing(own_world: Desk):
    """
    An order on the wrong topic is unauthorised; the same order on the topic of orders counts.
    """
    order = codec.encode(codec.event_from_document(ordered("r1", "token", "t1")))

    own_world.append(DECISIONS, order)
    before = own_world.one("consume", "--drain")["outcomes"]
    state = own_world.state("token:t1")
    own_world.append(ORDERS, order)
    after = own_world.one("consume", "--drain")["outcomes"]

    assert (1, "active") == (before["unauthorised"], state)
    assert (1, len(WORLD) + 1, 0) == (after["unauthorised"], after["accepted"], after["duplicates"])
    assert "revoked" == own_world.state("token:t1")
    assert "revoked" == own_world.state("token:t1", "--at", day("12:00"))
    assert ("unauthorised", "revocation:r1") in [
        (item["kind"], item["of"]) for item in own_world.one("findings")["items"]
    ]
    assert own_world.one("fsck")["ok"]


def test_a_lift_on_the_topic_of_decisions_lifts_nothing(desk: Desk):
    """
    A lift that arrived on the topic of decisions does not count either.
    """
    desk.take(token("t1"), ordered("r1", "token", "t1", mode="suspend"))
    desk.append(DECISIONS, codec.encode(codec.event_from_document(lifted("r1"))))
    desk.run("consume", "--drain")

    assert "suspended" == desk.state("token:t1")


# Quarantine, conflicts and findings


def test_quarantine_lists_reason_and_place(desk: Desk):
    """
    Each record in quarantine is listed with its reason, position and content, page by page.
    """
    file = desk.folder / "bad.jsonl"
    file.write_bytes(b'not json\n\n{"type": "token.revoked"}\n\xff\n')
    desk.run("ingest", "--format", "jsonl", str(file))

    document = desk.one("quarantine")
    first, second = desk.one("quarantine", "--limit", "2"), None
    second = desk.one("quarantine", "--after", first["next"])

    assert (3, True, None) == (document["total"], document["complete"], document["next"])
    assert [("json", 1), ("unknown-schema", 3), ("utf-8", 4)] == [
        (item["reason"], item["position"]) for item in document["items"]
    ]
    assert {str(file)} == {item["origin"] for item in document["items"]}
    assert ["not json", '{"type": "token.revoked"}', "/w=="] == [item["value"] for item in document["items"]]
    assert ["utf-8", "utf-8", "base64"] == [item["encoding"] for item in document["items"]]
    assert (2, False, 1) == (len(first["items"]), first["complete"], len(second["items"]))
    assert {"read": 3, "taken_up": 0, "waiting": 3} == without_as_of(desk.one("quarantine", "--retry"))


def test_retry_releases_records_that_have_become_readable(desk: Desk):
    """
    After an upgrade, a line of a file is appended, and a record of the log becomes a fact at its own position.
    """
    desk.run("init")
    line = json.dumps(token("t1")).encode()
    value = codec.encode(codec.event_from_document(token("t2")))
    desk.append(DECISIONS, value)
    log = open_log(desk.url, create=False, clock=now)
    [record] = log.read(DECISIONS, 0, 0, limit=1).records
    log.close()
    waiting = {"reason": "unknown-schema", "detail": "a later version may know it"}
    waiting |= {"recorded_at": record.recorded_at, "sha256": hashlib.sha256(value).hexdigest()}
    store = open_store(desk.url, codec.read)
    store.quarantine([RejectedRecord(number=None, origin="f.jsonl", place=7, size=len(line), value=line, **waiting)])
    rejected = RejectedRecord(number=0, origin="decisions/0", place=0, size=len(value), value=value, **waiting)
    store.write(Batch(unreadable=[rejected], advance={(DECISIONS, 0): (0, 1)}))
    store.close()
    unread = desk.ask("status", "token:t1", "token:t2", exit=3)
    at_first = desk.one("consume", "--drain")["outcomes"]

    document = desk.one("quarantine", "--retry")

    assert ["not_found"] * 2 == [found["error"] for found in unread]
    assert (0, 1) == (at_first["accepted"], at_first["quarantined"])
    assert {"read": 2, "taken_up": 2, "waiting": 0} == without_as_of(document)
    assert ["active", "active"] == [desk.state("token:t1"), desk.state("token:t2")]
    assert 0 == desk.one("quarantine")["total"]
    assert 2 == len(desk.one("quarantine", "--all")["items"])
    assert {"accepted": 2, "duplicates": 0, "quarantined": 0} == {
        key: count
        for key, count in desk.one("fsck")["outcomes"].items()
        if key in ("accepted", "duplicates", "quarantined")
    }
    assert {"read": 0, "taken_up": 0, "waiting": 0} == without_as_of(desk.one("quarantine", "--retry"))


def test_conflicts_show_every_content(desk: Desk):
    """
    One identity with two contents: both are shown with their digests, and both count.
    """
    desk.take(token("t1"), token("t1", subject="human:bob"), token("t1"), token("t2"))

    document = desk.one("conflicts")

    [item] = document["items"]
    assert (1, True, "urn:idp", "issue t1") == (
        document["total"],
        document["complete"],
        item["source"],
        item["event_id"],
    )
    assert {"human:alice", "human:bob"} == {content["event"]["subject"] for content in item["contents"]}
    assert 2 == len({content["digest"] for content in item["contents"]})
    assert {"tokens": ["t1"], "delegations": []} == desk.one("reach", "principal:human:bob")["kills"]


DISAGREEING = {
    "token": [token("t1"), token("t1", subject="human:bob", event_id="again")],
    "delegation": [
        granted("d1", "human:alice", "agent:a"),
        {**granted("d1", "human:alice", "agent:b"), "event_id": "again"},
    ],
    "principal": [registered("zed", "agent"), {**registered("zed", "human"), "event_id": "again"}],
    "action": [done("a1", tool="smtp"), done("a1", tool="imap", event_id="again")],
    "decision": [
        raw_event("decision.made", "q", decision="q1", permitted=True, operation="read"),
        raw_event("decision.made", "again", decision="q1", permitted=False, operation="read"),
    ],
}
FINDINGS = {
    "branch": ("token:t3", [token("t1"), token("t2"), token("t3", derived_from=[
        {"token": "t1", "role": "subject"}, {"token": "t2", "role": "subject"}])]),
    "branch of a delegation": ("delegation:d3", [
        granted("d1", "human:alice", "agent:a"), granted("d2", "human:bob", "agent:a"),
        granted("d3", "agent:a", "agent:b", parents=["d1", "d2"])]),
    "chain-mismatch": ("delegation:d2", [
        granted("d1", "human:alice", "agent:a"), granted("d2", "agent:z", "agent:b", parents=["d1"])]),
    "chain-mismatch of tokens": ("token:t2", [
        granted("d1", "human:alice", "agent:b"), token("t1", actor="agent:a"),
        derived("t2", "t1", actor="agent:b", delegation="d1")]),
    "wielder-mismatch": ("action:a1", [token("t1", actor="agent:a"), done("a1", token="t1", actor="agent:b")]),
    "wielder-mismatch of the subject": ("action:a1", [token("t1"), done("a1", token="t1", actor="agent:b")]),
    "wielder-mismatch of a workload": (
        "action:a1", [token("t1", workload="spiffe://x/a"), done("a1", token="t1", workload="spiffe://x/b")]),
    "wielder-mismatch of a key": (
        "action:a1", [token("t1", key_thumbprint="k1"), done("a1", token="t1", key_thumbprint="k2")]),
    "delegation-mismatch": ("action:a1", [
        granted("d1", "human:alice", "agent:a"), token("t1", actor="agent:a", delegation="d1"),
        done("a1", token="t1", delegation="d2")]),
    "subject-mismatch": ("action:a1", [token("t1"), done("a1", token="t1", on_behalf_of="human:bob")]),
    **{
        f"disagreement of a {of.split(':')[0]}": (of, DISAGREEING[of.split(":")[0]])
        for of in ("token:t1", "delegation:d1", "principal:zed", "action:a1", "decision:q1")
    },
    "shared-order-id": ("revocation:r1", [
        ordered("r1", "token", "t1"), ordered("r1", "token", "t2", event_id="another")]),
    "cycle": ("token:t1", [derived("t1", "t2"), derived("t2", "t1")]),
    "cycle of one": ("token:t1", [derived("t1", "t1")]),
    "kind-contradiction": ("principal:agent:a", [registered("agent:a", "human")]),
    "suspect": ("token:t1", [token("t1", prior_actors=["agent:p"]), ordered("r1", "principal", "agent:p")]),
    "lift-without-effect": ("revocation:r1", [token("t1"), ordered("r1", "token", "t1"), lifted("r1")]),
    "lift-without-effect of no order": ("revocation:r9", [lifted("r9")]),
    "sequence-hole": ("source:urn:idp", [token("t1", sequence=1), token("t3", sequence=3)]),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("named", FINDINGS)
def test_each_kind_of_finding_is_found(desk: Desk, named: str):
    """
    Each kind of finding that clause 8.2 lists is found, once, about the right thing, citing facts of the log.
    """
    of, events = FINDINGS[named]
    kind = named.split(" of ", maxsplit=1)[0]
    desk.take(*events)

    document = desk.one("findings")

    found = [item for item in document["items"] if item["kind"] == kind]
    assert {"items", "total", "complete", "next", "as_of", "not_evaluated"} <= set(document)
    assert [(kind, of)] == [(item["kind"], item["of"]) for item in found], document["items"]
    assert found[0]["why"]
    sent = {(event["source"], event["event_id"]) for event in events}
    cited = {(fact["source"], fact["event_id"]) for fact in found[0]["facts"]}
    assert cited
    assert cited <= sent


def test_two_findings_with_the_same_sentence_stay_two(desk: Desk):
    """
    Two orders under one id on the wrong topic are both reported, in whichever order they arrived.
    """
    wrong = [ordered("r1", "token", "t1", event_id="first"), ordered("r1", "token", "t2", event_id="second")]
    desk.append(DECISIONS, *(codec.encode(codec.event_from_document(event)) for event in wrong))
    desk.run("consume", "--drain")

    cited = [fact["event_id"] for item in desk.one("findings")["items"] for fact in item["facts"]]

    assert {"first", "second"} == set(cited)


def test_a_consistent_world_has_no_findings(desk: Desk):
    """
    A clean world has no findings: a gapless sequence, an acting subject, a lift of a suspension, an alias. Only
    the length and width of its grants are reported.
    """
    desk.take(
        registered("human:alice", "human", aliases=["okta|1"]),
        granted("d1", "human:alice", "agent:a"),
        token("t1", actor="agent:a", delegation="d1", sequence=1),
        token("t2", subject="human:bob", sequence=2),
        done("a1", token="t1", actor="agent:a", delegation="d1", on_behalf_of="okta|1"),
        done("a2", token="t2", actor="human:bob"),
        ordered("r1", "token", "t1", mode="suspend"),
        lifted("r1"),
    )

    posture = {"standing-access", "scope-unstated", "long-lived-credential", "late-fact", "dormant-but-alive"}
    assert set() == {item["kind"] for item in desk.one("findings")["items"]} - posture


def test_findings_are_listed_page_by_page(desk: Desk):
    """
    A page that is not the last says so, and its `next` leads on until everything was seen.
    """
    desk.take(*(token(f"t{n}", actor="agent:a") for n in range(120)))
    desk.take(*(done(f"a{n}", token=f"t{n}", actor="agent:b") for n in range(120)))
    only = ("findings", "--kind", "wielder-mismatch", "--limit", "50")

    pages = [desk.one(*only)]
    while pages[-1]["next"] is not None:
        pages.append(desk.one(*only, "--after", pages[-1]["next"]))

    assert 1 < len(pages)
    assert [False] * (len(pages) - 1) + [True] == [page["complete"] for page in pages]
    assert 120 == len({item["of"] for page in pages for item in page["items"]})


def test_findings_ignore_unauthorised_facts(guarded: Desk):
    """
    What an unauthorised source states contradicts nothing; it is only reported as unauthorised.
    """
    guarded.take(raw_event("token.issued", "other", source="urn:rogue", token="t1", subject="human:mallory"))

    assert {"unauthorised"} == {item["kind"] for item in guarded.one("findings")["items"]} - {"late-fact"}


# Lookups


def test_uses_say_who_held_a_token(world: Desk):
    """
    Every use of a token is listed in order, with the actor of the action and the party that the token was issued to.
    """
    document = world.one("uses", "token:t2")

    assert USES_KEYS == list(document)
    assert [("a1", "agent:mailer", "agent:mailer"), ("a2", "agent:rogue", "agent:mailer")] == [
        (item["action"], item["actor"], item["wielder"]) for item in document["items"]
    ]
    assert {"error": "not_found", "id": "token:t9"} == world.one("uses", "token:t9", exit=3)
    assert [] == world.one("uses", "token:t3")["items"]


def test_a_use_through_a_decision_is_a_use(desk: Desk):
    """
    An action that names only its decision was done with the decision's token: `uses`, `reach` and `who` say so.
    """
    desk.take(
        token("t1"),
        raw_event("decision.made", "decide", "09:59", decision="q1", permitted=True, operation="read", token="t1"),
        done("a1", decision="q1"),
    )

    assert ["a1"] == [item["action"] for item in desk.one("uses", "token:t1")["items"]]
    assert 1 == desk.one("reach", "token:t1")["actions"]["count"]
    assert "token:t1" == desk.one("who", "a1")["authority"]["element"]


def test_a_timeline_has_every_fact_about_a_thing(world: Desk):
    """
    It lists everything that mentions the token, earliest first.
    """
    document = world.one("timeline", "token:t2")

    assert ["token.issued", "decision.made", "action.performed", "action.performed"] == [
        item["type"] for item in document["items"]
    ]
    assert ["action:a1", "action:a2"] == [item["of"] for item in document["items"][2:]]
    assert {"error": "not_found", "id": "token:t9"} == world.one("timeline", "token:t9", exit=3)


def test_diff_says_what_changed_its_state(own_world: Desk):
    """
    It lists what was revoked with the target between two instants, each element with both states.
    """
    own_world.take(ordered("r1", "delegation", "d1", "12:00"))

    document = own_world.one("diff", "delegation:d1", "--from", day("11:59"), "--to", day("12:00"))
    same = own_world.one("diff", "delegation:d1", "--from", day("12:00"), "--to", day("12:30"))

    assert [
        ("delegation", "d1", "active", "revoked"),
        ("delegation", "d2", "active", "cascaded"),
        ("token", "t1", "active", "cascaded"),
        ("token", "t2", "active", "cascaded"),
    ] == [(item["kind"], item["id"], item["from"]["state"], item["to"]["state"]) for item in document["items"]]
    assert [] == same["items"]
    own_world.one("diff", "token:t9", "--from", day("11:00"), "--to", day("12:00"), exit=3)


def test_diff_of_a_principal_begins_with_itself(own_world: Desk):
    """
    The state of the principal itself comes first, then those of everything that names it.
    """
    own_world.take(ordered("r1", "principal", "agent:mailer", "12:00"))

    document = own_world.one("diff", "principal:agent:mailer", "--from", day("11:00"), "--to", day("13:00"))

    assert [("principal", "agent:mailer"), ("delegation", "d2"), ("token", "t2")] == [
        (item["kind"], item["id"]) for item in document["items"]
    ]


def test_search_finds_ids_that_contain_a_text(world: Desk):
    """
    Case does not matter; `%` and `_` are literal; an incomplete list says so.
    """
    assert [{"kind": "principal", "id": "agent:mailer"}, {"kind": "principal", "id": "spiffe://x/mailer"}] == (
        world.one("search", "MAILER")["items"]
    )
    assert ([], []) == (world.one("search", "m_iler")["items"], world.one("search", "%")["items"])
    cut = world.one("search", "t", "--limit", "2")
    assert (2, None, False) == (len(cut["items"]), cut["total"], cut["complete"])
    assert cut["next"]


@pytest.mark.parametrize(
    "words",
    [
        ["who", "a1", "a2", "a3", "a4"],
        ["chain", "token:t2", "token:t3", "delegation:d2"],
        ["status", "token:t3", "principal:agent:mailer"],
        ["reach", "delegation:d1"],
        ["uses", "token:t2"],
        ["timeline", "token:t2"],
        ["diff", "token:t3", "--from", day("10:00"), "--to", day("12:00")],
        ["search", "t"],
        ["quarantine"],
        ["conflicts"],
        ["findings"],
        ["doctor"],
        ["init"],
    ],
)
def test_output_for_people_is_text(world: Desk, words: list[str]):
    """
    Without `--json` every command prints text for people, without a brace of a document.
    """
    result = world.run(*words)

    assert result.stdout.strip()
    assert "{" not in result.stdout
    assert "" == result.stderr


def test_who_for_people_begins_with_the_answer(own_world: Desk):
    """
    The first sentence says what was done, by whom, with what, for whom, and whether it was and is authorised.
    """
    own_world.one(*REVOKE_T1, "--execute", "--id", "r1")

    first = " ".join(own_world.run("who", "a1").stdout.split("\n\n")[0].split())

    for word in ("mail.send", "agent:mailer", "t2", "human:alice", "active", "r1"):
        assert word in first, first


def test_a_plan_for_people_explains_its_effect(own_world: Desk):
    """
    An order on a principal applies until it is lifted; what survives is named.
    """
    plan = own_world.run("revoke", "principal:agent:mailer", "--reason", "test", "--by", "human:ruth").stdout

    assert "Until reinstated" in plan
    assert "never valid" in plan
    assert "spiffe://x/mailer" in plan


# Maintenance


def test_rebuild_leaves_every_answer_as_it_was(own_world: Desk):
    """
    After a rebuild facts, times, duplicates, conflicts and quarantine are the same.
    """
    file = own_world.folder / "bad.jsonl"
    file.write_text("not json\n", encoding="utf-8")
    own_world.run("ingest", "--format", "jsonl", str(file))
    own_world.append(DECISIONS, b"\xc3\x01garbage")
    own_world.take(*WORLD[:3], token("t1", subject="human:bob"))
    before = answers(own_world), own_world.one("quarantine")["total"]
    plan = own_world.one(*REVOKE_T1)["plan_digest"]

    rebuilt = own_world.one("rebuild")

    assert before == (answers(own_world), own_world.one("quarantine")["total"])
    assert rebuilt["records"] == sum(rebuilt["outcomes"].values())
    assert own_world.one("fsck")["ok"]
    assert own_world.one(*REVOKE_T1, "--execute", "--plan-digest", plan)["executed"]


def test_fsck_of_a_sound_store_is_ok(own_world: Desk):
    """
    Nothing differs, and every record of the log is accounted for.
    """
    own_world.take(*WORLD)
    own_world.append(DECISIONS, b"\xc3\x01garbage")
    own_world.run("consume", "--drain")

    document = own_world.one("fsck")

    assert ["ok", "records", "outcomes", "differences", "as_of"] == list(document)
    assert (True, [], 2 * len(WORLD) + 1) == (document["ok"], document["differences"], document["records"])
    assert document["records"] == sum(document["outcomes"].values())
    assert COUNTS == list(document["outcomes"])


# Changes that someone may make to the file by hand. (Role numbers as they are stored: 1 depends, 3 uses, 4 target.)
DAMAGE = {
    "a fact deleted": "DELETE FROM fact WHERE n = (SELECT max(n) FROM fact WHERE n < 1 << 60)",
    "the order deleted": "DELETE FROM fact WHERE n >= 1 << 60",
    "a fact about something else": "UPDATE fact SET about = about + 1 WHERE n = 5",
    "a fact of another source": "UPDATE fact SET source = source + 1 WHERE n = 5",
    "a fact recorded earlier": "UPDATE fact SET recorded_at = recorded_at - 1 WHERE n = 5",
    "a fact at another place": "UPDATE fact SET n = n + 1000 WHERE n = 5",
    "a fact with the words of another": "UPDATE fact SET value = (SELECT value FROM fact WHERE n = 6) WHERE n = 5",
    "a fact without its end": "UPDATE fact SET until = 0 WHERE n = 4",
    "an order marked as misrouted": "UPDATE fact SET misrouted = 1 WHERE n >= 1 << 60",
    "a fact twice": (
        "INSERT INTO fact SELECT n + 1000, ident, about, outcome, misrouted, recorded_at, until, source, sequence, "
        "value FROM fact WHERE n = 5"
    ),
    "a dependency deleted": "DELETE FROM sorted_ref WHERE role = 1",
    "a dependency that is not found from below": "DELETE FROM sorted_upward WHERE role = 1",
    "a dependency that is found below another element": "UPDATE sorted_upward SET about = about + 1 WHERE role = 1",
    "a dependency that ended": "UPDATE sorted_ref SET until = 1 WHERE role = 1",
    "an order without its target": "DELETE FROM sorted_ref WHERE role = 4",
    "an order on something else": "UPDATE sorted_ref SET key = key + 1 WHERE role = 4",
    "a target that leads to another fact": "UPDATE sorted_ref SET n = n - 1 WHERE role = 4",
    "a use that leads to another fact": "UPDATE sorted_ref SET n = n + 1 WHERE role = 3",
    "a fact that is not found by its subject": "DELETE FROM sorted_about WHERE n = 5",
    "a fact that is found by another subject": "UPDATE sorted_about SET key = key + 1 WHERE n = 5",
    "a fact that is not found by its identity": "DELETE FROM sorted_ident WHERE n = 5",
    "a run of the index that is not searched": "DELETE FROM run",
    "a sighting deleted": "DELETE FROM sighting WHERE n = (SELECT max(n) FROM sighting)",
    "a sighting of another fact": "UPDATE sighting SET fact = fact + 1, recorded_at = 1",
    "the names deleted": "DELETE FROM name",
    "a record gone from quarantine": "DELETE FROM quarantine WHERE n IS NOT NULL",
    "a record in quarantine with other bytes": "UPDATE quarantine SET value = x'00'",
    "a position ahead": "UPDATE position SET next_offset = next_offset + 1 WHERE topic = 'decisions'",
    "a position behind": "UPDATE position SET next_offset = next_offset - 1 WHERE topic = 'decisions'",
    "a position far behind": "UPDATE position SET next_offset = 3 WHERE topic = 'decisions'",
    "the positions gone": "DELETE FROM position",
}


@pytest.fixture
def seen_twice(own_world: Desk) -> Desk:
    """WORLD with two duplicates in the log, and in it one record that cannot be read."""
    own_world.append(DECISIONS, b"\xc3\x01garbage")
    own_world.take(*WORLD[:2])
    return own_world


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE)
def test_fsck_finds_changes_made_by_hand(seen_twice: Desk, damage: str):
    """
    Whatever was changed by hand, fsck says where and exits with 6; rebuild repairs it.
    """
    before = answers(seen_twice)
    seen_twice.sql(DAMAGE[damage])

    document = seen_twice.one("fsck", exit=6)

    assert not document["ok"]
    assert document["differences"]
    seen_twice.run("rebuild")
    assert seen_twice.one("fsck")["ok"]
    assert before == answers(seen_twice)


def test_fsck_reports_differences_as_text(own_world: Desk):
    """
    Without `--json` the difference is on standard output, the remedy on standard error, and the exit code is 6.
    """
    own_world.sql(DAMAGE["a fact deleted"])

    result = own_world.run("fsck", exit=6)

    assert "fact" in result.stdout
    assert "delegraph rebuild" in result.stderr


@pytest.mark.parametrize("stored", ["x'00ff'", "x''", "x'c301'", "zeroblob(40)"])
def test_a_stored_fact_that_cannot_be_read_is_damage(own_world: Desk, stored: str):
    """
    A question that reads bytes that are not an event reports a damaged store with exit code 6, not 2.
    """
    own_world.sql(f"UPDATE fact SET value = {stored} WHERE n = 5")

    result = own_world.run("status", "token:t2", "token:t1", exit=6)

    assert "Traceback" not in result.output
    own_world.one("fsck", exit=6)
    own_world.run("rebuild")
    assert "active" == own_world.state("token:t2")


def test_a_store_whose_pages_are_damaged_says_so(own_world: Desk):
    """
    Zeroed pages give exit code 6 and a sentence, never an answer.
    """
    with sqlite3.connect(own_world.file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [size] = connection.execute("PRAGMA page_size").fetchone()
        pages = [page for (page,) in connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'fact'")]
    connection.close()
    with own_world.file.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * size)
            file.write(b"\xff" * size)

    result = own_world.run("status", "token:t1", exit=6)

    assert "damaged" in result.stderr
    assert "Traceback" not in result.output


def test_a_log_that_lost_records_is_noticed(own_world: Desk):
    """
    If the log is shorter than what was projected from it, `doctor` and fsck say so.
    """
    own_world.sql('DELETE FROM log_record WHERE topic = 0 AND "offset" >= 10')

    assert not own_world.one("fsck", exit=6)["ok"]
    assert not own_world.one("doctor", exit=5)["ok"]


def test_a_log_with_a_changed_record_is_noticed(own_world: Desk):
    """
    If a record of the log is not the one that was projected, fsck says so.
    """
    own_world.sql("UPDATE log_record SET value = x'00' WHERE topic = 0 AND \"offset\" = 4")

    assert not own_world.one("fsck", exit=6)["ok"]


def test_doctor_reports_what_is_available_and_what_is_not(own_world: Desk, tmp_path: Path):
    """
    If all is well the exit code is 0; without a store it is 5, and the document is printed nevertheless.
    """
    own_world.append(DECISIONS, b"\xc3\x01garbage")

    well = own_world.one("doctor")
    away = Desk(tmp_path / "none").one("doctor", exit=5)

    keys = ["ok", "store", "log", "trust", "source", "versions", "checks", "settings", "config", "positions", "kafka"]
    assert keys == list(well)
    assert {"trust": True, "store": True, "log": True, "projection": True, "retention": True} == {
        check["check"]: check["ok"] for check in well["checks"]
    }
    assert "1 records behind" in json.dumps(well["checks"])
    assert (False, False) == (away["ok"], {check["check"]: check["ok"] for check in away["checks"]}["store"])
    assert all(check["says"] for check in away["checks"])


def test_schema_is_the_wire_contract():
    """
    `schema` prints the Avro schema; `--json` also its name, version, fingerprint and digest.
    """
    plain, with_names = invoke("schema"), json.loads(invoke("schema", "--json").stdout)

    assert "DecisionEvent" == json.loads(plain.stdout)["name"]
    assert ["name", "version", "fingerprint", "sha256", "schema"] == list(with_names)
    assert json.loads(plain.stdout) == with_names["schema"]


def test_vectors_let_a_producer_in_another_language_prove_itself():
    """
    `schema --vectors` prints one vector per line: an event with the bytes and the digest that we compute.
    """
    vectors = [json.loads(text) for text in invoke("schema", "--vectors").stdout.split("\n") if text]

    assert set(BODIES) == {vector["event"]["type"] for vector in vectors}
    for vector in vectors:
        event = codec.event_from_document(vector["event"])
        assert (codec.encode(event).hex(), digest(event)) == (vector["bytes"], vector["digest"]), vector["name"]


def test_the_demo_proves_that_the_children_are_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    `demo` runs in a temporary store, exits with 0, leaves nothing behind, and prints documents with `--json`.
    """
    monkeypatch.chdir(tmp_path)

    for_people, for_machines = invoke("demo"), invoke("demo", "--json")

    assert (0, 0) == (for_people.exit_code, for_machines.exit_code)
    assert [] == list(tmp_path.iterdir())
    assert "human:alice" in for_people.stdout
    assert all(json.loads(line) for line in for_machines.stdout.split("\n") if line)
