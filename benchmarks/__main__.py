"""Run the benchmarks: a quick run, or ``--full`` at a million events."""

import argparse
import json
import platform
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.foreign import foreign
from benchmarks.measures import Figure, intake, questions, reaches

QUICK, FULL = 50_000, 1_000_000


def main() -> None:
    """Run the measurements, print each figure as it is ready, and write them as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} events instead of {QUICK:,}")
    parser.add_argument("--json", type=Path, default=Path("build/benchmarks.json"), help="output file for the figures")
    parser.add_argument("--only", choices=["intake", "foreign", "questions", "reaches"], help="one group")
    options = parser.parse_args()
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
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n", encoding="utf-8")
    missed = [figure.name for figure in figures if figure.met is False]
    print(f"\nwritten to {options.json}; goals missed: {', '.join(missed) or 'none'}")


def show(figure: Figure) -> None:
    """Print a line of the table."""
    ratio = f"{figure.ratio:.2f}" if figure.ratio is not None else ""
    remarks = ", ".join(part for part in (figure.against, figure.goal) if part)
    missed = "  MISSED" if figure.met is False else ""
    print(f"{figure.name:<44}{figure.value:>14,.2f} {figure.unit:<9}{ratio:>7}  {remarks}{missed}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
