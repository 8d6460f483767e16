"""The status of the projection as a document: lag, position in each partition, and the last event of each source."""

from typing import Final

from lineage.core.model.errors import UnavailableError
from lineage.core.model.times import SECOND, Instant, format_instant
from lineage.serve.documents.core_documents import Document, instant
from lineage.serve.queries.service import Service
from lineage.store.quarantine import count_quarantined

LOOKED_AT: Final = 2_000  # the latest facts, searched for the last event of each source


def projection_status(service: Service) -> Document:
    """Report the lag, the positions, and the last event of each recently seen source.

    Cost:
        LOOKED_AT facts, however many there are; ``complete`` says whether these are all.
    """
    places, recorded_at = service.store.progress()
    ends = _ends(service)
    each = max(LOOKED_AT // max(len(places), 1), 1)
    looked_at, whole, last = 0, True, dict[str, Document]()
    for topic, partition in sorted(places):
        facts = service.store.latest_facts(topic, partition, limit=each)
        looked_at += len(facts)
        whole = whole and len(facts) < each
        for fact in facts:
            event = fact.event
            found = last.setdefault(event.source, {"source": event.source, "events": 0, "recorded_at": ""})
            found["events"] += 1
            if (moment := format_instant(fact.recorded_at)) > found["recorded_at"]:
                found |= {
                    "recorded_at": moment,
                    "occurred_at": format_instant(event.occurred_at),
                    "type": event.type,
                    "event_id": event.event_id,
                }
    return {
        "now": format_instant(service.clock()),
        "recorded_at": instant(recorded_at),
        "age_seconds": _age(service.clock(), recorded_at),
        "log_answers": ends is not None,
        "positions": [
            {
                "topic": topic,
                "partition": partition,
                "next_offset": following,
                "end": None if ends is None else ends.get((topic, partition), following),
                "behind": None if ends is None else max(ends.get((topic, partition), following) - following, 0),
            }
            for (topic, partition), following in sorted(places.items())
        ],
        "quarantined": count_quarantined(service.store),
        "trust": service.trust.file,
        "sources": sorted(last.values(), key=lambda found: str(found["source"])),
        "looked_at": looked_at,
        "complete": whole,
        "as_of": service.as_of(),
    }


def _ends(service: Service) -> dict[tuple[str, int], int] | None:
    if service.log is None:
        return None
    try:
        return dict(service.log.ends())
    except UnavailableError:
        return None


def _age(now: Instant, recorded_at: Instant | None) -> float | None:
    return None if recorded_at is None else max(now - recorded_at, 0) / SECOND
