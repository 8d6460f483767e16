"""Whether a request comes from this machine."""

from typing import Final

from starlette.requests import HTTPConnection

from lineage.plumbing.addresses import is_loopback

_PASSED_ON: Final = ("forwarded", "x-forwarded-for", "via")


def is_from_here(connection: HTTPConnection) -> bool:
    """Whether a request was made on this machine, and was not forwarded by a proxy on it."""
    if any(name in connection.headers for name in _PASSED_ON):
        return False
    return connection.client is not None and is_loopback(connection.client.host)
