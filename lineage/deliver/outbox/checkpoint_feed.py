"""The feed of checkpoints: keeps the compacted topic ``<prefix>.checkpoints``, whose key is an origin.

A value is the latest signed note of that origin, with the cosignatures that it has by then. One of several processes
feeds; the topic fences off the previous one. After a crash the latest notes are sent again.
"""

import time
from typing import Final

from ingest.kafka.revocation_topic import RevocationTopic
from lineage.core.model.times import Instant
from lineage.store import evidence_trees
from lineage.store.delivery import outbox
from lineage.store.store import Store

TOPIC: Final = "checkpoints"  # its name after the prefix
RECEIVER: Final = "checkpoints"  # its name among the receivers in `delivered`
_BEAT_SECONDS: Final = 1.0


class CheckpointFeed:
    """Sends checkpoints. Used by one thread."""

    def __init__(self, store: Store, topic: RevocationTopic) -> None:
        """Create a feed from a store to a topic; call ``begin`` first."""
        self._store = store
        self._topic = topic
        self._cursor = outbox.Cursor()
        self._place = b""
        self._sent: dict[str, str] = {}  # origin -> note
        self._looked: float | None = None

    def begin(self) -> None:
        """Make this the only feed.

        Raises:
            RefusedError: We may not write the topic.
            UnavailableError: The topic or the store is unavailable; try again.
        """
        self._place = self._topic.ensure()
        self._topic.begin()
        self._cursor = outbox.cursor_of(self._store, RECEIVER)  # read after the previous feed was fenced off
        self._sent, self._looked = {}, None

    def deliver(self, at: Instant) -> int:
        """Send the latest checkpoints that are not in the topic yet, at most once a second; return how many.

        Raises:
            FencedError: Another process has become the feed.
            UnavailableError: The topic or the store is unavailable; ``begin`` again.
        """
        if self._looked is not None and time.monotonic() - self._looked < _BEAT_SECONDS:
            return 0
        latest = {origin: one.note for origin, one in evidence_trees.latest_checkpoints(self._store).items()}
        new = {origin: note for origin, note in sorted(latest.items()) if self._sent.get(origin) != note}
        if new:
            self._topic.write([(origin, note.encode()) for origin, note in new.items()])
            self._sent |= new
        # The cursor moves at every look, by which other processes see that this one feeds.
        self._cursor = outbox.move(
            self._store, RECEIVER, self._cursor, seq=self._cursor.seq + len(new), at=at, place=self._place
        )
        self._looked = time.monotonic()
        return len(new)
