"""Lines in order, however many: what does not fit into memory waits in files without a name, and is merged."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from heapq import merge
from itertools import islice
from tempfile import TemporaryFile
from typing import Final

RUN: Final = 20_000  # lines that are held in memory at once

Place = tuple[str, ...]
"""Where a line belongs: lines are sorted by it. What it is made of holds no control character, as no id does."""


def in_order(lines: Iterable[tuple[Place, bytes]], *, run: int = RUN) -> Iterator[bytes]:
    """Lines sorted by their places.

    Args:
        lines: Each with its place, and without a tab or a line end in it.
        run: How many are held at once.

    Memory:
        One run, and a buffer for each run that waits in a file.
    """
    # UTF-8 sorts as the characters do, and the tab behind each part before all that a part can hold.
    rows = (b"%b\t%b\n" % ("\t".join(place).encode(), line) for place, line in lines)
    with ExitStack() as files:
        waiting: list[Iterable[bytes]] = []
        while len(held := sorted(islice(rows, run))) == run:
            file = files.enter_context(TemporaryFile())
            file.writelines(held)
            file.seek(0)
            waiting.append(file)
        for row in merge(*waiting, held):
            yield row[row.rindex(b"\t") + 1 : -1]
