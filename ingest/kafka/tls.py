"""TLS contexts, and explanations of certificate errors."""

import ssl
from pathlib import Path

from lineage.core.model.errors import RefusedError


def trusting(ca_file: Path | None, name: str) -> ssl.SSLContext:
    """Create a TLS context (1.2 or newer) that verifies certificate and host name.

    Args:
        ca_file: The trusted CA certificates; None for the system's.
        name: The name of the setting, for the message.

    Raises:
        RefusedError: The file contains no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (ssl.SSLError, OSError) as error:
        raise RefusedError(
            f"the Kafka setting {name!r}: {ca_file} contains no PEM certificates ({reason_of(error)})"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def reason_of(error: Exception) -> str:
    """Describe a TLS or file error, in lower case and without OpenSSL's codes."""
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    return (reason or str(error) or type(error).__name__).lower().replace("_", " ")
