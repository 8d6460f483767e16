"""The doctor's checks of a log on Kafka: cluster, topics, replicas, group, clock; each as far as permitted."""

from contextlib import ExitStack
from typing import Final

from ingest.kafka.cluster_report import JUDGED, KafkaAdmin, faults_of_copies, faults_of_settings, opened_admin
from ingest.kafka.log import KafkaLog, refuse_lost
from lineage.core.model.errors import DelegraphError, IntegrityError, RefusedError
from lineage.core.model.times import SECOND
from lineage.serve.cli.doctor_checks import Checks, ago, seconds
from lineage.serve.config.settings import Settings
from lineage.serve.config.wiring import now
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.records.lost_records import refuse_lost_records
from lineage.serve.text.text_page import many
from lineage.store.store import Store

_MOST_AHEAD: Final = SECOND  # of a record that was just written, by our clock


def examine(
    checks: Checks, settings: Settings, log: KafkaLog, store: Store | None, stack: ExitStack, *, answers: bool
) -> Document:
    """Check a log on Kafka, and return what was found there.

    Args:
        checks: Receives the checks.
        settings: The connection, and the group that is checked.
        log: The log.
        store: The store it is projected to; None if that does not answer.
        stack: Closes what is opened.
        answers: Whether the topics can be read; if not, only the cluster is checked.
    """
    found: Document = {"cluster": None, "version": None, "brokers": [], "topics": {}, "group": None}

    admin = checks.opened("cluster", opened_admin(log), stack)
    if admin is None or not checks.ask("cluster", lambda: _cluster(admin, settings, found)) or not answers:
        return found
    _topics(checks, log, admin, found)
    if store is not None:
        checks.ask("records", lambda: _held(log, store))
    checks.ask_if_allowed("group", lambda: _group(admin, settings.group, found))
    checks.ask_if_allowed("broker clock", lambda: _broker_clock(admin))
    return found


def _cluster(admin: KafkaAdmin, settings: Settings, found: Document) -> str:
    described = admin.cluster()
    found.update(cluster=described.id, version=described.version, brokers=list(described.brokers))
    brokers = many(len(described.brokers), "broker")
    return f"cluster {described.id}, {brokers} of Kafka {described.version}; {_connection(settings)}"


def _connection(settings: Settings) -> str:
    """Describe the connection and its security."""
    kafka = settings.kafka
    safe = "encrypted" if kafka.encrypted else "not encrypted"
    if kafka.authenticated:
        who = f"as {kafka.username!r} by {kafka.sasl_mechanism}" if kafka.username else f"by {kafka.sasl_mechanism}"
    else:
        who = f"by the certificate {kafka.cert_file}" if kafka.cert_file else "without a login"
    return f"the connection is {safe}, {who}"


def _topics(checks: Checks, log: KafkaLog, admin: KafkaAdmin, found: Document) -> None:
    """Check the settings and replicas of the topics."""
    try:
        topics, begins = log.topics(), log.begins()
        partitions = admin.partitions()
    except DelegraphError as fault:
        checks.report("topics", str(fault), ok=False)
        return
    for topic, described in topics.items():
        found["topics"][topic] = {
            "name": described.name,
            "id": described.id,
            "partitions": described.partitions,
            "replication": described.replication,
            "settings": None,
        }
    listed = ", ".join(f"{each.name} {each.partitions} x {each.replication}" for each in topics.values())
    try:
        settings = log.topic_settings()
    except RefusedError as fault:  # reading a topic does not require permission to see its settings
        checks.report("topics", f"{listed} (partitions x copies); their settings are not for us to see: {fault}")
        settings = {}
    else:
        faults = []
        for topic, described in topics.items():
            found["topics"][topic]["settings"] = {name: settings[topic].get(name) for name in JUDGED}
            gone = sum(begin for (of, _), begin in begins.items() if of == topic)
            faults += faults_of_settings(described.name, settings[topic], gone=gone)
        checks.wrong("topics", faults, f"{listed} (partitions x copies), kept forever, stamped by the broker")
    by_name = {topics[topic].name: of for topic, of in settings.items()}
    single = any(each.copies == 1 for each in partitions)
    lonely = "; one copy each: the disk of a broker is all there is" if single else ""
    checks.wrong("copies", faults_of_copies(partitions, by_name), f"every copy of every partition counts{lonely}")


def _held(log: KafkaLog, store: Store) -> str:
    if store.log not in (None, log.identity):
        return "not asked: the store has read another log"
    refuse_lost(log, store.positions())
    refuse_lost_records(log, store, "the store has them, but can no longer be rebuilt from the log")
    return "the log holds every record that the store has, and every one that is not projected yet"


def _group(admin: KafkaAdmin, name: str, found: Document) -> str:
    described = admin.group(name)
    if described is None or not described.members:
        return f"no consumer of the group {name!r} is running; start one with 'delegraph consume'"
    found["group"] = {"name": name, "state": described.state, "members": described.members}
    return f"{many(described.members, 'consumer')} of the group {name!r}, {described.state.lower()}"


def _broker_clock(admin: KafkaAdmin) -> str:
    """Determine without writing whether the brokers' clock was ever ahead of ours."""
    newest, at = admin.newest(), now()
    if newest is None:
        return "not known, because the log has no records"
    if newest > at + _MOST_AHEAD:
        raise IntegrityError(f"the brokers' clock is ahead of ours by at least {seconds(newest - at)}")
    return f"not ahead of ours: by it the newest record was written {ago(max(at - newest, 0))} ago"
