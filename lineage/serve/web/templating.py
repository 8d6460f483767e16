"""The templates, and what they are given to write with: whatever an event says is shown as text, and nothing else."""

import hashlib
import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from lineage.serve.text.phrases import label, when
from lineage.serve.text.text_page import many, safe
from lineage.serve.web import glossary

# Where a long id may go on in the next line: behind what parts it, so that a name in it stays whole.
_JOINT: Final = re.compile(r"(?<=[#@|])(?=.)|(?<=[^/:]/)(?=[^/])|(?<=:)(?=[^/:])")
HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"


def environment() -> Environment:
    """The templates: everything escaped, nothing unseen, and a name that is not given is an error."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"when": when, "label": label, "exact": exact, "breakable": breakable, "number": "{:,}".format}
    made.globals |= {"many": many, "asset": asset, "stylesheet": stylesheet}
    made.globals |= {"STATES": glossary.STATES, "VERDICTS": glossary.VERDICTS, "FINDINGS": glossary.FINDINGS}
    return made


def _shown(value: Any) -> Any:
    """A value as it is written: what cannot be seen, or turns its neighbours round, is spelled out."""
    if isinstance(value, Markup) or value is None:
        return "" if value is None else value
    return safe(value)


def exact(value: object) -> Markup:
    """A value to be sent back, byte for byte: only escaped."""
    return escape(str(value))


def breakable(value: object) -> Markup:
    """An id that breaks where people would break it."""
    return _broken(str(value))


@lru_cache(maxsize=4_096)  # one page names the same ids again and again
def _broken(id_: str) -> Markup:
    return Markup("<wbr>").join(_JOINT.split(safe(id_)))


@cache
def asset(name: str) -> str:
    """The address of one of our files, which changes with what is in it."""
    return f"/static/{name}?v={hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


@cache
def stylesheet() -> Markup:
    """Our style sheet, for a page that is to stand alone."""
    return Markup((STATIC / "delegraph.css").read_text("utf-8"))  # noqa: S704 (it is ours)
