"""Other formats of a document, by the parameter ``format``: a list as CSV, a chain or a graph as a picture."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from lineage.serve.documents import list_columns
from lineage.serve.drawing.formats import MEDIA_TYPES, render
from lineage.serve.http.core.query import Parameter
from lineage.serve.http.core.question import Question, Writer

CSV: Final = "text/csv"
PICTURES: Final[Mapping[str, Writer]] = {
    name: (media_type, partial(render, name)) for name, media_type in MEDIA_TYPES.items()
}


def format_of(*formats: str) -> Parameter:
    """Build the parameter that chooses between JSON and some other formats."""
    schema = {"type": "string", "enum": ["json", *formats]}
    return Parameter("format", schema, "The format. By default `json`.")


def as_table(question: Question, name: str) -> Question:
    """Offer the list of a question as CSV, with the columns of ``list_columns``."""
    formats = {"csv": (CSV, partial(list_columns.as_csv, name))}
    return replace(question, parameters=(*question.parameters, format_of("csv")), formats=formats)


def as_pictures(question: Question) -> Question:
    """Offer the chain of a question as a picture, which shows exactly one."""
    parameters = (*question.parameters, format_of(*PICTURES))
    return replace(question, parameters=parameters, formats=PICTURES, shows_one=True)
