"""Write lists in other forms: CSV, JSON lines for Timesketch, and targets for ``delegraph revoke --targets``."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from lineage.serve.documents.action_formats import actions_as_timesketch, events_as_timesketch
from lineage.serve.documents.core_documents import Document
from lineage.serve.documents.list_columns import as_csv

TARGETS: Final = "targets"
TIMESKETCH: Final[dict[str, Callable[[Iterable[Document]], str]]] = {
    "actions": actions_as_timesketch,
    "timeline": events_as_timesketch,
}
# By the name of the list: the fields of an item that name what can be revoked, each with its kind; the first counts.
_TARGET_FIELDS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "actions": (("token", "token"), ("delegation", "delegation")),
    "tokens": (("token", "token"),),
    "delegations": (("delegation", "delegation"),),
    "principals": (("principal", "id"),),
}


def exported(form: str, name: str, document: Document) -> str:
    """Write the items of a list, by its name in ``list_columns``, as ``csv``, for ``timesketch`` or as ``targets``."""
    if form == "csv":
        return as_csv(name, document)
    return as_targets(name, document["items"]) if form == TARGETS else TIMESKETCH[name](document["items"])


def as_targets(name: str, items: Iterable[Document]) -> str:
    """Write what can be revoked in a list, one ``KIND:ID`` a line, each once.

    An action stands for the token or the delegation that it names; what names neither is a comment line.
    """
    lines: dict[str, None] = {}
    for item in items:
        found = [f"{kind}:{item[field]}" for kind, field in _TARGET_FIELDS[name] if item.get(field)]
        lines[found[0] if found else f"# action {item['action']} names neither a token nor a delegation"] = None
    return "".join(f"{line}\n" for line in lines)
