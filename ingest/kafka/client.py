"""Create clients of kafka-python that release their resources if they cannot connect.

The library starts a thread before it connects, and if that fails it leaks the thread and its sockets. Retrying while a
broker is down would exhaust the file descriptors.
"""

from typing import Any, Final

BOOTSTRAP_MS: Final = 5_000
REQUEST_MS: Final = 10_000
# Settings of all our producers; each producer adds its time limits.
WRITING: Final[dict[str, Any]] = {
    "acks": "all",
    "enable_idempotence": True,
    "linger_ms": 5,
    "batch_size": 64 * 1024,
    "request_timeout_ms": REQUEST_MS,
    "bootstrap_timeout_ms": BOOTSTRAP_MS,
    "reconnect_backoff_max_ms": 1_000,  # the default of 30 s is longer than a broker takes to restart
    "allow_auto_create_topics": False,
    "metrics_enabled": False,
}


def new_client(kind: Any, **config: Any) -> Any:
    """Create a KafkaConsumer, KafkaProducer or KafkaAdminClient.

    Args:
        kind: The class.
        config: Its keyword arguments.

    Raises:
        KafkaError: It cannot connect; everything it opened is closed again.
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
