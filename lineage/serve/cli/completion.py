"""Completion of ids in the shell: what the store knows that begins with what was typed. Never an error, never slow."""

from collections.abc import Callable
from typing import Final

import click
from click.shell_completion import CompletionItem

_OFFERED: Final = 50


def things(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Offer things as ``KIND:ID``, or by their ids alone."""
    return [CompletionItem(id_) for id_ in _offered(ctx, incomplete, None)]


def ids_of(kind: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Build a function that offers the ids of a kind."""

    def offer(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
        return [CompletionItem(id_) for id_ in _offered(ctx, incomplete, kind)]

    return offer


actions = ids_of("action")
principals = ids_of("principal")


def _offered(ctx: click.Context, incomplete: str, kind: str | None) -> list[str]:
    from lineage.core.model.errors import DelegraphError
    from lineage.serve.config.wiring import Settings, opened_service
    from lineage.serve.queries.inventory.resolving import beginning_with

    if not incomplete:
        return []
    try:
        given = {name: ctx.params.get(name) or ctx.find_root().params.get(name) for name in ("store", "log", "trust")}
        with opened_service(Settings.of(**given)) as service:
            return beginning_with(service, incomplete, kind=kind, limit=_OFFERED)
    except DelegraphError:
        return []
