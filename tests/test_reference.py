"""The reference pages match the code."""

import re
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from docs.site import commands, python_api
from docs.site.__main__ import DOCS, GENERATED, reference_of
from lineage.serve.cli import output
from lineage.serve.cli.main import main
from lineage.serve.cli.options import TIME

COMMANDS = [
    (name, command)
    for name in main.list_commands(click.Context(main))
    if (command := main.get_command(click.Context(main), name)) is not None
]
OF_IDS = [(name, command) for name, command in COMMANDS if 3 in commands.codes_of(command)]


@pytest.mark.parametrize("page", GENERATED)
def test_a_generated_page_is_not_stale(page: str):
    """
    A generated page matches the current code: regenerate it with `make reference`.
    """
    assert reference_of(page) == (DOCS / page).read_text(encoding="utf-8")


def test_every_exit_code_is_explained():
    """
    The exit code of every error is in the table.
    """
    assert {code for _, code in output._EXIT_CODES} <= set(commands.EXIT_CODES)


def some_value(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return str(option.type.choices[0])
    return "now" if option.type is TIME else "human:you@example.com"


@pytest.mark.parametrize(("name", "command"), OF_IDS, ids=[name for name, _ in OF_IDS])
def test_a_command_that_takes_ids_exits_with_3(
    name: str, command: click.Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """
    The page gives the exit code 3 to the commands that an unknown id ends with it.
    """
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    assert 0 == runner.invoke(main, ["init"]).exit_code
    lines: list[str] = [name]
    for param in command.params:
        if isinstance(param, click.Argument):
            lines.append("token:nothing" if "KIND:ID" in (param.metavar or "") or name == "uses" else "nothing")
        elif param.required and isinstance(param, click.Option):
            lines += [param.opts[0], some_value(param)]
    result: Any = runner.invoke(main, lines)

    assert 3 == result.exit_code, result.output


def test_the_public_modules_are_those_that_contributing_names():
    """
    The Python reference and CONTRIBUTING list the same public modules.
    """
    text = (DOCS.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    [sentence] = re.findall(r"^Three modules are public, .*$", text, re.MULTILINE)

    assert set(re.findall(r"`([a-z]\w*(?:\.\w+)+)`", sentence)) == set(python_api.MODULES)
