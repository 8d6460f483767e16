"""The columns of each list as CSV: every field of its items, in an order for people."""

from typing import Final

from lineage.serve.documents.core_documents import Document
from lineage.serve.documents.csv_table import csv_text
from lineage.serve.documents.finding_formats import as_csv as findings_as_csv

_RESOURCE: Final = ("resource.type", "resource.id", "resource.environment")
_HELD_ITEM: Final = (
    *("issuer", "holder", "holder_known_as", "holder_name", "owner", "human", "human_known_as", "human_name"),
    *("depth", "scopes", "audience", "issued_at", "expires_at"),
)
_GRANT: Final = (*("kind", "id", "given_by", "on_behalf_of", "scopes", "audience", "task", "issued_at", "expires_at"),)
_ORDER: Final = (
    *("revocation", "target.kind", "target.id", "mode", "cascade", "issued_before", "reason", "note"),
    *("ordered_by", "approved_by", "ordered_at", "effective_at", "in_force_at", "lifted_at"),
)

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "actions": (
        *("occurred_at", "action", "operation", "tool", *_RESOURCE, "outcome"),
        *("human", "human_known_as", "human_name", "agents", "actor", "actor_name"),
        *("token", "delegation", "decision", "state", "root", "authority"),
    ),
    "principals": (
        *("id", "kind", "display_name", "owner", "aliases", "registered", "state"),
        *("alive_tokens", "last_acted_at", "acted", "by_severity"),
    ),
    "tokens": (
        *("token", "kind", *_HELD_ITEM, "subject", "client", "session", "delegation", "state", "revocation"),
        *("last_used_at", "used"),
    ),
    "delegations": ("delegation", *_HELD_ITEM, "purpose", "parents", "state", "revocation"),
    "search": ("kind", "id", "display_name", "exact"),
    "timeline": ("occurred_at", "recorded_at", "type", "of", "event.source", "event.event_id", "event"),
    "uses": (
        *("occurred_at", "action", "operation", "tool", *_RESOURCE, "outcome"),
        *("actor", "wielder", "workload", "key_thumbprint", "session", "authority", "source"),
    ),
    "diff": ("kind", "id", "from.state", "from.because", "to.state", "to.because"),
    "quarantine": (
        *("id", "reason", "detail", "origin", "position", "recorded_at", "sha256", "size"),
        *("value", "encoding", "beyond_quota", "released_at"),
    ),
    "conflicts": ("source", "event_id", "contents"),
    "revocations": (*_ORDER, "elements", "verdict", "closed_at", "open"),
    "receipt": (
        *("kind", "id", "state", "revocation", "effective_at", "path", "path_length", "principals"),
        *("expires_at", "born_dead", "recorded_at"),
    ),
    "receivers": ("receiver", "issuers", "audiences", "kinds", "deadline_seconds", "registered_at", "contact"),
    "cases": (
        *("case", "title", "status", "assignee", "opened_at", "opened_by", "changed_at", "changed_by"),
        *("contains", "notes", "version", "is_whole"),
    ),
    "sources": (
        *("name", "format", "issuer", "configured", "inputs", "records", "events", "skipped", "quarantined"),
        *("came_at", "latest", "unmapped", "unmapped_total", "ambiguous", "joined"),
    ),
    "api_tokens": ("id", "name", "roles", "sources", "state", "created_at", "expires_at", "revoked_at"),
    "active": ("known_as", "display_name", "owner", "first", "last", "actions", "tokens", "delegations"),
    "allowed": (*_GRANT, "effective_scopes", "ends_at", "tools"),
    "held": (*_GRANT, "ended_at", "ended_by"),
    "done": ("occurred_at", "action", "operation", "tool", "outcome", "actor", "authority", "human", "chain"),
}


def as_csv(name: str, document: Document) -> str:
    """Write the items of a list, given by its name."""
    if name == "findings":
        return findings_as_csv(document["items"])
    return csv_text(COLUMNS[name], document["items"])
