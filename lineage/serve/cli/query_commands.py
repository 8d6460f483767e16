"""Query commands: who, chain, status, reach, and all other lookups."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from lineage.core.model.times import Instant
from lineage.serve.cli import completion
from lineage.serve.cli.options import (
    AT,
    FORMAT,
    KNOWN_AT,
    STALE,
    TIME,
    TargetOptions,
    list_options,
    proposal_of,
    shared_options,
    table_options,
    target_options,
)
from lineage.serve.cli.output import Document, Output
from lineage.serve.cli.several_ids import answer_each, answer_each_of, one_list, one_picture

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    from lineage.serve.config.wiring import Settings
    from lineage.serve.queries.service import Service


@click.command()
@click.argument("actions", nargs=-1, required=True, metavar="ACTION...", shell_complete=completion.actions)
@AT
@KNOWN_AT
@FORMAT
@shared_options()
def who(
    settings: "Settings",
    out: Output,
    actions: tuple[str, ...],
    at: Instant | None,
    known_at: Instant | None,
    format_: str,
) -> None:
    """Show who stood behind an action: human, agents, tokens, hop by hop; the state then and now; the gaps.

    \b
      delegraph who mail-7
      delegraph who mail-7 --at 2026-11-02T10:00:00Z --json
      delegraph who mail-7 --format svg > mail-7.svg
      cut -f1 suspicious.tsv | delegraph who -
    """  # noqa: D301
    from lineage.serve.text import render_chain

    answer_each(
        settings,
        one_picture(out, actions, format_),
        actions,
        at,
        lambda doc: render_chain.who(doc, at=at),
        lambda service, asked, when: service.who(asked, at=when, known_at=known_at),
    )


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="KIND:ID...", shell_complete=completion.things)
@AT
@KNOWN_AT
@FORMAT
@shared_options()
def chain(
    settings: "Settings",
    out: Output,
    ids: tuple[str, ...],
    at: Instant | None,
    known_at: Instant | None,
    format_: str,
) -> None:
    """Show who stood behind a token or a delegation.

    \b
      delegraph chain token:https://idp.example#4711
    """  # noqa: D301
    from lineage.serve.text import render_chain

    answer_each_of(
        settings,
        one_picture(out, ids, format_),
        ids,
        at,
        lambda doc: render_chain.chain(doc, at=at),
        lambda s, kind, id_, when: s.chain(kind, id_, at=when, known_at=known_at),
    )


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="KIND:ID...", shell_complete=completion.things)
@AT
@KNOWN_AT
@shared_options()
def status(
    settings: "Settings", out: Output, ids: tuple[str, ...], at: Instant | None, known_at: Instant | None
) -> None:
    """Show the state of a token, delegation, principal, workload, session or client, and what caused it.

    \b
      delegraph status token:t1 principal:agent:planner
    """  # noqa: D301
    from lineage.serve.text import render_chain

    answer_each_of(
        settings,
        out,
        ids,
        at,
        render_chain.status,
        lambda s, kind, id_, when: s.status(kind, id_, at=when, known_at=known_at),
    )


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="KIND:ID...", shell_complete=completion.things)
@AT
@KNOWN_AT
@target_options
@STALE
@shared_options()
def reach(
    settings: "Settings",
    out: Output,
    ids: tuple[str, ...],
    at: Instant | None,
    known_at: Instant | None,
    stale: bool,
    how: TargetOptions,
) -> None:
    """Preview a revocation: what would end if it were given at --at (the blast radius).

    \b
      delegraph reach token:t1
      delegraph reach principal:agent:planner --mode suspend
    """  # noqa: D301
    from lineage.serve.queries.activity.uses import findings_about
    from lineage.serve.text import render_chain

    def plan(service: "Service", kind: str, id_: str, when: Instant) -> Document | None:
        doc = service.reach(proposal_of(kind, id_, when, how), known_at=known_at, stale=stale)
        return doc and {**doc, **findings_about(service, kind, id_, when, known_at)}

    answer_each_of(settings, out, ids, at, lambda doc: render_chain.plan(doc, **asdict(how)), plan)


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="token:ID...", shell_complete=completion.things)
@AT
@KNOWN_AT
@shared_options()
@list_options(None)
def uses(
    settings: "Settings",
    out: Output,
    ids: tuple[str, ...],
    at: Instant | None,
    known_at: Instant | None,
    after: str | None,
    limit: int | None,
) -> None:
    """List the uses of a token, earliest first: where, when, and by whom (compared with its holder).

    \b
      delegraph uses token:https://idp.example#mailer-1
      delegraph uses token:https://idp.example#mailer-1 --csv > uses.csv
    """  # noqa: D301
    from lineage.serve.queries.activity.uses import uses as uses_of
    from lineage.serve.queries.lists.list_pages import of_limit
    from lineage.serve.text import render_chain

    answer_each_of(
        settings,
        out,
        one_list(out, ids, after),
        at,
        render_chain.uses,
        lambda s, kind, id_, when: uses_of(
            s, kind, id_, at=when, known_at=known_at, after=after, limit=limit, budget=of_limit(limit)
        ),
        table="uses",
    )


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="KIND:ID...", shell_complete=completion.things)
@KNOWN_AT
@shared_options()
@list_options(None, "timesketch")
def timeline(
    settings: "Settings",
    out: Output,
    ids: tuple[str, ...],
    known_at: Instant | None,
    after: str | None,
    limit: int | None,
) -> None:
    """List every fact that mentions a thing, earliest first.

    \b
      delegraph timeline principal:agent:planner
      delegraph timeline token:https://idp.example#mailer-1 --json
      delegraph timeline principal:agent:mailer --format timesketch > mailer.jsonl
    """  # noqa: D301
    from lineage.core.model.keys import KINDS
    from lineage.serve.queries.history.timeline import timeline as timeline_of
    from lineage.serve.queries.lists.list_pages import of_limit
    from lineage.serve.text import render_chain

    answer_each_of(
        settings,
        out,
        one_list(out, ids, after),
        None,
        render_chain.timeline,
        lambda s, kind, id_, _: timeline_of(
            s, kind, id_, known_at=known_at, after=after, limit=limit, budget=of_limit(limit)
        ),
        KINDS,
        "timeline",
    )


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="KIND:ID...", shell_complete=completion.things)
@click.option("--from", "start", type=TIME, required=True, metavar="TIME", help="The first instant.")
@click.option("--to", "end", type=TIME, required=True, metavar="TIME", help="The second instant.")
@KNOWN_AT
@shared_options()
@table_options()
def diff(
    settings: "Settings", out: Output, ids: tuple[str, ...], start: Instant, end: Instant, known_at: Instant | None
) -> None:
    """List what changed state between two instants: a thing, and everything that depends on it.

    \b
      delegraph diff principal:agent:planner --from 2026-11-02T09:00:00Z --to now
    """  # noqa: D301
    from lineage.serve.queries.history.diff import diff as diff_of
    from lineage.serve.text import render_chain

    answer_each_of(
        settings,
        out,
        one_list(out, ids),
        None,
        render_chain.diff,
        lambda s, kind, id_, _: diff_of(s, kind, id_, start=start, end=end, known_at=known_at),
        table="diff",
    )


@click.command()
@shared_options()
@table_options()
def conflicts(settings: "Settings", out: Output) -> None:
    """List identities (source, event id) under which different contents were sent; all contents count.

    \b
      delegraph conflicts --json
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.records.quarantine_and_conflicts import conflicts as conflicts_of
    from lineage.serve.text import render_chain

    with opened_service(settings) as service:
        out.listed(conflicts_of(service), render_chain.conflicts, "conflicts")
