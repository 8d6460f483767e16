"""The runtime of the generated Avro code: integers, blocks, and cached validation of strings.

Strings repeat: the same agents, scopes and issuers occur in most records. So the result of validating one is cached
by its exact bytes (when reading) or the exact string (when writing), up to a limit.
"""

from collections.abc import Callable, Iterable
from struct import Struct
from typing import Any, Final, NamedTuple, TypeVar

from ingest.codec import credentials, limits
from lineage.core.model.errors import BadRecordError
from lineage.core.model.events import Event
from lineage.core.model.grants import GrantParts
from lineage.core.model.times import EARLIEST, LATEST

_K = TypeVar("_K")
_V = TypeVar("_V")

# 32,768 keys of at most 200 bytes, with their values, take at most 15 MB for each cache, whatever a client sends.
_REMEMBERED: Final = 1 << 15
_REMEMBERED_BYTES: Final = 200
_LONGEST_PART: Final = 12  # bytes: shorter than any credential
_LONGEST_VARINT: Final = 10  # bytes, Avro 1.12 "Primitive types encoded": 64 bits in groups of seven


class SlowPathError(Exception):
    """The fast path cannot accept a record. Never leaves the codec: the slow path accepts it or says what is wrong."""


class Coder(NamedTuple):
    """Reads and writes the values of one schema version, header included.

    ``read_parts`` leaves a grant in parts if it can; ``decode`` validates while reading, ``encode`` while writing.
    Their exceptions do not explain what is wrong: they raise ``SlowPathError``, or whatever Python raises on malformed
    bytes.
    """

    read: Callable[[bytes], Event]
    read_parts: Callable[[bytes], Event | GrantParts]
    decode: Callable[[bytes], Event]
    encode: Callable[[Event], bytes]


class Memo(dict[_K, _V]):
    """A cache of the results of a function, emptied when it is full."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[_K], _V]) -> None:
        """Cache the results of ``make``; its exceptions are not cached."""
        super().__init__()
        self.make = make

    def __missing__(self, key: _K) -> _V:
        """Compute the value, and cache it if the key is small."""
        value = self.make(key)
        if key.__sizeof__() <= _REMEMBERED_BYTES:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[key] = value
        return value


# Most new ids are a known head followed by digits of some kind: `<iss>#<uuid>`, `sha256:<hex>`, `aws#ASIA...`. If a
# credential continues in the digits after a delimiter, its beginning is in the head, which is checked. One of only
# capitals and digits is long and has a K, a T or an X in its prefix: `AGE-SECRET-KEY-1`, `ATATT3`, `GOCSPX-`.
_CAPITALS: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef-"
_DIGITS: Final = b"0123456789ABCDEFGHIJLMNOPQRSUVWYZabcdef-"
_SHORTEST_SECRET: Final = 27
_ENDS_OF_HEADS: Final = frozenset(b"#:/@")  # other heads are nearly always new: not worth caching


def head_of(raw: bytes) -> bytes:
    """Strip the digits at the end of an id or a text."""
    head = raw.rstrip(_CAPITALS)
    return head if len(raw) - len(head) < _SHORTEST_SECRET else raw.rstrip(_DIGITS)


def is_innocent(head: bytes) -> bool:
    """Whether this head followed by any digits is a valid id and not a credential."""
    text = head.decode(errors="replace")
    if not head:
        return True
    return (
        head[-1] in _ENDS_OF_HEADS and not limits.fault_of_id(text) and not credentials.may_hold(f"{text}0")
    )  # `1//0`


innocent_heads: Final = Memo[bytes, bool](is_innocent)


def _is_part(word: bytes) -> bool:
    """Whether this is a lower-case word, as at the end of an id of several parts."""
    return len(word) <= _LONGEST_PART and word.isalpha() and word.islower()


_parts: Final = Memo[bytes, bool](_is_part)


def checked_id(raw: bytes) -> str:
    """Decode and validate an id.

    Raises:
        SlowPathError: It is not a valid id, or contains a credential.
        UnicodeDecodeError: Not UTF-8.
    """
    if raw and len(raw) <= limits.ID_BYTES:
        head = head_of(raw)
        if not head or (head[-1] in _ENDS_OF_HEADS and innocent_heads[head]):
            return raw.decode()
        whole, slash, word = raw.rpartition(b"/")  # `aws#<uuid>/action`
        if slash and _parts[word] and innocent_heads[head_of(whole)]:
            return raw.decode()
    text = raw.decode()
    if limits.fault_of_id(text) or credentials.find(text):
        raise SlowPathError
    return text


def checked_text(raw: bytes) -> str:
    """Decode and validate a text; it may be empty.

    Raises:
        SlowPathError: It is too long, or contains a credential.
        UnicodeDecodeError: Not UTF-8.
    """
    if len(raw) > limits.TEXT_BYTES:
        raise SlowPathError
    head = head_of(raw)
    if not head or (head[-1] in _ENDS_OF_HEADS and innocent_heads[head]):
        return raw.decode()
    text = raw.decode()
    if credentials.find(text):
        raise SlowPathError
    return text


def refuse_secrets(pairs: Iterable[tuple[str, str]]) -> None:
    """Refuse a map in which a key that names a secret has a secret as its value.

    Raises:
        SlowPathError: There is such an entry.
    """
    for key, text in pairs:
        if credentials.is_secret_of_ours(key, text):
            raise SlowPathError


def long(value: bytes, at: int) -> tuple[int, int]:
    """Read a zigzag varint.

    Returns:
        The number, and the position after it.

    Raises:
        ValueError: It has more than 64 bits.
        IndexError: The bytes end before it does.
    """
    number = shift = 0
    for place in range(at, at + _LONGEST_VARINT):
        byte = value[place]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004
            if number >> 64:
                break
            return number >> 1 ^ -(number & 1), place + 1
        shift += 7
    raise ValueError("a number has more than 64 bits")


def length(value: bytes, at: int) -> tuple[int, int]:
    """Read the length of a string.

    Returns:
        Twice the length (as the one-byte form of a varint has it), and the position after it.

    Raises:
        ValueError: It is negative, or has more than 64 bits.
    """
    number, at = long(value, at)
    if number < 0:
        raise ValueError("the length of a string is negative")
    return number << 1, at


def count(value: bytes, at: int) -> tuple[int, int]:
    """Read the number of entries of a block.

    A negative number is followed by the size of the block in bytes, which is skipped.

    Returns:
        Twice the number of entries, and the position after it.
    """
    number, at = long(value, at)
    if number < 0:
        number = -number
        _, at = long(value, at)
    return number << 1, at


def duplicate_key(name: str) -> BadRecordError:
    """The error for a map that has the same key twice."""
    return BadRecordError("duplicate-key", f"{name} has a key twice: state it once")


def too_many(name: str, kind: str, limit: int) -> BadRecordError:
    """The error for a list or map that is too long."""
    return BadRecordError("too-many", f"{name} has too many entries, a {kind} at most {limit}")


# A present-day instant takes eight bytes. The upper four change every 134 seconds, so their value is cached, with the
# continuation bits of the lower four already subtracted.
_HALVES: Final = Struct("<4B4s")
halves: Final = _HALVES.unpack_from
_LOWER_MARKS: Final = (0x80 | 0x80 << 7 | 0x80 << 14 | 0x80 << 21) >> 1


def upper_half(half: bytes) -> int | None:
    """Return what the upper four of an instant's eight bytes add to the lower four; None if they are no such bytes."""
    if len(half) < 4 or not half[0] & half[1] & half[2] & 0x80 or half[3] & 0x80:  # noqa: PLR2004
        return None
    upper = half[0] & 0x7F | (half[1] & 0x7F) << 7 | (half[2] & 0x7F) << 14 | half[3] << 21
    base = upper << 27
    return base - _LOWER_MARKS if base + (1 << 27) <= LATEST else None


def zigzag(number: int) -> bytes:
    """Encode a non-negative number as an Avro long."""
    return _sevens(number << 1)


def _sevens(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:  # noqa: PLR2004
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


_LENGTHS: Final = [zigzag(number) for number in range(limits.TEXT_BYTES + 1)]


def id_bytes(text: Any) -> bytes:
    """Encode an id.

    Raises:
        SlowPathError: It is not a valid id, or contains a credential. The functions below raise it likewise.
    """
    if type(text) is not str:
        raise SlowPathError
    raw = text.encode()
    checked_id(raw)
    return _LENGTHS[len(raw)] + raw


def text_bytes(text: Any) -> bytes:
    """Encode a text; it may be empty."""
    if type(text) is not str:
        raise SlowPathError
    raw = text.encode()
    checked_text(raw)
    return _LENGTHS[len(raw)] + raw


def stated_bytes(text: Any) -> bytes:
    """Encode a text that must not be empty."""
    if not text:
        raise SlowPathError
    return text_bytes(text)


def or_none(write: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """Wrap an encoder for an optional value: a union whose first branch is null."""
    return lambda value: b"\0" if value is None else b"\2" + write(value)


def integer_bytes(number: Any) -> bytes:
    """Encode an integer."""
    if type(number) is not int or not 0 <= number <= limits.LARGEST_INTEGER:
        raise SlowPathError
    return zigzag(number)


def time_bytes(instant: Any) -> bytes:
    """Encode an instant."""
    if type(instant) is not int or not EARLIEST <= instant <= LATEST:
        raise SlowPathError
    if instant < _EIGHT_BYTES:
        return zigzag(instant)
    rest = instant << 1
    return _PAIRS[rest & 0x3FFF] + _PAIRS[rest >> 14 & 0x3FFF] + _UPPER[rest >> 28]


# The encoded halves of an instant, cached; the lower half as two pairs of bytes.
_EIGHT_BYTES: Final = 1 << 48
_PAIRS: Final = Memo[int, bytes](lambda low: bytes((low & 0x7F | 0x80, low >> 7 | 0x80)))
_UPPER: Final = Memo[int, bytes](_sevens)


def boolean_bytes(flag: Any) -> bytes:
    """Encode a boolean."""
    if type(flag) is not bool:
        raise SlowPathError
    return b"\1" if flag else b"\0"


def list_bytes(entries: Any, write: Callable[[Any], bytes]) -> bytes:
    """Encode a list that is not empty, as one block."""
    if type(entries) is not tuple or len(entries) > limits.LIST_ENTRIES:
        raise SlowPathError
    return b"".join((_LENGTHS[len(entries)], *map(write, entries), b"\0"))


def map_bytes(pairs: Any, write: Callable[[Any], bytes]) -> bytes:
    """Encode a map of strings that is not empty, as one block."""
    if type(pairs) is not tuple or len(pairs) > limits.MAP_ENTRIES:
        raise SlowPathError
    keys = [key for key, _ in pairs]
    if sorted(set(keys)) != keys:
        raise SlowPathError
    refuse_secrets(pairs)
    return b"".join((_LENGTHS[len(pairs)], *(write(text) for pair in pairs for text in pair), b"\0"))
