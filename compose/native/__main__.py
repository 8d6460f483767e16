"""The commands behind ``make jars``, ``make browser``, ``make stack`` and ``make stack-down``."""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from lineage.core.model.errors import DelegraphError, UnavailableError

from . import cerbos, chromium, jars
from .processes import stop_all

STACK: Final = jars.ROOT / "build" / "stack"


def main() -> int:
    """Run a command; an error is printed on standard error, with exit code 5."""
    parser = argparse.ArgumentParser(prog="python -m compose.native", description=__doc__)
    commands = parser.add_subparsers(required=True)
    commands.add_parser("fetch", help="fetch Kafka's jars, and Cerbos").set_defaults(run=_fetch)
    commands.add_parser("browser", help="install Chromium, if it is missing").set_defaults(run=chromium.fetch)
    commands.add_parser("up", help="start the stack").set_defaults(run=_up)
    commands.add_parser("down", help="stop the stack").set_defaults(run=lambda: stop_all(STACK))
    try:
        parser.parse_args().run()
    except DelegraphError as error:
        print(error, file=sys.stderr)
        return 5
    return 0


def _fetch() -> None:
    jars.fetch()
    try:
        cerbos.fetch()
    except UnavailableError as error:
        print(f"continuing without Cerbos, which one test needs: {error}", file=sys.stderr)


def _up() -> None:
    # Imported here, so that `down` works without the packages that `up` needs.
    from .stack import CONSUMERS, DELIVERER, Stack  # noqa: PLC0415

    jars.fetch()
    stack = Stack(STACK)
    stack.start()
    kafka = ", ".join(f"{stack.kafka.servers_of(name)} ({safe})" for name, safe in stack.kafka.listeners.items())
    print(f"Kafka       {kafka}")
    print(f"PostgreSQL  {stack.postgres.address}")
    for name in (*CONSUMERS, DELIVERER):
        print(f"{name}  http://{stack.address_of(name)}/metrics, /healthz, /readyz")
    print(f"\nSettings, passwords, data and logs are in {_shown(STACK)}. For example:\n")
    print(f"  export DELEGRAPH_CONFIG={_shown(stack.config('producer'))}")
    print("  .venv/bin/delegraph emit examples/incident.jsonl")
    print(f"  export DELEGRAPH_CONFIG={_shown(stack.config('responder'))}")
    print("  .venv/bin/delegraph who mail-7")


def _shown(path: Path) -> str:
    return os.path.relpath(path)


if __name__ == "__main__":
    sys.exit(main())
