"""The feed of findings: sends each change to the compacted topic ``<prefix>.findings``, whose key is the finding's id.

Progress is recorded after sending: after a crash changes are sent again, in the same order and with the same numbers.
One of several processes feeds; the topic fences off the previous one.
"""

import json
import math
import time
from typing import Final

from ingest.kafka.revocation_topic import RevocationTopic
from lineage.deliver.findings.messages import is_published, message_of
from lineage.deliver.outbox.kafka_feed import take_over
from lineage.store import kept_findings
from lineage.store.delivery import outbox
from lineage.store.delivery.outbox import Cursor
from lineage.store.store import Store

FEED: Final = "findings-topic"  # its name among the receivers in `delivered`
TOPIC: Final = "findings"
BEAT_SECONDS: Final = 1.0
_TOGETHER: Final = 500


class FindingFeed:
    """Sends the changes of the index. Used by one thread."""

    def __init__(self, store: Store, topic: RevocationTopic) -> None:
        """Create a feed from the index of a store to a topic; call ``begin`` first."""
        self._store = store
        self._topic = topic
        self._origin = outbox.origin_of(store)
        self._cursor = Cursor()
        self._place = b""
        self._moved_at = -math.inf

    def begin(self) -> None:
        """Make this the only feed, and find where to continue; another topic is fed from the beginning.

        Raises:
            RefusedError: We may not write the topic.
            UnavailableError: The topic or the store is unavailable; try again.
        """
        self._place, self._cursor = take_over(self._topic, self._store, FEED)
        if self._cursor.place != self._place:
            self._cursor = self._cursor._replace(seq=0)

    def deliver(self) -> int:
        """Send new changes, and return the number of messages.

        Raises:
            FencedError: Another process has become the feed.
            UnavailableError: The topic or the store is unavailable; ``begin`` again.
        """
        sent = 0
        while found := kept_findings.versions(self._store, after=self._cursor.seq, limit=_TOGETHER):
            messages = [
                (one.kept.id, json.dumps(message_of(one, self._origin)).encode()) for one in found if is_published(one)
            ]
            if messages:
                self._topic.write(messages)
            self._cursor = outbox.move(
                self._store, FEED, self._cursor, seq=found[-1].seq, at=found[-1].written_at, place=self._place
            )
            sent += len(messages)
            self._moved_at = time.monotonic()
        if time.monotonic() - self._moved_at >= BEAT_SECONDS:  # shows other processes that this one is the feed
            self._cursor = outbox.move(
                self._store, FEED, self._cursor, seq=self._cursor.seq, at=self._cursor.at, place=self._place
            )
            self._moved_at = time.monotonic()
        return sent
