"""Problem documents (RFC 9457): errors of the HTTP API as JSON."""

import json
from typing import Any, Final

MEDIA_TYPE: Final = "application/problem+json"

Document = dict[str, Any]


def problem_document(status: int, word: str, title: str, detail: str, **more: Any) -> Document:
    """Build a problem document of one of our types.

    Args:
        status: The HTTP status.
        word: The last part of its type, on which clients may rely.
        title: One sentence, the same for every problem of the type.
        detail: One sentence about this occurrence, naming the cause and the remedy.
        more: Members in addition to the standard ones.
    """
    document = {"type": f"urn:delegraph:problem:{word}", "title": title, "status": int(status), "detail": detail}
    return {**document, **more}


def json_bytes(document: Document) -> bytes:
    """Encode a document. An unpaired surrogate, which a request may contain, is replaced."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
