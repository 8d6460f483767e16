"""`delegraph try`: what your own logs contain, in a temporary store."""

import gzip
import json
import random
import signal
from pathlib import Path

import httpx
import pytest

from tests.support.cloudtrail_records import event, sts
from tests.support.desk import Desk, invoke
from tests.support.places import DATA, ROOT
from tests.support.serving import process

INCIDENT = ROOT / "examples" / "incident.jsonl"
RECORDS = [sts(id_="e1"), event(id_="e2", identity={"type": "AWSService", "invokedBy": "ec2.amazonaws.com"})]


def tried(*words, exit=0):
    result = invoke("try", *map(str, words), "--json")
    assert exit == result.exit_code, result.output
    return json.loads(result.stdout)


def screen(*words, columns):
    result = invoke("try", *map(str, words), env={"COLUMNS": str(columns), "TERM": "dumb"})
    assert 0 == result.exit_code, result.output
    return result.stdout.splitlines()


def lines(folder, name, records):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return file


def test_what_is_in_the_incident(tmp_path):
    """
    The answers are those of a permanent store; each file is accounted for; and nothing is left behind.
    """
    found = tried(INCIDENT)
    desk = Desk(tmp_path)
    kept = desk.one("ingest", str(INCIDENT))
    kind, _, id_ = found["longest"]["of"].partition(":")
    who = desk.one("who", id_) if kind == "action" else desk.one("chain", found["longest"]["of"])

    assert {name: kept[name] for name in ("read", "accepted", "duplicates")} == {
        name: found["read"][name] for name in ("read", "accepted", "duplicates")
    }
    assert [(str(INCIDENT), "jsonl", 44, 44)] == [
        (one["file"], one["format"], one["records"], one["events"]) for one in found["files"]
    ]
    assert [hop["known_as"] for hop in who["chain"]] == [hop["id"] for hop in found["longest"]["hops"]]
    assert found["counts"]["actions"] == sum(found["roots"].values())
    assert {"human:alice@example.com"} <= {one["id"] for one in found["people"]}
    assert found["gaps"]["total"] > 0
    assert {one["kind"] for one in found["findings"]["items"]} <= set(found["findings"]["by_kind"])
    assert "late-fact" not in found["findings"]["by_kind"]
    assert ["delegraph.db"] == [path.name for path in tmp_path.iterdir() if path.suffix == ".db"]


def test_a_folder(tmp_path):
    """
    Every file below it with a known format is read, compressed or not; the others are named with the reason.
    """
    lines(tmp_path, "a/one.json", RECORDS[:1])
    (tmp_path / "b.log.gz").write_bytes(gzip.compress(json.dumps(RECORDS[1]).encode()))
    (tmp_path / "notes.md").write_text("# Notes\n", encoding="utf-8")
    (tmp_path / "empty.log").write_text("", encoding="utf-8")
    lines(tmp_path, ".hidden/two.json", RECORDS)

    found = tried(tmp_path)

    assert [("b.log.gz", "cloudtrail", 1), ("one.json", "cloudtrail", 1)] == sorted(
        (Path(one["file"]).name, one["format"], one["records"]) for one in found["files"]
    )
    assert [("empty.log", "empty", "empty"), ("notes.md", "other-format", "of no known format")] == sorted(
        (Path(one["file"]).name, one["cause"], one["why"]) for one in found["unread"]
    )


def test_every_record_of_every_file_is_accounted_for(tmp_path):
    """
    Skipped and quarantined ones are listed with their file and the reason.
    """
    good = lines(tmp_path, "good.json", [*RECORDS, event(id_="e3", eventCategory="Insight")])
    bad = lines(tmp_path, "bad.json", [event(id_="e4"), event(id_="e5", eventTime="soon"), "no object"])
    mixed = tmp_path / "own.jsonl"
    mixed.write_bytes(INCIDENT.read_bytes() + b"{}\n")

    one, two, own = tried(good, bad, mixed)["files"]

    assert (3, {"insight": 1}, {}) == (one["records"], one["skipped"], one["quarantined"])
    assert (3, {}, {"bad-time": 1, "not-an-object": 1}) == (two["records"], two["skipped"], two["quarantined"])
    assert (45, 44, 1) == (own["records"], own["events"], sum(own["quarantined"].values()))
    assert "eventID" in one["known_by"]


@pytest.mark.parametrize("seed", range(3))
def test_how_a_log_is_split_does_not_matter(tmp_path, seed):
    """
    One file, or its lines in any order over several, gives the same result.
    """
    records = INCIDENT.read_text(encoding="utf-8").splitlines(keepends=True)
    random.Random(seed).shuffle(records)
    for number in range(3):
        (tmp_path / f"{number}.jsonl").write_text("".join(records[number::3]), encoding="utf-8")

    whole, cut = tried(INCIDENT), tried(tmp_path)

    for name in ("counts", "roots", "people", "agents", "gaps"):
        assert whole[name] == cut[name], name


def test_a_file_of_no_known_format(tmp_path):
    """
    It is refused with the formats that were tried; so is a folder that contains nothing else.
    """
    file = tmp_path / "notes.json"
    file.write_text('{"subject": "lunch"}', encoding="utf-8")

    named = invoke("try", str(INCIDENT), str(file))
    below = invoke("try", str(tmp_path))

    assert (2, "") == (named.exit_code, named.stdout)
    assert "has no known format" in named.stderr
    assert '"subject"' in named.stderr
    assert (2, "") == (below.exit_code, below.stdout)
    for looked_for in ("eventID and eventName", "auditID", "resourceSpans", "event_id"):
        assert looked_for in below.stderr
    assert 2 == invoke("try", str(tmp_path / "none.json")).exit_code
    assert 2 == invoke("try").exit_code


def test_standard_input():
    """
    A pipe is read once.
    """
    result = invoke("try", "-", "--json", stdin=gzip.compress(INCIDENT.read_bytes()))

    assert 0 == result.exit_code, result.output
    assert 44 == json.loads(result.stdout)["read"]["read"]


def test_files_named_in_several_ways(tmp_path, monkeypatch):
    """
    Relative and absolute paths, and two files of one name.
    """
    one = lines(tmp_path, "a/audit.json", RECORDS[:1])
    lines(tmp_path, "b/audit.json", RECORDS[1:])
    monkeypatch.chdir(tmp_path)

    shown = "\n".join(screen(one, "b/audit.json", columns=100))

    assert "a/audit.json: cloudtrail" in shown
    assert "b/audit.json: cloudtrail" in shown


def test_logs_without_an_action(tmp_path):
    """
    The page says that nothing was found.
    """
    file = lines(tmp_path, "insights.json", [event(id_="e1", eventCategory="Insight")])

    found = "\n".join(screen(file, columns=80))

    assert "These files contain no actions, tokens or decisions." in found
    assert "1 skipped (insight)" in found


@pytest.mark.parametrize("columns", [80, 100])
def test_it_fits_a_screen(columns):
    """
    The answer comes first, and everything fits on one screen.
    """
    shown = screen(INCIDENT, columns=columns)

    assert "actions by" in shown[0]
    assert "lead to a person" in " ".join(shown[1:3])
    assert len(shown) <= 24
    assert max(map(len, shown)) <= columns


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["agentcore", "cerbos", "cloudtrail", "gcp", "keycloak", "kubernetes", "mcp", "opa", "openbao", "otel", ""]
)
def test_real_logs(name):
    """
    Each folder of real logs, and all of them at once: every file of a known format is read, on one screen.
    """
    if not DATA.is_dir():
        pytest.skip("no real logs: set DELEGRAPH_TEST_DATA to the folder that holds them")
    found = tried(DATA / name)
    shown = screen(DATA / name, columns=80)

    assert found["counts"]["actions"] + found["counts"]["decisions"] > 0
    assert 0 == sum(sum(one["quarantined"].values()) for one in found["files"])
    assert len(shown) <= (40 if name == "" else 24)
    assert {Path(one["file"]).suffix for one in found["unread"]} <= {
        *(".md", ".py", ".json", ".yaml", ".rego", ".conf", ".sh", ".txt"),
    }


@pytest.mark.slow
def test_serving_the_pages(tmp_path):
    """
    With `--serve` it can be explored in a browser until it is stopped; then the store is deleted.
    """
    with process(tmp_path, "try", "--serve", str(INCIDENT)) as (started, first):
        assert "actions by" in first
        link = next(line.strip() for line in started.stdout if "/sign-in" in line)
        with httpx.Client(base_url=link.partition("/sign-in")[0]) as browser:
            browser.get(link)
            who = browser.get("/v1/who?action=mail-7").json()
            page = browser.get("/who?action=mail-7", headers={"accept": "text/html"})
        started.send_signal(signal.SIGINT)
        assert 0 == started.wait(30)

    assert "human:alice@example.com" == who["human"]
    assert "alice" in page.text
