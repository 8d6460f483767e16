"""JSON on one line, for exports and cells."""

import json
from typing import Any


def compact_json(value: Any) -> str:
    """Write a value without spaces; characters beyond ASCII stay as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
