"""A set of random 64-bit keys that may say yes too often, but never no to a key that was added: a blocked Bloom filter.

The keys must be random already (keyed hashes): their own bits choose the places. Each key sets up to four bits of one
64-bit word, so that asking costs one look at memory, and the four bits are computed once for many filters.
"""

import sys
from array import array
from collections.abc import Iterable
from typing import Final

_KEYS_PER_WORD: Final = 4  # 16 bits for each key: some 0.5 % of the other keys are taken for added ones
_LEAST_WORDS: Final = 64
# 256 MiB: PostgreSQL cannot send much larger values as text. The lower half of a key chooses the word.
_MOST_WORDS: Final = 1 << 25
# Two bits of a word, chosen by twelve bits of a key: half the time of two shifts.
_TWO_BITS: Final = [1 << (twelve & 63) | 1 << (twelve >> 6) for twelve in range(1 << 12)]


def bits_of(key: int) -> int:
    """Return the bits that a key sets in its word."""
    return _TWO_BITS[key >> 32 & 4095] | _TWO_BITS[key >> 44 & 4095]


def words_for(count: int) -> int:
    """Return how many words a filter for about this many keys has."""
    words = _LEAST_WORDS
    while words * _KEYS_PER_WORD < count and words < _MOST_WORDS:
        words *= 2
    return words


class KeyFilter:
    """A filter to which keys can be added."""

    def __init__(self, words: "array[int]") -> None:
        """Use the words of a filter, a power of two."""
        self._words = words
        self._mask = len(words) - 1

    @classmethod
    def for_keys(cls, count: int) -> "KeyFilter":
        """Create an empty filter for about this many keys; with more it says yes more often."""
        return cls(array("Q", (0,)) * words_for(count))

    @classmethod
    def load(cls, dumped: bytes) -> "KeyFilter":
        """Read what ``dump`` has written."""
        words = array("Q")
        words.frombytes(dumped)
        if sys.byteorder == "big":
            words.byteswap()
        return cls(words)

    def __len__(self) -> int:
        """The number of words, of 8 bytes each."""
        return len(self._words)

    def dump(self, first: int = 0, beyond: int | None = None) -> bytes:
        """Return the words from one on until before another, little-endian; all if none is given."""
        words = self._words[first:beyond]
        if sys.byteorder == "big":
            words.byteswap()
        return words.tobytes()

    def add(self, keys: Iterable[int]) -> None:
        """Add some keys."""
        words, mask, two = self._words, self._mask, _TWO_BITS
        for key in keys:
            words[key & mask] |= two[key >> 32 & 4095] | two[key >> 44 & 4095]  # as ``bits_of``

    def united(self, other: "KeyFilter") -> "KeyFilter":
        """Return a filter of all keys of this one and of another with as many words."""
        return self._of(_bits(self._words) | _bits(other._words), len(self))  # noqa: SLF001 (the same class)

    def folded(self, words: int) -> "KeyFilter":
        """Return a filter of the same keys that has fewer words, a power of two."""
        bits = 0
        for first in range(0, len(self), words):
            bits |= _bits(self._words[first : first + words])
        return self._of(bits, words)

    @classmethod
    def _of(cls, bits: int, count: int) -> "KeyFilter":
        words = array("Q")
        words.frombytes(bits.to_bytes(count * words.itemsize, sys.byteorder))
        return cls(words)

    def possible(self, asked: Iterable[tuple[int, int]]) -> list[int]:
        """Return the keys, given with their bits, that may have been added; hot path."""
        words, mask = self._words, self._mask
        return [key for key, bits in asked if words[key & mask] & bits == bits]


class FiltersOfMany:
    """Several filters, each for some places of a bit set, which are asked together; hot path."""

    def __init__(self, filters: Iterable[tuple[KeyFilter, int]]) -> None:
        """Use filters, each with the bits that it sets in the answer."""
        self._by_size: dict[int, list[tuple[array[int], int]]] = {}
        for each, places in filters:
            self._by_size.setdefault(len(each) - 1, []).append((each._words, places))  # noqa: SLF001 (same module)

    def places(self, key: int) -> int:
        """Return the bits of all filters to which a key may have been added."""
        bits, found = _TWO_BITS[key >> 32 & 4095] | _TWO_BITS[key >> 44 & 4095], 0  # as ``bits_of``
        for mask, filters in self._by_size.items():
            place = key & mask
            for words, places in filters:
                if words[place] & bits == bits:
                    found |= places
        return found


def _bits(words: "array[int]") -> int:
    """Return words as one number: the bits of millions of them are combined within milliseconds."""
    return int.from_bytes(words.tobytes(), sys.byteorder)
