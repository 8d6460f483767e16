"""The Kafka consumer: a member of a consumer group that polls, decodes and writes to the store until it is stopped.

Facts and positions are written in one transaction of the store, and a position only advances from the value that this
consumer expects. So after any crash, and with any number of stale consumers, the stored facts match the stored
positions, and resuming from them loses nothing and repeats nothing. Offsets committed to the group are only for lag
tools.

While a separate thread writes one batch, the next is polled and decoded. Large batches, as there are while it catches
up, may instead be decoded by another process (``RowWorker``): then one batch is polled while another is with that
process, and a third is being written.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, Protocol

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.errors import KafkaError

from ingest.kafka.client import new_client
from ingest.kafka.errors import kafka_faults
from ingest.kafka.fetch_batches import read_lean
from ingest.kafka.log import READING, KafkaLog, refuse_lost
from ingest.kafka.records import records_of
from ingest.projector import ProjectionPort, read_records
from ingest.tracing import Tracer, no_tracer
from lineage.core.model.errors import FencedError, UnavailableError
from lineage.core.model.records import TOPICS, Batch, Outcomes, ProjectedBatch, Record
from lineage.core.model.trust import Trusted, TrustTable, in_force
from lineage.plumbing.backoff import Backoff
from lineage.plumbing.gc_pause import gc_paused

logger = logging.getLogger(__name__)

Place = tuple[str, int]  # topic and partition, as in positions
Advance = dict[Place, tuple[int, int]]  # the previous next offset and the new one
_Polled = Mapping[Place, list[Record]]
_Settled = tuple[ProjectedBatch, Outcomes, float, float]  # the arguments of ``Observer.committed``

BATCH: Final = 20_000  # the most records in one transaction
_POLL_MS: Final = 200
# The broker answers a fetch once it has this many bytes or this time has passed: records come in few batches, each of
# which costs a transaction. The client leaves a partition out of a fetch while it holds records of it; what is appended
# there in the meantime waits until that fetch is answered, half a second by default.
_FETCHED_BYTES: Final = 256 * 1024
_FETCH_MS: Final = 100
# A member that sends no heartbeat for this long loses its partitions to the others.
_SESSION_MS: Final = 10_000
_HEARTBEAT_MS: Final = 2_000
_COMMIT_SECONDS: Final = 1.0
# The library can lose track of a join that takes longer than a poll, and then waits forever for its assignment.
_JOIN_SECONDS: Final = 30.0
_TURNS: Final = 8  # with large batches until the next collection
_CHECK_SECONDS: Final = 30.0  # how often to check that the topics are still the same
_SHORTEST_WAIT_SECONDS: Final = 0.2
_LONGEST_WAIT_SECONDS: Final = 10.0
_CLOSE_MS: Final = 1_000


class ConsumerObserver(Protocol):
    """Receives notifications of what the consumer does, mostly for metrics. Its methods must not raise."""

    def committed(
        self, batch: ProjectedBatch, outcomes: Outcomes, batch_seconds: float, transaction_seconds: float
    ) -> None:
        """A batch has been committed to the store, ``batch_seconds`` after it was polled."""
        ...

    def turned(self) -> None:
        """The loop has begun an iteration: at least once a second in normal operation."""
        ...

    def lag(self, by_partition: Mapping[Place, int]) -> None:
        """Return how many records of each assigned partition have not been polled yet."""
        ...

    def assigned(self, partitions: Collection[Place]) -> None:
        """The partitions that are assigned to this member from now on."""
        ...

    def fault(self, kind: str, wait: float) -> None:
        """The ``log`` or the ``store`` is unavailable; the consumer retries after ``wait`` seconds."""
        ...


class PreparedBatch(Protocol):
    """A batch that another process decodes."""

    def made(self) -> ProjectedBatch | None:
        """Wait for the other process, and return the batch; None if it did not make it."""
        ...

    def traceparents(self) -> Iterable[str]:
        """Return where its events were created, for links between traces."""
        ...

    def write(self) -> Outcomes | None:
        """Write it with its positions, in one transaction; None, and nothing written, if it is out of date."""
        ...


class RowWorker(Protocol):
    """Another process that decodes batches and makes their rows, so that this one only has to write them."""

    def takes(self, records: int) -> bool:
        """Whether the next batch, which has this many records, should be given to it."""
        ...

    def prepare(self, polled: _Polled, advance: Advance, trust: TrustTable | None) -> PreparedBatch:
        """Give it the records of a batch."""
        ...


class Consumer:
    """One member of a consumer group."""

    def __init__(
        self,
        log: KafkaLog,
        store: ProjectionPort,
        trust: Trusted | None,
        *,
        group: str,
        observer: ConsumerObserver,
        traced: Tracer = no_tracer,
        worker: RowWorker | None = None,
    ) -> None:
        """Create a consumer; ``run`` starts it.

        Args:
            log: The log to read.
            store: The store to which facts and positions are written.
            trust: Provides the trust table in force.
            group: The consumer group that shares the partitions.
            observer: Is notified of progress and faults.
            traced: Creates the spans of the work.
            worker: Decodes large batches; None if this process decodes everything.
        """
        self._log = log
        self._store = store
        self._trust = trust
        self._group = group
        self._observer = observer
        self._traced = traced
        self._worker = worker
        self._backoff = Backoff(_SHORTEST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS)
        self._asked = "log"  # what is in use now, and therefore the origin of a fault
        self.records = 0  # projected so far

    def run(self, stopped: threading.Event) -> None:
        """Project records until stopped. If the log or the store is unavailable, retry with exponential backoff.

        Raises:
            IntegrityError: The log is not the one that the store has read, or has lost records.
            RefusedError: The log does not permit reading.
        """
        while not stopped.is_set():
            try:
                self._session(stopped)
            except UnavailableError as fault:
                wait = self._backoff.next_seconds()
                logger.warning("%s; trying again in %.1f s", fault, wait)
                self._observer.fault(self._asked, wait)
                stopped.wait(wait)

    def _session(self, stopped: threading.Event) -> None:
        self._check()
        with self._member() as member:
            try:
                self._turns(member, stopped)
            except Exception:
                with suppress(Exception):  # also announce the last batch that was written
                    self._finish(member)
                raise
            self._finish(member)

    def _turns(self, member: "_Member", stopped: threading.Event) -> None:
        checked = time.monotonic()
        while not stopped.is_set():
            with gc_paused():  # for both threads; what they leave in cycles is collected afterwards
                self._some_turns(member, stopped)
            if time.monotonic() - checked > _CHECK_SECONDS:
                self._check()
                checked = time.monotonic()

    def _some_turns(self, member: "_Member", stopped: threading.Event) -> None:
        """Do one turn, or a few while batches are large: a collection looks at all rows of the batches underway."""
        for _ in range(_TURNS):
            if self._turn(member, stopped) < BATCH // 2 or stopped.is_set():
                return

    def _check(self) -> None:
        """Raise IntegrityError if the log has been replaced or has lost records."""
        self._log.forget()
        identity = self._log.identity
        with self._asking_store():
            self._store.bind(identity)
            positions = self._store.positions()
        refuse_lost(self._log, positions)

    @contextmanager
    def _asking_store(self) -> Iterator[None]:
        self._asked = "store"
        yield
        self._asked = "log"

    @contextmanager
    def _member(self) -> Iterator["_Member"]:
        names = [self._log.topic_name(topic) for topic in TOPICS]
        with kafka_faults(self._log.servers, self._log.settings, doing="read", topics=names):
            member = _Member(self._log, self._store, self._group, self._observer)
            try:
                member.join()
                yield member
            finally:
                member.close()

    def _turn(self, member: "_Member", stopped: threading.Event) -> int:
        """Poll and decode one batch while the previous one is being written, then submit it to the writer.

        Returns:
            The number of records that were polled.
        """
        self._observer.turned()
        generation = member.generation
        began = time.monotonic()
        polled = {place: records_of(*place, records) for place, records in member.poll().items()}
        count = sum(map(len, polled.values()))
        worker = self._worker
        if worker is not None and not worker.takes(count):
            worker = None
        batch = Batch() if worker is not None else self._read(polled)
        self._settle(member, left=0 if worker is None else 1)
        try:
            # A batch that is polled but not written is polled again, here or by the partition's next owner.
            if not stopped.is_set() and (advance := member.claim(polled, generation)):
                if worker is None:
                    batch.advance.update(advance)
                    member.submit(partial(self._write, batch, began))
                else:
                    prepared = worker.prepare(polled, advance, in_force(self._trust))
                    member.submit(partial(self._write_prepared, prepared, polled, advance, began))
        finally:
            self._announce(member)  # while the next batch is being written
        if not polled:
            self._finish(member)
            member.commit_pending()  # includes the last batch before a pause
        self._observer.lag(member.lag())
        return count

    def _read(self, polled: _Polled) -> Batch:
        batch = Batch()
        if polled:
            with self._traced("decode"):
                for records in polled.values():
                    read_records(records, in_force(self._trust), batch)
        return batch

    def _write(self, batch: Batch, began: float) -> _Settled:
        start = time.monotonic()
        with self._traced("transaction") as span:
            span.link(made_in for record in batch.readable if (made_in := record.fact.event.traceparent))
            outcomes = self._store.write(batch)
            span.note(**outcomes._asdict())
        done = time.monotonic()
        return batch, outcomes, done - began, done - start

    def _write_prepared(self, prepared: PreparedBatch, polled: _Polled, advance: Advance, began: float) -> _Settled:
        """Write what another process has decoded; if it cannot be used, decode and write it here."""
        made = prepared.made()
        start = time.monotonic()
        if made is not None:
            with self._traced("transaction") as span:
                span.link(prepared.traceparents())
                if (outcomes := prepared.write()) is not None:
                    span.note(**outcomes._asdict())
            if outcomes is not None:
                done = time.monotonic()
                return made, outcomes, done - began, done - start
        batch = self._read(polled)
        batch.advance.update(advance)
        return self._write(batch, began)

    def _settle(self, member: "_Member", left: int = 0) -> None:
        """Wait until at most some batches are still to be written; those that were committed are announced later."""
        while len(member.writing) > left:
            try:
                with self._asking_store():
                    member.settled.append(member.writing[0].result())
            except FencedError as fault:  # another consumer has one of the partitions, or had it in the meantime
                logger.info("%s; resuming from the positions in the store", fault)
                member.writing.popleft()
                self._asked = "log"
                with suppress(FencedError):  # it may be of other partitions, and was written then
                    self._settle(member)
                member.resume()
                return
            except BaseException:
                member.writing.popleft()
                raise
            member.writing.popleft()
            self._backoff.reset()

    def _announce(self, member: "_Member") -> None:
        """Notify the observer and the group of the batches that are in the store."""
        while member.settled:
            settled = member.settled.popleft()
            batch = settled[0]
            self.records += batch.records
            self._observer.committed(*settled)
            member.commit({place: following for place, (_, following) in batch.advance.items()})

    def _finish(self, member: "_Member") -> None:
        try:
            self._settle(member)
        finally:
            self._announce(member)


class _Member(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python ships no types
    """The membership in the group: the assigned partitions, and the position in each.

    kafka-python assigns and revokes partitions on its own thread, in the middle of a poll. So every change increments
    ``generation``, and a batch is only written if it was polled entirely within one generation.
    """

    def __init__(self, log: KafkaLog, store: ProjectionPort, group: str, observer: ConsumerObserver) -> None:
        self._store = store
        self._observer = observer
        self._places = {log.topic_name(topic): topic for topic in TOPICS}
        self._names = {topic: name for name, topic in self._places.items()}
        self._lock = threading.Lock()
        self._following: dict[Place, int] = {}  # the next offset of each assigned partition
        self._fault: Exception | None = None
        self._uncommitted: dict[Place, int] = {}
        self._committed_at = time.monotonic()
        # Waiting for an assignment since then; None once there is one, even an empty one.
        self._waiting_since: float | None = time.monotonic()
        self.generation = 0
        self.writing: deque[Future[_Settled]] = deque()  # in the order of the log
        self.settled: deque[_Settled] = deque()  # written, but not announced yet
        self.writer = ThreadPoolExecutor(1, "delegraph-writer")
        self._consumer = new_client(
            KafkaConsumer,
            **log.client(
                **READING,
                group_id=group,
                partition_assignment_strategy=[RoundRobinPartitionAssignor()],
                session_timeout_ms=_SESSION_MS,
                heartbeat_interval_ms=_HEARTBEAT_MS,
                metadata_max_age_ms=30_000,
                fetch_min_bytes=_FETCHED_BYTES,
                fetch_max_wait_ms=_FETCH_MS,
            ),
        )
        read_lean(self._consumer, self._places)

    def join(self) -> None:
        """Subscribe, and load the topics' metadata first: joining without it would require a second rebalance."""
        self._consumer.subscribe(list(self._places), listener=self)
        for name in self._places:
            self._consumer.partitions_for_topic(name)

    # Called by kafka-python on its own thread. Calls that wait for the broker are not allowed here; seek is.

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Stop tracking partitions that may be assigned to other members."""
        with self._lock:
            self.generation += 1
            self._waiting_since = time.monotonic()
            for place in revoked:
                self._following.pop(self._place(place), None)

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Resume newly assigned partitions from the positions in the store."""
        with self._lock:
            self.generation += 1
            self._waiting_since = None
            try:
                self._seek(assigned)
            except Exception as fault:  # noqa: BLE001 (poll raises it on the consumer's thread)
                self._fault = fault
                self._consumer.pause(*assigned)
            ours = tuple(self._following)
        self._observer.assigned(ours)

    def _seek(self, partitions: Collection[TopicPartition]) -> None:
        for writing in tuple(self.writing):
            with suppress(Exception):  # _settle raises it on the consumer's thread
                writing.result()
        positions = self._store.positions()
        for place in partitions:
            following = positions.get(self._place(place), 0)
            self._following[self._place(place)] = following
            self._consumer.seek(place, following)

    # Called by the consumer.

    def poll(self) -> dict[Place, list[Any]]:
        """Poll records by partition, up to a full batch; only the first poll waits."""
        polled: dict[Place, list[Any]] = {}
        most, count, timeout_ms = self._store.affordable(BATCH), 0, _POLL_MS
        while count < most:
            part = self._consumer.poll(timeout_ms=timeout_ms, max_records=most - count)
            if self._fault is not None:
                raise self._fault
            if (since := self._waiting_since) is not None and time.monotonic() - since > _JOIN_SECONDS:
                raise UnavailableError(f"no partitions assigned within {_JOIN_SECONDS:.0f} s; rejoining the group")
            if not part:
                break
            for place, records in part.items():
                polled.setdefault(self._place(place), []).extend(records)
                count += len(records)
            timeout_ms = 0
        return polled

    def claim(self, polled: _Polled, generation: int) -> Advance:
        """Advance the positions by what was polled.

        Returns:
            The positions before and after. If the assignment has changed since ``generation``, it is empty: the batch
            is discarded, and the consumer seeks back to the positions before it.
        """
        advance: Advance = {}
        with self._lock:
            if generation != self.generation:
                self._rewind()
                return {}
            for place in polled or tuple(self._following):
                expected = self._following.get(place)
                if expected is None:  # it was revoked, but its records were still delivered
                    self._rewind()
                    return {}
                following = self._position(place)
                if following > expected:
                    advance[place] = (expected, following)
                elif place in polled:  # the position after its records is unknown
                    self._rewind()
                    return {}
            for place, (_, following) in advance.items():
                self._following[place] = following
            return advance

    def submit(self, write: Callable[[], _Settled]) -> None:
        """Let the writer's thread write a batch after those before."""
        self.writing.append(self.writer.submit(write))

    def _position(self, place: Place) -> int:
        """The offset that is polled next, which may be after a gap; 0 while a partition is being revoked."""
        try:
            return int(self._consumer.position(self._partition(place), timeout_ms=_POLL_MS) or 0)
        except KafkaError:
            return 0

    def _rewind(self) -> None:
        ours = self._consumer.assignment()
        for place, following in self._following.items():
            if (partition := self._partition(place)) in ours:
                self._consumer.seek(partition, following)

    def resume(self) -> None:
        """Resume from the positions in the store."""
        with self._lock:
            self.generation += 1  # records polled since then do not continue from these positions
            self._seek([self._partition(place) for place in self._following])

    def lag(self) -> dict[Place, int]:
        """The number of records after our position, for each assigned partition."""
        found = {}
        with self._lock:
            for place, following in self._following.items():
                end = self._consumer.highwater(self._partition(place))
                if end is not None:
                    found[place] = max(0, end - following)
        return found

    def commit(self, following: Mapping[Place, int]) -> None:
        """Commit offsets to the group, at most once in ``_COMMIT_SECONDS``; delegraph itself never reads them."""
        self._uncommitted.update(following)
        self.commit_pending()

    def commit_pending(self) -> None:
        """Commit the offsets that are pending, if it is time to."""
        if self._uncommitted and time.monotonic() - self._committed_at >= _COMMIT_SECONDS:
            self._committed_at = time.monotonic()
            with suppress(KafkaError):
                self._consumer.commit_async(self._offsets())

    def _offsets(self) -> dict[TopicPartition, OffsetAndMetadata]:
        offsets = {
            self._partition(place): OffsetAndMetadata(offset, "", -1)
            for place, offset in self._uncommitted.items()
            if place in self._following
        }
        self._uncommitted.clear()
        return offsets

    def close(self) -> None:
        """Wait for the batch that is being written, and leave the group."""
        self.writer.shutdown(wait=True)
        if offsets := self._offsets():
            with suppress(KafkaError):
                self._consumer.commit(offsets, timeout_ms=_CLOSE_MS)
        with suppress(KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=_CLOSE_MS)

    def _place(self, partition: TopicPartition) -> Place:
        return self._places[partition.topic], partition.partition

    def _partition(self, place: Place) -> TopicPartition:
        return TopicPartition(self._names[place[0]], place[1])
