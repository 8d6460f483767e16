"""Real logs of other systems, and a command line with a separate store.

The logs are not part of the repository. They are expected in the folder that ``DELEGRAPH_TEST_DATA`` names, else next
to the checkout; a test that needs them is skipped with the reason if they are absent.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lineage.serve.cli.main import main
from tests.support.places import DATA


def data(*names: str) -> Path:
    """Return a folder of real logs; the test is skipped if it is missing."""
    found = DATA.joinpath(*names)
    if not found.exists():
        pytest.skip(f"{'/'.join(names)} is not there: set DELEGRAPH_TEST_DATA to the folder of real logs")
    return found


def truth(folder: Path) -> dict[str, Any]:
    """Return what really happened, recorded by the person who operated the system."""
    return json.loads((folder / "truth.json").read_text(encoding="utf-8"))


class Desk:
    """A store in a separate folder, and its command line."""

    def __init__(self, folder: Path, settings: str = "") -> None:
        self.url = f"sqlite:///{folder / 'delegraph.db'}"
        self.settings = folder / "delegraph.toml"
        self.settings.write_text(settings, encoding="utf-8")

    def run(self, *words: str | Path, stdin: str | None = None) -> list[dict[str, Any]]:
        """Return the documents of a command's output."""
        ends = [*map(str, words), "--json", "--store", self.url]
        env = {"DELEGRAPH_CONFIG": str(self.settings)}
        result = CliRunner(env=env).invoke(main, ends, input=stdin, catch_exceptions=False, prog_name="delegraph")
        assert result.exit_code in {0, 3}, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    def ingest(self, *words: str | Path) -> dict[str, Any]:
        """Import files, and check that every record is accounted for."""
        (counts,) = self.run("ingest", *words)
        assert 0 == counts["quarantined"], counts
        assert 0 == counts["conflicts"], counts
        return counts

    def ask(self, command: str, ids: Iterable[str], *words: str) -> Iterator[dict[str, Any]]:
        """Query many things at once."""
        yield from self.run(command, "-", *words, stdin="\n".join(ids))

    def found(self, text: str, kind: str) -> list[str]:
        """Return the ids of a kind that contain a text."""
        (page,) = self.run("search", text, "--limit", "10000")
        assert page["complete"]
        return [item["id"] for item in page["items"] if item["kind"] == kind]

    def stated(self, of: str, type_: str) -> list[dict[str, Any]]:
        """Return the events of a type about something."""
        (page,) = self.run("timeline", of)
        assert page["complete"]
        return [item["event"] for item in page["items"] if item["type"] == type_ and item["of"] == of]


def principals(document: dict[str, Any]) -> list[str]:
    """Return the chain of an answer, root first, as bare ids."""
    return [hop["principal"] for hop in document["chain"]]
