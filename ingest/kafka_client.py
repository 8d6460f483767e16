"""Making a client of the library: one that cannot get in leaves nothing behind.

The library starts a thread before it tries to get in, and leaves it, and its sockets, to whoever is told that it
failed. Waiting for a broker that is away would end with no file left to open.
"""

from typing import Any


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
