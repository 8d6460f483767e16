"""A client of C2SP tlog-tiles, written from the specification alone: it shares no code with the server."""

import base64
import hashlib
from collections.abc import Callable

Get = Callable[[str], bytes]
"""Fetches a path below the prefix of a log."""


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(hashes: list[bytes]) -> bytes:
    """Compute the Merkle tree hash (RFC 6962 section 2.1) of leaf hashes."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    middle = 1
    while middle * 2 < len(hashes):
        middle *= 2
    return node(root_of(hashes[:middle]), root_of(hashes[middle:]))


def index_path(index: int) -> str:
    """Format an index in groups of three digits, all but the last after an ``x``."""
    text = str(index)
    text = text.zfill(-(-len(text) // 3) * 3)
    parts = [text[at : at + 3] for at in range(0, len(text), 3)]
    return "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])


def tile_paths(size: int, level: int | str) -> list[tuple[str, int]]:
    """Yield the tiles of a level of a tree of this size, each with its width."""
    there = size if level == "entries" else size // 256 ** int(level)
    found = [(f"tile/{level}/{index_path(index)}", 256) for index in range(there // 256)]
    if there % 256:
        found.append((f"tile/{level}/{index_path(there // 256)}.p/{there % 256}", there % 256))
    return found


def verified_entries(get: Get) -> tuple[str, int, list[bytes]]:
    """Fetch a whole tree and check all of it against its checkpoint.

    Returns:
        The origin, the size, and the entries.
    """
    origin, size_text, root_text, *_ = get("checkpoint").decode().split("\n")
    size, root = int(size_text), base64.b64decode(root_text)
    below: list[bytes] = []
    level, count = 0, size
    while count:
        hashes = []
        for path, width in tile_paths(size, level):
            tile = get(path)
            assert len(tile) == width * 32, path
            hashes += [tile[at : at + 32] for at in range(0, len(tile), 32)]
        if level:  # each is the root of a full tile below
            assert hashes == [root_of(below[at * 256 : (at + 1) * 256]) for at in range(count)]
        else:
            assert root_of(hashes) == root
            leaves = hashes
        below, level, count = hashes, level + 1, count // 256
    entries = []
    for path, width in tile_paths(size, "entries"):
        bundle, at = get(path), 0
        while at < len(bundle):
            length = int.from_bytes(bundle[at : at + 2], "big")
            entries.append(bundle[at + 2 : at + 2 + length])
            at += 2 + length
        assert len(entries) % 256 == width % 256, path
    assert [hashlib.sha256(b"\x00" + entry).digest() for entry in entries] == (leaves if size else [])
    return origin, size, entries
