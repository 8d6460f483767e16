"""Merkle trees as in RFC 6962 section 2.1: roots, inclusion proofs and consistency proofs.

Trees are given by a function that returns the hash of any complete subtree, so that nothing here depends on where the
hashes are stored.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

HASH_BYTES: Final = 32
LONGEST_PROOF: Final = 64  # hashes: the height of a tree of 2**63 leaves, and one more for consistency
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"

# Returns the hash of the complete subtree with 2**level leaves that begins at leaf index * 2**level.
Subtree = Callable[[int, int], bytes]


def hash_leaf(entry: bytes) -> bytes:
    """Hash the data of a leaf."""
    return hashlib.sha256(_LEAF + entry).digest()


def hash_leaves(entries: Iterable[bytes]) -> list[bytes]:
    """Hash the data of many leaves."""
    sha256, leaf = hashlib.sha256, _LEAF
    return [sha256(leaf + entry).digest() for entry in entries]


def hash_node(left: bytes, right: bytes) -> bytes:
    """Hash two children."""
    return hashlib.sha256(_NODE + left + right).digest()


def hash_complete(leaves: Sequence[bytes]) -> bytes:
    """Hash a complete subtree, given its leaf hashes.

    Args:
        leaves: Leaf hashes; their number is a power of two.
    """
    level, sha256, node = leaves, hashlib.sha256, _NODE
    while len(level) > 1:
        level = [sha256(node + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=True)]
    return level[0]


def root(size: int, subtree: Subtree) -> bytes:
    """Compute the root of a tree with ``size`` leaves."""
    return _range_hash(0, size, subtree) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """Prove that a leaf is in a tree (RFC 6962 section 2.1.1).

    Args:
        index: The index of the leaf; less than ``size``.
        size: The number of leaves of the tree.
        subtree: The hashes of its complete subtrees.

    Returns:
        The siblings from the leaf to the root.

    Raises:
        ValueError: There is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    first, end, siblings = 0, size, []
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            siblings.append((middle, end))
            end = middle
        else:
            siblings.append((first, middle))
            first = middle
    return [_range_hash(*each, subtree) for each in reversed(siblings)]


def consistency_proof(old: int, new: int, subtree: Subtree) -> list[bytes]:
    """Prove that a tree is a prefix of a larger one (RFC 6962 section 2.1.2).

    Args:
        old: The number of leaves of the smaller tree.
        new: The number of leaves of the larger tree.
        subtree: The hashes of the complete subtrees of the larger tree.

    Returns:
        The hashes; none if ``old`` is zero or equals ``new``.

    Raises:
        ValueError: The first tree is larger.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} leaves does not extend one of {old}")
    if old in {0, new}:
        return []
    first, end, siblings = 0, new, []
    while end != old:
        middle = first + _split(end - first)
        if old <= middle:
            siblings.append((middle, end))
            end = middle
        else:
            siblings.append((first, middle))
            first = middle
    # The verifier knows the root of the smaller tree, which is this hash if that tree is complete.
    start = [(first, end)] if first else []
    return [_range_hash(*each, subtree) for each in (*start, *reversed(siblings))]


def root_of_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes | None:
    """Compute the root that an inclusion proof leads to (RFC 9162 section 2.1.3.2).

    Args:
        leaf: The hash of the leaf.
        index: Its index.
        size: The number of leaves of the tree.
        proof: The siblings from the leaf to the root.

    Returns:
        The root, to be compared with a trusted one; None if the proof cannot be one for this index and size.
    """
    if not 0 <= index < size or any(len(sibling) != HASH_BYTES for sibling in (leaf, *proof)):
        return None
    at, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return None
        if at & 1 or at == last:
            found = hash_node(sibling, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = hash_node(found, sibling)
        at, last = at >> 1, last >> 1
    return found if last == 0 else None


def is_consistent(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a consistency proof shows that one tree is a prefix of another (RFC 9162 section 2.1.4.2).

    Args:
        old: The number of leaves of the smaller tree.
        new: The number of leaves of the larger tree.
        old_root: The root of the smaller tree.
        new_root: The root of the larger tree.
        proof: The hashes.
    """
    if not 0 <= old <= new or (old == 0 and old_root != EMPTY_ROOT):
        return False
    if old == new:
        return not proof and old_root == new_root
    if any(len(each) != HASH_BYTES for each in (old_root, new_root, *proof)):
        return False
    if old == 0:
        return not proof
    hashes = iter(proof)
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = old_root if at == 0 and old & (old - 1) == 0 else next(hashes, None)
    if first is None:
        return False
    found_old = found_new = first
    for each in hashes:
        if last == 0:
            return False
        if at & 1 or at == last:
            found_old, found_new = hash_node(each, found_old), hash_node(each, found_new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found_new = hash_node(found_new, each)
        at, last = at >> 1, last >> 1
    return last == 0 and found_old == old_root and found_new == new_root


def complete_subtrees(first: int, end: int) -> Iterator[tuple[int, int]]:
    """Split a range of leaves of one tree into the complete subtrees that it consists of, largest first.

    Args:
        first: The first leaf; a multiple of the largest power of two that is not greater than the length.
        end: The leaf after the last one.

    Yields:
        The level and the index of each subtree.
    """
    while first < end:
        level = (end - first).bit_length() - 1
        yield level, first >> level
        first += 1 << level


def _range_hash(first: int, end: int, subtree: Subtree) -> bytes:
    *rest, last = complete_subtrees(first, end)
    found = subtree(*last)
    for each in reversed(rest):
        found = hash_node(subtree(*each), found)
    return found


def _split(size: int) -> int:
    """Return the largest power of two less than ``size``."""
    return 1 << ((size - 1).bit_length() - 1)
