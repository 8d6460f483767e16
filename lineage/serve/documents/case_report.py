"""The export of a case as one self-contained HTML page: nothing is loaded from elsewhere, and nothing runs."""

import json
from collections.abc import Iterator
from html import escape
from typing import Any, Final

from lineage.serve.documents.core_documents import Document

_STYLE: Final = (
    ":root{color-scheme:light dark;--ink:#1c1f23;--soft:#50565e;--line:#d0d5db;--paper:#fff;--mark:#0b57d0}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#b4bac2;--line:#3c4148;--paper:#16181b;"
    "--mark:#9ec1ff}}"
    "*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;"
    "color:var(--ink);background:var(--paper);overflow-wrap:anywhere}h1{margin:.2rem 0}h2{margin:2rem 0 .5rem}"
    "h3{font-size:1rem;margin:1.4rem 0 .2rem}p{margin:.3rem 0}ul,ol{margin:.3rem 0;padding-left:1.4rem}"
    "small,.soft{color:var(--soft)}a{color:var(--mark)}code,pre{font-family:ui-monospace,monospace;font-size:.85em}"
    "pre{white-space:pre-wrap;border:1px solid var(--line);border-radius:4px;padding:.5rem;margin:.3rem 0}"
    "article,.event{border-top:1px solid var(--line);padding:.6rem 0;break-inside:avoid}"
    "a:focus-visible{outline:2px solid var(--mark);outline-offset:2px}"
    "@media print{:root{--ink:#000;--soft:#333;--line:#999;--paper:#fff;--mark:#000}body{margin:0;max-width:none}}"
)
_DIGITS: Final = 12  # digits of a digest that stand in the text


def case_as_html(document: Document) -> str:
    """Render an export of a case."""
    export = document["export"]
    title = export["title"] or "Without a title"
    lines = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(export['case'])}: {escape(title)}</title><style>{_STYLE}</style></head><body><main>",
        f"<p class=soft>Case {escape(export['case'])}, {escape(export['status'])}</p><h1>{escape(title)}</h1>",
        f"<p>{_assignee(export)}. {_counted(export)}.</p>",
        f"<p class=soft>{_as_of(export)} SHA-256 of the export: <code>{escape(document['sha256'])}</code>.</p>",
        *_evidence(document),
        "<h2>Items</h2>",
        *map(_item, export["items"]),
        *([] if export["items"] else ["<p>The case contains nothing.</p>"]),
        "<h2>Who changed what</h2><ol>",
        *map(_change, export["changes"]),
        "</ol><h2>Events</h2>",
        *map(_event, export["events"]),
        "</main></body></html>\n",
    ]
    return "\n".join(lines)


def _evidence(document: Document) -> Iterator[str]:
    """Yield how many events are proved to be in the log, and how to get all of it as a bundle that anyone verifies."""
    if (found := document["evidence"]) is not None:
        proved, events = len(found["proofs"]), len(document["export"]["events"])
        checkpoints = (
            f"<code>{escape(one['origin'])}</code> ({one['size']:,} records)" for one in found["checkpoints"]
        )
        yield (
            f"<p class=soft>{proved:,} of {events:,} events are proved to be under the signed checkpoints "
            f"{', '.join(checkpoints)}; the proofs are in the export as JSON. All of it, for anyone to verify: "
            f"<code>{escape(found['bundle'])}</code>.</p>"
        )


def _assignee(export: Document) -> str:
    return f"Assigned to {escape(export['assignee'])}" if export["assignee"] else "Not assigned"


def _counted(export: Document) -> str:
    return ", ".join(f"{len(export[name]):,} {name}" for name in ("items", "changes", "events"))


def _as_of(export: Document) -> str:
    recorded_at = escape(str(export["recorded_at"]))
    return (
        f"States as of {escape(export['at'])}, from facts recorded up to {recorded_at}. Each statement names the "
        "events that it rests on; they are at the end, word for word."
    )


def _item(item: Document) -> str:
    note = f": {escape(item['note'])}" if item["note"] else ""
    statements = "".join(f"<li>{''.join(_statement(one))}</li>" for one in item["statements"])
    return (
        f"<article><h3>{escape(item['kind'])} <code>{escape(item['id'])}</code>: {escape(item['state'])}</h3>"
        f"<p>{escape(item['sentence'])}</p><p><small>added {escape(item['added_at'])} by {escape(item['added_by'])}"
        f"{note} {_cited(item)}</small></p>{f'<ul>{statements}</ul>' if statements else ''}</article>"
    )


def _statement(one: Document) -> Iterator[str]:
    """Yield a statement in words, and the events that it rests on."""
    of = f"<code>{escape(one['of'])}</code>"
    match one["says"]:
        case "stated":
            yield f"{escape(one['field'])} of {of} is <strong>{escape(_value(one['value']))}</strong>"
        case "named":
            yield f"party {one['place'] + 1} behind {of} is <strong>{escape(one['principal'])}</strong>, "
            yield (
                "which no event cited here names" if one["by"] is None else f"named by <code>{escape(one['by'])}</code>"
            )
        case "depends":
            yield f"{of} depends on <code>{escape(one['on'])}</code>"
        case "state":
            yield f"{of} is <strong>{escape(one['state'])}</strong> at {escape(one['at'])}"
            if "revocation" in one:
                path = " &gt; ".join(f"<code>{escape(key)}</code>" for key in one["path"])
                yield f" by <code>{escape(one['revocation'])}</code>, down the path {path}"
        case "found":
            yield f"{escape(one['severity'])} {escape(one['rule'])}: {escape(one['why'])}"
        case "matches":
            actions = ", ".join(f"<code>{escape(action)}</code>" for action in one["actions"]) or "none"
            more = "" if one["complete"] else ", and more that are not listed"
            yield f"matches these actions: {actions}{more}"
    yield f" <small>{_cited(one)}</small>"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _change(change: Document) -> str:
    items = ", ".join(f"<code>{escape(one['kind'])}:{escape(one['id'])}</code>" for one in change["contained"])
    parts = [f"<strong>{escape(change['change'])}</strong>", items]
    parts += [f"{name}: {escape(change[name])}" for name in ("title", "assignee", "note") if change[name]]
    text = "; ".join(part for part in parts if part)
    return f"<li>{escape(change['given_at'])} {escape(change['by'])}: {text} <small>{_cited(change)}</small></li>"


def _cited(one: Document) -> str:
    links = (f'<a href="#e-{name}"><code>{name[:_DIGITS]}</code></a>' for name in one["rests_on"])
    return f"[{', '.join(links)}]"


def _event(one: Document) -> str:
    place = one["position"]
    where = f"{place['topic']}, partition {place['partition']}, offset {place['offset']}" if place else "not known"
    event = escape(json.dumps(one["event"], ensure_ascii=False, indent=1, sort_keys=True))
    return (
        f'<div class=event id="e-{escape(one["digest"])}"><p><strong>{escape(one["event"]["type"])}</strong> '
        f"<small>recorded {escape(one['recorded_at'])}; in the log: {escape(where)}; SHA-256 "
        f"<code>{escape(one['digest'])}</code></small></p><pre>{event}</pre></div>"
    )
