"""Write lists as CSV (RFC 4180): a header, then one row per item, safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, Final

_DANGEROUS: Final = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would treat such a cell as a formula


def written(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> str:
    """Write a table with a header."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\r\n")
    table.writerow(columns)
    for row in rows:
        table.writerow(cell(row.get(name)) for name in columns)
    return text.getvalue()


def as_csv(items: Sequence[dict[str, Any]], columns: Sequence[str] = ()) -> str:
    """Write the items of any list; a nested value has its own column, such as ``resource.id``.

    Args:
        items: Documents.
        columns: The columns that come first, even without items.
    """
    rows = [dict(_flat(item)) for item in items]
    named = dict.fromkeys((*columns, *(name for row in rows for name in row)))
    nested = {name.partition(".")[0] for name in named if "." in name}
    return written([name for name in named if name not in nested], rows)


def cell(value: object) -> str:
    """Convert a value to a cell; a list becomes one cell, separated by semicolons."""
    if isinstance(value, list | tuple):
        value = "; ".join(_shown(one) for one in value)
    text = "" if value is None else _shown(value)
    return f"'{text}" if text.startswith(_DANGEROUS) else text


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {said}" for name, said in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)


def _flat(item: dict[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in item.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
