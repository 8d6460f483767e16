"""Secrets in files that only their owner can read."""

import os
import secrets
from pathlib import Path


def write_secret(file: Path, text: str) -> None:
    """Write a file that nobody else can read at any time, not even while it is created."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text)


def password(file: Path) -> str:
    """The password in a file; a random one is created on first use."""
    if not file.exists():
        write_secret(file, secrets.token_urlsafe(24))
    return file.read_text(encoding="utf-8")
