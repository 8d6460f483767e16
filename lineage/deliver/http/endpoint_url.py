"""The URL of a server in the settings: HTTPS, or on this machine."""

import ipaddress
from urllib.parse import urlsplit

from lineage.core.model.errors import RefusedError


def endpoint_url(url: str | None, where: str, what: str) -> str:
    """Check the URL of an endpoint.

    Args:
        url: The URL.
        where: The table of the settings file that states it.
        what: The kind of server, for the message.

    Raises:
        RefusedError: It is not such a URL, or requests to it would not be encrypted.
    """
    parts = urlsplit(url or "")
    if not parts.hostname or parts.scheme not in ("https", "http") or parts.username is not None or parts.fragment:
        raise RefusedError(f"'url' of {where} must be the URL of {what}, without user and fragment")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise RefusedError(f"'url' of {where} must begin with https://, so that requests are encrypted")
    return str(url)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
