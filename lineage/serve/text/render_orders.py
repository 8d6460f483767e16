"""Text pages for orders: what one would end, what it ended, and what that means."""

import hashlib
from collections.abc import Sequence
from typing import Final

from lineage.core.model.events import canonical_json
from lineage.core.model.times import Instant, format_instant, parse_instant
from lineage.serve.documents.core_documents import Document
from lineage.serve.text import phrases
from lineage.serve.text.phrases import keyed, moment, thing, when
from lineage.serve.text.render_plan import details, warnings
from lineage.serve.text.text_page import Page, Piece, Words, joined, many

_ELEMENTS: Final = ("token", "delegation")


def plan(
    doc: Document,
    *,
    mode: str = "revoke",
    issued_before: Instant | None = None,
    cascade: bool = True,
    words: Sequence[str] = (),
    brief: bool = False,
) -> Page:
    """Render what an order would end, what that means, and how to give it.

    Args:
        doc: The document of ``reach``.
        mode: The mode that ``reach`` was asked for; the document does not contain it, but its digest covers it.
        issued_before: Like ``mode``.
        cascade: Like ``mode``.
        words: Options that the command must repeat, such as ``--store URL``.
        brief: Only what it would end and what that means.

    Raises:
        ValueError: The digest is not that of such an order: a suspension must not be shown as a revocation.
    """
    doc = _proposed(doc, mode, issued_before, cascade)
    target, kills = f"{doc['target']['kind']}:{doc['target']['id']}", doc["kills"]
    suspends = doc["mode"] == "suspend"
    page = Page().line(
        ("Suspending " if suspends else "Revoking ", "bold"), keyed(target, "bold"),
        f" would {'suspend' if suspends else 'end'} {_alive(kills)}", *_parties(doc), ".",
    )  # fmt: skip
    page.line(*_standing(doc))
    if brief:
        _names(page, kills)
        return page
    phrases.alarm(page, doc)
    phrases.examined(page, doc)
    _killed(page, doc, "Would suspend" if suspends else "Would end")
    _nearby(page, doc)
    page.line()
    if kills["tokens"] or kills["delegations"]:
        page.line(f"Expires by itself: {when(doc['last_expiry'])}.")
    details(page, doc)
    _trust(page, doc)
    warnings(page, doc)
    page.title("To execute exactly this plan")
    page.command(_command(doc, target, words))
    return phrases.as_of(page, doc)


def ordered(
    doc: Document,
    *,
    issued_before: Instant | None = None,
    cascade: bool = True,
    brief: bool = False,
    now: Instant | None = None,
) -> Page:
    """Render an order that was given, and what it ends.

    An order that is repeated after it was lifted is not in force, and that is said first.

    Args:
        doc: The document of the order.
        issued_before: As for ``plan``.
        cascade: As for ``plan``.
        brief: The answer alone.
        now: Decides whether the order is in force yet; None: it is.

    Raises:
        ValueError: As for ``plan``.
    """
    doc = _proposed(doc, doc["mode"], issued_before, cascade)
    target = f"{doc['target']['kind']}:{doc['target']['id']}"
    if "lifted_at" in doc:
        return _no_longer_in_force(doc, target, brief=brief)
    scheduled = now is not None and now < parse_instant(doc["effective_at"])
    suspends = doc["mode"] == "suspend"
    given = "SCHEDULED" if scheduled else "SUSPENDED" if suspends else "REVOKED"
    again = "ALREADY SCHEDULED, not repeated" if scheduled else "ALREADY IN FORCE, not repeated"
    done = ("suspend" if suspends else "end") if scheduled else ("suspends" if suspends else "ends")
    page = Page().line(
        (again if doc["repeated"] else given, "bold"), ": ", *_given(doc, target),
        "is not in force before " if scheduled else "is in force from ", moment(doc["effective_at"]),
        f"; then it will {done} " if scheduled else f" and {done} ", f"{_alive(doc['kills'])}.",
    )  # fmt: skip
    if brief:
        return page
    page.line(*_standing(doc))
    _killed(page, doc, f"Will {done}" if scheduled else done.capitalize())
    _nearby(page, doc)
    page.line()
    _trust(page, doc)
    warnings(page, doc)
    page.title("Next: its state, what it ended, and whether it is enforced")
    page.command(["delegraph", "status", target])
    page.command(["delegraph", "receipt", doc["revocation"]])
    page.command(["delegraph", "closure", doc["revocation"]])
    if scheduled or suspends or doc["target"]["kind"] not in _ELEMENTS:
        page.title("To cancel it, before it is in force" if scheduled else "To reinstate it")
        page.command(["delegraph", "lift", doc["revocation"], "--by", doc["ordered_by"]])
    return phrases.as_of(page, doc)


def _given(doc: Document, target: str) -> list[Words]:
    return [
        thing("revocation", doc["revocation"], "bold"), f" ({doc['mode']} ", keyed(target), f", {doc['reason']}, by ",
        thing("principal", doc["ordered_by"]), ") ",
    ]  # fmt: skip


def _no_longer_in_force(doc: Document, target: str, *, brief: bool) -> Page:
    """Render a repeated order that was lifted meanwhile."""
    cancelled = parse_instant(doc["lifted_at"]) <= parse_instant(doc["effective_at"])
    page = Page().line(
        ("NOT IN FORCE, not repeated", "bold"), ": ", *_given(doc, target),
        "never takes effect: cancelled at " if cancelled else "was reinstated at ", moment(doc["lifted_at"]),
        " by ", thing("principal", doc["lifted_by"]), ".",
    )  # fmt: skip
    verb = "suspend" if doc["mode"] == "suspend" else "revoke"
    page.line(f"To {verb} it{'' if cancelled else ' again'}, repeat the command with another --id.")
    if brief:
        return page
    if verb == "revoke" and not cancelled:
        page.title(f"What it ended stays revoked: {_alive(doc['kills'])}")
        _names(page, doc["kills"])
    page.line()
    _trust(page, doc)
    warnings(page, doc)
    page.title("Next: its state, and what the revocation ended")
    page.command(["delegraph", "status", target])
    page.command(["delegraph", "receipt", doc["revocation"]])
    return phrases.as_of(page, doc)


def lifted(doc: Document, *, brief: bool = False) -> Page:
    """Render a lift and what it changes; ``brief`` omits the lists and the progress of the projection."""
    changes = len(doc["without_effect"]) < doc["orders"]
    word = "ALREADY REINSTATED, not repeated" if doc["repeated"] else "REINSTATED" if changes else "NOT REINSTATED"
    page = Page().line(
        (word, "bold"), ": ", thing("revocation", doc["revocation"], "bold"),
        f" ({many(doc['orders'], 'revocation')}) at ", moment(doc["lifted_at"]),
        " by ", thing("principal", doc["lifted_by"]), ".",
    )  # fmt: skip
    if changes:
        page.line(f"{_reinstated(doc)}; what was revoked stays revoked, but new authority may be issued.")
    for title, ids in () if brief else returning(doc):
        page.title(title)
        _names(page, ids)
    if any(doc["stays_dead"].values()):
        dead = {name: range(count) for name, count in doc["stays_dead"].items()}
        page.line().line(f"Stays revoked: {_alive(dead)}.")
    if brief:
        return page
    if doc["without_effect"]:
        page.title("No effect: revoked permanently, or the trust file does not let this source reinstate it")
        phrases.plain(page, doc["without_effect"])
    return phrases.as_of(page, doc)


def _reinstated(doc: Document) -> str:
    back, stays = any(doc["comes_back"].values()), any(doc["stays_suspended"].values())
    if back:
        return "What no other revocation suspends is active again" if stays else "What was suspended is active again"
    because = ": other revocations still suspend them" if stays else ""
    return f"No token and no delegation is active again{because}"


def returning(doc: Document) -> list[tuple[str, Document]]:
    """List what a lift reinstates, and what other orders keep suspended, each with its title."""
    found = (("comes_back", "Active again"), ("stays_suspended", "Still suspended by other revocations"))
    return [(f"{title}: {_alive(doc[key])}", doc[key]) for key, title in found if any(doc[key].values())]


def _proposed(doc: Document, mode: str, issued_before: Instant | None, cascade: bool) -> Document:
    """Reconstruct a document with everything that its digest covers."""
    before = None if issued_before is None else format_instant(issued_before)
    how = {"mode": mode, "issued_before": before, "cascade": cascade}
    covered = {"target": doc["target"], "kills": doc["kills"], **how}
    if hashlib.sha256(canonical_json(covered)).hexdigest() != doc["plan_digest"]:
        raise ValueError(f"the plan {doc['plan_digest']} is not one of an order with {how}")
    return {**doc, **how}


def _alive(kills: Document) -> str:
    tokens, delegations = len(kills["tokens"]), len(kills["delegations"])
    if not tokens and not delegations:
        return "nothing that is alive"
    counted = [many(tokens, "token")] if tokens else []
    counted += [many(delegations, "delegation")] if delegations else []
    return joined(counted, " and ")


def _parties(doc: Document) -> list[Words]:
    """Describe how many parties are affected, and how many actions were taken under it."""
    found = [many(len(doc[f"{noun}s"]), noun) for noun in ("human", "agent") if doc[f"{noun}s"]]
    of = f", of {joined(found, ' and ')}" if found else ""
    count, own = doc["actions"]["count"], doc["own_actions"]["count"]
    if count:
        of += f"; {many(count, 'action')} {'was' if count == 1 else 'were'} taken under it"
    return [f"{of}; ", *_own(doc)] if own else [of]


def _own(doc: Document) -> list[Words]:
    """Describe the target's own actions that depend on nothing the order would end."""
    count = doc["own_actions"]["count"]
    return [_target(doc), f" took {many(count, 'action')} that {'rests' if count == 1 else 'rest'} on none of it"]


def _target(doc: Document) -> Piece:
    return thing(doc["target"]["kind"], doc["target"]["id"])


def _standing(doc: Document) -> list[Words]:
    """Describe what the order means."""
    kind, before = doc["target"]["kind"], doc["issued_before"]
    on_element = kind in _ELEMENTS
    alone = "" if doc["cascade"] else " No cascade: what depends on it stays active."
    if doc["mode"] == "suspend":
        spared: list[Words] = []
        if before and not on_element:
            spared = ["; what is issued at or after ", moment(before), " is spared"]
        return [("Until reinstated", "bold"), ": then all of it is active again", *spared, f".{alone}"]
    if on_element:
        below = ", and what is derived from it later is never valid" if doc["cascade"] else ""
        return [("Permanent", "bold"), f": a {kind} that is revoked is never active again{below}.{alone}"]
    if before:
        return [
            ("Permanent", "bold"), " for what was issued before ", moment(before),
            "; new authority for ", _target(doc), f" is not touched.{alone}",
        ]  # fmt: skip
    return [
        ("Until reinstated", "bold"), ": new authority for ", _target(doc),
        f" is never valid. What it ends stays revoked, reinstated or not.{alone}",
    ]  # fmt: skip


def _killed(page: Page, doc: Document, title: str) -> None:
    kills, dead = doc["kills"], doc["already_dead"]
    if doc["humans"] or doc["agents"]:
        page.title("Whose authority")
        for name in ("human", "agent"):
            phrases.fields(page, name, doc[f"{name}s"])
    if kills["tokens"] or kills["delegations"]:
        page.title(f"{title} {_alive(kills)}")
        _names(page, kills)
    if dead["tokens"] or dead["delegations"]:
        counted = _alive({name: range(count) for name, count in dead.items()})
        page.line().line(f"Not counted: {counted} at or below it, ended already.")


def _names(page: Page, kills: Document) -> None:
    for name in ("delegation", "token"):
        phrases.fields(page, name, kills[f"{name}s"])


def _nearby(page: Page, doc: Document) -> None:
    """Describe the actions under it, and what is close to it and stays alive."""
    actions = doc["actions"]
    if actions["count"]:
        shown = f", the latest {len(actions['recent'])}" if len(actions["recent"]) < actions["count"] else ""
        page.title(f"Actions taken ({actions['count']:,}){shown}, latest first")
        for action in actions["recent"]:
            by = f" by {action['actor']}" if action["actor"] else ""
            page.line(
                f"{when(action['occurred_at'])} ", (str(action["operation"]), "bold"),
                f" {action['outcome']}, {action['action']}{by}", lead="  ", hang="    ",
            )  # fmt: skip
    else:
        page.line().line("No known action was taken under what it would end.")
    if doc["own_actions"]["count"]:
        page.line(
            *_own(doc),
            ": with a key of unknown origin, another party's token, authority that has ended, or its name alone.",
        )
    if doc["survivors"]:
        page.title(f"Not affected ({len(doc['survivors'])})")
        phrases.explained(page, doc["survivors"])
    elif doc["target"]["kind"] in _ELEMENTS:
        page.line("What does not depend on it stays active.")
    else:
        page.line("Nothing that is bound to it, owned by it or recorded under it would stay active.")


def _trust(page: Page, doc: Document) -> None:
    if doc["trust"] is None:
        page.line(
            ("No trust file is in force", "bold yellow"),
            ": every source may state anything, and all of it counts. Name one: --trust, DELEGRAPH_TRUST.",
        )
    else:
        page.line(f"Trust file in force: {doc['trust']}")


def _command(doc: Document, target: str, words: Sequence[str]) -> list[str]:
    command = ["delegraph", "revoke", target, *words]
    for option, key, blank in (("--reason", "reason", "REASON"), ("--by", "ordered_by", "human:YOU")):
        if option not in words:
            command += [option, doc.get(key, blank)]
    if doc["mode"] != "revoke":
        command += ["--mode", doc["mode"]]
    if doc["issued_before"]:
        command += ["--issued-before", when(doc["issued_before"])]
    if not doc["cascade"]:
        command.append("--no-cascade")
    return [*command, "--execute", "--plan-digest", doc["plan_digest"]]
