"""The overview: what needs attention now, and the amount of activity. Only the latest of each kind is examined.

Cost: that of the latest orders with their verdicts, and of some thousand actions and tokens, however many there are.
"""

from collections import Counter
from collections.abc import Hashable
from itertools import islice, pairwise
from statistics import median
from typing import Final

from lineage.core.authority.action_filter import ActionFilter
from lineage.core.authority.chain import chain_of
from lineage.core.authority.rule import verdicts_of
from lineage.core.authority.verdict import State
from lineage.core.model.finding import SEVERITIES
from lineage.core.model.times import HOUR, SECOND, Instant, format_instant, parse_instant
from lineage.serve.documents.core_documents import Document, instant
from lineage.serve.queries.activity.actions import ActionMatcher
from lineage.serve.queries.findings.findings import findings as every_finding
from lineage.serve.queries.findings.kept_list import COMPUTED, asked_of_index
from lineage.serve.queries.records.projection_status import projection_status
from lineage.serve.queries.revocations.revocations import revocations
from lineage.serve.queries.service import Service
from lineage.store import kept_findings
from lineage.store.acts_in_time import ListFilter, Sort
from lineage.store.quarantine import count_beyond_quota, count_quarantined
from lineage.store.reading.list_items import candidates_in_order, count_by_hour, load_held
from lineage.store.reading.reader import Reader

ORDERS: Final = 20  # the latest orders, whose verdicts are examined
QUICK: Final = 1_000  # records of the log up to which evaluating them takes less than a page may
SAMPLED: Final = 500  # the latest actions, and the latest tokens, that are examined
DAYS: Final = 7
_WORST: Final = 5  # findings that are shown
_SILENT: Final = 10  # times the usual pause after which a source is silent
_SHORTEST: Final = 600.0  # seconds of a pause that is no silence


def attention(
    service: Service, *, at: Instant, known_at: Instant | None = None, findings: Document | None = None
) -> Document:
    """Return what needs attention: findings, open revocations, quarantine, silent sources; and the amount of activity.

    Args:
        service: The service to query.
        at: The instant of states and verdicts, and the end of the activity that is shown.
        known_at: Only what was recorded by then; None for everything. Quarantine and sources are the current ones.
        findings: What ``worst_findings`` returned before; None to evaluate them.
    """
    as_of = service.as_of()  # read first, so it never claims more than is looked up
    with service.reader(known_at=known_at) as reader:
        actions, tokens, activity = _actions(reader), _tokens(reader, at), _activity(reader, at)
    return {
        "findings": worst_findings(service, at, known_at) if findings is None else findings,
        "revocations": _revocations(service, at, known_at),
        "quarantine": {
            "records": count_quarantined(service.store),
            "beyond_quota": count_beyond_quota(service.store),
        },
        "sources": _sources(service),
        "actions": actions,
        "activity": activity,
        "tokens": tokens,
        "at": format_instant(at),
        "known_at": instant(known_at),
        "as_of": as_of,
    }


def basis_of(service: Service) -> Hashable:
    """Return what an overview of now depends on besides the time: the facts, the index of findings, the trust file."""
    store = service.store
    turn = kept_findings.state_of(store).turn
    return (
        store.edition(),
        tuple(sorted(store.positions().items())),
        turn,
        service.as_of()["behind"],
        service.trust.file,
    )


def is_small(service: Service) -> bool:
    """Whether everything in the store can be evaluated while somebody waits for a page."""
    return sum(service.store.positions().values()) <= QUICK


def are_findings_quick(service: Service, at: Instant, known_at: Instant | None = None) -> bool:
    """Whether the worst findings are known within the time of a page: of a small store, or from the index."""
    if not QUICK < sum(service.store.positions().values()) <= COMPUTED:
        return True
    return known_at is None and asked_of_index(service, at) is not None


def worst_findings(service: Service, at: Instant, known_at: Instant | None = None) -> Document:
    """Count the findings of each severity, and list the worst; null if only an index could tell."""
    is_kept = known_at is None and asked_of_index(service, at, None) is not None
    if not is_kept and sum(service.store.positions().values()) > COMPUTED:
        why = "the index of findings is not up to date; a consumer, or the command 'delegraph findings', computes them"
        return {"total": None, "by_severity": None, "suppressed": None, "worst": [], "why": why}
    found = every_finding(service, at=at, known_at=known_at, limit=_WORST)
    counted = {word: found["by_severity"][word] for word in SEVERITIES if found["by_severity"].get(word)}
    return {
        "total": found["total"],
        "by_severity": counted,
        "suppressed": found["suppressed"],
        "worst": found["items"],
        "why": None,
    }


def _revocations(service: Service, at: Instant, known_at: Instant | None) -> Document:
    """List the latest revocations that are not enforced everywhere yet, with their age and what is missing."""
    found = revocations(service, at=at, known_at=known_at, limit=ORDERS)
    still_open = [item for item in found["items"] if item["verdict"] != "CLOSED" and not item["lifted_at"]]
    return {
        "open": len(still_open),
        "looked_at": len(found["items"]),
        "total": found["total"],
        "items": [
            {
                "revocation": item["revocation"],
                "target": item["target"],
                "mode": item["mode"],
                "verdict": item["verdict"],
                "ordered_at": item["ordered_at"],
                "age_seconds": max(at - parse_instant(item["ordered_at"]), 0) / SECOND,
                "elements": item["elements"],
                "missing": item["open"],
            }
            for item in still_open
        ],
    }


def _sources(service: Service) -> Document:
    """List the sources, and which are silent: for ten times their usual pause between two events, and ten minutes."""
    known = projection_status(service)
    now, items = service.clock(), []
    pauses = _pauses(service)
    for source in known["sources"]:
        age = max(now - parse_instant(source["recorded_at"]), 0) / SECOND
        usual = pauses.get(source["source"])
        items.append(
            {
                "source": source["source"],
                "last_recorded_at": source["recorded_at"],
                "age_seconds": age,
                "usual_pause_seconds": usual,
                "silent": usual is not None and age > max(_SILENT * usual, _SHORTEST),
            }
        )
    items.sort(key=lambda item: (not item["silent"], item["source"]))
    return {
        "silent": sum(item["silent"] for item in items),
        "items": items,
        "looked_at": known["looked_at"],
        "complete": known["complete"],
    }


def _pauses(service: Service) -> dict[str, float]:
    """Return the usual pause between the latest events of each source, in seconds, if they cover at least an hour."""
    moments: dict[str, list[Instant]] = {}
    for topic, partition in service.store.positions():
        for fact in service.store.latest_facts(topic, partition, limit=SAMPLED):
            moments.setdefault(fact.event.source, []).append(fact.recorded_at)
    found = {}
    for source, times in moments.items():
        times.sort()
        between = [later - earlier for earlier, later in pairwise(times)]
        if between and times[-1] - times[0] >= HOUR:  # events from one file have no usual pause
            found[source] = median(between) / SECOND
    return found


def _actions(reader: Reader) -> Document:
    """Count the latest actions with a human at the root."""
    matcher = ActionMatcher(reader, ActionFilter())
    candidates = list(islice(candidates_in_order(reader, ListFilter({Sort.ACTION}, {})), SAMPLED + 1))
    matching = matcher.matches(candidates[:SAMPLED])
    with_human = sum(matcher.has_human(one.action) for one in matching)
    return {
        "looked_at": len(matching),
        "complete": len(candidates) <= SAMPLED,
        "with_human": with_human,
        "share_with_human": with_human / len(matching) if matching else None,
    }


def _tokens(reader: Reader, at: Instant) -> Document:
    """Count the latest tokens that are alive, by the depth of the authority behind them."""
    candidates = list(islice(candidates_in_order(reader, ListFilter({Sort.TOKEN}, {})), SAMPLED + 1))
    world = reader.world()
    keys = list(load_held(reader, world, {one.about for one in candidates[:SAMPLED]}))
    states = verdicts_of(world, keys, at)
    alive = [key for key in keys if states[key].state is State.ACTIVE]
    depths = Counter(len(chain_of(world, key).hops) for key in alive)
    return {
        "looked_at": len(keys),
        "complete": len(candidates) <= SAMPLED,
        "alive": len(alive),
        "by_state": dict(sorted(Counter(str(states[key].state) for key in keys).items())),
        "depth": {
            "longest": max(depths, default=0),
            "by_parties": [{"parties": depth, "tokens": depths[depth]} for depth in sorted(depths)],
        },
    }


def _activity(reader: Reader, at: Instant) -> Document:
    """Count the facts about actions in each hour of the days before an instant."""
    end = at - at % HOUR + HOUR
    start = max(end - DAYS * 24 * HOUR, 0)
    counts = count_by_hour(reader, start, end)
    return {
        "from": format_instant(start),
        "to": format_instant(end),
        "by_hour": [{"hour": format_instant(hour), "facts": counts[hour]} for hour in sorted(counts)],
        "total": sum(counts.values()),
    }
