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
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ALL)
def test_in_any_order_and_in_many_commands(tmp_path, name, seed):
    """
    A restart between any two records that belong together; the later half of the log may come first.
    """
    system = SYSTEMS[name]
    folder = data(system.folder)
    known = truth(folder)
    records = shuffled([record for file in system.files for record in records_of(folder / file)], seed)
    desk = Desk(tmp_path, system.settings_for(known))
    for number in range(5):
        part = tmp_path / f"{number}.jsonl"
        part.write_bytes(one_a_line(records[number::5]))
        desk.ingest(*(("--source", system.source) if system.source else ()), part)

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
