"""`delegraph collect` as a process: what it ingests, how soon it is in answers, and what it reports as unreadable."""

import pytest

from tests.support.collecting import Collector, line, until
from tests.support.configured_sources import Configured

OPA = """
[[source]]
name = "opa-eu"
format = "opa"
follow = "opa.jsonl"
"""


@pytest.fixture
def desk(tmp_path):
    """Create an empty folder."""
    return Configured(tmp_path)


def is_known(desk: Configured, number: int) -> bool:
    """Whether a decision is projected."""
    return bool(desk.file.exists() and desk.one("search", f"opa-eu#d-{number}")["items"])


def test_without_an_input_there_is_nothing_to_collect(desk):
    """
    The message says what to write.
    """
    desk.settings('[[source]]\nname = "opa-eu"\nformat = "opa"\n')

    assert "give one follow, http, tcp, kafka_topic or otlp" in desk.run("collect", exit=2).output


def test_a_drain_ingests_and_projects_existing_records(desk):
    """
    Paths are relative to the settings file; a second run ingests nothing.
    """
    desk.settings(OPA)
    (desk.folder / "opa.jsonl").write_bytes(line(1) + line(2) + b"garbage\n")

    assert {
        "sources": [
            {"name": "opa-eu", "records": 3, "events": 3, "skipped": {}, "quarantined": {"json": 1}},
        ]
    } == desk.one("collect", "--drain")
    assert "opa-eu: 0 records" in desk.run("collect", "--drain").output
    assert 1 == len(desk.one("quarantine")["items"])


def test_a_drain_that_could_not_read_a_file_fails(desk):
    """
    Readable files are ingested; a file of unknown format in a folder is only reported in the log.
    """
    desk.settings(OPA.replace('"opa.jsonl"', '["opa.jsonl", "notes.txt", "loop.jsonl"]'))
    (desk.folder / "opa.jsonl").write_bytes(line(1))
    (desk.folder / "notes.txt").write_bytes(b"call the vendor\n" * 100)
    loop = desk.folder / "loop.jsonl"
    loop.symlink_to(loop)

    [source] = desk.one("collect", "--drain", exit=5)["sources"]
    assert (1, [str(loop)]) == (source["records"], list(source["unread"]))
    assert f"NOT READ {loop}" in " ".join(desk.run("collect", "--drain", exit=5).output.split())
    loop.unlink()
    assert "unread" not in desk.one("collect", "--drain")["sources"][0]


def test_a_written_record_is_seen_within_two_seconds(desk):
    """
    A signal ends the process cleanly.
    """
    desk.settings(OPA)
    desk.run("init")
    log = desk.folder / "opa.jsonl"
    log.write_bytes(line(1))
    with Collector(desk) as collector:
        until(lambda: is_known(desk, 1))
        with log.open("ab") as file:
            file.write(line(2))
        seconds = until(lambda: is_known(desk, 2), every=0.05)
        assert 0 == collector.stop(), collector.output

    assert seconds < 2.5, "a question takes some of it"


def test_a_source_that_the_trust_file_does_not_list_is_reported(desk):
    """
    Its facts are kept, but have no effect.
    """
    desk.settings(OPA)
    trust = desk.folder / "trust.toml"
    trust.write_text('[sources."urn:other"]\ntypes = ["*"]\nprefixes = [""]\n', encoding="utf-8")
    (desk.folder / "opa.jsonl").write_bytes(line(1))
    with Collector(desk, "--trust", str(trust)) as collector:
        until(lambda: "the trust file does not list urn:opa:opa-eu" in collector.output)
