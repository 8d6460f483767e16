"""Checkpoints of a tree (C2SP tlog-checkpoint), and proofs that lead from a record to one (C2SP tlog-proof)."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from lineage.core.evidence.merkle import HASH_BYTES, LONGEST_PROOF
from lineage.core.evidence.notes import Note, NoteError, decoded_base64, parse_note

_SIZE: Final = re.compile(r"0|[1-9]\d{0,18}", re.ASCII)
_HEADER: Final = "c2sp.org/tlog-proof@v1"
_LEAST_LINES: Final = 3


class Checkpoint(NamedTuple):
    """The head of a tree.

    Attributes:
        origin: Identifies the tree.
        size: The number of its leaves.
        root: Its root.
    """

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text of the note that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class RecordProof:
    """A proof that a tree contains an entry.

    Attributes:
        index: The index of the entry.
        path: The siblings from the leaf to the root.
        checkpoint: The signed checkpoint of the tree.
        extra: The entry itself, or nothing.
    """

    index: int
    path: tuple[bytes, ...]
    checkpoint: Note
    extra: bytes = b""

    def __str__(self) -> str:
        """Format the proof."""
        lines = [_HEADER]
        if self.extra:
            lines.append(f"extra {base64.b64encode(self.extra).decode()}")
        lines += [f"index {self.index}", *encoded_hashes(self.path), "", str(self.checkpoint)]
        return "\n".join(lines)


def parse_checkpoint(note: Note) -> Checkpoint:
    """Read the head of a tree from a note. The signatures are not verified.

    Raises:
        NoteError: The note is not a checkpoint.
    """
    lines = note.text.split("\n")[:-1]
    if len(lines) < _LEAST_LINES or not all(lines):
        raise NoteError("a checkpoint has an origin, a size and a root, each on its line")
    origin, size, encoded, *_ = lines
    return parse_head(origin, size, encoded)


def parse_head(origin: str, size: str, encoded: str) -> Checkpoint:
    """Read the head of a tree from the texts of its parts.

    Raises:
        NoteError: The size or the root is not one.
    """
    root = decoded_base64(encoded)
    if not _SIZE.fullmatch(size) or len(root) != HASH_BYTES:
        raise NoteError("the size of a checkpoint is a whole number, and its root 32 bytes in base64")
    return Checkpoint(origin, int(size), root)


def parse_proof(raw: str) -> RecordProof:
    """Parse a proof. Nothing is verified.

    Raises:
        NoteError: It is not a proof.
    """
    head, blank, note = raw.partition("\n\n")
    header, *lines = head.split("\n")
    if header != _HEADER or not blank or not lines:
        raise NoteError(f"a proof begins with the line {_HEADER}, and a checkpoint follows after an empty line")
    extra = b""
    if lines[0].startswith("extra "):
        extra = decoded_base64(lines.pop(0).removeprefix("extra "))
    if not lines or not _SIZE.fullmatch(lines[0].removeprefix("index ")) or not lines[0].startswith("index "):
        raise NoteError("a proof has a line with the index of the entry")
    return RecordProof(int(lines[0].removeprefix("index ")), decoded_hashes(lines[1:]), parse_note(note), extra)


def encoded_hashes(hashes: Sequence[bytes]) -> list[str]:
    """Encode hashes in base64."""
    return [base64.b64encode(each).decode() for each in hashes]


def decoded_hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    """Decode the hashes of a proof.

    Raises:
        NoteError: A line is not a hash in base64, or there are too many.
    """
    hashes = tuple(decoded_base64(line) for line in lines)
    if len(hashes) > LONGEST_PROOF or any(len(each) != HASH_BYTES for each in hashes):
        raise NoteError(f"a proof has at most {LONGEST_PROOF} hashes of 32 bytes, each in base64 on its line")
    return hashes
