"""`delegraph serve` as a separate process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.places import ROOT

WRITE = {"Delegraph-Request": "1"}


@contextmanager
def process(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a serving command, and return its first output."""
    code = "from lineage.serve.cli.main import main; main(prog_name='delegraph')"
    with (folder / "stderr").open("w", encoding="utf-8") as stderr:
        started = subprocess.Popen(
            [sys.executable, "-c", code, *words, "--http", "127.0.0.1:0"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        try:
            assert started.stdout is not None
            yield started, started.stdout.readline().strip()
        finally:
            started.kill()
            started.wait()
            assert started.stdout is not None
            started.stdout.close()
