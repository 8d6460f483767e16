"""The reference of the settings, generated from their declarations."""

from collections.abc import Iterator, Sequence
from typing import Final

from ingest.declared_settings import Setting, SettingKind, SettingsTable
from lineage.serve.config.settings import TABLES

_HEAD: Final = """\
# All settings

<!-- Generated from the declarations by `make reference`; a test fails when this page is stale. -->

Where settings come from, and how to provide secrets, is in [settings](../settings.md).
"""
_NOTES: Final = {
    None: """\
## Store, log and this process

`DELEGRAPH_CONFIG` names a TOML file with settings.
`DELEGRAPH_LOG_FORMAT` and `DELEGRAPH_LOG_LEVEL` configure how a process [logs](../monitoring.md).
""",
    "kafka": """\
## Connecting to Kafka

They are used if the log is on Kafka; [Kafka](../kafka.md#connecting) says which of them belong together.
A setting that would have no effect is refused.
""",
    "http": """\
## The HTTP API

They are used by `delegraph serve`; [the HTTP API](../http-api.md#authentication-and-roles) says who may use it.
The limits of time and connections also apply where `consume` and `deliver` listen, there with at most 64 connections.
""",
}


def reference() -> str:
    """Return the text of ``docs/reference/settings.md``."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    for name, note in _NOTES.items():
        tables = [table for table in TABLES if table.table == name]
        where = "in the file" if name is None else f"in `[{name}]`"
        yield from (note, f"| variable | {where} | default | is |", "|---|---|---|---|")
        yield from _rows(tables)
        yield ""


def _rows(tables: Sequence[SettingsTable]) -> Iterator[str]:
    for table in tables:
        for one in table.settings:
            also = f"; also as `{table.variable(one.name)}_FILE`" if one.kind is SettingKind.SECRET else ""
            yield f"| `{table.variable(one.name)}` | `{one.name}` | {_default(one)} | {one.help}{also} |"


def _default(one: Setting) -> str:
    if one.default_text is not None:
        return one.default_text
    if one.default in (None, "", ()):
        return "none"
    if one.kind is SettingKind.YES_NO:
        return "`yes`" if one.default else "`no`"
    return f"`{','.join(one.default) if isinstance(one.default, tuple) else one.default}`"
