"""Sort any number of lines: what does not fit into memory is kept in unnamed files and merged."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from heapq import merge
from itertools import islice
from tempfile import TemporaryFile
from typing import Final

RUN: Final = 20_000  # lines in memory at once

Place = tuple[str, ...]
"""The sort key of a line. Like ids, its parts contain no control characters."""


def in_order(lines: Iterable[tuple[Place, bytes]], *, run: int = RUN) -> Iterator[bytes]:
    """Sort lines by their sort keys.

    Args:
        lines: Each with its place, and without tabs or line ends.
        run: The number of lines in memory at once.

    Memory: One run, and a buffer for each run in a file.
    """
    # UTF-8 sorts like the characters, and the tab after each part sorts before anything a part can contain.
    rows = (b"%b\t%b\n" % ("\t".join(place).encode(), line) for place, line in lines)
    with ExitStack() as files:
        waiting: list[Iterable[bytes]] = []
        while len(run_rows := sorted(islice(rows, run))) == run:
            file = files.enter_context(TemporaryFile())
            file.writelines(run_rows)
            file.seek(0)
            waiting.append(file)
        for row in merge(*waiting, run_rows):
            yield row[row.rindex(b"\t") + 1 : -1]
