"""Write lists as CSV (RFC 4180): a header, then one row per item, safe to open in a spreadsheet.

A cell that a spreadsheet would calculate, or that begins with an apostrophe, gets an apostrophe in front. To restore
the values, remove one leading apostrophe from each cell that begins with one.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from lineage.serve.documents.compact_json import compact_json

_GUARDED: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")  # noqa: RUF001 (fullwidth)


def csv_text(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> str:
    """Write a table with a header."""
    return "".join(lines_of(columns, rows))


def lines_of(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table with a header.

    Args:
        columns: The keys of a row. ``a.b`` is the member ``b`` of the object ``a``; missing ones are empty.
        rows: Documents.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\r\n")
    table.writerow(columns)
    for row in rows:
        yield _drain(text)
        table.writerow(cell(_value(row, column)) for column in columns)
    yield _drain(text)


def cell(value: object) -> str:
    """Convert a value to a cell: a list of words is separated by semicolons, any other list or object is JSON."""
    if isinstance(value, list | tuple):
        is_plain = all(isinstance(one, str) and ";" not in one for one in value)
        value = "; ".join(value) if is_plain else compact_json(value)
    elif isinstance(value, dict | bool):
        value = compact_json(value)
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_GUARDED) else value
    return "" if value is None else str(value)


def _drain(text: io.StringIO) -> str:
    line = text.getvalue()
    text.seek(0)
    text.truncate()
    return line


def _value(row: dict[str, Any], column: str) -> object:
    value: object = row
    for name in column.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value
