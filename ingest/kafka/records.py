"""Records as they stand in the log, whatever their producer made of them.

A broker takes two things that the library stumbles over. Of a header whose name is no UTF-8 it gives up the whole batch
and all that comes after it. And it believes the offset that a record in a batch claims for itself, by which one would
take the place of another's, or of one that is still to come. Our topics are not compacted: within a batch there are no
holes, and where a record stands is its offset.

This reaches into private parts of the library. A version in which they are not as they were read to be is left as it
is; ``harden`` says so, and then a hostile record is an integrity error rather than a row in quarantine.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, SupportsIndex

import kafka
from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch

from lineage.core.model.records import Position, Record
from lineage.core.model.times import NEVER, Instant

APPEND_TIME: Final = 1  # the timestamp type of a record whose moment is the broker's
_READ_VERSIONS: Final = ("3.0.",)


class _Name(bytearray):
    """Part of a buffer that is a text of some kind: what is no UTF-8 in it is shown as such."""

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:  # noqa: ARG002
        return super().decode(encoding, "backslashreplace")


class _Buffer(bytearray):
    """A buffer whose parts are decoded without fail."""

    def __getitem__(self, at: SupportsIndex | slice) -> Any:
        found = super().__getitem__(at)
        return _Name(found) if isinstance(at, slice) else found


class _Batch(DefaultRecordBatch):  # type: ignore[misc]  # kafka-python ships no types
    """A batch that reads every name of a header, and counts its records itself."""

    _buffer: bytearray

    def _read_msg(self) -> Any:
        try:
            record = super()._read_msg()
        except UnicodeDecodeError:  # nothing was moved: read it again, and the rest of the batch in the same way
            self._buffer = _Buffer(self._buffer)
            record = super()._read_msg()
        if self._num_records == self._header_data[6] + 1:  # the offset of the last, from the first: no holes
            record._offset = self._header_data[0] + self._next_record_index  # noqa: SLF001
        return record


def harden() -> bool:
    """Have the library read batches as they are read here; false if it is another than the one that was read."""
    if not kafka.__version__.startswith(_READ_VERSIONS):
        return False
    parts = ("_buffer", "_header_data", "_next_record_index", "_num_records", "_read_msg")
    if not all(hasattr(DefaultRecordBatch, part) for part in parts):
        return False
    memory_records.DefaultRecordBatch = _Batch
    return True


def records_of(topic: str, partition: int, polled: list[Any]) -> list[Record]:
    """What ``poll`` gave as records of the log, which it may be already (``kafka_batches``)."""
    return polled if polled and type(polled[0]) is Record else list(converted(topic, partition, polled))


def converted(topic: str, partition: int, records: Iterable[Any]) -> Iterator[Record]:
    """Records of the library as records of the log."""
    first = Position(topic, partition, 0).number
    for record in records:
        headers = tuple((name, value or b"") for name, value in record.headers) if record.headers else ()
        yield Record(first | record.offset, moment_of(record.timestamp_type, record.timestamp), record.value, headers)


def moment_of(timestamp_type: int, timestamp: int) -> Instant:
    """The moment of a record.

    Where the topic takes the producer's word for it that may be anything; doctor tells.
    """
    return timestamp * 1_000 if timestamp_type == APPEND_TIME else min(max(timestamp, 0) * 1_000, NEVER - 1)
