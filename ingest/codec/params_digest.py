"""Digests of the parameters of a call: evidence of what was requested, without its content. Pure."""

import hashlib
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

# ECMAScript writes numbers between these powers of ten without an exponent.
_LARGEST_PLAIN: Final = 21
_SMALLEST_PLAIN: Final = -6


def digest_of(value: object) -> str | None:
    """Compute ``sha256:<hex>`` of the canonical JSON (RFC 8785) of a value; None if the value is not JSON.

    A digest does not hide a value that can be guessed: anyone who knows the possible values can try them all.

    Examples:
        >>> digest_of({"b": 1, "a": 1.0}) == digest_of({"a": 1, "b": 1})
        True
    """
    text = canonical(value)
    return None if text is None else f"sha256:{hashlib.sha256(text).hexdigest()}"


def canonical(value: object) -> bytes | None:
    """Write a value as canonical JSON (RFC 8785).

    Integers are written with all their digits, even those that a double cannot represent.

    Returns:
        None if the value is not JSON, or is nested too deeply.

    Examples:
        >>> canonical({"b": [1.0, 1e21, 0.000001], "a": None})
        b'{"a":null,"b":[1,1e+21,0.000001]}'
    """
    try:
        return _canonical(value).encode()
    except (TypeError, ValueError, RecursionError):
        return None


def _canonical(value: object) -> str:
    match value:
        case bool() | str() | None:
            return json.dumps(value, ensure_ascii=False)
        case int():
            return str(value)
        case float():
            return _number(value)
        case list() | tuple():
            return f"[{','.join(map(_canonical, value))}]"
        case Mapping():
            if not all(isinstance(name, str) for name in value):
                raise TypeError("the name of a member is not a string")
            # RFC 8785 section 3.2.3: sorted by UTF-16 code units.
            names = sorted(value, key=lambda name: name.encode("utf-16-be"))
            return f"{{{','.join(f'{_canonical(name)}:{_canonical(value[name])}' for name in names)}}}"
    raise TypeError(f"a {type(value).__name__} is not JSON")


def _number(value: float) -> str:
    """Write a number as ECMAScript does (RFC 8785 section 3.2.2.3): with the shortest digits, which `repr` finds."""
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text, point = "".join(map(str, digits)), len(digits) + int(exponent)
    if len(text) <= point <= _LARGEST_PLAIN:
        text = text.ljust(point, "0")
    elif 0 < point <= _LARGEST_PLAIN:
        text = f"{text[:point]}.{text[point:]}"
    elif _SMALLEST_PLAIN < point <= 0:
        text = f"0.{'0' * -point}{text}"
    else:
        fraction = f".{text[1:]}" if len(text) > 1 else ""
        text = f"{text[0]}{fraction}e{point - 1:+d}"
    return f"-{text}" if sign else text
