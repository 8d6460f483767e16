r"""``[findings]``, ``[scopes]`` and ``[audiences]``: how rules are evaluated, and which findings are accepted.

Example::

    [findings]
    sensitive = ["pay:*"]
    leeway_seconds = 60

    [findings.dormant-but-alive]
    severity = "low"
    dormant_days = 90

    [[findings.exceptions]]
    rule = "standing-access"
    of = "delegation:nightly-*"
    reason = "scheduled jobs, reviewed twice a year"
    by = "human:ir@example.com"
    until = 2027-01-01T00:00:00Z

    [scopes]
    match = "prefix"                  # crm:* contains crm:read
    "mail.send" = ["mail:send"]       # what an operation, or a tool, needs

    [scopes.implies]
    "crm:admin" = ["crm:read", "crm:write"]

    [audiences]
    mail = "https://mail.example"     # of a tool
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from lineage.core.findings.options import Exempted, Options, RuleOptions
from lineage.core.findings.rules.catalogue import RULES
from lineage.core.model.errors import RefusedError
from lineage.core.model.finding import SEVERITIES
from lineage.core.model.times import DAY, HOUR, MINUTE, SECOND, Instant, parse_instant
from lineage.serve.documents.refusal_wording import no_such


class _Threshold(NamedTuple):
    """A configurable number: its name, unit and bounds."""

    field: str
    unit: int = 1
    least: float = 1
    most: float = 1_000_000


_YEARS: Final = 36_600  # days
THRESHOLDS: Final[dict[str, _Threshold]] = {
    "leeway_seconds": _Threshold("leeway", SECOND, 0, 3_600),
    "retry_window_seconds": _Threshold("retry_window", SECOND, 1, 86_400),
    "decision_age_seconds": _Threshold("decision_age", SECOND, 1, 31_536_000),
    "decision_share": _Threshold("decision_share", 0, 0.01, 1),
    "decision_least": _Threshold("decision_least"),
    "decision_window_days": _Threshold("decision_window", DAY, 1, _YEARS),
    "rotation_grace_seconds": _Threshold("rotation_grace", SECOND, 0, 3_600),
    "history": _Threshold("history", 1, 0, 64),
    "tools": _Threshold("tools", 1, 2),
    "tools_window_seconds": _Threshold("tools_window", SECOND, 0, 31_536_000),
    "client_agents": _Threshold("client_agents", 1, 2),
    "issuer_age_days": _Threshold("issuer_age", DAY, 0, _YEARS),
    "token_life_hours": _Threshold("token_life", HOUR, 1, 24 * _YEARS),
    "refresh_life_days": _Threshold("refresh_life", DAY, 1, _YEARS),
    "delegation_life_days": _Threshold("delegation_life", DAY, 1, _YEARS),
    "scopes": _Threshold("scopes"),
    "unused_days": _Threshold("unused", DAY, 1, _YEARS),
    "dormant_days": _Threshold("dormant", DAY, 1, _YEARS),
    "dormant_left_days": _Threshold("dormant_left", DAY, 0, _YEARS),
    "reach_elements": _Threshold("reach_elements", 1, 1, 1_000_000_000),
    "reach_agents": _Threshold("reach_agents"),
    "burst": _Threshold("burst"),
    "burst_window_seconds": _Threshold("burst_window", SECOND, 1, 86_400),
    "denials": _Threshold("denials"),
    "denials_kinds": _Threshold("denials_kinds"),
    "denials_window_minutes": _Threshold("denials_window", MINUTE, 1, 525_600),
    "offences": _Threshold("offences"),
    "offences_window_hours": _Threshold("offences_window", HOUR, 1, 24 * _YEARS),
    "revocations": _Threshold("revocations"),
    "revocations_window_minutes": _Threshold("revocations_window", MINUTE, 1, 525_600),
    "revocation_kills": _Threshold("revocation_kills", 1, 1, 1_000_000_000),
    "silence": _Threshold("silence", 1, 2),
    "silence_facts": _Threshold("silence_facts", 1, 2),
    "late_hours": _Threshold("late", HOUR, 1, 24 * _YEARS),
}
"""The configurable thresholds, in ``[findings]`` or in the table of a rule that reads them."""

_LISTS: Final = ("sensitive", "broad", "caching", "restating")
_MATCHES: Final = ("exact", "prefix")
_OPERATIONS: Final = ("auto", "scopes", "names")
_REQUIRED: Final = {"reason": "why the findings are accepted", "by": "who accepts the findings"}
_EXCEPTION: Final = ("rule", "of", "principal", "source", "reason", "by", "until")


def options_of(table: Mapping[str, Any], *, file: Path) -> Options:
    """Parse the rule settings of a settings file.

    Args:
        table: The tables ``findings``, ``scopes`` and ``audiences``; the lists ``sensitive`` and ``broad``.
        file: The file, for messages.

    Raises:
        RefusedError: There is no such rule, setting or value; the message names it and the valid ones.
    """
    findings = _table(table.get("findings", {}), "[findings]", file)
    # they may be at the top level as well
    above = {name: table[name] for name in ("sensitive", "broad") if name in table}
    set_: dict[str, Any] = {}
    rules: dict[str, RuleOptions] = {}
    exempted: tuple[Exempted, ...] = ()
    for name, value in {**above, **findings}.items():
        if name == "exceptions":
            exempted = _exceptions(value, file)
        elif name in _LISTS:
            set_[name] = _texts(value, f"{name!r} of [findings] in {file}")
        elif name in THRESHOLDS:
            _set(set_, name, value, f"[findings] in {file}")
        elif isinstance(value, dict):
            rules[name] = _rule(name, value, set_, file)
        else:
            known = ", ".join((*_LISTS, "exceptions", *THRESHOLDS))
            raise RefusedError(
                f"[findings] in {file} has {name!r}, which is no setting; there are {known}, and a table for each rule"
            )
    for name in ("broad", "caching", "restating"):
        if name in set_:
            set_[name] = frozenset(set_[name])
    return Options(rules=rules, exempted=exempted, **set_, **_scopes(table, file), **_audiences(table, file))


def _rule(kind: str, table: Mapping[str, Any], set_: dict[str, Any], file: Path) -> RuleOptions:
    where = f"[findings.{kind}] in {file}"
    rule = _known_rule(kind, where)
    enabled, severity = table.get("enabled"), table.get("severity")
    if enabled is not None and not isinstance(enabled, bool):
        raise RefusedError(f"'enabled' of {where} is {enabled!r}; write true or false")
    if severity is not None and severity not in SEVERITIES:
        raise RefusedError(f"'severity' of {where} is {severity!r}; there are {', '.join(SEVERITIES)}")
    own = [name for name in rule.settings if name in THRESHOLDS]
    for name, value in table.items():
        if name in own:
            _set(set_, name, value, where)
        elif name not in ("enabled", "severity"):
            known = ", ".join(("enabled", "severity", *own))
            raise RefusedError(f"{where} has {name!r}, which is no setting of this rule; there are {known}")
    return RuleOptions(enabled=enabled, severity=None if severity is None else SEVERITIES[severity])


def _known_rule(kind: object, where: str) -> Any:
    if not isinstance(kind, str) or kind not in RULES:
        suggestion = no_such("rule", kind, RULES, listed_by="'delegraph posture'")
        raise RefusedError(f"{where} names {kind!r}: {suggestion}")
    return RULES[kind]


def _set(set_: dict[str, Any], name: str, value: object, where: str) -> None:
    threshold = THRESHOLDS[name]
    is_share = threshold.unit == 0
    is_number = isinstance(value, int | float if is_share else int) and not isinstance(value, bool)
    if not is_number or not threshold.least <= float(value) <= threshold.most:  # type: ignore[arg-type]
        kind = "a number" if is_share else "a whole number"
        raise RefusedError(
            f"{name!r} of {where} is {value!r}; write {kind} from {threshold.least:,} to {threshold.most:,}"
        )
    worked_out = value if is_share else int(value) * threshold.unit  # type: ignore[call-overload]
    if set_.get(threshold.field, worked_out) != worked_out:
        raise RefusedError(f"{name!r} of {where} is set twice, to different values; set it once, in [findings]")
    set_[threshold.field] = worked_out


def _exceptions(value: object, file: Path) -> tuple[Exempted, ...]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise RefusedError(f"'exceptions' of [findings] in {file} must be a list of tables: [[findings.exceptions]]")
    return tuple(_exception(entry, f"[[findings.exceptions]] number {n} in {file}") for n, entry in enumerate(value, 1))


def _exception(table: Mapping[str, Any], where: str) -> Exempted:
    if unknown := sorted(table.keys() - set(_EXCEPTION)):
        raise RefusedError(f"{where} has {unknown[0]!r}, which is no setting; there are {', '.join(_EXCEPTION)}")
    if "rule" not in table:
        raise RefusedError(f"{where} needs a 'rule': the kind of the findings that are accepted")
    _known_rule(table["rule"], where)
    for name in ("reason", "by"):
        if not isinstance(table.get(name), str) or not table[name].strip():
            raise RefusedError(f"{where} needs a {name!r}: {_REQUIRED[name]}")
    for name in ("of", "principal", "source"):
        if name in table and not (isinstance(table[name], str) and table[name]):
            raise RefusedError(f"{name!r} of {where} must be a pattern, in which * stands for any characters")
    return Exempted(
        rule=table["rule"],
        of=table.get("of"),
        principal=table.get("principal"),
        source=table.get("source"),
        reason=table["reason"],
        by=table["by"],
        until=_end(table.get("until"), where),
    )


def _end(value: object, where: str) -> Instant:
    try:
        if isinstance(value, datetime):
            value = value.isoformat()
        if isinstance(value, str):
            return parse_instant(value)
    except ValueError:
        pass
    raise RefusedError(
        f"{where} needs an 'until' with date, time and offset, such as 2027-01-01T00:00:00Z, not {value}"
    )


def _scopes(table: Mapping[str, Any], file: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    needed: dict[str, tuple[str, ...]] = {}
    for name, value in _table(table.get("scopes", {}), "[scopes]", file).items():
        where = f"{name!r} of [scopes] in {file}"
        if name == "match" and isinstance(value, str):
            found["scope_match"] = _one_of(value, _MATCHES, where)
        elif name == "operations" and isinstance(value, str):
            found["operations"] = _one_of(value, _OPERATIONS, where)
        elif name == "implies" and isinstance(value, dict):
            found["implies"] = {scope: frozenset(_texts(more, where)) for scope, more in value.items()}
        else:
            needed[name] = _texts(value, where)
    return {**found, "needed": needed} if needed else found


def _audiences(values: Mapping[str, Any], file: Path) -> dict[str, Any]:
    table = _table(values.get("audiences", {}), "[audiences]", file)
    for tool, audience in table.items():
        if not isinstance(audience, str) or not audience:
            raise RefusedError(f"{tool!r} of [audiences] in {file} must be the audience of that tool, as a string")
    return {"audiences": table} if table else {}


def _one_of(value: str, words: tuple[str, ...], where: str) -> str:
    if value not in words:
        raise RefusedError(f"{where} is {value!r}; there are {', '.join(words)}")
    return value


def _table(value: object, name: str, file: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RefusedError(f"{name} in {file} must be a table")
    return value


def _texts(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise RefusedError(f"{where} must be a list of strings")
    return tuple(value)
