"""The text of the combined checkpoint of all partitions."""

import pytest

from lineage.core.evidence.checkpoints import Checkpoint, parse_checkpoint
from lineage.core.evidence.combined import CombinedCheckpoint, is_combined, parse_combined
from lineage.core.evidence.notes import Note, NoteError

ORIGIN = "audit.example/agents"
HEADS = (Checkpoint(f"{ORIGIN}/decisions/0", 44, bytes(range(32))), Checkpoint(f"{ORIGIN}/orders/12", 3, bytes(32)))
TEXT = """audit.example/agents
partitions 2
decisions/0 44 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
orders/12 3 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
"""


def test_a_combined_checkpoint_names_the_head_of_each_partition():
    combined = CombinedCheckpoint(ORIGIN, HEADS)

    assert TEXT == combined.text
    assert combined == parse_combined(Note(TEXT, ()))
    assert (ORIGIN, 47) == combined.head[:2]


def test_neither_kind_of_checkpoint_is_taken_for_the_other():
    """Otherwise a signature of one would be valid for the other."""
    assert is_combined(Note(TEXT, ()))
    assert not is_combined(Note(HEADS[0].text, ()))
    with pytest.raises(NoteError):
        parse_checkpoint(Note(TEXT, ()))
    with pytest.raises(NoteError):
        parse_combined(Note(HEADS[0].text, ()))


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("partitions 2", "partitions 3"),
        TEXT.replace("partitions 2", "partitions 02"),
        TEXT.replace("orders/12", "decisions/0"),
        TEXT.replace("orders/12", "orders/012"),
        TEXT.replace("orders/12", "other/1"),
        TEXT.replace(" 44 ", " 044 "),
        TEXT.replace(" 44 ", " -44 "),
        TEXT.replace(" 44 ", "  44 "),
        TEXT.replace("AAECAw", "AAEC"),
        TEXT + "orders/13 3 AAAA\n",
        TEXT.replace(ORIGIN, ""),
        f"{ORIGIN}\npartitions 0\n",
        "partitions 1\n",
        "\n",
    ],
)
def test_other_texts_are_refused(text: str):
    with pytest.raises(NoteError):
        parse_combined(Note(text, ()))
