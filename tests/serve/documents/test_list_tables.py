"""Lists as CSV: every field has a column, no cell is a formula, nothing is lost, and a truncated table says so."""

import csv
import io
import json
import typing
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import is_typeddict

from lineage.serve.cli.main import main
from lineage.serve.documents.csv_table import cell, csv_text
from lineage.serve.documents.list_columns import COLUMNS
from lineage.serve.http.openapi import schemas
from tests.support.places import INCIDENT

LEAKED = "token:https://idp.example#mailer-1"
SCHEMAS: dict[str, Any] = {
    "actions": schemas.ListedAction,
    "principals": schemas.ListedPrincipal,
    "tokens": schemas.ListedToken,
    "delegations": schemas.ListedDelegation,
    "search": schemas.Match,
    "timeline": schemas.Mention,
    "uses": schemas.Use,
    "diff": schemas.Change,
    "quarantine": schemas.Quarantined,
    "conflicts": schemas.Conflict,
    "revocations": schemas.BoardEntry,
    "receipt": schemas.ReceiptLine,
    "active": schemas.ActiveAgent,
    "allowed": schemas.AllowedGrant,
    "held": schemas.HeldGrant,
    "done": schemas.DoneAction,
}
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a function that runs a command over a store with the incident and an order."""
    store = f"sqlite:///{tmp_path_factory.mktemp('tables')}/store.db"

    def invoke(*args: str) -> Result:
        return CliRunner().invoke(main, ["--store", store, *args])

    assert 0 == invoke("ingest", str(INCIDENT)).exit_code
    ordered = invoke("revoke", LEAKED, "--reason", "compromise", "--by", "human:ir", "--id", "rev-1", "--execute")
    assert 0 == ordered.exit_code, ordered.output
    return invoke


def rows_of(result: Result) -> list[dict[str, str]]:
    assert 0 == result.exit_code, result.output
    return list(csv.DictReader(io.StringIO(result.stdout, newline="")))


def fields_of(schema: Any) -> Iterator[str]:
    """Return the fields of a document, and those of its inner documents that have a column each."""
    for name, kind in typing.get_type_hints(schema).items():
        choices = () if typing.get_origin(kind) is list else typing.get_args(kind)
        inside = [one for one in (kind, *choices) if is_typeddict(one)]
        nested = [f"{name}.{field}" for one in inside for field in typing.get_type_hints(one)]
        yield from nested or [name]


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_field_of_an_item_has_a_column(name: str):
    """This test fails for a field that is added to a list without a column."""
    assert set(fields_of(SCHEMAS[name])) <= set(COLUMNS[name])


@given(value=st.text(st.sampled_from("=+-@\t\r\n'\"a,; ＝"), max_size=6))  # noqa: RUF001 (fullwidth)
def test_a_cell_is_not_a_formula_and_keeps_its_value(value: str):
    """A cell that a spreadsheet would calculate begins with an apostrophe; without it the value is unchanged."""
    [row] = csv.DictReader(io.StringIO(csv_text(["a"], [{"a": value}]) if value else "a\r\n''\r\n", newline=""))
    result = row["a"] if value else ""

    assert not result.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝"))  # noqa: RUF001
    assert value == (result.removeprefix("'"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (True, "true"),
        (-3, "-3"),
        (["x", "y"], "x; y"),
        (["x;y", "z"], '["x;y","z"]'),
        (["=1", "y"], "'=1; y"),
        ({"a": "=1"}, '{"a":"=1"}'),
        ([{"a": 1}], '[{"a":1}]'),
    ],
)
def test_a_value_is_a_cell(value: object, shown: str):
    """Numbers stay numbers, and a list that contains a semicolon is JSON."""
    assert shown == cell(value)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("actions", ("actions",)),
        ("principals", ("principals",)),
        ("tokens", ("tokens",)),
        ("delegations", ("delegations",)),
        ("search", ("search", "mail")),
        ("timeline", ("timeline", LEAKED)),
        ("uses", ("uses", LEAKED)),
        ("diff", ("diff", LEAKED, "--from", "2026-11-02T08:00:00Z", "--to", "now")),
        ("quarantine", ("quarantine",)),
        ("conflicts", ("conflicts",)),
        ("revocations", ("revocations",)),
        ("receipt", ("receipt", "rev-1")),
        ("receivers", ("receiver", "list")),
        ("api_tokens", ("token", "list")),
        ("sources", ("sources",)),
        ("active", ("governance", "active")),
        ("allowed", ("governance", "allowed", "agent:mailer", "--at", "2026-11-02T10:00:00Z")),
        ("held", ("governance", "held", "agent:mailer")),
        ("done", ("governance", "done", "agent:mailer")),
    ],
)
def test_every_list_is_a_table_with_a_row_for_each_item(run: Run, name: str, command: tuple[str, ...]):
    """An empty list is a header alone."""
    rows = rows_of(run(*command, "--csv"))
    document = [json.loads(line) for line in run(*command, "--json").stdout.splitlines()]
    items = document if name == "receipt" else document[0]["items"]

    assert list(COLUMNS[name]) == run(*command, "--format", "csv").stdout.splitlines()[0].split(",")
    assert len(items) == len(rows)
    first = next(column for column in COLUMNS[name] if "." not in column)
    assert [cell(item.get(first)) for item in items] == [row[first] for row in rows]


@pytest.mark.parametrize(
    "command", [("actions",), ("timeline", LEAKED), ("uses", LEAKED), ("governance", "done", "agent:mailer")]
)
def test_a_truncated_table_says_so(run: Run, command: tuple[str, ...]):
    """Standard output has the table alone; standard error says how to continue."""
    few, whole = run(*command, "--csv", "--limit", "1"), run(*command, "--csv")

    assert (1, True) == (len(rows_of(few)), "there are more" in few.stderr)
    assert (True, "") == (len(rows_of(whole)) > 1, whole.stderr)


def test_the_pages_of_a_timeline_add_up_to_the_whole(run: Run):
    """``--after`` continues where the previous page ended."""
    whole = json.loads(run("timeline", LEAKED, "--json").stdout)["items"]
    pages, after = [], ()
    while True:
        page = json.loads(run("timeline", LEAKED, "--limit", "2", *after, "--json").stdout)
        pages += page["items"]
        if page["next"] is None:
            break
        after = ("--after", page["next"])

    assert (True, whole) == (len(whole) > 2, pages)


@pytest.mark.parametrize("command", ["timeline", "uses", "diff"])
def test_a_table_is_about_one_thing(run: Run, command: str):
    """Two tables below each other would not be a valid file, and a cursor belongs to one list."""
    more = ("--from", "now", "--to", "now") if command == "diff" else ()
    found = [run(command, LEAKED, "token:x", *more, "--csv"), run(command, "-", *more, "--csv")]
    if command != "diff":
        found.append(run(command, LEAKED, "token:x", "--after", "1.2.ab"))

    assert [(2, True)] * len(found) == [(one.exit_code, "name one id" in one.output) for one in found]
