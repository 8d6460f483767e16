"""Commands that revoke, reinstate, and report on revocations."""

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Final, TextIO

import click

from lineage.core.model.times import Instant
from lineage.core.model.vocabulary import REASONS
from lineage.serve.cli.options import (
    AT,
    FOUR_EYES,
    KNOWN_AT,
    STALE,
    TIME,
    UNSEEN,
    TargetOptions,
    now,
    proposal_of,
    shared_options,
    table_options,
    target_options,
)
from lineage.serve.cli.output import Output
from lineage.serve.cli.several_ids import answer_each

_HEX: Final = re.compile("[0-9a-f]{64}")

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    from collections.abc import Callable

    from lineage.serve.commands.order_request import OrderRequest
    from lineage.serve.config.wiring import Settings


class _Digest(click.ParamType[str]):
    """The digest of a plan."""

    name = "digest"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not _HEX.fullmatch(value):
            # An empty shell variable yields an empty text here, or makes the next option its value.
            self.fail(f"{value!a} is not the digest of a plan, which has 64 hexadecimal digits.", param, ctx)
        return value


@click.command()
@click.argument("target", metavar="KIND:ID", required=False)
@click.option(
    "--targets",
    type=click.File(encoding="utf-8"),
    metavar="FILE",
    help="Revoke several targets, one KIND:ID a line (`-`: standard input), all or none.",
)
@click.option("--reason", type=click.Choice(REASONS), required=True, help="The reason.")
@click.option("--by", "by", required=True, metavar="PRINCIPAL", help="Who revokes, such as human:you@example.com.")
@target_options
@click.option("--note", help="A remark for people.")
@click.option("--approved-by", metavar="PRINCIPAL", help="The second person, who approved it.")
@click.option("--effective-at", type=TIME, metavar="TIME", help="When it takes effect. [default: now]")
@click.option(
    "--id",
    "revocation",
    metavar="ID",
    help="The id of the revocation; of several, of the incident. [default: generated]",
)
@click.option("--source", metavar="URI", help="The source to send it under. [env: DELEGRAPH_SOURCE]")
@click.option("--execute", is_flag=True, help="Revoke; without it only the plan is printed.")
@click.option(
    "--plan-digest", type=_Digest(), help="The plan that was checked: refused (4) if it would end anything else."
)
@click.option(
    "--max-kills",
    type=click.IntRange(0),
    default=1000,
    show_default=True,
    help="The most elements it may end without --plan-digest.",
)
@FOUR_EYES
@UNSEEN
@STALE
@shared_options()
def revoke(
    settings: "Settings",
    out: Output,
    target: str | None,
    targets: TextIO | None,
    reason: str,
    by: str,
    how: TargetOptions,
    note: str | None,
    approved_by: str | None,
    effective_at: Instant | None,
    revocation: str | None,
    plan_digest: str | None,
    max_kills: int,
    execute: bool,
    unseen: bool,
    stale: bool,
    **_from_settings: str | None,  # read from the settings
) -> None:
    """Print the plan of a revocation; with --execute revoke, and wait until it is in force.

    \b
      delegraph revoke token:t1 --reason credential_leak --by human:you
      delegraph revoke token:t1 --reason credential_leak --by human:you --execute --plan-digest DIGEST
      delegraph revoke --targets stolen.txt --reason compromise --by human:you

    A token or a delegation is revoked permanently. A principal, workload, session or client is revoked until it is
    reinstated (lift): until then authority issued for it is never valid, and what was revoked never comes back.
    """  # noqa: D301
    from lineage.core.model.events import Target
    from lineage.core.model.keys import split_of
    from lineage.serve.commands.order_request import OrderRequest, refuse_people
    from lineage.serve.commands.revoke import give_order
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.activity.uses import findings_about
    from lineage.serve.text import render_chain

    if (target is None) == (targets is None):
        raise click.UsageError("name either a target, KIND:ID, or a file of them with --targets")

    def request_for(kind: str, id_: str) -> OrderRequest:
        return OrderRequest(
            target=Target(kind, id_),
            reason=reason,
            ordered_by=by,
            mode=how.mode,
            cascade=how.cascade,
            issued_before=how.issued_before,
            effective_at=effective_at,
            note=note,
            approved_by=approved_by,
            revocation=revocation,
            plan_digest=plan_digest,
            max_kills=max_kills,
            four_eyes=settings.four_eyes,
            unseen=unseen,
        )

    if targets is not None:
        _revoke_all(settings, out, targets, request_for, execute=execute)
        return
    kind, id_ = split_of(str(target))
    with opened_service(settings) as service:
        if execute:
            document = give_order(service, request_for(kind, id_))
        else:
            refuse_people(by=by, approved_by=approved_by)
            given_at = now()
            at = given_at if effective_at is None else effective_at
            proposal = proposal_of(kind, id_, at, how)
            document = service.reach(proposal, stale=stale, unseen=unseen, given_at=given_at)
            if document is not None:
                wrong = findings_about(service, kind, id_, at, None)
                document = {**document, **wrong, "reason": reason, "ordered_by": by, "executed": False}
        if document is None:
            out.not_found(str(target))
            if not out.as_json:
                click.echo("To revoke it before any event mentions it, use --unseen.", err=True)
        elif execute:
            out.document(
                document,
                lambda doc: render_chain.ordered(
                    doc, issued_before=how.issued_before, cascade=how.cascade, now=service.clock()
                ),
            )
        else:
            out.document(document, lambda doc: render_chain.plan(doc, **asdict(how)))
    out.finish()


def _revoke_all(
    settings: "Settings",
    out: Output,
    targets: TextIO,
    request_for: "Callable[[str, str], OrderRequest]",
    *,
    execute: bool,
) -> None:
    """Print the plan of revoking several targets, or do it."""
    from lineage.core.model.keys import split_of
    from lineage.serve.commands.revoke_batch import BatchRequest, UnknownTargetsError, give_batch, plan_batch
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.text import render_batch

    keys = [line.strip() for line in targets if line.strip() and not line.startswith("#")]
    orders = [request_for(*split_of(key)) for key in keys]
    if not orders:
        raise click.UsageError("the file of --targets names no target: write one KIND:ID a line")
    order = orders[0]
    request = BatchRequest(targets=tuple(one.target for one in orders), order=order, incident=order.revocation)
    with opened_service(settings) as service:
        try:
            document = (give_batch if execute else plan_batch)(service, request)
        except UnknownTargetsError as fault:
            for key in fault.targets:
                out.not_found(key)
            if not out.as_json:
                click.echo("Nothing was revoked, no other target either.", err=True)
            out.finish()
        out.document(document, lambda doc: render_batch.batch(doc, now=service.clock()))


@click.command()
@click.argument("revocation")
@click.option("--by", required=True, metavar="PRINCIPAL", help="Who reinstates.")
@click.option("--approved-by", metavar="PRINCIPAL", help="The second person, who approved it.")
@click.option("--note", help="A remark for people.")
@click.option("--source", metavar="URI", help="The source to send it under. [env: DELEGRAPH_SOURCE]")
@FOUR_EYES
@shared_options()
def lift(
    settings: "Settings",
    out: Output,
    revocation: str,
    by: str,
    approved_by: str | None,
    note: str | None,
    **_from_settings: str | None,  # read from the settings
) -> None:
    """Reinstate: a suspension ends; after a revocation new authority is valid again, and the old stays revoked.

    \b
      delegraph lift rev-4711 --by human:you --note 'false alarm'
    """  # noqa: D301
    from lineage.serve.commands.lift import lift_order
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.text import render_chain

    with opened_service(settings) as service:
        document = lift_order(
            service, revocation, lifted_by=by, note=note, approved_by=approved_by, four_eyes=settings.four_eyes
        )
    if document is None:
        out.not_found(revocation)
    else:
        out.document(document, render_chain.lifted)
    out.finish()


@click.command()
@click.argument("revocation")
@AT
@KNOWN_AT
@click.option("--signed", is_flag=True, help="Of what is CLOSED: a document with a detached signature, to hand on.")
@shared_options()
@table_options()
def receipt(
    settings: "Settings", out: Output, revocation: str, at: Instant | None, known_at: Instant | None, signed: bool
) -> None:
    """List what a revocation ended, including elements issued later; with --json one line per element.

    \b
      delegraph receipt rev-4711
      delegraph receipt rev-4711 --signed > receipt.json
      delegraph receipt rev-4711 --json | sha256sum      the digest that the summary shows
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.revocations import receipt
    from lineage.serve.text import render_revocations

    when = now() if at is None else at
    if signed:
        _signed_receipt(settings, out, revocation, at, known_at)
        return
    with (
        opened_service(settings) as service,
        receipt.receipt(service, revocation, at=when, known_at=known_at) as found,
    ):
        if found is None:
            out.not_found(revocation)
        elif out.as_json:
            for line in found.lines:
                click.echo(line)
        elif out.form == "csv":
            from lineage.serve.documents.csv_table import lines_of
            from lineage.serve.documents.list_columns import COLUMNS

            for row in lines_of(COLUMNS["receipt"], map(json.loads, found.lines)):
                click.echo(row.encode(errors="replace"), nl=False)
        else:
            summary = receipt.receipt_summary(found, at=when, known_at=known_at)
            out.document(summary, render_revocations.receipt)
    out.finish()


def _signed_receipt(
    settings: "Settings", out: Output, revocation: str, at: Instant | None, known_at: Instant | None
) -> None:
    """Print the signed receipt, which is JSON either way."""
    import json

    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.revocations.signed_receipt import signed_receipt

    if at is not None or known_at is not None:
        raise click.UsageError("a signed receipt states the present: leave out --at and --known-at")
    with opened_service(settings) as service:
        document = signed_receipt(service, settings.read_keys(), revocation, at=now(), origin=settings.evidence_origin)
    if document is None:
        out.not_found(revocation)
    else:
        click.echo(json.dumps(document, ensure_ascii=False))
    out.finish()


@click.command("revocations")
@AT
@KNOWN_AT
@click.option("--after", metavar="NEXT", help="Continue after this one (the `next` of the last page).")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@shared_options()
@table_options()
def revocations(
    settings: "Settings",
    out: Output,
    at: Instant | None,
    known_at: Instant | None,
    after: str | None,
    limit: int,
) -> None:
    """List all revocations, latest first, each with what it ended and whether it is enforced.

    \b
      delegraph revocations
      delegraph revocations --json --limit 10
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.revocations import revocations
    from lineage.serve.text import render_revocations

    when = now() if at is None else at
    with opened_service(settings) as service:
        found = revocations.revocations(service, at=when, known_at=known_at, after=after, limit=limit)
        out.listed(found, render_revocations.revocations, "revocations")


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="REVOCATION...")
@AT
@KNOWN_AT
@shared_options()
def closure(
    settings: "Settings", out: Output, ids: tuple[str, ...], at: Instant | None, known_at: Instant | None
) -> None:
    """Show whether a revocation is enforced: CLOSED, PARTIAL or UNKNOWN, and what is open, element by element.

    \b
      delegraph closure rev-4711
    """  # noqa: D301
    from lineage.serve.queries.revocations import closure
    from lineage.serve.text import render_revocations

    answer_each(
        settings,
        out,
        ids,
        at,
        render_revocations.closure,
        lambda service, asked, when: closure.closure(service, asked, at=when, known_at=known_at),
    )
