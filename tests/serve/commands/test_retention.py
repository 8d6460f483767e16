"""Retention on real stores: answers and proofs stay valid, holds keep what they name, and deletions are certified."""

import json
import random
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codec import api as codec
from ingest.log.port import Entry, Log, entry_of
from ingest.opening import open_log
from ingest.trust_file import Trust
from lineage.core.evidence.notes import KeyKind
from lineage.core.model.errors import DelegraphError, IntegrityError, RefusedError, UnavailableError
from lineage.core.model.events import (
    ActionPerformed,
    Body,
    Derivation,
    Event,
    HoldChanged,
    RevocationOrdered,
    Target,
    TokenIssued,
)
from lineage.core.model.records import Position, Slice
from lineage.core.model.times import format_instant
from lineage.deliver.tlog.note_keys import NoteKeys, note_keys
from lineage.serve.commands import holds, maintenance, retention
from lineage.serve.commands.checkpoints import sign
from lineage.serve.config.wiring import now
from lineage.serve.queries.records.lost_records import lost_records
from lineage.serve.queries.retention.deletions import deleted
from lineage.serve.queries.revocations.closure import closure
from lineage.serve.queries.service import Service
from lineage.serve.text import render_chain
from lineage.store.retention_runs import last_run, only_run
from lineage.store.store import open_store
from tests.support import stores, worlds
from tests.support.desk import Desk, day, derived, done, ordered, token
from tests.support.kafka_worlds import made_log
from tests.support.text import piped

PRIVATE = Ed25519PrivateKey.generate()
KEYS: NoteKeys = note_keys("audit.example", KeyKind.ED25519, PRIVATE, [PRIVATE.public_key()])
LATE = worlds.grid[-1] + 400 * 86_400_000_000
FILLER = 300  # records after a world, so that all of its own are in full tiles


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


@pytest.fixture(scope="module", params=stores.KINDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[stores.Fresh]:
    yield from stores.fresh_places(request)


@contextmanager
def service_of(fresh: stores.Fresh, folder: Path, records: list[dict[str, Any]]) -> Iterator[tuple[Service, Clock]]:
    """Create a service over a log with these records, followed by others."""
    clock = Clock()
    file = folder / "log.db"
    file.unlink(missing_ok=True)
    log = open_log(f"sqlite:///{file}", create=True, clock=clock)
    for record in records:
        clock.now = record["recorded_at"]
        event = codec.decode_line(json.dumps(record["event"]).encode())
        log.append([Entry(record["via"], codec.encode(event))])
    clock.now = LATE - 1
    others = (ActionPerformed(f"filler-{number}", "noop", "succeeded") for number in range(FILLER))
    log.append(entry_of(Event(body.action, "urn:filler", clock.now, body)) for body in others)
    clock.now = LATE
    with fresh() as url:
        store = open_store(url, codec.read, create=True)
        service = Service(store, log, Trust(), clock, source="urn:test")
        service.catch_up()
        yield service, clock
        store.close()
    log.close()


def answers(service: Service, records: list[dict[str, Any]]) -> dict[Any, Any]:
    """Return every answer without findings, which may be about deleted records."""
    values: dict[Any, Any] = {}
    for kind, id_ in worlds.questions(records):
        values[kind, id_] = service.status(kind, id_, at=LATE)
        if kind in ("token", "delegation"):
            values["chain", kind, id_] = service.chain(kind, id_, at=LATE)
    for action in worlds.actions(records):
        values["who", action] = service.who(action, at=LATE)
    for revocation in worlds.REVOCATIONS:
        values["closure", revocation] = closure(service, revocation, at=LATE)
    ignored = {"findings", "as_of"}
    return {
        key: None if doc is None else {name: one for name, one in doc.items() if name not in ignored}
        for key, doc in values.items()
    }


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_answers_about_remaining_records_do_not_change(tmp_path_factory: pytest.TempPathFactory, seed: int):
    """
    Whatever is deleted, in whatever steps, with holds placed and released and events repeated in between: each answer
    equals the earlier one or says what was deleted, and the store equals a fresh projection.
    """
    compare_answers(stores.in_a_file, tmp_path_factory.mktemp("log"), seed)


@pytest.mark.slow
def test_deletions_are_the_same_on_both_databases(fresh: stores.Fresh, tmp_path: Path):
    """One world with several deletions."""
    assert compare_answers(fresh, tmp_path, 3) > 0


def compare_answers(fresh: stores.Fresh, folder: Path, seed: int) -> int:
    """Compare the answers before and after some deletions, and return how many records these deleted."""
    rng = random.Random(seed)
    records = worlds.world(rng)
    with service_of(fresh, folder, records) as (service, clock):
        sign(service, KEYS)
        before = answers(service, records)
        held = None
        named: set[tuple[str, str]] = set()  # by a hold: from then on there is an answer about it
        removed = 0
        for _ in range(rng.randint(1, 3)):
            clock.now += 1
            if held is None and rng.random() < 0.5:
                principal = rng.choice(["human:alice", "agent:p"])
                held = holds.place_hold(service, by="human:c", reason="x", principal=principal, unseen=True)
                named.add(("principal", principal))
            elif held is not None and rng.random() < 0.5:
                holds.release_hold(service, held["hold"], by="human:c", reason="over")
                held = None
            if rng.random() < 0.3:
                again = rng.choice(records)  # on its own topic: a misrouted event would be authorised on the right one
                event = codec.decode_line(json.dumps(again["event"]).encode())
                service.require_log().append([Entry(again["via"], codec.encode(event))])
                service.catch_up()
            instant = rng.choice([LATE - 1, LATE, clock.now])
            removed += retention.retain(service, KEYS, instant, rule="old", by="human:dpo")["records"]

        after = answers(service, records)
        for key, expected in before.items():
            if after[key] is None:
                asked = key[-1] if key[0] == "who" else ":".join(key[-2:])
                assert expected is None or service.why_missing(asked)
            elif after[key] != expected and not (expected is None and key in named):
                assert "deleted by retention on" in json.dumps(after[key]), key
        checked = maintenance.fsck(service, lambda _records: None)
        assert [] == checked["differences"]
        assert [] == [fault for one in deleted(service, KEYS.verifiers)["items"] for fault in one["faults"]]
        sign(service, KEYS)  # the trees still extend every checkpoint
        return removed


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_late_children_of_deleted_elements_never_look_more_alive(tmp_path_factory: pytest.TempPathFactory, seed: int):
    """
    Every token and delegation gets a late child with an action, and then a party is revoked: an answer that differs
    from that of a complete store says at once what was deleted.
    """
    rng = random.Random(seed)
    tokens = [f"t{number}" for number in range(6)]
    records = [ended_token(rng, tokens, number) for number in range(len(tokens))]
    kind, id_ = rng.choice([("session", "s1"), ("principal", "agent:p"), ("token", "t0")])
    bodies: list[Body] = []
    for number, above in enumerate(tokens):
        bodies.append(TokenIssued(f"late-{number}", "human:alice", derived_from=(Derivation(above, "subject"),)))
        bodies.append(ActionPerformed(f"late-{number}", "mail.send", "succeeded", token=f"late-{number}"))
    bodies.append(RevocationOrdered("late-order", Target(kind, id_), "test", "human:dana"))
    found = []
    for retains in (False, True):
        folder = tmp_path_factory.mktemp("log")
        with service_of(stores.in_a_file, folder, records) as (service, clock):
            if retains:
                retention.retain(service, KEYS, LATE, rule="old", by="human:dpo")
            clock.now += 1
            late = (Event(f"late-{at}", "urn:idp", clock.now, body) for at, body in enumerate(bodies))
            service.require_log().append([entry_of(event) for event in late])
            service.catch_up()
            gone = [at for at, token_ in enumerate(tokens) if service.why_missing(f"token:{token_}")]
            found.append((answers_about_late(service, len(tokens)), gone))

    (whole, _), (partial, gone) = found
    assert gone
    for (question, number), (document, head) in partial.items():
        if document != whole[question, number][0] or number in gone:
            assert "deleted by retention on" in json.dumps(document["gaps"]), (question, number)
            assert "Part of it was deleted by retention on" in head, (question, number)


def ended_token(rng: random.Random, tokens: list[str], number: int) -> dict[str, Any]:
    """Build a record of an ended token, most often derived from an earlier one."""
    above = [{"token": rng.choice(tokens[:number]), "role": "subject"}] if number and rng.random() < 0.8 else []
    ends = format_instant(rng.choice(worlds.grid))
    party = {"actor": rng.choice((None, "agent:p")), "session": rng.choice((None, "s1"))}
    event = token(tokens[number], event_id=f"e{number}", expires_at=ends, derived_from=above, **party)
    return {"event": event, "recorded_at": worlds.grid[0], "via": "decisions"}


def answers_about_late(service: Service, count: int) -> dict[tuple[str, int], tuple[dict[str, Any], str]]:
    """Return the answers about each late token and its action, with the text above the details."""
    found: dict[tuple[str, int], tuple[dict[str, Any], str]] = {}
    at = LATE + 2
    for number in range(count):
        id_ = f"late-{number}"
        documents = {
            "status": (service.status("token", id_, at=at), render_chain.status),
            "chain": (service.chain("token", id_, at=at), render_chain.chain),
            "who": (service.who(id_, at=at), render_chain.who),
        }
        for question, (document, render) in documents.items():
            assert document is not None
            head = " ".join(piped(render(document)).partition("\n\n")[0].split())
            bare = {name: one for name, one in document.items() if name not in ("findings", "as_of")}
            found[question, number] = bare, head
    return found


# Single stories


def old_desk(desk: Desk) -> Desk:
    """Create a log whose first tile has an ended chain, a revoked token and the actions under both."""
    desk.take(
        token("t1", expires_at="2026-11-01T10:00:00Z"),
        derived("t2", "t1", expires_at="2026-11-01T10:00:00Z"),
        token("bad", expires_at="2026-11-01T23:00:00Z"),
        done("a1", token="t2", at="09:30"),
        done("a2", token="bad", at="13:30"),
        ordered("r1", "token", "bad"),
        *(done(f"f{number}", at="08:00", event_id=f"f{number}", sequence=number) for number in range(600)),
    )
    desk.run("evidence", "keygen", str(desk.folder / "key.pem"))
    desk.env = {"DELEGRAPH_EVIDENCE_KEY_FILE": str(desk.folder / "key.pem")}
    return desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return old_desk(Desk(tmp_path))


def test_a_dry_run_deletes_nothing(desk: Desk):
    result = desk.one("retain", "--before", "now", "--dry-run")
    assert (510, 512, []) == (result["records"], result["old"], result["deletions"])
    assert 606 == desk.one("fsck")["records"]


def test_a_deletion_is_certified_and_every_proof_remains_valid(desk: Desk):
    desk.one("evidence", "checkpoint")
    before = desk.one("closure", "r1", "--at", "2026-11-02T00:00:00Z")
    done_ = desk.one("retain", "--before", "now", "--by", "human:dpo")
    [listed] = desk.one("deletions")["items"]

    assert listed["faults"] == []
    assert (listed["records"], listed["rule"], listed["deleted_by"]) == (
        done_["records"],
        listed["rule"],
        "human:dpo",
    )
    assert desk.one("fsck")["differences"] == []
    assert desk.one("rebuild")["records"] == 606 - done_["records"] + 1
    assert desk.one("deletions")["items"] == [listed]
    assert desk.one("evidence", "checkpoint")["faults"] == []
    assert desk.one("prove-record", "decisions/0/0")["sha256"]
    after = desk.one("closure", "r1", "--at", "2026-11-02T00:00:00Z")
    assert {**before, "as_of": 0} == {**after, "as_of": 0}


def test_no_deleted_value_is_left_in_the_file(desk: Desk):
    """It is in neither the log, the store, an index, nor a free page of the file."""
    secret = "agent:somebody-to-forget"
    desk.take(
        token("gone", subject=secret, expires_at="2026-11-01T10:00:00Z", event_id="gone"),
        *(done(f"g{number}", at="08:00", event_id=f"g{number}") for number in range(300)),
    )
    assert secret.encode() in desk.file.read_bytes() + wal_of(desk)

    desk.one("retain", "--before", "now")

    with sqlite3.connect(desk.file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert secret.encode() not in desk.file.read_bytes() + wal_of(desk)


def wal_of(desk: Desk) -> bytes:
    file = desk.folder / f"{desk.file.name}-wal"
    return file.read_bytes() if file.exists() else b""


def test_answers_about_deleted_records_say_so(desk: Desk):
    desk.one("retain", "--before", "now")

    for words in (("who", "a1"), ("status", "token:t1"), ("chain", "token:t2")):
        result = desk.one(*words, exit=3)
        assert result["error"] == "not_found"
        assert result["why"].startswith("deleted by retention on 20")
    assert "why" not in desk.one("who", "never", exit=3)
    assert "deleted_before" in desk.one("actions")["as_of"]
    assert "retention deleted it" in desk.run("evidence", "absence", "urn:gateway", "17", exit=2).output
    assert not [one for one in desk.one("findings")["items"] if one["kind"] == "sequence-gap"]


def test_a_late_child_of_a_deleted_element_names_the_gap(desk: Desk):
    desk.one("retain", "--before", "now")
    desk.take(derived("child", "t2", event_id="late", at="11:00"))

    [gap] = desk.one("status", "token:child")["gaps"]
    assert ("token", "t2") == (gap["kind"], gap["id"])
    assert gap["why"].startswith("deleted by retention on 20")


@pytest.mark.parametrize(
    "words",
    [
        ("--principal", "human:alice"),
        ("--from", day("09:30"), "--to", day("09:31")),
        ("--everything",),
    ],
)
def test_a_hold_keeps_the_action_and_its_whole_chain_until_it_is_released(desk: Desk, words: tuple[str, ...]):
    hold = desk.one("hold", "place", *words, "--by", "human:counsel", "--reason", "A lawsuit")["hold"]
    desk.one("retain", "--before", "now")
    assert ["t1", "t2"] == desk.one("who", "a1")["tokens"]

    desk.one("hold", "release", hold, "--by", "human:counsel", "--reason", "Settled")
    desk.one("retain", "--before", "now")
    assert desk.one("who", "a1", exit=3)["why"]


def test_a_hold_on_a_case_keeps_its_items_after_the_case_is_closed(desk: Desk):
    case = desk.one("case", "open", "A leak", "action:a1", "--by", "human:ir")["case"]
    desk.one("retain", "--before", "now")
    assert desk.one("who", "a1")["human"]  # an open case is enough

    desk.one("hold", "place", "--case", case, "--by", "human:counsel", "--reason", "A lawsuit", "--id", "LIT-1")
    desk.one("case", "close", case, "--by", "human:ir", "--reason", "Over")
    desk.one("retain", "--before", "now")
    assert desk.one("who", "a1")["human"]

    desk.one("hold", "release", "LIT-1", "--by", "human:counsel", "--reason", "Settled")
    desk.one("retain", "--before", "now")
    assert desk.one("who", "a1", exit=3)["why"]
    assert "deleted by retention on" in desk.one("case", "show", case)["items"][0]["sentence"]
    [listed] = desk.one("hold", "list")["items"]
    assert (listed["hold"], listed["in_force"]) == ("LIT-1", False)
    assert ["placed", "released"] == [change["change"] for change in listed["changes"]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("retain",), "retention_days"),
        (("retain", "--before", "2999-01-01"), "has not passed"),
        (("hold", "place", "--by", "human:c", "--reason", "x"), "names a principal"),
        (("hold", "place", "--by", "human:c", "--reason", " ", "--everything"), "needs a reason"),
        (("hold", "place", "--by", "human:c", "--reason", "x", "--case", "none"), "there is no case"),
        (("hold", "place", "--by", "human:c", "--reason", "x", "--from", "10:00", "--to", "09:00"), "before it begins"),
    ],
)
def test_invalid_input_is_refused_with_the_remedy(desk: Desk, words: tuple[str, ...], message: str):
    assert message in desk.run(*words, exit=2).output.replace("\n", " ")


def test_without_a_key_nothing_is_deleted(desk: Desk):
    desk.env = {}
    assert "evidence keygen" in desk.run("retain", "--before", "now", exit=2).output
    assert desk.one("who", "a1")["tokens"]


def test_a_plan_of_too_many_records_is_refused(fresh: stores.Fresh, tmp_path: Path):
    """This protects other callers of a server."""
    with service_of(fresh, tmp_path, []) as (service, _):
        with pytest.raises(RefusedError, match="300 records, and at most 299"):
            retention.survey(service, LATE, most=FILLER - 1)
        assert 256 == retention.survey(service, LATE, most=FILLER)["records"]


def test_an_unknown_hold_is_not_found(desk: Desk):
    desk.one("hold", "release", "none", "--by", "human:c", "--reason", "x", exit=3)


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE deleted_tile SET records = zeroblob(32)", "list of its records"),
        ("UPDATE deletion SET rule = 'because'", "contradicts the store"),
        ("UPDATE deletion SET certificate = replace(certificate, 'human:dpo', 'human:abc')", "not valid"),
        ("DELETE FROM fact WHERE about IN (SELECT about FROM fact WHERE n >= 1152921504606846976)", "no event"),
    ],
)
def test_a_changed_certificate_is_found(desk: Desk, statement: str, fault: str):
    desk.one("retain", "--before", "now", "--by", "human:dpo")
    desk.sql(statement)
    [listed] = desk.one("deletions", exit=6)["items"]
    assert any(fault in one for one in listed["faults"])


class Failing:
    """A log whose first decisions cannot be read."""

    def __init__(self, log: Log, before: int, fault: DelegraphError) -> None:
        self._log, self._before, self._fault = log, before, fault

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def read(self, topic: str, partition: int, offset: int, *, limit: int) -> Slice:
        if offset < self._before and topic == "decisions":
            raise self._fault
        return self._log.read(topic, partition, offset, limit=limit)


def test_an_interrupted_run_is_completed_by_the_next(fresh: stores.Fresh, tmp_path: Path):
    """The deletion is recorded, but the projection still has the records: fsck says so; the next run completes it."""
    with service_of(fresh, tmp_path, []) as (service, _):
        log = service.require_log()
        service.log = cast("Log", Failing(log, FILLER, UnavailableError("the broker is gone")))
        with pytest.raises(UnavailableError):
            retention.retain(service, KEYS, LATE, rule="old", by="human:dpo")
        service.log = log
        assert service.who("filler-0", at=LATE) is not None
        assert not maintenance.fsck(service, lambda _records: None)["ok"]

        retention.retain(service, KEYS, LATE, rule="old", by="human:dpo")

        assert service.who("filler-0", at=LATE) is None
        assert maintenance.fsck(service, lambda _records: None)["ok"]
        assert 1 == len(deleted(service, KEYS.verifiers)["items"])


def test_a_log_that_no_longer_begins_at_the_start_is_rebuilt_and_checked(fresh: stores.Fresh, tmp_path: Path):
    """On Kafka the operator of the broker deletes the first records of a partition after retention has deleted them."""
    with service_of(fresh, tmp_path, []) as (service, _):
        sign(service, KEYS)
        retention.retain(service, KEYS, LATE, rule="old", by="human:dpo")
        service.log = cast("Log", Failing(service.require_log(), 256, IntegrityError("they are gone")))

        assert FILLER - 256 + 1 == maintenance.rebuild(service, lambda _records: None)["records"]
        assert maintenance.fsck(service, lambda _records: None)["ok"]
        assert [] == sign(service, KEYS)["faults"]


@pytest.mark.parametrize("pauses", [1, 2])
def test_a_run_that_is_stopped_is_completed_by_the_next(fresh: stores.Fresh, tmp_path: Path, pauses: int):
    """It is stopped while it examines the facts, or while it builds the projection; its record says that it did not
    succeed.
    """
    with service_of(fresh, tmp_path, []) as (service, clock):
        remaining = [pauses]

        def pause() -> None:
            remaining[0] -= 1
            if not remaining[0]:
                raise UnavailableError("stopped")

        with pytest.raises(UnavailableError, match="stopped"):
            retention.retain(service, KEYS, LATE, rule="old", by="human:dpo", pause=pause)
        stopped = last_run(service.store)
        clock.now += 1
        retention.retain(service, KEYS, LATE, rule="old", by="human:dpo")
        done_ = last_run(service.store)

        assert stopped is not None
        assert (LATE, "stopped", None) == (stopped.ended_at, stopped.fault, stopped.succeeded_at)
        assert done_ is not None
        assert (LATE + 1, None, LATE + 1) == (done_.started_at, done_.fault, done_.succeeded_at)
        assert service.who("filler-0", at=LATE) is None
        assert maintenance.fsck(service, lambda _records: None)["ok"]
        assert 1 == len(deleted(service, KEYS.verifiers)["items"])


def test_one_process_deletes_at_a_time(fresh: stores.Fresh, tmp_path: Path):
    """The second one is refused until the first has ended, and changes nothing."""
    with service_of(fresh, tmp_path, []) as (service, _):
        with only_run(service.store):
            with pytest.raises(UnavailableError, match="another process deletes"):
                retention.retain(service, KEYS, LATE, rule="old", by="human:dpo")
            assert last_run(service.store) is None
        assert 256 == retention.retain(service, KEYS, LATE, rule="old", by="human:dpo")["records"]


def test_with_witnesses_only_what_they_have_seen_is_deleted(fresh: stores.Fresh, tmp_path: Path):
    """A witness that is silent keeps the records; once it has cosigned, they are deleted."""
    with service_of(fresh, tmp_path, []) as (service, _):
        sign(service, KEYS)
        planned = retention.survey(service, LATE, origin=KEYS.name, witnessed=True)
        silent = retention.retain(service, KEYS, LATE, rule="old", by="human:dpo", witnessed=True)
        with service.store.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE checkpoint SET witnessed_at = signed_at")
        witnessed = retention.retain(service, KEYS, LATE, rule="old", by="human:dpo", witnessed=True)

        assert [(0, 256), (0, 256), (256, 0)] == [
            (one["records"], one["unwitnessed"]) for one in (planned, silent, witnessed)
        ]


def test_a_dry_run_reports_how_much_each_hold_keeps(desk: Desk):
    hold, *_ = (
        desk.one("hold", "place", *words, "--by", "human:counsel", "--reason", "A lawsuit", "--id", id_)
        for id_, *words in (("LIT-1", "--principal", "human:alice"), ("LIT-2", "--everything"))
    )
    case = desk.one("case", "open", "A leak", "action:a1", "--by", "human:ir")["case"]
    found = desk.one("retain", "--before", "now", "--dry-run")

    assert hold["hold"] == "LIT-1"
    assert (0, 510) == (found["records"], found["held"])
    assert [("case", case, 3), ("hold", "LIT-1", 3), ("hold", "LIT-2", 510)] == [
        (one["kind"], one["id"], one["records"]) for one in found["held_by"]
    ]
    output = " ".join(desk.run("retain", "--before", "now", "--dry-run").output.split())
    assert "the hold LIT-2 keeps 510 records that nothing else needs" in output


class BeginsLater:
    """A log whose first decisions were deleted on the broker."""

    def __init__(self, log: Log, begin: int) -> None:
        self._log, self._begin = log, begin

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def begins(self) -> dict[tuple[str, int], int]:
        return {**self._log.begins(), ("decisions", 0): self._begin}


def test_records_lost_by_the_broker_are_distinguished_from_deleted_ones(fresh: stores.Fresh, tmp_path: Path):
    """
    Retention deletes the first 256 decisions. A log that begins after them is complete; one that begins later is not.
    """
    with service_of(fresh, tmp_path, []) as (service, _):
        log, store = service.require_log(), service.store
        before = lost_records(cast("Log", BeginsLater(log, 1)), store)
        retention.retain(service, KEYS, LATE, rule="old", by="human:dpo")
        after = [lost_records(cast("Log", BeginsLater(log, begin)), store) for begin in (0, 1, 256, 257)]

    said = "decisions/0 of the log begins at offset {}: records that were projected from it, from offset {} on, were"
    assert [said.format(1, 0)] == [one.partition(" deleted")[0] for one in before]
    assert [[], [], [], [said.format(257, 256)]] == [[one.partition(" deleted")[0] for one in each] for each in after]


def test_an_event_sent_again_after_its_deletion_is_indexed_again(fresh: stores.Fresh, tmp_path: Path):
    """This also holds in the process that deleted it and had indexed its name before: fsck and search find it."""
    event = token("t1", event_id="e1", expires_at=format_instant(MOMENT + 1))
    with service_of(fresh, tmp_path, [{"event": event, "recorded_at": MOMENT, "via": "decisions"}]) as (service, _):
        retention.retain(service, KEYS, LATE, rule="old", by="human:dpo")
        service.require_log().append([entry_of(codec.decode_line(json.dumps(event).encode()))])
        service.catch_up()

        assert [] == maintenance.fsck(service, lambda _records: None)["differences"]


class Racing:
    """A log to which somebody else appends an event just before our next one."""

    def __init__(self, log: Log, event: Event) -> None:
        self._log, self._events = log, [event]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def append(self, entries: Iterable[Entry]) -> list[Position]:
        while self._events:
            self._log.append([entry_of(self._events.pop())])
        return self._log.append(entries)


MOMENT = worlds.grid[0]
ENDED = TokenIssued("t1", "human:alice", expires_at=MOMENT + 1)
CHILD = TokenIssued("t2", "agent:x", derived_from=(Derivation("t1", "subject"),))
HOLD = HoldChanged("LIT-1", "placed", "human:c", "A lawsuit", principal="human:alice")


@pytest.mark.parametrize("body", [CHILD, HOLD, ENDED._replace(expires_at=LATE * 2)], ids=["child", "hold", "renewal"])
def test_events_that_arrive_during_the_preparation_are_respected(fresh: stores.Fresh, tmp_path: Path, body: Body):
    """A token in the plan that a new event needs stays; the others are deleted."""
    first = {"type": "token.issued", "event_id": "e1", "source": "urn:idp", "occurred_at": format_instant(MOMENT)}
    first |= {"token": "t1", "subject": "human:alice", "expires_at": format_instant(MOMENT + 1)}
    record = {"event": first, "recorded_at": MOMENT, "via": "decisions"}
    with service_of(fresh, tmp_path, [record]) as (service, _):
        service.log = cast("Log", Racing(service.require_log(), Event("late", "urn:idp", LATE - 1, body)))

        done_ = retention.retain(service, KEYS, LATE, rule="old", by="human:dpo")

        assert 255 == done_["records"]
        answer = service.chain("token", "t1", at=LATE)
        assert answer is not None
        assert [] == answer["gaps"]
        assert maintenance.fsck(service, lambda _records: None)["ok"]


@pytest.mark.slow
@pytest.mark.kafka
def test_records_that_stay_on_kafka_are_not_projected_again(kafka_url: str, tmp_path: Path):
    """The broker still has them in three partitions; the store, a rebuild and fsck ignore them."""
    with made_log(kafka_url, partitions=3) as log:
        others = (ActionPerformed(f"filler-{number}", "noop", "succeeded") for number in range(3_000))
        log.append(entry_of(Event(body.action, "urn:filler", now(), body)) for body in others)
        store = open_store(f"sqlite:///{tmp_path}/store.db", codec.read, create=True)
        service = Service(store, log, Trust(), now, source="urn:test")
        service.catch_up()

        first = retention.retain(service, KEYS, now(), rule="old", by="human:dpo")
        again = retention.retain(service, KEYS, now(), rule="old", by="human:dpo")

        assert first["records"] == sum(one["records"] for one in first["deletions"]) > 0
        assert 3_000 - first["records"] + 3 == maintenance.rebuild(service, lambda _records: None)["records"]
        assert maintenance.fsck(service, lambda _records: None)["ok"]
        assert 0 == again["records"]
        store.close()
