"""Maps whose oldest entries are moved out of memory, to a shelf, and moved back when somebody asks for them.

Nothing is forgotten: a map answers as if all of it were in memory. Maps by the same keys move together: what is known
about a thing is one record, so that it is found, written and read once. Records are written in blocks. Of a record,
only its place stays in memory, by the hash of its key: some sixteen bytes.

Entries move out only when ``trim`` is called, so a collection that was read from a map may be changed until then.
"""

import pickle
import re
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, KeysView
from collections.abc import Set as AbstractSet
from itertools import chain, islice
from typing import Any, Final, Protocol, TypeVar, cast

from lineage.core.model.maps import Maps

V = TypeVar("V")

_IN_BLOCK: Final = 16  # records: reading one decodes all of its block
_FEW: Final = re.compile(rb"[\x01-\x05]")  # records that are left in a block that is merged with others
_MERGED: Final = 3  # blocks with few records at a time: these fit into one
_LEAST: Final = 512  # entries that are moved at a time, so that few blocks are small
_LARGE: Final = 256  # members of a collection that stays: it belongs to a hub, which is asked for all the time
_DECODED: Final = 64  # blocks that are kept decoded, because neighbours are often asked for together
_HERE: Final = 1 << 16  # keys of which it is remembered that they have no record
_STAYS: Final = "principal:"  # nearly every fact names some
_ABSENT: Final = object()
_get: Final = dict.get
_has: Final = dict.__contains__
_set: Final = dict.__setitem__


class Shelf(Protocol):
    """Stores blocks outside of memory."""

    def put(self, block: bytes) -> int | None:
        """Add a block; return the number of blocks before it, or None if there is no room for it."""

    def get(self, number: int) -> bytes:
        """Return a block by its number."""

    def remove(self, number: int) -> None:
        """Let a later block take the place and the number of this one, which can be read until then."""


class MovableMaps(Maps):
    """Creates maps whose oldest entries can be moved to a shelf.

    Attributes:
        moved: How many records were moved to the shelf.
        brought: How many were moved back.
    """

    def __init__(self, shelf: Shelf, most: int) -> None:
        """Start without maps.

        Args:
            shelf: Receives what is moved.
            most: How many entries of each map stay in memory.
        """
        self._shelf = shelf
        self._most = most
        self._records: dict[str, _Records] = {}

    def of_values(self, of: str, *, prefix: str = "") -> dict[str, Any]:
        """Create a map of values that are replaced as a whole."""
        return _InMemory(self._records_of(of), prefix)

    def of_collections(
        self,
        of: str,
        make: Callable[[], V],
        size: Callable[[V], int] = len,  # type: ignore[assignment]
    ) -> defaultdict[str, V]:
        """Create a map of collections that are changed in place."""
        return cast("defaultdict[str, V]", _InMemory(self._records_of(of), "", make, size))

    def _records_of(self, of: str) -> "_Records":
        records = self._records.get(of)
        if records is None:
            records = self._records[of] = _Records(self._shelf, self._most)
        return records

    def trim(self, alive: AbstractSet[str]) -> None:
        """Move the oldest entries of each map out of memory, if there are too many.

        Args:
            alive: Elements that will be asked for when they end; as many of them as of others stay.
        """
        for records in self._records.values():
            records.trim(alive)

    @property
    def moved(self) -> int:
        """How many records were moved to the shelf."""
        return sum(records.moved for records in self._records.values())

    @property
    def brought(self) -> int:
        """How many records were moved back."""
        return sum(records.brought for records in self._records.values())


class _InMemory(dict[str, Any]):
    """A map of which nothing was moved yet: a dictionary with its own methods, which are fast."""

    __slots__ = ("_make", "_prefix", "_records", "away", "size", "staying")

    def __init__(
        self,
        records: "_Records",
        prefix: str,
        make: Callable[[], Any] | None = None,
        size: Callable[[Any], int] | None = None,
    ) -> None:
        super().__init__()
        self._records = records
        self._prefix = prefix
        self._make = make
        self.size = size
        self.staying: set[str] = set()  # keys of entries that were not moved when it was their turn
        self.away = 0  # how many of its entries are on the shelf
        records.add(self, prefix)

    def __missing__(self, key: str) -> Any:
        if self._make is None:
            raise KeyError(key)
        value = self[key] = self._make()
        return value

    def is_large(self, key: str) -> bool:
        """Whether the value of a key is a collection with very many members."""
        value = _get(self, key)
        return value is not None and self.size is not None and self.size(value) > _LARGE

    def inside(self) -> int:
        """Return the number of entries in memory."""
        return super().__len__()

    def oldest(self, count: int) -> list[str]:
        """Return the keys that have been in memory for longest."""
        return list(islice(super().__iter__(), count))


class _Map(_InMemory):
    """A map: as a dictionary, the entries that are in memory; with its own methods, all entries."""

    __slots__ = ()

    def _on_shelf(self, key: str) -> Any:
        """Return the value of a key that is not in memory, after moving it there; ``_ABSENT`` if there is none."""
        records = self._records
        record_key = key[len(self._prefix) :] if self._prefix else key
        if record_key in records.here:
            return _ABSENT
        if self._make is None and records.is_full:  # so many are asked for that they are only read
            found = records.read(record_key)
            value = None if found is None else found[self._number()]
            return _ABSENT if value is None else value
        records.bring(record_key)
        return _get(self, key, _ABSENT)

    def _number(self) -> int:
        return next(number for number, (one, _) in enumerate(self._records.maps) if one is self)

    def __missing__(self, key: str) -> Any:
        value = self._on_shelf(key)
        if value is _ABSENT:
            if self._make is None:
                raise KeyError(key)
            value = self[key] = self._make()
        return value

    def get(self, key: str, default: Any = None) -> Any:
        value = _get(self, key)
        if value is None:  # no value is None
            value = self._on_shelf(key)
            if value is _ABSENT:
                return default
        return value

    def __contains__(self, key: object) -> bool:
        return _has(self, key) or self._on_shelf(cast("str", key)) is not _ABSENT

    def __setitem__(self, key: str, value: Any) -> None:
        if not _has(self, key) and (record_key := key[len(self._prefix) :]) not in self._records.here:
            self._records.bring(record_key)
        _set(self, key, value)

    def update(self, entries: Iterable[tuple[str, Any]]) -> None:  # type: ignore[override]
        for key, value in entries:
            self[key] = value

    def setdefault(self, key: str, default: Any = None) -> Any:
        value = self.get(key, _ABSENT)
        if value is _ABSENT:
            value = self[key] = default
        return value

    def pop(self, key: str, *default: Any) -> Any:
        self._bring_for_removal(key)
        return super().pop(key, *default)

    def __delitem__(self, key: str) -> None:
        self._bring_for_removal(key)
        super().__delitem__(key)

    def _bring_for_removal(self, key: str) -> None:
        record_key = key[len(self._prefix) :]
        self._records.bring(record_key)
        self.staying.discard(record_key)

    def __iter__(self) -> Iterator[str]:
        for key, _ in self.items():  # noqa: PERF102 (these are the keys)
            yield key

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        """Return a set of the keys, which asks for each when it is compared."""
        return KeysView(self)

    def values(self) -> Iterator[Any]:  # type: ignore[override]
        for _, value in self.items():  # noqa: PERF102 (these are the values)
            yield value

    def items(self) -> Iterator[tuple[str, Any]]:  # type: ignore[override]
        """Yield all entries of now; those that are not in memory are read, but not moved back."""
        inside, moved = list(super().items()), self._records.all_moved()  # before others can be moved back
        known = {key for key, _ in inside}
        yield from inside
        number = self._number()
        for record_key, values in moved:
            key = self._prefix + record_key
            if values[number] is not None and key not in known:
                yield key, _get(self, key, values[number])

    def __len__(self) -> int:
        return super().__len__() + self.away

    def __bool__(self) -> bool:
        return len(self) > 0


class _Records:
    """What maps by the same keys know about each thing, as one record."""

    def __init__(self, shelf: Shelf, most: int) -> None:
        self._shelf = shelf
        self._most = most
        self._places = _Places()
        self._decoded: dict[int, tuple[tuple[str, ...], list[list[Any]]]] = {}
        self._left = bytearray()  # by the number of a block, how many of its records are still there
        self._blocks = self._on_shelf = 0  # how many blocks and records there are on the shelf
        self._merged_to = 0  # the block after the last one that was merged with others
        self._room = most  # how many may be moved back until the next trim
        self.maps: list[tuple[_InMemory, str]] = []
        self._has_moved = False
        self.here: set[str] = set()  # keys that certainly have no record on the shelf
        self.moved = self.brought = 0

    @property
    def is_full(self) -> bool:
        """Whether very many records were moved back since the last trim."""
        return self._room <= 0

    def add(self, one: _InMemory, prefix: str) -> None:
        """Add a map, whose keys begin with a prefix."""
        self.maps.append((one, prefix))
        if self._has_moved:
            one.__class__ = _Map

    # Reading

    def _block(self, number: int) -> tuple[tuple[str, ...], list[list[Any]]]:
        """Return the keys of a block, and for each map their values.

        Raises:
            OSError: It cannot be read or decoded.
        """
        known = self._decoded.get(number)
        if known is None:
            if len(self._decoded) >= _DECODED:
                self._decoded.clear()
            block = self._shelf.get(number)
            try:
                known = self._decoded[number] = pickle.loads(block)  # noqa: S301 (our own)
            except Exception as fault:  # whatever damaged bytes lead to
                raise OSError(f"block {number} is damaged: {fault}") from fault
        return known

    def _place(self, key: str) -> int | None:
        for place in self._places.of(key):
            if self._block(place // _IN_BLOCK)[0][place % _IN_BLOCK] == key:
                return place
        return None

    def read(self, key: str) -> list[Any] | None:
        """Return the values of a record for each map, None where it has none; None if it is not on the shelf."""
        place = self._place(key)
        if place is None:
            return None
        return [column[place % _IN_BLOCK] for column in self._block(place // _IN_BLOCK)[1]]

    def bring(self, key: str) -> None:
        """Move a record back to memory, if it is on the shelf."""
        here = self.here
        if key in here:
            return
        if len(here) >= _HERE:
            here.clear()
        here.add(key)
        place = self._place(key)
        if place is None:
            return
        values = [column[place % _IN_BLOCK] for column in self._block(place // _IN_BLOCK)[1]]
        for (of, prefix), value in zip(self.maps, values, strict=True):
            if value is not None:
                of.away -= 1
                dict.setdefault(of, prefix + key, value)
        self._take_out(key, place)
        self.brought += 1
        self._room -= 1

    def all_moved(self) -> Iterator[tuple[str, list[Any]]]:
        """Return every record that is on the shelf now, by its key; they are read one by one until the next trim."""
        return map(self._at, self._places.all())

    def _at(self, place: int) -> tuple[str, list[Any]]:
        keys, columns = self._block(place // _IN_BLOCK)
        return keys[place % _IN_BLOCK], [column[place % _IN_BLOCK] for column in columns]

    # Writing

    def trim(self, alive: AbstractSet[str]) -> None:
        """Move the oldest entries of each map out of memory, if there are too many."""
        self._room = self._most
        least = min(_LEAST, self._most) + 1
        for of, prefix in self.maps:
            excess = of.inside() - len(of.staying) - self._most
            if excess < least:
                continue
            self._begin_to_move()
            keys = [key[len(prefix) :] for key in of.oldest(excess)]
            for start in range(0, excess, _IN_BLOCK):
                if not self._move(keys[start : start + _IN_BLOCK], of, prefix, alive):
                    return
        # While this holds, at least two blocks have few records, so each turn leaves fewer blocks.
        while self._blocks * _IN_BLOCK > 3 * self._on_shelf + 2 * _IN_BLOCK:
            if not self._merge(self._blocks_of_few()):
                return

    def _begin_to_move(self) -> None:
        """Let the maps ask the shelf from now on."""
        if not self._has_moved:
            for one, _ in self.maps:
                one.__class__ = _Map
            self._has_moved = True

    def _move(self, keys: list[str], of: _InMemory, prefix: str, alive: AbstractSet[str]) -> bool:
        """Move the records of some keys; return whether there was room for them."""
        going, staying, most = [], of.staying, self._most
        collections = [(one, start) for one, start in self.maps if one.size is not None]
        for key in keys:
            if key not in self.here:
                self.bring(key)  # if only a part of it is in memory
            if most and (key.startswith(_STAYS) or (key in alive and len(staying) < most)):
                stays = True
            else:
                stays = bool(most) and any(one.is_large(start + key) for one, start in collections)
            if stays:
                staying.add(key)
                _set(of, prefix + key, dict.pop(of, prefix + key))  # as if it was new
            else:
                going.append(key)
        if not going:
            return True
        for one, _ in self.maps:
            one.staying.difference_update(going)
        columns = [[dict.get(one, start + key) for key in going] for one, start in self.maps]
        if not self._put(going, columns):
            return False
        for (one, start), column in zip(self.maps, columns, strict=True):
            for key, value in zip(going, column, strict=True):
                if value is not None:
                    one.away += 1
                    dict.__delitem__(one, start + key)
        self.here.difference_update(going)
        self.moved += len(going)
        return True

    def _put(self, keys: list[str], columns: list[list[Any]]) -> bool:
        """Write a block of records; return whether there was room for it."""
        number = self._shelf.put(pickle.dumps((tuple(keys), columns), pickle.HIGHEST_PROTOCOL))
        if number is None:
            return False
        self._decoded.pop(number, None)  # an earlier block of this number
        if number >= len(self._left):
            self._left.extend(bytes(number + 1 - len(self._left)))
        self._left[number] = len(keys)
        self._blocks += 1
        self._on_shelf += len(keys)
        for slot, key in enumerate(keys):
            self._places.add(key, number * _IN_BLOCK + slot)
        return True

    def _take_out(self, key: str, place: int) -> None:
        """Forget a record on the shelf, and its block if it was the last one there."""
        self._places.remove(key, place)
        self._on_shelf -= 1
        number = place // _IN_BLOCK
        self._left[number] -= 1
        if not self._left[number]:
            self._blocks -= 1
            self._shelf.remove(number)

    def _blocks_of_few(self) -> list[int]:
        """Return blocks that have few records left, in turn."""
        left, start = self._left, self._merged_to
        matches = chain(_FEW.finditer(left, start), _FEW.finditer(left, 0, start))
        found = [match.start() for match in islice(matches, _MERGED)]
        self._merged_to = found[-1] + 1
        return found

    def _merge(self, numbers: list[int]) -> bool:
        """Write what is left in some blocks to a single one; return whether there was room for it."""
        left = [
            (key, number * _IN_BLOCK + slot)
            for number in numbers
            for slot, key in enumerate(self._block(number)[0])
            if number * _IN_BLOCK + slot in self._places.of(key)
        ]
        records = [self._at(place)[1] for _, place in left]
        columns = [list(column) for column in zip(*records, strict=True)]
        if not self._put([key for key, _ in left], columns):
            return False
        for key, place in left:
            self._take_out(key, place)
        return True


_SHARDS: Final = 64  # tables that grow one by one, because growing one takes a moment
_LOW: Final = (1 << 32) - 1
_REMOVED: Final = _LOW  # an entry of no key
_FIRST_SIZE: Final = 16


class _Places:
    """The places of records, by the hashes of their keys: in open addressing, eight bytes for each slot.

    A slot has 32 bits of the hash, and the place plus one in 32 bits. So there may be four thousand million records.
    """

    def __init__(self) -> None:
        self._tables = [array("Q", bytes(8 * _FIRST_SIZE)) for _ in range(_SHARDS)]
        self._filled = [0] * _SHARDS  # how many slots are not empty

    def of(self, key: str) -> list[int]:
        """Return the places that a key may have: nearly always one, or none."""
        hashed = hash(key)
        table = self._tables[hashed % _SHARDS]
        tag, mask = (hashed >> 6) & _LOW, len(table) - 1
        slot = tag & mask
        found: list[int] = []
        while entry := table[slot]:
            if entry >> 32 == tag and entry != _REMOVED:
                found.append((entry & _LOW) - 1)
            slot = (slot + 1) & mask
        return found

    def add(self, key: str, place: int) -> None:
        """Add the place of a key that has none."""
        hashed = hash(key)
        shard = hashed % _SHARDS
        if 3 * self._filled[shard] > 2 * len(self._tables[shard]):
            self._grow(shard)
        self._enter(self._tables[shard], (hashed >> 6) & _LOW, place + 1)
        self._filled[shard] += 1

    @staticmethod
    def _enter(table: "array[int]", tag: int, low: int) -> None:
        mask = len(table) - 1
        slot = tag & mask
        while table[slot]:
            slot = (slot + 1) & mask
        table[slot] = tag << 32 | low

    def _grow(self, shard: int) -> None:
        entries = [entry for entry in self._tables[shard] if entry and entry != _REMOVED]
        size = len(self._tables[shard])
        while 3 * len(entries) > size:
            size *= 2
        table = self._tables[shard] = array("Q", bytes(8 * size))
        for entry in entries:
            self._enter(table, entry >> 32, entry & _LOW)
        self._filled[shard] = len(entries)

    def remove(self, key: str, place: int) -> None:
        """Remove a place of a key."""
        hashed = hash(key)
        table = self._tables[hashed % _SHARDS]
        tag, mask = (hashed >> 6) & _LOW, len(table) - 1
        slot = tag & mask
        while table[slot] != tag << 32 | place + 1:
            slot = (slot + 1) & mask
        table[slot] = _REMOVED

    def all(self) -> "array[int]":
        """Return all places, in order."""
        found = (entry & _LOW for table in self._tables for entry in table if entry and entry != _REMOVED)
        return array("Q", sorted(place - 1 for place in found))
