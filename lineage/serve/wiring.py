"""What a command needs, opened from its settings in one place; and the clock, which nothing else reads."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ingest import codec
from ingest.log import Log, open_log
from ingest.trust import read_trust
from lineage.core.errors import RefusedError, UnavailableError
from lineage.core.times import Instant
from lineage.serve.service import Service, Trust
from lineage.store.store import Store, open_store

DEFAULT_STORE: Final = "sqlite:///delegraph.db"
DEFAULT_SOURCE: Final = "urn:delegraph:cli"


def now() -> Instant:
    """The moment now."""
    return time.time_ns() // 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where things are. What is not given comes from the environment, then from the defaults."""

    store: str = DEFAULT_STORE
    log: str | None = None
    trust: str | None = None
    source: str = DEFAULT_SOURCE

    @classmethod
    def of(cls, *, store: str | None, log: str | None, trust: str | None, source: str | None = None) -> "Settings":
        """Settings from options, ``DELEGRAPH_…`` and the defaults, in this order."""
        env = os.environ.get
        settings = cls(
            store=store or env("DELEGRAPH_STORE") or DEFAULT_STORE,
            log=log or env("DELEGRAPH_LOG"),
            trust=trust or env("DELEGRAPH_TRUST"),
            source=source or env("DELEGRAPH_SOURCE") or DEFAULT_SOURCE,
        )
        for name in ("store", "log", "source"):
            if not (getattr(settings, name) or "").isprintable():
                raise RefusedError(f"the setting {name!r} is {getattr(settings, name)!a}, which is no printable UTF-8")
        return settings

    @property
    def log_url(self) -> str:
        """The log; by default the embedded one, inside the store."""
        if self.log is not None:
            return self.log
        if not self.store.startswith("sqlite:"):
            raise RefusedError("a store that is no SQLite file has no log inside; name one with --log or DELEGRAPH_LOG")
        return self.store

    def read_trust(self) -> Trust:
        """The trust table in force."""
        if self.trust is None:
            return Trust()
        return Trust(table=read_trust(Path(self.trust)), file=self.trust)


@contextmanager
def opened_store(settings: Settings, *, create: bool = False) -> Iterator[Store]:
    """The store."""
    store = open_store(settings.store, codec.read, create=create)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def opened_log(settings: Settings, *, create: bool = False) -> Iterator[Log]:
    """The log."""
    log = open_log(settings.log_url, create=create, clock=now)
    try:
        yield log
    finally:
        log.close()


@contextmanager
def opened_service(settings: Settings, *, create: bool = False) -> Iterator[Service]:
    """The service. A log that cannot be reached leaves the questions answerable; the answers say so."""
    trust = settings.read_trust()
    with opened_store(settings, create=create) as store:
        log: Log | None = None
        try:
            log = open_log(settings.log_url, create=create, clock=now)
        except UnavailableError:
            if create:
                raise
        try:
            yield Service(store, log, trust, now, source=settings.source)
        finally:
            if log is not None:
                log.close()
