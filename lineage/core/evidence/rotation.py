"""The rotation of the key that signs checkpoints, as a signed note in the log, as documented in docs/evidence.md.

A rotation retires the old key: what it signed before stays valid, and a checkpoint beyond the sizes that the rotation
names is not. It does not make anybody trust the new key.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from lineage.core.evidence.checkpoints import Checkpoint
from lineage.core.evidence.notes import Check, KeyKind, Note, NoteError, VerifierKey, parse_key, parse_note, verified

_TITLE: Final = "checkpoint key rotated"
_TREE: Final = re.compile(r"((?:decisions|orders)/(?:0|[1-9]\d{0,6})) (0|[1-9]\d{0,18})", re.ASCII)
_FIRST_TREE: Final = 4  # the line of the first tree in the text of the note


class Rotation(NamedTuple):
    """A rotation.

    Attributes:
        origin: The origin of the log.
        old: The key that is retired.
        new: The key that signs from now on.
        sizes: The name of each tree, ``TOPIC/PARTITION``, and the size up to which the old key signed.
    """

    origin: str
    old: VerifierKey
    new: VerifierKey
    sizes: tuple[tuple[str, int], ...]

    @property
    def text(self) -> str:
        """The text of the note that is signed."""
        lines = [self.origin, _TITLE, f"old {self.old.text}", f"new {self.new.text}"]
        return "\n".join([*lines, *(f"{tree} {size}" for tree, size in self.sizes)]) + "\n"

    def forbids(self, head: Checkpoint) -> bool:
        """Whether the old key must not have signed a checkpoint of a tree."""
        tree = head.origin.removeprefix(f"{self.origin}/")
        return head.size > dict(self.sizes).get(tree, 0)


def parse_rotation(raw: str, check: Check) -> Rotation:
    """Read a rotation from its note, which the new key must have signed.

    Args:
        raw: The note.
        check: Verifies an Ed25519 signature.

    Raises:
        NoteError: It is not a rotation.
    """
    note = parse_note(raw)
    lines = note.text.removesuffix("\n").split("\n")
    if len(lines) < _FIRST_TREE or lines[1] != _TITLE or not lines[2].startswith("old ") or lines[3][:4] != "new ":
        raise NoteError(f"a rotation has an origin, the line '{_TITLE}', and both keys")
    old, new = (parse_key(line[4:]) for line in lines[2:_FIRST_TREE])
    trees = [_TREE.fullmatch(line) for line in lines[_FIRST_TREE:]]
    sizes = tuple((matched.group(1), int(matched.group(2))) for matched in trees if matched is not None)
    if len(dict(sizes)) != len(trees) or {old.kind, new.kind} != {KeyKind.ED25519} or old == new:
        raise NoteError("a rotation has two keys of a log, and names each tree once with its size")
    if new not in verified(note, [new], check):
        raise NoteError("the new key has not signed the rotation")
    return Rotation(lines[0], old, new, sizes)


def rotations_in(notes: Iterable[str], origin: str, check: Check) -> list[Rotation]:
    """Read the rotations of a log; notes that are not one are left out, and so are later ones of the same key.

    Args:
        notes: The notes, in the order of the log.
        origin: The origin of the log.
        check: Verifies an Ed25519 signature.
    """
    found: dict[VerifierKey, Rotation] = {}
    for raw in notes:
        try:
            rotation = parse_rotation(raw, check)
        except NoteError:
            continue
        if rotation.origin == origin:
            found.setdefault(rotation.old, rotation)
    return list(found.values())


def forbidding(
    heads: Iterable[Checkpoint], signers: Collection[VerifierKey], rotations: Iterable[Rotation]
) -> Rotation | None:
    """Return the rotation after which none of the signers could sign these heads any more; None if one could.

    Args:
        heads: The heads in a signed note.
        signers: The keys of the log that signed it; cosignatures are left out.
        rotations: The rotations of the log.
    """
    by_key = {rotation.old: rotation for rotation in rotations}
    heads, found = list(heads), None
    for key in signers:
        rotation = by_key.get(key)
        if key.kind is KeyKind.ED25519 and (rotation is None or not any(map(rotation.forbids, heads))):
            return None
        found = found or rotation
    return found


def signed_rotation(rotation: Rotation, *signatures: str) -> str:
    """Combine the text of a rotation with its signature lines."""
    return str(Note(rotation.text, ())) + "".join(signatures)
