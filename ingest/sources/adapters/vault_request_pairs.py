"""Select the lines of an audit log to read: for each request and its response, only the response.

Vault writes a ``request`` line before it acts and afterwards a ``response`` line that repeats the request and adds
the outcome. So the response line is the action, and the request line adds nothing. A request without a response must
not disappear, though: Vault only answers after it has logged the response, so once the log has continued for an hour
without it, the action has failed. If the log ends earlier, the response may be in the next file: nothing is claimed
about the action, and the line is skipped with a reason.

Memory: the open requests, and the ids of responses that came before their request, both of the last hour.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from ingest.sources.adapters.kit import HELD, Document, Memory, Source, Translation, skipped, text
from ingest.sources.adapters.vault_line import VaultLine, line_of
from lineage.core.model.times import HOUR, Instant

# Vault ends a request after 90 s unless max_request_duration is set: allow for larger values.
PATIENCE: Final[Instant] = HOUR
# No Vault has this many requests in flight, but a log without responses would seem to.
MAX_WAITING: Final = 10_000

Unanswered = Callable[[VaultLine], tuple[Document, ...]]
"""Builds the events of an unanswered request line."""

_OPEN: Final = "open"
_ANSWERED: Final = "answered"
_PAIRED: Final = "request-of-a-response"
_STILL_OPEN: Final = "request-still-open"


def paired(line: VaultLine, memory: Memory) -> Translation | None:
    """Decide whether to read a line: None for a response, which is always read.

    Returns:
        The outcome of a request line, which is ``HELD`` until its response comes.
    """
    if line.kind == "response":
        return None
    if memory.drop(_ANSWERED, line.id) is not None:
        return skipped(_PAIRED)
    if memory.get(_OPEN, line.id) is not None:
        return skipped("repeated-request")
    memory.put(_OPEN, line.id, {"at": line.at, "line": _brief(line), "counted": False})
    return HELD


def partner_of(line: VaultLine, memory: Memory) -> tuple[str, ...]:
    """Return the reason for skipping the held request of a response, if there is one."""
    request = memory.drop(_OPEN, line.id)
    if request is None:
        memory.put(_ANSWERED, line.id, line.at)
    return (_PAIRED,) if request is not None and not request["counted"] else ()


def given_up(source: Source, memory: Memory, unanswered: Unanswered) -> tuple[tuple[Document, ...], tuple[str, ...]]:
    """Return the outcome of requests that will not be answered any more, or exceed the number that can wait.

    Args:
        source: The source of the log.
        memory: The waiting requests.
        unanswered: Builds the events of such a line.

    Returns:
        The events, and the reasons for skipping the other requests.
    """
    events: tuple[Document, ...] = ()
    reasons: tuple[str, ...] = ()
    while (oldest := memory.oldest(_OPEN)) is not None:
        id_, request = oldest
        late = request["at"] + PATIENCE < memory.latest
        if not late and memory.size(_OPEN) <= MAX_WAITING:
            break
        memory.drop(_OPEN, id_)
        line = line_of(request["line"], source)
        if late or text(line.value, "error"):
            events += unanswered(line)
        elif not request["counted"]:
            reasons += (_STILL_OPEN,)
    while (answered := memory.oldest(_ANSWERED)) is not None:
        if answered[1] + PATIENCE >= memory.latest and memory.size(_ANSWERED) <= MAX_WAITING:
            break
        memory.drop(_ANSWERED, answered[0])
    return events, reasons


def still_open(source: Source, memory: Memory, unanswered: Unanswered) -> Translation | None:
    """Return the outcome of requests that are open at the end of the log: undecided, or known to have failed."""
    events: tuple[Document, ...] = ()
    reasons: tuple[str, ...] = ()
    for id_, request in memory.entries(_OPEN):
        line = line_of(request["line"], source)
        if text(line.value, "error"):  # its outcome is known without a response
            memory.drop(_OPEN, id_)
            events += unanswered(line)
        elif not request["counted"]:
            memory.put(_OPEN, id_, request | {"counted": True})
            reasons += (_STILL_OPEN,)
    return Translation(events=events, also_skipped=reasons) if events or reasons else None


def _brief(line: VaultLine) -> dict[str, Any]:
    """Return the part of a request line that is needed later, without any data written or read."""
    value, request = line.value, line.value["request"]
    kept = ("id", "operation", "path", "namespace", "mount_type", "client_token", "client_token_accessor")
    auth = value.get("auth")
    whose = ("client_token", "accessor", "display_name", "entity_id", "token_type")
    return {
        "time": line.time,
        "type": line.kind,
        "error": value.get("error"),
        "auth": {name: auth[name] for name in whose if name in auth} if isinstance(auth, Mapping) else None,
        "request": {name: request[name] for name in kept if name in request},
    }
