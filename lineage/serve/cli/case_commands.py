"""Commands for cases: what belongs to one incident, and its assignee."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from lineage.core.model.errors import RefusedError
from lineage.core.model.times import Instant
from lineage.core.model.vocabulary import CASE_ITEM_KINDS
from lineage.serve.cli.options import AT, KNOWN_AT, list_options, now, shared_options
from lineage.serve.cli.output import Document, Output

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    from lineage.core.model.events import CaseItem
    from lineage.serve.config.settings import Settings
    from lineage.serve.queries.service import Service

_BY: Final = click.option("--by", required=True, metavar="PRINCIPAL", help="Who does it, such as human:you.")
_NOTE: Final = click.option("--note", metavar="TEXT", help="A remark for people.")
_VERSION: Final = click.option(
    "--if-version", "version", metavar="VERSION", help="Only if the case still has this version (its `version`)."
)
_SOURCE: Final = click.option("--source", metavar="URI", help="The source to send it under. [env: DELEGRAPH_SOURCE]")
_RANGES: Final = click.option(
    "--actions", "ranges", multiple=True, metavar="FILTERS", help="A range of actions, as a query string; repeatable."
)


@click.group("case")
def case_() -> None:
    """Collect what belongs to one incident in a case, and assign it.

    \b
      delegraph case open 'Leaked token of the mailer' token:https://idp.example#mailer-1 --by human:you
      delegraph case add case-20261102-7c1f9a22 action:mail-7 --by human:you
      delegraph case add case-20261102-7c1f9a22 --actions 'agent=agent:mailer&from=2026-11-02T09:40:00Z' --by human:you
      delegraph case show case-20261102-7c1f9a22
      delegraph case export case-20261102-7c1f9a22 --format html --out case.html
    """  # noqa: D301


@case_.command("open")
@click.argument("title")
@click.argument("items", nargs=-1, metavar="[KIND:ID]...")
@_RANGES
@_BY
@click.option("--assign", "assignee", metavar="PRINCIPAL", help="The assignee.")
@_NOTE
@click.option("--id", "case", metavar="ID", help="The id of the case. [default: generated]")
@_SOURCE
@shared_options()
def open_(
    settings: "Settings",
    out: Output,
    title: str,
    items: tuple[str, ...],
    ranges: tuple[str, ...],
    by: str,
    assignee: str | None,
    note: str | None,
    case: str | None,
    **_from_settings: str | None,  # read from the settings
) -> None:
    """Open a case, with its first items if you name any."""
    from lineage.serve.commands.cases import open_case
    from lineage.serve.text import render_cases

    def do(service: "Service") -> Document:
        chosen = _items(service, items, ranges)
        return open_case(service, by=by, title=title, items=chosen, assignee=assignee, note=note, case=case)

    _done(settings, out, do, render_cases.changed)


def _changing(change: str, help_text: str) -> click.Command:
    """Build a command that adds items to a case, or removes them."""

    @click.command(help=help_text)
    @click.argument("case")
    @click.argument("items", nargs=-1, metavar="[KIND:ID]...")
    @_RANGES
    @_BY
    @_NOTE
    @_SOURCE
    @shared_options()
    def command(
        settings: "Settings",
        out: Output,
        case: str,
        items: tuple[str, ...],
        ranges: tuple[str, ...],
        by: str,
        note: str | None,
        **_from_settings: str | None,  # read from the settings
    ) -> None:
        _changed(settings, out, case, change, items, ranges, by=by, note=note)

    return command


_ADDS = "Add items: actions, tokens, delegations, principals, findings, revocations, or a range of actions."
case_.add_command(_changing("added", _ADDS), "add")
case_.add_command(_changing("removed", "Remove items. That they were in the case stays in its history."), "remove")


@case_.command()
@click.argument("case")
@click.argument("text")
@_BY
@_SOURCE
@shared_options()
def note(settings: "Settings", out: Output, case: str, text: str, by: str, **_from_settings: str | None) -> None:
    """Write a note."""
    _changed(settings, out, case, "noted", by=by, note=text)


@case_.command()
@click.argument("case")
@click.argument("assignee", required=False)
@_BY
@_NOTE
@_VERSION
@_SOURCE
@shared_options()
def assign(
    settings: "Settings",
    out: Output,
    case: str,
    assignee: str | None,
    by: str,
    note: str | None,
    version: str | None,
    **_from_settings: str | None,  # read from the settings
) -> None:
    """Assign the case; without ASSIGNEE, remove the assignee."""
    _changed(settings, out, case, "assigned", by=by, note=note, version=version, assignee=assignee)


def _settling(change: str, help_text: str) -> click.Command:
    """Build a command that closes or reopens a case."""

    @click.command(help=help_text)
    @click.argument("case")
    @_BY
    @click.option("--reason", required=True, metavar="TEXT", help="Why, in a sentence.")
    @_VERSION
    @_SOURCE
    @shared_options()
    def command(
        settings: "Settings",
        out: Output,
        case: str,
        by: str,
        reason: str,
        version: str | None,
        **_from_settings: str | None,  # read from the settings
    ) -> None:
        _changed(settings, out, case, change, by=by, note=reason, version=version)

    return command


case_.add_command(_settling("closed", "Close a case when no more work is needed."), "close")
case_.add_command(_settling("reopened", "Reopen a closed case."), "reopen")


@case_.command()
@click.argument("case")
@AT
@KNOWN_AT
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Items on one page.")
@click.option("--after", metavar="NEXT", help="Continue after a page: its `next`.")
@shared_options()
def show(
    settings: "Settings",
    out: Output,
    case: str,
    at: Instant | None,
    known_at: Instant | None,
    limit: int,
    after: str | None,
) -> None:
    """Show a case: its items with their present state, and who changed what and when."""
    from lineage.serve.queries.cases.cases import case as case_of
    from lineage.serve.text import render_cases

    def ask(service: "Service") -> Document | None:
        moment = now() if at is None else at
        return case_of(service, case, at=moment, known_at=known_at, limit=limit, after=after)

    _done(settings, out, ask, render_cases.case, case)


@case_.command("list")
@click.option("--status", type=click.Choice(("open", "closed")), help="Only open or closed ones.")
@click.option("--assignee", metavar="PRINCIPAL", help="Only those assigned to this person.")
@click.option("--of", metavar="KIND:ID", help="Only those that contain this.")
@KNOWN_AT
@shared_options()
@list_options(100)
def list_(
    settings: "Settings",
    out: Output,
    status: str | None,
    assignee: str | None,
    of: str | None,
    known_at: Instant | None,
    limit: int,
    after: str | None,
) -> None:
    """List the cases, latest first: by id backwards, since generated ids begin with the day."""
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.cases.cases import CaseFilter, cases
    from lineage.serve.text import render_cases

    with opened_service(settings) as service:
        filters = CaseFilter(status, assignee, of)
        out.listed(cases(service, filters, known_at=known_at, after=after, limit=limit), render_cases.listed, "cases")


@case_.command()
@click.argument("case")
@AT
@KNOWN_AT
@click.option("--format", "format_", type=click.Choice(("html", "json")), default="json", help="How it is written.")
@click.option("--out", "file", type=click.Path(path_type=Path), metavar="FILE", help="[default: standard output]")
@shared_options()
def export(
    settings: "Settings",
    out: Output,
    case: str,
    at: Instant | None,
    known_at: Instant | None,
    format_: str,
    file: Path | None,
) -> None:
    """Export a case with every event that its statements rest on, so that each can be checked.

    \b
      delegraph case export INC-1 --format html --out case.html
      delegraph case export INC-1 --format json --out case.json

    With a signing key (signing_key_file) the export is signed.
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.documents.case_report import case_as_html
    from lineage.serve.queries.cases.case_export import export_case

    with opened_service(settings) as service:
        moment = now() if at is None else at
        document = export_case(
            service,
            case,
            at=moment,
            known_at=known_at,
            keys=settings.read_keys(),
            origin=settings.evidence_origin,
        )
    if document is None:
        out.no_case(case)
        out.finish()
        return
    text = case_as_html(document) if format_ == "html" else json.dumps(document, ensure_ascii=False) + "\n"
    if file is None:
        click.echo(text.encode(errors="replace"), nl=False)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RefusedError(f"{file} cannot be written: {error.strerror}; name another file with --out") from error
    items, events = len(document["export"]["items"]), len(document["export"]["events"])
    summary = {"case": case, "file": str(file), "sha256": document["sha256"], "items": items, "events": events}
    out.document(summary, _exported)


def _exported(doc: Document) -> str:
    """Report where an export was written."""
    return (
        f"{doc['file']} has {doc['items']:,} items and {doc['events']:,} events; SHA-256 of the export {doc['sha256']}."
    )


def _changed(
    settings: "Settings",
    out: Output,
    case: str,
    change: str,
    items: Sequence[str] = (),
    ranges: Sequence[str] = (),
    **more: Any,
) -> None:
    """Change a case and print it in brief."""
    from lineage.serve.commands.cases import change_case
    from lineage.serve.text import render_cases

    def do(service: "Service") -> Document | None:
        return change_case(service, case, change, items=_items(service, items, ranges), **more)

    _done(settings, out, do, render_cases.changed, case)


def _done(
    settings: "Settings",
    out: Output,
    do: "Callable[[Service], Document | None]",
    render: Callable[[Document], Any],
    case: str = "",
) -> None:
    """Print what a command on a case returns; report a case or items that do not exist."""
    from lineage.serve.commands.cases import UnknownItemsError
    from lineage.serve.config.wiring import opened_service

    with opened_service(settings) as service:
        try:
            document = do(service)
        except UnknownItemsError as fault:
            for key in fault.items:
                out.not_found(key)
            if not out.as_json:
                click.echo("Nothing was changed.", err=True)
        else:
            if document is None:
                out.no_case(case)
            else:
                out.document(document, render)
    out.finish()


def _items(service: "Service", items: Sequence[str], ranges: Sequence[str]) -> "list[CaseItem]":
    from lineage.core.cases.case import RANGE
    from lineage.core.model.events import CaseItem
    from lineage.serve.cli.several_ids import resolved
    from lineage.serve.queries.inventory.resolving import THINGS

    found = []
    for typed in items:
        kind, _, id_ = typed.partition(":")
        if id_ and kind in (*CASE_ITEM_KINDS, "workload"):
            found.append(CaseItem(kind, id_))
        elif not id_ and typed.startswith("F-"):
            found.append(CaseItem("finding", typed))
        else:
            found.append(CaseItem(*resolved(service, typed, (*THINGS, "action"))))
    return [*found, *(CaseItem(RANGE, filters) for filters in ranges)]
