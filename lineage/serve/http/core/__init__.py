"""Code that all endpoints share: queries, bodies, cursors, responses and errors."""
