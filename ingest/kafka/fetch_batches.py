"""Decode fetched batches directly into ``Record``, at a fifth of the library's cost.

The library builds three objects for every record. Here a plain batch (uncompressed, without headers or gaps) is decoded
in one loop; any other batch, or a malformed one, is left to the library, record by record. Transactions are also left
to the library.

This uses private parts of the library, guarded by ``records.harden``: with an unknown version, ``poll`` returns the
library's records, and ``records_of`` converts them.
"""

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, Final

from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.protocol.consumer import IsolationLevel

from ingest.kafka.records import APPEND_TIME, converted, harden, moment_of
from lineage.core.model.records import Position, Record

_PARTS: Final = (
    "_consume_aborted_transactions_up_to",
    "_contains_abort_marker",
    "_is_batch_aborted",
    "_maybe_skip_record",
    "_unpack_records",
    "drain",
)
_MOST_BITS: Final = 63  # of a varint; a longer one is malformed
_OFFSETS: Final = (1 << 40) - 1  # mask of the offset in a record's number
_new: Any = tuple.__new__


def read_lean(consumer: Any, topics: Mapping[str, str]) -> bool:
    """Make ``poll`` of a consumer return ``Record`` directly.

    Args:
        consumer: A KafkaConsumer that has not polled yet.
        topics: Maps the name of a topic on the cluster to its name in ``TOPICS``.

    Returns:
        False if the library's version is unknown; the consumer is then unchanged.
    """
    fetcher: Any = getattr(consumer, "_fetcher", None)
    if not harden() or type(fetcher) is not Fetcher or not all(hasattr(_Partition, part) for part in _PARTS):
        return False

    class Partition(_Partition):
        _topics = topics

    fetcher.PartitionRecords = Partition
    return True


class _Partition(Fetcher.PartitionRecords):  # type: ignore[misc]  # kafka-python ships no types
    """The records fetched from one partition."""

    _topics: Mapping[str, str]

    def _maybe_skip_record(self, record: Record) -> bool:
        return record.number & _OFFSETS < int(self.fetch_offset)

    def _unpack_records(self, tp: Any, records: Any, *_deserializers: object) -> Iterator[Record]:
        topic, partition = self._topics[tp.topic], tp.partition
        last = None
        while (batch := records.next_batch()) is not None:
            last = batch
            if self.check_crcs and not batch.validate_crc():
                raise CorruptRecordError(f"a batch of {tp.topic}/{partition} fails its checksum")
            if batch.magic == 2 and self._is_hidden(batch):  # noqa: PLR2004 (the format that all brokers write)
                self.next_fetch_offset = batch.next_offset
                continue
            plain = plain_records(topic, partition, batch)
            for record in converted(topic, partition, _checked(batch)) if plain is None else plain:
                self.next_fetch_offset = (record.number & _OFFSETS) + 1
                yield record
        if last is not None and last.magic == 2:  # noqa: PLR2004
            self.next_fetch_offset = last.next_offset  # skips offsets after the last record that were removed
        self.drain()

    def _is_hidden(self, batch: Any) -> bool:
        """Whether a batch belongs to an aborted transaction, or is a control batch."""
        self.leader_epoch = batch.leader_epoch
        if self.isolation_level == IsolationLevel.READ_COMMITTED and batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            if self._contains_abort_marker(batch):
                self.aborted_producer_ids.discard(batch.producer_id)
            elif self._is_batch_aborted(batch):
                return True
        return bool(batch.is_control_batch)


def _checked(batch: Any) -> Iterator[Any]:
    """The records of a batch, decoded by the library."""
    for record in batch:
        if not record.validate_crc():
            raise CorruptRecordError(f"the record {record.offset} fails its checksum")
        yield record


def plain_records(topic: str, partition: int, batch: Any) -> list[Record] | None:
    """Decode a plain batch; None if it is not plain, and then nothing of it has been consumed."""
    if batch.magic != 2 or batch.compression_type or batch.records_count != batch.last_offset_delta + 1:  # noqa: PLR2004
        return None
    raw = bytes(batch._buffer)  # noqa: SLF001
    same = batch.timestamp_type == APPEND_TIME
    first, recorded_at = batch.first_timestamp, moment_of(APPEND_TIME, batch.max_timestamp)
    at, numbers = batch._pos, count(Position(topic, partition, batch.base_offset).number)  # noqa: SLF001
    found: list[Record] = []
    try:
        for _ in range(batch.records_count):
            size, at = _varint(raw, at)
            end = at + size
            if raw[at] > 0x7F:  # noqa: PLR2004 (an unused byte, which the library reads as a varint)
                return None
            delta, at = _varint(raw, at + 1)
            if not same:
                recorded_at = moment_of(0, first + delta)
            _, at = _varint(raw, at)  # the record's own claim of its offset, which is ignored
            size, at = _varint(raw, at)
            size, at = _varint(raw, at + size if size > 0 else at)  # after the key
            value = raw[at : at + size] if size >= 0 else None
            if at + max(size, 0) + 1 != end or raw[end - 1]:  # it has headers, or is malformed
                return None
            found.append(_new(Record, (next(numbers), recorded_at, value, ())))
            at = end
    except IndexError:
        return None
    return found if at == len(raw) else None


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """Decode a zigzag varint: the number, and the position after it."""
    number = raw[at]
    if number < 0x80:  # noqa: PLR2004
        return (number >> 1) ^ -(number & 1), at + 1
    number &= 0x7F
    shift = 7
    while True:
        at += 1
        byte = raw[at]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004
            return (number >> 1) ^ -(number & 1), at + 1
        shift += 7
        if shift > _MOST_BITS:
            raise IndexError
