"""The changes of state between two instants."""

from lineage.core.authority.rule import Verdict, verdict_of_name, verdicts_of
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import Target
from lineage.core.model.keys import ELEMENT_KINDS, NAME_KINDS, key_of, split_key
from lineage.core.model.times import Instant, format_instant
from lineage.core.revocation.reach import Proposal, struck_by
from lineage.serve.documents.core_documents import Document, listing, verdict_document
from lineage.serve.queries.lists.list_cursors import Rank, digest_of, ranked_page
from lineage.serve.queries.service import Service
from lineage.store.reading.descendants import load_below


def diff(
    service: Service,
    kind: str,
    id_: str,
    *,
    start: Instant,
    end: Instant,
    known_at: Instant | None = None,
    after: str | None = None,
    limit: int | None = None,
) -> Document | None:
    """Compare the states of a thing and its dependents at two instants; None if no fact names it.

    Args:
        service: The service to query.
        kind, id_: The thing.
        start, end: The two instants.
        known_at: Only facts recorded by then; None for all.
        after: The ``next`` of the previous page.
        limit: The most items of a page; None for all.
    """
    if kind not in ELEMENT_KINDS | NAME_KINDS:
        raise RefusedError(f"{kind!r} has no state; ask for one of {', '.join(sorted(ELEMENT_KINDS | NAME_KINDS))}")
    key = key_of(kind, id_)
    with service.reader(known_at=known_at) as reader:
        if not reader.is_named(key):
            return None
        world = reader.world()
        # What ended before both instants has the same state at both.
        load_below(reader, world, key, min(start, end))
    hit = struck_by(world, Proposal(target=Target(kind, id_), at=min(start, end)))
    keys = world.graph.below(hit, after=min(start, end))
    before, then = verdicts_of(world, keys, start), verdicts_of(world, keys, end)
    changed: list[tuple[Rank, Document]] = [
        ((key,), _change(split_key(key), before[key], then[key])) for key in sorted(keys) if before[key] != then[key]
    ]
    if kind in NAME_KINDS:
        verdicts = verdict_of_name(world, kind, id_, start), verdict_of_name(world, kind, id_, end)
        if verdicts[0] != verdicts[1]:
            changed.insert(0, (("",), _change((kind, id_), *verdicts)))  # before the elements
    page, following = ranked_page(changed, after, digest_of({"diff": key}), limit)
    return {
        "kind": kind,
        "id": id_,
        "from": format_instant(start),
        "to": format_instant(end),
        **listing(page, total=len(changed), following=following),
        "as_of": service.as_of(),
    }


def _change(of: tuple[str, str], before: Verdict, after: Verdict) -> Document:
    return {"kind": of[0], "id": of[1], "from": verdict_document(before), "to": verdict_document(after)}
