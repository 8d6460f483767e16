"""The store: facts in SQL, append-only. The only package that uses SQLAlchemy."""
