"""The command line: DESIGN section 6, one function a command. It parses, asks the service, and prints."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from lineage import __version__
from lineage.core.model.errors import (
    BadRecordError,
    DelegraphError,
    DriftError,
    FencedError,
    IntegrityError,
    RefusedError,
    UnavailableError,
)
from lineage.core.model.times import Instant, parse_instant

if TYPE_CHECKING:  # what is heavy is imported by the command that needs it: `--help` and completion stay quick
    from rich.console import Console, RenderableType

    from lineage.core.revocation.reach import Proposal
    from lineage.serve.config.wiring import Settings
    from lineage.serve.queries.service import Service

Document = dict[str, Any]

EXIT_REFUSED: Final = 2
EXIT_NOT_FOUND: Final = 3
EXIT_UNAVAILABLE: Final = 5
# What a fault means as an exit code; the first that fits.
_EXIT_CODES: Final[tuple[tuple[type[DelegraphError], int], ...]] = (
    (DriftError, 4),
    (UnavailableError, 5),
    (FencedError, 5),
    (IntegrityError, 6),
    (RefusedError, EXIT_REFUSED),
    (BadRecordError, EXIT_REFUSED),
)


def exit_code(fault: DelegraphError) -> int:
    """The exit code of a fault."""
    return next((code for kind, code in _EXIT_CODES if isinstance(fault, kind)), 1)


# Options


class _Instant(click.ParamType[Instant]):
    """A time on the command line: RFC 3339 with an offset, or ``now``."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Instant:
        if isinstance(value, int):
            return value
        if value == "now":
            return _now()
        try:
            return parse_instant(value)
        except ValueError as error:
            self.fail(f"{value!r} is {error}" if str(error).startswith("not") else f"{value!r}: {error}", param, ctx)


TIME: Final = _Instant()
_MODE: Final = click.Choice(["revoke", "suspend"])
_REASONS: Final = (
    "compromise", "credential_leak", "key_compromise", "offboarding", "role_change", "task_completed",
    "policy_violation", "risk_elevated", "user_request", "inactivity", "superseded", "admin", "test", "other",
)  # fmt: skip


def _now() -> Instant:
    from lineage.serve.config.wiring import now

    return now()


def _shared(*, json_only: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options that every command has: where the store, the log and the trust file are, and ``--json``."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(*args: Any, **options: Any) -> Any:
            from lineage.serve.config.wiring import Settings

            given = {name: options.pop(name, None) for name in ("store", "log", "trust")}
            outer = click.get_current_context().find_root().params
            as_json = bool(options.pop("json") or outer.get("json"))
            options = {name: value if name == "files" else _readable(value) for name, value in options.items()}
            with _faults(as_json=as_json):
                given |= {name: options.get(name) for name in ("source", "group", "listen", "four_eyes", "http")}
                settings = Settings.of(**{name: value or outer.get(name) for name, value in given.items()})
                return function(*args, settings=settings, out=_Out(as_json=as_json), **options)

        shared: list[Callable[..., Any]] = [click.option("--json", is_flag=True, help="One JSON document a line.")]
        if not json_only:
            shared += [
                click.option("--trust", metavar="FILE", help="The trust file. [env: DELEGRAPH_TRUST]"),
                click.option("--log", metavar="URL", help="The log; by default inside the store. [env: DELEGRAPH_LOG]"),
                click.option(
                    "--store", metavar="URL", help="The store. [env: DELEGRAPH_STORE; default: sqlite:///delegraph.db]"
                ),
            ]
        for option in shared:
            run = option(run)
        return run

    return decorate


def _readable(value: Any) -> Any:
    """A word of the command line that is no UTF-8 names nothing of ours, and must be printable all the same."""
    if isinstance(value, str):
        return value.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return tuple(_readable(item) for item in value) if isinstance(value, tuple) else value


_AT: Final = click.option("--at", type=TIME, metavar="TIME", help="The instant asked about. [default: now]")
_KNOWN_AT: Final = click.option(
    "--known-at", type=TIME, metavar="TIME", help="Only what was recorded by then. [default: everything]"
)
_STALE: Final = click.option(
    "--stale", is_flag=True, help="Answer from what is projected even if the log cannot be asked for what is not."
)
_FOUR_EYES: Final = click.option(
    "--four-eyes",
    metavar="N",
    help="Above so many elements ask for a second person. [env: DELEGRAPH_FOUR_EYES; default: never]",
)
_UNSEEN: Final = click.option("--unseen", is_flag=True, help="Go on even if no fact names the target yet.")


def _what_it_hits(function: Callable[..., Any]) -> Callable[..., Any]:
    shared: tuple[Callable[..., Any], ...] = (
        click.option("--no-cascade", is_flag=True, help="End what is hit alone, not what depends on it."),
        click.option("--issued-before", type=TIME, metavar="TIME", help="Spare what was issued at this time or later."),
        click.option("--mode", type=_MODE, default="revoke", show_default=True, help="Suspend: until lifted."),
    )
    for option in shared:
        function = option(function)
    return function


# Output


class _Out:
    """Where answers go: documents as JSON lines, or what people read."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.missing = False
        self.wrong = False

    @property
    def console(self) -> "Console":
        from rich.console import Console

        return Console(soft_wrap=True, highlight=False, emoji=False)

    def document(self, document: Document, render: "Callable[[Document], RenderableType]") -> None:
        """Print a document."""
        if self.as_json:
            click.echo(json.dumps(document, ensure_ascii=False, separators=(",", ":")))
        else:
            self.console.print(render(document))

    def not_found(self, asked: str) -> None:
        """Say that no fact names an id; the command then exits with 3."""
        self.missing = True
        if self.as_json:
            click.echo(json.dumps({"error": "not_found", "id": asked}, ensure_ascii=False, separators=(",", ":")))
        else:
            click.echo(f"No fact names {_printable(asked)}.", err=True)

    def refused(self, asked: str, fault: RefusedError) -> None:
        """Say why a question cannot be asked of an id; the others are answered, and the command then exits with 2."""
        self.wrong = True
        if self.as_json:
            document = {"error": "refused", "id": asked, "detail": str(fault)}
            click.echo(json.dumps(document, ensure_ascii=False, separators=(",", ":")))
        click.echo(f"delegraph: {_printable(str(fault))}", err=True)

    def finish(self) -> None:
        """Exit with 2 if anything was refused, else with 3 if anything was not found."""
        if self.wrong or self.missing:
            sys.exit(EXIT_REFUSED if self.wrong else EXIT_NOT_FOUND)

    @contextmanager
    def progress(self, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A progress bar on a terminal; elsewhere nothing."""
        if self.as_json or not sys.stderr.isatty():
            yield lambda _done: None
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.advance(task, done)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)


@contextmanager
def _faults(*, as_json: bool) -> Iterator[None]:
    try:
        yield
        sys.stdout.flush()
    except DelegraphError as fault:
        if as_json and isinstance(fault, DriftError):
            difference = {"error": "drifted", "unlisted": list(fault.unlisted)}
            click.echo(json.dumps(difference, ensure_ascii=False, separators=(",", ":")))
        _fail(fault)
    except BrokenPipeError:  # whoever read the answer has had enough
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        click.echo(f"delegraph: the answer cannot be written: {error.strerror}", err=True)
        sys.stdout = None  # what is left in its buffer cannot be written either
        sys.exit(EXIT_UNAVAILABLE)


def _fail(fault: DelegraphError) -> NoReturn:
    click.echo(f"delegraph: {_printable(str(fault))}", err=True)
    if isinstance(fault, DriftError):
        for key in fault.unlisted:
            click.echo(f"  not in the plan: {_printable(key)}", err=True)
    sys.exit(exit_code(fault))


def _asked(ids: Iterable[str]) -> Iterator[str]:
    """The ids on the command line; ``-`` reads them from standard input, one a line."""
    for id_ in ids:
        if id_ == "-":
            for line in sys.stdin.buffer:
                if asked := line.rstrip(b"\r\n"):
                    yield asked.decode(errors="backslashreplace")
        else:
            yield id_


# Commands


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="delegraph")
@click.option("--store", metavar="URL", hidden=True)
@click.option("--log", metavar="URL", hidden=True)
@click.option("--trust", metavar="FILE", hidden=True)
@click.option("--json", is_flag=True, hidden=True)
def main(**_options: Any) -> None:
    """Who stood behind what an AI agent did, and what falls when that is revoked.

    \b
    Start here:
      delegraph demo                              a worked incident, in a throw-away store
      delegraph ingest examples/incident.jsonl    facts in
      delegraph who ACTION                        answers out
      delegraph reach token:ID                    what an order would kill
      delegraph revoke token:ID --reason credential_leak --by human:you

    Shell completion: eval "$(_DELEGRAPH_COMPLETE=bash_source delegraph)" (or zsh_source, fish_source).
    """  # noqa: D301 (\b is click's)


@main.command()
@click.option("--serve", is_flag=True, help="Then look around in it: serve it until stopped, and print the link.")
@click.option(
    "--http", metavar="HOST:PORT", help="Where to serve it. [env: DELEGRAPH_HTTP_LISTEN; default: 127.0.0.1:8480]"
)
@_shared(json_only=True)
def demo(settings: "Settings", out: _Out, serve: bool, **_said: str | None) -> None:
    """A worked incident in a throw-away store: who did it, what falls, the proof that it fell.

    \b
      delegraph demo
      delegraph demo --serve        in the browser
    """  # noqa: D301
    if serve:
        with _serving() as say:
            from lineage.serve.cli.demo_serving import run_serving

            run_serving(settings.http, say=say)
        return
    from lineage.serve.cli.demo import run

    sys.exit(run(out.console, as_json=out.as_json))


@main.command()
@click.option("--partitions", type=click.IntRange(1), help="Of each topic that is made. [default: the cluster's]")
@click.option("--replication", type=click.IntRange(1), help="Copies of each partition. [default: the cluster's]")
@click.option("--reader", metavar="ROLE", help="A role of PostgreSQL that may read the store, and nothing else.")
@_shared()
def init(settings: "Settings", out: _Out, partitions: int | None, replication: int | None, reader: str | None) -> None:
    """Create what is missing: the tables of the store, the embedded log, the topics on Kafka. Harmless to repeat.

    \b
      delegraph init --store sqlite:////var/lib/delegraph/store.db
      delegraph init --log kafka://broker:9092 --partitions 12 --replication 3
    """  # noqa: D301
    from lineage.serve.cli.init_command import prepare

    document = prepare(settings, partitions=partitions, replication=replication, reader=reader)
    out.document(document, lambda doc: f"The store {doc['store']} and the log {doc['log']} are ready.")


class _Format(click.ParamType[str]):
    """The name of a format. The table of formats is read only when somebody names one, or asks for help."""

    name = "format"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in (known := self._known()):
            self.fail(f"{value!r} is no format; there are {', '.join(known)}.", param, ctx)
        return value

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        return f"[{'|'.join(self._known())}]"

    def _known(self) -> tuple[str, ...]:
        from ingest.sources.file_import import FORMATS

        return FORMATS


@main.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--format",
    "format_",
    type=_Format(),
    default="auto",
    show_default=True,
    help="What the files hold; gzipped or not.",
)
@_shared()
def ingest(settings: "Settings", out: _Out, files: tuple[str, ...], format_: str) -> None:
    """Append the events of files to the log and project them.

    \b
      delegraph ingest examples/incident.jsonl
      delegraph ingest --format vault /var/log/vault/audit.log
      zcat events.jsonl.gz | delegraph ingest -

    What cannot be read goes to quarantine with its reason and place; the rest goes in.
    """  # noqa: D301
    from ingest.projector import project
    from ingest.sources.file_import import refuse_unreadable, take_in
    from lineage.serve.config.wiring import now, opened_service
    from lineage.serve.text import render_chain as render

    refuse_unreadable(files)
    with opened_service(settings, create=True) as service:
        with out.progress("reading", _size(files)) as progress:
            log = service.require_log()
            intake = take_in(files, log, service.store, format=format_, clock=now, progress=progress)
        with out.progress("projecting", service.as_of()["behind"]) as progress:
            project(log, service.store, service.trust.table, progress=progress)
        out.document(service.counts(intake), render.counts)


def _size(files: Iterable[str]) -> int | None:
    from pathlib import Path

    try:
        return sum(Path(name).stat().st_size for name in files)
    except OSError:
        return None


@main.command()
@click.argument("files", nargs=-1, metavar="[FILE...]")
@click.option(
    "--spool", metavar="FILE", help="Keep events here until the log has them; what an earlier run left goes first."
)
@_shared()
def emit(settings: "Settings", out: _Out, files: tuple[str, ...], spool: str | None) -> None:
    """Be a producer: publish the events of JSONL files to the log, without projecting them.

    \b
      delegraph emit events.jsonl && delegraph consume --drain
      delegraph emit --spool spool.db events.jsonl    nothing is lost if the log is away
      delegraph emit --spool spool.db                 send what waits there

    A line that is no event is refused by name, the others are published, and the exit code is 2.
    """  # noqa: D301
    from ingest.producer.file_publisher import publish
    from lineage.serve.config.wiring import now
    from lineage.serve.text import render_chain as render

    if not files and spool is None:
        raise RefusedError("name the files to publish, or a --spool to send what waits in it")
    with out.progress("publishing", _size(files)) as progress:
        document = publish(files, settings.log_url, clock=now, settings=settings.kafka, spool=spool, progress=progress)
    out.document(document, render.emitted)
    if document["refused"]:
        sys.exit(EXIT_REFUSED)


@main.command()
@click.option("--drain", is_flag=True, help="Stop at the end that the log has now.")
@click.option("--group", metavar="NAME", help="The consumer group. [env: DELEGRAPH_GROUP; default: delegraph]")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Metrics, health and the live graph, such as 127.0.0.1:9464. [env: DELEGRAPH_LISTEN; default: none]",
)
@_shared()
def consume(settings: "Settings", out: _Out, drain: bool, **_said: str | None) -> None:
    """Run the consumer: project what the log holds, and what comes, until stopped (SIGINT, SIGTERM).

    \b
      delegraph consume --drain                    up to the end that the log has now
      delegraph consume                            until stopped
      delegraph consume --listen 127.0.0.1:9464    with metrics, health and the live graph
    """  # noqa: D301
    from lineage.serve.processes.consumer_process import consume as run
    from lineage.serve.processes.logs import LogSettings, logging_to
    from lineage.serve.text import render_chain as render

    how = LogSettings.of(os.environ, terminal=sys.stderr.isatty())
    with logging_to(sys.stderr, how):
        progress = partial(out.progress, "projecting")
        out.document(run(settings, drain=drain, progress=progress), render.consumed)


@main.command()
@click.argument("actions", nargs=-1, required=True, metavar="ACTION...")
@_AT
@_KNOWN_AT
@_shared()
def who(
    settings: "Settings", out: _Out, actions: tuple[str, ...], at: Instant | None, known_at: Instant | None
) -> None:
    """Who stood behind an action: human, agents, tokens, hop by hop; the state then and now; the gaps.

    \b
      delegraph who mail-7
      delegraph who mail-7 --at 2026-11-02T10:00:00Z --json
      cut -f1 suspicious.tsv | delegraph who -
    """  # noqa: D301
    from lineage.serve.text import render_chain as render

    _ask(
        settings,
        out,
        actions,
        at,
        lambda doc: render.who(doc, at=at),
        lambda service, asked, when: service.who(asked, at=when, known_at=known_at),
    )


@main.command()
@click.argument("ids", nargs=-1, required=True, metavar="KIND:ID...")
@_AT
@_KNOWN_AT
@_shared()
def chain(settings: "Settings", out: _Out, ids: tuple[str, ...], at: Instant | None, known_at: Instant | None) -> None:
    """Who stood behind a token or a delegation.

    \b
      delegraph chain token:https://idp.example#4711
    """  # noqa: D301
    from lineage.serve.text import render_chain as render

    _ask_of(
        settings,
        out,
        ids,
        at,
        lambda doc: render.chain(doc, at=at),
        lambda s, kind, id_, when: s.chain(kind, id_, at=when, known_at=known_at),
    )


@main.command()
@click.argument("ids", nargs=-1, required=True, metavar="KIND:ID...")
@_AT
@_KNOWN_AT
@_shared()
def status(settings: "Settings", out: _Out, ids: tuple[str, ...], at: Instant | None, known_at: Instant | None) -> None:
    """The state of a token, delegation, principal, workload, session or client, and because of which order.

    \b
      delegraph status token:t1 principal:agent:planner
    """  # noqa: D301
    from lineage.serve.text import render_chain as render

    _ask_of(
        settings,
        out,
        ids,
        at,
        render.status,
        lambda s, kind, id_, when: s.status(kind, id_, at=when, known_at=known_at),
    )


@main.command()
@click.argument("ids", nargs=-1, required=True, metavar="KIND:ID...")
@_AT
@_KNOWN_AT
@_what_it_hits
@_STALE
@_shared()
def reach(
    settings: "Settings",
    out: _Out,
    ids: tuple[str, ...],
    at: Instant | None,
    known_at: Instant | None,
    stale: bool,
    **how: Any,
) -> None:
    """What an order given at --at would kill of what is alive then (the blast radius).

    \b
      delegraph reach token:t1
      delegraph reach principal:agent:planner --mode suspend
    """  # noqa: D301
    from lineage.serve.text import render_chain as render

    def plan(service: "Service", kind: str, id_: str, when: Instant) -> Document | None:
        return service.reach(_proposal(kind, id_, when, how), known_at=known_at, stale=stale)

    _ask_of(settings, out, ids, at, lambda doc: render.plan(doc, **_asked_how(how)), plan)


def _asked_how(how: dict[str, Any]) -> dict[str, Any]:
    return {"mode": how["mode"], "issued_before": how["issued_before"], "cascade": not how["no_cascade"]}


def _proposal(kind: str, id_: str, at: Instant, how: dict[str, Any]) -> "Proposal":
    from lineage.core.model.events import Target
    from lineage.core.revocation.reach import Proposal

    return Proposal(target=Target(kind, id_), at=at, **_asked_how(how))


def _ask_of(
    settings: "Settings",
    out: _Out,
    ids: Iterable[str],
    at: Instant | None,
    render: "Callable[[Document], RenderableType]",
    question: "Callable[[Service, str, str, Instant], Document | None]",
) -> None:
    from lineage.serve.queries.service import split_of

    _ask(settings, out, ids, at, render, lambda service, asked, when: question(service, *split_of(asked), when))


def _ask(
    settings: "Settings",
    out: _Out,
    ids: Iterable[str],
    at: Instant | None,
    render: "Callable[[Document], RenderableType]",
    question: "Callable[[Service, str, Instant], Document | None]",
) -> None:
    """Ask a question of several ids: every answer is printed, in the order asked."""
    from lineage.serve.config.wiring import opened_service

    when = _now() if at is None else at
    with opened_service(settings) as service:
        for asked in _asked(ids):
            try:
                document = question(service, asked, when)
            except RefusedError as fault:
                out.refused(asked, fault)
                continue
            if document is None:
                out.not_found(asked)
            else:
                out.document(document, render)
    out.finish()


@main.command()
@click.argument("target", metavar="KIND:ID")
@click.option("--reason", type=click.Choice(_REASONS), required=True, help="Why.")
@click.option("--by", "by", required=True, metavar="PRINCIPAL", help="Who orders it, such as human:you@example.com.")
@_what_it_hits
@click.option("--note", help="What people should know later.")
@click.option("--approved-by", metavar="PRINCIPAL", help="The second person.")
@click.option("--effective-at", type=TIME, metavar="TIME", help="From when on. [default: now]")
@click.option("--id", "revocation", metavar="ID", help="The id of the order. [default: made]")
@click.option("--source", metavar="URI", help="The source to send it under. [env: DELEGRAPH_SOURCE]")
@click.option("--execute", is_flag=True, help="Give the order; without it only the plan is printed.")
@click.option("--plan-digest", metavar="DIGEST", help="The plan looked at: refused (4) if it would kill anything else.")
@click.option("--max-kills", type=click.IntRange(0), default=1000, show_default=True, help="Without a digest.")
@_FOUR_EYES
@_UNSEEN
@_STALE
@_shared()
def revoke(settings: "Settings", out: _Out, target: str, by: str, execute: bool, stale: bool, **how: Any) -> None:
    """Print the plan of an order; with --execute give it and wait until it is in force.

    \b
      delegraph revoke token:t1 --reason credential_leak --by human:you
      delegraph revoke token:t1 --reason credential_leak --by human:you --execute --plan-digest DIGEST

    A token or a delegation is revoked for good. A principal, workload, session or client is revoked until the
    order is lifted: until then new authority for it is born dead, and the old never comes back.
    """  # noqa: D301
    from lineage.core.model.events import Target
    from lineage.serve.commands.order_checks import refuse_people
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries.service import OrderRequest, split_of
    from lineage.serve.text import render_chain as render

    kind, id_ = split_of(target)
    with opened_service(settings) as service:
        if execute:
            request = OrderRequest(
                target=Target(kind, id_),
                reason=how["reason"],
                ordered_by=by,
                mode=how["mode"],
                cascade=not how["no_cascade"],
                issued_before=how["issued_before"],
                effective_at=how["effective_at"],
                note=how["note"],
                approved_by=how["approved_by"],
                revocation=how["revocation"],
                plan_digest=how["plan_digest"],
                max_kills=how["max_kills"],
                four_eyes=settings.four_eyes,
                unseen=how["unseen"],
            )
            document = service.order(request)
        else:
            refuse_people(by=by, approved_by=how["approved_by"])
            given_at = _now()
            at = given_at if how["effective_at"] is None else how["effective_at"]
            proposal = _proposal(kind, id_, at, how)
            document = service.reach(proposal, stale=stale, unseen=how["unseen"], given_at=given_at)
            if document is not None:
                document = {**document, "reason": how["reason"], "ordered_by": by, "executed": False}
        if document is None:
            out.not_found(target)
            if not out.as_json:
                click.echo("To order it dead before it is seen, say --unseen.", err=True)
        else:
            asked = _asked_how(how)
            if execute:
                del asked["mode"]
                out.document(document, lambda doc: render.ordered(doc, **asked))
            else:
                out.document(document, lambda doc: render.plan(doc, **asked))
    out.finish()


@main.command()
@click.argument("revocation")
@click.option("--by", required=True, metavar="PRINCIPAL", help="Who lifts it.")
@click.option("--approved-by", metavar="PRINCIPAL", help="The second person.")
@click.option("--note", help="What people should know later.")
@click.option("--source", metavar="URI", help="The source to send it under. [env: DELEGRAPH_SOURCE]")
@_FOUR_EYES
@_shared()
def lift(
    settings: "Settings",
    out: _Out,
    revocation: str,
    by: str,
    approved_by: str | None,
    note: str | None,
    **_said: str | None,  # is among the settings
) -> None:
    """Lift an order: a suspension ends; after a revocation new authority lives and the old stays dead.

    \b
      delegraph lift rev-4711 --by human:you --note 'false alarm'
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.text import render_chain as render

    with opened_service(settings) as service:
        document = service.lift(
            revocation, lifted_by=by, note=note, approved_by=approved_by, four_eyes=settings.four_eyes
        )
    if document is None:
        out.not_found(revocation)
    else:
        out.document(document, render.lifted)
    out.finish()


@main.command()
@click.argument("ids", nargs=-1, required=True, metavar="token:ID...")
@_KNOWN_AT
@_shared()
def uses(settings: "Settings", out: _Out, ids: tuple[str, ...], known_at: Instant | None) -> None:
    """Where a token was used, by whom (the actor against whom it was made for) and when.

    \b
      delegraph uses token:https://idp.example#mailer-1
    """  # noqa: D301
    from lineage.serve.queries import activity as looking
    from lineage.serve.text import render_chain as render

    _ask_of(
        settings, out, ids, None, render.uses, lambda s, kind, id_, _: looking.uses(s, kind, id_, known_at=known_at)
    )


@main.command()
@click.argument("ids", nargs=-1, required=True, metavar="KIND:ID...")
@_KNOWN_AT
@_shared()
def timeline(settings: "Settings", out: _Out, ids: tuple[str, ...], known_at: Instant | None) -> None:
    """Every fact that mentions a thing, the earliest first.

    \b
      delegraph timeline principal:agent:planner
      delegraph timeline token:https://idp.example#mailer-1 --json
    """  # noqa: D301
    from lineage.serve.queries import activity as looking
    from lineage.serve.text import render_chain as render

    _ask_of(
        settings,
        out,
        ids,
        None,
        render.timeline,
        lambda s, kind, id_, _: looking.timeline(s, kind, id_, known_at=known_at),
    )


@main.command()
@click.argument("ids", nargs=-1, required=True, metavar="KIND:ID...")
@click.option("--from", "start", type=TIME, required=True, metavar="TIME", help="The first instant.")
@click.option("--to", "end", type=TIME, required=True, metavar="TIME", help="The second instant.")
@_KNOWN_AT
@_shared()
def diff(
    settings: "Settings", out: _Out, ids: tuple[str, ...], start: Instant, end: Instant, known_at: Instant | None
) -> None:
    """What changed its state between two instants: a thing, and everything that hangs on it.

    \b
      delegraph diff principal:agent:planner --from 2026-11-02T09:00:00Z --to now
    """  # noqa: D301
    from lineage.serve.queries import activity as looking
    from lineage.serve.text import render_chain as render

    _ask_of(
        settings,
        out,
        ids,
        None,
        render.diff,
        lambda s, kind, id_, _: looking.diff(s, kind, id_, start=start, end=end, known_at=known_at),
    )


@main.command()
@click.argument("text")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True)
@_shared()
def search(settings: "Settings", out: _Out, text: str, limit: int) -> None:
    """The ids that contain a text.

    \b
      delegraph search mailer
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries import activity as looking
    from lineage.serve.text import render_chain as render

    with opened_service(settings) as service:
        out.document(looking.search(service, text, limit=limit), render.search)


@main.command()
@click.option("--retry", is_flag=True, help="Take up what can be read now.")
@click.option("--all", "everything", is_flag=True, help="Also what was taken up since.")
@click.option("--after", type=int, default=0, help="Go on after this id.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True)
@_shared()
def quarantine(settings: "Settings", out: _Out, retry: bool, everything: bool, after: int, limit: int) -> None:
    """Records that could not be read: the reason, the place, and what they were.

    \b
      delegraph quarantine
      delegraph quarantine --retry        after an upgrade: take up what can be read now
    """  # noqa: D301
    from lineage.serve.commands import maintenance as care
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries import activity as looking
    from lineage.serve.text import render_chain as render

    with opened_service(settings) as service:
        if retry:
            out.document(care.retry(service), render.retried)
        else:
            found = looking.quarantine(service, after=after, limit=limit, everything=everything)
            out.document(found, render.quarantine)


@main.command()
@_shared()
def conflicts(settings: "Settings", out: _Out) -> None:
    """Identities (source, event id) under which different contents were sent; all of them stand.

    \b
      delegraph conflicts --json
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries import activity as looking
    from lineage.serve.text import render_chain as render

    with opened_service(settings) as service:
        out.document(looking.conflicts(service), render.conflicts)


@main.command()
@_AT
@click.option("--after", type=int, default=-1, help="Go on after this place (the `next` of the last page).")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="Stop when so many are found.")
@_shared()
def findings(settings: "Settings", out: _Out, at: Instant | None, after: int, limit: int) -> None:
    """What does not fit together, each with the facts that show it.

    \b
      delegraph findings
      delegraph findings --limit 100 --json
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries import activity as looking
    from lineage.serve.text import render_chain as render

    with opened_service(settings) as service:
        when = _now() if at is None else at
        out.document(looking.findings(service, at=when, after=after, limit=limit), render.findings)


@main.command()
@_shared()
def rebuild(settings: "Settings", out: _Out) -> None:
    """Project the log anew beside the stored projection, and swap.

    \b
      delegraph rebuild && delegraph fsck
    """  # noqa: D301
    from lineage.serve.commands import maintenance as care
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.text import render_chain as render

    with opened_service(settings, create=True) as service:
        with out.progress("projecting", sum(service.require_log().ends().values())) as progress:
            document = care.rebuild(service, progress)
        out.document(document, render.consumed)


@main.command()
@click.option("--live", metavar="HOST:PORT", help="Also the live graph of the consumer that listens there.")
@_shared()
def fsck(settings: "Settings", out: _Out, live: str | None) -> None:
    """Compare the stored projection with a fresh one of the log; exit code 6 if they differ.

    \b
      delegraph fsck || delegraph rebuild
      delegraph fsck --live 127.0.0.1:9464
    """  # noqa: D301
    from lineage.serve.commands import maintenance as care
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.processes.live_graph_check import check_live
    from lineage.serve.text import render_chain as render

    with opened_service(settings) as service:
        with out.progress("projecting", sum(service.require_log().ends().values())) as progress:
            document = care.fsck(service, progress)
            if live is not None:
                document["differences"] += check_live(service, live, progress)
                document["ok"] = not document["differences"]
        out.document(document, render.checked)
    if not document["ok"]:
        raise IntegrityError("the stored projection differs from the log; 'delegraph rebuild' makes it anew")


@main.command()
@_shared()
def doctor(settings: "Settings", out: _Out) -> None:
    """What is configured, what answers, what does not, and why.

    \b
      delegraph doctor
      delegraph doctor --store sqlite:////var/lib/delegraph/store.db
    """  # noqa: D301
    from lineage.serve.cli.doctor import doctor as examine
    from lineage.serve.text import render_chain as render

    document = examine(settings)
    out.document(document, render.doctor)
    if not document["ok"]:
        raise UnavailableError("something does not answer; see above")


@main.command()
@click.option("--vectors", is_flag=True, help="The test vectors instead: event, bytes and digest, one a line.")
@_shared(json_only=True)
def schema(settings: "Settings", out: _Out, vectors: bool) -> None:  # noqa: ARG001
    """The wire contract: the Avro schema of the newest version, for producers in other languages.

    \b
      delegraph schema > decision_event.avsc
      delegraph schema --vectors > vectors.jsonl
      delegraph schema --json        name, version, fingerprint and SHA-256 beside it
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


@main.command()
@click.option(
    "--http", metavar="HOST:PORT", help="Where to serve. [env: DELEGRAPH_HTTP_LISTEN; default: 127.0.0.1:8480]"
)
@click.option("--by", metavar="PRINCIPAL", help="Who signs in by the link. [default: human:USER]")
@_shared()
def serve(settings: "Settings", out: _Out, by: str | None, **_said: str | None) -> None:  # noqa: ARG001
    """Serve the HTTP API until stopped (SIGINT, SIGTERM).

    Without an issuer it serves on loopback only, and prints a link by which one signs in, once.

    \b
      delegraph serve
      delegraph serve --http 127.0.0.1:8480 --by human:you
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_shared_service

    with _serving() as say, opened_shared_service(settings) as service:
        from lineage.serve.http.api.enforcement_routes import endpoints
        from lineage.serve.server.runner import serve as run

        parts = partial(endpoints, settings)
        run(service, settings.http, say=say, name=by, four_eyes=settings.four_eyes, parts=parts)


@contextmanager
def _serving() -> Iterator[Callable[[str], None]]:
    """Logs on standard error; what is said to whoever started it on standard output."""
    from lineage.serve.processes.logs import LogSettings, logging_to

    try:
        import fastapi  # noqa: F401 (is it there?)
        import uvicorn  # noqa: F401
    except ImportError as error:
        packages = "make setup, or pip install 'delegraph[serve]'"
        raise RefusedError(f"serving needs a few more packages: {packages}") from error
    with logging_to(sys.stderr, LogSettings.of(os.environ, terminal=sys.stderr.isatty())):
        yield click.echo


# Revocations


@main.command()
@click.argument("revocation")
@_AT
@_KNOWN_AT
@_shared()
def receipt(settings: "Settings", out: _Out, revocation: str, at: Instant | None, known_at: Instant | None) -> None:
    """What an order ended, what came later and was born dead included; with --json a line an element.

    \b
      delegraph receipt rev-4711
      delegraph receipt rev-4711 --json | sha256sum      the digest that the summary shows
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries import revocations
    from lineage.serve.text import render_revocations

    when = _now() if at is None else at
    with (
        opened_service(settings) as service,
        revocations.receipt(service, revocation, at=when, known_at=known_at) as found,
    ):
        if found is None:
            out.not_found(revocation)
        elif out.as_json:
            for line in found.lines:
                click.echo(line)
        else:
            summary = revocations.receipt_summary(found, at=when, known_at=known_at)
            out.document(summary, render_revocations.receipt)
    out.finish()


@main.command("revocations")
@_AT
@_KNOWN_AT
@click.option("--after", metavar="NEXT", help="Go on behind this one (the `next` of the last page).")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@_shared()
def revocations_(
    settings: "Settings",
    out: _Out,
    at: Instant | None,
    known_at: Instant | None,
    after: str | None,
    limit: int,
) -> None:
    """All orders, the latest first, each with what it ended and whether it is over.

    \b
      delegraph revocations
      delegraph revocations --json --limit 10
    """  # noqa: D301
    from lineage.serve.config.wiring import opened_service
    from lineage.serve.queries import revocations
    from lineage.serve.text import render_revocations

    when = _now() if at is None else at
    with opened_service(settings) as service:
        found = revocations.revocations(service, at=when, known_at=known_at, after=after, limit=limit)
        out.document(found, render_revocations.revocations)


@main.command()
@click.argument("ids", nargs=-1, required=True, metavar="REVOCATION...")
@_AT
@_KNOWN_AT
@_shared()
def closure(
    settings: "Settings", out: _Out, ids: tuple[str, ...], at: Instant | None, known_at: Instant | None
) -> None:
    """Whether a revocation is over: CLOSED, PARTIAL or UNKNOWN, and what is open, element by element.

    \b
      delegraph closure rev-4711
    """  # noqa: D301
    from lineage.serve.queries import revocations
    from lineage.serve.text import render_revocations

    _ask(
        settings,
        out,
        ids,
        at,
        render_revocations.closure,
        lambda service, asked, when: revocations.closure(service, asked, at=when, known_at=known_at),
    )


@main.command()
@click.option("--once", is_flag=True, help="Deliver what there is now, and leave.")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Metrics and health, such as 127.0.0.1:9465. [env: DELEGRAPH_LISTEN; default: none]",
)
@_shared()
def deliver(settings: "Settings", out: _Out, once: bool, **_said: str | None) -> None:
    """Tell receivers what orders did, element by element, until stopped (SIGINT, SIGTERM).

    It follows the store. Beside a log on Kafka it feeds the topic <prefix>.revocations.

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
