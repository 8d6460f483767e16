"""Merkle trees and proofs, against the definition in RFC 6962 and the vectors of another implementation."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.core.evidence import merkle
from lineage.core.evidence.merkle import hash_leaf, hash_node
from tests.support.places import DATA

VECTORS = DATA / "merkle"
LEAVES = [hash_leaf(f"entry {number}".encode()) for number in range(600)]


def root_by_definition(leaves: list[bytes]) -> bytes:
    """Compute the root as RFC 6962 section 2.1 defines it."""
    if not leaves:
        return merkle.EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    return hash_node(root_by_definition(leaves[:split]), root_by_definition(leaves[split:]))


def subtree(level: int, index: int) -> bytes:
    return root_by_definition(LEAVES[index << level : (index + 1) << level])


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int]:
    """Generate a size of the tree, and one that is not larger."""
    size = draw(st.integers(1, len(LEAVES)))
    return draw(st.integers(0, size)), size


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7, 8, 255, 256, 257, 511, 600])
def test_the_root_is_the_one_that_the_rfc_defines(size: int):
    assert root_by_definition(LEAVES[:size]) == merkle.root(size, subtree)


@given(sizes(), st.integers(0, 599))
@settings(max_examples=200)
def test_an_inclusion_proof_leads_to_the_root(two: tuple[int, int], index: int):
    """It leads to no root for another index, size, leaf or path."""
    _, size = two
    index %= size
    proof = merkle.inclusion_proof(index, size, subtree)
    root = merkle.root(size, subtree)

    assert root == merkle.root_of_inclusion(LEAVES[index], index, size, proof)
    assert root != merkle.root_of_inclusion(hash_leaf(b"another"), index, size, proof)
    assert root != merkle.root_of_inclusion(LEAVES[index], index, size, [*proof, root])
    if proof:
        assert root != merkle.root_of_inclusion(LEAVES[index], index, size, proof[:-1])
        assert root != merkle.root_of_inclusion(LEAVES[index], index ^ 1, size, proof)
        assert root != merkle.root_of_inclusion(LEAVES[index], index, size, [bytes(32), *proof[1:]])


@given(sizes())
@settings(max_examples=200)
def test_a_consistency_proof_connects_two_sizes_of_a_tree(two: tuple[int, int]):
    """It connects no other roots, sizes or hashes."""
    old, new = two
    proof = merkle.consistency_proof(old, new, subtree)
    roots = merkle.root(old, subtree), merkle.root(new, subtree)

    assert merkle.is_consistent(old, new, *roots, proof)
    assert not merkle.is_consistent(old, new, hash_leaf(b"another"), roots[1], proof)
    assert not merkle.is_consistent(old, new, *roots, [*proof, roots[1]])
    if 0 < old < new:
        assert not merkle.is_consistent(old, new, roots[0], hash_leaf(b"another"), proof)
        assert not merkle.is_consistent(old, new, *roots, proof[1:])
        assert not merkle.is_consistent(new, old, *roots, proof)


def test_an_absent_leaf_cannot_be_proved():
    with pytest.raises(ValueError, match="a tree of 3 leaves has no leaf 3"):
        merkle.inclusion_proof(3, 3, subtree)
    with pytest.raises(ValueError, match="a tree of 3 leaves does not extend one of 4"):
        merkle.consistency_proof(4, 3, subtree)


@pytest.mark.parametrize("length", [31, 33, 0])
def test_hashes_of_another_length_prove_nothing(length: int):
    """Otherwise the border between two hashes could be moved."""
    proof = merkle.inclusion_proof(5, 8, subtree)
    assert merkle.root_of_inclusion(LEAVES[5], 5, 8, [bytes(length), *proof[1:]]) is None
    assert not merkle.is_consistent(3, 8, subtree(0, 0), merkle.root(8, subtree), [bytes(length)])


@pytest.mark.parametrize("kind", ["inclusion", "consistency"])
def test_vectors_of_another_implementation(kind: str):
    """Valid proofs are accepted, and invalid ones are refused."""
    files = sorted((VECTORS / kind).rglob("*.json"))
    if not files:
        pytest.skip(f"there are no vectors at {VECTORS}; name the folder of real data in DELEGRAPH_TEST_DATA")
    wrong = []
    for file in files:
        document = json.loads(file.read_text())
        raw = {name: base64.b64decode(document.get(name) or "") for name in ("root", "leafHash", "root1", "root2")}
        proof = [base64.b64decode(each) for each in document.get("proof") or []]
        if kind == "inclusion":
            root = merkle.root_of_inclusion(raw["leafHash"], document["leafIdx"], document["treeSize"], proof)
            accepted = root == raw["root"]
        else:
            accepted = merkle.is_consistent(document["size1"], document["size2"], raw["root1"], raw["root2"], proof)
        if accepted is document["wantErr"]:
            wrong.append(file.name)
    assert len(files) > 80
    assert [] == wrong
