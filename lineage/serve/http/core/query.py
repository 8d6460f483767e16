"""What a request asks, read from its query: every name is known, every value checked, a fault names the parameter."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from starlette.datastructures import QueryParams

from ingest.codec import limits
from lineage.core.model.errors import RefusedError
from lineage.core.model.times import Instant, parse_instant
from lineage.serve.documents.core_documents import split_of

_LONGEST_OF: Final = 1_024  # characters; an id has at most 512 bytes, and a kind a few
_DIGITS: Final = 9  # of a number
_BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False}


class ParameterError(RefusedError):
    """A parameter of a request is wrong.

    Attributes:
        parameter: Its name.
    """

    def __init__(self, parameter: str, detail: str) -> None:
        """Keep the name beside the message."""
        super().__init__(f"{parameter}: {detail}")
        self.parameter = parameter


class Parameter(NamedTuple):
    """A parameter of the query or of the path, as the OpenAPI document describes it."""

    name: str
    schema: Mapping[str, Any]
    description: str
    required: bool = False
    repeatable: bool = False
    example: str | None = None
    where: str = "query"


class Query:
    """The query of one request."""

    def __init__(self, items: Iterable[tuple[str, str]], parameters: Iterable[Parameter], *, now: Instant) -> None:
        """Take the items of a query.

        Args:
            items: Names and values, decoded.
            parameters: Those that there are.
            now: The moment of the request: what ``now`` means, and what no ``at`` means.

        Raises:
            ParameterError: A name is unknown, stands twice, or is missing.
        """
        self.now = now
        self._said: dict[str, list[str]] = {}
        known = {parameter.name: parameter for parameter in parameters}
        for name, value in items:
            parameter = known.get(name)
            if parameter is None:
                names = ", ".join(known) or "none"
                raise ParameterError(name[:64], f"there is no such parameter here; there are: {names}")
            values = self._said.setdefault(name, [])
            if values and not parameter.repeatable:
                raise ParameterError(name, "is given twice; give it once")
            values.append(value)
        for parameter in known.values():
            if parameter.required and not any(self._said.get(parameter.name, ())):
                raise ParameterError(parameter.name, "is missing")

    @classmethod
    def of(
        cls, path: Mapping[str, str], params: QueryParams, parameters: Iterable[Parameter], *, now: Instant
    ) -> "Query":
        """The query of a request, and what stands in its path."""
        return cls([*path.items(), *params.multi_items()], parameters, now=now)

    def all(self, name: str) -> list[str]:
        """Every value of a parameter."""
        return self._said.get(name, [])

    def text(self, name: str) -> str | None:
        """A value; None if it is not given."""
        values = self._said.get(name)
        return values[0] if values else None

    def instant(self, name: str) -> Instant | None:
        """A time, RFC 3339 or ``now``; None if it is not given."""
        value = self.text(name)
        if value is None:
            return None
        if value == "now":
            return self.now
        try:
            return parse_instant(value)
        except ValueError as error:
            hint = "; a + in a query is written %2B" if " " in value else ""
            raise ParameterError(name, f"{value[:64]!r}: {error}{hint}") from error

    @property
    def at(self) -> Instant:
        """The instant asked about; now, if nothing is said."""
        found = self.instant("at")
        return self.now if found is None else found

    @property
    def known_at(self) -> Instant | None:
        """Only what was recorded by then; None: everything."""
        return self.instant("known_at")

    def the(self, name: str) -> str:
        """The value of a parameter that is required."""
        return self._said[name][0]

    def number(self, name: str, *, default: int, most: int) -> int:
        """A number from 1 to ``most``."""
        value = self.text(name)
        if value is None:
            return min(default, most)
        if not (value.isascii() and value.isdigit() and len(value) <= _DIGITS and 0 < int(value) <= most):
            raise ParameterError(name, f"{value[:64]!r} is no number from 1 to {most:,}")
        return int(value)

    def flag(self, name: str, *, default: bool) -> bool:
        """``true`` or ``false``."""
        value = self.text(name)
        if value is None:
            return default
        if value not in _BOOLEANS:
            raise ParameterError(name, f"{value[:64]!r} is neither true nor false")
        return _BOOLEANS[value]

    def choices(self, name: str, choices: tuple[str, ...]) -> list[str]:
        """Some of some words; none, if nothing is said."""
        for value in self.all(name):
            if value not in choices:
                raise ParameterError(name, f"{value[:64]!r} is none of {', '.join(choices)}")
        return self.all(name)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """One of some words; the first, if nothing is said."""
        value = self.text(name)
        if value is None:
            return choices[0]
        if value not in choices:
            raise ParameterError(name, f"{value[:64]!r} is none of {', '.join(choices)}")
        return value


def kind_and_id(of: str, *, kinds: Collection[str] = (), parameter: str = "of") -> tuple[str, str]:
    """The kind and the id of ``KIND:ID``.

    Args:
        of: The text.
        kinds: Those that there are; none: any.
        parameter: Where it stands.

    Raises:
        ParameterError: It is not of that form, of another kind, or the id is none.
    """
    try:
        kind, id_ = split_of(of[:_LONGEST_OF])
    except RefusedError as fault:
        raise ParameterError(parameter, str(fault)) from fault
    if kinds and kind not in kinds:
        raise ParameterError(parameter, f"there is no kind {kind[:64]!r} here; there are {', '.join(sorted(kinds))}")
    return kind, usable_id(id_, parameter=parameter)


def usable_id(id_: str, *, parameter: str) -> str:
    """An id that something can have.

    Raises:
        ParameterError: Nothing can.
    """
    if fault := limits.fault_of_id(id_):
        raise ParameterError(parameter, f"the id {fault}")
    return id_
