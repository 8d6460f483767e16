"""Ranges of actions as items of a case: the filters of a list of actions as one id. Pure."""

from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from lineage.core.authority.action_filter import ActionFilter
from lineage.core.model.errors import RefusedError
from lineage.core.model.keys import KINDS, split_key
from lineage.core.model.times import format_instant, parse_instant
from lineage.core.model.vocabulary import ACTION_OUTCOMES

_TIMES: Final = {"from": "start", "to": "end"}
_NAMES_OF_TIMES: Final = {attribute: name for name, attribute in _TIMES.items()}
_VALUES: Final = (
    *("human", "agent", "actor", "token", "delegation", "session", "client"),
    *("tool", "operation", "resource", "outcome", "text", "of"),
)
FILTERS: Final = (*_VALUES, *_TIMES)  # the names of the filters of a list of actions


def id_of_range(filter_: ActionFilter) -> str:
    """Write a filter as the id of a range of actions: a query string, sorted by name, times in UTC.

    Examples:
        >>> id_of_range(ActionFilter(agent="agent:mailer", start=1_793_612_400_000_000))
        'agent=agent%3Amailer&from=2026-11-02T09%3A40%3A00.000000Z'

    Raises:
        RefusedError: The filter has no condition.
    """
    conditions = {
        _NAMES_OF_TIMES.get(name, name): format_instant(value) if isinstance(value, int) else value
        for name, value in filter_.given().items()
    }
    if not conditions:
        raise RefusedError("a range of actions needs a filter, such as agent=agent:mailer or from=2026-11-02T09:40:00Z")
    return urlencode(sorted(conditions.items()))


def range_of_id(id_: str) -> ActionFilter:
    """Read the id of a range of actions.

    Raises:
        RefusedError: It is not a query string of the filters of a list of actions.
    """
    given: dict[str, Any] = {}
    for name, value in parse_qsl(id_, keep_blank_values=True):
        if name not in FILTERS:
            raise RefusedError(f"{name[:64]!r} is not a filter of actions; there are {', '.join(FILTERS)}")
        attribute = _TIMES.get(name, name)
        if attribute in given:
            raise RefusedError(f"the filter {name} is given twice; give it once")
        given[attribute] = _instant(name, value) if name in _TIMES else _value(name, value)
    filter_ = ActionFilter(**given)
    if filter_.start is not None and filter_.end is not None and filter_.end < filter_.start:
        raise RefusedError("to is before from, so no action can be between them")
    id_of_range(filter_)  # refuses a filter without a condition
    return filter_


def _instant(name: str, value: str) -> int:
    try:
        return parse_instant(value)
    except ValueError as error:
        raise RefusedError(f"{name}: {value[:64]!r}: {error}") from error


def _value(name: str, value: str) -> str:
    if not value.strip():
        raise RefusedError(f"the filter {name} is empty; leave it out to match any")
    if name == "outcome" and value not in ACTION_OUTCOMES:
        raise RefusedError(f"outcome: {value[:64]!r} is not one of {', '.join(ACTION_OUTCOMES)}")
    if name == "of" and split_key(value)[0] not in KINDS:
        raise RefusedError(f"of: {value[:64]!r} is not KIND:ID, such as session:s1")
    return value
