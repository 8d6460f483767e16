"""Signed notes (C2SP signed-note): a text and the signatures under it, and the keys that verify them."""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import Final, NamedTuple

MOST_SIGNATURES: Final = 64
MOST_CHARACTERS: Final = 1_000_000
KEY_BYTES: Final = 32  # of a public Ed25519 key
SIGNATURE_BYTES: Final = 64

_DASH: Final = "— "
_KEY_ID_BYTES: Final = 4
_NAME: Final = re.compile(r"[^\s+]+")
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")

Check = Callable[[bytes, bytes, bytes], bool]  # public key, signature, message: whether the signature is valid


class KeyKind(IntEnum):
    """The kind of a signature, which is part of the id of its key."""

    ED25519 = 1  # signs the text
    COSIGNATURE = 4  # of a witness: signs the time and the text (C2SP tlog-cosignature)


class VerifierKey(NamedTuple):
    """A key that verifies signatures.

    Attributes:
        name: The name of the signer.
        kind: The kind of its signatures.
        public: The public Ed25519 key.
    """

    name: str
    kind: KeyKind
    public: bytes

    @property
    def id(self) -> bytes:
        """The four bytes that point at the key in a signature line."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:_KEY_ID_BYTES]

    @property
    def text(self) -> str:
        """The key as text (a *vkey*): name, id and key."""
        return f"{self.name}+{self.id.hex()}+{_encoded(bytes([self.kind]) + self.public)}"


class Signature(NamedTuple):
    """A signature line."""

    name: str
    key_id: bytes
    payload: bytes

    @property
    def line(self) -> str:
        """The line, with its newline."""
        return f"{_DASH}{self.name} {_encoded(self.key_id + self.payload)}\n"


class Note(NamedTuple):
    """A note: its text, with the final newline, and its signatures."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        """Format the note."""
        return self.text + "\n" + "".join(signature.line for signature in self.signatures)


class NoteError(ValueError):
    """A text is not a note, a key or a proof; the message says why."""


def is_key_name(name: str) -> bool:
    """Whether a text can be the name of a key: it is not empty and has neither spaces nor a plus sign."""
    return _NAME.fullmatch(name) is not None and _CONTROL.search(name) is None


def parse_note(raw: str) -> Note:
    """Parse a note.

    Raises:
        NoteError: It is not a note.
    """
    if len(raw) > MOST_CHARACTERS:
        raise NoteError(f"a note has at most {MOST_CHARACTERS:,} characters")
    if _CONTROL.search(raw):
        raise NoteError("a note has no control characters but newlines")
    text, blank, lines = raw.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise NoteError("a note ends in an empty line and lines with signatures")
    return Note(text + "\n", parse_signatures(lines))


def parse_signatures(lines: str) -> tuple[Signature, ...]:
    """Parse the lines with signatures of a note.

    Raises:
        NoteError: A line is not one, or there are none, or too many.
    """
    parts = lines.split("\n")[:-1]
    if not 0 < len(parts) <= MOST_SIGNATURES:
        raise NoteError(f"a note has between 1 and {MOST_SIGNATURES} signatures")
    return tuple(_signature(line) for line in parts)


def _signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    decoded = decoded_base64(encoded)
    if not line.startswith(_DASH) or not space or not is_key_name(name) or len(decoded) <= _KEY_ID_BYTES:
        raise NoteError("a line with a signature has a dash, the name of a key, and the signature in base64")
    return Signature(name, decoded[:_KEY_ID_BYTES], decoded[_KEY_ID_BYTES:])


def parse_key(text: str) -> VerifierKey:
    """Parse a key (a *vkey*).

    Raises:
        NoteError: It is not an Ed25519 key.
    """
    name, _, rest = text.partition("+")
    id_, _, encoded = rest.partition("+")
    decoded = decoded_base64(encoded)
    if not is_key_name(name) or len(decoded) != 1 + KEY_BYTES or decoded[0] not in set(KeyKind):
        raise NoteError("a key is NAME+ID+KEY, with an Ed25519 key in base64")
    key = VerifierKey(name, KeyKind(decoded[0]), decoded[1:])
    if id_.lower() != key.id.hex():
        raise NoteError(f"the id of the key of {name} does not match the key: it was changed or cut off")
    return key


def verified(note: Note, keys: Iterable[VerifierKey], check: Check) -> dict[VerifierKey, int | None]:
    """Verify the signatures of a note by known keys; signatures by others are ignored.

    Args:
        note: The note.
        keys: The known keys.
        check: Verifies an Ed25519 signature.

    Returns:
        The keys that signed it, with the time in seconds since the epoch at which a witness did.

    Raises:
        NoteError: A signature by a known key is not valid.
    """
    known: Mapping[tuple[str, bytes], VerifierKey] = {(key.name, key.id): key for key in keys}
    found: dict[VerifierKey, int | None] = {}
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue
        made_at, raw, message = _signed(key, signature.payload, note.text)
        if len(raw) != SIGNATURE_BYTES or not check(key.public, raw, message):
            raise NoteError(f"the signature by {key.name} is not valid: the text was changed, or another key signed it")
        found[key] = made_at
    return found


def cosigned_message(text: str, made_at: int) -> bytes:
    """The message that a witness signs.

    Args:
        text: The text of the checkpoint.
        made_at: The time in seconds since the epoch.
    """
    return f"cosignature/v1\ntime {made_at}\n{text}".encode()


def cosignature_payload(made_at: int, signature: bytes) -> bytes:
    """The payload of the signature line of a witness."""
    return made_at.to_bytes(8, "big") + signature


def _signed(key: VerifierKey, payload: bytes, text: str) -> tuple[int | None, bytes, bytes]:
    """The time, the signature and the message of a signature line."""
    if key.kind is KeyKind.ED25519:
        return None, payload, text.encode()
    made_at = int.from_bytes(payload[:8], "big")
    return made_at, payload[8:], cosigned_message(text, made_at)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def decoded_base64(text: str) -> bytes:
    """Decode standard base64; nothing if it is not."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
