"""Text pages about what enforcement points do when they are asked."""

from lineage.serve.documents.core_documents import Document
from lineage.serve.text.phrases import when
from lineage.serve.text.text_page import Page, many

_VERDICTS = {
    "CLOSED": "every enforcement point denies all of it",
    "PARTIAL": "something is still accepted",
    "UNKNOWN": "not everything is shown to be denied",
}
_SHOWN = 20  # entries of each list


def proof(doc: Document) -> Page:
    """Render a stop-proof."""
    stopped = doc["proof"]
    page = Page().line(
        (stopped["verdict"], "bold"), f": {stopped['revocation']}, {many(stopped['elements'], 'element')}: "
        f"{_VERDICTS[stopped['verdict']]}.",
    )  # fmt: skip
    page.line(f"Asked from {when(stopped['began_at'])} to {when(stopped['ended_at'])}, nonce {stopped['nonce']}.")
    page.line(f"According to the acknowledgements it is {stopped['closure']}.")
    if stopped["points"]:
        page.title("Enforcement points")
    for one in stopped["points"][:_SHOWN]:
        page.line((one["receiver"], "bold"), f": {one['verdict']}, {_replies(one)}", lead="  ")
        page.line(_interval(one), lead="    ")
    _rest(page, len(stopped["points"]))
    for title, listed in (("Still accepted", stopped["accepted"]), ("Covered by nobody", stopped["uncovered"])):
        if listed["count"]:
            page.title(f"{title} ({listed['count']:,})")
            for one in listed["first"][:_SHOWN]:
                where = f" at {one['receiver']}" if "receiver" in one else ""
                page.line(f"{one['kind']}:{one['id']}{where}", lead="  - ")
            _rest(page, listed["count"])
    return page.line().line("To hand on, with its signature: --signed")


def _replies(one: Document) -> str:
    names = ("denied", "accepted", "not_asked", "revocation_unsupported", "revocation_unavailable")
    words = [f"{one[name]:,} {name.replace('not_asked', 'not asked')}" for name in names if one[name]]
    return f"{', '.join(words) or 'nothing to deny'} of {one['covers']:,}"


def _interval(one: Document) -> str:
    last = "no known success" if one["last_success"] is None else f"last success {when(one['last_success'])}"
    first = "not denied as a whole" if one["first_denial"] is None else f"denied from {when(one['first_denial'])} on"
    return f"{last}; {first}"


def readiness(doc: Document) -> Page:
    """Render how fast enforcement points denied a canary."""
    stopped = doc["proof"]
    page = Page().line((stopped["verdict"], "bold"), f": {stopped['canary']} was revoked as {stopped['revocation']}.")
    for one in stopped["points"][:_SHOWN]:
        if one["would_enforce"]:
            word = f"denied it after {one['milliseconds']:,} ms"
        elif one["before"] == "accepted":
            word = "went on to accept it"
        else:
            word = f"cannot show it: {one['before']} before"
        page.line((one["receiver"], "bold"), f": {word}", lead="  ")
    _rest(page, len(stopped["points"]))
    if not stopped["points"]:
        page.line('No enforcement point can be asked: name them in the settings file, [probes."RECEIVER"].')
    return page


def _rest(page: Page, count: int) -> None:
    if count > _SHOWN:
        page.line(f"and {count - _SHOWN:,} more; --json lists all that is kept", lead="  ")
