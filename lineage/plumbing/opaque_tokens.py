"""Encode text as an opaque, URL-safe token and back: base64url without padding (RFC 4648, section 5)."""

import base64
import binascii


def seal(text: str) -> str:
    """Encode a text as a token.

    Examples:
        >>> unseal(seal("token:t1"))
        'token:t1'
    """
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def unseal(token: str) -> str:
    """Decode the text of a token.

    Raises:
        ValueError: The token is not base64url of UTF-8.
    """
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
    except binascii.Error as error:
        raise ValueError("not base64url") from error
