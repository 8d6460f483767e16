"""JSON object bodies: parsed strictly, every field known, errors name the field."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, NoReturn

from starlette.exceptions import HTTPException
from starlette.requests import Request

from ingest.codec import limits
from lineage.core.model.times import Instant, parse_instant
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.core.query import ParameterError, usable_id

OBJECT_BYTES: Final = 64 * 1024  # an order consists of a few ids and a note


async def read_object(request: Request, largest: int = OBJECT_BYTES) -> Document:
    """Read the JSON object in a request; an absent body is an empty object.

    Raises:
        HTTPException: It is too large, or of another media type.
        ParameterError: It is not a JSON object.
    """
    raw = await read_body(request, largest)
    if not raw:
        return {}
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send application/json")
    return object_of(raw)


async def read_body(request: Request, largest: int) -> bytes:
    """Read the body of a request.

    Raises:
        HTTPException: It is too large.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > largest:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"this body has at most {largest:,} bytes")
        parts.append(part)
    return b"".join(parts)


def object_of(raw: bytes) -> Document:
    """Parse one JSON object in UTF-8 without repeated keys.

    Raises:
        ParameterError: It is not one.
    """
    try:
        parsed = json.loads(raw.decode(), object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise ParameterError("body", f"is not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise ParameterError("body", "is nested too deep") from error
    except json.JSONDecodeError as error:
        raise ParameterError("body", f"is not JSON: {error.msg} at character {error.pos}") from error
    except ValueError as error:  # an integer of thousands of digits
        raise ParameterError("body", "holds a number that is too long to read") from error
    if not isinstance(parsed, dict):
        raise ParameterError("body", "is not a JSON object")
    return parsed


def _object(pairs: list[tuple[str, Any]]) -> Document:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ParameterError("body", "states a field twice in one object")
    return found


def _constant(word: str) -> NoReturn:
    raise ParameterError("body", f"holds {word}, which is not JSON")


class Fields:
    """The fields of an object. Absent and null are equivalent."""

    def __init__(self, values: Mapping[str, Any], known: tuple[str, ...], *, within: str = "") -> None:
        """Check the fields of an object.

        Args:
            values: The object.
            known: The allowed fields.
            within: The prefix of field names in messages: the path to the object, with a trailing dot.

        Raises:
            ParameterError: There is an unknown field.
        """
        if unknown := sorted(values.keys() - set(known)):
            names = ", ".join(known) or "none"
            raise ParameterError(f"{within}{unknown[0][:64]}", f"there is no such field here; there are: {names}")
        self._values = {name: value for name, value in values.items() if value is not None}
        self._within = within

    def states(self, name: str) -> bool:
        """Whether a field is stated."""
        return name in self._values

    def _of(self, name: str, kind: type, words: str) -> Any:
        value = self._values.get(name)
        if value is not None and type(value) is not kind:
            raise ParameterError(f"{self._within}{name}", f"must be {words}")
        return value

    def text(self, name: str) -> str | None:
        """Return a text; None if it is not stated."""
        value = self._of(name, str, "a string")
        if value is None:
            return None
        if fault := limits.fault_of_text(value):
            raise ParameterError(f"{self._within}{name}", fault)
        return str(value)

    def id(self, name: str) -> str:
        """Return an id, which is required."""
        value = self._of(name, str, "a string")
        if value is None:
            raise ParameterError(f"{self._within}{name}", "is missing")
        return usable_id(value, parameter=f"{self._within}{name}")

    def choice(self, name: str, choices: tuple[str, ...], *, default: str | None = None) -> str:
        """Return one of some words."""
        value = self._of(name, str, "a string") or default
        if value is None:
            raise ParameterError(f"{self._within}{name}", f"is missing; one of {', '.join(choices)}")
        if value not in choices:
            raise ParameterError(f"{self._within}{name}", f"is none of {', '.join(choices)}")
        return str(value)

    def flag(self, name: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self._of(name, bool, "true or false")
        return default if value is None else bool(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts; an empty one if it is not stated."""
        value = self._of(name, list, "a list of strings") or []
        for place, one in enumerate(value):
            if type(one) is not str:
                raise ParameterError(f"{self._within}{name}.{place}", "must be a string")
            if fault := limits.fault_of_text(one):
                raise ParameterError(f"{self._within}{name}.{place}", fault)
        return tuple(value)

    def number(self, name: str, *, most: int) -> int | None:
        """Return a whole number from 1 on; None if it is not stated."""
        value = self._of(name, int, "a whole number")
        if value is not None and not 1 <= value <= most:
            raise ParameterError(f"{self._within}{name}", f"is not between 1 and {most:,}")
        return None if value is None else int(value)

    def instant(self, name: str) -> Instant | None:
        """Return a time; None if it is not stated."""
        value = self._of(name, str, "a string, such as 2026-11-01T09:00:00Z")
        if value is None:
            return None
        try:
            return parse_instant(value)
        except ValueError as error:
            raise ParameterError(f"{self._within}{name}", str(error)) from error

    def objects(self, name: str, known: tuple[str, ...]) -> "list[Fields]":
        """Return a list of objects, which is required."""
        value = self._of(name, list, "a list of objects")
        if value is None:
            raise ParameterError(f"{self._within}{name}", "is missing")
        if odd := [str(number) for number, one in enumerate(value) if type(one) is not dict]:
            raise ParameterError(f"{self._within}{name}.{odd[0]}", "must be an object")
        return [Fields(one, known, within=f"{self._within}{name}.{number}.") for number, one in enumerate(value)]

    def object(self, name: str, known: tuple[str, ...]) -> "Fields":
        """Return an object, which is required."""
        value = self._of(name, dict, "an object")
        if value is None:
            raise ParameterError(f"{self._within}{name}", "is missing")
        return Fields(value, known, within=f"{self._within}{name}.")
