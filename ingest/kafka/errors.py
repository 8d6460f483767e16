"""What the library raises, as our faults; and the real cause where it only knows that it could not get in."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from kafka import errors

from ingest.kafka.connection_probe import cause_at
from ingest.kafka.settings import KafkaSettings
from lineage.core.model.errors import DelegraphError, IntegrityError, RefusedError, UnavailableError

WITHIN_SECONDS: Final = 3.0  # in which a cause is looked for

# The server was not reached, or did not let us in: what the library says of it is not the cause.
_NOT_IN: Final = (
    errors.KafkaConnectionError,
    errors.KafkaTimeoutError,
    errors.NodeNotReadyError,
    errors.SaslAuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
)
# What was read, or stands to be read, is no longer what the log took.
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
    """Why none of the servers lets us in: of each the cause, or that it answers by now.

    Args:
        servers: ``host:port`` of each.
        settings: How to get in.
        within_seconds: How long to look; what does not answer until then is told as such.
    """
    deadline = time.monotonic() + within_seconds
    if fault := _no_token(servers, settings):
        return fault
    causes: dict[str, str | None] = {}

    def look(server: str) -> None:
        causes[server] = cause_at(server, settings, within_seconds=deadline - time.monotonic())

    # A name server may take longer than we have, and a look-up cannot be broken off: it is left behind.
    seekers = [threading.Thread(target=look, args=(server,), daemon=True) for server in servers]
    for seeker in seekers:
        seeker.start()
    for seeker in seekers:
        seeker.join(max(deadline + _GRACE_SECONDS - time.monotonic(), 0))
    return "; ".join(f"{server}: {causes.get(server, _SLOW) or 'answers, and lets us in'}" for server in servers)


_GRACE_SECONDS: Final = 0.5  # for a step that ends at the deadline to say so
_SLOW: Final = "no answer in time from the name server"


def _no_token(servers: Sequence[str], settings: KafkaSettings) -> str | None:
    """Why there is nothing to log in with."""
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
    """Turn what the library raises into our faults.

    Args:
        servers: ``host:port`` of each.
        settings: How to get in.
        doing: What is being done: ``read``, ``write``, ``create``, ``describe``.
        topics: To which topics; the library often does not say.
        within_seconds: How long the real cause may be looked for.
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
    """An exception of the library as our fault, with what to do about it; arguments as for ``kafka_faults``."""
    where = f"the log at {', '.join(servers)}"
    # What a producer asks for first is refused under the name of no error at all.
    if isinstance(error, errors.AuthorizationError) or "AuthorizationFailedError" in str(error):
        return RefusedError(_not_allowed(error, settings, doing, topics))
    if isinstance(error, _LOST):
        return IntegrityError(
            f"{where} no longer holds what stands to be read ({_said(error)}); records were deleted, or the topic was "
            "made anew; see 'delegraph doctor'"
        )
    if isinstance(error, errors.UnknownTopicOrPartitionError):
        named = f" ({', '.join(topics)})" if topics else ""
        return UnavailableError(
            f"{where} has no such topic{named}, or does not show it to {_user(settings)}; make it with 'delegraph init'"
        )
    if isinstance(error, _NOT_IN):
        cause = cause_of(servers, settings, within_seconds=within_seconds)
        return UnavailableError(f"{where} cannot be used: {cause} [{_said(error)}]")
    if isinstance(error, _REFUSED):
        return RefusedError(f"{where} refuses that: {_said(error)}")
    return UnavailableError(f"{where} cannot be used: {_said(error)}")


# What an operation is called in Kafka's access lists.
_OPERATIONS: Final = {"read": "Read", "write": "Write", "create": "Create", "describe": "Describe"}


def _not_allowed(error: errors.KafkaError, settings: KafkaSettings, doing: str, topics: Sequence[str]) -> str:
    operation = _OPERATIONS.get(doing, doing.capitalize())
    if isinstance(error, errors.TopicAuthorizationFailedError):
        named = _named(error) or list(topics)
        what, option = f"the topic {', '.join(named) or '(which, the broker does not say)'}", "--topic"
    elif isinstance(error, errors.GroupAuthorizationFailedError):
        named = _named(error)
        what, option, operation = f"the consumer group {', '.join(named)}", "--group", "Read"
    elif "InitProducerId" in str(error):  # asked for by a producer; right are Write to a topic, or IdempotentWrite
        doing, operation, named = "write", "Write", list(topics)
        what, option = "any topic", "--topic"
    else:
        what, option, named = f"the cluster ({_said(error)})", "--cluster", []
    flags = f"--operation {operation} {option} {' '.join(named)}".rstrip()
    return (
        f"{_user(settings)} may not {doing} {what}: use a credential that may, "
        f"or let an administrator allow it (kafka-acls --add --allow-principal User:... {flags})"
    )


def _named(error: errors.KafkaError) -> list[str]:
    """The topics or groups that the library names; it passes a text or a set of texts."""
    found: set[str] = set()
    for said in error.args:
        found |= {said} if isinstance(said, str) else set(map(str, said))
    return sorted(name for name in found if " " not in name)


def _user(settings: KafkaSettings) -> str:
    if settings.username is not None:
        return f"the Kafka user {settings.username!r}"
    if settings.authenticated:
        return "the owner of the token"
    return f"the owner of the certificate {settings.cert_file}" if settings.cert_file else "an anonymous client"


def _said(error: errors.KafkaError) -> str:
    """What the library says, in one line."""
    return " ".join(str(error).split())
