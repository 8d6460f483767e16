"""What a receiver was not told because it seemed to have expired: for each receiver only the latest time until which.

Whoever omits rows of the outbox notes it before recording them as settled. If an omitted element has not expired after
all, the clock was ahead, and the receiver is told everything again. Kept beside the cursors, a row for each receiver.
"""

from typing import Final

from sqlalchemy.engine import Connection

from lineage.core.model.times import Instant
from lineage.core.revocation.state_changes import GRACE
from lineage.store.database.dialects import writing
from lineage.store.database.tables import delivered
from lineage.store.delivery.outbox import Cursor, cursor_of, held, move, set_cursor
from lineage.store.store import Store

_NAME: Final = "expired:"


def omissions_of(store: Store, receiver: str) -> Cursor:
    """Read the omissions of a receiver; ``at`` is when the last of the omitted elements is really over."""
    return cursor_of(store, f"{_NAME}{receiver}")


def is_premature(omissions: Cursor, now: Instant) -> bool:
    """Whether something was omitted too early, so that the clock was ahead; clocks may differ by half of the grace."""
    return now < omissions.at - GRACE // 2


def drop_omissions(connection: Connection, receiver: str) -> None:
    """Delete the omissions of a receiver that does not exist any more."""
    connection.execute(delivered.delete().where(delivered.c.receiver == f"{_NAME}{receiver}"))


def note_omitted(store: Store, receiver: str, over_at: Instant) -> None:
    """Note that elements which are over at the latest at an instant are omitted."""
    with writing(store.engine) as connection:
        before = held(connection, f"{_NAME}{receiver}")
        # Written even if the time is the same, so that a process that told everything again does not forget this.
        set_cursor(connection, f"{_NAME}{receiver}", Cursor(0, max(before.at, over_at), before.turn + 1))


def forget_omissions(store: Store, receiver: str, before: Cursor) -> None:
    """Note that nothing is omitted any more, since the receiver is told everything again.

    Raises:
        FencedError: Another process has omitted something since they were read.
    """
    move(store, f"{_NAME}{receiver}", before, seq=0, at=0, place=b"")
