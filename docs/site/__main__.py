"""Write the generated pages and the asynchronous client: all with ``python -m docs.site``, or only those named."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parents[1]
# File, from docs/ -> the module that generates it, with a function `reference`.
GENERATED: Final = {
    "events.md": "ingest.codec.event_reference",
    "reference/commands.md": "docs.site.commands",
    "reference/http.md": "docs.site.http_api",
    "reference/python.md": "docs.site.python_api",
    "reference/settings.md": "docs.site.settings",
    "../lineage/serve/async_http_client.py": "docs.site.async_client",
}


def reference_of(page: str) -> str:
    """Return the content of a generated page."""
    make: Callable[[], str] = import_module(GENERATED[page]).reference
    return make()


def main() -> None:
    """Write the named pages, or all."""
    for page in sys.argv[1:] or GENERATED:
        (DOCS / page).write_text(reference_of(page), encoding="utf-8")
        sys.stdout.write(f"{(DOCS / page).resolve().relative_to(DOCS.parent)}\n")


if __name__ == "__main__":
    main()
