"""Threads of a process: none ends because of an error that nobody expected."""

import logging
import threading
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from lineage.serve.processes import background_threads as threads
from lineage.serve.processes.background_threads import background_threads
from lineage.serve.processes.checkpoint_process import Checkpointing
from lineage.serve.processes.consumer_process import _ConsumerObserver
from lineage.serve.processes.delivery_process import _Pushing
from lineage.serve.processes.finding_process import FindingProcess
from lineage.serve.processes.health_server import Health
from lineage.serve.processes.retention_process import Retaining
from lineage.serve.processes.rfc7009_process import EndpointCalls
from tests.support.kafka_worlds import wait_until

SECONDS = 30.0


class FailsFirst:
    """Work whose first turn fails with an error that no process expects."""

    def __init__(self) -> None:
        self.turns = 0
        self.again = threading.Event()

    def turn(self, *_: object) -> bool:
        self.turns += 1
        if self.turns == 1:
            raise KeyError("an internal error")
        self.again.set()
        return True


def calling(work: FailsFirst) -> Callable[[threading.Event], None]:
    return partial(EndpointCalls._run, work)  # type: ignore[arg-type]


def checkpointing(work: FailsFirst) -> Callable[[threading.Event], None]:
    process: Any = SimpleNamespace(_begun=lambda: True, _raised={})
    return partial(Checkpointing._repeat, process, "checkpoints", work.turn)


def retaining(work: FailsFirst) -> Callable[[threading.Event], None]:
    process: Any = SimpleNamespace(_turn=work.turn)
    return partial(Retaining._repeat, process, 1)


def keeping(work: FailsFirst) -> Callable[[threading.Event], None]:
    process: Any = SimpleNamespace(metrics=None)
    return partial(FindingProcess._each_time, process, work.turn)


def following(work: FailsFirst) -> Callable[[threading.Event], None]:
    live: Any = SimpleNamespace(follow=work.turn, size=lambda: (0, 0))
    store: Any = SimpleNamespace(runs=lambda: SimpleNamespace(runs=0, waiting=0))
    metrics: Any = SimpleNamespace(graph=lambda *_: None, quarantine=lambda *_: None, index=lambda *_: None)
    process: Any = SimpleNamespace(_shown=True, _live=live, _store=store, _metrics=metrics, _health=Health())
    return partial(_ConsumerObserver._keep, process)


@pytest.mark.parametrize("of", [calling, checkpointing, retaining, keeping, following])
def test_work_goes_on_after_an_internal_error(
    of: Callable[[FailsFirst], Callable[[threading.Event], None]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    """
    A thread that ended would leave a process that seems to be healthy, but no longer tells a receiver of revocations.
    """
    monkeypatch.setattr(threads, "_AGAIN_SECONDS", 0.0)
    work, stopped = FailsFirst(), threading.Event()
    with caplog.at_level(logging.ERROR), background_threads({"works": of(work)}, stopped):
        assert work.again.wait(SECONDS)

    assert "works failed; trying again" in caplog.text
    assert not [thread for thread in threading.enumerate() if thread.name == "works"]


def failing(*_: object) -> None:
    raise KeyError("an internal error")


WAYS: dict[str, tuple[Any, Any]] = {
    "calls-0": (EndpointCalls, SimpleNamespace(_revoking=["a server"], _run=failing)),
    "retention": (
        Retaining,
        SimpleNamespace(
            _settings=SimpleNamespace(retention_every_hours=1), _refuse_no_key=lambda: None, _repeat=failing
        ),
    ),
    "checkpoints": (
        Checkpointing,
        SimpleNamespace(
            _settings=SimpleNamespace(witnesses=()),
            _is_on=True,
            _begun=lambda: True,
            _sign=failing,
            _write_files=lambda: True,
            _topic=None,
            _repeat=lambda _name, turn, stopped: (turn(), stopped.wait()),
        ),
    ),
    "pusher": (_Pushing, SimpleNamespace(_pusher=SimpleNamespace(run=failing))),
}


@pytest.mark.parametrize("name", WAYS)
def test_a_delivery_process_is_not_ready_while_a_way_of_delivery_has_failed(name: str):
    """
    Otherwise receivers that it no longer reaches would be noticed only in the log.
    """
    kind, process = WAYS[name]
    health = Health()
    health.turned()
    health.lag_known(True)
    with kind.in_background(process, threading.Event(), health):
        wait_until(lambda: health.reasons() == [f"{name}: an internal error, see the log"])


def test_a_process_is_not_ready_while_a_thread_waits_to_try_again(monkeypatch: pytest.MonkeyPatch):
    """
    Its health names the thread; once the work goes on, it is ready again.
    """
    monkeypatch.setattr(threads, "_AGAIN_SECONDS", 0.5)
    work, stopped, health = FailsFirst(), threading.Event(), Health()
    health.turned()
    health.lag_known(True)

    def works(stopped: threading.Event) -> None:
        work.turn()
        stopped.wait()

    with background_threads({"works": works}, stopped, health):
        wait_until(lambda: health.reasons() == ["works: an internal error, see the log"])
        assert work.again.wait(SECONDS)
        wait_until(lambda: health.reasons() == [])


def test_a_thread_that_waits_to_try_again_ends_with_the_block():
    """
    However long it would still wait.
    """
    work, stopped, failed = FailsFirst(), threading.Event(), threading.Event()

    def fails(_: threading.Event) -> None:
        failed.set()
        work.turn()

    with background_threads({"works": fails}, stopped):
        assert failed.wait(SECONDS)

    assert 1 == work.turns
