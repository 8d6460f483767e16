"""Messages about findings are sent in order until they are accepted, and none is lost."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from ingest.codec import api as codec
from ingest.kafka.revocation_topic import RevocationTopic
from lineage.core.model.errors import RefusedError
from lineage.core.model.finding import Severity
from lineage.core.model.times import SECOND, Instant
from lineage.deliver.findings.finding_feed import TOPIC, FindingFeed
from lineage.deliver.findings.webhook_sender import NotAcceptedError, WebhookSender
from lineage.deliver.findings.webhook_settings import Webhook, webhooks_of
from lineage.store import kept_findings
from lineage.store.delivery import outbox
from lineage.store.delivery.ssf_streams import count_dead_letters, dead_letters
from lineage.store.kept_findings import CHANGED, OPENED, REFRESHED, RESOLVED, StoredFinding
from lineage.store.store import Store, open_store
from tests.support.crashes import here
from tests.support.finding_cases import D1, A, done, issued
from tests.support.kafka_worlds import started, wait_until
from tests.support.webhook_receiver import Receiver, receiving

SECRET = "a secret between two"


class NotifiedStore:
    """A store with a hand-written index of findings, and a webhook."""

    def __init__(self, store: Store, receiver: Receiver, folder: Path) -> None:
        self.store = store
        self.receiver = receiver
        self.now: Instant = 1_790_000_000 * SECOND
        self._secret = folder / "secret"
        self._secret.write_text(SECRET, encoding="utf-8")

    def write(self, *changes: tuple[str, str]) -> None:
        """Write changes of findings: what happened to each; ``kind/number`` names a finding."""
        before = kept_findings.state_of(self.store)
        kept = [(change, finding(name, change)) for change, name in changes]
        kept_findings.write(self.store, before, before, kept, self.now)

    def sender(self, **fields: Any) -> WebhookSender:
        fields = {"severity": Severity.HIGH, **fields}
        webhook = Webhook(name="oncall", url=self.receiver.url, secret=self._secret, **fields)
        return WebhookSender(self.store, webhook, lambda: self.now)

    def heard(self) -> list[tuple[str, str]]:
        return [(one["type"], one["finding"]["of"]) for one in self.receiver.accepted if "finding" in one]


def finding(name: str, change: str, severity: int = 4) -> StoredFinding:
    kind, _, number = name.partition("/")
    status = "resolved" if change == RESOLVED else "new"
    document = {"id": f"F-{name}", "kind": kind, "of": f"action:{number}", "about": None, "status": status}
    return StoredFinding(f"F-{name}", kind, f"action:{number}", None, severity, status, 0, 0, document)


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[NotifiedStore]:
    store = open_store(f"sqlite:///{tmp_path}/store.db", codec.read, create=True)
    with receiving(SECRET.encode()) as receiver:
        yield NotifiedStore(store, receiver, tmp_path)
    store.close()


def again(sender: WebhookSender) -> None:
    sender._not_before = 0.0  # the wait is over


def test_changes_are_sent_in_order(notified: NotifiedStore):
    """
    Opened, changed and resolved, each once; a version that only adds evidence, or is less severe than requested, is not
    sent.
    """
    sender = notified.sender()
    notified.write((OPENED, "old/1"))
    sender.turn()
    notified.write((OPENED, "a/1"), (OPENED, "b/2"))
    notified.write((REFRESHED, "a/1"))
    notified.write((CHANGED, "b/2"), (RESOLVED, "a/1"))
    while sender.turn():
        pass

    expected = [("opened", "1"), ("opened", "2"), ("changed", "2"), ("resolved", "1")]
    assert [(f"finding.{change}", f"action:{number}") for change, number in expected] == notified.heard()
    assert sender.counts.accepted == 4


def test_a_message_is_sent_until_accepted_and_none_overtakes_it(notified: NotifiedStore):
    """
    After 503 and after no response the same message is sent again under the same id, and the next only then.
    """
    sender = notified.sender()
    sender.turn()
    notified.write((OPENED, "a/1"), (OPENED, "a/2"))
    notified.receiver.answers = [503, 429]
    for _ in range(2):
        with pytest.raises(NotAcceptedError):
            sender.turn()
        assert 0 == sender.turn()  # it waits
        again(sender)
    other = notified.sender()  # after a crash
    other.turn()

    assert [("finding.opened", "action:1"), ("finding.opened", "action:2")] == notified.heard()
    assert 1 == len(set(notified.receiver.ids[:3]))
    assert 2 == sender.counts.failed


def test_a_permanently_refused_message_is_a_dead_letter(notified: NotifiedStore):
    """
    The next one is sent, the refused one is kept with the reason, and it does not count as a failure of a stream.
    """
    sender = notified.sender()
    sender.turn()
    notified.write((OPENED, "a/1"), (OPENED, "a/2"))
    notified.receiver.answers = [422]
    sender.turn()

    assert [("finding.opened", "action:2")] == notified.heard()
    [letter] = dead_letters(notified.store, limit=9)
    assert ("webhook:oncall", "422") == (letter.receiver, letter.error)
    assert 0 == count_dead_letters(notified.store)
    assert 1 == count_dead_letters(notified.store, receiver="webhook:oncall")


@pytest.mark.parametrize("later", [61 * SECOND, -3_600 * SECOND])
def test_messages_held_back_are_sent_as_a_number(notified: NotifiedStore, later: int):
    """
    Each rule has a limit per minute; further findings are counted by rule and reported when the minute is over, even
    after a crash. So they are once a clock that was an hour ahead is right: the minute must not last an hour.
    """
    sender = notified.sender(most_per_minute=2)
    sender.turn()
    notified.write(*((OPENED, f"a/{number}") for number in range(7)), (OPENED, "b/9"))
    sender.turn()
    assert [f"action:{number}" for number in (0, 1, 9)] == [of for _, of in notified.heard()]
    notified.now += later
    notified.write((OPENED, "a/8"))
    other = notified.sender(most_per_minute=2)
    other.turn()

    [message] = [one for one in notified.receiver.accepted if one["type"] == "findings.held_back"]
    assert {"a": 5} == message["held_back"]
    assert ("finding.opened", "action:8") == notified.heard()[-1]
    assert 5 == sender.counts.held_back


def test_unwanted_versions_are_skipped_in_one_transaction(notified: NotifiedStore):
    """
    Versions that are not sent do not cost a transaction each, which on SQLite would be a wait for the disk. A failed
    message is still the next one, and earlier versions are not read again.
    """
    sender = notified.sender()
    sender.turn()
    turns = outbox.cursor_of(notified.store, sender.name).turn
    notified.write(*((REFRESHED, f"a/{number}") for number in range(5)))
    notified.write(*((OPENED, f"b/{number}") for number in range(2)))
    notified.receiver.answers = [204, 503]
    with pytest.raises(NotAcceptedError):
        sender.turn()
    stopped_at = outbox.cursor_of(notified.store, sender.name)
    assert (turns + 1, kept_findings.latest_seq(notified.store) - 1) == (stopped_at.turn, stopped_at.seq)
    notified.write(*((REFRESHED, f"c/{number}") for number in range(5)))
    again(sender)
    sender.turn()

    assert turns + 3 == outbox.cursor_of(notified.store, sender.name).turn
    assert ["action:0", "action:1"] == [of for _, of in notified.heard()]


def test_the_topic_has_the_last_version_of_each_finding(notified: NotifiedStore, kafka_url: str):
    """
    Every change is a record under the finding's id, in order; one that is sent again after a crash is the same.
    """
    topic = RevocationTopic(kafka_url, topic=TOPIC)
    feed = FindingFeed(notified.store, topic)
    feed.begin()
    notified.write((OPENED, "a/1"), (OPENED, "a/2"))
    assert 2 == feed.deliver()
    notified.write((REFRESHED, "a/2"), (RESOLVED, "a/1"))
    other = FindingFeed(notified.store, RevocationTopic(kafka_url, topic=TOPIC))
    other.begin()
    assert 1 == other.deliver()

    found = records_of(topic, kafka_url)
    assert [("F-a/1", "opened"), ("F-a/2", "opened"), ("F-a/1", "resolved")] == found
    topic.close()
    other._topic.close()


def records_of(topic: RevocationTopic, url: str) -> list[tuple[str, str]]:
    servers = url.removeprefix("kafka://").partition("/")[0]
    consumer = KafkaConsumer(bootstrap_servers=servers, isolation_level="read_committed")
    place = TopicPartition(topic.name, 0)
    consumer.assign([place])
    consumer.seek_to_beginning(place)
    found, until = [], time.monotonic() + 20
    while len(found) < 3 and time.monotonic() < until:
        records = consumer.poll(timeout_ms=500).get(place, ())
        found += [(one.key.decode(), json.loads(one.value)["type"].removeprefix("finding.")) for one in records]
    consumer.close()
    return found


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"url": "http://hooks.example/x"}, "https://"),
        ({"url": "nowhere"}, "a webhook"),
        ({"secret_file": None}, "secret_file"),
        ({"severity": "awful"}, "severity"),
        ({"kinds": ["no-such-rule"]}, "no-such-rule"),
        ({"most_per_minute": 0}, "most_per_minute"),
        ({"timeout_seconds": True}, "timeout_seconds"),
        ({"secret": "here"}, "secret"),
    ],
)
def test_an_invalid_webhook_is_refused_by_name(options: dict[str, Any], named: str):
    """
    The message names the setting, and nothing is sent.
    """
    table = {"url": "https://hooks.example/x", "secret_file": "s", **options}
    table = {name: value for name, value in table.items() if value is not None}

    with pytest.raises(RefusedError, match=named):
        webhooks_of({"oncall": table}, rules=["conflict"], file=Path("settings.toml"))


@pytest.mark.slow
def test_a_process_reports_a_theft_and_stops_on_sigterm(tmp_path: Path):
    """
    While ``findings keep`` runs, a token used without a grant is reported to the webhook within seconds, and reported
    as resolved after a late grant; after SIGTERM the process reports what it did.
    """
    url = f"sqlite:///{tmp_path}/store.db"
    here(url, "init")
    with receiving(SECRET.encode()) as receiver:
        (tmp_path / "oncall.secret").write_text(SECRET, encoding="utf-8")
        settings = tmp_path / "settings.toml"
        table = f'[webhooks.oncall]\nurl = "{receiver.url}"\nsecret_file = "oncall.secret"\n'
        settings.write_text(table, encoding="utf-8")
        run = started("findings", "keep", "--json", "--store", url, config=str(settings))
        try:
            take(url, tmp_path, D1)
            wait_until(lambda: here(url, "findings")[0].get("kept") is not None, seconds=30)
            take(url, tmp_path, done("stolen", token="ghost", actor=A))
            wait_until(lambda: told_types(receiver, "action:stolen") == ["finding.opened"], seconds=30)
            take(url, tmp_path, issued("ghost", actor=A))
            wait_until(lambda: told_types(receiver, "action:stolen")[-1] == "finding.resolved", seconds=30)
        finally:
            run.terminate()
        stdout, stderr = run.communicate(timeout=60)

    assert 0 == run.returncode, stderr
    [webhook] = json.loads(stdout)["webhooks"]
    assert ("oncall", 0, 0) == (webhook["name"], webhook["refused"], webhook["held_back"])
    assert len(receiver.accepted) == webhook["accepted"]


def take(url: str, folder: Path, *events: dict[str, Any]) -> None:
    file = folder / "events.jsonl"
    file.write_text("".join(f"{json.dumps(one)}\n" for one in events), encoding="utf-8")
    here(url, "ingest", str(file))


def told_types(receiver: Receiver, of: str) -> list[str]:
    notified = [one for one in receiver.accepted if one.get("finding", {}).get("kind") == "unattributed-action"]
    return [one["type"] for one in notified if one["finding"]["of"] == of]
