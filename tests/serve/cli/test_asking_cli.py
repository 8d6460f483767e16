"""The command line accepts ids without their kind and informal times, and says how it understood them."""

import csv
import io
import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from lineage.core.model.times import format_instant, parse_instant
from lineage.serve.cli import completion
from lineage.serve.cli.group import SECTIONS
from lineage.serve.cli.main import main
from lineage.serve.config.http_settings import DEFAULT_LISTEN
from lineage.serve.documents.typed_times import typed_time
from tests.support.places import INCIDENT

Run = Callable[..., Result]
NOW = parse_instant("2026-11-02T10:30:00Z")
ASKING = sorted({*dict(SECTIONS)["Ask"]} - {"open", "try"})  # these serve, and read files of one's own


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a function that runs a command over a store with the incident."""
    store = f"sqlite:///{tmp_path_factory.mktemp('asking')}/store.db"

    def invoke(*args: str) -> Result:
        return CliRunner().invoke(main, ["--store", store, *args])

    assert 0 == invoke("ingest", str(INCIDENT)).exit_code
    return invoke


@pytest.mark.parametrize(
    ("typed", "moment"),
    [
        ("now", "2026-11-02T10:30"),
        ("today", "2026-11-02T00:00"),
        ("Yesterday", "2026-11-01T00:00"),
        ("-2h", "2026-11-02T08:30"),
        ("-45min", "2026-11-02T09:45"),
        ("-1w", "2026-10-26T10:30"),
        ("9:05", "2026-11-02T09:05"),
        ("2026-11-01", "2026-11-01T00:00"),
        ("2026-11-01 10:25", "2026-11-01T10:25"),
        ("2026-11-01 10:25 UTC", "2026-11-01T10:25"),
        ("2026-11-01T10:25+01:00", "2026-11-01T09:25"),
    ],
)
def test_informal_times_are_understood(typed: str, moment: str):
    """Words, durations ago, a time of today, a date, and both are accepted; without a zone they are UTC."""
    assert moment == format_instant(typed_time(typed, NOW))[:16]


@pytest.mark.parametrize("typed", ["", "soon", "25:00", "2026-13-01", "-2x", "2026-11-02T", "1030", "-999999w", "Z"])
def test_an_invalid_time_is_refused(run: Run, typed: str):
    """It is a usage error that names the option, and nothing is answered."""
    with pytest.raises(ValueError, match=r"not|must|offset|before"):
        typed_time(typed, NOW)
    refused = run("actions", "--from", typed)
    assert (2, True) == (refused.exit_code, "--from" in refused.stderr)


def test_the_interpretation_of_an_argument_is_printed_on_standard_error(run: Run):
    """A name and a date are resolved with a note on standard error; standard output stays one JSON document."""
    found = run("actions", "--human", "alice", "--tool", "mail", "--from", "2026-11-02", "--json")
    document = json.loads(found.stdout)

    assert ["mail-7", "mail-4", "mail-3"] == [item["action"] for item in document["items"]]
    assert "--human alice is human:alice@example.com" in found.stderr
    assert "--from 2026-11-02 is 2026-11-02T00:00:00.000000Z" in found.stderr


@pytest.mark.parametrize(
    ("asked", "kind", "id_"),
    [
        ("agent:planner", "principal", "agent:planner"),
        ("planner", "principal", "agent:planner"),
        ("alice", "principal", "human:alice@example.com"),
        ("Ng", "principal", "human:alice@example.com"),
        ("mailer-1", "token", "https://idp.example#mailer-1"),
    ],
)
def test_an_unambiguous_id_needs_no_kind(run: Run, asked: str, kind: str, id_: str):
    """An agent is found without its prefix, a person by name, a token by the end of its id."""
    document = json.loads(run("status", asked, "--json").stdout)
    assert (kind, id_) == (document["kind"], document["id"])


def test_an_id_of_several_things_is_refused_with_the_candidates(tmp_path: Path):
    """If the name matches two people, both are named, and nothing is answered."""
    fields = {"type": "principal.registered", "source": "urn:s", "occurred_at": "2026-11-02T09:00:00Z", "kind": "human"}
    people = ["human:sam@a.example", "human:sam@b.example"]
    lines = [json.dumps({**fields, "event_id": one, "principal": one}) for one in people]
    (tmp_path / "people.jsonl").write_text("\n".join(lines))
    store = ["--store", f"sqlite:///{tmp_path}/store.db"]
    CliRunner().invoke(main, [*store, "ingest", str(tmp_path / "people.jsonl")])
    refused = CliRunner().invoke(main, [*store, "status", "sam"])
    filtered = CliRunner().invoke(main, [*store, "actions", "--human", "sam"])

    assert (2, 2) == (refused.exit_code, filtered.exit_code)
    assert [True, True] == [all(one in result.stderr for one in people) for result in (refused, filtered)]


@pytest.mark.parametrize(
    "args",
    [
        ("actions", "--human", ""),
        ("actions", "--tool", " "),
        ("actions", "--text", ""),
        ("actions", "--outcome", "maybe"),
        ("actions", "--from", "2026-11-02", "--to", "2026-11-01"),
        ("actions", "--after", "nonsense"),
        ("actions", "--limit", "0"),
        ("actions", "--of", "nonsense"),
        ("tokens", "--state", "dead"),
        ("tokens", "--holder", ""),
        ("principals", "--kind", "robot"),
        ("search", " "),
    ],
)
def test_an_invalid_filter_is_refused_by_name(run: Run, args: tuple[str, ...]):
    """Nothing is answered, and the message names what is wrong."""
    refused = run(*args)
    assert (2, "") == (refused.exit_code, refused.stdout)
    assert (args[1] if len(args) == 2 else args[-2]).strip("- ") in refused.stderr


def test_a_list_as_csv_has_a_header_and_a_row_for_each_item(run: Run):
    """The header is there even without items; how to continue is on standard error."""
    for command in ("actions", "principals", "tokens", "delegations"):
        whole = json.loads(run(command, "--json").stdout)
        rows = list(csv.DictReader(io.StringIO(run(command, "--csv").stdout)))
        assert whole["total"] == len(rows) > 0
        few = run(command, "--csv", "--limit", "1")
        assert (1, True) == (len(list(csv.DictReader(io.StringIO(few.stdout)))), "--after" in few.stderr)
    empty = run("actions", "--tool", "nosuch", "--csv").stdout
    assert ["occurred_at", "action"] == empty.split(",")[:2]


@pytest.mark.parametrize("id_", ["x" * 512, "é" * 256, "שלום", "日本語", "%_\\", "'; DROP TABLE fact", "*"])
def test_any_id_can_be_asked_for(run: Run, id_: str):
    """Long ids, ids in any script, and ids with special characters find nothing, and the answer says so."""
    for command, option in (("actions", "--human"), ("actions", "--token"), ("tokens", "--holder")):
        found = run(command, option, id_, "--json")
        assert (0, []) == (found.exit_code, json.loads(found.stdout)["items"]), (command, option)
    assert 0 == run("search", id_).exit_code


def test_a_search_finds_words_names_and_tools_and_offers_what_is_near(run: Run):
    """The exact id comes first; words may occur anywhere; a typing mistake gets a suggestion."""
    exact = json.loads(run("search", "agent:mailer", "--json").stdout)["items"]
    named = json.loads(run("search", "ng", "alice", "--json").stdout)["items"]
    tool = json.loads(run("search", "mail.send", "--json").stdout)["items"]
    missed = json.loads(run("search", "alcie", "--json").stdout)

    assert {"kind": "principal", "id": "agent:mailer", "exact": True} == exact[0]
    assert ["human:alice@example.com"] == [item["id"] for item in named]
    assert {"kind": "operation", "id": "mail.send"} in tool
    assert ([], "human:alice@example.com") == (missed["items"], missed["did_you_mean"][0]["id"])


def test_a_search_says_what_it_found(run: Run):
    """Each id has its own line, in the form that commands accept; the next line describes it."""
    lines = run("search", "mailer", "--at", "2026-11-02T10:25:00Z").stdout.splitlines()
    missed = run("search", "alcie").stdout

    token = lines.index("token:https://idp.example#mailer-1")
    assert "    held by agent:mailer for human:alice@example.com (Alice Ng), active," in lines[token + 1]
    assert "Did you mean:\n  principal:human:alice@example.com\n      Alice Ng, human, active\n" in missed
    assert "A search looks at ids, display names, tools, operations and resources." in " ".join(missed.split())


def test_the_overview_says_what_needs_attention(run: Run):
    """It shows findings by severity, worst first, the share of actions with a human, and the activity in each hour."""
    document = json.loads(run("overview", "--at", "2026-11-02T10:25:00Z", "--json").stdout)

    assert ["high", "medium"] == list(document["findings"]["by_severity"])[:2]
    assert (9, 9) == (document["actions"]["looked_at"], document["actions"]["with_human"])
    assert 9 == document["activity"]["total"] == sum(one["facts"] for one in document["activity"]["by_hour"])
    assert document["tokens"]["alive"] <= document["tokens"]["looked_at"] == 13


def test_the_help_lists_every_command_with_its_whole_summary(run: Run):
    """Commands are grouped by what people want to do, and no summary is cut."""
    shown = run("--help").stdout
    assert [True] * 4 == [f"\n{section}:" in shown for section in ("Ask", "Act", "Feed in", "Operate")]
    assert "...\n" not in shown.partition("\nAsk:")[2]
    assert [] == [name for name in main.list_commands(click.Context(main)) if f"\n  {name} " not in shown]


def test_open_refuses_an_unknown_id(run: Run):
    """Nothing is served for an id that no fact names."""
    assert 2 == run("open", "nosuchthing").exit_code
    assert 3 == run("open", "action:nosuchthing").exit_code


def test_ids_are_completed_from_the_store(run: Run, tmp_path: Path):
    """Ids in the store are offered to the shell; without a store nothing is."""
    who = main.get_command(click.Context(main), "who")
    assert who is not None
    store = run.__closure__[0].cell_contents  # type: ignore[attr-defined]
    found = {}
    for url in (store, f"sqlite:///{tmp_path}/none.db"):
        context = click.Context(who, parent=click.Context(main))
        context.params = {"store": url}
        found[url] = [item.value for item in completion.actions(context, who.params[0], "mail-")]

    assert [["mail-3", "mail-4", "mail-7", "mail-8"], []] == list(found.values())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("who", "mail-77"), "No fact names mail-77. Did you mean mail-7, mail-3, mail-4?"),
        (
            ("status", "principal:agent:mailr"),
            "No fact names principal:agent:mailr. Did you mean principal:agent:mailer",
        ),
        (("chain", "token:relay"), "No fact names token:relay. Did you mean principal:service:smtp-relay, "),
        (("who", "zzzzzz"), "No fact names zzzzzz.\n"),
        (("who", "mail-7", "--known-at", "2026-11-01"), "No fact names mail-7.\n"),
        (("who", "mail-77", "mail-78"), "No fact names mail-77.\nNo fact names mail-78.\n"),
    ],
)
def test_an_unknown_id_gets_suggestions(run: Run, words: tuple[str, ...], sentence: str):
    """A single id typed by a person gets suggestions; several ids, and programs, get none."""
    answer = run(*words)

    assert 3 == answer.exit_code
    assert sentence in answer.stderr
    assert "Did you mean" not in run(*words, "--json").stderr


@pytest.mark.parametrize(
    ("command", "option", "typed", "offered"),
    [
        ("actions", "human", "al", ["alice@example.com"]),
        ("actions", "agent", "agent:ma", ["agent:mailer"]),
        ("actions", "tool", "ma", ["mail"]),
        ("actions", "resource", "press", ["press@rival.example"]),
        ("actions", "token", "https://idp.example#mailer", [f"https://idp.example#mailer-{n}" for n in (1, 2)]),
        ("tokens", "holder", "mailer", ["mailer"]),
        ("delegations", "issuer", "human:", ["human:alice@example.com", "human:bob@example.com"]),
        ("principals", "owner", "bob", ["bob@example.com"]),
        ("actions", "tool", "nothing", []),
    ],
)
def test_the_values_of_filters_are_completed(run: Run, command: str, option: str, typed: str, offered: list[str]):
    """Values are offered in the form in which the user began to type them, which the filter accepts."""
    of = main.get_command(click.Context(main), command)
    assert of is not None
    context = click.Context(of, parent=click.Context(main))
    context.params = {"store": run.__closure__[0].cell_contents}  # type: ignore[attr-defined]
    parameter = next(one for one in of.params if one.name == option)

    assert offered == [item.value for item in parameter.shell_complete(context, typed)]


def examples_of(command: click.Command) -> list[list[str]]:
    """Return the examples in the help of a command, as arguments, without shell redirections."""
    lines = [line.strip() for line in re.sub(r"\s*\\\n\s*", " ", command.help or "").splitlines()]
    alone = [re.split(r"\s{3,}| > | \|\|? | && ", line)[0] for line in lines if line.startswith("delegraph ")]
    return [shlex.split(line)[1:] for line in alone]


@pytest.mark.parametrize("name", ASKING)
def test_the_examples_in_the_help_of_a_question_run(
    run: Run, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Each question has examples; each one answers, or names the thing or file that is missing, and none is a usage
    error.
    """
    monkeypatch.chdir(tmp_path)  # where an example writes a file
    command = main.get_command(click.Context(main), name)
    assert command is not None
    examples = examples_of(command)
    found = [(example, run(*example)) for example in examples]
    there_is_not = re.compile(r"no fact names|there is no |not_found|cannot be read", re.IGNORECASE)

    assert examples
    assert [] == [
        (example, answer.output[-200:])
        for example, answer in found
        if answer.exit_code != 0 and (answer.exit_code not in (2, 3) or not there_is_not.search(answer.output))
    ]


# These run until they are stopped, ask a server, or read files of one's own.
NOT_RUN = ("collect", "consume", "deliver", "demo", "fsck", "init", "mcp", "open", "serve", "try", "witness")
OTHERS = sorted({name for _, names in SECTIONS for name in names} - {*ASKING, *NOT_RUN})
IS_MISSING = re.compile(
    "no fact names|there is no |cannot be read|no such file|is not the digest of a plan|no signing key|"
    "no checkpoint covers|no source|is not installed|has 1 records|does not exist",
    re.IGNORECASE,
)


def commands_below(command: click.Command, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield a command and all commands of its group, with their full names."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands_below(below, *path, name)


def named(name: str) -> click.Command:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", OTHERS)
def test_the_examples_in_the_help_of_the_other_commands_run(
    run: Run, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """
    Each command or its group has examples; each one succeeds, or names the thing, file or key that is missing.
    """
    monkeypatch.chdir(tmp_path)
    examples = {tuple(one) for _, command in commands_below(named(name), name) for one in examples_of(command)}
    found = [(example, run(*example)) for example in sorted(examples)]

    assert examples
    assert [] == [
        (example, answer.exit_code, answer.output[-300:])
        for example, answer in found
        if answer.exit_code != 0 and (answer.exit_code == 1 or not IS_MISSING.search(answer.output))
    ]


def test_the_addresses_in_examples_are_those_that_are_served():
    """
    An address of the HTTP API is the default one, and is quoted if it holds what a shell expands.
    """
    sections = {name for _, names in SECTIONS for name in names}
    commands = [command for name in sorted(sections) for _, command in commands_below(named(name), name)]
    found = [line.strip() for one in commands for line in (one.help or "").splitlines() if "http://127" in line]

    assert found
    assert [] == [line for line in found if f"'http://{DEFAULT_LISTEN}/" not in line]


@pytest.mark.parametrize("name", NOT_RUN)
def test_the_options_in_examples_that_are_not_run_exist(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each of their options and arguments exists and accepts the value, and no required one is missing."""
    monkeypatch.chdir(tmp_path)
    command = named(name)
    examples = [words for words in examples_of(command) if words[0] == name]

    assert examples
    for words in examples:
        with command.make_context(name, words[1:], parent=click.Context(main)) as context:
            assert command is context.command
