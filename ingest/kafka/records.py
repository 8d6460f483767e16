"""Read every record of the log, even one that a hostile producer has malformed.

A broker accepts two things that the library does not handle. First, a header whose name is not UTF-8 makes the library
fail on the whole batch, and so on everything after it. Second, the library trusts the offset that a record within a
batch claims, so that a record could take the place of another, or of a future one. Our topics are not compacted, so a
batch has no gaps, and the position of a record in the batch gives its offset.

This uses private parts of the library. An unknown version is left unchanged, and ``harden`` returns False; a hostile
record is then an integrity error instead of an entry in quarantine.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, SupportsIndex

import kafka
from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch

from lineage.core.model.records import Position, Record
from lineage.core.model.times import NEVER, Instant

APPEND_TIME: Final = 1  # the timestamp type of a record whose time was set by the broker
_READ_VERSIONS: Final = ("3.0.",)


class _Name(bytearray):
    """A part of a buffer whose invalid UTF-8 is decoded to backslash escapes instead of raising."""

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:  # noqa: ARG002
        return super().decode(encoding, "backslashreplace")


class _Buffer(bytearray):
    """A buffer whose slices always decode."""

    def __getitem__(self, at: SupportsIndex | slice) -> Any:
        found = super().__getitem__(at)
        return _Name(found) if isinstance(at, slice) else found


class _RecordBatch(DefaultRecordBatch):  # type: ignore[misc]  # kafka-python ships no types
    """A batch that accepts any header name, and computes the offsets of its records itself."""

    _buffer: bytearray

    def _read_msg(self) -> Any:
        try:
            record = super()._read_msg()
        except UnicodeDecodeError:  # the position has not changed: read the record and the rest of the batch leniently
            self._buffer = _Buffer(self._buffer)
            record = super()._read_msg()
        if self._num_records == self._header_data[6] + 1:  # lastOffsetDelta: the batch has no gaps
            record._offset = self._header_data[0] + self._next_record_index  # noqa: SLF001
        return record


def harden() -> bool:
    """Make the library read batches with ``_RecordBatch``; False, and no change, if its version is unknown."""
    if not kafka.__version__.startswith(_READ_VERSIONS):
        return False
    parts = ("_buffer", "_header_data", "_next_record_index", "_num_records", "_read_msg")
    if not all(hasattr(DefaultRecordBatch, part) for part in parts):
        return False
    memory_records.DefaultRecordBatch = _RecordBatch
    return True


def records_of(topic: str, partition: int, polled: list[Any]) -> list[Record]:
    """The result of ``poll`` as records of the log; ``fetch_batches`` may have converted them already."""
    return polled if polled and type(polled[0]) is Record else list(converted(topic, partition, polled))


def converted(topic: str, partition: int, records: Iterable[Any]) -> Iterator[Record]:
    """Convert records of the library to records of the log."""
    first = Position(topic, partition, 0).number
    for record in records:
        headers = tuple((name, value or b"") for name, value in record.headers) if record.headers else ()
        yield Record(first | record.offset, moment_of(record.timestamp_type, record.timestamp), record.value, headers)


def moment_of(timestamp_type: int, timestamp: int) -> Instant:
    """The time of a record.

    If the topic lets producers set it, it may be any number, so it is clamped; ``doctor`` reports such a topic.
    """
    return timestamp * 1_000 if timestamp_type == APPEND_TIME else min(max(timestamp, 0) * 1_000, NEVER - 1)
