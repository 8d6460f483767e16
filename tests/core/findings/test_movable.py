"""Maps that move old entries out of memory answer as if everything was there."""

import pickle
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from lineage.core.findings.keeping.movable import MovableMaps
from lineage.core.model.maps import ACTIONS, ELEMENTS
from lineage.plumbing.scratch_file import ScratchFile
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
            for made, prefix, expected in (
                (values, "", alike),
                (prefixed, "action:", alike_prefixed),
                (lists, "", alike_lists),
            ):
                same(made, expected)
                assert {prefix + one for one in made.staying} <= set(dict.keys(made))
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


def test_a_loop_that_moves_entries_back():
    """
    A loop over a map yields every entry once, also those that its body moves back through another map.
    """
    maps = MovableMaps(MemoryShelf(), 4)
    values, lists = maps.of_values(ELEMENTS), maps.of_collections(ELEMENTS, list[int])
    for number in range(100):
        values[f"token:{number}"] = number
        lists[f"token:{number}"].append(number)
    maps.trim(_NONE)
    assert not dict.__contains__(values, "token:3")

    seen = []
    for key in values:
        seen.append(key)
        lists["token:3"].append(len(seen))
    assert sorted(seen) == sorted(f"token:{number}" for number in range(100))
    for members in lists.values():
        lists["token:50"].append(1)
        members.append(-1)
    assert lists["token:50"].count(-1) == 1


@pytest.mark.parametrize("share", [1.0, 0.5, 0.05])
def test_the_file_is_bounded(share: float, tmp_path: Path):
    """
    However often entries move back and out again, the file has at most some three times what there is on it.
    """
    rng = random.Random(1)
    file = ScratchFile(tmp_path)
    maps = MovableMaps(file, 4)
    values, others = maps.of_collections(ELEMENTS, list[int]), maps.of_values(ACTIONS)
    keys = [f"token:{number}" for number in range(1_000)]
    for number, key in enumerate(keys):
        values[key].append(number)
        others[key] = number
    maps.trim(_NONE)
    first = file.size
    for _ in range(60):
        for key in rng.sample(keys, int(share * len(keys))):
            assert len(values[key]) == 1
            assert others.get(key) == values[key][0]
        maps.trim(_NONE)

    assert file.size < 4 * first
    assert {key: [number] for number, key in enumerate(keys)} == dict(values.items())
    assert {key: number for number, key in enumerate(keys)} == dict(others.items())


def test_what_remains_of_many_blocks_is_merged():
    """
    When nearly everything was moved back or removed, what remains takes few blocks; if there is no room for these,
    nothing changes.
    """
    shelf = MemoryShelf()
    maps = MovableMaps(shelf, 0)
    values = maps.of_values(ELEMENTS)
    values.update((f"token:{number}", number) for number in range(3_200))
    maps.trim(_NONE)
    for number in range(3_200):
        if number % 16:
            del values[f"token:{number}"]
    expected = {f"token:{number}": number for number in range(0, 3_200, 16)}
    shelf.room = 0
    maps.trim(_NONE)
    assert dict(values.items()) == expected
    shelf.room = None
    maps.trim(_NONE)

    assert dict(values.items()) == expected
    assert len(shelf.blocks) - len(shelf.removed) <= 3 * len(expected) / 16 + 2


@pytest.mark.parametrize("block", [b"", b"\0" * 200, pickle.dumps(1)[:-1], b"cno_module\nname\n."])
def test_a_damaged_block(block: bytes):
    """
    A block that cannot be decoded is reported as one that cannot be read.
    """
    shelf = MemoryShelf()
    maps = MovableMaps(shelf, 0)
    values = maps.of_values(ELEMENTS)
    values["token:1"] = 1
    maps.trim(_NONE)
    shelf.blocks[0] = block

    with pytest.raises(OSError, match="damaged"):
        values.get("token:1")
