"""Text pages for the tokens of the HTTP API."""

from lineage.serve.documents.core_documents import Document
from lineage.serve.text.phrases import when
from lineage.serve.text.text_page import Page, joined, many


def created(doc: Document) -> Page:
    """Render a new token: the only time that it is shown."""
    page = Page().line((doc["token"], "bold"))
    page.line("This is the token. It is not stored, and will not be shown again.")
    page.line(f"It is {doc['name']}'s, with {_rights(doc)}, until {when(doc['expires_at'])}.")
    return page.line(f"To revoke it: delegraph token revoke {doc['id']}")


def listed(doc: Document) -> Page:
    """Render all tokens."""
    if not doc["items"]:
        return Page().line("There are no tokens. To create one: delegraph token create --role investigator --name ci")
    page = Page().line((many(doc["total"], "token"), "bold"), ":")
    for one in doc["items"]:
        page.line((one["id"], "bold"), f", {one['name']}'s: {one['state']}, with {_rights(one)}", lead="  - ")
        ended = f", revoked {when(one['revoked_at'])}" if one["revoked_at"] else ""
        page.line(f"created {when(one['created_at'])}, until {when(one['expires_at'])}{ended}", lead="    ")
    return page


def revoked(doc: Document) -> Page:
    """Render a revoked token."""
    return Page().line(f"The token {doc['id']} of {doc['name']} is {doc['state']} since {when(doc['revoked_at'])}.")


def _rights(doc: Document) -> str:
    words = f"the {'role' if len(doc['roles']) == 1 else 'roles'} {joined(doc['roles'], ', ')}"
    return f"{words} for {joined(doc['sources'], ', ')}" if doc["sources"] else words
