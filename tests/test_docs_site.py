"""The documentation site: it builds without a warning, contains every page, and makes no request to other servers."""

import functools
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from compose.native.chromium import ARGUMENTS, chromium
from docs.site.hooks import OUTSIDE, site_text
from lineage.core.model.errors import UnavailableError
from tests.support.places import ROOT
from tests.support.servers import started_or_skip

MKDOCS = ROOT / "build" / "docs-venv" / "bin" / "mkdocs"
# What a browser fetches by itself when it shows a page; a link waits for a click.
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|embed)\b[^>]*?\ssrc=["']?([^"'\s>]+)|<link\b[^>]*?\shref=["']?([^"'\s>]+)"""
)
FETCHED_BY_CSS = re.compile(r"""url\(["']?([^"')]+)|@import\s+["']([^"']+)""")


def mkdocs() -> Path:
    if not MKDOCS.exists():
        raise UnavailableError("the site is built with mkdocs, which `make docs` installs")
    return MKDOCS


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site from this checkout."""
    program = started_or_skip(mkdocs)
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [program, "build", "--strict", "--site-dir", folder],
        check=False,
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
    )
    assert 0 == done.returncode, done.stdout
    return folder


@pytest.mark.slow
def test_every_page_is_on_the_site(site: Path):
    """
    Every Markdown file of docs/, and what the site takes from elsewhere, has its page.
    """
    sources = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")] + [
        *OUTSIDE.values()
    ]
    expected = {re.sub(r"README\.md$", "index.md", source).replace(".md", ".html") for source in sources}

    assert set() == expected - {page.relative_to(site).as_posix() for page in site.rglob("*.html")}


def test_no_page_fetches_anything_from_elsewhere(site: Path):
    """
    Scripts, styles, fonts and pictures come from the site itself.
    """
    found = {
        (page.name, address)
        for pattern, kind in ((FETCHED, "*.html"), (FETCHED_BY_CSS, "*.css"))
        for page in site.rglob(kind)
        for address in map("".join, pattern.findall(page.read_text(encoding="utf-8")))
    }

    assert found
    assert [] == [(page, address) for page, address in found if re.match(r"(?:https?:)?//", address)]


def test_pictures_are_few_and_small():
    """
    A picture in docs/images is shown on a page, and is smaller than 150 KB; `make screenshots ARGS=--docs` takes them.
    """
    pictures = list((ROOT / "docs" / "images").iterdir())
    shown = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md"))

    assert 0 < len(pictures) <= 8
    assert [] == [picture.name for picture in pictures if f"images/{picture.name})" not in shown]
    assert [] == [picture.name for picture in pictures if picture.stat().st_size > 150_000]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def served(site: Path) -> Iterator[str]:
    """Serve the site on loopback, and return its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.slow
def test_a_browser_asks_only_the_site(served: str):
    """
    Reading a page and searching the site sends no request to another server.
    """
    executable = started_or_skip(chromium)
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{served}/kafka.html")
        page.locator("[data-md-component=search-query]").fill("quarantine")
        expect(page.locator(".md-search-result__link").first).to_be_visible(timeout=30_000)
        browser.close()

    assert f"{served}/kafka.html" in asked
    assert [] == [url for url in asked if not url.startswith((served, "data:", "blob:"))]


@pytest.mark.parametrize(
    ("page", "markdown", "expected"),
    [
        ("index.md", "[Kafka](docs/kafka.md#the-log)", "[Kafka](kafka.md#the-log)"),
        ("index.md", "![A page](docs/images/action.png)", "![A page](images/action.png)"),
        ("kafka.md", "[the stack](../compose/README.md)", "[the stack](stack.md)"),
        ("adr/0001-package-names.md", "[here](../../CONTRIBUTING.md)", "[here](../contributing.md)"),
        ("adr/0001-package-names.md", "[next](0002-the-log-is-the-truth.md)", "[next](0002-the-log-is-the-truth.md)"),
        ("index.md", "[all](docs/adr/)", "[all](adr/README.md)"),
        ("index.md", "[Apache-2.0](LICENSE)", "Apache-2.0"),
        ("index.md", "[RFC](https://www.rfc-editor.org/rfc/rfc8693)", "[RFC](https://www.rfc-editor.org/rfc/rfc8693)"),
        ("index.md", "<!-- before: true -->\nText", "Text"),
        ("index.md", "```console no-run: it serves\n$ a](b)\n```", "```console\n$ a](b)\n```"),
        ("index.md", "```toml trust.toml\na = 1\n```", '```toml title="trust.toml"\na = 1\n```'),
        ("index.md", "```python\n>>> 1\n1\n```", "```pycon\n>>> 1\n1\n```"),
    ],
)
def test_a_file_becomes_a_page(page: str, markdown: str, expected: str):
    """
    Links of the repository lead to pages of the site, and notes to the tests are gone.
    """
    assert expected == site_text(markdown, page)
