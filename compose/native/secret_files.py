"""Secrets as files that only their owner may read."""

import os
import secrets
from pathlib import Path


def write_secret(file: Path, text: str) -> None:
    """Write a file that nobody else may read, not even for the moment in which it is made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text)


def password(file: Path) -> str:
    """The password in a file; chosen the first time that it is asked for."""
    if not file.exists():
        write_secret(file, secrets.token_urlsafe(24))
    return file.read_text(encoding="utf-8")
