"""The pages: for every document of the HTTP API a template (docs/pages.md)."""

from lineage.serve.web.problems import show_fault
from lineage.serve.web.routes import pages
from lineage.serve.web.start_page import Overviews

__all__ = ["Overviews", "pages", "show_fault"]
