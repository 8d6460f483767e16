"""Translate exceptions of kafka-python into ours, and find the real cause of a failed connection or login."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from kafka import errors

from ingest.kafka.connection_probe import cause_at
from ingest.kafka.settings import KafkaSettings
from lineage.core.model.errors import DelegraphError, IntegrityError, RefusedError, UnavailableError

WITHIN_SECONDS: Final = 3.0  # time limit of the search for a cause

# The connection or the login failed: the library's message does not give the cause.
_NOT_IN: Final = (
    errors.KafkaConnectionError,
    errors.KafkaTimeoutError,
    errors.NodeNotReadyError,
    errors.SaslAuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
)
# Records that were appended are gone or changed.
_LOST: Final = (errors.OffsetOutOfRangeError, errors.LogTruncationError, errors.CorruptRecordError)
_REFUSED: Final = (
    errors.InvalidConfigurationError,
    errors.InvalidPartitionsError,
    errors.InvalidReplicationFactorError,
    errors.InvalidTopicError,
    errors.KafkaConfigurationError,
    errors.MessageSizeTooLargeError,
    errors.PolicyViolationError,
    errors.RecordListTooLargeError,
    errors.UnsupportedVersionError,
)


def cause_of(servers: Sequence[str], settings: KafkaSettings, *, within_seconds: float = WITHIN_SECONDS) -> str:
    """Explain why the servers cannot be used: for each the cause, or that it answers now.

    Args:
        servers: ``host:port`` of each.
        settings: How to connect.
        within_seconds: Time limit; a server that has not answered by then is reported as such.
    """
    deadline = time.monotonic() + within_seconds
    if fault := _no_token(servers, settings):
        return fault
    causes: dict[str, str | None] = {}

    def look(server: str) -> None:
        causes[server] = cause_at(server, settings, within_seconds=deadline - time.monotonic())

    # A name lookup may exceed the time limit and cannot be cancelled: its daemon thread is abandoned.
    seekers = [threading.Thread(target=look, args=(server,), daemon=True) for server in servers]
    for seeker in seekers:
        seeker.start()
    for seeker in seekers:
        seeker.join(max(deadline + _GRACE_SECONDS - time.monotonic(), 0))
    return "; ".join(
        f"{server}: {causes.get(server, _SLOW) or 'answers and accepts the connection'}" for server in servers
    )


_GRACE_SECONDS: Final = 0.5  # lets a step that times out at the deadline report it
_SLOW: Final = "no answer in time from the name server"


def _no_token(servers: Sequence[str], settings: KafkaSettings) -> str | None:
    """Return why no token can be obtained for the login; None if one can, or if none is needed."""
    try:
        if provider := settings.client(servers).get("sasl_oauth_token_provider"):
            provider.token()
    except DelegraphError as fault:
        return str(fault)
    return None


@contextmanager
def kafka_faults(
    servers: Sequence[str],
    settings: KafkaSettings,
    *,
    doing: str = "use",
    topics: Sequence[str] = (),
    within_seconds: float = WITHIN_SECONDS,
) -> Iterator[None]:
    """Translate exceptions of the library that are raised within the block.

    Args:
        servers: ``host:port`` of each.
        settings: How to connect.
        doing: The operation: ``read``, ``write``, ``create``, ``describe``.
        topics: The topics concerned; the library often does not name them.
        within_seconds: Time limit of the search for the real cause.
    """
    try:
        yield
    except errors.KafkaError as error:
        raise translate(error, servers, settings, doing=doing, topics=topics, within_seconds=within_seconds) from error


def translate(
    error: errors.KafkaError,
    servers: Sequence[str],
    settings: KafkaSettings,
    *,
    doing: str = "use",
    topics: Sequence[str] = (),
    within_seconds: float = WITHIN_SECONDS,
) -> DelegraphError:
    """Translate one exception of the library, with the remedy; arguments as for ``kafka_faults``."""
    where = f"the log at {', '.join(servers)}"
    # A refused InitProducerId reaches us as a plain KafkaError: only its text names the error.
    if isinstance(error, errors.AuthorizationError) or "AuthorizationFailedError" in str(error):
        return RefusedError(_not_allowed(error, settings, doing, topics))
    if isinstance(error, _LOST):
        return IntegrityError(
            f"{where} no longer holds the next records to read ({_message_of(error)}); they were deleted, or the topic "
            "was created again; see 'delegraph doctor'"
        )
    if isinstance(error, errors.UnsupportedCodecError):
        return UnavailableError(
            f"{where} holds records that are packed in a way that cannot be read here ({_message_of(error)}); "
            "pip install 'delegraph[kafka]'"
        )
    if isinstance(error, errors.UnknownTopicOrPartitionError):
        named = f" ({', '.join(topics)})" if topics else ""
        return UnavailableError(
            f"{where} has no such topic{named}, or hides it from {_user(settings)}; create it with 'delegraph init'"
        )
    if isinstance(error, _NOT_IN):
        cause = cause_of(servers, settings, within_seconds=within_seconds)
        return UnavailableError(f"{where} cannot be used: {cause} [{_message_of(error)}]")
    if isinstance(error, _REFUSED):
        return RefusedError(f"{where} refuses the request: {_message_of(error)}")
    return UnavailableError(f"{where} cannot be used: {_message_of(error)}")


# Names of operations in Kafka's ACLs.
_OPERATIONS: Final = {"read": "Read", "write": "Write", "create": "Create", "describe": "Describe"}


def _not_allowed(error: errors.KafkaError, settings: KafkaSettings, doing: str, topics: Sequence[str]) -> str:
    operation = _OPERATIONS.get(doing, doing.capitalize())
    if isinstance(error, errors.TopicAuthorizationFailedError):
        named = _named(error) or list(topics)
        what, option = f"the topic {', '.join(named) or '(which, the broker does not say)'}", "--topic"
    elif isinstance(error, errors.GroupAuthorizationFailedError):
        named = _named(error)
        what, option, operation = f"the consumer group {', '.join(named)}", "--group", "Read"
    elif "InitProducerId" in str(error):  # a producer's first request: needs Write on a topic, or IdempotentWrite
        doing, operation, named = "write", "Write", list(topics)
        what, option = "any topic", "--topic"
    else:
        what, option, named = f"the cluster ({_message_of(error)})", "--cluster", []
    flags = f"--operation {operation} {option} {' '.join(named)}".rstrip()
    return (
        f"{_user(settings)} may not {doing} {what}: use a credential that may, "
        f"or let an administrator allow it (kafka-acls --add --allow-principal User:... {flags})"
    )


def _named(error: errors.KafkaError) -> list[str]:
    """The topics or groups that the exception names; its arguments are strings or sets of strings."""
    found: set[str] = set()
    for arg in error.args:
        found |= {arg} if isinstance(arg, str) else set(map(str, arg))
    return sorted(name for name in found if " " not in name)


def _user(settings: KafkaSettings) -> str:
    if settings.username is not None:
        return f"the Kafka user {settings.username!r}"
    if settings.authenticated:
        return "the owner of the token"
    return f"the owner of the certificate {settings.cert_file}" if settings.cert_file else "an anonymous client"


def _message_of(error: errors.KafkaError) -> str:
    """The message of the exception, on one line."""
    return " ".join(str(error).split())
