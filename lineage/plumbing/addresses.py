"""Host names, network addresses and URLs."""

import ipaddress
import re
from typing import Final

_PASSWORD: Final = re.compile(r"((?<=://)[^/?#@:]*:(?=[^/?#]*@)|(?<=[?&])password=)[^/?#&]*(?=@|&|$)")


def is_loopback(host: str) -> bool:
    """Whether a host is the loopback interface, without a name lookup.

    Args:
        host: A name or an address; an IPv6 address with or without brackets and zone.

    Examples:
        >>> [is_loopback(host) for host in ("localhost", "127.0.0.2", "[::1]", "example.com")]
        [True, True, True, False]
    """
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]").partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def without_password(url: str) -> str:
    """Mask the password in a URL.

    Examples:
        >>> without_password("postgresql://reader:secret@db.example/facts")
        'postgresql://reader:***@db.example/facts'
    """
    return _PASSWORD.sub(r"\1***", url)


def fault_of_listening(error: OSError | UnicodeError) -> str:
    """Explain in a clause why nothing can listen at an address, from the error of its lookup or of binding it."""
    return (error.strerror if isinstance(error, OSError) else None) or "not the name of a host"
