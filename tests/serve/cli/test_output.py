"""The output of commands: long documents are written in pieces."""

import json
from collections.abc import Sequence
from typing import Any, overload

import pytest

from lineage.serve.cli.output import json_pieces


class Built(Sequence[dict[str, int]]):
    """Entries that are built when they are read."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, place: int) -> dict[str, int]: ...
    @overload
    def __getitem__(self, place: slice) -> list[dict[str, int]]: ...
    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(self.size))]
        if place >= self.size:
            raise IndexError(place)
        return {"entry": place}


@pytest.mark.parametrize("size", [0, 1, 1_000, 1_001, 3_000])
def test_a_sequence_that_is_built_when_read_is_written_in_pieces(size: int):
    """
    Together they are the document with a list; none has more than 1,000 entries.
    """
    document = {"id": "é", "empty": [], "open": Built(size), "last": {"a": 1}}
    pieces = list(json_pieces(document))

    whole = json.dumps({**document, "open": list(Built(size))}, ensure_ascii=False, separators=(",", ":"))
    assert whole == "".join(pieces)
    assert max(piece.count("entry") for piece in pieces) <= 1_000


def test_a_document_without_one_is_one_piece():
    assert ['{"id":"a","open":[1,2]}'] == list(json_pieces({"id": "a", "open": [1, 2]}))
