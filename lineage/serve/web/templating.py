"""The templates and their filters: the content of events is only ever shown as text."""

import hashlib
import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from lineage.serve.text.phrases import deleted_evidence, label, to_second, when
from lineage.serve.text.text_page import many, safe
from lineage.serve.web import glossary, linked_text

# Where a long id may be broken: after its separators, so that names in it stay whole.
_JOINT: Final = re.compile(r"(?<=[#@|])(?=.)|(?<=[^/:]/)(?=[^/])|(?<=:)(?=[^/:])")
_DIGEST: Final = re.compile("[0-9a-fA-F]{40,}")  # at least a SHA-1
HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"


def environment() -> Environment:
    """Create the environment: everything escaped, invisible characters shown, undefined names are errors."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"when": when, "to_second": to_second, "label": label}
    made.filters |= {"exact": exact, "breakable": breakable, "number": "{:,}".format}
    made.filters |= {"shortened": shortened}
    made.globals |= {"many": many, "asset": asset, "stylesheet": stylesheet, "spans": linked_text.of_sentence}
    made.globals |= {"deleted_evidence": deleted_evidence}
    made.globals |= {"STATES": glossary.STATES, "VERDICTS": glossary.VERDICTS, "FINDINGS": glossary.FINDINGS}
    return made


def _shown(value: Any) -> Any:
    """Escape invisible characters and those that change how their neighbours are displayed."""
    if isinstance(value, Markup) or value is None:
        return "" if value is None else value
    return safe(value)


def exact(value: object) -> Markup:
    """Escape a value that is sent back byte for byte."""
    return escape(str(value))


def breakable(value: object) -> Markup:
    """Mark where an id may be broken."""
    return _broken(str(value))


@lru_cache(maxsize=4_096)  # a page names the same ids repeatedly
def _broken(id_: str) -> Markup:
    return Markup("<wbr>").join(_JOINT.split(safe(id_)))


def shortened(value: object) -> str:
    """Shorten the digests in the text of a link, whose page and title have all of them.

    Examples:
        >>> shortened("vault#hmac-sha256:560d379e81bbe5488cbf8f1ae533e06dcdb461629ff7987c62a1eb0d0398be0a")
        'vault#hmac-sha256:560d379e…98be0a'
    """
    return _DIGEST.sub(lambda found: f"{found[0][:8]}…{found[0][-6:]}", str(value))


def drawn(svg: str) -> Markup:
    """Mark one of our drawings as safe to include: ``drawing.svg`` escapes every text in it."""
    return Markup(svg)  # noqa: S704 (tests parse it, with ids that try to get out)


@cache
def asset(name: str) -> str:
    """Return the address of a static file, which changes with its content."""
    return f"/static/{name}?v={hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


@cache
def stylesheet() -> Markup:
    """Return the style sheet, for a self-contained page."""
    return Markup((STATIC / "delegraph.css").read_text("utf-8"))  # noqa: S704 (it is ours)
