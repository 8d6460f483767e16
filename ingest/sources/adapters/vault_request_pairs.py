"""Which lines of an audit log are worth reading: of a request and its response, the response.

Vault writes a ``request`` line before it does a thing and, once it is done, a ``response`` line that repeats
the request whole and adds what became of it. So the response line is the action, and its request line adds
nothing. A request whose response never comes must not vanish, though: Vault answers nobody before the answer
is logged, so once the log has gone on for an hour without it the action has failed. Where the log ends
earlier the response may stand in the next file: nothing is claimed of the action, and the line is skipped by
name.

Memory: the requests that are open, and the ids of responses that came before their request, of one hour.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from ingest.sources.adapters.raw_records import RawRecord
from ingest.sources.adapters.translation import Translation, text
from ingest.sources.adapters.vault import answered, unanswered
from ingest.sources.adapters.vault_line import Line, line_of
from lineage.core.model.errors import BadRecordError
from lineage.core.model.times import Instant

# Vault ends a request after 90 s unless max_request_duration says otherwise: room for whoever made it longer.
PATIENCE: Final[Instant] = 3600 * 1_000_000
# No Vault has as many requests in flight; a log from which the responses were taken out would have.
MAX_WAITING: Final = 10_000

# By request id: since when, and the request; None if it was its response that came first.
_Waiting = dict[str, tuple[Instant, Line | None]]

_ANSWERED: Final = Translation(skipped="request-of-a-response")


def translations(records: Iterable[RawRecord]) -> Iterator[tuple[RawRecord, Translation]]:
    """What becomes of each record. A request comes once its response is known, so later than it was read."""
    waiting: _Waiting = {}
    for record in records:
        try:
            line = line_of(record)
        except BadRecordError as fault:
            yield record, Translation(fault=fault)
            continue
        yield from _given_up(waiting, line.at)
        partner = waiting.pop(line.id, None)
        if line.path == "sys/audit/test":
            yield record, Translation(skipped="audit-test")
        elif line.kind == "response":
            if partner is None or partner[1] is None:
                waiting[line.id] = (line.at, None)
            else:
                yield partner[1].record, _ANSWERED
            yield record, _answer(line)
        elif partner is None:
            waiting[line.id] = (line.at, line)
        elif partner[1] is None:
            yield record, _ANSWERED
        else:
            waiting[line.id] = partner
            yield record, Translation(skipped="repeated-request")
    for _, open_line in waiting.values():
        if open_line is not None:
            yield open_line.record, _open(open_line)


def _given_up(waiting: _Waiting, now: Instant) -> Iterator[tuple[RawRecord, Translation]]:
    while waiting:
        id_, (since, line) = next(iter(waiting.items()))
        late = since + PATIENCE < now
        if not late and len(waiting) < MAX_WAITING:
            return
        del waiting[id_]
        if line is not None:
            yield line.record, Translation(events=unanswered(line)) if late else _open(line)


def _open(line: Line) -> Translation:
    if text(line.value, "error"):  # it needs no response to say what became of it
        return Translation(events=unanswered(line))
    return Translation(skipped="request-still-open")


def _answer(line: Line) -> Translation:
    try:
        return Translation(events=answered(line))
    except BadRecordError as fault:
        return Translation(fault=fault)
