"""Commands that set up, run and examine processes: init, consume, deliver, serve, demo, doctor."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import click

from lineage.core.model.errors import DamagedError, RefusedError, UnavailableError
from lineage.serve.cli.options import shared_options
from lineage.serve.cli.output import EXIT_UNAVAILABLE, Output

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    from lineage.serve.config.wiring import Settings


@click.command()
@click.option("--partitions", type=click.IntRange(1), help="Partitions of each created topic. [default: the cluster's]")
@click.option("--replication", type=click.IntRange(1), help="Replicas of each partition. [default: the cluster's]")
@click.option("--reader", metavar="ROLE", help="A PostgreSQL role that may read the store, and nothing else.")
@shared_options()
def init(
    settings: "Settings", out: Output, partitions: int | None, replication: int | None, reader: str | None
) -> None:
    """Create what is missing: the tables of the store, the embedded log, the topics on Kafka. Harmless to repeat.

    \b
      delegraph init --store sqlite:////var/lib/delegraph/store.db
      delegraph init --log kafka://broker:9092 --partitions 12 --replication 3
    """  # noqa: D301
    from lineage.serve.cli.init_command import prepare

    document = prepare(settings, partitions=partitions, replication=replication, reader=reader)
    out.document(document, lambda doc: f"The store {doc['store']} and the log {doc['log']} are ready.")


@click.command()
@click.option("--drain", is_flag=True, help="Stop at the current end of the log.")
@click.option("--group", metavar="NAME", help="The consumer group. [env: DELEGRAPH_GROUP; default: delegraph]")
@click.option(
    "--workers",
    "consume_workers",
    metavar="N",
    help="How many processes decode for this one while many records wait, on Kafka: 0 or 1. "
    "[env: DELEGRAPH_CONSUME_WORKERS; default: 1 on more than one core]",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Metrics, health and the live graph, such as 127.0.0.1:9464. [env: DELEGRAPH_LISTEN; default: none]",
)
@shared_options()
def consume(settings: "Settings", out: Output, drain: bool, **_from_settings: str | None) -> None:
    """Run the consumer: project the log and what arrives, until stopped (SIGINT, SIGTERM).

    \b
      delegraph consume --drain                    up to the current end of the log
      delegraph consume                            until stopped
      delegraph consume --listen 127.0.0.1:9464    with metrics, health and the live graph
    """  # noqa: D301
    from lineage.serve.processes.consumer_process import consume as run
    from lineage.serve.processes.logs import LogSettings, logging_to
    from lineage.serve.text import render_chain

    how = LogSettings.of(os.environ, terminal=sys.stderr.isatty())
    with logging_to(sys.stderr, how):
        progress = partial(out.progress, "projecting")
        out.document(run(settings, drain=drain, progress=progress), render_chain.consumed)


@click.command()
@click.option("--drain", is_flag=True, help="Read what files and topics contain now, and exit.")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Metrics and health, such as 127.0.0.1:9466. [env: DELEGRAPH_LISTEN; default: none]",
)
@click.option(
    "--http",
    "collect_http",
    metavar="HOST:PORT",
    help="Where requests are received. [env: DELEGRAPH_COLLECT_HTTP; default: 127.0.0.1:8481]",
)
@shared_options()
def collect(settings: "Settings", out: Output, drain: bool, **_from_settings: str | None) -> None:
    """Collect other systems' logs as they are written: run the inputs of every [[source]] until stopped.

    \b
      DELEGRAPH_CONFIG=delegraph.toml delegraph collect
      delegraph collect --drain                    what files and topics contain now
      delegraph collect --listen 127.0.0.1:9466    with metrics and health
    """  # noqa: D301
    from lineage.serve.processes.collect_process import collect as run
    from lineage.serve.processes.logs import LogSettings, logging_to
    from lineage.serve.text import render_sources

    how = LogSettings.of(os.environ, terminal=sys.stderr.isatty())
    with logging_to(sys.stderr, how):
        document = run(settings, drain=drain)
    out.document(document, render_sources.collected)
    if drain and any("unread" in source for source in document["sources"]):
        sys.exit(EXIT_UNAVAILABLE)


@click.command()
@click.option("--once", is_flag=True, help="Deliver what is pending now, and exit.")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Metrics and health, such as 127.0.0.1:9465. [env: DELEGRAPH_LISTEN; default: none]",
)
@shared_options()
def deliver(settings: "Settings", out: Output, once: bool, **_from_settings: str | None) -> None:
    """Deliver the effects of revocations to receivers, element by element, until stopped (SIGINT, SIGTERM).

    It follows the store. With a log on Kafka it feeds the topic <prefix>.revocations.

    \b
      delegraph deliver
      delegraph deliver --once
      delegraph deliver --listen 127.0.0.1:9465    with metrics and health
    """  # noqa: D301
    from lineage.serve.processes.delivery_process import deliver as run
    from lineage.serve.processes.delivery_process import page_of
    from lineage.serve.processes.logs import LogSettings, logging_to

    how = LogSettings.of(os.environ, terminal=sys.stderr.isatty())
    with logging_to(sys.stderr, how):
        out.document(run(settings, once=once), page_of)


@click.command()
@click.option(
    "--http", metavar="HOST:PORT", help="Where to serve. [env: DELEGRAPH_HTTP_LISTEN; default: 127.0.0.1:8480]"
)
@click.option("--by", metavar="PRINCIPAL", help="Who signs in by the link. [default: human:USER]")
@shared_options()
def serve(settings: "Settings", out: Output, by: str | None, **_from_settings: str | None) -> None:  # noqa: ARG001
    """Serve the HTTP API until stopped (SIGINT, SIGTERM).

    Without an issuer it serves on loopback only, and prints a one-time sign-in link.

    \b
      delegraph serve
      delegraph serve --http 127.0.0.1:8480 --by human:you
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_shared_service

    with serving_logs() as say, opened_shared_service(settings) as service:
        from lineage.serve.http.api.enforcement_routes import endpoints
        from lineage.serve.processes.http_process import serve as run
        from lineage.serve.queries.retention.retention_status import RetentionPolicy

        parts = partial(endpoints, settings)
        run(
            service,
            settings.http,
            say=say,
            name=by,
            four_eyes=settings.four_eyes,
            keys=settings.read_keys(),
            probes=settings.probes,
            contacts=settings.contacts,
            evidence_origin=settings.evidence_origin,
            witnesses=settings.witnesses,
            retention=RetentionPolicy(settings.retention_days, settings.retention_every_hours),
            parts=parts,
        )


@contextmanager
def serving_logs() -> Iterator[Callable[[str], None]]:
    """Log to standard error, and print messages for the person who started it to standard output."""
    from lineage.serve.processes.logs import LogSettings, logging_to

    try:
        import starlette  # noqa: F401 (is it there?)
    except ImportError as error:
        packages = "make setup, or pip install 'delegraph[serve]'"
        raise RefusedError(f"serving needs a few more packages: {packages}") from error
    with logging_to(sys.stderr, LogSettings.of(os.environ, terminal=sys.stderr.isatty())):
        yield click.echo


@click.command()
@click.option("--everywhere", is_flag=True, help="One incident through five systems instead, from their own logs.")
@click.option("--serve", is_flag=True, help="Explore it afterwards: serve it until stopped, and print the link.")
@click.option(
    "--http", metavar="HOST:PORT", help="Where to serve it. [env: DELEGRAPH_HTTP_LISTEN; default: 127.0.0.1:8480]"
)
@shared_options(json_only=True)
def demo(settings: "Settings", out: Output, everywhere: bool, serve: bool, **_from_settings: str | None) -> None:
    """Show a worked incident in a temporary store: who did it, what a revocation ends, and the proof.

    \b
      delegraph demo
      delegraph demo --serve        in the browser
      delegraph demo --everywhere   through Keycloak, MCP, Kubernetes, OpenBao and AWS
    """  # noqa: D301
    if everywhere and serve:
        raise RefusedError(
            "give --serve or --everywhere; 'delegraph try --serve' shows the logs of examples/everywhere"
        )
    if everywhere:
        from lineage.serve.cli.demo_everywhere import run as tell

        sys.exit(tell(out.console, as_json=out.as_json))
    if serve:
        with serving_logs() as say:
            from lineage.serve.cli.demo_serving import run_serving

            run_serving(settings.http, say=say)
        return
    from lineage.serve.cli.demo import run

    sys.exit(run(out.console, as_json=out.as_json))


@click.command()
@shared_options()
def doctor(settings: "Settings", out: Output) -> None:
    """Check what is configured, what works, what does not, and why.

    \b
      delegraph doctor
      delegraph doctor --store sqlite:////var/lib/delegraph/store.db
    """  # noqa: D301
    from lineage.serve.cli.doctor import doctor as examine
    from lineage.serve.cli.doctor_checks import Checks
    from lineage.serve.text import render_chain

    checks = Checks()
    document = examine(settings, checks)
    out.document(document, render_chain.doctor)
    if checks.is_damaged:
        raise DamagedError("the store is damaged; see above")
    if not document["ok"]:
        raise UnavailableError("something does not answer; see above")
