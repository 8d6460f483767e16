"""Token status lists (draft-ietf-oauth-status-list): the status of each token in one, and the encoding. Pure.

A list is an array of statuses of 1, 2, 4 or 8 bits each, packed into bytes from the least significant bit on,
compressed in the ZLIB format, in base64url.
"""

import base64
import binascii
import zlib
from collections.abc import Mapping
from enum import IntEnum
from typing import Final, NamedTuple

from lineage.core.authority.verdict import State
from lineage.core.authority.world import LARGEST, World, is_listed
from lineage.core.model.times import Instant
from lineage.core.revocation.state_changes import affected_by, outcomes

BITS: Final = 2  # enough for the statuses below
CAPACITY: Final = 2**17  # entries of the smallest list, so that a token newer than the list is still in range
_WIDTHS: Final = (1, 2, 4, 8)
_EVER: Final = -1  # before all instants


class StatusType(IntEnum):
    """The statuses in use, by precedence if two tokens share an entry."""

    VALID = 0
    SUSPENDED = 2
    INVALID = 1

    @property
    def rank(self) -> int:
        """The precedence; the greater counts."""
        return {StatusType.VALID: 0, StatusType.SUSPENDED: 1, StatusType.INVALID: 2}[self]


_STATUSES: Final = {
    State.REVOKED: StatusType.INVALID,
    State.CASCADED: StatusType.INVALID,
    State.SUSPENDED: StatusType.SUSPENDED,
}


class Statuses(NamedTuple):
    """A list at an instant.

    Attributes:
        size: The number of its entries.
        statuses: The entries that are not VALID, by index.
    """

    size: int
    statuses: dict[int, StatusType]


def statuses_of(world: World, uri: str, at: Instant) -> Statuses | None:
    """Compute a list at an instant; None if no token claims an entry of it.

    Every entry stated for a token shows its status; if tokens share an entry, the worst one.

    Cost:
        The number of elements that orders have ever ended, not the length of the list.
    """
    last = world.listings.last.get(uri)
    if last is None:
        return None
    size = CAPACITY
    while size <= last:
        size *= 2
    # An expired token keeps its entry and its status.
    ended = affected_by(world, {order.body.revocation for order in world.orders.all()}, _EVER)
    places: dict[str, list[int]] = {}
    for key in ended:
        element = world.graph.element(key)
        stated = () if element is None else element.places
        found = [place.idx for place in stated if place.uri == uri and is_listed(place.idx)]
        if found:
            places[key] = found
    statuses: dict[int, StatusType] = {}
    for key, outcome in outcomes(world, places.keys(), at).items():
        status = _STATUSES.get(outcome.state, StatusType.VALID)
        for place in places[key]:
            if status.rank > statuses.get(place, StatusType.VALID).rank:
                statuses[place] = status
    return Statuses(size, statuses)


# The encoding


def packed(statuses: Mapping[int, int], size: int, bits: int) -> bytes:
    """Pack statuses by index into bytes; unstated entries are 0.

    Examples:
        >>> packed(dict(enumerate([1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3])), 12, 2).hex()
        'c944f9'
    """
    _refuse_width(bits)
    array = bytearray((size * bits + 7) // 8)
    for place, status in statuses.items():
        if not (0 <= place < size and 0 <= status < 1 << bits):
            raise ValueError(f"the status {status} at {place} does not fit into {size} entries of {bits} bits")
        array[place * bits // 8] |= status << place * bits % 8
    return bytes(array)


def status_at(array: bytes, place: int, bits: int) -> int:
    """Return the status at an index.

    Raises:
        IndexError: The list is shorter.
    """
    _refuse_width(bits)
    if place < 0:
        raise IndexError(place)
    return array[place * bits // 8] >> place * bits % 8 & (1 << bits) - 1


def encoded(array: bytes) -> str:
    """Encode bytes for the member ``lst``.

    Examples:
        >>> encoded(bytes.fromhex("c944f9"))
        'eNo76fITAAPfAgc'
    """
    return base64.urlsafe_b64encode(zlib.compress(array, level=9)).rstrip(b"=").decode()


def decoded(lst: str, *, largest: int = LARGEST) -> bytes:
    """Decode the bytes of a member ``lst``.

    Raises:
        ValueError: It is invalid, or contains more bytes than ``largest``.
    """
    try:
        inflate = zlib.decompressobj()
        raw = base64.b64decode(lst + "=" * (-len(lst) % 4), altchars=b"-_", validate=True)
        array = inflate.decompress(raw, largest)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"not the bytes of a status list: {error}") from error
    if not inflate.eof or inflate.unused_data:
        raise ValueError(f"not the bytes of a status list, or more than {largest:,}")
    return array


def _refuse_width(bits: int) -> None:
    if bits not in _WIDTHS:
        raise ValueError(f"a status has 1, 2, 4 or 8 bits, not {bits}")
