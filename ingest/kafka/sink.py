"""The way into a log on Kafka: the idempotent producer of kafka-python, on the thread of the sender.

The library retries by itself for ``_DELIVERY_MS``; after that the sender starts over with a new client, which may send
again what has arrived. Its client is never kept across a fault: one that has failed may not recover.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from kafka import KafkaProducer, errors

from ingest.kafka.client import WRITING, made
from ingest.kafka.cloudevents_headers import Headers
from ingest.kafka.connection_probe import cause_at
from ingest.kafka.errors import WITHIN_SECONDS, kafka_faults, translate
from ingest.kafka.settings import KafkaSettings
from ingest.log.port import Entry
from ingest.log.sink_port import HeldUpError, Receipt, Refusal, Taken
from lineage.core.model.errors import UnavailableError

logger = logging.getLogger(__name__)

_DELIVERY_MS: Final = 30_000
# How long the thread may be held up by a topic that is not there, while the other one waits.
_BLOCK_MS: Final = 1_000
_CLIENT: Final[dict[str, Any]] = {**WRITING, "max_block_ms": _BLOCK_MS, "delivery_timeout_ms": _DELIVERY_MS}
# What is the event's own fault: to send it again as it is would end the same way.
_FOR_GOOD: Final[tuple[tuple[type[errors.KafkaError], str], ...]] = (
    (errors.MessageSizeTooLargeError, "too-large"),
    (errors.RecordListTooLargeError, "too-large"),
    (errors.InvalidRecordError, "invalid-record"),
    (errors.InvalidTimestampError, "invalid-record"),
    (errors.PolicyViolationError, "against-policy"),
)


class KafkaOutlet:
    """The way into a log on Kafka."""

    def __init__(
        self,
        servers: Sequence[str],
        prefix: str,
        settings: KafkaSettings,
        headers_of: Callable[[bytes], Headers] | None,
    ) -> None:
        """Reach the cluster.

        Args:
            servers: ``host:port`` of each.
            prefix: That of the topics.
            settings: How to get in.
            headers_of: The headers for a value; None: none are sent.

        Raises:
            UnavailableError: It does not answer; the message says why.
            RefusedError: It does not let us in.
        """
        self._servers, self._prefix, self._settings, self._headers_of = servers, prefix, settings, headers_of
        _refuse_to_knock_in_vain(servers, settings)
        with kafka_faults(servers, settings, doing="write"):
            self._client = made(KafkaProducer, bootstrap_servers=list(servers), **_CLIENT, **settings.client(servers))

    def send(self, entries: Sequence[Entry]) -> Sequence[Receipt]:
        """Hand entries of one topic to the library."""
        receipts: list[Receipt] = []
        topic = f"{self._prefix}.{entries[0].topic}"
        for _, value, key in entries:
            headers = self._headers_of(value) if self._headers_of else None
            try:
                receipts.append(self._client.send(topic, value, key or None, headers))
            except errors.MessageSizeTooLargeError as error:
                receipts.append(Taken(error))
            except errors.KafkaTimeoutError as error:
                if receipts:  # these are on their way; the next call tells
                    break
                _refuse_to_knock_in_vain(self._servers, self._settings)
                raise HeldUpError(
                    f"the log at {', '.join(self._servers)} has no topic {topic}; make it with 'delegraph init'"
                ) from error
            except errors.KafkaError as error:
                if receipts:
                    break
                raise self._translated(error) from error
        return receipts

    def refusal(self, error: BaseException, topic: str) -> Refusal | None:
        """Whether the broker will never take the event."""
        if isinstance(error, errors.TopicAuthorizationFailedError):
            # The library gives it to what was on its way to other topics as well.
            named = error.args[0] if error.args else None
            if f"{self._prefix}.{topic}" in ([named] if isinstance(named, str) else named or ()):
                return Refusal("not-authorised", self.explain(error), certain=True)
            return None
        for kind, reason in _FOR_GOOD:
            if isinstance(error, kind):
                return Refusal(reason, self.explain(error), certain=False)
        return None

    def explain(self, error: BaseException) -> str:
        """A fault with its real cause."""
        return str(self._translated(error)) if isinstance(error, errors.KafkaError) else repr(error)

    def _translated(self, error: errors.KafkaError) -> Exception:
        return translate(error, self._servers, self._settings, doing="write")

    def close(self) -> None:
        """Close the client."""
        try:
            # This also takes back its hook at the end of the program, which would wait and then complain.
            self._client.close(timeout=0)
        except errors.KafkaTimeoutError:
            # Something is on its way. The library cannot be told to forget it, and gives up by itself.
            try:
                self._client.close(timeout=2 * _DELIVERY_MS / 1_000)
            except errors.KafkaTimeoutError:
                logger.warning("a producer of kafka-python could not be closed")


def _refuse_to_knock_in_vain(servers: Sequence[str], settings: KafkaSettings) -> None:
    """Ask first whether anybody is there.

    Every attempt of the library to connect leaves a socket to the garbage collector, and to be told takes its whole
    time limit. A broker may be away for days.

    Raises:
        UnavailableError: No server lets us in; the message says of each why.
    """
    causes: list[str] = []
    for server in servers:
        cause = cause_at(server, settings, within_seconds=WITHIN_SECONDS)
        if cause is None:
            return
        causes.append(f"{server}: {cause}")
    raise UnavailableError(f"the log at {', '.join(servers)} cannot be used: {'; '.join(causes)}")
