"""Commands that move data: ingest, emit, quarantine, rebuild, fsck, schema."""

import json
import math
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import click

from lineage.core.model.errors import (
    IntegrityError,
    RefusedError,
)
from lineage.serve.cli.options import (
    shared_options,
    table_options,
)
from lineage.serve.cli.output import EXIT_REFUSED, Output

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    from lineage.serve.config.wiring import Settings


class _Seconds(click.FloatRange):
    """A number of seconds, up to a day."""

    name = "seconds"

    def __init__(self) -> None:
        super().__init__(min=0, max=86_400)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return number


_SECONDS: Final = _Seconds()


class _FormatName(click.ParamType[str]):
    """The name of a format. The table of formats is only loaded for a value or for the help."""

    name = "format"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in (known := self._known()):
            self.fail(f"{value!r} is not a format; use one of {', '.join(known)}.", param, ctx)
        return value

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        return f"[{'|'.join(self._known())}]"

    def _known(self) -> tuple[str, ...]:
        from ingest.sources.file_import import FORMATS

        return FORMATS


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--format",
    "format_",
    type=_FormatName(),
    default="auto",
    show_default=True,
    help="The format of the files, gzipped or not.",
)
@click.option("--quarantine-unknown", is_flag=True, help="Quarantine a file of unknown format instead of refusing it.")
@click.option(
    "--source", "source_name", metavar="NAME", help="The system whose log it is: a [[source]] of the settings file."
)
@shared_options()
def ingest(
    settings: "Settings",
    out: Output,
    files: tuple[str, ...],
    format_: str,
    source_name: str | None,
    quarantine_unknown: bool,
) -> None:
    """Append the events of files to the log and project them.

    \b
      delegraph ingest examples/incident.jsonl
      delegraph ingest --format vault /var/log/vault/audit.log
      delegraph ingest --source vault-eu /var/log/vault/audit.log
      zcat events.jsonl.gz | delegraph ingest -

    Records that cannot be read go to quarantine with reason and position; the others are ingested. If the format of a
    file is unknown, nothing is ingested from any file.
    """  # noqa: D301
    from ingest.sources.file_import import refuse_unreadable
    from lineage.serve.commands.intake import counts, read_files
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.records.sources import sources as sources_of
    from lineage.serve.text import render_chain, render_sources

    refuse_unreadable(files)
    with opened_service(settings, create=True) as service:
        with out.progress("reading", size_of(files)) as progress:
            intake = read_files(
                service,
                files,
                format=format_,
                sources=settings.sources,
                source=source_name,
                quarantine_unknown=quarantine_unknown,
                progress=progress,
            )
        with out.progress("projecting", service.as_of()["behind"]) as progress:
            service.catch_up(progress)
        out.document(counts(service, intake), render_chain.counts)
        if intake.foreign and settings.sources:
            for sentence in render_sources.identity_problems(sources_of(service, settings.sources)):
                click.echo(f"delegraph: note: {sentence}", err=True)


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE...]")
@click.option(
    "--spool", metavar="FILE", help="Keep events here until the log has them; those of an earlier run are sent first."
)
@click.option(
    "--wait",
    "wait_seconds",
    type=_SECONDS,
    default=60,
    show_default=True,
    help="Give up when the log has accepted nothing for this long.",
)
@shared_options()
def emit(settings: "Settings", out: Output, files: tuple[str, ...], spool: str | None, wait_seconds: float) -> None:
    """Publish the events of JSONL files to the log, without projecting them.

    \b
      delegraph emit events.jsonl && delegraph consume --drain
      delegraph emit --spool spool.db events.jsonl    nothing is lost if the log is unavailable
      delegraph emit --spool spool.db                 send the events that are waiting there
      delegraph emit --wait 600 events.jsonl          wait ten minutes for an unavailable broker

    A line that is not an event is refused and reported, the others are published, and the exit code is 2. If the broker
    is unavailable for too long the exit code is 5, and the events stay in the spool, even if none was named: the error
    says where it is and how to send them.
    """  # noqa: D301
    from ingest.producer.file_publisher import publish
    from lineage.serve.config.wiring import now
    from lineage.serve.text import render_chain

    if not files and spool is None:
        raise RefusedError("name the files to publish, or a --spool to send what waits in it")
    with out.progress("publishing", size_of(files)) as progress:
        document = publish(
            files,
            settings.log_url,
            clock=now,
            settings=settings.kafka,
            spool=spool,
            wait_seconds=wait_seconds,
            progress=progress,
        )
    out.document(document, render_chain.emitted)
    if document["refused"]:
        sys.exit(EXIT_REFUSED)


@click.command()
@click.option("--retry", is_flag=True, help="Project the records that can be read now.")
@click.option("--all", "everything", is_flag=True, help="Include records that were released since.")
@click.option("--after", type=int, default=0, help="Continue after this id.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True)
@shared_options()
@table_options()
def quarantine(settings: "Settings", out: Output, retry: bool, everything: bool, after: int, limit: int) -> None:
    """Rejected records: the reason, the position, and the raw record.

    \b
      delegraph quarantine
      delegraph quarantine --retry        after an upgrade: project what can be read now
    """  # noqa: D301
    from lineage.serve.commands import maintenance
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.records.quarantine_and_conflicts import quarantine as quarantine_of
    from lineage.serve.text import render_chain

    with opened_service(settings) as service:
        if retry:
            out.document(maintenance.retry(service), render_chain.retried)
        else:
            found = quarantine_of(service, after=after, limit=limit, everything=everything)
            out.listed(found, render_chain.quarantine, "quarantine")


@click.command()
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    metavar="N",
    help="The most processes that read and decode records besides the one that writes: by default as many as there "
    "are cores, but at most 3, and none for fewer than 100,000 records or with one core. Each takes some 350 MB.",
)
@shared_options()
def rebuild(settings: "Settings", out: Output, workers: int | None) -> None:
    """Project the log again next to the stored projection, and replace it.

    \b
      delegraph rebuild && delegraph fsck
    """  # noqa: D301
    from lineage.serve.commands import maintenance
    from lineage.serve.commands.rebuild_workers import Workers, default_workers
    from lineage.serve.config.wiring import log_opener, opened_service
    from lineage.serve.text import render_chain

    most = default_workers() if workers is None else workers
    with opened_service(settings, create=True) as service:
        with out.progress("projecting", maintenance.records_in_log(service)) as progress:
            document = maintenance.rebuild(service, progress, Workers(log_opener(settings), most))
        out.document(document, render_chain.consumed)


@click.command()
@click.option("--live", metavar="HOST:PORT", help="Also check the live graph of the consumer that listens there.")
@shared_options()
def fsck(settings: "Settings", out: Output, live: str | None) -> None:
    """Compare the stored projection with a fresh one of the log; exit code 6 if they differ.

    \b
      delegraph fsck || delegraph rebuild
      delegraph fsck --live 127.0.0.1:9464
    """  # noqa: D301
    from lineage.serve.commands import maintenance
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.processes.live_graph_check import check_live
    from lineage.serve.text import render_chain

    with opened_service(settings) as service:
        with out.progress("projecting", maintenance.records_in_log(service)) as progress:
            document = maintenance.fsck(service, progress)
            if live is not None:
                document["differences"] += check_live(service, live, progress)
                document["ok"] = not document["differences"]
        out.document(document, render_chain.checked)
    if not document["ok"]:
        raise IntegrityError("the stored projection differs from the log; repair it with 'delegraph rebuild'")


@click.command()
@click.option("--vectors", is_flag=True, help="The test vectors instead: event, bytes and digest, one on each line.")
@shared_options(json_only=True)
def schema(settings: "Settings", out: Output, vectors: bool) -> None:  # noqa: ARG001
    """Print the wire contract: the newest Avro schema, for producers in other languages.

    \b
      delegraph schema > decision_event.avsc
      delegraph schema --vectors > vectors.jsonl
      delegraph schema --json        with name, version, fingerprint and SHA-256
    """  # noqa: D301
    import schemas

    if vectors:
        for vector in schemas.vectors():
            click.echo(json.dumps(vector, ensure_ascii=False))
        return
    latest = schemas.latest()
    if out.as_json:
        document = {
            "name": latest.name,
            "version": latest.version,
            "fingerprint": latest.fingerprint.hex(),
            "sha256": latest.sha256,
            "schema": latest.definition,
        }
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo(schemas.text_of(latest).rstrip("\n"))


@click.command()
@shared_options()
@table_options()
def sources(settings: "Settings", out: Output) -> None:
    """List the systems whose logs are read: how many records, which were skipped and why, and unmapped ids.

    \b
      delegraph sources
      delegraph sources --json
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.records.sources import sources as found
    from lineage.serve.text import render_sources

    with opened_service(settings) as service:
        out.listed(found(service, settings.sources), render_sources.sources, "sources")


def size_of(files: Iterable[str]) -> int | None:
    """The total size of files in bytes; None if one of them has no size, such as standard input."""
    from pathlib import Path

    try:
        return sum(Path(name).stat().st_size for name in files)
    except OSError:
        return None
