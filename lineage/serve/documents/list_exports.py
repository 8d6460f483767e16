"""Write lists in the formats of other tools: CSV, and JSON lines for Timesketch."""

from collections.abc import Callable, Iterable
from typing import Final

from lineage.serve.documents.action_formats import actions_as_timesketch, events_as_timesketch
from lineage.serve.documents.core_documents import Document
from lineage.serve.documents.list_columns import as_csv

TIMESKETCH: Final[dict[str, Callable[[Iterable[Document]], str]]] = {
    "actions": actions_as_timesketch,
    "timeline": events_as_timesketch,
}


def exported(form: str, name: str, document: Document) -> str:
    """Write the items of a list, given by its name in ``list_columns``, as ``csv`` or for ``timesketch``."""
    return as_csv(name, document) if form == "csv" else TIMESKETCH[name](document["items"])
