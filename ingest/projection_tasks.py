"""Divide a projection into tasks that other processes can do: each reads and decodes some records of one partition.

The batches of all tasks, in the order of the tasks, are those of ``projector.project``.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ingest.log.port import Log
from ingest.projector import BATCH, Deleted, read_records
from lineage.core.model.records import Batch, position_of
from lineage.core.model.times import Instant
from lineage.core.model.trust import TrustTable


class ReadingTask(NamedTuple):
    """Some records to read: those of a partition from an offset on and before another.

    Attributes:
        place: The topic and partition.
        first: The offset of the first record.
        following: The offset after the last one.
        deleted: Those that retention deleted, which are not projected again.
        all_deleted: Whether that is all of them; the log may not even have these offsets any more.
    """

    place: tuple[str, int]
    first: int
    following: int
    deleted: list[tuple[int, Instant, bytes]]
    all_deleted: bool


def reading_tasks(ends: Mapping[tuple[str, int], int], deleted: Deleted) -> Iterator[ReadingTask]:
    """Divide a whole log into tasks, in the order in which ``project`` reads it.

    Args:
        ends: How far to go, by topic and partition.
        deleted: The records that are not projected again.
    """
    for place, end in sorted(ends.items()):
        first = 0
        while first < end:
            limit = min(BATCH, end - first)
            gone, beyond = deleted.from_(*place, first, limit=limit)
            if gone:
                following = min(beyond, end)
                yield ReadingTask(place, first, following, gone, all_deleted=True)
            else:
                following = first + limit
                among = deleted.between(*place, first, following)
                yield ReadingTask(place, first, following, among, all_deleted=False)
            first = following


def batches_of(log: Log, task: ReadingTask, trust: TrustTable | None) -> Iterator[Batch]:
    """Read and decode the records of a task; it is several batches if the records are large.

    The last batch does not reach the end of the task if the log has no more records.
    """
    if task.all_deleted:
        yield Batch(deleted=task.deleted, advance={task.place: (task.first, task.following)})
        return
    numbers = {number for number, _, _ in task.deleted}
    first = task.first
    while first < task.following:
        records, following = log.read(*task.place, first, limit=task.following - first)
        if following == first:
            return
        following = min(following, task.following)  # gaps in the offsets left room for records beyond the end
        batch = Batch(advance={task.place: (first, following)})
        batch.deleted.extend(each for each in task.deleted if first <= position_of(each[0]).offset < following)
        within = [
            record
            for record in records
            if record.number not in numbers and position_of(record.number).offset < following
        ]
        read_records(within, trust, batch)
        yield batch
        first = following
