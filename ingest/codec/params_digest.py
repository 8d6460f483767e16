"""Digests of parameters: evidence of what was asked for, without its content. Pure."""

import hashlib
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

# The exponents between which ECMAScript writes a number without one.
_LARGEST_PLAIN: Final = 21
_SMALLEST_PLAIN: Final = -6


def digest_of(value: object) -> str | None:
    """``sha256:<hex>`` of the canonical JSON (RFC 8785) of a value; None if it has none.

    A digest hides only what cannot be guessed: that of a value with few possibilities can be found by trying them.

    Examples:
        >>> digest_of({"b": 1, "a": 1.0}) == digest_of({"a": 1, "b": 1})
        True
    """
    text = canonical(value)
    return None if text is None else f"sha256:{hashlib.sha256(text).hexdigest()}"


def canonical(value: object) -> bytes | None:
    """The canonical JSON (RFC 8785) of a value; None if it is no JSON, or nested too deep to be written.

    Whole numbers are written with all their digits, those too that a double cannot hold.

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
                raise TypeError("the name of a member is no string")
            # RFC 8785 section 3.2.3: sorted by UTF-16 code units.
            names = sorted(value, key=lambda name: name.encode("utf-16-be"))
            return f"{{{','.join(f'{_canonical(name)}:{_canonical(value[name])}' for name in names)}}}"
    raise TypeError(f"a {type(value).__name__} is no JSON")


def _number(value: float) -> str:
    """A number as ECMAScript writes it (RFC 8785 section 3.2.2.3): the shortest digits, as Python finds them too."""
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
