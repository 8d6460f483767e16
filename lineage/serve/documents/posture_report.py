"""The posture as a self-contained HTML page for an auditor: the checks and their outcomes."""

from collections.abc import Iterator
from html import escape
from typing import Final

from lineage.serve.documents.core_documents import Document

OUTCOMES: Final = ("fail", "suppressed", "not_evaluated", "pass")
_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c1f23}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.4rem .6rem;"
    "border-bottom:1px solid #d8dce1}.fail{color:#b3261e}.pass{color:#1a7f37}.suppressed{color:#8a5a00}"
    ".not_evaluated{color:#57606a}small{color:#57606a}code{overflow-wrap:anywhere}"
)


def posture_as_html(posture: Document, at: str) -> str:
    """Render the report."""
    counts = posture["counts"]
    scope = f"checks that map to {posture['framework']}" if posture["framework"] else "all checks"
    summary = ", ".join(f"{counts[name]} {name.replace('_', ' ')}" for name in OUTCOMES)
    recorded_at = escape(str(posture["as_of"]["recorded_at"]))
    lines = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Posture report</title>',
        f"<style>{_STYLE}</style></head><body>",
        "<h1>Posture report</h1>",
        f"<p>As of {escape(at)}, {escape(scope)}: <strong>{summary}</strong>.",
        "A check that is not evaluated has not passed: no source sends what it needs.</p>",
        *_sections(posture["items"]),
        f"<p><small>Facts recorded up to {recorded_at}. Made by delegraph.</small></p>",
        "</body></html>\n",
    ]
    return "\n".join(lines)


def _sections(items: list[Document]) -> Iterator[str]:
    for outcome in OUTCOMES:
        checks = [item for item in items if item["outcome"] == outcome]
        if checks:
            yield f'<h2 class="{outcome}">{outcome.replace("_", " ").capitalize()} ({len(checks)})</h2>'
            yield "<table><thead><tr><th>Check</th><th>What came of it</th><th>Maps to</th></tr></thead><tbody>"
            yield from map(_row, checks)
            yield "</tbody></table>"


def _row(item: Document) -> str:
    entries = sorted({f"{entry['framework']} {entry['version']}: {entry['id']}" for entry in item["maps_to"]})
    rule = f"<small>{escape(item['kind'])}, {escape(item['severity'])}</small>"
    maps_to = "<br>".join(map(escape, entries))
    cells = (
        f"<strong>{escape(item['title'])}</strong><br>{rule}",
        "".join(_outcome(item)),
        f"<small>{maps_to}</small>",
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _outcome(item: Document) -> Iterator[str]:
    if item["why"]:
        yield f"Not evaluated: {escape(item['why'])}."
        return
    if item["failed"]:
        yield f"{item['failed']:,} failed."
        for one in item["first"]:
            yield f"<br><small>{escape(one['severity'])}: {escape(one['why'])}</small>"
        if item["failed"] > len(item["first"]):
            yield f"<br><small>and {item['failed'] - len(item['first']):,} more</small>"
        yield f"<br>{escape(item['fix'])}"
    for one in item["suppressed_by"]:
        until = f", until {escape(one['until'])}" if one.get("until") else ""
        who = f"by {escape(one.get('by', ''))}{until}: {escape(one.get('reason', ''))}"
        yield f"<br><small>suppressed: <code>{escape(one['of'])}</code> {who}</small>"
    if item["suppressed"] > len(item["suppressed_by"]):
        yield f"<br><small>and {item['suppressed'] - len(item['suppressed_by']):,} more suppressed</small>"
    if not item["failed"] and not item["suppressed"]:
        yield "Passed."
