"""The Python clients of the HTTP API, and the lists that they return."""

from lineage.serve.async_http_client import AsyncClient
from lineage.serve.client_items import AsyncItems, Items, to_networkx
from lineage.serve.http_client import Client

__all__ = ["AsyncClient", "AsyncItems", "Client", "Items", "to_networkx"]
