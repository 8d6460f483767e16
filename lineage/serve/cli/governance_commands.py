"""Governance commands: which agents were active, what one may do, what it held, what it did."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from lineage.core.model.errors import RefusedError
from lineage.core.model.times import Instant
from lineage.serve.cli.options import AT, KNOWN_AT, TIME, list_options, now, shared_options
from lineage.serve.cli.output import EXIT_NOT_FOUND, Document, Output

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    from lineage.serve.config.settings import Settings

_FROM: Final = click.option(
    "--from", "start", type=TIME, metavar="TIME", help="From this instant on. [default: the beginning]"
)
_TO: Final = click.option("--to", "end", type=TIME, metavar="TIME", help="Before this instant. [default: now]")
_AGENT: Final = click.argument("agent")


@click.group()
def governance() -> None:
    """Review agents: which were active, what one could do at an instant, what it held, and what it did.

    \b
      delegraph governance active --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z
      delegraph governance allowed agent:mailer --at 2026-11-02T10:00:00Z
      delegraph governance held agent:mailer --from 2026-11-01T00:00:00Z
      delegraph governance done agent:mailer --json
    """  # noqa: D301


@governance.command()
@_FROM
@_TO
@KNOWN_AT
@shared_options()
@list_options(1000)
def active(
    settings: "Settings",
    out: Output,
    start: Instant | None,
    end: Instant | None,
    known_at: Instant | None,
    after: str | None,
    limit: int,
) -> None:
    """List the agents that acted, or were granted anything, between two instants."""
    from lineage.serve.queries.activity import governance as queries
    from lineage.serve.text import render_governance as render

    between = _between(start, end)
    _answer(
        settings,
        out,
        None,
        "active",
        render.active,
        lambda s: queries.active(s, **between, known_at=known_at, after=after, limit=limit),
    )


@governance.command()
@_AGENT
@AT
@KNOWN_AT
@shared_options()
@list_options(1000)
def allowed(
    settings: "Settings",
    out: Output,
    agent: str,
    at: Instant | None,
    known_at: Instant | None,
    after: str | None,
    limit: int,
) -> None:
    """Show what an agent could do at an instant: its live grants, their effective scopes, where it used them."""
    from lineage.serve.queries.activity import governance as queries
    from lineage.serve.text import render_governance as render

    moment = now() if at is None else at
    _answer(
        settings,
        out,
        agent,
        "allowed",
        render.allowed,
        lambda s: queries.allowed(s, _id(agent), at=moment, known_at=known_at, after=after, limit=limit),
    )


def _between_two(name: str, help_text: str) -> click.Command:
    """Build a command that asks what an agent held or did between two instants."""

    @click.command(name, help=help_text)
    @_AGENT
    @_FROM
    @_TO
    @KNOWN_AT
    @shared_options()
    @list_options(1000)
    def command(
        settings: "Settings",
        out: Output,
        agent: str,
        start: Instant | None,
        end: Instant | None,
        known_at: Instant | None,
        after: str | None,
        limit: int,
    ) -> None:
        from lineage.serve.queries.activity import governance as queries
        from lineage.serve.text import render_governance

        ask, render = {
            "held": (queries.held, render_governance.held),
            "done": (queries.done, render_governance.done),
        }[name]
        between = _between(start, end)
        _answer(
            settings,
            out,
            agent,
            name,
            render,
            lambda s: ask(s, _id(agent), **between, known_at=known_at, after=after, limit=limit),
        )

    return command


_HELD: Final = "The delegations and tokens that an agent held between two instants, and what ended each."
_DONE: Final = "What an agent did between two instants, each with its chain."
governance.add_command(_between_two("held", _HELD))
governance.add_command(_between_two("done", _DONE))


def _id(agent: str) -> str:
    """Return an agent's id, given as such or as ``principal:ID``."""
    return agent.removeprefix("principal:")


def _between(start: Instant | None, end: Instant | None) -> dict[str, Instant]:
    between = {"start": 0 if start is None else start, "end": now() if end is None else end}
    if between["start"] >= between["end"]:
        raise RefusedError("--from must be before --to")
    return between


def _answer(
    settings: "Settings",
    out: Output,
    agent: str | None,
    name: str,
    render: Callable[[Document], Any],
    ask: Callable[[Any], Document | None],
) -> None:
    from lineage.serve.config.wiring import opened_service

    with opened_service(settings) as service:
        document = ask(service)
        if document is None:
            out.not_found(str(agent))
            click.get_current_context().exit(EXIT_NOT_FOUND)
        out.listed(document, render, name)
