"""The certificate authorities of the servers that we call."""

import ssl
from pathlib import Path

from lineage.core.model.errors import RefusedError


def trusting(ca: Path | None) -> ssl.SSLContext:
    """Load the trusted CA certificates; this is slow, so share the result.

    Args:
        ca: The file with the certificates in PEM; None for those of the system.

    Raises:
        RefusedError: The file cannot be read.
    """
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except OSError as error:  # an SSLError is one
        raise RefusedError(f"the file {ca} contains no readable certificates: {error.strerror}") from error
