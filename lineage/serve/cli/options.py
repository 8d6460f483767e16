"""The options that several commands share, and the types of their values."""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click

from lineage.core.model.times import Instant, format_instant
from lineage.core.model.vocabulary import MODES
from lineage.serve.cli.output import Output, faults_as_exit_codes

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    pass


if TYPE_CHECKING:
    from lineage.core.revocation.reach import Proposal


class _Instant(click.ParamType[Instant]):
    """A time on the command line, as people type it; a note on standard error says how it was understood."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Instant:
        if isinstance(value, int):
            return value
        from lineage.serve.documents.typed_times import is_exact, typed_time

        try:
            found = typed_time(value, now())
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)
        if not is_exact(value):
            name = param.opts[0] if param is not None else "time"
            click.echo(f"delegraph: note: {name} {value} is {format_instant(found)}", err=True)
        return found


TIME: Final = _Instant()


MODE: Final = click.Choice(MODES)


# Settings that are options of some commands.
_OWN: Final = ("source", "group", "listen", "collect_http")


def now() -> Instant:
    """Read the clock of the process."""
    from lineage.serve.config.wiring import now

    return now()


def shared_options(*, json_only: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options that every command has: the store, the log, the trust file and ``--json``."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(*args: Any, **options: Any) -> Any:
            from lineage.serve.config.wiring import Settings

            given = {name: options.pop(name, None) for name in ("store", "log", "trust")}
            outer = click.get_current_context().find_root().params
            as_json = bool(options.pop("json") or outer.get("json"))
            options = {name: value if name == "files" else _readable(value) for name, value in options.items()}
            with faults_as_exit_codes(as_json=as_json):
                given |= {name: options.get(name) for name in (*_OWN, "four_eyes", "http")}
                settings = Settings.of(**{name: value or outer.get(name) for name, value in given.items()})
                return function(*args, settings=settings, out=Output(as_json=as_json), **options)

        shared: list[Callable[..., Any]] = [click.option("--json", is_flag=True, help="One JSON document per line.")]
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
    """Escape the undecodable bytes of an argument, so that it can be printed."""
    if isinstance(value, str):
        return value.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return tuple(_readable(item) for item in value) if isinstance(value, tuple) else value


AT: Final = click.option("--at", type=TIME, metavar="TIME", help="The instant asked about. [default: now]")


AT_ANY_TIME: Final = click.option(
    "--at", type=TIME, metavar="TIME", help="Only what was named by then. [default: at any time]"
)
KNOWN_AT: Final = click.option(
    "--known-at", type=TIME, metavar="TIME", help="Only what was recorded by then. [default: everything]"
)


FORMAT: Final = click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json", "dot", "mermaid", "graphml", "svg"]),
    default="text",
    help="How it is written; a picture is of one thing.",
)


STALE: Final = click.option(
    "--stale", is_flag=True, help="Answer from what is projected, even if the log cannot be reached for newer records."
)


FOUR_EYES: Final = click.option(
    "--four-eyes",
    metavar="N",
    help="Require a second person above this number of elements. [env: DELEGRAPH_FOUR_EYES; default: never]",
)


UNSEEN: Final = click.option("--unseen", is_flag=True, help="Continue even if no fact names the target yet.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetOptions:
    """How far a revocation goes.

    Attributes:
        mode: ``revoke`` or ``suspend``.
        issued_before: Only what was issued before this instant; None for everything.
        cascade: Whether it also ends what depends on the elements hit.
    """

    mode: str
    issued_before: Instant | None
    cascade: bool


def target_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--mode``, ``--issued-before`` and ``--no-cascade``; the function gets them as ``how: TargetOptions``."""

    @wraps(function)
    def run(*args: Any, mode: str, issued_before: Instant | None, no_cascade: bool, **options: Any) -> Any:
        how = TargetOptions(mode=mode, issued_before=issued_before, cascade=not no_cascade)
        return function(*args, how=how, **options)

    added: tuple[Callable[..., Any], ...] = (
        click.option("--no-cascade", is_flag=True, help="End only what is hit, not what depends on it."),
        click.option("--issued-before", type=TIME, metavar="TIME", help="Spare what was issued at this time or later."),
        click.option("--mode", type=MODE, default="revoke", show_default=True, help="Suspend: until lifted."),
    )
    for option in added:
        run = option(run)
    return run


FORMATS: Final = ("table", "json", "csv")


def table_options(*exports: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add ``--format`` and ``--csv`` to a command that prints a list.

    Args:
        exports: Forms for other tools, in addition to CSV.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(*args: Any, out: Output, format_: str, csv: bool, **options: Any) -> Any:
            chosen = "csv" if csv else "json" if out.as_json else format_
            form = "text" if chosen in ("table", "json") else chosen
            return function(*args, out=Output(as_json=chosen == "json", form=form), **options)

        choice = click.Choice((*FORMATS, *exports))
        added: tuple[Callable[..., Any], ...] = (
            click.option("--csv", is_flag=True, help="The same as --format csv."),
            click.option("--format", "format_", type=choice, default="table", help="How it is written."),
        )
        decorated: Callable[..., Any] = run
        for option in added:
            decorated = option(decorated)
        return decorated

    return decorate


def list_options(page: int | None, *exports: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add ``--limit``, ``--after``, ``--format`` and ``--csv`` to a command that prints a list.

    Args:
        page: The number of items on a page by default; None for all.
        exports: Forms for other tools, in addition to CSV.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        run = table_options(*exports)(function)
        added: tuple[Callable[..., Any], ...] = (
            click.option("--after", "--cursor", "after", metavar="NEXT", help="Continue after a page: its `next`."),
            click.option(
                "--limit",
                type=click.IntRange(1, 100_000),
                default=page,
                show_default="all" if page is None else True,
                help="Items on one page.",
            ),
        )
        for option in added:
            run = option(run)
        return run

    return decorate


def ids_asked(ids: Iterable[str]) -> Iterator[str]:
    """Yield the ids on the command line; ``-`` reads them from standard input, one per line."""
    for id_ in ids:
        if id_ == "-":
            for line in sys.stdin.buffer:
                if stripped := line.rstrip(b"\r\n"):
                    yield stripped.decode(errors="backslashreplace")
        else:
            yield id_


def proposal_of(kind: str, id_: str, at: Instant, how: TargetOptions) -> "Proposal":
    """Build the proposed revocation."""
    from lineage.core.model.events import Target
    from lineage.core.revocation.reach import Proposal

    return Proposal(
        target=Target(kind, id_), at=at, mode=how.mode, issued_before=how.issued_before, cascade=how.cascade
    )
