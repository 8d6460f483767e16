"""The command that asks enforcement points what they do, and signs what they replied."""

import json
from typing import TYPE_CHECKING

import click

from lineage.serve.cli.options import shared_options
from lineage.serve.cli.output import Output

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    from lineage.serve.config.settings import Settings


@click.command()
@click.argument("revocation", metavar="REVOCATION", required=False)
@click.option("--nonce", metavar="TEXT", help="Who asks for the proof chooses it; it is signed with the rest.")
@click.option(
    "--sample", type=click.IntRange(1), metavar="N", help="Ask introspection endpoints about N elements only."
)
@click.option("--ready", metavar="token:ID", help="Before an incident: revoke this canary, and measure.")
@click.option("--by", metavar="PRINCIPAL", help="With --ready: who revokes the canary.")
@click.option("--wait", type=click.FloatRange(0.1, 600), default=30.0, show_default=True, help="With --ready, seconds.")
@click.option("--signed", is_flag=True, help="Print the signed document alone, to hand on.")
@shared_options()
def prove(
    settings: "Settings",
    out: Output,
    revocation: str | None,
    nonce: str | None,
    sample: int | None,
    ready: str | None,
    by: str | None,
    wait: float,
    signed: bool,
) -> None:
    """Prove that what a revocation ended has stopped: ask every enforcement point now, and sign the replies.

    \b
      delegraph prove rev-4711
      delegraph prove rev-4711 --nonce 7f3a --signed > proof.json
      delegraph prove --ready token:https://idp.example#canary-1 --by human:you

    CLOSED: all of them deny all of it. PARTIAL: one accepts something. UNKNOWN: one cannot say, or was not asked.
    """  # noqa: D301
    from lineage.core.model.events import Target
    from lineage.core.model.keys import split_of
    from lineage.serve.commands import readiness, stop_proof
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.text import render_proof

    if (revocation is None) == (ready is None):
        raise click.UsageError("name either a revocation, or a canary with --ready token:ID")
    if (ready is None) != (by is None):
        raise click.UsageError("--by says who revokes the canary of --ready")
    probes = {probe.receiver: probe for probe in settings.probes}
    with opened_service(settings) as service:
        if ready is None:
            document = stop_proof.prove_stopped(
                service, settings.read_keys(), probes, str(revocation), nonce=nonce, sample=sample
            )
        else:
            canary = Target(*split_of(ready))
            document = readiness.prove_ready(
                service, settings.read_keys(), probes, canary, by=str(by), wait_seconds=wait
            )
    if document is None:
        out.not_found(str(revocation or ready))
    elif signed:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        out.document(document, render_proof.proof if ready is None else render_proof.readiness)
    out.finish()
