"""Real logs of real systems, and copies of them in other shapes, held against what those systems were seen to do."""

import gzip
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.foreign_worlds import Desk, data, truth
from tests.support.mutated_logs import WRAPPINGS, one_a_line, records_of, renamed, shifted, shuffled
from tests.support.real_truths import SYSTEMS, System, Truth

ALL = list(SYSTEMS)
LATER = timedelta(days=-400, hours=5, seconds=7)


def check(system: System, tmp_path: Path, known: Truth, files: Sequence[Path]) -> None:
    """Read the files, ask; then read them again, which changes nothing."""
    desk = Desk(tmp_path, system.settings_for(known))
    words = [*(("--source", system.source) if system.source else ()), *files]
    counts = desk.ingest(*words)
    assert counts["read"] == counts["accepted"] + counts["duplicates"]
    system.check(desk, known)
    again = desk.ingest(*words)
    assert (again["read"], 0) == (again["duplicates"], again["accepted"])


@pytest.mark.parametrize("name", ALL)
def test_as_it_was_written(tmp_path, name):
    """
    What the system did is what is told of it.
    """
    system = SYSTEMS[name]
    folder = data(system.folder)
    check(system, tmp_path, truth(folder), [folder / file for file in system.files])


@pytest.mark.parametrize("name", ALL)
def test_of_another_run_with_other_names_in_another_order(tmp_path, name):
    """
    Every id, name and time is another one; records come in any order, twice, in two files of which one is compressed.
    """
    system = SYSTEMS[name]
    known, records = _renamed(system)
    mixed = shuffled([*records, *records], seed=7)
    (tmp_path / "second.log").write_bytes(one_a_line(mixed[::2]))
    (tmp_path / "first.log.gz").write_bytes(gzip.compress(one_a_line(mixed[1::2])))

    check(system, tmp_path, known, [tmp_path / "second.log", tmp_path / "first.log.gz"])


@pytest.mark.slow
@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("name", ALL)
def test_in_any_wrapping(tmp_path, name, wrapping):
    """
    As collectors and people hand logs on.
    """
    system = SYSTEMS[name]
    folder = data(system.folder)
    records = [record for file in system.files for record in records_of(folder / file)]
    (tmp_path / "wrapped").write_bytes(WRAPPINGS[wrapping](records))

    check(system, tmp_path, truth(folder), [tmp_path / "wrapped"])


@pytest.mark.slow
@pytest.mark.parametrize("order", ["cab", "cba", "bac"])
@pytest.mark.parametrize("name", [name for name in ALL if not SYSTEMS[name].is_whole])
def test_in_many_commands_of_which_the_later_come_first(tmp_path, name, order):
    """
    A log in three parts, each read by a process of its own, the last or the second before the first.
    """
    system = SYSTEMS[name]
    folder = data(system.folder)
    known = truth(folder)
    records = [record for file in system.files for record in records_of(folder / file)]
    third = len(records) // 3
    parts = {"a": records[:third], "b": records[third : 2 * third], "c": records[2 * third :]}
    desk = Desk(tmp_path, system.settings_for(known))
    for part in order:
        (tmp_path / f"{part}.jsonl").write_bytes(one_a_line(parts[part]))
        desk.ingest(*(("--source", system.source) if system.source else ()), tmp_path / f"{part}.jsonl")

    system.check(desk, known)


def _renamed(system: System) -> tuple[Truth, list[Any]]:
    """The truth and the records of a run in which everybody and everything has another name."""
    folder = data(system.folder)
    others = {word: f"{word[::-1]}x" for word in system.words}
    known = json.loads(_other(json.dumps(truth(folder)), others))
    records = [record for file in system.files for record in records_of(folder / file)]
    return known, json.loads(_other(json.dumps(records), others))


def _other(text: str, words: dict[str, str]) -> str:
    return shifted(renamed(text, words, "another run"), LATER)
