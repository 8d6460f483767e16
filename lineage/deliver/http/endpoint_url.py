"""The URL of a server in the settings: HTTPS, or on this machine."""

from urllib.parse import urlsplit

from lineage.core.model.errors import RefusedError
from lineage.plumbing.addresses import is_loopback


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
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise RefusedError(f"'url' of {where} must begin with https://, so that requests are encrypted")
    return str(url)
