"""``delegraph try``: what a user's own logs contain, without settings, in a temporary store."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from lineage.core.model.errors import RefusedError
from lineage.serve.cli.options import now, shared_options
from lineage.serve.cli.output import Document, Output
from lineage.serve.documents.unread_files import Unread, UnreadFile

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    from ingest.sources.file_import import FileImport, FileOutcome
    from ingest.sources.recognition import File
    from lineage.serve.config.wiring import Settings
    from lineage.serve.queries.service import Service

_SOURCE: Final = "urn:delegraph:try"
_MOST_FILES: Final = 10_000
_LATE: Final = "late-fact"  # old logs are always recorded late, so a late record is no finding here


@click.command(name="try")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--serve", is_flag=True, help="Explore it afterwards: serve it until stopped, and print the link.")
@click.option(
    "--http", metavar="HOST:PORT", help="Where to serve it. [env: DELEGRAPH_HTTP_LISTEN; default: 127.0.0.1:8480]"
)
@shared_options(json_only=True)
def try_(settings: "Settings", out: Output, files: tuple[str, ...], serve: bool, **_from_settings: str | None) -> None:
    """Look at your own logs in a temporary store: who acted, who stood behind it, what is missing, what is wrong.

    \b
      delegraph try /var/log/vault/audit.log
      delegraph try cloudtrail/ keycloak-events.jsonl.gz
      delegraph try --serve audit.log                       in the browser

    No settings are needed, and nothing is kept. In a folder every file of a known format is read, at any depth. A
    named file of unknown format is refused with exit code 2.
    """  # noqa: D301
    from lineage.core.findings.options import Options, RuleOptions
    from lineage.serve.commands.intake import counts
    from lineage.serve.queries.overviews.overview import overview
    from lineage.serve.text import render_overview

    with ExitStack() as stack:
        say = stack.enter_context(_serving()) if serve else None
        found, unread = _found(files)
        service = stack.enter_context(_throw_away())
        intake = _ingest(service, found, out)
        document = {
            "files": [_file_document(outcome) for outcome in intake.files],
            "unread": [one._asdict() for one in unread],
            "read": counts(service, intake),
            **overview(service, at=now(), options=Options(rules={_LATE: RuleOptions(enabled=False)})),
        }
        out.document(document, lambda doc: render_overview.tried(doc, files))
        if say is not None:
            from lineage.serve.processes.http_process import serve as run

            sys.stdout.flush()
            run(service, settings.http, say=say)


@contextmanager
def _serving() -> Iterator[Callable[[str], None]]:
    from lineage.serve.cli.process_commands import serving_logs

    with serving_logs() as say:
        yield say


def _found(names: Iterable[str]) -> "tuple[list[File], list[UnreadFile]]":
    """Find the files of known formats, and those in folders that are not read.

    Raises:
        RefusedError: A named file cannot be opened or has no known format, or nothing can be read.
    """
    from ingest.sources.recognition import UNKNOWN, looked_for_in, recognised

    found: list[File] = []
    unread: list[UnreadFile] = []
    closed: list[UnreadFile] = []
    for name in names:
        if name == "-" or not Path(name).is_dir():
            [file] = recognised([name], "auto", None, quarantine_unknown=True)
            if file.format == UNKNOWN:
                raise RefusedError(f"{looked_for_in(file)}; nothing was read")
            found.append(file)
            continue
        for path in _below(Path(name), closed):
            try:
                [file] = recognised([path], "auto", None, quarantine_unknown=True)
            except RefusedError as fault:
                cause = Unread.NOT_ALLOWED if isinstance(fault.__cause__, PermissionError) else Unread.DAMAGED
                unread.append(UnreadFile(path, cause, str(fault)))
                continue
            if file.format == UNKNOWN:
                unread.append(UnreadFile(file.name, Unread.OTHER_FORMAT, "of no known format"))
            elif Path(path).stat().st_size == 0:
                unread.append(UnreadFile(file.name, Unread.EMPTY, "empty"))
            else:
                found.append(file)
    unread += closed
    if not found:
        raise RefusedError(_nothing(names, unread))
    return found, unread


def _below(folder: Path, closed: list[UnreadFile]) -> Iterator[str]:
    """Yield the files in and below a folder, except hidden ones, in order; add folders that may not be read.

    Raises:
        RefusedError: There are too many of them.
    """
    from ingest.sources.recognition import not_allowed

    def cannot(error: OSError) -> None:
        closed.append(UnreadFile(error.filename, Unread.NOT_ALLOWED, not_allowed(error.filename)))

    count = 0
    for at, folders, names in os.walk(folder, onerror=cannot):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and (Path(at) / name).is_file():
                count += 1
                if count > _MOST_FILES:
                    raise RefusedError(f"{folder} holds more than {_MOST_FILES:,} files; name a folder within it")
                yield str(Path(at) / name)


def _nothing(names: Iterable[str], unread: Sequence[UnreadFile]) -> str:
    from ingest.sources.adapters import FORMATS

    if closed := [one.why for one in unread if one.cause is Unread.NOT_ALLOWED]:
        more = f", and {len(closed) - 1} more" if len(closed) > 1 else ""
        return f"{closed[0]}{more}; nothing was read"

    listed = "; ".join(f"{format_.name} ({format_.known_by})" for format_ in FORMATS.values())
    return (
        f"no file in {', '.join(names)} is of a format that is known here. Looked for, in JSON, also wrapped and in "
        f"gzip: events of delegraph (type, event_id and source); {listed}"
    )


@contextmanager
def _throw_away() -> "Iterator[Service]":
    """Open a service over a temporary store and log, for many threads."""
    from lineage.serve.config.wiring import opened_embedded_service, opened_shared_embedded_service

    with tempfile.TemporaryDirectory(prefix="delegraph-try-") as folder:
        url = f"sqlite:///{Path(folder) / 'delegraph.db'}"
        with opened_embedded_service(url, now, source=_SOURCE, create=True):
            pass
        with opened_shared_embedded_service(url, now, source=_SOURCE) as service:
            yield service


def _ingest(service: "Service", files: "Sequence[File]", out: Output) -> "FileImport":
    from lineage.serve.cli.data_commands import size_of
    from lineage.serve.commands.intake import read_recognised

    with out.progress("reading", size_of(file.path for file in files)) as progress:
        intake = read_recognised(service, files, progress=progress)
    with out.progress("projecting", service.as_of()["behind"]) as progress:
        service.catch_up(progress)
    return intake


def _file_document(outcome: "FileOutcome") -> Document:
    from ingest.sources.adapters import FORMATS

    format_ = FORMATS.get(outcome.format)
    return {
        "file": outcome.name,
        "format": outcome.format,
        "known_by": "type, event_id and source" if format_ is None else format_.known_by,
        "records": outcome.records,
        "events": outcome.events,
        "skipped": dict(outcome.skipped.most_common()),
        "quarantined": dict(outcome.quarantined.most_common()),
    }
