"""The picture formats of documents, by name."""

from typing import Final

from lineage.serve.documents.core_documents import Document
from lineage.serve.drawing.chain_picture import picture_of_chain
from lineage.serve.drawing.elements_picture import picture_of_elements
from lineage.serve.drawing.picture import Picture
from lineage.serve.drawing.principals_picture import picture_of_principals
from lineage.serve.drawing.svg import as_svg
from lineage.serve.drawing.text_formats import as_dot, as_graphml, as_mermaid

MEDIA_TYPES: Final = {
    "dot": "text/vnd.graphviz",
    "mermaid": "text/plain",
    "graphml": "application/graphml+xml",
    "svg": "image/svg+xml",
}
FORMATS: Final = ("json", *MEDIA_TYPES)
_WRITERS: Final = {"dot": as_dot, "mermaid": as_mermaid, "graphml": as_graphml, "svg": as_svg}


def render(form: str, document: Document) -> str:
    """Write a document of a graph or a chain in one of the formats of ``MEDIA_TYPES``."""
    return _WRITERS[form](picture_of(document))


def picture_of(document: Document) -> Picture:
    """Draw a document."""
    if document.get("view") == "principals":
        return picture_of_principals(document)
    return picture_of_chain(document) if "chain" in document else picture_of_elements(document)
