"""Other formats of a document, by the parameter ``format``: a list as CSV, a chain or a graph as a picture."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from lineage.deliver.http.callers import Caller
from lineage.serve.documents import list_columns
from lineage.serve.documents.core_documents import Document
from lineage.serve.drawing.formats import MEDIA_TYPES, written
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.query import Parameter, ParameterError, Query
from lineage.serve.http.core.question import Ask, Question, Writer

CSV: Final = "text/csv"
PICTURES: Final[Mapping[str, Writer]] = {
    name: (media_type, partial(written, name)) for name, media_type in MEDIA_TYPES.items()
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
    [single] = question.about
    return replace(
        question,
        ask=_of_one(question.ask, single),
        parameters=(*question.parameters, format_of(*PICTURES)),
        formats=PICTURES,
    )


def _of_one(ask: Ask, single: str) -> Ask:
    def asked(site: AppContext, caller: Caller, query: Query) -> Document:
        if (query.text("format") or "json") != "json" and len(query.all(single)) > 1:
            raise ParameterError(single, "a picture shows one; ask for several as JSON")
        return ask(site, caller, query)

    return asked
