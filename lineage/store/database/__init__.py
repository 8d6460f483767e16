"""Engines, tables and the statements that differ between SQLite and PostgreSQL."""
