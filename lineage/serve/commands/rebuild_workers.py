"""Project a log with several processes: workers read, decode and make rows, and this process writes them in order.

The result is that of one process. Each worker does every n-th task and has at most one batch that waits to be written,
so memory is bounded. A worker that dies, or fails, ends the projection with an error; workers end when this process
does, however it ends, because their pipe is closed.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

from ingest.log.port import Log
from ingest.projection_tasks import ReadingTask, batches_of, reading_tasks
from ingest.projector import Deleted
from lineage.core.model.errors import DelegraphError, UnavailableError
from lineage.core.model.trust import TrustTable
from lineage.plumbing.gc_pause import gc_paused
from lineage.plumbing.worker_process import WorkerProcess
from lineage.store.store import Store
from lineage.store.writing.fact_rows import RowMaker, load

_ENOUGH: Final = 3  # workers that make rows as fast as one process can write them


@dataclass(frozen=True, slots=True)
class Workers:
    """The worker processes of a projection.

    Attributes:
        open_log: Opens the log in a worker; it is sent there.
        most: The maximum number of workers; 0 for none, so that this process does everything.
        records_each: A worker is started for each so many records; for fewer, starting it costs more than it saves.
    """

    open_log: Callable[[], Log]
    most: int
    records_each: int = 100_000

    def needed(self, records: int) -> int:
        """Return how many workers a projection of this many records uses."""
        return min(self.most, records // self.records_each)


def default_workers() -> int:
    """Return the default number of workers of a rebuild: the process that writes cannot keep up with more."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if cores == 1 else min(cores, _ENOUGH)


def project_with_workers(
    log: Log,
    store: Store,
    trust: TrustTable | None,
    workers: Workers,
    *,
    progress: Callable[[int], None],
    deleted: Deleted,
) -> int:
    """Project a whole log into an empty store, with at least one worker.

    Args:
        log: The log.
        store: A store that nobody else uses.
        trust: The trust table in force.
        workers: The workers.
        progress: Called after each batch with its number of records.
        deleted: The records that are not projected again.

    Returns:
        The number of records that were projected.

    Raises:
        UnavailableError: A worker could not be started, ended, or could not read the log.
    """
    store.bind(log.identity)
    ends = log.ends()
    count = max(workers.needed(sum(ends.values())), 1)
    arguments = (workers.open_log, store.row_maker, trust)
    projected = 0
    ended: set[tuple[str, int]] = set()  # partitions with fewer records than the log said
    tasks = reading_tasks(ends, deleted)
    waiting: list[tuple[_Worker, ReadingTask]] = []  # in the order of the tasks

    def write(dumped: bytes, worker: _Worker, task: ReadingTask) -> tuple[int, bool]:
        """Write a batch; return how many of its records were written, and whether it is the last one of its task."""
        batch = load(dumped)
        is_last = batch.advance[task.place][1] == task.following
        if is_last:  # the worker begins the next task meanwhile
            worker.receive()
            _hand_out(worker, tasks, waiting)
        if task.place in ended:
            return 0, is_last
        store.write_rows(batch)
        return len(batch.committed), is_last

    with _started(count, arguments) as started:
        for worker in started:
            _hand_out(worker, tasks, waiting)
        while waiting:
            worker, task = waiting.pop(0)
            while (dumped := worker.receive()) is not None:
                # When the collector is resumed, the batch is gone: it would look at everything in it.
                with gc_paused():
                    records, is_last = write(dumped, worker, task)
                projected += records
                progress(records)
                if is_last:
                    break
            else:
                ended.add(task.place)
                _hand_out(worker, tasks, waiting)
    return projected


class _Worker:
    """A worker process of a rebuild."""

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        try:
            self._process = WorkerProcess(_work, *arguments)
        except OSError as error:
            raise UnavailableError(
                f"a worker process of the rebuild cannot be started ({error}); nothing was replaced. Use fewer workers"
            ) from error

    def send(self, task: ReadingTask) -> None:
        try:
            self._process.pipe.send(task)
        except OSError:
            raise self._gone() from None

    def receive(self) -> bytes | None:
        """Return the next batch of the task; None after the last one."""
        try:
            kind, content = self._process.pipe.recv()
        except (EOFError, OSError):
            raise self._gone() from None
        if kind == "fault":
            raise content
        return content  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the worker."""
        self._process.close()

    def _gone(self) -> UnavailableError:
        return UnavailableError(
            f"a worker process of the rebuild ended {self._process.ending()}; nothing was replaced. If the machine is "
            "short of memory, use fewer workers"
        )


@contextmanager
def _started(count: int, arguments: tuple[Any, ...]) -> Iterator[list[_Worker]]:
    workers: list[_Worker] = []
    try:
        for _ in range(count):
            workers.append(_Worker(arguments))  # noqa: PERF401 (those that were started are closed if one fails)
        yield workers
    finally:
        for worker in workers:
            worker.close()


def _hand_out(worker: _Worker, tasks: Iterator[ReadingTask], waiting: list[tuple[_Worker, ReadingTask]]) -> None:
    """Give a worker the next task, if there is one."""
    if (task := next(tasks, None)) is not None:
        worker.send(task)
        waiting.append((worker, task))


def _work(
    pipe: Connection, open_log: Callable[[], Log], row_maker: Callable[[], RowMaker], trust: TrustTable | None
) -> None:
    """Do tasks until the pipe is closed: the main function of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C also reaches the parent, which then closes the pipe
    try:
        log, maker = open_log(), row_maker()
        while True:
            task: ReadingTask = pipe.recv()
            with gc_paused():
                _do(task, pipe, log, maker, trust)
            pipe.send(("end", None))
    except DelegraphError as fault:
        pipe.send(("fault", fault))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent has ended


def _do(task: ReadingTask, pipe: Connection, log: Log, maker: RowMaker, trust: TrustTable | None) -> None:
    """Do a task; its batches are gone when the collector is resumed."""
    for batch in batches_of(log, task, trust):
        pipe.send(("batch", maker.batch_rows(batch).dump()))
