"""The producer on the embedded log: an emitted event is in the log exactly once, and errors are reported."""

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

# Accepted events


@pytest.fixture
def away(tmp_path: Path) -> Callable[[], None]:
    """Return a log that is unavailable until it is called."""
    file = tmp_path / "log.db"
    file.mkdir()
    return lambda: file.rmdir() if file.is_dir() else None


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_emitted_events_are_in_the_log(desk: Desk):
    """A body, a JSON document and a complete event are emitted alike; orders go to their own topic."""
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


def test_an_event_with_an_id_is_emitted_unchanged(desk: Desk):
    """It gets no number and no time, so that emitting it again makes a duplicate, not a conflict."""
    whole = {**ACTION, "event_id": "e1", "occurred_at": "2026-11-01T09:00:00Z"}
    with desk.producer(traceparent=True) as producer:
        assert ("e1", None) == producer.emit(whole)
        assert ("e1", None) == producer.emit(whole)
        with pytest.raises(BadRecordError, match="occurred_at is missing"):
            producer.emit({**ACTION, "event_id": "e2"})

    assert 1 == len(set(desk.logged())) < len(desk.logged())


def test_several_events_are_emitted_all_or_none(desk: Desk):
    """A list with one bad event is refused as a whole, and the numbers continue without a gap."""
    with desk.producer() as producer:
        assert [1, 2] == [emitted.sequence for emitted in producer.emit_all([ACTION, ACTION])]
        with pytest.raises(BadRecordError, match="outcome"):
            producer.emit_all([ACTION, {**ACTION, "outcome": "who knows"}])
        assert 3 == producer.emit(ACTION).sequence

    assert [1, 2, 3] == [event.sequence for event in desk.logged()]


def test_numbers_continue_after_a_restart(desk: Desk):
    """A producer that is opened again continues the numbers; with numbering off there are none."""
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
    """The caller of emit gets an error that names the field, and nothing is stored."""
    with desk.producer() as producer:
        with pytest.raises(BadRecordError, match=named):
            producer.emit(event)
        assert (0, 0) == (producer.metrics().emitted, producer.metrics().spooled)


def test_a_raw_credential_is_refused_and_not_repeated(desk: Desk):
    """A raw token instead of an id is refused; neither the error nor a file of the spool repeats it."""
    secret = "eyJhbGciOiJub25lIn0.eyJqdGkiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl"
    with desk.producer() as producer:
        for event in ({**ACTION, "token": secret}, ActionPerformed("x1", "mail.send", "succeeded", token=secret)):
            with pytest.raises(CredentialError) as raised:
                producer.emit(event)
            assert secret not in str(raised.value)
        producer.emit(ACTION)

    for file in desk.log.parent.iterdir():
        assert secret.encode() not in file.read_bytes()


# Waiting


def test_an_unavailable_log_does_not_affect_the_caller(desk: Desk, away: Callable[[], None]):
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


def test_close_keeps_unsent_events(desk: Desk, away: Callable[[], None]):
    """It waits up to its limit, reports that some are left, and the next producer sends them."""
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
    """Emit refuses at once, or waits up to its limit and then refuses: no event is dropped silently."""
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


def test_a_blocked_emit_continues_as_soon_as_there_is_room(desk: Desk, away: Callable[[], None]):
    """With the policy to block, an emit that found no room returns once the log has accepted an event."""
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
def test_many_threads_emit_concurrently(desk: Desk, durable: str):
    """Eight threads emit at once: every event is in the log once, and every number was assigned once."""
    with desk.producer(durable=durable) as producer:
        together(lambda thread: [producer.emit({**ACTION, "action": f"x{thread}-{n}"}) for n in range(50)], 8)
        assert producer.flush(30)

    expected = sorted(f"x{thread}-{n}" for thread in range(8) for n in range(50))
    assert expected == sorted(body.action for body in desk.actions())
    assert list(range(1, 401)) == [event.sequence for event in desk.logged()]


# Processes


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_of_a_fork_must_open_its_own(desk: Desk, tmp_path: Path):
    """In the child of a fork emit and flush are refused with a remedy, and a separate producer works."""

    def with_its_own() -> str:
        with desk.producer(spool=str(tmp_path / "child.db"), source="urn:child") as own:
            return f"{own.emit(ACTION).sequence} {own.flush(20)}"

    with desk.producer() as producer:
        producer.emit(ACTION)
        for act in (lambda: producer.emit(ACTION), lambda: producer.flush(1), producer.metrics):
            result = in_child(lambda act=act: str(act()))
            assert result.startswith("RefusedError: the spool")
            assert "must open a separate spool" in result
        assert "False" == in_child(lambda: str(producer.close()))
        assert "1 True" == in_child(with_its_own)
        assert 2 == producer.emit(ACTION).sequence

    assert ["urn:child", SOURCE, SOURCE] == sorted(event.source for event in desk.logged())


def test_a_second_process_is_refused_the_spool(desk: Desk):
    """A spool that another process has open is refused by name: each needs a separate file."""
    with desk.producer(), pytest.raises(UnavailableError, match="give each a file of its own"):
        desk.producer()


def test_a_program_that_ends_without_closing_loses_nothing(desk: Desk, away: Callable[[], None]):
    """It exits at once and silently; the next producer sends its events."""
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
def test_acknowledged_events_survive_a_kill(desk: Desk):
    """After kill -9 at any time a new producer sends the rest: nothing that emit returned for is missing."""
    acknowledged: dict[str, int] = {}
    for run in range(4):
        acknowledged |= killed_while_emitting(desk.url, desk.spool, run, 0.05 + 0.1 * run)
    with desk.producer() as producer:
        assert producer.flush(30)

    logged = {event.event_id: event.sequence or 0 for event in desk.logged()}
    assert acknowledged == {name: logged[name] for name in acknowledged}
    assert list(range(1, len(logged) + 1)) == sorted(logged.values())
    assert len(acknowledged) > 20


# delegraph emit


def test_files_are_published_to_the_embedded_log(desk: Desk):
    """Without a broker the events of files are appended at once; through a spool they arrive as well."""
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


def test_the_example_emits_a_complete_chain(desk: Desk):
    """examples/producer.py emits human, agent, tokens and decision, without a gap."""
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


# Invalid settings


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"when_full": "drop"}, "it can be 'refuse' or 'block'"),
        ({"durable": "maybe"}, "it can be 'disk' or 'process'"),
        ({"url": "amqp://host"}, "is not a log URL"),
        ({"url": "postgresql://writer:secret@host/log"}, r"^'postgresql://writer:\*\*\*@host/log' is not a log URL"),
        ({"url": "kafka://host"}, "names no port"),
    ],
)
def test_an_invalid_setting_is_refused_at_once(desk: Desk, more: Mapping[str, Any], message: str):
    """The constructor reports it, and does not lock the spool."""
    with pytest.raises(RefusedError, match=message):
        desk.producer(**more)
    with desk.producer() as producer:
        producer.emit(ACTION)


# Actions


def test_an_action_is_recorded_with_its_outcome(desk: Desk):
    """An action that ends normally succeeded, one that raises failed, a PermissionError denied it."""
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


def test_a_nested_action_names_its_parent(desk: Desk):
    """An action that begins during another names it as its parent; in another thread there is none."""
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
    """A decorated function returns and raises as before, and each call is an action; its parameters are a digest."""
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
    """An async function is recorded after it was awaited, the event loop is not blocked, and tasks do not mix."""
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
    """The object of a method is not a parameter: the digest is that of the arguments."""
    with desk.producer() as producer:

        class Crm:
            @producer.tool("accounts.read")
            def read(self, account: int) -> int:
                return account

        assert 7 == Crm().read(7)

    [body] = desk.actions()
    assert digest_of({"account": 7}) == body.params_digest


def test_an_action_that_cannot_be_recorded_does_not_start(desk: Desk):
    """Invalid fields are refused before the action begins, and a generator before it is ever called."""
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


def test_an_action_that_cannot_be_stored_is_reported(
    desk: Desk, away: Callable[[], None], caplog: pytest.LogCaptureFixture
):
    """If the spool is full when an action ends, its caller gets the error; an exception in progress keeps its type."""
    with desk.producer(limit_events=1, close_seconds=0) as producer:
        producer.emit(ACTION)
        with pytest.raises(UnavailableError, match="is full"), producer.action("mail.send"):
            pass
        with pytest.raises(ValueError, match="mine") as raised, producer.action("mail.send"):
            raise ValueError("mine")
        assert [note for note in raised.value.__notes__ if "this action was not recorded: the spool" in note]
        assert "an action was not recorded" in caplog.text


def test_a_raw_token_becomes_its_id(desk: Desk):
    """Of an opaque token, which looks like any other word, only the digest is stored, in every file."""
    secret = "kh3x9QeT7uW2pL5vR8mZ"
    with desk.producer() as producer, producer.action("mail.send", raw_token=secret, params={"note": secret}):
        pass

    [body] = desk.actions()
    assert token_id(secret) == body.token
    for file in desk.log.parent.iterdir():
        assert secret.encode() not in file.read_bytes()


def test_events_have_the_current_trace_context(desk: Desk):
    """On request an event has the context of the current OpenTelemetry span; without a span it has none."""
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


@pytest.mark.slow
def test_closed_producers_release_all_resources(desk: Desk):
    """Producers that were opened and closed leave no thread and no open file."""

    def held() -> Counter[object]:
        gc.collect()
        return Counter([*threading.enumerate(), *map(opened_by, Path("/proc/self/fd").iterdir())])

    with desk.producer() as producer:
        producer.emit(ACTION)
    before = held()
    for _ in range(5):
        with desk.producer() as producer:
            producer.emit(ACTION)

    assert Counter() == held() - before  # there may be fewer, since threads of an earlier test may just be ending
