"""What the generated Avro code is built on: numbers, blocks of lists, strings checked once.

Strings repeat: the same agents, scopes and issuers stand in every record. So a verdict is remembered by the
exact bytes (or the exact string, in writing), within limits.
"""

from collections.abc import Callable, Iterable
from struct import Struct
from typing import Any, Final, NamedTuple, TypeVar

from ingest.codec import credentials, limits
from lineage.core.model.errors import BadRecordError
from lineage.core.model.events import Event
from lineage.core.model.times import EARLIEST, LATEST

_K = TypeVar("_K")
_V = TypeVar("_V")

# 32,768 keys of at most 200 bytes, with what was made of them, are at most 15 MB a memo, whoever sends them.
_REMEMBERED: Final = 1 << 15
_REMEMBERED_BYTES: Final = 200
_LONGEST_VARINT: Final = 10  # bytes, Avro 1.12 "Primitive types encoded": 64 bits in sevens


class Doubt(Exception):  # noqa: N818  (never leaves the codec: it asks the slow way, which has the sentence)
    """Something may be wrong with a record."""


class Coder(NamedTuple):
    """What reads and writes the values of one version of the schema, header included.

    ``decode`` checks as it reads, ``encode`` as it writes. What they raise says only that they did not:
    ``Doubt``, or whatever Python raises at bytes that make no sense.
    """

    read: Callable[[bytes], Event]
    decode: Callable[[bytes], Event]
    encode: Callable[[Event], bytes]


class Memo(dict[_K, _V]):
    """What a function made of its argument, remembered; all forgotten when there is too much of it."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[_K], _V]) -> None:
        """Remember what ``make`` makes; what it raises is not remembered."""
        super().__init__()
        self.make = make

    def __missing__(self, key: _K) -> _V:
        """Make it, and remember it if it is small."""
        value = self.make(key)
        if key.__sizeof__() <= _REMEMBERED_BYTES:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[key] = value
        return value


# Most ids that are new end in digits of some kind, behind a head that is not new: `<iss>#<uuid>`,
# `sha256:<hex>`. No credential is made of these characters alone, and where one goes on behind a delimiter,
# its beginning is seen in front of it.
_DIGITS: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef-"


def is_innocent(head: bytes) -> bool:
    """Whether digits behind this head make a good id and no credential, whatever the digits are."""
    text = head.decode(errors="replace")
    return not head or (head[-1:] in b"#:/@" and not limits.fault_of_id(text) and not credentials.may_hold(text))


innocent_heads: Final = Memo[bytes, bool](is_innocent)


def checked_id(raw: bytes) -> str:
    """The id that these bytes are.

    Raises:
        Doubt: It is none, or a credential.
        UnicodeDecodeError: Not UTF-8.
    """
    if len(raw) <= limits.ID_BYTES and raw and innocent_heads[raw.rstrip(_DIGITS)]:
        return raw.decode()
    text = raw.decode()
    if limits.fault_of_id(text) or credentials.find(text):
        raise Doubt
    return text


def checked_text(raw: bytes) -> str:
    """The text that these bytes are; it may be empty.

    Raises:
        Doubt: It is too long, or holds a credential.
        UnicodeDecodeError: Not UTF-8.
    """
    if len(raw) > limits.TEXT_BYTES:
        raise Doubt
    if innocent_heads[raw.rstrip(_DIGITS)]:
        return raw.decode()
    text = raw.decode()
    if credentials.find(text):
        raise Doubt
    return text


def refuse_secrets(pairs: Iterable[tuple[str, str]]) -> None:
    """Refuse a map in which a secret stands under its name.

    Raises:
        Doubt: There is one.
    """
    for key, text in pairs:
        if credentials.is_secret_of_ours(key, text):
            raise Doubt


def long(value: bytes, at: int) -> tuple[int, int]:
    """A number and the place behind it.

    Raises:
        ValueError: More than 64 bits.
        IndexError: The bytes end before.
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
    """Twice the length of a string, as its own short form would be, and the place behind it.

    Raises:
        ValueError: It is negative, or no number.
    """
    number, at = long(value, at)
    if number < 0:
        raise ValueError("the length of a string is negative")
    return number << 1, at


def count(value: bytes, at: int) -> tuple[int, int]:
    """Twice the number of entries of a block, and the place behind it.

    A negative number has the size of the block in bytes behind it.
    """
    number, at = long(value, at)
    if number < 0:
        number = -number
        _, at = long(value, at)
    return number << 1, at


def duplicate_key(name: str) -> BadRecordError:
    """The fault of a map that has a key twice."""
    return BadRecordError("duplicate-key", f"{name} has a key twice: state it once")


def too_many(name: str, kind: str, limit: int) -> BadRecordError:
    """The fault of a list or map that is too long."""
    return BadRecordError("too-many", f"{name} has too many entries, a {kind} at most {limit}")


# An instant of our time takes eight bytes. The upper four change every 134 seconds: they are remembered, with
# the upper bits of the lower four taken off already.
_HALVES: Final = Struct("<4B4s")
halves: Final = _HALVES.unpack_from
_LOWER_MARKS: Final = (0x80 | 0x80 << 7 | 0x80 << 14 | 0x80 << 21) >> 1


def upper_half(half: bytes) -> int | None:
    """What the upper four bytes of an instant add to the lower four; None: they are no such bytes."""
    if len(half) < 4 or not half[0] & half[1] & half[2] & 0x80 or half[3] & 0x80:  # noqa: PLR2004
        return None
    upper = half[0] & 0x7F | (half[1] & 0x7F) << 7 | (half[2] & 0x7F) << 14 | half[3] << 21
    base = upper << 27
    return base - _LOWER_MARKS if base + (1 << 27) <= LATEST else None


def zigzag(number: int) -> bytes:
    """A number that is not negative, as Avro writes it."""
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
    """An id as Avro writes it.

    Raises:
        Doubt: It is none, or a credential. So for the others below.
    """
    if type(text) is not str:
        raise Doubt
    raw = text.encode()
    checked_id(raw)
    return _LENGTHS[len(raw)] + raw


def text_bytes(text: Any) -> bytes:
    """A text as Avro writes it; it may be empty."""
    if type(text) is not str:
        raise Doubt
    raw = text.encode()
    checked_text(raw)
    return _LENGTHS[len(raw)] + raw


def stated_bytes(text: Any) -> bytes:
    """A text that must not be empty, as Avro writes it."""
    if not text:
        raise Doubt
    return text_bytes(text)


def or_none(write: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """The same for what may be None: a union with null, which is the first branch."""
    return lambda value: b"\0" if value is None else b"\2" + write(value)


def integer_bytes(number: Any) -> bytes:
    """An integer as Avro writes it."""
    if type(number) is not int or not 0 <= number <= limits.LARGEST_INTEGER:
        raise Doubt
    return zigzag(number)


def time_bytes(instant: Any) -> bytes:
    """An instant as Avro writes it."""
    if type(instant) is not int or not EARLIEST <= instant <= LATEST:
        raise Doubt
    if instant < _EIGHT_BYTES:
        return zigzag(instant)
    rest = instant << 1
    return _PAIRS[rest & 0x3FFF] + _PAIRS[rest >> 14 & 0x3FFF] + _UPPER[rest >> 28]


# The two halves of an instant again, the lower one as two pairs of bytes.
_EIGHT_BYTES: Final = 1 << 48
_PAIRS: Final = Memo[int, bytes](lambda low: bytes((low & 0x7F | 0x80, low >> 7 | 0x80)))
_UPPER: Final = Memo[int, bytes](_sevens)


def boolean_bytes(flag: Any) -> bytes:
    """A boolean as Avro writes it."""
    if type(flag) is not bool:
        raise Doubt
    return b"\1" if flag else b"\0"


def list_bytes(entries: Any, write: Callable[[Any], bytes]) -> bytes:
    """A list of one block; there is something in it."""
    if type(entries) is not tuple or len(entries) > limits.LIST_ENTRIES:
        raise Doubt
    return b"".join((_LENGTHS[len(entries)], *map(write, entries), b"\0"))


def map_bytes(pairs: Any, write: Callable[[Any], bytes]) -> bytes:
    """A map of strings of one block; there is something in it."""
    if type(pairs) is not tuple or len(pairs) > limits.MAP_ENTRIES:
        raise Doubt
    keys = [key for key, _ in pairs]
    if sorted(set(keys)) != keys:
        raise Doubt
    refuse_secrets(pairs)
    return b"".join((_LENGTHS[len(pairs)], *(write(text) for pair in pairs for text in pair), b"\0"))
