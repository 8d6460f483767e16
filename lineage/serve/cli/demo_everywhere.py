"""``delegraph demo --everywhere``: one incident through five systems, from their own logs to one chain."""

import json
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Final

from rich.console import Console

from lineage.core.model.times import parse_instant
from lineage.serve.cli.demo import NOT_PROVED, PROVED, throw_away
from lineage.serve.commands.intake import read_files
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.history.timeline import timeline
from lineage.serve.queries.service import Service
from lineage.serve.text import render_chain
from lineage.serve.text.text_page import Page, joined, many

EFFECT: Final = "aws#5f2c1b63-a074-4e8f-91e2-6354708f9112"
ASKED: Final = parse_instant("2026-11-03T08:10:00Z")
_SETTINGS: Final = "delegraph.toml"


def folder() -> Path:
    """Return the folder with the logs and settings.

    In the wheel next to this package, in a checkout among the examples.
    """
    packaged = Path(str(files("lineage.serve").joinpath("everywhere")))
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "examples" / "everywhere"


def run(console: Console, *, as_json: bool = False) -> int:
    """Read the five logs, and print who stood behind the last effect.

    Returns:
        The exit code: 0, or 6 if the chain does not lead to a person.
    """
    with throw_away() as (service, clock, _):
        clock.now = ASKED
        results = tell(service)
    if as_json:
        console.out(json.dumps(results, ensure_ascii=False, separators=(",", ":")), highlight=False)
    else:
        console.print(_page(results), soft_wrap=True)
    return PROVED if results["who"] and results["who"]["human"] else NOT_PROVED


def tell(service: Service) -> Document:
    """Collect the outcome of each log, who stood behind the last effect, and the systems that name each token."""
    from lineage.serve.config.source_settings import sources_of  # the adapters are only imported to read logs

    files = folder()
    settings = files / _SETTINGS
    sources = sources_of(tomllib.loads(settings.read_text(encoding="utf-8"))["source"], file=settings)
    read = []
    for one in sources:
        path = files / str(one.inputs["follow"][0])
        intake = read_files(service, [str(path)], format="auto", sources=sources, source=one.name)
        read.append({"source": one.name, "format": one.format, "file": path.name, "records": intake.records,
                     "events": intake.read - intake.quarantined, "quarantined": intake.quarantined})  # fmt: skip
    service.catch_up()
    who = service.who(EFFECT, at=ASKED)
    tokens = [] if who is None else [_named_by(service, token) for token in who["tokens"]]
    return {"read": read, "who": who, "tokens": tokens}


def _named_by(service: Service, token: str) -> Document:
    """List the systems whose logs name a token, first those that say who it was issued to."""
    found = timeline(service, "token", token)
    items = [] if found is None else found["items"]
    own = [item["event"]["source"] for item in items if item["of"] == f"token:{token}"]
    named = [item["event"]["source"] for item in items]
    return {"token": token, "issued_by": list(dict.fromkeys(own)), "named_by": list(dict.fromkeys([*own, *named]))}


def _page(results: Document) -> Page:
    page = Page().line(("Five systems, one chain", "bold"), ": who put the report of the third quarter into S3?")
    page.title("The logs, as each system wrote them")
    for one in results["read"]:
        counts = f"{many(one['records'], 'record')}, {many(one['events'], 'event')}"
        page.line(f"{one['source']:<6} {one['format']:<11} {one['file']:<17} {counts}", lead="  ")
    page.title("Who did it?", (f"  $ delegraph who {EFFECT}", ""))
    if results["who"]:
        page.add(render_chain.who(results["who"], brief=True))
    page.title("What joins them: tokens that two systems name")
    for one in results["tokens"]:
        page.line(one["token"], lead="  ")
        page.line(f"named by {joined(source.rpartition(':')[2] for source in one['named_by'])}", lead="    ")
    page.title("What no log proves")
    for gap in results["who"]["gaps"] if results["who"] else ():
        page.line(f"{gap['kind']} {gap['id']}: {gap['why']}", lead="  - ")
    page.line("Names differ in each system: the identity map says who they are, and the chain shows both.", lead="  ")
    return page
