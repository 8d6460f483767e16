"""The certificate of a deletion: the text of a signed note (C2SP signed-note). Pure."""

import base64
from dataclasses import dataclass
from typing import Final

from lineage.core.evidence.merkle import HASH_BYTES
from lineage.core.evidence.notes import NoteError, decoded_base64
from lineage.core.model.times import Instant, format_instant, parse_instant

_HEADER: Final = "delegraph deletion certificate v1"
_NAMES: Final = (
    *("deletion", "tree", "size", "root", "tiles", "records", "list-sha256", "rule", "recorded-before", "deleted-at"),
    "by",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The content of a certificate.

    The tree, and so its root, is the same before and after: entries stay, only the values are deleted.

    Attributes:
        deletion: The id of the deletion.
        tree: The origin of the tree.
        size: The size of the tree when the records were deleted.
        root: Its root, before and after.
        first_tile: The first tile of which records were deleted.
        last_tile: The last one.
        records: The number that was deleted.
        list_sha256: The digest of the list of them.
        rule: The rule, in words.
        recorded_before: All of them were recorded before.
        deleted_at: When they were deleted.
        by: Who deleted them.
    """

    deletion: str
    tree: str
    size: int
    root: bytes
    first_tile: int
    last_tile: int
    records: int
    list_sha256: str
    rule: str
    recorded_before: Instant
    deleted_at: Instant
    by: str

    @property
    def text(self) -> str:
        """The text that is signed."""
        stated = (
            self.deletion,
            self.tree,
            str(self.size),
            base64.b64encode(self.root).decode(),
            f"{self.first_tile}-{self.last_tile}",
            str(self.records),
            self.list_sha256,
            self.rule,
            format_instant(self.recorded_before),
            format_instant(self.deleted_at),
            self.by,
        )
        lines = (f"{name} {value}" for name, value in zip(_NAMES, stated, strict=True))
        return "\n".join((_HEADER, *lines)) + "\n"


def parse_certificate(text: str) -> Certificate:
    """Read the text of a certificate.

    Raises:
        NoteError: It is not one.
    """
    header, *lines = text.split("\n")[:-1]
    pairs = [line.partition(" ") for line in lines]
    if header != _HEADER or tuple(name for name, _, _ in pairs) != _NAMES:
        raise NoteError(f"a certificate begins with the line {_HEADER!r}, and has the lines {', '.join(_NAMES)}")
    value = {name: text for name, _, text in pairs}
    first, _, last = value["tiles"].partition("-")
    root = decoded_base64(value["root"])
    try:
        found = Certificate(
            deletion=value["deletion"],
            tree=value["tree"],
            size=int(value["size"]),
            root=root,
            first_tile=int(first),
            last_tile=int(last),
            records=int(value["records"]),
            list_sha256=value["list-sha256"],
            rule=value["rule"],
            recorded_before=parse_instant(value["recorded-before"]),
            deleted_at=parse_instant(value["deleted-at"]),
            by=value["by"],
        )
    except ValueError as fault:
        raise NoteError(f"a certificate has a line that cannot be read: {fault}") from fault
    if len(root) != HASH_BYTES or found.text != text:
        raise NoteError("a certificate is not written as it must be")
    return found
