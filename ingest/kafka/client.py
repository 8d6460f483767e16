"""Making a client of the library: one that cannot get in leaves nothing behind.

The library starts a thread before it tries to get in, and leaves it, and its sockets, to whoever is told that it
failed. Waiting for a broker that is away would end with no file left to open.
"""

from typing import Any, Final

BOOTSTRAP_MS: Final = 5_000
REQUEST_MS: Final = 10_000
# What every producer of ours is told; each adds how long it may be held up.
WRITING: Final[dict[str, Any]] = {
    "acks": "all",
    "enable_idempotence": True,
    "linger_ms": 5,
    "batch_size": 64 * 1024,
    "request_timeout_ms": REQUEST_MS,
    "bootstrap_timeout_ms": BOOTSTRAP_MS,
    "reconnect_backoff_max_ms": 1_000,  # by default 30 s: longer than a broker takes to come back
    "allow_auto_create_topics": False,
    "metrics_enabled": False,
}


def made(kind: Any, **config: Any) -> Any:
    """A KafkaConsumer, KafkaProducer or KafkaAdminClient.

    Args:
        kind: Which of them.
        config: What it is made with.

    Raises:
        KafkaError: It cannot get in; all that was opened is closed again.
    """
    opened: list[Any] = []

    def remembered(**settings: Any) -> Any:
        opened.append(kind.DEFAULT_CONFIG["kafka_client"](**settings))
        return opened[-1]

    try:
        return kind(kafka_client=remembered, **config)
    except BaseException:
        for client in opened:
            client.close()
        raise
