"""Text pages about enforcement points."""

from lineage.serve.documents.core_documents import Document
from lineage.serve.text.phrases import when
from lineage.serve.text.text_page import Page, joined, many


def registered(doc: Document) -> Page:
    """Render a registration."""
    page = Page().line((doc["receiver"], "bold"), f" is registered. It covers {coverage(doc)}.")
    return page.line("It has to confirm every revocation of what it covers that is not over.")


def listed(doc: Document) -> Page:
    """Render all enforcement points."""
    if not doc["items"]:
        return Page().line("No enforcement point is registered. To register one: delegraph receiver register URI")
    page = Page().line((many(doc["total"], "enforcement point"), "bold"), ":")
    for one in doc["items"]:
        contact = f". Contact: {one['contact']}" if one["contact"] else ""
        page.line((one["receiver"], "bold"), f" covers {coverage(one)}{contact}", lead="  - ")
    return page


def coverage(doc: Document) -> str:
    """Describe what a receiver covers."""
    kinds = joined((f"{kind}s" for kind in doc["kinds"]), " and ") or "everything"
    issued = f" issued by {joined(doc['issuers'], ', ')}" if doc["issuers"] else ""
    audiences = f" meant for {joined(doc['audiences'], ', ')}" if doc["audiences"] else ""
    within = f", and confirms within {doc['deadline_seconds']:,} s" if doc["deadline_seconds"] else ""
    return f"{kinds}{issued}{audiences}{within}"


def marked(doc: Document) -> Page:
    """Render a mark by hand for an enforcement point."""
    page = Page().line(
        (doc["receiver"], "bold"),
        f" counts as having enforced {many(doc['elements'], 'element')} of {doc['revocation']} since "
        f"{when(doc['said_at'])}, marked by hand by {doc['by']}: {doc['reason']}.",
    )
    return page.line(f"The verdict is {doc['verdict']}.")


def sent_again(doc: Document) -> Page:
    """Render that something is delivered again."""
    where = f" at {doc['receiver']}" if doc["receiver"] else ""
    return Page().line(
        f"{many(doc['elements'], 'open element')} of {doc['revocation']}{where} will be delivered again to every "
        "enforcement point that is fed. Points that ask, or that people confirm, are not concerned."
    )
