"""What the pages share: states and their because, gaps, findings, long lists, how far an answer goes."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from lineage.core.model.severities import SEVERITIES
from lineage.serve.documents.core_documents import Document
from lineage.serve.text.text_page import Page, Piece, joined, many

SHOWN: Final = 20  # entries of a list within an answer; the rest is counted, and --json has all of it
CITED: Final = 3  # facts that a finding cites on its line

_LABELS: Final = {"cascaded": "revoked (inherited)"}
_STYLES: Final = {
    "active": "green",
    "revoked": "bold red",
    "cascaded": "bold red",
    "suspended": "yellow",
    "unknown": "magenta",
}


def when(instant: str | None) -> str:
    """A time as people read it, and as ``--at`` takes it: without the zeros behind the second."""
    if instant is None:
        return "never"
    whole, _, fraction = instant.removesuffix("Z").partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}Z" if fraction else f"{whole}Z"


def state(word: str) -> Piece:
    """A state."""
    return label(word), _STYLES.get(word, "")


def label(word: str) -> str:
    """A state or a verdict as people read it."""
    return _LABELS.get(word, word.replace("_", " "))


def verdict(document: Document) -> list[Piece]:
    """A state, and the order behind it."""
    because = document["because"]
    said: list[Piece] = [state(document["state"])]
    if document["state"] == "unknown":
        said.append(" (nobody granted it)")
    if because is not None:
        said.append(f" by {because['revocation']} ({order(because)})")
    return said


def order(because: Document) -> str:
    """What is to be known of an order, in one line."""
    target = because["target"]
    return (
        f"{because['reason']}, by {because['ordered_by']}, on {target['kind']}:{target['id']}, "
        f"from {when(because['effective_at'])}"
    )


def route(path: Sequence[str]) -> str:
    """A way down the graph; a long one without its middle, and saying so."""
    if len(path) > SHOWN:
        cut = f"({len(path) - 6:,} more, see --json)"
        return joined([*path[:3], cut, *path[-3:]], " > ")
    return joined(path, " > ")


def scopes(hop: Document, above: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """What one may do against the one above it (nothing: it is not known): kept, lost, and exceeds parent."""
    held = hop["scopes"]
    gained = [one for one in held if above and one not in above]
    lost = [one for one in above if one not in held] if held else []
    return [one for one in held if one not in gained], lost, gained


def effective_scopes(hop: Document) -> str | None:
    """What a token or a delegation effectively allows; None if nobody says, or if it is what it states."""
    effective = hop["effective_scopes"]
    if effective is None or set(effective) == set(hop["scopes"]):
        return None
    return f"effectively {joined(effective, ' ') or 'none'}"


def because(page: Page, document: Document, lead: str = "  ") -> None:
    """How the order came down to the thing, if it did not hit the thing itself."""
    found = document["because"]
    if found is not None and len(found["path"]) > 1:
        page.line("down the path ", route(found["path"]), lead=lead)


def entries(page: Page, items: Sequence[Any], show: Callable[[Page, Any], object]) -> None:
    """The first entries of a list, and how many are not shown."""
    for item in items[:SHOWN]:
        show(page, item)
    if len(items) > SHOWN:
        more = f"... and {len(items) - SHOWN:,} more, not shown here: --json has all {len(items):,}"
        page.line((more, "bold"), lead="  ")


def plain(page: Page, items: Sequence[object]) -> None:
    """The first entries of a list, one a line."""
    entries(page, items, lambda page, item: page.line(str(item), lead="  - "))


def fields(page: Page, label: str, items: Sequence[object]) -> None:
    """The first entries of a list, one a line under a label."""
    entries(page, items, lambda page, item: page.field(label, str(item)))


def gaps(page: Page, document: Document) -> None:
    """What is missing, in plain words."""
    if not document["gaps"]:
        return
    page.title(f"Missing evidence ({len(document['gaps'])})")
    plain(page, [f"{gap['kind']} {gap['id']}: {gap['why']}" for gap in document["gaps"]])


ALARMING: Final = frozenset({"critical", "high"})
_LOOKS: Final = {"critical": "bold red", "high": "bold red", "medium": "bold yellow"}


def alarms(found: Sequence[Document]) -> list[Document]:
    """The findings that a reader must see first: high and above, and not suppressed."""
    return [one for one in found if one["severity"] in ALARMING and one["status"] != "suppressed"]


def by_severity(found: Sequence[Document]) -> str:
    """How many findings there are of each severity, in brackets, the worst first; those suppressed apart."""
    words = [one["severity"] for one in found if one["status"] != "suppressed"]
    counts = [f"{words.count(word):,} {word}" for word in SEVERITIES if word in words]
    if len(words) < len(found):
        counts.append(f"{len(found) - len(words):,} suppressed")
    return f"({joined(counts, ', ')})"


def findings(page: Page, document: Document) -> None:
    """What is wrong, in plain words, with the facts that show it and what to do."""
    if document["findings"]:
        page.title(f"Findings {by_severity(document['findings'])}")
        entries(page, document["findings"], finding)


def finding(page: Page, found: Document) -> None:
    """One finding, the facts that show it, and what to do."""
    page.line(
        (found["severity"], _LOOKS.get(found["severity"], "bold")), f" {found['kind']}: {found['why']}", lead="  - "
    )
    facts = found["facts"]
    if facts:
        cited = joined((f"{fact['event_id']} of {fact['source']}" for fact in facts[:CITED]), "; ")
        rest = f"; and {len(facts) - CITED:,} more, see --json" if len(facts) > CITED else ""
        page.line(f"shown by {cited}{rest}", lead="    ")
    status = "" if found["status"] == "new" else f", {found['status']}"
    page.line(f"{found['id']}{status}. What to do: {found['fix']}", lead="    ")


def complaints(page: Page, document: Document) -> None:
    """Gaps and findings; that there are none is said as well."""
    gaps(page, document)
    findings(page, document)
    nothing = [said for name, said in (("gaps", "missing evidence"), ("findings", "findings")) if not document[name]]
    if nothing:
        page.line().line(f"No {joined(nothing, ', no ')}.")


def as_of(page: Page, document: Document) -> Page:
    """How far the answer goes: last on every page, and a warning if not to the end of the log."""
    page.line()
    found = document["as_of"]
    recorded_at, behind = found["recorded_at"], found["behind"]
    known = "nothing is recorded yet" if recorded_at is None else f"as of {when(recorded_at)}"
    if behind == 0:
        return page.line((f"({known}, the end of the log)", "dim"))
    missing = "the log cannot be asked for more, so this may be out of date"
    if behind is not None:
        missing = f"{many(behind, 'record')} of the log not in this answer: run 'delegraph consume --drain'"
    return page.line(("WARNING", "bold red"), f": {known}; {missing}.")


def whole(page: Page, document: Document) -> Page:
    """Whether a list is whole, and how far it goes."""
    shown, total = len(document["items"]), document["total"]
    if not document["complete"]:
        of = "" if total is None else f" of {total:,}"
        page.line()
        page.line(("INCOMPLETE", "bold yellow"), f": showing {shown:,}{of}; continue after {document['next']}.")
    return as_of(page, document)
