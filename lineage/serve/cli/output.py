"""Output of commands: documents as JSON lines or text, and errors as messages with an exit code."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from lineage.core.model.errors import (
    BadRecordError,
    DelegraphError,
    DriftError,
    FencedError,
    IntegrityError,
    RefusedError,
    UnavailableError,
)
from lineage.plumbing.gc_pause import gc_paused

if TYPE_CHECKING:  # heavy imports are inside the commands that need them, so that `--help` and completion are fast
    from rich.console import Console, RenderableType


Document = dict[str, Any]


EXIT_REFUSED: Final = 2


EXIT_NOT_FOUND: Final = 3


EXIT_UNAVAILABLE: Final = 5
# Something was changed that must not change.
EXIT_INTEGRITY: Final = 6


_ENTRIES: Final = 1_000  # of a long list that are written at once

# Error class -> exit code; the first match applies.
_EXIT_CODES: Final[tuple[tuple[type[DelegraphError], int], ...]] = (
    (DriftError, 4),
    (UnavailableError, 5),
    (FencedError, 5),
    (IntegrityError, 6),
    (RefusedError, EXIT_REFUSED),
    (BadRecordError, EXIT_REFUSED),
)


def exit_code(fault: DelegraphError) -> int:
    """Return the exit code of an error."""
    return next((code for kind, code in _EXIT_CODES if isinstance(fault, kind)), 1)


class Output:
    """The output of a command: documents as JSON lines, lists as CSV, or text."""

    def __init__(self, *, as_json: bool, form: str = "text") -> None:
        self.as_json = as_json
        self.form = form
        self.missing = False
        self.wrong = False

    @property
    def console(self) -> "Console":
        """Return a console on standard output."""
        from rich.console import Console

        return Console(soft_wrap=True, highlight=False, emoji=False)

    def written_as(self, form: str) -> "Output":
        """Return an output that prints documents as text, as JSON, or in a picture format of ``drawing.formats``."""
        return Output(as_json=self.as_json or form == "json", form=form)

    @property
    def is_read_by_people(self) -> bool:
        """Whether documents are printed as text."""
        return not self.as_json and self.form == "text"

    def under(self, evidence: str | None) -> None:
        """Print which checkpoint the answers are under; nothing if nothing is signed."""
        if evidence is not None:
            self.console.print(f"({evidence})", style="dim")

    def document(self, document: Document, render: "Callable[[Document], RenderableType]") -> None:
        """Print a document."""
        if self.as_json:
            with gc_paused():  # entries that are built when they are read contain no cycles
                for piece in json_pieces(document):
                    click.echo(piece, nl=False)
            click.echo()
        elif self.form != "text":
            from lineage.serve.drawing import formats

            click.echo(formats.render(self.form, document), nl=False)
        else:
            self.console.print(render(document))

    def text(self, document: Document, write: "Callable[[Document], str]") -> None:
        """Print a document, or exactly the text that it is in the format of another tool."""
        if self.as_json:
            self.document(document, write)
        else:
            click.echo(write(document), nl=False)

    def listed(self, document: Document, render: "Callable[[Document], RenderableType]", name: str) -> None:
        """Print a list, as CSV or in the format of another tool if that is asked for.

        Args:
            document: The list.
            render: Renders it as text.
            name: Its name in ``list_columns``.
        """
        if self.as_json or self.form == "text":
            self.document(document, render)
            return
        from lineage.serve.documents.list_exports import exported

        self.exported(exported(self.form, name, document), document)

    @staticmethod
    def exported(text: str, document: Document) -> None:
        """Print a list in the format of another tool; a note on standard error says if it is not complete."""
        click.echo(text.encode(errors="replace"), nl=False)
        if not document["complete"]:
            how = f"--after {shlex.quote(document['next'])}" if document["next"] is not None else "a higher --limit"
            click.echo(f"delegraph: note: there are more; continue with {how}", err=True)

    def not_found(self, typed: str, why: str | None = None, *, near: Sequence[str] = ()) -> None:
        """Report that no fact names an id; the command then exits with 3.

        Args:
            typed: The id.
            why: Why, if that is known.
            near: The keys of what may be meant.
        """
        meant = (key.removeprefix("action:") for key in near)
        question = f" Did you mean {printable(', '.join(meant))}?" if near else ""
        self._missing(typed, f"No fact names {printable(typed)}{f' any more: {why}' if why else ''}.{question}", why)

    def no_token(self, typed: str) -> None:
        """Report that there is no API token with an id; the command then exits with 3."""
        self._missing(
            typed, f"There is no token {printable(typed)}: see 'delegraph token list' for those that there are."
        )

    def no_record(self, typed: str) -> None:
        """Report that the log has no such record; the command then exits with 3."""
        self._missing(typed, f"There is no record {printable(typed)} in the log, as far as it has been read.")

    def no_case(self, typed: str) -> None:
        """Report that there is no case with an id; the command then exits with 3."""
        self._missing(
            typed, f"There is no case {printable(typed)}: see 'delegraph case list' for those that there are."
        )

    def no_hold(self, typed: str) -> None:
        """Report that there is no hold with an id; the command then exits with 3."""
        self._missing(
            typed, f"There is no hold {printable(typed)}: see 'delegraph hold list' for those that there are."
        )

    def no_finding(self, typed: str) -> None:
        """Report that there is no finding with an id; the command then exits with 3."""
        advice = "see 'delegraph findings' for those that there are; a later fact may have resolved it"
        self._missing(typed, f"There is no finding {printable(typed)}: {advice}.")

    def _missing(self, typed: str, sentence: str, why: str | None = None) -> None:
        from ingest.codec.credentials import scrubbed

        self.missing = True
        if self.as_json:
            document = {"error": "not_found", "id": scrubbed(typed), **({"why": why} if why else {})}
            click.echo(json.dumps(document, ensure_ascii=False, separators=(",", ":")))
        else:
            click.echo(sentence, err=True)

    def refused(self, typed: str, fault: RefusedError) -> None:
        """Report why a question cannot be asked about an id; the others are answered, and the command exits with 2."""
        from ingest.codec.credentials import scrubbed

        self.wrong = True
        if self.as_json:
            document = {"error": "refused", "id": scrubbed(typed), "detail": scrubbed(str(fault))}
            click.echo(json.dumps(document, ensure_ascii=False, separators=(",", ":")))
        click.echo(f"delegraph: {printable(str(fault))}", err=True)

    def finish(self) -> None:
        """Exit with 2 if anything was refused, else with 3 if anything was not found."""
        if self.wrong or self.missing:
            sys.exit(EXIT_REFUSED if self.wrong else EXIT_NOT_FOUND)

    @contextmanager
    def progress(self, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Show a progress bar on a terminal; do nothing elsewhere."""
        if self.as_json or not sys.stderr.isatty():
            yield lambda _done: None
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.advance(task, done)


def json_pieces(document: Document) -> Iterator[str]:
    """Yield a document as JSON, in pieces if it contains a sequence whose entries are built when they are read."""
    if not any(map(_is_built_when_read, document.values())):
        yield _json(document)
        return
    before = "{"
    for name, value in document.items():
        yield f"{before}{_json(name)}:"
        before = ","
        if not _is_built_when_read(value):
            yield _json(value)
            continue
        entries, between = iter(value), "["
        while part := list(islice(entries, _ENTRIES)):
            yield between + _json(part)[1:-1]
            between = ","
        yield "[]" if between == "[" else "]"
    yield "}"


def _is_built_when_read(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | list | tuple)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def printable(text: str) -> str:
    """Escape what a terminal cannot show, and replace credentials by their handles."""
    from ingest.codec.credentials import scrubbed

    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in scrubbed(text))


@contextmanager
def faults_as_exit_codes(*, as_json: bool) -> Iterator[None]:
    """Print an error on standard error and exit with its code (docs/architecture.md)."""
    try:
        yield
        sys.stdout.flush()
    except DelegraphError as fault:
        if as_json and isinstance(fault, DriftError):
            difference = {"error": "drifted", **fault.difference}
            click.echo(json.dumps(difference, ensure_ascii=False, separators=(",", ":")))
        _fail(fault)
    except BrokenPipeError:  # the reader of the output has gone
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        click.echo(f"delegraph: the answer cannot be written: {error.strerror}", err=True)
        sys.stdout = None  # what is left in its buffer cannot be written either
        sys.exit(EXIT_UNAVAILABLE)


def _fail(fault: DelegraphError) -> NoReturn:
    click.echo(f"delegraph: {printable(str(fault))}", err=True)
    if isinstance(fault, DriftError):
        for name, value in fault.differs.items():
            plan, order = (json.dumps(value[whose], ensure_ascii=False) for whose in ("plan", "order"))
            click.echo(f"  {name}: {printable(plan)} in the plan, {printable(order)} in the order", err=True)
        for key in fault.unlisted:
            click.echo(f"  not in the plan: {printable(key)}", err=True)
    sys.exit(exit_code(fault))
