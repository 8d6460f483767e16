"""The combined checkpoint: one note over the heads of all partitions, as documented in docs/evidence.md.

It shows that these heads stood together, and which partitions the log has. Its second line is not a number, so that it
cannot be mistaken for the checkpoint of a tree, nor the other way round.
"""

import hashlib
import re
from typing import Final, NamedTuple

from lineage.core.evidence.checkpoints import Checkpoint, parse_head
from lineage.core.evidence.notes import Note, NoteError

MOST_PARTITIONS: Final = 10_000
_COUNT: Final = re.compile(r"partitions ([1-9]\d{0,4})", re.ASCII)
_TREE: Final = re.compile(r"((?:decisions|orders)/(?:0|[1-9]\d{0,6})) (\S+) (\S+)", re.ASCII)


class CombinedCheckpoint(NamedTuple):
    """The heads of all partitions of a log.

    Attributes:
        origin: Identifies the log.
        heads: The checkpoint of each partition; the origin of each begins with that of the log.
    """

    origin: str
    heads: tuple[Checkpoint, ...]

    @property
    def text(self) -> str:
        """The text of the note that is signed."""
        lines = [self.origin, f"partitions {len(self.heads)}"]
        for head in self.heads:
            _, size, root = head.text.removesuffix("\n").split("\n")
            lines.append(f"{head.origin.removeprefix(f'{self.origin}/')} {size} {root}")
        return "\n".join(lines) + "\n"

    @property
    def head(self) -> Checkpoint:
        """Return what identifies it among checkpoints: the records of all partitions, and the digest of its text."""
        return Checkpoint(
            self.origin, sum(head.size for head in self.heads), hashlib.sha256(self.text.encode()).digest()
        )


def parse_combined(note: Note) -> CombinedCheckpoint:
    """Read a combined checkpoint from a note. The signatures are not verified.

    Raises:
        NoteError: The note is not one.
    """
    lines = note.text.removesuffix("\n").split("\n")
    counted = _COUNT.fullmatch(lines[1]) if len(lines) > 1 else None
    if counted is None or not lines[0] or int(counted.group(1)) != len(lines) - 2 or len(lines) - 2 > MOST_PARTITIONS:
        raise NoteError("a combined checkpoint has an origin, the line 'partitions N', and N lines")
    origin, _, *trees = lines
    heads = tuple(_head(origin, line) for line in trees)
    if len({head.origin for head in heads}) < len(heads):
        raise NoteError("a combined checkpoint names each partition once")
    return CombinedCheckpoint(origin, heads)


def is_combined(note: Note) -> bool:
    """Whether a note is meant as a combined checkpoint."""
    return _COUNT.fullmatch(note.text.split("\n")[1] if "\n" in note.text else "") is not None


def _head(origin: str, line: str) -> Checkpoint:
    matched = _TREE.fullmatch(line)
    if matched is None:
        raise NoteError("a line of a combined checkpoint is TOPIC/PARTITION SIZE ROOT")
    tree, size, root = matched.groups()
    return parse_head(f"{origin}/{tree}", size, root)
