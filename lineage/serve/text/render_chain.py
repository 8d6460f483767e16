"""Text pages for the documents of the service; the first sentence is the answer.

A page says exactly what the document says. Print it with ``soft_wrap=True``, so that a long id stays in one piece.
Orders are in ``render_orders``, lists in ``render_lists`` and ``render_search``; this module re-exports them.
"""

from collections.abc import Sequence
from typing import Final

from lineage.core.model.keys import split_key
from lineage.core.model.times import Instant, format_instant
from lineage.serve.documents.core_documents import Document
from lineage.serve.text import phrases
from lineage.serve.text.phrases import moment, party, thing, when
from lineage.serve.text.render_lists import (
    checked,
    conflicts,
    consumed,
    counts,
    diff,
    doctor,
    emitted,
    findings,
    quarantine,
    retried,
    timeline,
    uses,
)
from lineage.serve.text.render_orders import lifted, ordered, plan
from lineage.serve.text.render_search import search
from lineage.serve.text.text_page import Page, Words, joined, many

DEEPEST: Final = 8  # the deepest indentation of hops; beyond it they are aligned
ENDS: Final = 20  # hops shown at either end of a longer chain
NAMED: Final = 4  # parties below the root that the first sentence names
_PASSED: Final = {  # the words before and after the party to whom authority was passed
    "delegation": (", who delegated to ", ""),
    "token": (", who let ", " act"),
    "asserted": (", who is said to have let ", " act"),
}
_LABEL: Final = 23  # width of the longest label next to the states and paths
_OUTCOMES: Final = {
    "succeeded": "was done by ",
    "failed": "failed; it was tried by ",
    "denied": "was denied; it was tried by ",
}


# Who stood behind something


def who(doc: Document, *, at: Instant | None = None, brief: bool = False) -> Page:
    """Render who stood behind an action.

    Args:
        doc: The document of ``who``.
        at: The instant asked about; None for now.
        brief: Only the answer, the hops and the findings.
    """
    page = Page().line(*_answer(doc, ["now"] if at is None else ["at ", moment(format_instant(at))]))
    if brief:
        _chain(page, doc, brief=True)
        alarms = phrases.alarms(doc["findings"])
        for found in alarms[:1]:
            page.line((f"{found['severity']} {found['kind']}", "bold red"), ": ", found["why"], lead="  - ")
        if more := len(doc["findings"]) - len(alarms[:1]):
            page.line(f"{many(more, 'more finding')}", lead="  - ")
        return page
    _warning(page, doc)
    _circumstances(page, doc)
    page.title("The chain, root first")
    _chain(page, doc)
    _authority(page, doc, "now" if at is None else f"at {when(format_instant(at))}")
    phrases.complaints(page, doc)
    return phrases.as_of(page, doc)


def chain(doc: Document, *, at: Instant | None = None) -> Page:
    """Render who stood behind a token or a delegation; ``at`` as for ``who``."""
    hops = doc["chain"]
    words: list[Words] = [f"{doc['kind']} ", thing(doc["kind"], doc["id"], "bold"), " is ", *phrases.verdict(doc)]
    if at is not None:
        words += [" at ", moment(format_instant(at))]
    if hops:
        words += ["; it is held by ", party(hops[-1], "bold"), *_behalf(doc, hops)]
    else:
        words.append("; nothing says who stood behind it")
    page = Page().line(*words, ".")
    phrases.because(page, doc)
    _warning(page, doc)
    if hops:
        page.title("The chain, root first")
        _chain(page, doc)
        page.line()
        _path(page, doc)
    phrases.complaints(page, doc)
    return phrases.as_of(page, doc)


def status(doc: Document) -> Page:
    """Render the state of something, and the order that causes it."""
    known: list[Words] = [] if doc["known_at"] is None else [", as known at ", moment(doc["known_at"])]
    page = Page().line(f"{doc['kind']} ", thing(doc["kind"], doc["id"], "bold"), " is ", *phrases.verdict(doc),
                       ", at ", moment(doc["at"]), *known, ".")  # fmt: skip
    phrases.because(page, doc)
    _warning(page, doc)
    phrases.gaps(page, doc)
    phrases.findings(page, doc)
    return phrases.as_of(page, doc)


def _answer(doc: Document, now: Sequence[Words]) -> list[Words]:
    """Phrase the answer: what, by whom, with which authority, for whom; and whether it was and is authorised."""
    hops, authority = doc["chain"], doc["authority"]
    by: Words = party(hops[-1], "bold") if hops else "an unknown party"
    under: list[Words] = ["with no known token or delegation"]
    if authority["element"] is not None:
        kind, id_ = split_key(authority["element"])
        under = [f"{'with' if kind == 'token' else 'under'} {kind} ", thing(kind, id_)]
    made_for: list[Words] = []
    if _stands_outside(hops):
        if len(hops) > 1 and element(hops[-2]):
            made_for = [", which was issued to ", party(hops[-2]), ","]
    elif any(_by_another_actor(found, doc["action"]) for found in doc["findings"]):
        # An actor who is in the chain but not at its end is named by the finding (wielder-mismatch).
        by = "another party of its chain, named below,"
        made_for = [", which was issued to ", party(hops[-1]), ","]
    words: list[Words] = [(str(doc["operation"]), "bold"), f" {_OUTCOMES[doc['outcome']]}", by]
    words += [" ", *under, *made_for, *_behalf(doc, hops), "; authority at the time: "]
    then, later = authority["then_as_known_then"], authority["then_as_known_now"]
    words += phrases.verdict(then)
    if later != then:
        words += [", in hindsight ", *phrases.verdict(later)]
    return [*words, "; ", *now, ": ", *phrases.verdict(authority["now"]), "."]


def _by_another_actor(found: Document, action: str) -> bool:
    return (found["kind"], found["of"], found["about"]) == ("wielder-mismatch", f"action:{action}", "actor")


def _behalf(doc: Document, hops: Sequence[Document]) -> list[Words]:
    """Phrase for whom it was done, and through whom."""
    if not hops:
        return [" for an unknown party"]
    words: list[Words] = [" for ", party(hops[0], "bold")] if len(hops) > 1 else [" with no delegation"]
    if doc["human"] is None:
        owner = doc["accountable"]
        accountable: list[Words] = ["its owner ", thing("principal", owner)] if owner else ["unknown"]
        words += [" (no human; accountable: ", *accountable, ")"]
    if hops[0]["evidence"] == "asserted":
        words.append(" (unverified)")
    through = hops[1:-1] if _stands_outside(hops) else hops[1:]
    if through:
        before, after = _PASSED[hops[1]["evidence"]]
        words += [before, "it" if hops[1] is hops[-1] else party(hops[1]), after]  # the actor is named already
        for hop in through[1:NAMED]:
            words += [", then ", party(hop)]
        if len(through) > NAMED:
            words.append(f", and {len(through) - NAMED:,} more")
    return words


def _warning(page: Page, doc: Document) -> None:
    """Warn readers who stop here: the worst finding with its remedy, gaps, and the number of findings."""
    phrases.alarm(page, doc)
    gaps, words = len(doc["gaps"]), list[Words]()
    if gaps:
        words += [("INCOMPLETE", "bold yellow"), f": {many(gaps, 'piece')} of evidence missing, see below. "]
        words += [f"{deleted} "] if (deleted := phrases.deleted_evidence(doc)) else []
    if doc["findings"]:
        words += [
            (many(len(doc["findings"]), "finding"), "bold yellow"),
            f" {phrases.by_severity(doc['findings'])}, below.",
        ]
    if words:
        page.line(*words)
    phrases.examined(page, doc)


def _stands_outside(hops: Sequence[Document]) -> bool:
    """Whether the last party is named only by the action, and not by any grant."""
    return bool(hops) and hops[-1]["evidence"] == "asserted" and element(hops[-1]) is None


def element(hop: Document) -> str | None:
    """Return the token or delegation that names the party."""
    for kind in ("delegation", "token"):
        if hop[kind] is not None:
            return f"{kind} {hop[kind]}"
    return None


def _circumstances(page: Page, doc: Document) -> None:
    resource, decision = doc["resource"], doc["decision"]
    page.line()
    page.field("action", f"{doc['action']}, {doc['outcome']}, {when(doc['occurred_at'])}")
    if doc["tool"]:
        page.field("tool", doc["tool"])
    if resource:
        page.field("on", joined(filter(None, (resource["type"], resource["id"])), " "))
    if decision is None:
        page.field("decision", "none known")
        return
    permitted = ("PERMITTED", "bold") if decision["permitted"] else ("DENIED", "bold red")
    policy = decision.get("policy", {})
    by = f" by policy {policy['id']}" if policy else ""
    version = f" version {policy['version']}" if "version" in policy else ""
    page.field("decision", permitted, f"{by}{version}, {when(decision['occurred_at'])}")
    page.field("", f"{decision['decision']}, source: {decision['source']}")
    if "approved_by" in decision:
        page.field("", f"approved by {decision['approved_by']}")
    if "reasons" in decision:
        page.field("", f"because: {joined(decision['reasons'], '; ')}")
    if "context" in decision:
        page.field("", "knowing: ", joined(f"{key}={value}" for key, value in decision["context"].items()))


def _chain(page: Page, doc: Document, *, brief: bool = False) -> None:
    """Show the parties one below the other, each with its evidence, scopes, lifetime and state."""
    hops = doc["chain"]
    if not hops:
        page.line("no party is known", lead="  ")
    hidden = range(ENDS, len(hops) - ENDS)
    above: list[str] = []  # the scopes of the hop above
    for number, hop in enumerate(hops):
        if number == hidden.start and hidden:
            page.line((f"... {len(hidden):,} hops not shown here: --json has all {len(hops):,}", "bold"), lead="  ")
        if number not in hidden:
            depth = min(number, DEEPEST)
            lead = "  " + "   " * (depth - 1) + "└─ " if depth else "  "
            same = number > 0 and element(hop) is not None and element(hop) == element(hops[number - 1])
            line = word(hop, same=same)
            if brief:
                page.line(*_called(hop), f"  {line}", lead=lead)
            else:
                page.line(*_called(hop), f"  {hop['kind']}", lead=lead)
                _hop(page, hop, line, above, same=same, lead="  " + "   " * depth + "  ")
        above = hop["scopes"] or above


def _called(hop: Document) -> list[Words]:
    """Show the id people know a party by, followed by its name and the id as stated by its source."""
    stated = None if hop["known_as"] == hop["principal"] else hop["principal"]
    others = joined(filter(None, (hop["display_name"], stated)), ", ")
    return [party(hop, "bold"), f" ({others})" if others else ""]


def word(hop: Document, *, same: bool) -> str:
    """Describe the evidence for a party in the chain."""
    granted = element(hop)
    if hop["evidence"] == "asserted":
        return f"unverified (claimed {f'as a prior actor of {granted}' if granted else 'by the action only'})"
    return f"{'by the same' if same else 'by'} {granted}"


def _hop(page: Page, hop: Document, line: str, above: Sequence[str], *, same: bool, lead: str) -> None:
    if same:
        page.line(line, lead=lead)
        return
    if hop["state"] is None:
        page.line(f"{line}, source: {hop['source']}", lead=lead)
        return
    until = f"until {when(hop['expires_at'])}" if hop["expires_at"] else "no expiry"
    page.line(f"{line}: ", phrases.state(hop["state"]), f", source: {hop['source']}", lead=lead)
    page.line(f"from {when(hop['issued_at'])}, {until}", lead=lead)
    effective = phrases.effective_scopes(hop)
    if not hop["scopes"]:
        page.line(joined(filter(None, ("states no scopes", effective)), "; "), lead=lead)
        return
    unchanged, lost, gained = phrases.scopes(hop, above)
    parts = [f"scopes {joined(unchanged, ' ') or 'none kept'}"]
    if lost:
        parts.append(f"lost {joined(lost, ' ')}")
    if gained:
        parts.append(f"EXCEEDS PARENT {joined(gained, ' ')}")
    if effective:
        parts.append(effective)
    page.line(joined(parts, "; "), lead=lead)


def _authority(page: Page, doc: Document, now: str) -> None:
    authority = doc["authority"]
    page.title(f"Was it authorised? {authority['element'] or 'unknown'}")
    for label, key in (
        ("at the time", "then_as_known_then"),
        ("in hindsight", "then_as_known_now"),
        (now, "now"),
    ):
        page.field(label, *phrases.verdict(authority[key]), width=max(_LABEL, len(label) + 2))
        phrases.because(page, authority[key], lead=" " * (2 + _LABEL))
    _path(page, doc)


def _path(page: Page, doc: Document) -> None:
    for label in ("tokens", "delegations"):
        if doc[label]:
            page.field(f"{label} from root", phrases.route(doc[label]), width=_LABEL)


__all__ = [
    "chain",
    "checked",
    "conflicts",
    "consumed",
    "counts",
    "diff",
    "doctor",
    "element",
    "emitted",
    "findings",
    "lifted",
    "ordered",
    "plan",
    "quarantine",
    "retried",
    "search",
    "status",
    "timeline",
    "uses",
    "who",
    "word",
]
