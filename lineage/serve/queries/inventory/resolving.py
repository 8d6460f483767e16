"""Resolve what a user typed: an id without its kind, the start of an address, a display name."""

from collections.abc import Collection, Iterator
from typing import Final

from lineage.core.model.keys import KINDS, key_of, split_key
from lineage.serve.queries.inventory.search import called, search
from lineage.serve.queries.service import Service

THINGS: Final = ("principal", "token", "delegation", "session", "client")
_PREFIXES: Final = ("human:", "agent:", "service:")
_LOOKED_AT: Final = 1_000  # ids that contain the text


def resolve(service: Service, typed: str, kinds: Collection[str] = THINGS) -> list[str]:
    """Return the keys of what may be meant: the best match, or several equally good ones; empty if nothing matches.

    Args:
        service: The service to query.
        typed: An id, with or without its kind; a principal's without ``human:`` and the like, or only the part before
            its ``@``; the last part of a token's id; or a display name.
        kinds: The kinds that can be meant.
    """
    kind, id_ = split_key(typed)
    with service.reader() as reader:
        if id_ and kind in kinds and reader.is_named(key_of(kind, id_)):
            return [typed]
        if exact := [key for one in kinds if reader.is_named(key := f"{one}:{typed}")]:
            return exact
        if "principal" in kinds:
            ids = (f"principal:{prefix}{typed}" for prefix in _PREFIXES)
            if prefixed := [key for key in ids if reader.is_named(key)]:
                return prefixed
    return sorted({key for key in _similar(service, typed) if split_key(key)[0] in kinds})


def _similar(service: Service, typed: str) -> Iterator[str]:
    """Yield things whose id or name contains the text as a whole part."""
    folded = typed.casefold()
    if not folded:
        return
    for key in service.store.search(typed, limit=_LOOKED_AT):
        if (name := called(key)) is not None:
            if folded in (name.display_name.casefold(), *name.display_name.casefold().split()):
                yield f"principal:{name.id}"
            continue
        kind, id_ = split_key(key)
        local = id_.partition(":")[2].partition("@")[0] if kind == "principal" else ""
        if folded in (local.casefold(), id_.rpartition("#")[2].casefold(), id_.rpartition("/")[2].casefold()):
            yield key


def similar(service: Service, typed: str, *, most: int) -> list[str]:
    """Return the keys of what somebody may have meant by an id that no fact names, the best first.

    Nothing if a fact does name it: it was only not known at the time asked about. It takes a few scans of all names,
    so it is for one id that a person typed.
    """
    kind, id_ = split_key(typed)
    text = id_ if kind in KINDS else typed
    if not text.strip():
        return []
    found = search(service, text, limit=most)
    keys = [key_of(one["kind"], one["id"]) for one in (found["items"] or found["did_you_mean"])]
    return [] if {typed, f"action:{typed}"} & set(keys) else keys[:most]


def beginning_with(service: Service, typed: str, *, kind: str | None = None, limit: int) -> list[str]:
    """Return what begins with a text, in the form in which it does.

    Args:
        service: The service to query.
        typed: The text.
        kind: Ids of this kind only; None for ids of any thing, also as ``KIND:ID``.
        limit: The most that are returned.

    Returns:
        Ids; those of principals also without ``human:`` and the like, as ``resolve`` accepts them.
    """
    found: list[str] = []
    for key in service.store.search(typed, start=None if kind is None else f"{kind}:", limit=_LOOKED_AT):
        of, id_ = split_key(key)
        if of not in KINDS if kind is None else of != kind:
            continue
        forms = [key] if kind is None else []
        forms += [
            id_,
            *(id_.removeprefix(prefix) for prefix in _PREFIXES if of == "principal" and id_.startswith(prefix)),
        ]
        found += [form for form in forms if form.startswith(typed)][:1]
    return list(dict.fromkeys(found))[:limit]
