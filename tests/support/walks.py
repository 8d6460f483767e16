"""Records which of our modules a request enters, in order.

``python -m tests.support.walks`` prints the table and the lists of docs/architecture.md. A module is entered when one
of its functions runs during the request. The process has answered the same before, from another store, so that modules
that are only imported or compiled once do not count.
"""

import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from tests.support.http_worlds import World, api_over
from tests.support.places import ROOT
from tests.support.web_pages import ACTION, OF, Pages, hidden

PACKAGES = ("ingest", "lineage", "schemas")
FINDINGS = ("lineage.core.findings.", "lineage.core.model.finding")


class Walk(NamedTuple):
    """The modules that a request entered.

    Attributes:
        title: The request.
        modules: The modules, in the order of their first function.
        findings: How many more belong to the findings in the answer.
    """

    title: str
    modules: tuple[str, ...]
    findings: int


class Recorder:
    """Records modules on every thread that is started while it is installed."""

    def __init__(self) -> None:
        self._entered: dict[str, None] | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        threading.setprofile(self._called)
        sys.setprofile(self._called)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]

    def walk(self, title: str, ask: Callable[[], Any]) -> Walk:
        """Record one request."""
        self._entered = entered = {}
        try:
            ask()
        finally:
            self._entered = None
        findings = [name for name in entered if name.startswith(FINDINGS)]
        return Walk(title, tuple(name for name in entered if name not in findings), len(findings))

    def _called(self, frame: FrameType, event: str, _: object) -> None:
        entered, code = self._entered, frame.f_code
        if event == "call" and entered is not None and code.co_name != "<module>":
            name = _NAMES.get(code.co_filename)
            if name is None:
                name = _NAMES[code.co_filename] = _name_of(code.co_filename)
            if name:
                entered.setdefault(name)


_NAMES: dict[str, str] = {}


def _name_of(file: str) -> str:
    """Return the name of one of our modules; empty for any other file."""
    path = Path(file)
    if path.suffix != ".py" or not path.is_relative_to(ROOT):
        return ""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__") if parts[0] in PACKAGES else ""


def walks() -> list[Walk]:
    """Record each request."""
    recorder = Recorder()
    with recorder.installed():
        _recorded(recorder)
        return _recorded(recorder)


def _recorded(recorder: Recorder) -> list[Walk]:
    with _world() as world:
        asked = world.as_("investigator")
        cold = recorder.walk("`GET /v1/who`, the first request", lambda: asked.get("/v1/who?action=mail-7"))
        asked.get("/v1/status?of=principal:agent:planner")
        later = recorder.walk("`GET /v1/who`, not cached", lambda: asked.get("/v1/who?action=mail-3"))
        cached = recorder.walk("`GET /v1/who`, cached", lambda: asked.get("/v1/who?action=mail-3"))
    with _world() as world:
        person = Pages(world)
        page = recorder.walk("the page `/who`, the first request", lambda: person.get(ACTION))
        form = hidden(person.get(f"/reach?of={OF}")) | {"reason": "test"}
        again = recorder.walk("an order on a page, refused", lambda: person.send("/revocations", **form, typed="x"))
        typed = form["of"].partition(":")[2]
        given = recorder.walk("an order on a page, given", lambda: person.send("/revocations", **form, typed=typed))
    return [cold, later, cached, page, again, given]


@contextmanager
def _world() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder, api_over(f"sqlite:///{folder}/store.db", Path(folder)) as world:
        yield world


def shown(walk: Walk) -> str:
    """Write a walk: in each line the folder, and the modules of it that are entered one after the other."""
    parts = [name.rpartition(".") for name in walk.modules]
    lines = [
        (folder, " ".join(name for _, _, name in names)) for folder, names in groupby(parts, key=lambda one: one[0])
    ]
    width = max(len(folder) for folder, _ in lines)
    return "\n".join(f"{folder:{width}}  {names}" for folder, names in lines)


def main() -> None:
    """Print the table and the lists."""
    found = walks()
    rows = [f"| {walk.title} | {len(walk.modules)} | {walk.findings} |\n" for walk in found]
    lists = [f"\n**{walk.title}**\n\n```text\n{shown(walk)}\n```\n" for walk in found]
    sys.stdout.write("".join([*rows, *lists]))


if __name__ == "__main__":
    main()
