"""Commands for the tokens with which scripts call the HTTP API."""

from typing import TYPE_CHECKING

import click

from lineage.core.model.times import Instant
from lineage.serve.cli.options import TIME, shared_options, table_options
from lineage.serve.cli.output import Output

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    from lineage.serve.config.settings import Settings

ROLES = ("producer", "investigator", "responder", "receiver")


@click.group()
def token() -> None:
    """Tokens with which scripts call the HTTP API of this store.

    \b
      delegraph token create --role investigator --name ci
      curl -H "Authorization: Bearer $TOKEN" 'http://127.0.0.1:8480/v1/who?action=ACTION'
      delegraph token list
      delegraph token revoke ID
    """  # noqa: D301


@token.command()
@click.option(
    "--role", "roles", type=click.Choice(ROLES), multiple=True, required=True, help="What it may do; repeatable."
)
@click.option("--name", required=True, metavar="ID", help="Who uses it, such as ci or human:you@example.com.")
@click.option("--expires", type=TIME, metavar="TIME", help="When it ends. [default: in 90 days]")
@click.option("--source", "sources", multiple=True, metavar="URI", help="Of a producer: a source it may send as.")
@shared_options()
def create(
    settings: "Settings",
    out: Output,
    roles: tuple[str, ...],
    name: str,
    expires: Instant | None,
    sources: tuple[str, ...],
) -> None:
    """Create a token. It is printed once; the store has its digest only.

    \b
      delegraph token create --role investigator --name ci
      delegraph token create --role producer --name gateway --source urn:gateway --expires 2027-01-01T00:00:00Z
    """  # noqa: D301
    from lineage.serve.commands.api_tokens import create_token
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.text import render_tokens

    with opened_service(settings, create=True) as service:
        document = create_token(service, name=name, roles=roles, sources=sources, expires_at=expires)
        out.document(document, render_tokens.created)


@token.command("list")
@shared_options()
@table_options()
def list_(settings: "Settings", out: Output) -> None:
    """List all API tokens, latest first: whose they are, what they may do, and until when."""
    from lineage.serve.commands.api_tokens import list_tokens
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.text import render_tokens

    with opened_service(settings) as service:
        out.listed(list_tokens(service), render_tokens.listed, "api_tokens")


@token.command()
@click.argument("id_", metavar="ID")
@shared_options()
def revoke(settings: "Settings", out: Output, id_: str) -> None:
    """Revoke a token: it is refused from the next request on."""
    from lineage.serve.commands.api_tokens import revoke_token
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.text import render_tokens

    with opened_service(settings) as service:
        document = revoke_token(service, id_)
    if document is None:
        out.no_token(id_)
    else:
        out.document(document, render_tokens.revoked)
    out.finish()
