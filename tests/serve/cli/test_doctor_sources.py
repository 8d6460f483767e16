"""The doctor checks the inputs of named sources: what it reports about each, and the remedies."""

import json
import os
import socket
from pathlib import Path

import pytest

from compose.native.processes import LOOPBACK, ports_of
from tests.support.collecting import Collector, decision, line, until
from tests.support.configured_sources import Configured
from tests.support.desk import invoke

TOKEN = "a-token-of-sixteen-characters"


@pytest.fixture
def desk(tmp_path: Path) -> Configured:
    """An empty folder."""
    return Configured(tmp_path)


def examined(desk: Configured, *words: str) -> dict[str, tuple[bool, str]]:
    """Return what the doctor reports about the sources and their inputs, by check."""
    env = {"DELEGRAPH_CONFIG": str(desk.folder / "delegraph.toml")}
    answer = invoke("doctor", "--json", "--store", desk.url, *words, env=env)
    document = json.loads(answer.stdout)
    assert document["ok"] == all(check["ok"] for check in document["checks"])
    return {check["check"]: (check["ok"], check["says"]) for check in document["checks"]}


def test_a_source_that_was_read_has_its_counts_and_its_lag(desk):
    """
    For a file it reports the bytes that were not read yet; a gzip counts as a whole until it was read.
    """
    desk.settings('[[source]]\nname = "opa-eu"\nformat = "opa"\nfollow = "opa.jsonl"\n')
    desk.run("init")
    (desk.folder / "opa.jsonl").write_bytes(line(1))
    before = examined(desk)
    desk.run("collect", "--drain")
    with (desk.folder / "opa.jsonl").open("ab") as file:
        file.write(line(2))
    after = examined(desk)

    assert (True, "no record has come yet") == before["source opa-eu"]
    assert (True, f"1 file, {len(line(1))} bytes behind") == before["opa-eu (follow)"]
    assert after["source opa-eu"][0]
    assert after["source opa-eu"][1].startswith("1 record; the last one came ")
    assert (True, f"1 file, {len(line(2))} bytes behind") == after["opa-eu (follow)"]


def test_the_inputs_are_checked_without_a_store_as_well(desk):
    """
    The number of records is then reported as unknown.
    """
    desk.settings('[[source]]\nname = "opa-eu"\nformat = "opa"\nfollow = "opa.jsonl"\n')
    (desk.folder / "opa.jsonl").write_bytes(line(1))
    found = examined(desk)

    assert not found["store"][0]
    assert "the store does not answer" in found["source opa-eu"][1]
    assert (True, f"1 file, {len(line(1))} bytes behind") == found["opa-eu (follow)"]


@pytest.mark.parametrize(
    ("follow", "message"),
    [
        ("absent.jsonl", "absent.jsonl: nothing is there: does the system write its log there, and is 'follow' right?"),
        ("absent/*.jsonl", "nothing is there"),
        ("other.jsonl", "other.jsonl: it holds kubernetes records, and the source has the format opa: move it away"),
        ("closed.jsonl", "closed.jsonl: it may not be read: let the user of 'delegraph collect' read it"),
        ("closed", "closed: it may not be read"),
    ],
)
def test_a_path_that_cannot_be_followed_is_named_with_the_remedy(desk, follow, message):
    """
    This covers a missing path, one with another system's records, and one that may not be read.
    """
    if "closed" in follow and os.geteuid() == 0:
        pytest.skip("root may read everything")
    desk.settings(f'[[source]]\nname = "opa-eu"\nformat = "opa"\nfollow = "{follow}"\n')
    desk.run("init")
    event = {"kind": "Event", "apiVersion": "audit.k8s.io/v1", "auditID": "a", "stage": "ResponseComplete"}
    (desk.folder / "other.jsonl").write_text(json.dumps(event) + "\n", encoding="utf-8")
    (desk.folder / "closed.jsonl").write_bytes(line(1))
    (desk.folder / "closed.jsonl").chmod(0)
    (desk.folder / "closed").mkdir(mode=0)
    ok, result = examined(desk)["opa-eu (follow)"]

    assert not ok
    assert message in result


@pytest.mark.slow
def test_an_address_is_free_or_used_by_a_collector_or_another_program(desk):
    """
    A collector is recognised by its answer, and over TCP by its process.
    """
    ports = ports_of(desk.folder / "ports", ("http", "tcp"))
    http, tcp = f"{LOOPBACK}:{ports['http']}", f"{LOOPBACK}:{ports['tcp']}"
    desk.settings(
        f'[[source]]\nname = "posted"\nformat = "opa"\nhttp = "{http}"\ntoken = "{TOKEN}"\n'
        f'[[source]]\nname = "lines"\nformat = "opa"\ntcp = "{tcp}"\n'
    )
    desk.run("init")
    free = examined(desk)
    with Collector(desk) as collector:
        until(lambda: "collecting:" in collector.output)
        ours = examined(desk)
        assert 0 == collector.stop()
    with socket.create_server((LOOPBACK, ports["http"])), socket.create_server((LOOPBACK, ports["tcp"])):
        checked = examined(desk)

    for check, address in (("posted (http)", http), ("lines (tcp)", tcp)):
        assert free[check][0]
        assert free[check][1].startswith(f"{address} is free: 'delegraph collect' is not running")
        assert ours[check][0]
        assert ours[check][1].startswith(f"'delegraph collect' listens on {address}")
        ok, result = checked[check]
        assert not ok
        assert result.startswith(f"{address} is taken by ")
        assert f"give '{check[-5:].strip('( )')}' another address" in result


def test_sources_without_a_usable_token_or_trust_are_faults(desk):
    """
    This covers a missing token, a missing token file, and a source that the trust file does not list.
    """
    port = ports_of(desk.folder / "ports", ("http",))["http"]
    (desk.folder / "token").write_text(f"{TOKEN}\n", encoding="utf-8")
    desk.settings(
        f'[[source]]\nname = "without"\nformat = "opa"\nhttp = "{LOOPBACK}:{port}"\n'
        f'[[source]]\nname = "with"\nformat = "opa"\nhttp = "{LOOPBACK}:{port}"\ntoken_file = "token"\n'
    )
    trust = desk.folder / "trust.toml"
    trust.write_text('[sources."urn:opa:with"]\ntypes = ["*"]\nprefixes = [""]\n', encoding="utf-8")
    desk.run("init")
    found = examined(desk, "--trust", str(trust))

    assert (False, True) == (found["without (http)"][0], found["with (http)"][0])
    assert "give it a token_file" in found["without (http)"][1]
    assert (False, True) == (found["source without"][0], found["source with"][0])
    assert f'add [sources."urn:opa:without"] to {trust}' in found["source without"][1]


def test_a_topic_has_the_number_of_records_not_ingested_yet(desk, kafka):
    """
    A missing topic is named, with its setting.
    """
    from kafka import KafkaAdminClient, KafkaProducer
    from kafka.admin import NewTopic

    topic = f"doctor-{os.urandom(6).hex()}"
    desk.settings(f'[[source]]\nname = "cerbos-eu"\nformat = "opa"\nkafka_topic = "kafka://{kafka}/{topic}"\n')
    desk.run("init")
    absent = examined(desk)["cerbos-eu (kafka_topic)"]
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.create_topics([NewTopic(topic, 2, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=kafka)
    for number in range(5):
        producer.send(topic, json.dumps(decision(number)).encode(), partition=number % 2)
    producer.flush()
    before = examined(desk)["cerbos-eu (kafka_topic)"]
    desk.run("collect", "--drain")
    producer.send(topic, json.dumps(decision(5)).encode(), partition=0)
    producer.close()
    after = examined(desk)["cerbos-eu (kafka_topic)"]

    assert not absent[0]
    assert f"there is no topic {topic} at {kafka}" in absent[1]
    assert "'kafka_topic' of the source 'cerbos-eu' names it" in absent[1]
    assert (True, f"{topic}: 2 partitions, 5 records behind") == before
    assert (True, f"{topic}: 2 partitions, 1 records behind") == after
