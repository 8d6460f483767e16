"""The reference of the command line, generated from the commands themselves."""

import inspect
from collections.abc import Iterable, Iterator
from typing import Final

import click

from lineage.serve.cli.main import main

# The exit codes and their meaning for a caller.
EXIT_CODES: Final = {
    0: "Done. `ingest` exits with 0 also when records were quarantined.",
    2: "The command is wrong or was refused. The message says what to change.",
    3: "No fact names an id that was asked for. All other ids were answered.",
    4: "The plan has drifted: the revocation would end something that the plan does not list. Nothing was revoked.",
    5: "The log or the store is unavailable, locked, full, read-only, or of another version. Nothing was written.",
    6: "Integrity: what is stored contradicts the log, or itself.",
    7: "There are findings at or above the severity of `--fail-on`.",
}
# A parameter -> the exit codes that a command has because of it.
_CODES_OF: Final = {
    **dict.fromkeys(("ids", "actions", "target", "revocation", "revocations", "case"), (3,)),
    "plan_digest": (4,),
    "store": (5, 6),
    "fail_on": (7,),
}
_HEAD: Final = """\
# Commands

<!-- Generated from the command line by `make reference`; a test fails when this page is stale. -->

`delegraph COMMAND --help` says the same.
`KIND:ID` is split at the first colon: `token:https://idp.example#4711`, `principal:human:alice@example.com`.
The kinds are `token`, `delegation`, `principal`, `workload`, `session` and `client`.
`TIME` is RFC 3339 with an offset (`2026-11-02T10:25:00Z`), or `now`.
"""


def reference() -> str:
    """Return the text of ``docs/reference/commands.md``."""
    commands = list(_commands(main, "delegraph"))
    return "\n".join(_lines(commands, _shared([command for _, command in commands]))) + "\n"


def codes_of(command: click.Command) -> list[int]:
    """Return the exit codes that a command can have."""
    return sorted({0, 2, *(code for param in command.params for code in _CODES_OF.get(str(param.name), ()))})


def _commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its name; those of a subgroup after the group."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            continue
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path} {name}")


def _shared(commands: list[click.Command]) -> dict[str, click.Option]:
    """Return the options that most commands have with the same meaning, by name and help."""
    found: dict[str, list[click.Option]] = {}
    for command in commands:
        for option in _options(command):
            found.setdefault(_identity(option), []).append(option)
    return {key: options[0] for key, options in found.items() if 2 * len(options) > len(commands)}


def _lines(commands: list[tuple[str, click.Command]], shared: dict[str, click.Option]) -> Iterator[str]:
    yield _HEAD
    yield from ("| command | does |", "|---|---|")
    for path, command in commands:
        does = _prose(command.get_short_help_str(limit=1000)).replace("|", "\\|")
        yield f"| [`{path}`](#{path.replace(' ', '-')}) | {does} |"
    yield from ("", "## Options of every command", "", *_table(shared.values()))
    yield from ("", "## Exit codes", "", "| code | means |", "|---|---|")
    used = {code for _, command in commands for code in codes_of(command)}
    yield from (f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items() if code in used)
    for path, command in commands:
        yield from _section(path, command, shared)


def _section(path: str, command: click.Command, shared: dict[str, click.Option]) -> Iterator[str]:
    usage = " ".join(command.collect_usage_pieces(click.Context(command)))
    yield from ("", f"## {path}", "", "```text", f"{path} {usage}", "```", "", *_help(command.help or ""))
    own = [option for option in _options(command) if _identity(option) not in shared]
    if own:
        yield from ("", *_table(own))
    yield from ("", f"Exit codes: {', '.join(map(str, codes_of(command)))}.")


def _help(text: str) -> Iterator[str]:
    r"""Yield the paragraphs of a help text; one that begins with click's \b is preformatted."""
    for number, paragraph in enumerate(inspect.cleandoc(text).split("\n\n")):
        if number:
            yield ""
        if paragraph.startswith("\b"):
            yield from ("```sh", *(line.removeprefix("  ") for line in paragraph.splitlines()[1:]), "```")
        else:
            yield _prose(paragraph)


def _table(options: Iterable[click.Option]) -> Iterator[str]:
    yield from ("| option | meaning |", "|---|---|")
    for option in options:
        yield f"| {_names(option)} | {_meaning(option)} |"


def _options(command: click.Command) -> list[click.Option]:
    return [param for param in command.params if isinstance(param, click.Option) and not param.hidden]


def _identity(option: click.Option) -> str:
    return f"{_names(option)} {option.help}"


def _names(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    return names if option.is_flag else f"{names[:-1]} {_value(option)}`"


def _value(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return option.name.upper() if option.name else "WORD"
    return "N" if isinstance(option.type, click.IntRange | type(click.INT)) else option.type.name.upper()


def _meaning(option: click.Option) -> str:
    record = option.get_help_record(click.Context(click.Command("any")))
    meaning = _prose(record[1]) if record else ""
    if isinstance(option.type, click.Choice):
        meaning += " One of " + ", ".join(f"`{choice}`" for choice in option.type.choices) + "."
    return meaning.replace("|", "\\|")


def _prose(text: str) -> str:
    """Put a text on one line, escaping Markdown."""
    return " ".join(text.split()).replace("<", "&lt;").replace("*", "\\*")
