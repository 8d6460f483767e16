"""Commands for retention: delete old records, hold what must not be deleted, and list what was."""

import sys
from typing import TYPE_CHECKING, Final

import click

from lineage.core.model.times import Instant
from lineage.serve.cli.options import TIME, shared_options
from lineage.serve.cli.output import EXIT_INTEGRITY, Output

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    from lineage.core.evidence.notes import VerifierKey
    from lineage.serve.config.settings import Settings

_BY: Final = click.option("--by", required=True, metavar="PRINCIPAL", help="Who does it, such as human:you.")
_REASON: Final = click.option("--reason", required=True, metavar="TEXT", help="Why, in a sentence.")
_SOURCE: Final = click.option("--source", metavar="URI", help="The source to send it under. [env: DELEGRAPH_SOURCE]")


@click.command()
@click.option(
    "--before",
    type=TIME,
    metavar="TIME",
    help="Delete what was recorded and ended before this. [default: retention_days ago]",
)
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, and delete nothing.")
@click.option("--by", metavar="PRINCIPAL", help="Who deletes, for the certificate. [default: the source]")
@_SOURCE
@shared_options()
def retain(
    settings: "Settings",
    out: Output,
    before: Instant | None,
    by: str | None,
    *,
    dry_run: bool,
    **_from_settings: str | None,  # read from the settings
) -> None:
    """Delete old records of decisions on which nothing depends any more, with a signed certificate.

    Their hashes stay, so every proof still holds. Orders, registrations, what an order ended, what may still be alive,
    and what a legal hold or an open case names is never deleted.

    \b
      delegraph retain --before 2025-11-01 --dry-run
      DELEGRAPH_RETENTION_DAYS=400 delegraph retain --by human:you
    """  # noqa: D301
    from lineage.serve.commands import retention
    from lineage.serve.commands.checkpoints import keys_of
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.text import render_retention

    with opened_service(settings) as service:
        horizon = retention.horizon_of(service, settings.retention_days, before)
        if dry_run:
            document = retention.survey(
                service, horizon, origin=settings.evidence_origin, witnessed=bool(settings.witnesses)
            )
            out.document(document, render_retention.survey)
            return
        keys = keys_of(service, settings.evidence_key_file, settings.evidence_origin)
        rule = retention.rule_of(None if before is not None else settings.retention_days, horizon)
        document = retention.retain(
            service, keys, horizon, rule=rule, by=by or service.source, witnessed=bool(settings.witnesses)
        )
    out.document(document, render_retention.retained)


@click.command()
@shared_options()
def deletions(settings: "Settings", out: Output) -> None:
    """List what retention deleted, latest first, with the certificates. Exits with 6 if one is invalid.

    With the key of the log (evidence_key_file), the signatures are verified too.

    \b
      delegraph deletions
      delegraph deletions --json
    """  # noqa: D301
    from lineage.serve.commands.checkpoints import keys_of
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.retention.deletions import deleted
    from lineage.serve.text import render_retention

    with opened_service(settings) as service:
        keys: tuple[VerifierKey, ...] = ()
        if settings.evidence_key_file is not None:
            keys = keys_of(service, settings.evidence_key_file, settings.evidence_origin).verifiers
        document = deleted(service, keys)
    out.document(document, render_retention.deleted)
    if any(one["faults"] for one in document["items"]):
        sys.exit(EXIT_INTEGRITY)


@click.group()
def hold() -> None:
    """Manage legal holds: what retention must not delete.

    \b
      delegraph hold place --principal human:alice --reason 'Lawsuit 4711' --by human:counsel
      delegraph hold place --case INC-1 --reason 'Lawsuit 4711' --by human:counsel
      delegraph hold place --from 2026-11-01 --to 2026-11-08 --reason 'Audit' --by human:counsel
      delegraph hold list
      delegraph hold release hold-20261102-7c1f9a22 --reason 'Settled' --by human:counsel
    """  # noqa: D301


@hold.command()
@click.option("--principal", metavar="ID", help="A person or another party: all that names it, and what rests on that.")
@click.option("--case", metavar="ID", help="The items of a case, also those that are added later.")
@click.option("--from", "starts_at", type=TIME, metavar="TIME", help="What occurred or was recorded from then on.")
@click.option("--to", "ends_at", type=TIME, metavar="TIME", help="What occurred or was recorded before.")
@click.option("--everything", is_flag=True, help="Every record.")
@click.option("--unseen", is_flag=True, help="Also a party that no event names yet.")
@click.option("--id", "id_", metavar="ID", help="The id of the hold. [default: generated]")
@_BY
@_REASON
@_SOURCE
@shared_options()
def place(
    settings: "Settings",
    out: Output,
    principal: str | None,
    case: str | None,
    starts_at: Instant | None,
    ends_at: Instant | None,
    id_: str | None,
    by: str,
    reason: str,
    *,
    everything: bool,
    unseen: bool,
    **_from_settings: str | None,  # read from the settings
) -> None:
    """Place a hold on a principal, a case, a span of time, or on what all of those that you name cover."""
    from lineage.serve.commands.holds import place_hold
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.text import render_retention

    with opened_service(settings) as service:
        document = place_hold(
            service,
            by=by,
            reason=reason,
            principal=principal,
            case=case,
            starts_at=starts_at,
            ends_at=ends_at,
            everything=everything,
            unseen=unseen,
            hold=id_,
        )
    out.document(document, render_retention.hold)


@hold.command()
@click.argument("hold_id", metavar="HOLD")
@_BY
@_REASON
@_SOURCE
@shared_options()
def release(
    settings: "Settings",
    out: Output,
    hold_id: str,
    by: str,
    reason: str,
    **_from_settings: str | None,  # read from the settings
) -> None:
    """Release a hold. That it was in force stays in its history."""
    from lineage.serve.commands.holds import release_hold
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.text import render_retention

    with opened_service(settings) as service:
        document = release_hold(service, hold_id, by=by, reason=reason)
    if document is None:
        out.no_hold(hold_id)
    else:
        out.document(document, render_retention.hold)
    out.finish()


@hold.command("list")
@shared_options()
def list_(settings: "Settings", out: Output) -> None:
    """List every hold, those in force first, with who placed and released it and why."""
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.retention.holds import holds
    from lineage.serve.text import render_retention

    with opened_service(settings) as service:
        out.document(holds(service), render_retention.holds)
