"""Decoding of base64 and decompression, so that the content can be searched. Bounded in size."""

import binascii
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

_RUN: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}(?:\r?\n[A-Za-z0-9+/_-]++(?=[\s=\"'\\<\x01]|$))*={0,2}")
_HEXADECIMAL: Final = re.compile(r"[0-9a-f-]+|[0-9A-F-]+")  # a digest, a UUID
LONG_RUN: Final = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{20}")
_BEGINNING: Final = 16  # characters; twelve bytes
_PRINTABLE: Final = re.compile(rb"[\t\n\r\x20-\x7e]{12}")
_TO_STANDARD: Final = str.maketrans("-_", "+/", "\r\n=")
_ALIGNMENTS: Final = range(4)
_GZIP, _AVRO = b"\x1f\x8b", b"\xc3\x01"
_ZLIB: Final = (b"\x78\x01", b"\x78\x9c", b"\x78\xda", b"\x78\x5e")
# Magic bytes of compression formats that are not decompressed here: zstd, xz, bzip2, zip, lz4, framed snappy.
_OPAQUE: Final = (b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh", b"PK\x03\x04", b"\x04\x22\x4d\x18", b"\xff\x06\0\0sNaPpY")
_LARGEST: Final = 32 * 1024 * 1024
_STEP: Final = 4096
_LARGEST_INFLATED: Final = 1024 * 1024
_EITHER_HEADER: Final = 47  # tells zlib to detect the header: gzip or zlib, with the largest window


_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def _letters(included: Callable[[int], bool]) -> str:
    """Return the base64 letters whose six bits match."""
    found = "".join(letter for number, letter in enumerate(_ALPHABET) if included(number))
    return f"[{found}{'_' if '/' in found else ''}{'-' if '+' in found else ''}]"


# The beginning of base64 of readable content: this matches whatever ``_is_readable`` accepts, and little else.
_FOUR: Final = (  # the letters of three bytes that can be printed
    _letters(lambda bits: bits in (2, 3) or 8 <= bits < 32)  # noqa: PLR2004
    + _letters(lambda bits: bits % 16 == 0 or 2 <= bits % 16 < 8)  # noqa: PLR2004
    + _letters(lambda bits: bits % 4 < 2)  # noqa: PLR2004
    + "[A-Za-z0-9+/_-]"
)
_OF_TWO_BYTES: Final = "[A-Za-z0-9+/_-][AQgw][A-D][A-Za-z0-9+/_-]A[A-P]"  # UTF-16
_READABLE: Final = f"(?:{_FOUR * 4}|H4[s-v]|ww[E-H]|{_OF_TWO_BYTES})"
AT_START: Final = re.compile(_READABLE)
FURTHER_ON: Final = re.compile(f"[^A-Za-z0-9+_-]{_READABLE}")


def holds_base64(text: str) -> bool:
    """Whether a run of letters and digits in a text is the base64 of something readable.

    In a text without line breaks that takes a ``LONG_RUN`` and a beginning ``AT_START`` or ``FURTHER_ON``, which
    ``door.may_hold`` looks for first, since that is faster.
    """
    for match in _RUN.finditer(text):
        run = match.group()
        if _is_readable(run) or ("/" in run and any(_is_readable(part) for part in run.split("/"))):
            return True
    return False


def _is_readable(run: str) -> bool:
    if len(run) < _BEGINNING:
        return False
    plain = _decoded(run[:_BEGINNING])
    return _PRINTABLE.match(plain) is not None or plain.startswith((_GZIP, _AVRO)) or plain[1:6:2] == b"\0\0\0"


def runs(text: str) -> Iterator[tuple[int, int, bytes]]:
    """Each run of base64 that decodes to something searchable, tried at each of the four alignments.

    Yields:
        Start and end of the run, and the decoded bytes.
    """
    for match in _RUN.finditer(text):
        run = match.group()
        if _HEXADECIMAL.fullmatch(run):
            plain = _from_hexadecimal(run)
            if _PRINTABLE.match(plain):
                yield match.start(), match.end(), plain
            continue
        for skipped in _ALIGNMENTS:
            plain = _decoded(run[skipped:])
            if not skipped and _PRINTABLE.match(inflated := _inflated(plain)):
                yield match.start(), match.end(), inflated
            readable = plain.replace(b"\0", b"") if b"\0" in plain else plain
            if _PRINTABLE.search(readable) or plain.startswith((_GZIP, _AVRO, *_OPAQUE)):
                yield match.start(), match.end(), plain


def _from_hexadecimal(run: str) -> bytes:
    return bytes.fromhex(run[: len(run) & ~1]) if "-" not in run else b""


def _inflated(raw: bytes) -> bytes:
    """Decompress deflate without a header, as in the redirect binding of SAML; empty if it is not deflate."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(raw, _LARGEST_INFLATED)
    except zlib.error:
        return b""


def _decoded(run: str) -> bytes:
    standard = run.translate(_TO_STANDARD)
    try:
        return binascii.a2b_base64(standard[: len(standard) - (len(standard) % 4 == 1)] + "==")
    except binascii.Error:
        return b""


def is_opaque(raw: bytes) -> bool:
    """Whether bytes are compressed in a format that is not decompressed here."""
    return raw.startswith(_OPAQUE)


def is_compressed(raw: bytes) -> bool:
    """Whether bytes are compressed with gzip or zlib."""
    return raw.startswith((_GZIP, *_ZLIB))


def unpacked(raw: bytes) -> bytes | None:
    """Decompress gzip or zlib, up to the first corrupt byte; None if the content exceeds the size limit."""
    pieces: list[bytes] = []
    size = 0
    while raw:
        member, at = zlib.decompressobj(_EITHER_HEADER), 0
        while at < len(raw) and not member.eof:
            before, packed = member.copy(), raw[at : at + _STEP]
            try:
                pieces.append(member.decompress(packed))
            except zlib.error:
                pieces.append(before_fault(before, packed))
                return b"".join(pieces)
            at, size = at + _STEP, size + len(pieces[-1])
            if size > _LARGEST:
                return None
        raw = member.unused_data + raw[at:] if member.eof else b""
    return b"".join(pieces)


def before_fault(member: Any, packed: bytes) -> bytes:
    """Return what a gzip member decompresses to before the corrupt byte in ``packed``."""
    plain = b""
    for at in range(len(packed)):
        try:
            plain += member.decompress(packed[at : at + 1])
        except zlib.error:
            break
    return plain
