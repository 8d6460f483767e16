"""Which lines of an audit log are worth reading: of a request and its response, the response.

Vault writes a ``request`` line before it does a thing and, once it is done, a ``response`` line that repeats
the request whole and adds what became of it. So the response line is the action, and its request line adds
nothing. A request whose response never comes must not vanish, though: Vault answers nobody before the answer
is logged, so once the log has gone on for an hour without it the action has failed. Where the log ends
earlier the response may stand in the next file: nothing is claimed of the action, and the line is skipped by
name.

Memory: the requests that are open, and the ids of responses that came before their request, of one hour.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from ingest.sources.adapters.kit import HELD, Document, Memory, Source, Translation, skipped, text
from ingest.sources.adapters.vault_line import Line, line_of
from lineage.core.model.times import Instant

# Vault ends a request after 90 s unless max_request_duration says otherwise: room for whoever made it longer.
PATIENCE: Final[Instant] = 3600 * 1_000_000
# No Vault has as many requests in flight; a log from which the responses were taken out would have.
MAX_WAITING: Final = 10_000

Unanswered = Callable[[Line], tuple[Document, ...]]
"""Makes the events of a line that nobody answered."""

_OPEN: Final = "open"
_ANSWERED: Final = "answered"
_PAIRED: Final = "request-of-a-response"
_STILL_OPEN: Final = "request-still-open"


def paired(line: Line, memory: Memory) -> Translation | None:
    """What becomes of a line before it is read: None of a response, which is always read.

    Returns:
        What became of a request line; it is held until its response comes.
    """
    if line.kind == "response":
        return None
    if memory.drop(_ANSWERED, line.id) is not None:
        return skipped(_PAIRED)
    if memory.get(_OPEN, line.id) is not None:
        return skipped("repeated-request")
    memory.put(_OPEN, line.id, {"at": line.at, "line": _brief(line), "counted": False})
    return HELD


def partner_of(line: Line, memory: Memory) -> tuple[str, ...]:
    """Under which reason the request of a response is skipped now, if it was held."""
    request = memory.drop(_OPEN, line.id)
    if request is None:
        memory.put(_ANSWERED, line.id, line.at)
    return (_PAIRED,) if request is not None and not request["counted"] else ()


def given_up(source: Source, memory: Memory, unanswered: Unanswered) -> tuple[tuple[Document, ...], tuple[str, ...]]:
    """What comes of the requests that will not be answered any more, or are too many to wait for.

    Args:
        source: Whose log it is.
        memory: What waits.
        unanswered: What a line means then.

    Returns:
        Events, and the reasons for skipping the others.
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
    """What is said of requests that are open where the log ends: that they are, or that they failed by themselves."""
    events: tuple[Document, ...] = ()
    reasons: tuple[str, ...] = ()
    for id_, request in memory.entries(_OPEN):
        line = line_of(request["line"], source)
        if text(line.value, "error"):  # it needs no response to say what became of it
            memory.drop(_OPEN, id_)
            events += unanswered(line)
        elif not request["counted"]:
            memory.put(_OPEN, id_, request | {"counted": True})
            reasons += (_STILL_OPEN,)
    return Translation(events=events, also_skipped=reasons) if events or reasons else None


def _brief(line: Line) -> dict[str, Any]:
    """What is needed of a request line later, and nothing of what was written or read."""
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
