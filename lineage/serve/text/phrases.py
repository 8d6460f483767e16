"""Building blocks of text pages: states and causes, gaps, findings, long lists, progress."""

import shlex
from collections.abc import Callable, Sequence
from typing import Any, Final

from lineage.core.model.finding import SEVERITIES
from lineage.serve.documents.core_documents import Document
from lineage.serve.text.text_page import Page, Piece, Words, joined, many

SHOWN: Final = 20  # entries of a list within an answer; the rest is counted, and --json has all of them
CITED: Final = 3  # facts listed for a finding

_LABELS: Final = {"cascaded": "revoked (inherited)"}
_STYLES: Final = {
    "active": "green",
    "revoked": "bold red",
    "cascaded": "bold red",
    "suspended": "yellow",
    "unknown": "magenta",
}


def when(instant: str | None) -> str:
    """Format a time for people, in a form that ``--at`` accepts: without trailing zeros after the seconds."""
    if instant is None:
        return "never"
    whole, _, fraction = instant.removesuffix("Z").partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}Z" if fraction else f"{whole}Z"


def to_second(instant: str | None) -> str:
    """Format a time for people who do not ask for more than seconds."""
    return "never" if instant is None else f"{instant.removesuffix('Z').partition('.')[0]}Z"


def moment(instant: str | None) -> Piece:
    """Format a time for people, as a piece of a line."""
    return Piece(when(instant), is_time=instant is not None)


def thing(kind: str, id_: str, style: str = "") -> Piece:
    """Name a thing by its id."""
    return Piece(id_, style, names=f"{kind}:{id_}")


def keyed(key: str, style: str = "") -> Piece:
    """Name a thing by its key, ``KIND:ID``."""
    return Piece(key, style, names=key)


def party(hop: Document, style: str = "") -> Piece:
    """Name the party of a hop by the id people know it by."""
    return thing("principal", hop["known_as"], style)


def state(word: str) -> Piece:
    """Style a state."""
    return Piece(label(word), _STYLES.get(word, ""))


def label(word: str) -> str:
    """Return the word people read for a state or a verdict."""
    return _LABELS.get(word, word.replace("_", " "))


def wrong(found: Document) -> str:
    """Summarise findings: how many there are, and the worst of them; empty if there are none."""
    count = found["count"]
    return f"{many(count, 'finding')}, the worst {found['worst']}: {found['why']}" if count else ""


def verdict(document: Document) -> list[Words]:
    """Describe a state and its order."""
    because = document["because"]
    words: list[Words] = [state(document["state"])]
    if document["state"] == "unknown":
        words.append(" (nobody granted it)")
    if because is not None:
        words += [" by ", thing("revocation", because["revocation"]), " (", *_order(because), ")"]
    return words


def _order(because: Document) -> list[Words]:
    target = because["target"]
    return [
        f"{because['reason']}, by ", thing("principal", because["ordered_by"]),
        ", on ", keyed(f"{target['kind']}:{target['id']}"), ", from ", moment(because["effective_at"]),
    ]  # fmt: skip


def route(path: Sequence[str]) -> str:
    """Describe a path down the graph; the middle of a long one is left out, with a note."""
    if len(path) > SHOWN:
        cut = f"({len(path) - 6:,} more, see --json)"
        return joined([*path[:3], cut, *path[-3:]], " > ")
    return joined(path, " > ")


def scopes(hop: Document, above: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Compare scopes with those above (empty: unknown): kept, lost, and exceeding the parent."""
    own = hop["scopes"]
    gained = [one for one in own if above and one not in above]
    lost = [one for one in above if one not in own] if own else []
    return [one for one in own if one not in gained], lost, gained


def effective_scopes(hop: Document) -> str | None:
    """Describe the effective scopes of a token or delegation; None if unknown or as stated."""
    effective = hop["effective_scopes"]
    if effective is None or set(effective) == set(hop["scopes"]):
        return None
    return f"effectively {joined(effective, ' ') or 'none'}"


def because(page: Page, document: Document, lead: str = "  ") -> None:
    """Describe the path of the order to the thing, if it did not hit it directly."""
    found = document["because"]
    if found is not None and len(found["path"]) > 1:
        page.line("down the path ", route(found["path"]), lead=lead)


def entries(page: Page, items: Sequence[Any], show: Callable[[Page, Any], object]) -> None:
    """Show the first entries of a list, and how many are not shown."""
    for item in items[:SHOWN]:
        show(page, item)
    if len(items) > SHOWN:
        more = f"... and {len(items) - SHOWN:,} more, not shown here: --json has all {len(items):,}"
        page.line((more, "bold"), lead="  ")


def plain(page: Page, items: Sequence[object]) -> None:
    """Show the first entries of a list, one per line."""
    entries(page, items, lambda page, item: page.line(str(item), lead="  - "))


def explained(page: Page, items: Sequence[Document]) -> None:
    """Show the first of some things, each with a sentence about it."""
    entries(page, items, lambda page, one: page.line(f"{one['kind']} {one['id']}: ", one["why"], lead="  - "))


def fields(page: Page, label: str, items: Sequence[object]) -> None:
    """Show the first entries of a list, one per line under a label."""
    entries(page, items, lambda page, item: page.field(label, str(item)))


def gaps(page: Page, document: Document) -> None:
    """Describe the missing evidence."""
    if not document["gaps"]:
        return
    page.title(f"Missing evidence ({len(document['gaps'])})")
    explained(page, document["gaps"])


ALARMING: Final = frozenset({"critical", "high"})
_LOOKS: Final = {"critical": "bold red", "high": "bold red", "medium": "bold yellow"}


def alarms(found: Sequence[Document]) -> list[Document]:
    """Return the findings that a reader must see first: high and above, and not suppressed."""
    return [one for one in found if one["severity"] in ALARMING and one["status"] != "suppressed"]


def deleted_evidence(document: Document) -> str | None:
    """Return a sentence about the missing evidence that retention deleted; None if it deleted none of it.

    What was derived from something deleted has only its own state: an order on what is gone does not reach it.
    """
    why = sorted({gap["why"] for gap in document["gaps"] if gap["why"].startswith("deleted by retention on ")})
    if not why:
        return None
    return f"Part of it was {joined(why, ' and ')}, so a revocation of what it was derived from may not show here."


def examined(page: Page, document: Document) -> None:
    """State whether an answer lacks some of its findings."""
    if document.get("findings_complete") is False:
        page.line("Only part of its surroundings was examined: 'delegraph findings --of' examines all of them.")


def alarm(page: Page, document: Document) -> None:
    """Describe the worst finding, and what to do, if it is one that a reader must see first."""
    for found in alarms(document.get("findings", ()))[:1]:
        page.line((found["severity"].upper(), "bold red"), ": ", found["why"], ".")
        page.line(f"What to do: {found['fix']}", lead="  ")


def by_severity(found: Sequence[Document]) -> str:
    """Count findings by severity, in brackets, worst first, suppressed ones separately."""
    words = [one["severity"] for one in found if one["status"] != "suppressed"]
    counts = [f"{words.count(word):,} {word}" for word in SEVERITIES if word in words]
    if len(words) < len(found):
        counts.append(f"{len(found) - len(words):,} suppressed")
    return f"({joined(counts, ', ')})"


def findings(page: Page, document: Document) -> None:
    """Describe what is wrong, with the facts that show it and what to do."""
    if document["findings"]:
        page.title(f"Findings {by_severity(document['findings'])}")
        entries(page, document["findings"], finding)


def finding(page: Page, found: Document) -> None:
    """Describe one finding, its facts, and what to do."""
    severity = (found["severity"], _LOOKS.get(found["severity"], "bold"))
    page.line(severity, f" {found['kind']}: ", found["why"], lead="  - ")
    facts = found["facts"]
    if facts:
        cited = joined((f"{fact['event_id']} of {fact['source']}" for fact in facts[:CITED]), "; ")
        rest = f"; and {len(facts) - CITED:,} more, see --json" if len(facts) > CITED else ""
        page.line(f"shown by {cited}{rest}", lead="    ")
    status = "" if found["status"] == "new" else f", {found['status']}"
    page.line(f"{found['id']}{status}. What to do: {found['fix']}", lead="    ")


def complaints(page: Page, document: Document) -> None:
    """Describe gaps and findings, also if there are none."""
    gaps(page, document)
    findings(page, document)
    nothing = [noun for name, noun in (("gaps", "missing evidence"), ("findings", "findings")) if not document[name]]
    if nothing:
        page.line().line(f"No {joined(nothing, ', no ')}.")


def as_of(page: Page, document: Document) -> Page:
    """State the progress of the projection at the end of every page, with a warning if it is behind the log."""
    page.line()
    found = document["as_of"]
    if "deleted_before" in found:
        page.line(
            (
                f"Retention has deleted records from before {found['deleted_before']} that nothing needed then.",
                "dim",
            )
        )
    recorded_at, behind = found["recorded_at"], found["behind"]
    known = "nothing is recorded yet" if recorded_at is None else f"as of {when(recorded_at)}"
    if behind == 0:
        return page.line((f"({known}, the end of the log)", "dim"))
    missing = "the log cannot be asked for more, so this may be out of date"
    if behind is not None:
        missing = f"{many(behind, 'record')} of the log not in this answer: run 'delegraph consume --drain'"
    return page.line(("WARNING", "bold red"), f": {known}; {missing}.")


def whole(page: Page, document: Document) -> Page:
    """State whether a list is complete, and the progress of the projection."""
    shown, total = len(document["items"]), document["total"]
    if not document["complete"]:
        of = "" if total is None else f" of {total:,}"
        page.line()
        behind = shlex.quote(document["next"])
        page.line(("INCOMPLETE", "bold yellow"), f": showing {shown:,}{of}; continue after {behind}.")
    return as_of(page, document)
