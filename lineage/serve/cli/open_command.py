"""``delegraph open``: the pages, at the page of one thing."""

import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from lineage.core.model.errors import RefusedError
from lineage.serve.cli.completion import things
from lineage.serve.cli.options import shared_options
from lineage.serve.cli.output import EXIT_NOT_FOUND, Output
from lineage.serve.cli.several_ids import resolved

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    from lineage.serve.config.wiring import Settings


@click.command(name="open")
@click.argument("id_", metavar="ID", shell_complete=things)
@click.option(
    "--http", metavar="HOST:PORT", help="Where to serve. [env: DELEGRAPH_HTTP_LISTEN; default: 127.0.0.1:8480]"
)
@click.option("--by", metavar="PRINCIPAL", help="Who signs in by the link. [default: human:USER]")
@shared_options()
def open_(settings: "Settings", out: Output, id_: str, by: str | None, **_from_settings: str | None) -> None:
    """Serve the pages until stopped, and open the page of an action, a token, an agent, a person or anything else.

    \b
      delegraph open mail-7
      delegraph open alice
    """  # noqa: D301
    from lineage.core.model.keys import KINDS, key_of
    from lineage.serve.cli.process_commands import serving_logs
    from lineage.serve.config.wiring import opened_shared_service
    from lineage.serve.http.api.enforcement_routes import endpoints
    from lineage.serve.processes.http_process import serve as run
    from lineage.serve.web.links import Links

    with serving_logs() as say, opened_shared_service(settings) as service:
        kind, named = resolved(service, id_, KINDS)
        with service.reader() as reader:
            if not reader.is_named(key_of(kind, named)):
                out.not_found(id_)
                click.get_current_context().exit(EXIT_NOT_FOUND)
        page = Links().of(kind, named)
        if not page:
            raise RefusedError(f"a {kind} has no page of its own; search for it on the pages: delegraph serve")

        def announce(address: str) -> None:
            say(address)
            if sys.stdout.isatty():
                click.launch(address)

        parts = partial(endpoints, settings)
        run(
            service,
            settings.http,
            say=announce,
            name=by,
            four_eyes=settings.four_eyes,
            keys=settings.read_keys(),
            probes=settings.probes,
            contacts=settings.contacts,
            parts=parts,
            start=page,
        )
