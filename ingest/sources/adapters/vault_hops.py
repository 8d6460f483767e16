"""Vault: hops to other systems that its log proves by naming the id of a foreign token. Pure.

A login may record which JWT was presented, and the AWS secrets engine which key it issued. Both need a Vault setting;
without it the log has no id of the other system, and the hop is a gap.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from ingest.sources.adapters.kit import Document, member, text
from ingest.sources.adapters.vault_line import VaultLine
from ingest.sources.adapters.vault_names import native_token, subject, token_id

_SHOW_A_JWT: Final = frozenset({"jwt", "oidc"})
_AWS_KEY: Final = re.compile(r"A[KS]IA[A-Z0-9]{12,124}")


def shown(line: VaultLine, made: Mapping[str, Any]) -> list[Document]:
    """Return the JWT that a login presented, if the role copies its ``iss`` and ``jti`` (``claim_mappings``)."""
    metadata = member(made, "metadata") or member(line.value, "auth", "metadata")
    issuer, number = text(metadata, "iss"), text(metadata, "jti")
    is_login = text(line.value, "request", "mount_type") in _SHOW_A_JWT  # other metadata may contain anything
    return [{"token": f"{issuer}#{number}", "role": "subject"}] if is_login and issuer and number else []


def given_key(line: VaultLine) -> list[Document]:
    """Return the key that the AWS secrets engine issued, if its mount logs it unhashed."""
    key = text(line.value, "response", "data", "access_key") or ""
    if text(line.value, "request", "mount_type") != "aws" or not _AWS_KEY.fullmatch(key):
        return []
    native = native_token(line.caller)
    holder = subject(line.source, line.caller)
    if native is None or holder is None:
        return []
    return [
        line.source.event(
            "token.issued",
            f"{line.id}/aws-key",
            line.time,
            token=f"aws#{key}",
            subject=holder,
            derived_from=[{"token": token_id(line.source, native), "role": "subject"}],
        )
    ]
