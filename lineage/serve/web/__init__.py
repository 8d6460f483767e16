"""The pages: for every document of the HTTP API a template (DESIGN section 8)."""

from lineage.serve.web.routes import pages, show_fault

__all__ = ["pages", "show_fault"]
