"""Poll delivery (RFC 8936): a receiver fetches and acknowledges events; those not acknowledged are returned again."""

from collections.abc import Mapping
from typing import Any, Final

from lineage.core.model.errors import FencedError, RefusedError
from lineage.core.model.times import Instant
from lineage.deliver.ssf.pending_events import Outstanding
from lineage.deliver.ssf.stream_requests import POLL, PollRequest
from lineage.deliver.ssf.transmitter import Transmitter
from lineage.store.delivery import ssf_streams
from lineage.store.delivery.outbox import note_delivered
from lineage.store.delivery.ssf_streams import ENABLED, DeadLetter, Stream

# Errors that do not concern the event itself, which is delivered again (RFC 8935 section 2.4).
PASSING: Final = frozenset({"", "invalid_key", "authentication_failed", "access_denied"})
_WINDOW: Final = 500  # the most events delivered and not acknowledged, in any order
_ATTEMPTS: Final = 20


def poll(transmitter: Transmitter, receiver: str, stream_id: str, request: PollRequest) -> dict[str, Any]:
    """Record a receiver's acknowledgements and errors, and return its next events.

    Raises:
        NoStreamError: The receiver has no such stream.
        RefusedError: The stream uses push delivery.
    """
    for _ in range(_ATTEMPTS):
        stream = transmitter.own(receiver, stream_id)
        if stream.settings.method != POLL:
            raise RefusedError("this stream uses push delivery; there is nothing to poll")
        at = transmitter.clock()
        try:
            found = transmitter.teller.outstanding(stream, limit=max(1, _WINDOW - len(stream.settled)), at=at)
            refused = {jti: refusal for jti, refusal in request.refused.items() if refusal[0] not in PASSING}
            settle(transmitter, found, request.acknowledged, refused, at)
        except FencedError:
            continue
        settled = request.acknowledged | refused.keys()
        waiting = [event for event in found.outgoing if event.jti not in settled] if _tells(stream) else []
        sets = {event.jti: transmitter.sign(event) for event in waiting[: request.most]}
        return {"sets": sets, "moreAvailable": found.more or len(waiting) > len(sets)}
    raise FencedError(f"the stream {stream_id} is being changed by other requests; try again")


def _tells(stream: Stream) -> bool:
    return stream.status == ENABLED


def settle(
    transmitter: Transmitter,
    found: Outstanding,
    accepted: frozenset[str],
    refused: Mapping[str, tuple[str, str]],
    at: Instant,
    **values: Any,
) -> Stream:
    """Record which events a receiver accepted, and which it permanently refused.

    Args:
        transmitter: The transmitter.
        found: The outstanding events.
        accepted: The accepted events, by ``jti``.
        refused: The refused events, by ``jti``, with error and description.
        at: The current time.
        values: Further changes of the stream.

    Returns:
        The changed stream.

    Raises:
        FencedError: Another process has changed the stream. Acceptance is recorded, but the events are delivered again.
    """
    stream, store = found.stream, transmitter.store
    acknowledged = [event for event in found.outgoing if event.jti in accepted]
    if seqs := [event.seq for event in acknowledged if event.seq is not None]:
        note_delivered(store, stream.receiver, seqs, at)
    letters = [
        DeadLetter(stream.receiver, stream.id, event.jti, event.seq, *refused[event.jti], at)
        for event in found.outgoing
        if event.jti in refused and event.jti not in accepted
    ]
    done = {event.jti for event in acknowledged} | {letter.jti for letter in letters}
    noticed = [event.notice for event in found.outgoing if event.notice is not None and event.jti in done]
    values |= found.settled(done)
    if not done and all(getattr(stream, name) == value for name, value in values.items()):
        return stream
    return ssf_streams.change(store, stream, noticed=noticed, refused=letters, **values)
