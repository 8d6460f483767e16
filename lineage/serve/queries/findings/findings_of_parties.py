"""Count the findings that concern some principals: about themselves, what they may hold, and what they did."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from lineage.core.findings.judging import SUPPRESSED
from lineage.core.model.finding import SEVERITIES
from lineage.core.model.keys import split_key
from lineage.core.model.times import Instant
from lineage.serve.queries.findings.findings import survey
from lineage.serve.queries.findings.kept_list import asked_of_index
from lineage.serve.queries.service import Service
from lineage.store import kept_findings
from lineage.store.reading.action_candidates import ACTING, Candidates, TooManyCandidatesError
from lineage.store.reading.list_items import hash_of
from lineage.store.reading.reader import Reader

EVALUATED: Final = 1_000  # records of the log up to which findings are evaluated for this, without an index
_DONE: Final = 200  # rows of the index of mentions in which the actions of a principal are looked for
_WORDS: Final = {int(severity): word for word, severity in SEVERITIES.items()}

Party = tuple[Collection[str], set[int] | None]
"""The ids of a principal, and the hashes of the elements that it may hold, or None if these are very many."""


def severities_of_parties(
    service: Service, reader: Reader, parties: Sequence[Party], at: Instant
) -> list[dict[str, int]] | None:
    """Count the findings that concern each party by severity, worst first, without suppressed ones.

    Findings about very many elements or actions of one party are not counted: the page of the party lists them. None
    if the store is large and no index of findings can answer.
    """
    is_kept = reader.known_at is None and asked_of_index(service, at, None) is not None
    if not is_kept and sum(service.store.positions().values()) > EVALUATED:
        return None
    concerned: dict[int, list[int]] = {}
    for number, party in enumerate(parties):
        for key in _keys(reader, party):
            concerned.setdefault(key, []).append(number)
    found = (
        kept_findings.concerning(service.store, concerned, without=(SUPPRESSED,))
        if is_kept
        else _evaluated(service, reader, at)
    )
    counts: list[Counter[int]] = [Counter() for _ in parties]
    for severity, keys in found:
        for number in {number for key in keys for number in concerned.get(key, ())}:
            counts[number][severity] += 1
    return [{_WORDS[severity]: one[severity] for severity in sorted(one, reverse=True)} for one in counts]


def _keys(reader: Reader, party: Party) -> set[int]:
    """Return the hashes of everything that a finding about a party can be about."""
    ids, may_hold = party
    own = {hash_of(reader, "principal", id_) for id_ in ids}
    elements = may_hold or set()
    try:
        return own | elements | Candidates(reader.connection, _DONE).acts(own, ACTING)
    except TooManyCandidatesError:
        return own | elements


def _evaluated(service: Service, reader: Reader, at: Instant) -> Iterator[tuple[int, Collection[int]]]:
    for finding, severity, status in survey(service, at, reader.known_at).ordered():
        if status != SUPPRESSED:
            about = [key for key in (finding.of, finding.about) if key is not None and ":" in key]
            yield int(severity), [hash_of(reader, *split_key(key)) for key in about]
