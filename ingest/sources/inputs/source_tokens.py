"""Tokens that authenticate senders: one token for each source, compared in constant time."""

import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from ingest.secrets import read_secret
from ingest.sources.named import NamedSource
from lineage.core.model.errors import RefusedError

_LOOK_SECONDS: Final = 1.0
_SCHEME: Final = "bearer"


class SourceTokens:
    """Maps tokens to sources. Thread-safe. Changes of a token file take effect within seconds.

    A file may contain several tokens, one per line: the old and the new one during rotation.
    """

    def __init__(self, sources: Iterable[NamedSource], monotonic: Callable[[], float] = time.monotonic) -> None:
        """Read the tokens.

        Raises:
            RefusedError: A token file cannot be read.
        """
        self._sources = tuple(sources)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._digests: dict[str, tuple[bytes, ...]] = {}
        self._look()
        self._looked_at = monotonic()

    def sources_of(self, authorization: str) -> frozenset[str]:
        """Return the names of the sources whose token is in an ``Authorization`` header; empty if it is unknown.

        Takes the same time whichever token matches.
        """
        scheme, _, token = authorization.partition(" ")
        shown = hashlib.sha256(token.strip().encode(errors="replace")).digest()
        found = set()
        for name, digests in self._current().items():
            for digest in digests:
                if hmac.compare_digest(digest, shown):
                    found.add(name)
        return frozenset(found) if scheme.lower() == _SCHEME else frozenset()

    def _current(self) -> dict[str, tuple[bytes, ...]]:
        with self._lock:
            if self._monotonic() - self._looked_at >= _LOOK_SECONDS:
                self._looked_at = self._monotonic()
                with suppress(RefusedError):  # the tokens that were read last stay valid
                    self._look()
            return self._digests

    def _look(self) -> None:
        found = {}
        for source in self._sources:
            text = source.token or ""
            if source.token_file is not None:
                text = read_secret(source.token_file, f"the token of the source {source.name!r}")
            tokens = [line.strip() for line in text.splitlines() if line.strip()]
            found[source.name] = tuple(hashlib.sha256(token.encode()).digest() for token in tokens)
        self._digests = found
