"""Random changes of a log and of everything derived from it: each is found, and its place is reported."""

import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from kafka import TopicPartition

from ingest.kafka.log import KafkaLog
from ingest.opening import open_log
from lineage.core.model.records import DECISIONS, Record
from lineage.serve.cli.demo import incident_path
from lineage.serve.config.wiring import now
from tests.support.desk import Desk
from tests.support.kafka_worlds import administering, producing, wait_until
from tests.support.tampering import PARTS, Site, opened_site, tamper


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with opened_site() as opened:
        yield opened


def test_every_change_is_found(site: Site):
    """
    Every part is changed in every way; ``tamper`` fails with the first change that is missed. docs/evidence.md has the
    table of 100,000.
    """
    found = tamper(site, random.Random("tampering"), 120)

    assert {(part, change) for part, (_, changes, _) in PARTS.items() for change in changes} == {
        (part, change) for part, change, _ in found
    }
    assert {"fsck", "the witness", "a reader of checkpoints", "the verifier"} == {by for *_, by in found}


def test_an_unchanged_site_has_no_faults(site: Site):
    """
    Otherwise the test above would be vacuous.
    """
    assert [] == site.faults()


@pytest.mark.slow
@pytest.mark.kafka
def test_records_rewritten_by_a_broker_operator_are_found(kafka_url: str, tmp_path: Path):
    """
    The topic is deleted and created again with one record changed and the same times. The next consumer refuses it as
    another log. If the operator also controls the store and binds it to that log, fsck and a rebuild find the record.
    """
    desk = Desk(tmp_path, ("--log", kafka_url), {"DELEGRAPH_EVIDENCE_KEY_FILE": str(tmp_path / "key.pem")})
    desk.run("init", "--partitions", "1")
    desk.run("evidence", "keygen", str(tmp_path / "key.pem"))
    desk.run("emit", str(incident_path()))
    desk.run("consume", "--drain")
    desk.run("evidence", "checkpoint")
    with closing(open_log(kafka_url, create=False, clock=now)) as log:
        assert isinstance(log, KafkaLog)
        genuine = log.read(DECISIONS, 0, 0, limit=1_000).records
        values = [record.value or b"" for record in genuine]
        changed = next(at for at, value in enumerate(values) if b"agent:scraper" in value)
        values[changed] = values[changed].replace(b"agent:scraper", b"agent:planner")
        _write_again(log, values, genuine)
        identity = log.identity

    refused = desk.run("consume", "--drain", exit=6)
    assert "has read another log than this one" in " ".join(refused.output.split())

    with sqlite3.connect(desk.file) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'log'", (identity,))
    differences = desk.one("fsck", exit=6)["differences"]
    assert f"tree: decisions/0 differs from offset {changed} on" in differences
    assert any("is not of these records: the log was changed since" in one for one in differences)
    assert "nothing was replaced" in desk.run("rebuild", exit=6).output


@pytest.mark.slow
@pytest.mark.kafka
def test_records_deleted_by_a_broker_operator_are_found(kafka_url: str, tmp_path: Path):
    """
    First the beginning of a partition is deleted, then the topic is created again with only its first records: the
    partition and the offset are reported. Later records are still projected, since an order must not be held up.
    """
    desk = Desk(tmp_path, ("--log", kafka_url), {"DELEGRAPH_EVIDENCE_KEY_FILE": str(tmp_path / "key.pem")})
    desk.run("init", "--partitions", "1")
    desk.run("evidence", "keygen", str(tmp_path / "key.pem"))
    desk.run("emit", str(incident_path()))
    desk.run("consume", "--drain")
    desk.run("evidence", "checkpoint")
    with closing(open_log(kafka_url, create=False, clock=now)) as log:
        assert isinstance(log, KafkaLog)
        genuine = log.read(DECISIONS, 0, 0, limit=1_000).records
        name = log.topic_name(DECISIONS)
        with administering(log.servers) as admin:
            admin.delete_records({TopicPartition(name, 0): 7})
        desk.run("emit", str(incident_path()))
        deleted = "decisions/0 of the log begins at offset 7: records that were projected from it, from offset 0"

        consumed = desk.run("consume", "--drain")
        assert (True, True) == (deleted in consumed.output, f"{len(genuine)} records projected" in consumed.output)
        for command in ("fsck", "rebuild"):
            assert deleted in desk.run(command, exit=6).output, command
        assert f"FAULT records: {deleted}" in " ".join(desk.run("doctor", exit=5).output.split())

        _write_again(log, [record.value or b"" for record in genuine[:20]], genuine[:20])
        identity = log.identity
    assert "has read another log than this one" in " ".join(desk.run("consume", "--drain", exit=6).output.split())

    with sqlite3.connect(desk.file) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'log'", (identity,))
    shorter = f"{name}/0 ends at 20, but {2 * len(genuine)} of its records were projected: the log has lost records"
    assert shorter in desk.run("consume", "--drain", exit=6).output
    differences = desk.one("fsck", exit=6)["differences"]
    assert any("has more records than the 20 of the log: some are missing" in one for one in differences)
    assert "nothing was replaced" in desk.run("rebuild", exit=6).output


def _write_again(log: KafkaLog, values: list[bytes], records: Sequence[Record]) -> None:
    """Delete the topic of decisions, and create it again with other values at the same times."""
    name = log.topic_name(DECISIONS)
    with administering(log.servers) as admin:
        admin.delete_topics([name])
        wait_until(lambda: name not in admin.list_topics())
        configs = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
        made = {"num_partitions": 1, "replication_factor": 1, "configs": configs}
        admin.create_topics({name: made}, wait_for_metadata=True)
    log.forget()
    with producing(log.servers) as producer:
        for value, record in zip(values, records, strict=True):
            producer.send(name, value, timestamp_ms=record.recorded_at // 1_000).get(30)
