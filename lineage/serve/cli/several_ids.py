"""Answer one question about several ids."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Final

import click

from lineage.core.model.errors import RefusedError
from lineage.core.model.times import Instant
from lineage.serve.cli.options import ids_asked, now
from lineage.serve.cli.output import Document, Output, printable

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    from rich.console import RenderableType

    from lineage.serve.config.wiring import Settings
    from lineage.serve.queries.service import Service


_SHOWN: Final = 10  # candidates that a refusal names
_NEAR: Final = 3  # what may be meant by an id that no fact names


def one_picture(out: Output, ids: Sequence[str], form: str) -> Output:
    """Return the output for an answer, which may be a picture; several pictures cannot be in one output.

    Raises:
        RefusedError: The format is that of a picture, and there is more or less than one id.
    """
    if form not in ("text", "json") and (len(ids) != 1 or ids[0] == "-"):
        raise RefusedError(f"--format {form} writes one picture: name one id")
    return out.written_as(form)


def one_list(out: Output, ids: tuple[str, ...], after: str | None = None) -> tuple[str, ...]:
    """Return the ids whose lists are asked for; a table, or a next page, requires exactly one.

    Raises:
        RefusedError: There is more or less than one id.
    """
    if (out.form != "text" or after is not None) and (len(ids) != 1 or ids[0] == "-"):
        why = f"--format {out.form} writes one list" if out.form != "text" else "--after continues one list"
        raise RefusedError(f"{why}: name one id")
    return ids


def answer_each_of(
    settings: "Settings",
    out: Output,
    ids: Iterable[str],
    at: Instant | None,
    render: "Callable[[Document], RenderableType]",
    question: "Callable[[Service, str, str, Instant], Document | None]",
    kinds: Collection[str] = (),
    table: str | None = None,
) -> None:
    """Ask a question about several ``KIND:ID``, and print every answer in the order asked.

    An id without its kind is enough if only one thing has it.

    Args:
        settings: The settings, which name the store.
        out: The output.
        ids: The ids asked about.
        at: The instant asked about; None for now.
        render: Renders an answer as text.
        question: The question.
        kinds: The kinds that an id without one may have; empty for all kinds that have a state.
        table: The name of the answer in ``list_columns`` if it is a list.
    """
    answer_each(
        settings,
        out,
        ids,
        at,
        render,
        lambda service, asked, when: question(service, *resolved(service, asked, kinds), when),
        table,
    )


def resolved(service: "Service", typed: str, kinds: Collection[str] = ()) -> tuple[str, str]:
    """Return the kind and the id of what is asked about, and note on standard error how it was understood.

    Raises:
        RefusedError: It is neither ``KIND:ID`` nor the id of exactly one thing; the message names the candidates.
    """
    from lineage.core.model.keys import KINDS, split_of
    from lineage.serve.queries.inventory import resolving

    kind, _, id_ = typed.partition(":")
    if id_ and kind in KINDS:
        return kind, id_
    found = resolving.resolve(service, typed, kinds or resolving.THINGS)
    if not found:
        return split_of(typed)
    key = _only(found, typed, "")
    click.echo(f"delegraph: note: {printable(typed)} is {printable(key)}", err=True)
    return split_of(key)


def resolved_id(service: "Service", asked: str, kind: str, option: str) -> str:
    """Return the id that an option names, possibly abbreviated, and note on standard error how it was understood.

    Raises:
        RefusedError: It is the id of several things; the message names them.
    """
    from lineage.serve.queries.inventory import resolving

    typed = asked.removeprefix(f"{kind}:") if kind == "principal" else asked
    found = resolving.resolve(service, typed, (kind,))
    if not found:
        return typed
    id_ = _only(found, asked, f"{option}: ").partition(":")[2]
    if id_ != asked:
        click.echo(f"delegraph: note: {option} {printable(asked)} is {printable(id_)}", err=True)
    return id_


def _only(found: list[str], typed: str, where: str) -> str:
    if len(found) > 1:
        shown = ", ".join(found[:_SHOWN])
        more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
        raise RefusedError(f"{where}{typed} may be {shown}{more}; say which")
    return found[0]


def answer_each(
    settings: "Settings",
    out: Output,
    ids: Iterable[str],
    at: Instant | None,
    render: "Callable[[Document], RenderableType]",
    question: "Callable[[Service, str, Instant], Document | None]",
    table: str | None = None,
) -> None:
    """Ask a question about several ids, and print every answer in the order asked.

    ``table`` is the name of the answer in ``list_columns`` if it is a list.
    """
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.evidence.evidence_line import EvidenceLine
    from lineage.serve.queries.inventory.resolving import similar

    when = now() if at is None else at
    with opened_service(settings) as service:
        typed = tuple(ids)
        for id_ in ids_asked(typed):
            try:
                document = question(service, id_, when)
            except RefusedError as fault:
                out.refused(id_, fault)
                continue
            if document is None:
                is_typed = len(typed) == 1 and typed != ("-",) and out.is_read_by_people
                near = similar(service, id_, most=_NEAR) if is_typed else ()
                out.not_found(id_, service.why_missing(id_), near=near)
            elif table is None:
                out.document(document, render)
            else:
                out.listed(document, render, table)
        if out.is_read_by_people:
            out.under(EvidenceLine(service, settings.evidence_origin).sentence())
    out.finish()
