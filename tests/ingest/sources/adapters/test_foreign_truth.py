"""Real logs of real systems, and copies in other forms, compared with the known behaviour of those systems."""

import gzip
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.foreign_worlds import Desk, data, principals, truth
from tests.support.mutated_logs import KEYCLOAK_CONSOLES, WRAPPINGS, one_a_line, records_of, renamed, shifted, shuffled
from tests.support.real_truths import SYSTEMS, System, Truth

ALL = list(SYSTEMS)
LATER = timedelta(days=-400, hours=5, seconds=7)


def check(system: System, tmp_path: Path, known: Truth, files: Sequence[Path]) -> None:
    """Import the files and query; then import them again, which changes nothing."""
    desk = Desk(tmp_path, system.settings_for(known))
    words = [*(("--source", system.source) if system.source else ()), *files]
    counts = desk.ingest(*words)
    assert counts["read"] == counts["accepted"] + counts["duplicates"]
    system.check(desk, known)
    again = desk.ingest(*words)
    assert (again["read"], 0) == (again["duplicates"], again["accepted"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_the_original_log(tmp_path, name):
    """
    The answers are what the system did.
    """
    system = SYSTEMS[name]
    folder = data(system.folder)
    check(system, tmp_path, truth(folder), [folder / file for file in system.files])


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_another_run_with_other_names_in_another_order(tmp_path, name):
    """
    Every id, name and time is different; records come in any order, twice, in two files of which one is compressed.
    """
    system = SYSTEMS[name]
    known, records = _renamed(system)
    mixed = shuffled([*records, *records], seed=7)
    (tmp_path / "second.log").write_bytes(one_a_line(mixed[::2]))
    (tmp_path / "first.log.gz").write_bytes(gzip.compress(one_a_line(mixed[1::2])))

    check(system, tmp_path, known, [tmp_path / "second.log", tmp_path / "first.log.gz"])


@pytest.mark.slow
@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("name", ALL)
def test_any_wrapper(tmp_path, name, wrapping):
    """
    In the forms in which collectors and people pass logs on.
    """
    system = SYSTEMS[name]
    folder = data(system.folder)
    records = [record for file in system.files for record in records_of(folder / file)]
    (tmp_path / "wrapped").write_bytes(WRAPPINGS[wrapping](records))

    check(system, tmp_path, truth(folder), [tmp_path / "wrapped"])


@pytest.mark.slow
@pytest.mark.parametrize("console", KEYCLOAK_CONSOLES)
def test_keycloak_on_any_console(tmp_path, console):
    """
    As text with stack traces between its lines, through a container runtime, or in another form of JSON.
    """
    system = SYSTEMS["keycloak lines"]
    folder = data(system.folder)
    records = [record for file in system.files for record in records_of(folder / file)]
    (tmp_path / "console.log").write_bytes(KEYCLOAK_CONSOLES[console](records))

    check(system, tmp_path, truth(folder), [tmp_path / "console.log"])


@pytest.mark.slow
@pytest.mark.parametrize("order", ["cab", "cba", "bac"])
@pytest.mark.parametrize("name", [name for name in ALL if not SYSTEMS[name].is_whole])
def test_many_commands_with_the_later_parts_first(tmp_path, name, order):
    """
    A log in three parts, each read by a separate process, the last or the second before the first.
    """
    system = SYSTEMS[name]
    folder = data(system.folder)
    known = truth(folder)
    records = [record for file in system.files for record in records_of(folder / file)]
    third = len(records) // 3
    parts = {"a": records[:third], "b": records[third : 2 * third], "c": records[2 * third :]}
    desk = Desk(tmp_path, system.settings_for(known))
    for part in order:
        (tmp_path / f"{part}.jsonl").write_bytes(one_a_line(parts[part]))
        desk.ingest(*(("--source", system.source) if system.source else ()), tmp_path / f"{part}.jsonl")

    system.check(desk, known)


def _renamed(system: System) -> tuple[Truth, list[Any]]:
    """Return the expected answers and the records of a run with all names replaced."""
    folder = data(system.folder)
    others = {word: f"{word[::-1]}x" for word in system.words}
    known = json.loads(_other(json.dumps(truth(folder)), others))
    records = [record for file in system.files for record in records_of(folder / file)]
    return known, json.loads(_other(json.dumps(records), others))


def _other(text: str, words: dict[str, str]) -> str:
    return shifted(renamed(text, words, "another run"), LATER)


CLOUDTRAIL = {
    "a public set": ("data", "cloudtrail", "ec2_proxy_s3_exfiltration_2020-09-14011940.json"),
    "keys of every kind": ("repro", "spoofed_source_identity.json"),
}


@pytest.mark.parametrize("mixed", [False, True], ids=["as written", "another run, in another order"])
@pytest.mark.parametrize("name", CLOUDTRAIL)
def test_cloudtrail(tmp_path, name, mixed):
    """
    Every action under a key that the log issues has at its root the requester of the first key of its line.
    """
    file = data("cloudtrail").parents[1].joinpath(*CLOUDTRAIL[name])
    if not file.exists():
        pytest.skip(f"{file.name} is not there: set DELEGRAPH_TEST_DATA to the folder of real logs")
    records = records_of(file)
    if mixed:
        records = shuffled(json.loads(_other(json.dumps(records), {"pedro": "ines", "mallory": "trudy"})), seed=3)
    (tmp_path / "trail.jsonl").write_bytes(one_a_line(records))
    desk = Desk(tmp_path)
    desk.ingest(tmp_path / "trail.jsonl")

    expected = callers(records)
    roots = {answer["action"]: answer["root"] for answer in desk.ask("who", expected)}

    assert expected == roots
    assert len(expected) >= 7
    made = [record["responseElements"]["accessKey"] for record in records if record["eventName"] == "CreateAccessKey"]
    keys = [f"token:aws#{key['accessKeyId']}" for key in made]
    assert ["active"] * len(keys) == ([answer["state"] for answer in desk.ask("status", keys)] if keys else [])


def callers(records: list[Any]) -> dict[str, str]:
    """Map each action to the requester of its key, or of the key with which that one was requested."""
    asked = {}
    for record in records:
        answer = record.get("responseElements") or {}
        given = answer.get("credentials") or answer.get("accessKey") or {}
        is_own = record["userIdentity"]["type"] != "AWSAccount"  # the copy for another account names nobody
        if is_own and record["eventSource"] in {"sts.amazonaws.com", "iam.amazonaws.com"} and "accessKeyId" in given:
            asked[given["accessKeyId"]] = record["userIdentity"]
    found = {}
    for record in records:
        identity = record["userIdentity"]
        if identity.get("accessKeyId") not in asked:
            continue
        while identity.get("accessKeyId") in asked:
            identity = asked[identity["accessKeyId"]]
        found[f"aws#{record['eventID']}"] = identity.get("arn") or identity["invokedBy"]
    return found


def test_agentcore(tmp_path):
    """
    In AWS's two samples, the refused call is denied, and the call allowed by a JWT is by the party that its claims
    name.
    """
    desk, file = Desk(tmp_path), data("agentcore", "gateway_from_aws_docs.json")
    desk.ingest(file)
    records = records_of(file)
    answers = list(desk.ask("who", [f"aws#{record['eventID']}" for record in records]))

    refused, allowed = (
        records.index(next(one for one in records if ("jwt" in json.dumps(one)) == is_)) for is_ in (0, 1)
    )
    claims = records[allowed]["additionalEventData"]["jwt"]["claims"]
    assert ("denied", None) == (answers[refused]["outcome"], answers[refused]["root"])
    assert f"{claims['iss']}#{claims['sub']}" == answers[allowed]["root"]
    assert records[allowed]["requestParameters"]["body"]["params"]["name"] == answers[allowed]["tool"]


@pytest.mark.parametrize("mixed", [False, True], ids=["as written", "another run, in another order"])
def test_gcp(tmp_path, mixed):
    """
    The last delegator is the one it was done for; the nearest one directly precedes the actor.
    """
    records = records_of(data("gcp", "plaso_gcp_logging.jsonl"))
    if mixed:
        records = shuffled(json.loads(_other(json.dumps(records), {"dvwa": "shop"})), seed=3)
    (tmp_path / "gcp.jsonl").write_bytes(one_a_line(records))
    desk = Desk(tmp_path)
    counts = desk.ingest(tmp_path / "gcp.jsonl")
    expected = {}
    for record in records:
        result = record.get("protoPayload", {}).get("authenticationInfo", {})
        handed = result.get("serviceAccountDelegationInfo", ())
        others = [one["firstPartyPrincipal"]["principalEmail"] for one in reversed(handed)]
        if "principalEmail" in result:
            expected[f"gcp#{record['insertId']}"] = [f"gcp#{mail}" for mail in (*others, result["principalEmail"])]

    found = {answer["action"]: principals(answer) for answer in desk.ask("who", expected)}

    assert expected == found
    assert len(records) == len(expected) + sum(counts["skipped"].values())
