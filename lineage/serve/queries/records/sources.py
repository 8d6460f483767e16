"""The sources of foreign logs: the outcomes of their records, what was skipped and why, and unmapped ids."""

import json
import re
from collections.abc import Sequence
from typing import Final

from ingest.sources import identity
from ingest.sources.adapters import Memory, MemoryRow
from ingest.sources.likely_kinds import likely
from ingest.sources.named import NamedSource
from lineage.core.authority.world import World
from lineage.core.model.times import Instant
from lineage.serve.documents.core_documents import Document, instant, listing
from lineage.serve.queries.service import Service
from lineage.store.source_records import Count, SourceRecords

MOST_UNMAPPED: Final = 20
_TOPICS: Final = ("unmapped", "identity-several", "identity-of")
_WORD: Final = re.compile(r"[^A-Za-z0-9@._-]+")


def sources(service: Service, configured: Sequence[NamedSource]) -> Document:
    """List every source that is configured or has sent anything, by name."""
    records = SourceRecords(service.store)
    counts: dict[str, list[Count]] = {}
    for count in records.counts():
        counts.setdefault(count.source, []).append(count)
    named = {source.name: source for source in configured}
    items = [
        _source(service, records, name, named.get(name), counts.get(name, [])) for name in sorted({*named, *counts})
    ]
    return listing(items, total=len(items))


def _source(
    service: Service, records: SourceRecords, name: str, named: NamedSource | None, counts: Sequence[Count]
) -> Document:
    rows = [MemoryRow(*row) for topic in _TOPICS for row in records.remembered(name, topic)]
    memory = Memory(rows)
    unmapped = identity.unmapped(memory)
    return {
        "name": name,
        "format": named.format if named is not None else counts[0].format,
        "issuer": named.issuer if named is not None else None,
        "configured": named is not None,
        "inputs": sorted(named.inputs) if named is not None else [],
        "records": _total(counts, "record"),
        "events": _total(counts, "event"),
        "skipped": _by_reason(counts, "skipped"),
        "quarantined": _by_reason(counts, "quarantined"),
        "came_at": instant(max((count.came_at for count in counts), default=None)),
        "latest": instant(_latest(counts)),
        "unmapped": _unmapped(service, name, unmapped[:MOST_UNMAPPED]),
        "unmapped_total": len(unmapped),
        "ambiguous": [{"id": id_, "rules": rules} for id_, rules in identity.several(memory)],
        "joined": [{"id": id_, "from": natives} for id_, natives in identity.joined(memory)],
    }


def _total(counts: Sequence[Count], outcome: str) -> int:
    return sum(count.records for count in counts if count.outcome == outcome)


def _by_reason(counts: Sequence[Count], outcome: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for count in counts:
        if count.outcome == outcome:
            found[count.reason] = found.get(count.reason, 0) + count.records
    return found


def _latest(counts: Sequence[Count]) -> Instant | None:
    return max((count.latest for count in counts if count.latest is not None), default=None)


def _unmapped(service: Service, source: str, ids: Sequence[identity.Unmapped]) -> list[Document]:
    with service.reader() as reader:
        world = reader.world()
        reader.load_parties(world, [f"principal:{one.id}" for one in ids])
        return [_suggested(world, source, one) for one in ids]


def _suggested(world: World, source: str, one: identity.Unmapped) -> Document:
    kind, name = world.principals.kind(one.id), world.principals.display_name(one.id)
    line = suggestion(one.id, kind=kind, name=name, source=source)
    return {"id": one.id, "seen": one.seen, "kind": kind, "display_name": name, "line": line}


def suggestion(native: str, *, kind: str, name: str | None, source: str) -> str:
    """Return the lines of the settings that map an id, by its known kind, else by the kind that its form suggests."""
    guess = likely(native)
    suggested = kind if kind in identity.KINDS else guess.kind or "human"
    known = _known_id(suggested, name or guess.name or "", source)
    return "\n".join(
        (
            "[[source.identity]]",
            f"match = {_literal(re.escape(native))}",
            f"id = {json.dumps(known, ensure_ascii=False)}",
            f'kind = "{suggested}"',
        )
    )


def _known_id(kind: str, name: str, source: str) -> str:
    """Return an id for people, whose prefix declares its kind; for a workload, its SPIFFE ID."""
    if kind != "workload":
        return f"{kind}:{_WORD.sub('-', name).strip('-') or 'NAME'}"
    parts = (_WORD.sub("-", part).strip("-") for part in name.split("/"))
    return f"spiffe://{_WORD.sub('-', source).lower()}/{'/'.join(filter(None, parts)) or 'NAME'}"


def _literal(text: str) -> str:
    """Quote a string for TOML, as a literal string (without escapes) if possible."""
    return json.dumps(text, ensure_ascii=False) if "'" in text else f"'{text}'"
