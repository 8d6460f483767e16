"""Commands that find things by what people know about them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from lineage.core.model.times import Instant
from lineage.core.model.vocabulary import ACTION_OUTCOMES
from lineage.serve.cli.completion import ids_of
from lineage.serve.cli.completion import principals as principals_offered
from lineage.serve.cli.options import AT, AT_ANY_TIME, KNOWN_AT, TIME, list_options, now, shared_options
from lineage.serve.cli.output import EXIT_NOT_FOUND, Output
from lineage.serve.cli.several_ids import resolved as one_thing
from lineage.serve.cli.several_ids import resolved_id

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    from lineage.serve.config.wiring import Settings
    from lineage.serve.documents.core_documents import Document
    from lineage.serve.queries.service import Service
    from lineage.serve.text.text_page import Page

_FILTERS: Final = (
    ("human", "ID", "The party at the root of the chain."),
    ("agent", "ID", "A party anywhere on the chain."),
    ("actor", "ID", "The party that acted, according to the action or its decision."),
    ("token", "ID", "The token used."),
    ("delegation", "ID", "A delegation that it names, or on its chain."),
    ("session", "ID", "A session that it, or a token on its chain, names."),
    ("client", "ID", "A client that a token on its chain names."),
    ("tool", "NAME", "The tool used."),
    ("operation", "NAME", "The operation."),
    ("resource", "ID", "To what."),
)
_KINDS: Final = {"human": "principal", "agent": "principal", "actor": "principal"}
_PLAIN: Final = frozenset({"tool", "operation", "resource"})


def _filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for name, metavar, help_text in reversed(_FILTERS):
        offered = ids_of(_KINDS.get(name, name))
        function = click.option(f"--{name}", metavar=metavar, help=help_text, shell_complete=offered)(function)
    return function


@click.command()
@_filter_options
@click.option("--outcome", type=click.Choice(ACTION_OUTCOMES), help="The outcome.")
@click.option("--from", "--since", "start", type=TIME, metavar="TIME", help="The earliest time at which it occurred.")
@click.option("--to", "--until", "end", type=TIME, metavar="TIME", help="The latest time at which it occurred.")
@click.option("--text", metavar="WORDS", help="Words in any of these, or in a display name.")
@click.option("--of", metavar="KIND:ID", help="Only actions that mention this.")
@AT
@KNOWN_AT
@shared_options()
@list_options(100, "ocsf", "timesketch", "targets")
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
    **ids: str | None,
) -> None:
    """List actions, latest first, by whatever you know: for whom, by which agent, with which tool, when.

    \b
      delegraph actions --human alice --tool mail --since -2h
      delegraph actions --agent agent:mailer --outcome denied --json
      delegraph actions --text "rival price list" --from yesterday --csv > found.csv
      delegraph actions --from yesterday --format ocsf > api-activity.jsonl
      delegraph actions --from 09:40 --format targets > suspects.txt
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.activity.actions import actions as actions_of
    from lineage.serve.queries.activity.actions import as_ocsf
    from lineage.serve.text import render_asking

    with opened_service(settings) as service:
        resolved = {
            name: value if name in _PLAIN else resolved_id(service, value, _KINDS.get(name, name), f"--{name}")
            for name, value in ids.items()
            if value is not None
        }
        of = None if of is None else _thing(service, of)
        action_filter = _filters(resolved, start, end, outcome, text, of)
        moment = now() if at is None else at
        document = actions_of(service, action_filter, at=moment, known_at=known_at, after=after, limit=limit)
        if document is None:
            out.not_found(of or "")
            click.get_current_context().exit(EXIT_NOT_FOUND)
        if out.form == "ocsf":
            out.exported(as_ocsf(service, document, known_at=known_at), document)
        else:
            out.listed(document, render_asking.actions, "actions")


def _thing(service: "Service", of: str) -> str:
    from lineage.core.model.errors import RefusedError
    from lineage.core.model.keys import KINDS

    try:
        return ":".join(one_thing(service, of, KINDS))
    except RefusedError as fault:
        raise RefusedError(f"--of: {fault}") from fault


def _filters(
    resolved: dict[str, str],
    start: Instant | None,
    end: Instant | None,
    outcome: str | None,
    text: str | None,
    of: str | None,
) -> Any:
    from lineage.core.authority.action_filter import ActionFilter
    from lineage.core.model.errors import RefusedError

    _refuse_empty(**resolved, text=text)
    if start is not None and end is not None and end < start:
        raise RefusedError("--to is before --from, so nothing can lie between them")
    return ActionFilter(**resolved, start=start, end=end, outcome=outcome, text=text, of=of)


_OWNER: Final = click.option(
    "--owner", metavar="ID", help="The owner of the principal, or of the holder.", shell_complete=principals_offered
)
_WORDS: Final = click.option("--text", metavar="WORDS", help="Words in an id or a name.")
_HOLDER: Final = click.option("--holder", metavar="ID", help="The holder.", shell_complete=principals_offered)
_STATES: Final = ("revoked", "cascaded", "expired", "suspended", "unknown", "not_yet_valid", "active")
_STATE: Final = click.option("--state", type=click.Choice(_STATES), help="The state at --at.")


@click.command()
@click.option("--kind", type=click.Choice(("human", "agent", "service", "workload", "unknown")), help="The kind.")
@_OWNER
@click.option("--state", type=click.Choice(("active", "suspended", "revoked")), help="The state at --at.")
@_WORDS
@AT
@KNOWN_AT
@shared_options()
@list_options(100, "targets")
def principals(
    settings: "Settings",
    out: Output,
    kind: str | None,
    owner: str | None,
    state: str | None,
    text: str | None,
    at: Instant | None,
    known_at: Instant | None,
    after: str | None,
    limit: int,
) -> None:
    """List people, agents, services and workloads, with owner, state and number of active tokens.

    \b
      delegraph principals --kind agent
      delegraph principals --owner alice --state active --csv
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.inventory.inventory import PrincipalFilter
    from lineage.serve.queries.inventory.inventory import principals as principals_of
    from lineage.serve.text import render_asking

    _refuse_empty(owner=owner, text=text)
    with opened_service(settings) as service:
        if owner is not None:
            owner = resolved_id(service, owner, "principal", "--owner")
        filters = PrincipalFilter(kind, owner, state, text)
        moment = now() if at is None else at
        document = principals_of(service, filters, at=moment, known_at=known_at, after=after, limit=limit)
        out.listed(document, render_asking.principals, "principals")


@click.command()
@_HOLDER
@click.option("--issuer", metavar="URL", help="The issuer: the id up to the first #.")
@click.option("--kind", metavar="TYPE", help="The type of the token.")
@_OWNER
@_STATE
@_WORDS
@AT
@KNOWN_AT
@shared_options()
@list_options(100, "targets")
def tokens(settings: "Settings", out: Output, **filters: Any) -> None:
    """List tokens, latest first: who holds each, for whom, its state, and when it was last used.

    \b
      delegraph tokens --holder mailer --state active
      delegraph tokens --issuer https://idp.example --json
      delegraph tokens --holder mailer --state active --format targets > suspects.txt
    """  # noqa: D301
    _held(settings, out, "token", **filters)


@click.command()
@_HOLDER
@click.option("--issuer", metavar="ID", help="The party that granted it.", shell_complete=principals_offered)
@_OWNER
@_STATE
@_WORDS
@AT
@KNOWN_AT
@shared_options()
@list_options(100, "targets")
def delegations(settings: "Settings", out: Output, **filters: Any) -> None:
    """List delegations, latest first: who granted each to whom, and its state.

    \b
      delegraph delegations --issuer alice
      delegraph delegations --holder agent:planner --state active
    """  # noqa: D301
    _held(settings, out, "delegation", kind=None, **filters)


def _held(
    settings: "Settings",
    out: Output,
    sort: str,
    *,
    holder: str | None,
    issuer: str | None,
    kind: str | None,
    owner: str | None,
    state: str | None,
    text: str | None,
    at: Instant | None,
    known_at: Instant | None,
    after: str | None,
    limit: int,
) -> None:
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.inventory.inventory import ElementFilter, held
    from lineage.serve.text import render_asking

    _refuse_empty(holder=holder, issuer=issuer, kind=kind, owner=owner, text=text)
    with opened_service(settings) as service:
        people = {"holder": holder, "owner": owner} | ({"issuer": issuer} if sort == "delegation" else {})
        resolved = {
            name: None if value is None else resolved_id(service, value, "principal", f"--{name}")
            for name, value in people.items()
        }
        filters = ElementFilter(kind=kind, state=state, text=text, **{"issuer": issuer, **resolved})
        moment = now() if at is None else at
        document = held(service, sort, filters, at=moment, known_at=known_at, after=after, limit=limit)
        if sort == "token":
            out.listed(document, render_asking.tokens, "tokens")
        else:
            out.listed(document, render_asking.delegations, "delegations")


def _refuse_empty(**filters: str | None) -> None:
    from lineage.core.model.errors import RefusedError

    for name, value in filters.items():
        if value is not None and not value.strip():
            raise RefusedError(f"--{name} is empty: leave it out to ask for any")


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="TEXT...")
@AT_ANY_TIME
@KNOWN_AT
@shared_options()
@list_options(1000)
def search(
    settings: "Settings",
    out: Output,
    words: tuple[str, ...],
    at: Instant | None,
    known_at: Instant | None,
    after: str | None,
    limit: int,
) -> None:
    """Find ids, names, tools, operations and resources that contain every word of a text. An exact id comes first.

    Below each a line says what it is: who, when, in which state; of a tool, an operation or a resource its last use.

    \b
      delegraph search mailer
      delegraph search alice ng
      delegraph search mailer --known-at 2026-11-02T10:00:00Z
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.inventory.descriptions import descriptions
    from lineage.serve.queries.inventory.search import search as search_of
    from lineage.serve.text import render_search

    with opened_service(settings) as service:
        found = search_of(service, " ".join(words), at=at, known_at=known_at, after=after, limit=limit)

        def render(document: "Document") -> "Page":
            things = [*document["items"], *document["did_you_mean"]]
            moment = now() if at is None else at
            described = descriptions(service, things, at=moment, until=at, known_at=known_at)
            return render_search.search(document, described)

        out.listed(found, render, "search")


@click.command()
@AT
@KNOWN_AT
@shared_options()
def overview(settings: "Settings", out: Output, at: Instant | None, known_at: Instant | None) -> None:
    """Show what needs attention: findings, open revocations, quarantine, silent sources; and how much happens.

    \b
      delegraph overview
      delegraph overview --at yesterday --json
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.overviews.attention import attention
    from lineage.serve.text import render_asking

    with opened_service(settings) as service:
        document = attention(service, at=now() if at is None else at, known_at=known_at)
        out.document(document, render_asking.overview)
