"""The recipes of docs/scripts.md run in a shell against a server."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.desk import Desk
from tests.support.places import ROOT
from tests.support.serving import process
from tests.support.signing_keys import file_of, pem

PAGE = ROOT / "docs" / "scripts.md"
BLOCK = re.compile(r"^```console[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the incident of the demo, with a signing key."""
    desk = Desk(tmp_path)
    desk.run("ingest", str(ROOT / "examples" / "incident.jsonl"))
    desk.run("token", "list")
    monkeypatch.setenv("DELEGRAPH_STORE", desk.url)
    monkeypatch.setenv("DELEGRAPH_SIGNING_KEY_FILE", str(file_of(tmp_path, pem(Ed25519PrivateKey.generate()))))
    with process(tmp_path, "serve") as (_, result):
        found = re.search(r"http://[^/]+", result)
        assert found is not None, result
        yield found[0]


def commands() -> list[tuple[str, str]]:
    """Return every command of the page with its expected output."""
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    found = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", "".join(blocks), re.MULTILINE)
    assert len(found) > 10
    return found


@pytest.mark.slow
def test_every_recipe_prints_what_the_page_says(url: str, tmp_path: Path):
    """One shell runs all of them, in their order; ``...`` stands for anything."""
    if missing := [name for name in ("curl", "jq", "bash") if shutil.which(name) is None]:
        pytest.skip(f"{', '.join(missing)}: not installed")
    mark = "== end of a recipe =="
    lines = [f"{command}\necho '{mark}'" for command, _ in commands()]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "URL": url, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", "set -o pipefail\n" + "\n".join(lines)],
        cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    printed = done.stdout.split(f"{mark}\n")[:-1]

    assert len(commands()) == len(printed), done.stderr
    for (command, expected), text in zip(commands(), printed, strict=True):
        pattern = re.escape(expected).replace(re.escape("..."), ".*")
        assert re.fullmatch(pattern, text, re.DOTALL), f"{command}\n{text}\n{done.stderr}"
