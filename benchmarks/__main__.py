"""Run the benchmarks: a quick run, ``--full`` at a million events, or ``--check`` against the last release."""

import argparse
import json
import platform
import sys
from pathlib import Path

from benchmarks import released
from benchmarks.costs import TURNS, bench
from benchmarks.foreign import foreign
from benchmarks.measures import Figure, intake, questions, reaches, write_figures

QUICK, FULL = 50_000, 1_000_000


def main() -> None:
    """Run the measurements, print each figure as it is ready, write them as JSON, and compare with the last release."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} events instead of {QUICK:,}")
    parser.add_argument("--json", type=Path, default=Path("build/benchmarks.json"), help="output file for the figures")
    parser.add_argument("--only", choices=["intake", "foreign", "questions", "reaches"], help="one group")
    parser.add_argument("--check", action="store_true", help="only compare with the last release, and fail if slower")
    parser.add_argument("--record", action="store_true", help="record these costs as those of the release")
    options = parser.parse_args()
    if options.check:
        sys.exit(compare())
    if options.record:
        record()
        return
    count = FULL if options.full else QUICK
    groups = {
        "intake": intake,
        "foreign": lambda events: foreign(events / 5_000),
        "questions": questions,
        "reaches": reaches,
    }
    print(f"{platform.machine()}, Python {platform.python_version()}, {count:,} events; ratios are within this run")
    print(f"{'what':<44}{'value':>14} {'unit':<9}{'ratio':>7}  {'against, goal'}")
    figures: list[Figure] = []
    for name, group in groups.items():
        if options.only in (None, name):
            for figure in group(count):
                figures.append(figure)
                show(figure)
    write_figures(figures, options.json)
    missed = [figure.name for figure in figures if figure.met is False]
    print(f"\nwritten to {options.json}; goals missed: {', '.join(missed) or 'none'}\n")
    if options.only is None:
        compare()


def compare() -> int:
    """Measure the costs, print them with those of the last release, and return the exit code."""
    with bench() as measuring:
        lines, code = released.compare(measuring, released.load())
    print(*lines, sep="\n")
    return code


def record() -> None:
    """Measure the costs, with more turns, and write them as the figures of the release."""
    with bench() as measuring:
        document = released.document_of(measuring.measure(turns=3 * TURNS))
    released.FILE.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"written to {released.FILE}")


def show(figure: Figure) -> None:
    """Print a line of the table."""
    ratio = f"{figure.ratio:.2f}" if figure.ratio is not None else ""
    remarks = ", ".join(part for part in (figure.against, figure.goal) if part)
    missed = "  MISSED" if figure.met is False else ""
    print(f"{figure.name:<44}{figure.value:>14,.2f} {figure.unit:<9}{ratio:>7}  {remarks}{missed}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
