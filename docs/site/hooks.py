"""Hooks of the documentation site: pages from outside ``docs/``, links, code blocks and the list of decisions.

The Markdown files are written for readers of the repository, and tests/test_docs.py runs them. These hooks adapt for
the site what only works in the repository: links to files that are not pages, and notes to the test.
"""

import posixpath
import re
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
# Files outside docs/ that are pages of the site: path in the repository -> path on the site.
OUTSIDE: Final = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "RELEASING.md": "releasing.md",
    "compose/README.md": "stack.md",
}
_FENCE: Final = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_NOTE: Final = re.compile(r"^<!-- .*? -->\n", re.MULTILINE)
_LEXERS: Final = {"jsonl": "json", "python": "pycon"}


def on_config(config: Any) -> Any:
    """Add every decision record to the navigation, by number."""
    decisions = ["adr/README.md", *(f"adr/{page.name}" for page in sorted((ROOT / "docs" / "adr").glob("[0-9]*.md")))]
    config.nav = [{"Decisions": decisions} if "Decisions" in section else section for section in config.nav]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are not in ``docs/``."""
    from mkdocs.structure.files import File  # noqa: PLC0415 - the tests of the links need no mkdocs

    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Use the text of a repository file as the text of its page."""
    return site_text(markdown, page.file.src_uri)


def site_text(markdown: str, page: str) -> str:
    """Adapt the text of a page: links lead to pages, code blocks name their language, notes to tests are removed."""
    source = next((source for source, there in OUTSIDE.items() if there == page), f"docs/{page}")
    parts, done = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [_prose(markdown[done : fence.start()], source, page), _code(fence.group(1), fence.group(2))]
        done = fence.end()
    return "".join([*parts, _prose(markdown[done:], source, page)])


def _prose(text: str, source: str, page: str) -> str:
    return _LINK.sub(lambda link: _link(link, source, page), _NOTE.sub("", text))


def _link(link: re.Match[str], source: str, page: str) -> str:
    """Rewrite a link for the site; a link to a file that is not a page becomes its text."""
    image, text, target = link.groups()
    path, hash_sign, anchor = target.partition("#")
    if not path or re.match(r"[a-z]+:", target):
        return link.group()
    there = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if (ROOT / there).is_dir():
        there = f"{there}/README.md"
    if there in OUTSIDE:
        there = f"docs/{OUTSIDE[there]}"
    if not there.startswith("docs/"):
        return text
    relative = posixpath.relpath(there.removeprefix("docs/"), posixpath.dirname(page) or ".")
    return f"{image}[{text}]({relative}{hash_sign}{anchor})"


def _code(info: str, body: str) -> str:
    """Build a code block whose first line names a language, and the file it belongs in."""
    language, _, rest = info.partition(" ")
    name = f' title="{rest}"' if language in {"jsonl", "toml", "python"} and rest else ""
    if language == "python" and not body.startswith(">>>"):
        return f"```python{name}\n{body}```"
    return f"```{_LEXERS.get(language, language)}{name}\n{body}```"
