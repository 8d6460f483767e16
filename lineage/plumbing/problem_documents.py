"""Problem documents (RFC 9457): what is wrong, as the JSON that a client of HTTP reads."""

import json
from typing import Any, Final

MEDIA_TYPE: Final = "application/problem+json"

Document = dict[str, Any]


def problem_document(status: int, word: str, title: str, detail: str, **more: Any) -> Document:
    """A problem document of a type of ours.

    Args:
        status: The HTTP status.
        word: The last part of its type, which clients may rely on.
        title: One sentence, the same for every problem of the type.
        detail: One sentence about this one, naming the thing and the remedy.
        more: Members beside the standard ones.
    """
    document = {"type": f"urn:delegraph:problem:{word}", "title": title, "status": int(status), "detail": detail}
    return {**document, **more}


def json_bytes(document: Document) -> bytes:
    """A document as bytes. Half of a surrogate pair, which a request may hold, is replaced."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
