"""A worker process that decodes large batches for a consumer and makes their rows, which the consumer then writes.

The worker has no connection to the store or the log. It gets records through its pipe and answers with rows, in order.
Facts, positions and trees are still written by the consumer, in one transaction. Whatever happens to the worker, the
consumer still has the records and decodes them itself, so nothing is lost; the failure is logged and counted.

The worker remembers which names it has made, so what it makes only fits a store that has everything made before. After
a batch that was not written, it begins a new epoch, and what it made in the old one is not used.
"""

import logging
import marshal
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Final

from ingest.codec import api as codec
from ingest.projector import read_records
from lineage.core.model.errors import StaleRowsError
from lineage.core.model.events import ActionPerformed, DecisionMade, Fact
from lineage.core.model.records import Batch, Outcomes, Record
from lineage.core.model.times import Instant
from lineage.core.model.trust import TrustTable
from lineage.plumbing.gc_pause import gc_paused
from lineage.plumbing.worker_process import WorkerProcess
from lineage.store.store import Store
from lineage.store.writing.fact_rows import MISROUTED, RECORDED_AT, VALUE, BatchRows, RowMaker, load

logger = logging.getLogger(__name__)

Place = tuple[str, int]  # topic and partition
_Polled = Mapping[Place, list[Record]]

LEAST: Final = 5_000  # records in a batch: while it keeps up with the log, a batch is smaller
# How long it may take to make a batch, which needs less than a second of a core, or to accept one, for which it first
# makes the one before. A consumer that is asked to stop may wait as long.
_ANSWER_SECONDS: Final = 20.0
_IDLE_SECONDS: Final = 60.0  # how long it is kept without a large batch
_AGAIN_SECONDS: Final = 60.0  # until another is started after a failure
_PLAIN: Final = 2  # the version of marshal that does not look for repeated objects


def is_worthwhile() -> bool:
    """Return whether this process may use more than one core."""
    return (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1) > 1


class RowProcess:
    """Gives batches to the worker process, which is started with the first large one and ends when there are no more.

    ``takes`` and ``prepare`` are called by one thread, the methods of what ``prepare`` returns by another.
    """

    def __init__(self, store: Store, *, traced: bool, failed: Callable[[], None]) -> None:
        """Create it; nothing is started yet.

        Args:
            store: The store to which the rows are written.
            traced: Whether links to traces are needed.
            failed: Called when the process has failed.
        """
        self._store = store
        self._traced = traced
        self._failed = failed
        self._worker: _Worker | None = None
        self._wanted_at = 0.0  # when there was a large batch
        self._not_before = 0.0  # when one may be started

    def takes(self, records: int) -> bool:
        """Whether the next batch, which has this many records, should be given to it."""
        now, worker = time.monotonic(), self._worker
        is_idle = records < LEAST and now - self._wanted_at > _IDLE_SECONDS
        if worker is not None and (worker.is_broken or is_idle) and not worker.is_busy:
            self.close()
            if worker.is_broken:
                self._not_before = now + _AGAIN_SECONDS
            worker = None
        if records < LEAST:
            return False
        self._wanted_at = now
        if worker is None and now >= self._not_before:
            worker = self._worker = self._started(now)
        return worker is not None and worker.is_ready()

    def _started(self, now: float) -> "_Worker | None":
        """Start a worker; None if the system does not permit it, so that another attempt is made later."""
        logger.info("many records are waiting: a worker process is started that decodes them")
        try:
            return _Worker(self._store.row_maker, self._traced, self._failed)
        except OSError as fault:
            logger.warning("no worker process can be started (%s); this process decodes by itself", fault)
            self._failed()
            self._not_before = now + _AGAIN_SECONDS
            return None

    def prepare(self, polled: _Polled, advance: dict[Place, tuple[int, int]], trust: TrustTable | None) -> "_Prepared":
        """Give it the records of a batch, which ``takes`` has accepted."""
        assert self._worker is not None  # noqa: S101 (see above)
        epoch = self._worker.send(polled, trust)
        return _Prepared(self._store, self._worker, epoch, advance)

    def close(self) -> None:
        """End the process, if it runs. All batches have been written."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None


class _Worker:
    """The worker process, as this one sees it.

    Attributes:
        is_broken: Whether it has failed; then it has ended.
        epoch: The number of its epoch.
        edition: The edition of the store in this epoch; None until its first batch is written.
    """

    def __init__(self, row_maker: Callable[[], RowMaker], traced: bool, failed: Callable[[], None]) -> None:
        self._failed = failed
        self._process = WorkerProcess(_make_rows, row_maker, traced)
        self._lock = threading.Lock()
        self._is_ready = False
        self._trust: object = _NONE_SENT
        self._sent = self._received = 0  # batches, each counted by one thread
        self.is_broken = False
        self.epoch = 0
        self.edition: bytes | None = None

    @property
    def is_busy(self) -> bool:
        """Whether it has a batch whose rows have not been received."""
        return self._sent > self._received

    def is_ready(self) -> bool:
        """Whether it has started; it then waits for batches."""
        try:
            if not self._is_ready and self._process.pipe.poll():
                self._process.pipe.recv_bytes()
                self._is_ready = True
        except (EOFError, OSError):
            self.fail()
        return self._is_ready and not self.is_broken

    def send(self, polled: _Polled, trust: TrustTable | None) -> int:
        """Send a batch; return its epoch."""
        epoch = self.epoch
        self._sent += 1
        table = None if trust is self._trust else pickle.dumps(trust)
        columns = [(place, tuple(zip(*records, strict=True))) for place, records in polled.items()]
        task = marshal.dumps((epoch, table, columns), _PLAIN)
        with self._in_time():
            self._process.pipe.send_bytes(task)
            self._trust = trust
        return epoch

    def receive(self) -> bytes | None:
        """Return the next answer; None if it has failed."""
        try:
            if not self.is_broken:
                with self._in_time():
                    return self._process.pipe.recv_bytes()
            return None
        finally:
            self._received += 1

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """Fail if the pipe is broken, or if the block, which uses it, takes too long.

        A send or a receive, also of half a batch, waits without a limit for a process that is stopped or stuck. The
        other end of the pipe is closed when that process is killed, which ends the wait.
        """
        how = f"did not answer within {_ANSWER_SECONDS:.0f} s"
        watchdog = threading.Timer(_ANSWER_SECONDS, self.fail, [how])
        watchdog.start()
        try:
            yield
        except (EOFError, OSError):
            self.fail()
        finally:
            watchdog.cancel()

    def forget(self) -> None:
        """Begin a new epoch, because something that it made was not written."""
        self.edition = None
        self.epoch += 1

    def fail(self, how: str | None = None) -> None:
        """Note that it has failed, and end it."""
        with self._lock:
            if self.is_broken:
                return
            how = f"ended {self._process.ending()}" if how is None else how
            self._process.kill()
            self.is_broken = True
            logger.warning(
                "the worker process that decodes for this consumer %s; this process decodes by itself, "
                "and may start another in %.0f s",
                how,
                _AGAIN_SECONDS,
            )
            self._failed()

    def close(self) -> None:
        with self._lock:
            self._process.close()


_NONE_SENT: Final = object()


class _Prepared:
    """A batch that the worker makes."""

    def __init__(self, store: Store, worker: _Worker, epoch: int, advance: dict[Place, tuple[int, int]]) -> None:
        self._store = store
        self._worker = worker
        self._epoch = epoch
        self._advance = advance
        self._batch: RowsBatch | None = None
        self._traceparents: Collection[str] = ()

    def made(self) -> "RowsBatch | None":
        """Wait for the worker, and return the batch; None if it failed, or made it for another state of the store."""
        answer = self._worker.receive()
        if answer is None or self._epoch != self._worker.epoch:
            return None
        rows, authority, self._traceparents = marshal.loads(answer)  # noqa: S302 (from our own process)
        self._batch = RowsBatch(load(rows)._replace(advance=self._advance), authority)
        return self._batch

    def traceparents(self) -> Collection[str]:
        """Return where its events were created; empty unless traces are written."""
        return self._traceparents

    def write(self) -> Outcomes | None:
        """Write it; None, and nothing written, if the store was rebuilt since the worker's epoch began."""
        assert self._batch is not None  # noqa: S101 (``made`` has returned it)
        worker = self._worker
        try:
            if worker.edition is None:
                worker.edition = self._store.edition()
            return self._store.write_rows(self._batch.rows, worker.edition)
        except StaleRowsError:
            worker.forget()
            return None
        except BaseException:
            worker.forget()
            raise


class RowsBatch:
    """A batch of rows, for observers: events are decoded only when they are asked for."""

    def __init__(self, rows: BatchRows, authority: list[int]) -> None:
        """Wrap rows.

        Args:
            rows: The rows.
            authority: The places of the facts on which the state of an element may depend.
        """
        self.rows = rows
        self._authority = authority

    @property
    def advance(self) -> dict[Place, tuple[int, int]]:
        """See ``Batch``."""
        return self.rows.advance

    @property
    def records(self) -> int:
        """See ``Batch``."""
        return len(self.rows.committed)

    @property
    def recorded_at(self) -> Instant:
        """See ``Batch``."""
        return max((recorded_at for _, recorded_at, _ in self.rows.committed), default=0)

    def facts(self) -> Iterator[Fact]:
        """See ``Batch``."""
        return map(_fact_of, self.rows.rows.facts)

    def authority(self) -> Iterator[Fact]:
        """See ``Batch``."""
        facts = self.rows.rows.facts
        return (_fact_of(facts[place]) for place in self._authority)


def _fact_of(row: tuple[Any, ...]) -> Fact:
    return Fact(codec.decode(row[VALUE]), row[RECORDED_AT], bool(row[MISROUTED]))


def _make_rows(pipe: Connection, row_maker: Callable[[], RowMaker], traced: bool) -> None:
    """Make the rows of batches until the pipe is closed: the main function of the worker."""
    for number in (signal.SIGINT, signal.SIGTERM):  # which a terminal or a supervisor also sends to the parent
        signal.signal(number, signal.SIG_IGN)
    try:
        maker, trust, last_epoch = row_maker(), None, 0
        pipe.send_bytes(b"ready")
        while True:
            task = pipe.recv_bytes()
            with gc_paused():
                epoch, table, columns = marshal.loads(task)  # noqa: S302 (from our own process)
                if table is not None:
                    trust = pickle.loads(table)  # noqa: S301 (from our own process)
                if epoch != last_epoch:
                    maker.forget()
                    last_epoch = epoch
                pipe.send_bytes(_answer(maker, columns, trust, traced=traced))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent has ended


def _answer(maker: RowMaker, columns: list[Any], trust: TrustTable | None, *, traced: bool) -> bytes:
    batch = Batch()
    for _, values in columns:
        read_records(map(Record._make, zip(*values, strict=True)), trust, batch)
    bodies = enumerate(record.fact.event.body for record in batch.readable)
    authority = [place for place, body in bodies if not isinstance(body, ActionPerformed | DecisionMade)]
    links = [link for record in batch.readable if (link := record.fact.event.traceparent)] if traced else []
    return marshal.dumps((maker.batch_rows(batch).dump(), authority, links), _PLAIN)
