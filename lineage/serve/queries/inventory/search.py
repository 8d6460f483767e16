"""Search for words in ids, names, tools, operations and resources; an exact id comes first, near misses last."""

from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from functools import partial
from typing import Final, NamedTuple

from lineage.core.model.errors import RefusedError
from lineage.core.model.keys import KINDS, key_of, split_key
from lineage.core.model.times import Instant
from lineage.serve.documents.core_documents import Document, instant, listing
from lineage.serve.queries.inventory.named_then import is_named_then
from lineage.serve.queries.lists.list_cursors import cursor_after, digest_of, name_of
from lineage.serve.queries.service import Service
from lineage.store.database.dialects import ascii_lower
from lineage.store.reading.reader import Reader
from lineage.store.writing.fact_rows import BETWEEN, CALLED

PAGE: Final = 1_000  # the default limit of a page
LOOKED_AT: Final = 2_000  # names examined for a page over HTTP if a time is given
NEAR: Final = 5  # near misses that are offered
_EXAMINED: Final = 1_000  # names read at once if not all of them fit
_RARE: Final = 2_000  # names that contain a piece of the text, up to which one scan finds everything
_PIECES: Final = 400  # ids that contain a piece of the text, examined for near misses
_COMPARED: Final = 2_000  # names of each kind that are compared with the text
_LIKE: Final = 0.6  # the least similarity of a near miss, from 0 to 1
_VERY_LIKE: Final = 0.85  # a similarity at which the search for near misses ends
_SHORTEST: Final = 3  # letters of a piece


class Called(NamedTuple):
    """A principal and what it was called at some time."""

    id: str
    display_name: str


def called(key: str) -> Called | None:
    """Return the principal of a display name in the store's list of names; None for the key of a thing."""
    kind, name = split_key(key)
    if kind != CALLED:
        return None
    display_name, _, id_ = name.rpartition(BETWEEN)
    return Called(id_, display_name)


def search(
    service: Service,
    text: str,
    *,
    at: Instant | None = None,
    known_at: Instant | None = None,
    after: str | None = None,
    limit: int = PAGE,
    looked_at: int | None = None,
) -> Document:
    """Find what contains every word of a text, in the order of the ids.

    What has exactly this id comes first, once. If nothing is found, ``did_you_mean`` offers what is similar.

    Args:
        service: The service to query.
        text: The words.
        at: Only what an authorised fact names that occurred by then; None for anything.
        known_at: Only what an authorised fact names that was recorded by then; None for anything.
        after: The ``next`` of the previous page.
        limit: The most items of a page, apart from what has exactly this id.
        looked_at: The most names examined for a page if a time is given, after which it may end; None for all.

    Raises:
        RefusedError: There is no word in the text, or ``after`` belongs to another search.
    """
    words = text.split()
    if not words:
        raise RefusedError("there is nothing to search for: give a part of an id, a name or a tool")
    as_of = service.as_of()
    digest = digest_of({"search": words})
    start = None if after is None else name_of(after, digest)
    rough = _rough(service, text.strip()) if words == [text.strip()] and start is None else None

    def named(begin: str | None, most: int) -> list[str]:
        if rough is None:
            return service.store.search(*words, start=begin, limit=most)
        return [key for key in rough.whole if begin is None or key >= begin][:most]

    with service.reader(known_at=known_at) as reader:
        exact = _exact(reader, text.strip(), at)
        is_any_time = at is None and known_at is None
        fits = _anything if is_any_time else partial(is_named_then, reader, at=at)
        found, following = _page(named, start, limit, None if is_any_time else looked_at, fits)
        items = [{**_thing(key), "exact": True} for key in exact] if start is None else []
        listed = (_item(key, words) for key in found if key not in exact)
        items += [item for item in listed if item is not None]
        is_whole = following is None and start is None
        return {
            **listing(
                items,
                total=len(items) if is_whole else None,
                following=None if following is None else cursor_after(following, digest),
            ),
            "did_you_mean": [] if items or not is_whole else _near(service, text.strip(), rough, fits),
            "at": instant(at),
            "known_at": instant(known_at),
            "as_of": as_of,
        }


def _anything(_key: str) -> bool:
    return True


class _Rough(NamedTuple):
    """What contains a text, and the first of what contains a piece of it, sorted."""

    whole: list[str]
    pieces: list[str]


def _rough(service: Service, text: str) -> _Rough | None:
    """Find what contains a text and what contains a piece of it, in one scan; None if its pieces are common."""
    pieces = list(_pieces(text))
    keys = service.store.search_rare(pieces, most=_RARE) if pieces else None
    if keys is None:
        return None
    lowered = ascii_lower(text)
    return _Rough([key for key in keys if lowered in ascii_lower(key)], keys[:_PIECES])


def _page(
    named: Callable[[str | None, int], list[str]],
    start: str | None,
    limit: int,
    looked_at: int | None,
    fits: Callable[[str], bool],
) -> tuple[list[str], str | None]:
    """Return a page of names that contain the words and fit, and the name with which the next page starts.

    ``named`` returns the names that contain the words from a given one on, at most so many.
    """
    page: list[str] = []
    left = looked_at
    while True:
        size = limit if fits is _anything else max(limit, _EXAMINED)
        part = named(start, size + 1)
        for key in part[:size]:
            if len(page) == limit or left == 0:
                return page, key
            left = None if left is None else left - 1
            page += [key] if fits(key) else []
        if len(part) <= size:
            return page, None
        start = part[size]
        if len(page) == limit or left == 0:
            return page, start


def _thing(key: str) -> Document:
    kind, id_ = split_key(key)
    return {"kind": kind, "id": id_}


def _item(key: str, words: list[str]) -> Document | None:
    """Convert a match to an item; None for a display name whose id was found too and is listed already."""
    if (name := called(key)) is None:
        return _thing(key)
    lowered = [ascii_lower(word) for word in words]  # as the store compares them
    if all(word in ascii_lower(f"principal:{name.id}") for word in lowered):
        return None
    if not all(word in ascii_lower(f"{name.display_name} {name.id}") for word in lowered):
        return None
    return {"kind": "principal", "id": name.id, "display_name": name.display_name}


def _exact(reader: Reader, text: str, at: Instant | None) -> list[str]:
    """Return the keys of what has exactly this id, with or without its kind."""
    kind, id_ = split_key(text)
    keys = [f"{one}:{text}" for one in KINDS if one != "workload"]
    if id_ and kind in KINDS:
        keys.insert(0, key_of(kind, id_))
    return [key for key in keys if is_named_then(reader, key, at)]


def _near(service: Service, text: str, rough: _Rough | None, fits: Callable[[str], bool]) -> list[Document]:
    """Return what is most similar to a text: first among names, then among what contains a piece of it.

    The pieces may take a scan of all names, so the search ends before it if something very similar is found.
    """
    lowered = text.lower()
    match = SequenceMatcher(None, "", lowered)  # this text is prepared once, and compared with many
    alike: dict[tuple[str, str], float] = {}
    for batch in _nearby(service, text, rough):
        for key in batch:
            name = called(key)
            kind, id_ = split_key(key) if name is None else ("principal", name.id)
            names = [id_, *_parts(id_)] if name is None else [name.display_name, *name.display_name.split()]
            likeness = max(_likeness(match, lowered, one.lower()) for one in dict.fromkeys(names))
            if likeness >= _LIKE and fits(key):
                alike[kind, id_] = max(likeness, alike.get((kind, id_), 0.0))
        if max(alike.values(), default=0.0) >= _VERY_LIKE:
            break
    best = sorted(alike, key=lambda one: (-alike[one], one))[:NEAR]
    return [{"kind": kind, "id": id_} for kind, id_ in best]


def _likeness(match: "SequenceMatcher[str]", text: str, other: str) -> float:
    """Return the similarity of two texts, from 0 to 1; 0 if a quick check shows that it is too low."""
    shorter, longer = sorted((len(text), len(other)))
    if 2 * shorter < _LIKE * (shorter + longer):
        return 0.0
    match.set_seq1(other)
    return match.ratio() if match.quick_ratio() >= _LIKE else 0.0


def _nearby(service: Service, text: str, rough: _Rough | None) -> Iterator[list[str]]:
    """Yield what may be similar to a text, the cheapest first: names of people, then what contains a piece of it."""
    with service.reader() as reader:
        people = [f"principal:{id_}" for id_ in reader.principals(after=None, most=_COMPARED)]
        yield [*people, *reader.display_names(_COMPARED)]
    if rough is not None:
        yield rough.pieces
    elif pieces := list(_pieces(text)):
        yield service.store.search_either(pieces, limit=_PIECES)


def _parts(id_: str) -> Iterator[str]:
    """Return the parts of an id by which people know it."""
    yield id_.rpartition("#")[2]
    yield id_.rpartition("/")[2]
    yield id_.partition(":")[2] or id_
    yield (id_.partition(":")[2] or id_).partition("@")[0]


def _pieces(text: str) -> Iterator[str]:
    """Split a text into two pieces: if one letter is wrong, one of the pieces is right."""
    middle = len(text) // 2
    yield from (piece for piece in dict.fromkeys((text[:middle], text[middle:])) if len(piece) >= _SHORTEST)
