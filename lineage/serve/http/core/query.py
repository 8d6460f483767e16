"""Queries of requests: every name is known, every value checked, and errors name the parameter."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from starlette.datastructures import QueryParams

from ingest.codec import limits
from lineage.core.model.errors import RefusedError
from lineage.core.model.keys import split_of
from lineage.core.model.times import Instant, parse_instant
from lineage.serve.documents.typed_times import complete_time

_LONGEST_OF: Final = 1_024  # characters; an id has at most 512 bytes, and a kind a few
_DIGITS: Final = 9  # characters of a number
TIME_PARAMETERS: Final = frozenset(
    {"at", "known_at", "from", "to", "issued_before", "since", "until", "before", "starts_at", "ends_at"}
)
_BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False}


class ParameterError(RefusedError):
    """Raised when a parameter of a request is wrong.

    Attributes:
        parameter: Its name.
    """

    def __init__(self, parameter: str, detail: str) -> None:
        """Keep the name as an attribute."""
        super().__init__(f"{parameter}: {detail}")
        self.parameter = parameter


class Parameter(NamedTuple):
    """A parameter of the query or the path, as the OpenAPI document describes it."""

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
        """Check the items of a query.

        Args:
            items: Names and values, decoded.
            parameters: The allowed parameters.
            now: The time of the request: the meaning of ``now``, and the default of ``at``.

        Raises:
            ParameterError: A name is unknown, repeated, or missing.
        """
        self.now = now
        self._values: dict[str, list[str]] = {}
        known = {parameter.name: parameter for parameter in parameters}
        for name, value in items:
            parameter = known.get(name)
            if parameter is None:
                names = ", ".join(known) or "none"
                raise ParameterError(name[:64], f"there is no such parameter here; there are: {names}")
            values = self._values.setdefault(name, [])
            if values and not parameter.repeatable:
                raise ParameterError(name, "is given twice; give it once")
            values.append(value)
        for parameter in known.values():
            if parameter.required and not any(self._values.get(parameter.name, ())):
                raise ParameterError(parameter.name, "is missing")

    @classmethod
    def of(
        cls, path: Mapping[str, str], params: QueryParams, parameters: Iterable[Parameter], *, now: Instant
    ) -> "Query":
        """Read the query of a request and the parameters in its path."""
        return cls([*path.items(), *params.multi_items()], parameters, now=now)

    def all(self, name: str) -> list[str]:
        """Return all values of a parameter."""
        return self._values.get(name, [])

    def text(self, name: str) -> str | None:
        """Return a value; None if it is not given."""
        values = self._values.get(name)
        return values[0] if values else None

    def instant(self, name: str) -> Instant | None:
        """Return a time, RFC 3339 or ``now``; None if it is not given."""
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
        """Return the instant asked about; by default now."""
        found = self.instant("at")
        return self.now if found is None else found

    @property
    def known_at(self) -> Instant | None:
        """Return the time up to which facts are known; None for everything."""
        return self.instant("known_at")

    def the(self, name: str) -> str:
        """Return the value of a required parameter."""
        return self._values[name][0]

    def number(self, name: str, *, default: int, most: int) -> int:
        """Return a number from 1 to ``most``."""
        value = self.text(name)
        if value is None:
            return min(default, most)
        if not (value.isascii() and value.isdigit() and len(value) <= _DIGITS and 0 < int(value) <= most):
            raise ParameterError(name, f"{value[:64]!r} is not a number from 1 to {most:,}")
        return int(value)

    def flag(self, name: str, *, default: bool) -> bool:
        """Return ``true`` or ``false`` as a bool."""
        value = self.text(name)
        if value is None:
            return default
        if value not in _BOOLEANS:
            raise ParameterError(name, f"{value[:64]!r} is neither true nor false")
        return _BOOLEANS[value]

    def choices(self, name: str, choices: tuple[str, ...]) -> list[str]:
        """Return the given ones among some words; empty if none are given."""
        for value in self.all(name):
            if value not in choices:
                raise ParameterError(name, f"{value[:64]!r} is none of {', '.join(choices)}")
        return self.all(name)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """Return one of some words; by default the first."""
        value = self.text(name)
        if value is None:
            return choices[0]
        if value not in choices:
            raise ParameterError(name, f"{value[:64]!r} is none of {', '.join(choices)}")
        return value


def normalise_fields(items: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Normalise a query or a form that a person filled in, before it is read as strictly as any other.

    Empty fields are dropped, white space around the others is too (no id begins or ends with it), and times are
    completed.
    """
    params = [(name, value.strip()) for name, value in items]
    return [(name, complete_time(value) if name in TIME_PARAMETERS else value) for name, value in params if value]


def kind_and_id(of: str, *, kinds: Collection[str] = (), parameter: str = "of") -> tuple[str, str]:
    """Parse ``KIND:ID``.

    Args:
        of: The text.
        kinds: The allowed kinds; empty for any.
        parameter: The parameter, for messages.

    Raises:
        ParameterError: It is malformed, of another kind, or the id is invalid.
    """
    try:
        kind, id_ = split_of(of[:_LONGEST_OF])
    except RefusedError as fault:
        raise ParameterError(parameter, str(fault)) from fault
    if kinds and kind not in kinds:
        raise ParameterError(parameter, f"there is no kind {kind[:64]!r} here; there are {', '.join(sorted(kinds))}")
    return kind, usable_id(id_, parameter=parameter)


def usable_id(id_: str, *, parameter: str) -> str:
    """Check an id.

    Raises:
        ParameterError: Nothing can have this id.
    """
    if fault := limits.fault_of_id(id_):
        raise ParameterError(parameter, f"the id {fault}")
    return id_
