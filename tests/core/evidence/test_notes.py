"""Signed notes, checkpoints and proofs: they are read as they were written, and refused if they are invalid."""

import base64
import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from lineage.core.evidence import checkpoints, notes
from lineage.core.evidence.notes import KeyKind, Note, NoteError, Signature, VerifierKey

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = PRIVATE.public_key().public_bytes_raw()
LOG = VerifierKey("log.example/orders/0", KeyKind.ED25519, PUBLIC)
WITNESS = VerifierKey("witness.example", KeyKind.COSIGNATURE, PUBLIC)
HEAD = checkpoints.Checkpoint("log.example/orders/0", 7, bytes(32))


def check(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def signed(text: str = HEAD.text) -> Note:
    cosigned = PRIVATE.sign(notes.cosigned_message(text, 1_790_000_000))
    return Note(
        text,
        (
            Signature(LOG.name, LOG.id, PRIVATE.sign(text.encode())),
            Signature(WITNESS.name, WITNESS.id, notes.cosignature_payload(1_790_000_000, cosigned)),
        ),
    )


def test_a_note_is_read_as_it_is_written():
    """The text may contain empty lines."""
    raw = str(signed("one\n\nperché\n"))
    note = notes.parse_note(raw)
    assert raw == str(note)
    assert note.text == "one\n\nperché\n"
    assert [LOG.name, WITNESS.name] == [signature.name for signature in note.signatures]


def test_a_key_id_depends_on_name_kind_and_bytes():
    """C2SP signed-note defines the id of a key."""
    expected = hashlib.sha256(b"log.example/orders/0\n\x01" + PUBLIC).digest()[:4]
    assert expected == LOG.id
    assert f"log.example/orders/0+{expected.hex()}+{base64.b64encode(bytes([1]) + PUBLIC).decode()}" == LOG.text


def test_signatures_of_known_keys_are_verified():
    """The signature of a witness states when it signed; signatures by unknown keys are ignored."""
    stranger = VerifierKey("stranger.example", KeyKind.ED25519, PUBLIC)
    assert {LOG: None, WITNESS: 1_790_000_000} == notes.verified(signed(), [LOG, WITNESS, stranger], check)
    assert {} == notes.verified(signed(), [stranger], check)


@given(st.data())
def test_a_changed_note_is_refused(data: st.DataObject):
    """Whichever byte is changed, the note is unreadable, or a known signature is invalid or missing."""
    raw = bytearray(str(signed()).encode())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = notes.verified(notes.parse_note(raw.decode()), [LOG, WITNESS], check)
    except (NoteError, UnicodeDecodeError):
        return
    assert found.keys() < {LOG, WITNESS} or notes.parse_note(raw.decode()) == signed()


@pytest.mark.parametrize("key", [LOG, WITNESS])
def test_a_key_is_read_as_it_is_written(key: VerifierKey):
    assert key == notes.parse_key(key.text)


@pytest.mark.parametrize(
    "text",
    [
        "", "name", "name+00000000", LOG.text.replace(LOG.id.hex(), "00000000"), LOG.text[:-2], " " + LOG.text,
        f"a b+{LOG.id.hex()}+{base64.b64encode(b'x').decode()}", "name+12+" + base64.b64encode(bytes(33)).decode(),
    ],
)  # fmt: skip
def test_other_texts_are_not_keys(text: str):
    with pytest.raises(NoteError, match="key"):
        notes.parse_key(text)


@pytest.mark.parametrize(
    "raw",
    [
        "", "text\n", "text\n\n", "text\n\nno signature\n", "text\n\n— name \n", "text\n\n— name AAAA\n",
        "a\r\n\n— n AAAAAAAA\n",
        "text\n\n— na+me AAAAAAAA\n", "text\n\n— name AAAAAAAA", "text\n\n" + "— name AAAAAAAA\n" * 65, "x" * 1_000_001,
        "a\0\n\n— n AAAAAAAA\n",
    ],
)  # fmt: skip
def test_other_texts_are_not_notes(raw: str):
    with pytest.raises(NoteError):
        notes.parse_note(raw)


def test_a_checkpoint_is_read_as_it_is_written():
    assert HEAD == checkpoints.parse_checkpoint(signed())


@pytest.mark.parametrize(
    "text",
    [
        "o\n1\n",
        "\n1\nAAAA\n",
        "o\n01\n" + HEAD.text.split("\n")[2] + "\n",
        "o\n-1\nAAAA\n",
        "o\n1\nAAAA\n",
        "o\n" + "9" * 20 + "\nAAAA\n",
    ],
)
def test_other_notes_are_not_checkpoints(text: str):
    with pytest.raises(NoteError, match="checkpoint"):
        checkpoints.parse_checkpoint(Note(text, ()))


@pytest.mark.parametrize("extra", [b"", b"entry"])
def test_a_proof_is_read_as_it_is_written(extra: bytes):
    proof = checkpoints.RecordProof(5, (bytes(32), b"\1" * 32), signed(), extra)
    assert proof == checkpoints.parse_proof(str(proof))


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        ("@v1", "@v2"),
        ("index", "place"),
        ("index 5", "index 05"),
        ("index 5\n", ""),
        ("index 5\n", "index 5\nAAAA\n"),
        ("index 5\n", "index 5\n" + (base64.b64encode(bytes(32)).decode() + "\n") * 64),
        ("\n\n", "\n"),
    ],
)
def test_other_texts_are_not_proofs(part: str, instead: str):
    raw = str(checkpoints.RecordProof(5, (bytes(32),), signed()))
    with pytest.raises(NoteError):
        checkpoints.parse_proof(raw.replace(part, instead))
