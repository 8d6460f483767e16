"""Commands for enforcement points: register, list, mark by hand and deliver again."""

from typing import TYPE_CHECKING

import click

from lineage.serve.cli.options import shared_options, table_options
from lineage.serve.cli.output import Output

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    from lineage.serve.config.settings import Settings


@click.group()
def receiver() -> None:
    """Manage enforcement points, which have to confirm revocations.

    \b
      delegraph receiver register https://gateway.example --issuer https://idp.example
      delegraph receiver list
      delegraph receiver mark rev-4711 https://gateway.example --by human:you --reason 'its log shows the refusal'
      delegraph receiver resend rev-4711 --by human:you
    """  # noqa: D301


@receiver.command()
@click.argument("receiver", metavar="RECEIVER")
@click.option("--issuer", "issuers", multiple=True, metavar="URI", help="Covers tokens of this issuer; repeatable.")
@click.option("--audience", "audiences", multiple=True, metavar="URI", help="Covers what is meant for it; repeatable.")
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(("token", "delegation")),
    multiple=True,
    help="Covers only these; repeatable. [default: both]",
)
@click.option("--deadline", "deadline_seconds", type=click.IntRange(1), metavar="SECONDS", help="To confirm within.")
@click.option("--narrow", is_flag=True, help="It may cover less than before, for the revocations that follow.")
@click.option("--source", metavar="URI", help="The source to send it under. [env: DELEGRAPH_SOURCE]")
@shared_options()
def register(
    settings: "Settings",
    out: Output,
    receiver: str,
    issuers: tuple[str, ...],
    audiences: tuple[str, ...],
    kinds: tuple[str, ...],
    deadline_seconds: int | None,
    narrow: bool,
    **_from_settings: str | None,  # read from the settings
) -> None:
    """Register an enforcement point: it has to confirm what it covers, also of revocations that are not over.

    \b
      delegraph receiver register https://gateway.example --issuer https://idp.example --deadline 60

    Without --issuer, --audience and --kind it covers everything.
    """  # noqa: D301
    from lineage.core.model.events import ReceiverRegistered
    from lineage.serve.commands.receivers import register as register_receiver
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.text import render_receivers

    registration = ReceiverRegistered(receiver, issuers, audiences, kinds, deadline_seconds)
    with opened_service(settings) as service:
        out.document(register_receiver(service, registration, narrow=narrow), render_receivers.registered)


@receiver.command("list")
@shared_options()
@table_options()
def list_(settings: "Settings", out: Output) -> None:
    """List all enforcement points, and what each covers."""
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.revocations.receivers import receivers
    from lineage.serve.text import render_receivers

    with opened_service(settings) as service:
        out.listed(receivers(service, settings.contacts), render_receivers.listed, "receivers")


@receiver.command()
@click.argument("revocation")
@click.argument("receiver", metavar="RECEIVER")
@click.option("--by", required=True, metavar="PRINCIPAL", help="Who makes this statement.")
@click.option("--reason", required=True, metavar="TEXT", help="How you know that it is enforced there.")
@shared_options()
def mark(settings: "Settings", out: Output, revocation: str, receiver: str, by: str, reason: str) -> None:
    """Mark a revocation by hand as enforced at an enforcement point that cannot confirm it itself.

    \b
      delegraph receiver mark rev-4711 https://gateway.example --by human:you --reason 'its log shows the refusal'

    The mark covers what is open there now; closure shows who made it and why.
    """  # noqa: D301
    from lineage.serve.commands.receivers import mark_by_hand
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.text import render_receivers

    with opened_service(settings) as service:
        document = mark_by_hand(service, revocation, receiver=receiver, by=by, reason=reason)
    if document is None:
        out.not_found(revocation)
    else:
        out.document(document, render_receivers.marked)
    out.finish()


@receiver.command()
@click.argument("revocation")
@click.argument("receiver", metavar="[RECEIVER]", required=False)
@click.option("--by", required=True, metavar="PRINCIPAL", help="Who asks for it.")
@shared_options()
def resend(settings: "Settings", out: Output, revocation: str, receiver: str | None, by: str) -> None:
    """Deliver again what is open, to every enforcement point that is fed (`delegraph deliver`, Shared Signals).

    \b
      delegraph receiver resend rev-4711 --by human:you
      delegraph receiver resend rev-4711 https://gateway.example --by human:you

    With RECEIVER only what is open there; the feed is shared, so that others may receive it again as well.
    """  # noqa: D301
    from lineage.serve.commands.receivers import deliver_again
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.text import render_receivers

    with opened_service(settings) as service:
        document = deliver_again(service, revocation, by=by, receiver=receiver)
    if document is None:
        out.not_found(revocation)
    else:
        out.document(document, render_receivers.sent_again)
    out.finish()
