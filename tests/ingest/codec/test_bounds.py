"""The limits of ids and texts, character by character."""

import sys
import unicodedata

import pytest

from ingest.codec import limits as bounds

# PropList.txt of the Unicode Character Database, White_Space.
WHITE_SPACE = [
    *range(0x09, 0x0E),
    0x20,
    0x85,
    0xA0,
    0x1680,
    *range(0x2000, 0x200B),
    0x2028,
    0x2029,
    0x202F,
    0x205F,
    0x3000,
]


def test_white_space_is_defined_by_unicode_and_not_by_python():
    """
    `str.isspace` includes four control characters in addition; U+200B and U+180E are not white space.
    """
    assert [chr(code) for code in WHITE_SPACE] == sorted(bounds.WHITE_SPACE)
    spaces = {chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()}
    assert set("\x1c\x1d\x1e\x1f") == spaces - bounds.WHITE_SPACE
    assert not bounds.WHITE_SPACE - spaces
    assert not set("\u200b\u180e") & bounds.WHITE_SPACE


@pytest.mark.slow
def test_every_character_of_unicode_is_judged_by_its_category():
    """
    An id may contain any character except control, format and surrogate characters, and line and paragraph separators.
    """
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        refused = unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        assert bool(bounds.fault_of_id(f"a{character}b")) is refused, hex(code)
        padded = refused or character in bounds.WHITE_SPACE
        assert bool(bounds.fault_of_id(f"{character}b")) is padded, hex(code)
        assert bool(bounds.fault_of_id(f"a{character}")) is padded, hex(code)


def test_a_text_may_contain_any_character_that_utf_8_can_encode():
    """
    Texts may be empty, padded and multi-line; only an unpaired surrogate is refused.
    """
    assert bounds.fault_of_text("") is None
    assert bounds.fault_of_text(" \n\0\u200b\U0001f600 ") is None
    assert "surrogate" in bounds.fault_of_text("\ud83d")
