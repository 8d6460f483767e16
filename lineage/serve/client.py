"""The Python client of the HTTP API."""

from lineage.serve.http_client import Client

__all__ = ["Client"]
