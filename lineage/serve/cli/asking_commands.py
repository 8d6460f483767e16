"""Commands that find things by what people know about them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from lineage.core.model.times import Instant
from lineage.core.model.vocabulary import ACTION_OUTCOMES
from lineage.serve.cli.asking import one_meant
from lineage.serve.cli.options import AT, KNOWN_AT, TIME, list_options, now, shared_options
from lineage.serve.cli.output import EXIT_NOT_FOUND, Output

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    from lineage.serve.config.wiring import Settings

_FILTERS: Final = (
    ("human", "ID", "Who stands at the root of the chain."),
    ("agent", "ID", "Who stands anywhere on the chain."),
    ("actor", "ID", "Who did it, as the action or its decision says."),
    ("token", "ID", "Under which token."),
    ("delegation", "ID", "A delegation that it names, or of its chain."),
    ("session", "ID", "A session that it names, or a token of its chain."),
    ("client", "ID", "A client that a token of its chain names."),
    ("tool", "NAME", "With which tool."),
    ("operation", "NAME", "What was done."),
    ("resource", "ID", "To what."),
)
_KINDS: Final = {"human": "principal", "agent": "principal", "actor": "principal"}
_PLAIN: Final = frozenset({"tool", "operation", "resource"})


def _filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for name, metavar, help_text in reversed(_FILTERS):
        function = click.option(f"--{name}", metavar=metavar, help=help_text)(function)
    return function


@click.command()
@_filter_options
@click.option("--outcome", type=click.Choice(ACTION_OUTCOMES), help="With which outcome.")
@click.option("--from", "--since", "start", type=TIME, metavar="TIME", help="When it occurred at the earliest.")
@click.option("--to", "--until", "end", type=TIME, metavar="TIME", help="When it occurred at the latest.")
@click.option("--text", metavar="WORDS", help="Words in any of these, or in a display name.")
@click.option("--of", metavar="KIND:ID", help="Only actions that mention this.")
@AT
@KNOWN_AT
@shared_options()
@list_options(100)
def actions(
    settings: "Settings",
    out: Output,
    start: Instant | None,
    end: Instant | None,
    outcome: str | None,
    text: str | None,
    of: str | None,
    at: Instant | None,
    known_at: Instant | None,
    after: str | None,
    limit: int,
    **said: str | None,
) -> None:
    """What was done, the latest first, by what you know of it: for whom, by which agent, with which tool, when.

    \b
      delegraph actions --human alice --tool mail --since -2h
      delegraph actions --agent agent:mailer --outcome denied --json
      delegraph actions --text "rival price list" --from yesterday --csv > found.csv
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.actions import actions as actions_of
    from lineage.serve.text import render_asking

    with opened_service(settings) as service:
        meant = {
            name: value if name in _PLAIN else one_meant(service, value, _KINDS.get(name, name), f"--{name}")
            for name, value in said.items()
            if value is not None
        }
        wanted = _wanted(meant, start, end, outcome, text, of)
        moment = now() if at is None else at
        document = actions_of(service, wanted, at=moment, known_at=known_at, after=after, limit=limit)
        if document is None:
            out.not_found(of or "")
            click.get_current_context().exit(EXIT_NOT_FOUND)
        out.listed(document, render_asking.actions, render_asking.ACTION_COLUMNS)


def _wanted(
    meant: dict[str, str],
    start: Instant | None,
    end: Instant | None,
    outcome: str | None,
    text: str | None,
    of: str | None,
) -> Any:
    from lineage.core.authority.action_filter import ActionFilter
    from lineage.core.model.errors import RefusedError
    from lineage.serve.documents.core_documents import split_of

    for name, value in (*meant.items(), ("text", text)):
        if value is not None and not value.strip():
            raise RefusedError(f"--{name} is empty: leave it out to ask for any")
    if start is not None and end is not None and end < start:
        raise RefusedError("--to is before --from, so nothing can lie between them")
    if of is not None:
        split_of(of)
    return ActionFilter(**meant, start=start, end=end, outcome=outcome, text=text, of=of)
