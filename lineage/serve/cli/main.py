"""The entry point of the command ``delegraph``."""

from lineage.serve.cli.group import main

__all__ = ["main"]
