"""The producer on the embedded log: what ``emit`` takes is in the log, once, and what is wrong is told."""

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ingest.codec.params_digest import digest_of
from ingest.producer.api import now
from ingest.producer.event_builders import token_id
from ingest.producer.file_publisher import publish
from lineage.core.model.errors import BadRecordError, CredentialError, RefusedError, UnavailableError
from lineage.core.model.events import ActionPerformed, Event, Resource, RevocationLifted
from lineage.serve.cli.main import main
from tests.support.producers import (
    ACTION,
    ROOT,
    SOURCE,
    Desk,
    counts,
    killed_while_emitting,
    opened_by,
    record,
)
from tests.support.spool_processes import in_child, together, until

# What it takes


@pytest.fixture
def away(tmp_path: Path) -> Callable[[], None]:
    """A log that is unavailable until it is called."""
    file = tmp_path / "log.db"
    file.mkdir()
    return lambda: file.rmdir() if file.is_dir() else None


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_what_was_emitted_is_in_the_log(desk: Desk):
    """A body, an object in the JSON form and a whole event are emitted alike; orders go by their own topic."""
    with desk.producer() as producer:
        producer.emit(ActionPerformed("x1", "mail.send", "succeeded"), occurred_at=5, txn="call-1")
        producer.emit({**ACTION, "action": "x2", "occurred_at": "2026-11-01T09:00:00Z", "txn": "call-2"}, txn="other")
        producer.emit(Event("whole", "urn:other", 7, RevocationLifted("r1", "human:ruth")))
        assert producer.flush(10)

    first, second, third = desk.logged()
    assert (SOURCE, 5, "call-1", 1) == (first.source, first.occurred_at, first.txn, first.sequence)
    assert (SOURCE, "call-2", 2) == (second.source, second.txn, second.sequence)
    assert 1_793_523_600_000_000 == second.occurred_at
    assert Event("whole", "urn:other", 7, RevocationLifted("r1", "human:ruth")) == third


def test_an_event_that_bears_an_id_is_taken_as_it_stands(desk: Desk):
    """What has an id gets no number and no moment: emitted again it is a duplicate, not a conflict."""
    whole = {**ACTION, "event_id": "e1", "occurred_at": "2026-11-01T09:00:00Z"}
    with desk.producer(traceparent=True) as producer:
        assert ("e1", None) == producer.emit(whole)
        assert ("e1", None) == producer.emit(whole)
        with pytest.raises(BadRecordError, match="occurred_at is missing"):
            producer.emit({**ACTION, "event_id": "e2"})

    assert 1 == len(set(desk.logged())) < len(desk.logged())


def test_several_are_emitted_all_or_none(desk: Desk):
    """A list with one bad event is refused as a whole, and the numbers continue without a hole."""
    with desk.producer() as producer:
        assert [1, 2] == [emitted.sequence for emitted in producer.emit_all([ACTION, ACTION])]
        with pytest.raises(BadRecordError, match="outcome"):
            producer.emit_all([ACTION, {**ACTION, "outcome": "who knows"}])
        assert 3 == producer.emit(ACTION).sequence

    assert [1, 2, 3] == [event.sequence for event in desk.logged()]


def test_numbers_go_on_after_a_restart(desk: Desk):
    """A producer that is opened again numbers on; one that is asked not to numbers nothing."""
    for first in (1, 3):
        with desk.producer() as producer:
            assert [first, first + 1] == [producer.emit(ACTION).sequence for _ in range(2)]
    with desk.producer(sequences=False) as producer:
        assert None is producer.emit(ACTION).sequence

    assert [1, 2, 3, 4, None] == [event.sequence for event in desk.logged()]


@pytest.mark.parametrize(
    ("event", "named"),
    [
        ({**ACTION, "outcome": "perhaps"}, "outcome"),
        ({**ACTION, "colour": "blue"}, "'colour'"),
        ({"type": "action.performed"}, "action is missing"),
        (ActionPerformed("x1", "", "succeeded"), "operation is empty"),
        ({**ACTION, "occurred_at": "yesterday"}, "occurred_at"),
    ],
)
def test_a_bad_event_is_refused_by_name(desk: Desk, event: Any, named: str):
    """What is no event is told to anyone who emits it, with the name of the field, and nothing is kept."""
    with desk.producer() as producer:
        with pytest.raises(BadRecordError, match=named):
            producer.emit(event)
        assert (0, 0) == (producer.metrics().emitted, producer.metrics().spooled)


def test_a_raw_credential_is_refused_and_not_repeated(desk: Desk):
    """A raw token in place of an id is refused; neither the fault nor a file of the spool repeats it."""
    secret = "eyJhbGciOiJub25lIn0.eyJqdGkiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl"
    with desk.producer() as producer:
        for event in ({**ACTION, "token": secret}, ActionPerformed("x1", "mail.send", "succeeded", token=secret)):
            with pytest.raises(CredentialError) as told:
                producer.emit(event)
            assert secret not in str(told.value)
        producer.emit(ACTION)

    for file in desk.log.parent.iterdir():
        assert secret.encode() not in file.read_bytes()


# Waiting


def test_a_log_that_is_away_is_not_the_callers_business(desk: Desk, away: Callable[[], None]):
    """While the log is unavailable events wait and the metrics say why; when it is back they are sent, in order."""
    with desk.producer() as producer:
        for _ in range(5):
            producer.emit(ACTION)
        assert not producer.flush(0.3)
        until(lambda: producer.metrics().retries > 0)
        waiting = producer.metrics()
        assert (5, 0, 5, 0, True) == counts(waiting)
        assert "log.db" in (waiting.fault or "")
        assert waiting.oldest_age_seconds > 0.2
        assert waiting.spooled_bytes > 0

        away()
        assert producer.flush(30)
        sent = producer.metrics()
        assert (5, 5, 0, 0, True) == counts(sent)
        assert (None, 0) == (sent.fault, sent.oldest_age_seconds)
    assert [1, 2, 3, 4, 5] == [event.sequence for event in desk.logged()]


def test_a_close_keeps_what_could_not_be_sent(desk: Desk, away: Callable[[], None]):
    """A close waits for its bound and no longer, says that something is left, and the next producer sends it."""
    producer = desk.producer(close_seconds=0.2)
    producer.emit(ACTION)
    began = time.monotonic()
    assert not producer.close()
    assert not producer.close()
    assert time.monotonic() - began < 5
    assert (1, 0, 1, 0, False) == counts(producer.metrics())
    with pytest.raises(RefusedError, match="is closed"):
        producer.emit(ACTION)

    away()
    second = desk.producer()
    assert second.close()
    assert [1] == [event.sequence for event in desk.logged()]


def test_a_full_spool_refuses_or_blocks(desk: Desk, away: Callable[[], None]):
    """Full, emit refuses at once, or waits for its bound and refuses then: an event is never dropped in silence."""
    with desk.producer(limit_events=2, block_seconds=100, close_seconds=0) as producer:
        producer.emit_all([ACTION, ACTION])
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="is full: 2 events wait"):
            producer.emit(ACTION)
        assert time.monotonic() - began < 50

    with desk.producer(limit_events=2, when_full="block", block_seconds=0.3, close_seconds=30) as producer:
        with pytest.raises(UnavailableError, match=r"full after 0\.3 s"):
            producer.emit(ACTION)
        away()
        until(lambda: producer.metrics().spooled == 0)
        assert 3 == producer.emit(ACTION).sequence
    assert [1, 2, 3] == [event.sequence for event in desk.logged()]


def test_a_blocked_emit_goes_on_as_soon_as_there_is_room(desk: Desk, away: Callable[[], None]):
    """With the policy to block, an emit that found no room is done when the log has taken something."""
    with desk.producer(limit_events=1, when_full="block", block_seconds=60) as producer:
        producer.emit(ACTION)
        sequences: list[int | None] = []
        emitting = threading.Thread(target=lambda: sequences.append(producer.emit(ACTION).sequence))
        emitting.start()
        emitting.join(0.2)
        assert emitting.is_alive()
        away()
        emitting.join(30)
        assert [2] == sequences


@pytest.mark.parametrize("durable", ["disk", "process"])
def test_many_threads_emit_at_once(desk: Desk, durable: str):
    """Eight threads emit at once: every event is in the log once, and every number was given once."""
    with desk.producer(durable=durable) as producer:
        together(lambda thread: [producer.emit({**ACTION, "action": f"x{thread}-{n}"}) for n in range(50)], 8)
        assert producer.flush(30)

    expected = sorted(f"x{thread}-{n}" for thread in range(8) for n in range(50))
    assert expected == sorted(body.action for body in desk.actions())
    assert list(range(1, 401)) == [event.sequence for event in desk.logged()]


# Processes


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_of_a_fork_must_open_its_own(desk: Desk, tmp_path: Path):
    """In a child of a fork emit and flush are refused with what to do, its close is none, and its own works."""

    def with_its_own() -> str:
        with desk.producer(spool=str(tmp_path / "child.db"), source="urn:child") as own:
            return f"{own.emit(ACTION).sequence} {own.flush(20)}"

    with desk.producer() as producer:
        producer.emit(ACTION)
        for act in (lambda: producer.emit(ACTION), lambda: producer.flush(1), producer.metrics):
            said = in_child(lambda act=act: str(act()))
            assert said.startswith("RefusedError: the spool")
            assert "must open a separate spool" in said
        assert "False" == in_child(lambda: str(producer.close()))
        assert "1 True" == in_child(with_its_own)
        assert 2 == producer.emit(ACTION).sequence

    assert ["urn:child", SOURCE, SOURCE] == sorted(event.source for event in desk.logged())


def test_a_second_process_is_refused_the_spool(desk: Desk):
    """A spool that another process has open is refused by name: each needs a file of its own."""
    with desk.producer(), pytest.raises(UnavailableError, match="give each a file of its own"):
        desk.producer()


def test_a_program_that_ends_without_a_close_loses_nothing(desk: Desk, away: Callable[[], None]):
    """A program that forgets the close ends at once and without a word; its events are sent by the next one."""
    line = (
        "import sys; from ingest.producer import Producer\n"
        f"Producer({desk.url!r}, source={SOURCE!r}, spool={desk.spool!r}).emit({ACTION!r})"
    )
    done = subprocess.run([sys.executable, "-c", line], check=False, cwd=ROOT, capture_output=True, text=True)
    assert (0, "") == (done.returncode, "".join(done.stderr.splitlines(keepends=True)[1:]))

    away()
    with desk.producer() as producer:
        assert producer.flush(10)
    assert [1] == [event.sequence for event in desk.logged()]


@pytest.mark.slow
def test_what_was_told_is_in_the_log_after_a_kill(desk: Desk):
    """After kill -9 at any moment a new producer sends the rest: the log has all that was told, and no hole."""
    told: dict[str, int] = {}
    for run in range(4):
        told |= killed_while_emitting(desk.url, desk.spool, run, 0.05 + 0.1 * run)
    with desk.producer() as producer:
        assert producer.flush(30)

    logged = {event.event_id: event.sequence or 0 for event in desk.logged()}
    assert told == {name: logged[name] for name in told}
    assert list(range(1, len(logged) + 1)) == sorted(logged.values())
    assert len(told) > 20


# delegraph emit


def test_files_are_published_to_the_embedded_log(desk: Desk):
    """Without a broker the events of files are appended at once; through a spool they get there as well."""
    file = desk.log.with_name("events.jsonl")
    lines = [
        {**ACTION, "event_id": f"e{number}", "source": SOURCE, "occurred_at": "2026-11-01T09:00:00Z"}
        for number in (1, 2)
    ]
    file.write_text("\n".join([json.dumps(lines[0]), "[]", json.dumps(lines[1])]))
    refused = {
        "file": str(file),
        "line": 2,
        "reason": "not-an-object",
        "detail": "the record is an array: make it an object",
    }
    expected = {"read": 3, "published": 2, "refused": [refused]}

    assert expected == publish([str(file)], desk.url, clock=now)
    assert expected == publish([str(file)], desk.url, clock=now, spool=desk.spool)
    assert ["e1", "e2", "e1", "e2"] == [event.event_id for event in desk.logged()]
    with pytest.raises(RefusedError, match="there is no file"):
        publish(["missing.jsonl"], desk.url, clock=now, spool=desk.spool)


def test_the_example_is_answered(desk: Desk):
    """What examples/producer.py emits is a whole chain: human, agent, tokens and decision, without a gap."""
    folder = desk.log.parent
    words = [sys.executable, str(ROOT / "examples" / "producer.py"), "sqlite:///delegraph.db"]
    done = subprocess.run(
        words, check=True, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert "4 events are in the log, 0 wait: all is well\n" == done.stdout

    url = f"sqlite:///{folder}/delegraph.db"
    CliRunner().invoke(main, ["consume", "--drain", "--store", url])
    found = json.loads(CliRunner().invoke(main, ["who", "mail-42", "--json", "--store", url]).stdout)
    assert ("human:alice@example.com", ["agent:planner"]) == (found["human"], found["agents"])
    assert ["https://idp.example#login-42", "https://idp.example#exchange-42"] == found["tokens"]
    assert (True, [], []) == (found["decision"]["permitted"], found["gaps"], found["findings"])


# What it refuses to be


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"when_full": "drop"}, "it can be 'refuse' or 'block'"),
        ({"durable": "maybe"}, "it can be 'disk' or 'process'"),
        ({"url": "amqp://host"}, "is not a log URL"),
        ({"url": "postgresql://writer:secret@host/log"}, r"^'postgresql://writer:\*\*\*@host/log' is not a log URL"),
        ({"url": "kafka://host"}, "names no port"),
    ],
)
def test_what_cannot_be_is_refused_at_once(desk: Desk, more: Mapping[str, Any], said: str):
    """A wrong setting is told by the constructor, and leaves the spool to others."""
    with pytest.raises(RefusedError, match=said):
        desk.producer(**more)
    with desk.producer() as producer:
        producer.emit(ACTION)


# Actions


def test_an_action_is_recorded_with_its_outcome(desk: Desk):
    """An action that ends well succeeded, one out of which an exception comes failed, a PermissionError denied it."""
    with desk.producer() as producer:
        with producer.action("accounts.update", tool="crm", token="t1", params={"b": 1, "a": [2]}) as action:
            action.note(resource={"id": "crm/accounts/42"})
        for error in (ValueError("42"), PermissionError("no"), KeyboardInterrupt()):
            with pytest.raises(type(error)), producer.action("mail.send"):
                raise error
        with producer.action("mail.send") as action:
            action.outcome = "denied"

    bodies = desk.actions()
    assert ["succeeded", "failed", "denied", "failed", "denied"] == [body.outcome for body in bodies]
    first = bodies[0]
    assert ("crm", "t1", digest_of({"a": [2], "b": 1})) == (first.tool, first.token, first.params_digest)
    assert Resource("crm/accounts/42") == first.resource


def test_an_action_within_another_is_part_of_it(desk: Desk):
    """An action that begins while another continues names it as its parent; in another thread none continues."""
    with desk.producer() as producer:
        with producer.action("outer") as outer:
            with producer.action("inner") as inner:
                pass
            threading.Thread(target=lambda: record(producer, "elsewhere")).start()
        with producer.action("after"):
            pass
        until(lambda: producer.metrics().emitted == 4)

    parents = {
        body.operation: body.parent_action for event in desk.logged() if isinstance(body := event.body, ActionPerformed)
    }
    assert {"outer": None, "inner": outer.id, "elsewhere": None, "after": None} == parents
    assert inner.id != outer.id


def test_a_tool_is_recorded_at_every_call(desk: Desk):
    """A decorated function returns and raises what it did, and each call is an action; its parameters are a digest."""
    with desk.producer() as producer:

        @producer.tool("accounts.read", tool="crm", about=lambda account, **_: {"resource": {"id": f"crm/{account}"}})
        def read(account: int, *, fields: tuple[str, ...] = ()) -> str:
            """Read an account."""
            if account < 0:
                raise LookupError(account)
            return f"account {account} {fields}"

        assert ("read", "Read an account.") == (read.__name__, read.__doc__)
        assert "account 7 ('name',)" == read(7, fields=("name",))
        with pytest.raises(LookupError, match="-1"):
            read(-1)
        with pytest.raises(TypeError, match="missing"):
            read()  # type: ignore[call-arg]

    bodies = desk.actions()
    assert [("succeeded", "crm/7"), ("failed", "crm/-1")] == [
        (body.outcome, body.resource.id if body.resource else None) for body in bodies
    ]
    assert digest_of({"account": 7, "fields": ["name"]}) == bodies[0].params_digest


def test_an_async_tool_is_recorded_when_it_ends(desk: Desk):
    """An async function is recorded after it was awaited, the loop is not held up, and tasks do not mix."""
    with desk.producer() as producer:

        @producer.tool("outer")
        async def outer(name: str) -> str:
            await asyncio.sleep(0.01)
            return await inner(name)

        @producer.tool("inner")
        async def inner(name: str) -> str:
            if name == "b":
                raise PermissionError(name)
            return name

        async def main() -> list[str | BaseException]:
            return await asyncio.gather(outer("a"), outer("b"), outer("c"), return_exceptions=True)

        found = asyncio.run(main())
        assert ["a", "PermissionError('b')", "c"] == [each if isinstance(each, str) else repr(each) for each in found]

    bodies = desk.actions()
    outers = {body.action: body.outcome for body in bodies if body.operation == "outer"}
    inners = {body.parent_action: body.outcome for body in bodies if body.operation == "inner"}
    assert outers == inners
    assert ["denied", "succeeded", "succeeded"] == sorted(outers.values())


def test_a_method_is_recorded_without_its_object(desk: Desk):
    """Of a method the object is no parameter: the digest is that of the arguments."""
    with desk.producer() as producer:

        class Crm:
            @producer.tool("accounts.read")
            def read(self, account: int) -> int:
                return account

        assert 7 == Crm().read(7)

    [body] = desk.actions()
    assert digest_of({"account": 7}) == body.params_digest


def test_what_cannot_be_recorded_does_not_happen(desk: Desk):
    """Fields that make no event are refused before the action begins, and a generator before it is ever called."""
    happened: list[str] = []
    with desk.producer() as producer:
        with pytest.raises(BadRecordError, match="'colour' is not a field"), producer.action("paint", colour="blue"):
            happened.append("painted")
        with pytest.raises(CredentialError), producer.action("paint", token="Bearer abcdef0123456789abcdef"):
            happened.append("painted")
        with pytest.raises(RefusedError, match="is a generator"):

            @producer.tool("stream")
            def stream() -> Iterator[int]:
                yield 1

        with pytest.raises(RefusedError, match="raw_token"):
            producer.action("paint", raw_token=5)

    assert [] == happened


def test_a_record_that_cannot_be_kept_is_told(desk: Desk, away: Callable[[], None], caplog: pytest.LogCaptureFixture):
    """If the spool is full when an action ends, its caller is told; an exception on its way keeps its own."""
    with desk.producer(limit_events=1, close_seconds=0) as producer:
        producer.emit(ACTION)
        with pytest.raises(UnavailableError, match="is full"), producer.action("mail.send"):
            pass
        with pytest.raises(ValueError, match="mine") as told, producer.action("mail.send"):
            raise ValueError("mine")
        assert [note for note in told.value.__notes__ if "this action was not recorded: the spool" in note]
        assert "an action was not recorded" in caplog.text


def test_a_raw_token_becomes_its_id(desk: Desk):
    """An opaque token, which looks like any other word, is kept by its digest alone, with all that stands in files."""
    secret = "kh3x9QeT7uW2pL5vR8mZ"
    with desk.producer() as producer, producer.action("mail.send", raw_token=secret, params={"note": secret}):
        pass

    [body] = desk.actions()
    assert token_id(secret) == body.token
    for file in desk.log.parent.iterdir():
        assert secret.encode() not in file.read_bytes()


def test_events_bear_the_trace_that_is_going_on(desk: Desk):
    """On request an event bears the context of the current span of OpenTelemetry; without a span it bears none."""
    from opentelemetry.sdk.trace import TracerProvider

    tracer = TracerProvider().get_tracer("test")
    with desk.producer(traceparent=True) as producer:
        producer.emit(ACTION)
        with tracer.start_as_current_span("call") as span:
            producer.emit(ACTION)
            producer.emit({**ACTION, "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
        context = span.get_span_context()

    assert [
        None,
        f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ] == [event.traceparent for event in desk.logged()]


def test_it_gives_everything_back(desk: Desk):
    """Producers that were opened and closed leave no thread and no open file behind."""

    def held() -> Counter[object]:
        gc.collect()
        return Counter([*threading.enumerate(), *map(opened_by, Path("/proc/self/fd").iterdir())])

    with desk.producer() as producer:
        producer.emit(ACTION)
    before = held()
    for _ in range(5):
        with desk.producer() as producer:
            producer.emit(ACTION)

    assert Counter() == held() - before  # less it may be: of an earlier test something may just be ending
