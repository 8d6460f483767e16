"""Compare what things cost with the last release, as ratios to the bare loop of the same run."""

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import lineage
from benchmarks.costs import Bench

FILE: Final = Path(__file__).with_name("released.json")
NOTABLE, FAILED = 0.10, 0.25  # the change of a cost that is printed, and the rise that fails the check
SHARE: Final = 0.75  # of a core: with less, the caches of the processor are cold in every turn
TRIES: Final = 5  # rounds of further turns before what seems slower counts as slower


def document_of(ratios: Mapping[str, float]) -> dict[str, Any]:
    """Build the document of a release: its ratios, and where they were measured."""
    return {
        "version": lineage.__version__,
        **_where(),
        "ratios": {name: round(value, 3) for name, value in ratios.items()},
    }


def load(file: Path = FILE) -> dict[str, Any]:
    """Read the document of the last release."""
    return dict(json.loads(file.read_text(encoding="utf-8")))


def is_comparable(document: Mapping[str, Any]) -> bool:
    """Whether the figures come from this kind of processor and version of Python: others have other ratios."""
    return all(document[key] == value for key, value in _where().items())


def moved(then: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """Return the relative change of each cost since the release; a cost that only one of them has is omitted."""
    return {name: now[name] / ratio - 1 for name, ratio in then.items() if name in now}


def beyond(changes: Mapping[str, float], bound: float) -> set[str]:
    """Return the names of the costs that have risen by more than a bound."""
    return {name for name, change in changes.items() if change > bound}


def measured(bench: Bench, then: Mapping[str, float]) -> dict[str, float]:
    """Measure everything, and repeat what seems slower than the check allows, since other load can slow it down."""
    now = bench.measure()
    for _ in range(TRIES):
        if not (slower := beyond(moved(then, now), FAILED)):
            break
        now = bench.measure(slower)
    return now


def compare(bench: Bench, document: Mapping[str, Any]) -> tuple[list[str], int]:
    """Measure, and return a table with the costs of the last release, and an exit code.

    Returns:
        The code is 1 if something costs more than the check allows, unless nothing can be compared: the figures come
        from elsewhere, or the machine is too busy.
    """
    then = document["ratios"]
    now = measured(bench, then)
    table = _table(then, now)
    if not is_comparable(document):
        place = f"{document['machine']} with Python {document['python']}"
        return [*table, f"not checked: the figures of {document['version']} were measured on {place}"], 0
    if slower := beyond(moved(then, now), FAILED):
        if bench.share < SHARE:
            busy = f"this machine is too busy ({bench.share:.0%} of a core)"
            return [*table, f"not checked: {busy}; seems slower: {', '.join(sorted(slower))}"], 0
        return [*table, f"more than {FAILED:.0%} above {document['version']}: {', '.join(sorted(slower))}"], 1
    return table, 0


def _table(then: Mapping[str, float], now: Mapping[str, float]) -> list[str]:
    changes = moved(then, now)
    table = [f"{'processor time, in bare loops of fastavro':<44}{'now':>8}{'release':>9}"]
    for name, ratio in now.items():
        before = f"{then[name]:>9.2f}" if name in then else f"{'new':>9}"
        change = changes.get(name, 0.0)
        table.append(f"{name:<44}{ratio:>8.2f}{before}" + (f"  {change:+.0%}" if abs(change) > NOTABLE else ""))
    return [*table, *(f"{name:<44}{'gone':>8}{ratio:>9.2f}" for name, ratio in then.items() if name not in now)]


def _where() -> dict[str, str]:
    return {"machine": _machine(), "python": ".".join(platform.python_version_tuple()[:2])}


def _machine() -> str:
    """The architecture, and the model of the processor where the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return ", ".join([platform.machine(), *models[:1]])
