"""The sink that writes to a log on Kafka: the idempotent producer of kafka-python, used on the sender's thread.

The library retries for ``_DELIVERY_MS``; after that the sender starts over with a new client, which may send events
again that have already arrived. A client is never reused after an error, since it may not recover.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from kafka import KafkaProducer, errors

from ingest.kafka.client import WRITING, new_client
from ingest.kafka.cloudevents_headers import Headers
from ingest.kafka.connection_probe import cause_at
from ingest.kafka.errors import WITHIN_SECONDS, kafka_faults, translate
from ingest.kafka.settings import KafkaSettings
from ingest.log.port import Entry
from ingest.log.sink_port import HeldUpError, SettledReceipt, SinkReceipt, SinkRefusal
from lineage.core.model.errors import UnavailableError

logger = logging.getLogger(__name__)

_DELIVERY_MS: Final = 30_000
# How long a missing topic may block the thread, while the events of the other topic wait.
_BLOCK_MS: Final = 1_000
_CLIENT: Final[dict[str, Any]] = {**WRITING, "max_block_ms": _BLOCK_MS, "delivery_timeout_ms": _DELIVERY_MS}
# Errors caused by the event itself: sending it again would fail in the same way.
_FOR_GOOD: Final[tuple[tuple[type[errors.KafkaError], str], ...]] = (
    (errors.MessageSizeTooLargeError, "too-large"),
    (errors.RecordListTooLargeError, "too-large"),
    (errors.InvalidRecordError, "invalid-record"),
    (errors.InvalidTimestampError, "invalid-record"),
    (errors.PolicyViolationError, "against-policy"),
)


class KafkaSink:
    """The sink to a log on Kafka."""

    def __init__(
        self,
        servers: Sequence[str],
        prefix: str,
        settings: KafkaSettings,
        headers_of: Callable[[bytes], Headers] | None,
    ) -> None:
        """Connect to the cluster.

        Args:
            servers: ``host:port`` of each.
            prefix: The prefix of the topics.
            settings: How to connect.
            headers_of: Returns the headers for a value; None to send no headers.

        Raises:
            UnavailableError: The cluster cannot be reached; the message says why.
            RefusedError: It denies access.
        """
        self._servers, self._prefix, self._settings, self._headers_of = servers, prefix, settings, headers_of
        _refuse_unreachable(servers, settings)
        with kafka_faults(servers, settings, doing="write"):
            self._client = new_client(
                KafkaProducer, bootstrap_servers=list(servers), **_CLIENT, **settings.client(servers)
            )

    def send(self, entries: Sequence[Entry]) -> Sequence[SinkReceipt]:
        """Pass entries of one topic to the library."""
        receipts: list[SinkReceipt] = []
        topic = f"{self._prefix}.{entries[0].topic}"
        for _, value, key in entries:
            headers = self._headers_of(value) if self._headers_of else None
            try:
                receipts.append(self._client.send(topic, value, key or None, headers))
            except errors.MessageSizeTooLargeError as error:
                receipts.append(SettledReceipt(error))
            except errors.KafkaTimeoutError as error:
                if receipts:  # some entries have been sent; the next call raises if the error persists
                    break
                _refuse_unreachable(self._servers, self._settings)
                raise HeldUpError(
                    f"the log at {', '.join(self._servers)} has no topic {topic}; create it with 'delegraph init'"
                ) from error
            except errors.KafkaError as error:
                if receipts:
                    break
                raise self._translated(error) from error
        return receipts

    def refusal(self, error: BaseException, topic: str) -> SinkRefusal | None:
        """Return why the broker will never accept the event; None if it may still accept it."""
        if isinstance(error, errors.TopicAuthorizationFailedError):
            # The library also reports it for events in flight to other topics.
            named = error.args[0] if error.args else None
            if f"{self._prefix}.{topic}" in ([named] if isinstance(named, str) else named or ()):
                return SinkRefusal("not-authorised", self.explain(error), certain=True)
            return None
        for kind, reason in _FOR_GOOD:
            if isinstance(error, kind):
                return SinkRefusal(reason, self.explain(error), certain=False)
        return None

    def explain(self, error: BaseException) -> str:
        """Describe an error, with its real cause."""
        return str(self._translated(error)) if isinstance(error, errors.KafkaError) else repr(error)

    def _translated(self, error: errors.KafkaError) -> Exception:
        return translate(error, self._servers, self._settings, doing="write")

    def close(self) -> None:
        """Close the client."""
        try:
            # This also removes its atexit hook, which would wait and then log an error.
            self._client.close(timeout=0)
        except errors.KafkaTimeoutError:
            # Events are in flight. The library cannot be told to drop them, but stops by itself at the time limit.
            try:
                self._client.close(timeout=2 * _DELIVERY_MS / 1_000)
            except errors.KafkaTimeoutError:
                logger.warning("a producer of kafka-python could not be closed")


def _refuse_unreachable(servers: Sequence[str], settings: KafkaSettings) -> None:
    """Probe the servers before the library connects.

    Every failed attempt of the library leaks a socket until garbage collection, and takes its whole time limit to
    report. A broker may be down for days.

    Raises:
        UnavailableError: No server can be used; the message gives the cause for each.
    """
    causes: list[str] = []
    for server in servers:
        cause = cause_at(server, settings, within_seconds=WITHIN_SECONDS)
        if cause is None:
            return
        causes.append(f"{server}: {cause}")
    raise UnavailableError(f"the log at {', '.join(servers)} cannot be used: {'; '.join(causes)}")
