"""Answering one question about several ids."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from lineage.core.model.errors import RefusedError
from lineage.core.model.times import Instant
from lineage.serve.cli.options import ids_asked, now
from lineage.serve.cli.output import Document, Output

if TYPE_CHECKING:  # heavy imports stay inside the commands that need them: `--help` and completion are quick
    from rich.console import RenderableType

    from lineage.serve.config.wiring import Settings
    from lineage.serve.queries.service import Service


def answer_each_of(
    settings: "Settings",
    out: Output,
    ids: Iterable[str],
    at: Instant | None,
    render: "Callable[[Document], RenderableType]",
    question: "Callable[[Service, str, str, Instant], Document | None]",
) -> None:
    """Ask a question of several ``KIND:ID``: every answer is printed, in the order asked."""
    from lineage.serve.documents.core_documents import split_of

    answer_each(settings, out, ids, at, render, lambda service, asked, when: question(service, *split_of(asked), when))


def answer_each(
    settings: "Settings",
    out: Output,
    ids: Iterable[str],
    at: Instant | None,
    render: "Callable[[Document], RenderableType]",
    question: "Callable[[Service, str, Instant], Document | None]",
) -> None:
    """Ask a question of several ids: every answer is printed, in the order asked."""
    from lineage.serve.config.wiring import opened_service

    when = now() if at is None else at
    with opened_service(settings) as service:
        for asked in ids_asked(ids):
            try:
                document = question(service, asked, when)
            except RefusedError as fault:
                out.refused(asked, fault)
                continue
            if document is None:
                out.not_found(asked)
            else:
                out.document(document, render)
    out.finish()
