"""Rich's output as plain text."""

from io import StringIO

from rich.console import Console, RenderableType


def piped(page: RenderableType, width: int = 80) -> str:
    """Return the output as written to a pipe."""
    console = Console(file=StringIO(), width=width, soft_wrap=True)
    console.print(page)
    return console.file.getvalue()


def flat(page: RenderableType) -> str:
    """Return the words of a page, wherever its lines are broken."""
    return " ".join(piped(page).split())
