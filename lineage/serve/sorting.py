"""Lines in order, however many: what does not fit into memory waits in files without a name, and is merged."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from heapq import merge
from itertools import islice
from tempfile import TemporaryFile
from typing import IO, Final

RUN: Final = 20_000  # lines that are held in memory at once

Place = tuple[str, ...]
"""Where a line belongs: lines are sorted by it."""


def in_order(lines: Iterable[tuple[Place, bytes]], *, run: int = RUN) -> Iterator[bytes]:
    """Lines sorted by their places.

    Args:
        lines: Each with its place, and without a line end in it.
        run: How many are held at once.

    Memory:
        One run, and a buffer for each run that waits in a file.
    """
    rest = iter(lines)
    with ExitStack() as files:
        waiting: list[Iterator[tuple[Place, bytes]]] = []
        while len(held := sorted(islice(rest, run))) == run:
            waiting.append(_read(_put_aside(files.enter_context(TemporaryFile()), held)))
        for _, line in merge(*waiting, held):
            yield line


def _put_aside(file: IO[bytes], lines: Iterable[tuple[Place, bytes]]) -> IO[bytes]:
    # JSON escapes tabs, so that the first one ends the place.
    file.writelines(b"%b\t%b\n" % (json.dumps(place).encode(), line) for place, line in lines)
    file.seek(0)
    return file


def _read(file: IO[bytes]) -> Iterator[tuple[Place, bytes]]:
    for row in file:
        place, _, line = row.rstrip(b"\n").partition(b"\t")
        yield tuple(json.loads(place)), line
