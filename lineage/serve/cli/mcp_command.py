"""``delegraph mcp``: the questions as tools for an agent on this machine."""

import os
import sys
from typing import TYPE_CHECKING

import click

from lineage.core.model.errors import RefusedError
from lineage.serve.cli.options import shared_options
from lineage.serve.cli.output import Output

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    from lineage.serve.config.settings import Settings


@click.command()
@click.option("--by", metavar="PRINCIPAL", help="Who asks, for the access log. [default: human:USER]")
@shared_options()
def mcp(settings: "Settings", out: Output, by: str | None) -> None:  # noqa: ARG001
    """Answer an agent's questions over standard input and output (Model Context Protocol), read-only.

    An MCP client starts it. Every answer lists the events that it rests on. A server that runs already offers the
    same tools at /mcp, for callers with a token.

    \b
      delegraph mcp --store sqlite:////var/lib/delegraph/store.db
      delegraph mcp --by human:you
    """  # noqa: D301
    try:
        from lineage.serve.mcp.stdio import run_stdio
    except ImportError as error:
        packages = "make setup, or pip install 'delegraph[mcp]'"
        raise RefusedError(f"answering agents needs a few more packages: {packages}") from error
    from lineage.serve.config.wiring import opened_shared_service
    from lineage.serve.processes.http_process import this_user
    from lineage.serve.processes.logs import LogSettings, logging_to

    logs = LogSettings.of(os.environ, terminal=sys.stderr.isatty())
    with logging_to(sys.stderr, logs), opened_shared_service(settings) as service:
        run_stdio(service, name=by or this_user())
