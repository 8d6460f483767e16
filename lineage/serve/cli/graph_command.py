"""``delegraph graph``: what depends on what, or who handed what to whom, as a table, a document or a picture."""

from typing import TYPE_CHECKING

import click

from lineage.core.model.errors import RefusedError
from lineage.core.model.times import Instant
from lineage.serve.cli.options import AT, FORMAT, KNOWN_AT, now, shared_options
from lineage.serve.cli.output import Output

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    from lineage.serve.config.wiring import Settings
    from lineage.serve.queries.service import Service


@click.command()
@click.option("--view", type=click.Choice(["elements", "principals"]), help="[default: elements with --of]")
@click.option("--of", metavar="KIND:ID", help="Only what surrounds this.")
@AT
@KNOWN_AT
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="human, agent, service, workload; repeatable.")
@click.option("--state", "states", multiple=True, metavar="STATE", help="Only what is in this state; repeatable.")
@click.option("--tool", metavar="TOOL", help="Only what this tool was used under, and what that depends on.")
@click.option("--target", "laid_over", metavar="KIND:ID", help="Mark what a revocation of this would end.")
@click.option("--most", type=click.IntRange(1, 500), default=500, show_default=True, help="Nodes at most.")
@FORMAT
@shared_options()
def graph(
    settings: "Settings",
    out: Output,
    view: str | None,
    of: str | None,
    at: Instant | None,
    known_at: Instant | None,
    kinds: tuple[str, ...],
    states: tuple[str, ...],
    tool: str | None,
    laid_over: str | None,
    most: int,
    format_: str,
) -> None:
    """Show who delegated what to whom, as a graph of people and agents; or the dependencies around one thing.

    \b
      delegraph graph --view principals
      delegraph graph --view principals --of principal:human:alice@example.com --state active
      delegraph graph --view principals --target token:https://idp.example#mailer-1 --format svg > radius.svg
      delegraph graph --of token:https://idp.example#mailer-1 --format mermaid
    """  # noqa: D301
    from lineage.core.model.keys import split_of
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.documents.core_documents import Document
    from lineage.serve.queries.graphs.graph_view import graph as elements_of
    from lineage.serve.queries.graphs.principals_drawn import Shown
    from lineage.serve.queries.graphs.principals_view import principals_view
    from lineage.serve.text import render_graph

    around, target = (None if value is None else split_of(value) for value in (of, laid_over))
    is_of_principals = view == "principals" or (view is None and of is None)
    if not is_of_principals and (kinds or states or tool or laid_over):
        raise RefusedError("--kind, --state, --tool and --target are for --view principals")
    if not is_of_principals and of is None:
        raise RefusedError("--of is missing: name what the graph is drawn around, such as --of token:ID")
    moment = now() if at is None else at

    def ask(service: "Service") -> Document | None:
        if is_of_principals:
            shown = Shown(of=around, kinds=kinds, states=states, tool=tool, target=target, most=most)
            return principals_view(service, shown, at=moment, known_at=known_at)
        assert around is not None  # noqa: S101 (refused above)
        return elements_of(service, *around, at=moment, known_at=known_at, most=most)

    with opened_service(settings) as service:
        document = ask(service)
    if document is None:
        out.not_found(of or laid_over or "")
        out.finish()
        return
    render = render_graph.principals if is_of_principals else render_graph.elements
    out.written_as(format_).document(document, render)
