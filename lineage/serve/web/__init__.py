"""The pages: for every document of the HTTP API a template (DESIGN section 8)."""
