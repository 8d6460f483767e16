"""Limits on the size and content of a record and its fields (clause 2.8).

Pure. A check returns what is wrong, worded to follow the field's name in a message, or None if nothing is.
"""

import unicodedata
from typing import Final

# Log, store and quarantine hold records in memory, many at once.
RECORD_BYTES: Final = 256 * 1024
# Ids are keys of indexes; 512 bytes are enough for a SPIFFE ID of usual length and a URL with a `#<jti>`.
ID_BYTES: Final = 512
# Any other string: long enough for a sentence or a URI, too short for a document.
TEXT_BYTES: Final = 4 * 1024
# Each entry may become a row and an edge of the graph.
LIST_ENTRIES: Final = 256
MAP_ENTRIES: Final = 64
# A valid event is 3 levels deep; the margin lets a deeper one be quarantined with a reason instead of a crash.
JSON_DEPTH: Final = 16
# The largest integer that every JSON reader represents exactly (RFC 8259 section 6); canonical JSON relies on it.
LARGEST_INTEGER: Final = 2**53 - 1

# Unicode White_Space (PropList.txt). Not `str.isspace`, which also has U+001C to U+001F. U+200B and U+180E are not
# white space but format characters (Cf), which are refused anywhere in an id.
WHITE_SPACE: Final = frozenset(
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
# Ids must not look equal and differ: control, format and surrogate characters, line and paragraph separators.
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def fault_of_id(value: str) -> str | None:
    """Describe what is wrong with an id; None if nothing is.

    Examples:
        >>> fault_of_id("human:alice@example.com")
        >>> fault_of_id(" human:alice")
        'starts or ends with white space: remove it'
    """
    if value.isascii() and value.isprintable():  # for ASCII, printable is exactly U+0020 to U+007E
        size = len(value)
    else:
        for character in value:
            category = unicodedata.category(character)
            if category in _INVISIBLE:
                return f"contains U+{ord(character):04X}, which is invisible (category {category}): remove it"
        size = len(value.encode())
    if not value:
        return "is empty: leave it out if there is nothing to name"
    if size > ID_BYTES:
        return f"has {size} bytes of UTF-8, an id at most {ID_BYTES}: send `sha256:<hex>` of a long one"
    if value[0] in WHITE_SPACE or value[-1] in WHITE_SPACE:
        return "starts or ends with white space: remove it"
    return None


def fault_of_text(value: str) -> str | None:
    """Describe what is wrong with a text, which may be empty; None if nothing is.

    Examples:
        >>> fault_of_text("crm:read")
    """
    if value.isascii():
        size = len(value)
    else:
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            return "contains an unpaired surrogate, which UTF-8 cannot encode: remove it"
    if size > TEXT_BYTES:
        return f"has {size} bytes of UTF-8, a text at most {TEXT_BYTES}: shorten it or send a digest"
    return None
