"""The trust file: which source may state which events (clause 2.12). TOML, named by ``DELEGRAPH_TRUST``.

Example::

    [sources."https://idp.example"]
    types = ["token.issued", "principal.registered"]
    prefixes = ["https://idp.example#", "human:"]

    [sources."urn:delegraph:cli"]
    types = ["revocation.ordered", "revocation.lifted"]
    prefixes = [""]           # every id
"""

import logging
import threading
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from lineage.core.model.errors import RefusedError
from lineage.core.model.events import BODIES
from lineage.core.model.times import Instant
from lineage.core.model.trust import SourceGrant, Trusted, TrustTable

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0

_Stat = tuple[int, int, int, int]  # device, inode, size, ctime in nanoseconds


def read_trust(path: Path) -> TrustTable:
    """Read a trust file.

    Raises:
        RefusedError: It cannot be read, or is invalid; the message names the entry.
    """
    try:
        parsed = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"the trust file {path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise RefusedError(f"the trust file {path} is not TOML: {error}") from error
    if parsed.keys() != {"sources"} or not isinstance(parsed["sources"], dict):
        raise RefusedError(f'the trust file {path} must have tables [sources."SOURCE"] and nothing else')
    return TrustTable({source: _grant(path, source, table) for source, table in parsed["sources"].items()})


def _grant(path: Path, source: str, table: object) -> SourceGrant:
    where = f'[sources."{source}"] in the trust file {path}'
    if not isinstance(table, dict) or table.keys() - {"types", "prefixes"} or "types" not in table:
        raise RefusedError(f"{where} must have 'types', and may have 'prefixes'")
    types, prefixes = table["types"], table.get("prefixes", [])
    for name, value in (("types", types), ("prefixes", prefixes)):
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise RefusedError(f"{name} of {where} must be a list of strings")
    if unknown := sorted(set(types) - BODIES.keys() - {"*"}):
        raise RefusedError(f"{where} names an unknown type: {', '.join(unknown)}")
    return SourceGrant(frozenset(types), tuple(prefixes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """A constant trust table, and the file it came from. Without a table every source may state everything."""

    table: TrustTable | None = None
    file: str | None = None
    fault: str | None = None


class TrustInForce(Trusted, Protocol):
    """The trust table in force, the file it was read from, and why the current content of that file is not in force."""

    @property
    def file(self) -> str | None:
        """The path of the file; None if there is none."""

    @property
    def fault(self) -> str | None:
        """The reason why the current content of the file is not in force; None if it is."""


class TrustFile:
    """The trust file in force; changes are noticed within seconds. Thread-safe.

    If the file becomes unreadable or invalid, the last valid table stays in force. A change only counts when it is a
    second old, or when the file is unchanged between two checks, so that a partly written file is not used.

    Attributes:
        file: The path, as given.
        fault: Why the current file is not in force; None if it is.
    """

    def __init__(
        self, path: Path, clock: Callable[[], Instant], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Read the file.

        Args:
            path: The file.
            clock: Returns the current time.
            monotonic: A monotonic clock, in seconds.

        Raises:
            RefusedError: It cannot be read or is invalid: there is no earlier table to fall back on.
        """
        self.file = str(path)
        self.fault: str | None = None
        self._path = path
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._read_as = self._seen = self._stat()  # before reading, to notice a change during the read
        self._table = read_trust(path)
        self._looked_at = monotonic()

    @property
    def table(self) -> TrustTable:
        """The table in force."""
        if self._monotonic() - self._looked_at >= LOOK_SECONDS and self._lock.acquire(blocking=False):
            try:
                self._check()
                self._looked_at = self._monotonic()
            finally:
                self._lock.release()
        return self._table

    def _check(self) -> None:
        found = self._stat()
        is_steady, self._seen = found == self._seen, found
        if found == self._read_as or not (is_steady or self._is_settled(found)):
            return
        self._read_as = found
        try:
            self._table = read_trust(self._path)
        except RefusedError as fault:
            self.fault = f"{fault}; the last valid one stays in force"
            logger.warning("%s", self.fault)
        else:
            self.fault = None
            logger.warning("the trust file %s has changed: it lists %d sources", self._path, len(self._table.sources))

    def _is_settled(self, found: _Stat | None) -> bool:
        """Whether the last change is old enough; False if our clock is behind that of the file system."""
        return found is not None and self._clock() - found[-1] // 1_000 >= LOOK_SECONDS * 1_000_000

    def _stat(self) -> _Stat | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns
