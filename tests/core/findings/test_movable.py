"""Maps that move old entries out of memory answer as if everything was there."""

import random
from collections import defaultdict
from typing import Any

import pytest

from lineage.core.findings.keeping.movable import MovableMaps
from lineage.core.model.maps import ACTIONS, ELEMENTS
from tests.support.memory_shelf import MemoryShelf

_NONE: frozenset[str] = frozenset()


@pytest.mark.parametrize("most", [0, 3, 40, 1_000])
def test_they_equal_dictionaries(most: int):
    """
    Whatever is read, replaced, extended, removed and moved, in any order, every map equals a dictionary to which the
    same was done.
    """
    rng = random.Random(most)
    maps = MovableMaps(MemoryShelf(), most)
    values, prefixed = maps.of_values(ELEMENTS), maps.of_values(ELEMENTS, prefix="action:")
    lists = maps.of_collections(ELEMENTS, list[int])
    alike: dict[str, int] = {}
    alike_prefixed: dict[str, int] = {}
    alike_lists: defaultdict[str, list[int]] = defaultdict(list)
    keys = [f"token:{number}" for number in range(400)] + [f"principal:{number}" for number in range(5)]
    for step in range(6_000):
        key, act = rng.choice(keys), rng.randrange(8)
        if act == 0:
            values[key] = alike[key] = step
        elif act == 1:
            prefixed[f"action:{key}"] = alike_prefixed[f"action:{key}"] = step
        elif act == 2:
            lists[key].append(step)
            alike_lists[key].append(step)
        elif act == 3:
            assert values.pop(key, None) == alike.pop(key, None)
        elif act == 4 and f"action:{key}" in alike_prefixed:
            del prefixed[f"action:{key}"], alike_prefixed[f"action:{key}"]
        elif act == 5:
            assert values.get(key) == alike.get(key)
            assert (key in lists) == (key in alike_lists)
        elif act == 6:
            assert lists.get(key, ()) == alike_lists.get(key, ())
        if step % 50 == 0:
            maps.trim({"token:1", "token:2"})
        if step % 500 == 0:
            for made, expected in ((values, alike), (prefixed, alike_prefixed), (lists, alike_lists)):
                same(made, expected)
    assert (maps.moved > 0) == (most < 1_000)


def same(made: dict[str, Any], expected: dict[str, Any]) -> None:
    """Compare a map with a dictionary in every way in which it can be read as a whole."""
    assert dict(made.items()) == expected
    assert sorted(made) == sorted(expected)
    assert len(made) == len(expected)
    assert bool(made) == bool(expected)
    assert sorted(map(str, made.values())) == sorted(map(str, expected.values()))
    assert made.keys() & {"token:1", "token:2", "token:x"} == expected.keys() & {"token:1", "token:2", "token:x"}


def test_a_missing_key():
    """
    A map of values raises for a key that it does not have, and forgets it when it is asked again.
    """
    maps = MovableMaps(MemoryShelf(), 0)
    values = maps.of_values(ACTIONS)
    values["a"] = 1
    maps.trim(_NONE)

    assert values["a"] == 1
    for key in ("b", "a:"):
        with pytest.raises(KeyError):
            values[key]
        with pytest.raises(KeyError):
            del values[key]
    del values["a"]
    assert "a" not in values


def test_what_stays():
    """
    What is alive stays while it is not more than the rest, and so do principals and collections with many members.
    """
    shelf = MemoryShelf()
    maps = MovableMaps(shelf, 4)
    values, lists = maps.of_values(ELEMENTS), maps.of_collections(ELEMENTS, list[int])
    for number in range(64):
        values[f"token:{number}"] = number
    values["principal:p"] = 1
    lists["token:0"] += range(1_000)
    alive = {"token:1", "token:2"}
    for _ in range(3):
        maps.trim(alive)

    assert {"principal:p", "token:0", *alive} < set(dict.keys(values))
    assert len(dict.keys(values)) <= 4 + 4 + 4
    assert len(values) == 65
    maps.trim({f"token:{number}" for number in range(64)})
    assert len(dict.keys(values)) < 20


def test_a_full_shelf():
    """
    What the shelf does not accept stays in memory, and is moved once there is room.
    """
    shelf = MemoryShelf(room=1)
    maps = MovableMaps(shelf, 0)
    values = maps.of_values(ELEMENTS)
    expected = {f"token:{number}": number for number in range(100)}
    values.update(expected.items())
    maps.trim(_NONE)

    assert maps.moved == 16
    assert dict(values.items()) == expected
    shelf.room = None
    maps.trim(_NONE)
    assert maps.moved == 100
    assert dict(values.items()) == expected


def test_very_many_are_read_without_moving_them_back():
    """
    Of a walk over everything, only as many values are moved back as may stay.
    """
    maps = MovableMaps(MemoryShelf(), 8)
    values = maps.of_values(ACTIONS)
    values.update((str(number), number) for number in range(1_000))
    maps.trim(_NONE)

    assert [values.get(str(number)) for number in range(1_000)] == [*range(1_000)]
    assert len(dict.keys(values)) <= 16
    assert maps.brought == 8
