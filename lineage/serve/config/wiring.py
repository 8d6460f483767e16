"""Open what a command needs from its settings; and the clock, which nothing else reads."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from ingest.codec import api as codec
from ingest.log.port import Log
from ingest.log.shared import SharedLog
from ingest.opening import open_log, pinned_file
from ingest.trust_file import Trust
from lineage.core.model.errors import UnavailableError
from lineage.core.model.times import Instant
from lineage.plumbing.sqlite_file import PinnedFile
from lineage.serve.cache.question_cache import QuestionCache
from lineage.serve.config.settings import DEFAULT_SOURCE, DEFAULT_STORE, Settings
from lineage.serve.documents.refusal_wording import OVER_HTTP
from lineage.serve.queries.service import Service
from lineage.store.store import Store, open_store

__all__ = ["DEFAULT_SOURCE", "DEFAULT_STORE", "Settings", "now", "opened_log", "opened_service", "opened_store"]


# The most elements below the target of a plan over HTTP, where others wait: about ten seconds of work. The command
# line has no such limit.
MOST: Final = 100_000
BEHIND_SECONDS: Final = 1.0  # how old the end of a log on Kafka may be, from which records are counted as missing


def now() -> Instant:
    """Return the current time."""
    return time.time_ns() // 1_000


@contextmanager
def opened_store(settings: Settings, *, create: bool = False) -> Iterator[Store]:
    """Open the store."""
    store = open_store(
        settings.store,
        codec.read,
        decode_parts=codec.read_parts,
        create=create,
        password=settings.store_password,
        quota=settings.quota,
    )
    try:
        yield store
    finally:
        store.close()


def _open_log(settings: Settings, *, create: bool, file: PinnedFile | None = None) -> Log:
    return open_log(settings.log_url, create=create, clock=now, settings=settings.kafka, file=file)


def log_opener(settings: Settings) -> Callable[[], Log]:
    """Return what opens the log, also in another process."""
    return partial(open_log, settings.log_url, create=False, clock=now, settings=settings.kafka)


@contextmanager
def opened_log(settings: Settings, *, create: bool = False) -> Iterator[Log]:
    """Open the log."""
    log = _open_log(settings, create=create)
    try:
        yield log
    finally:
        log.close()


@contextmanager
def opened_service(
    settings: Settings, *, create: bool = False, clock: Callable[[], Instant] = now
) -> Iterator[Service]:
    """Open the service. If the log is unavailable, questions are still answered, and the answers say so."""
    trust = settings.read_trust(now)
    with opened_store(settings, create=create) as store:
        log: Log | None = None
        try:
            log = _open_log(settings, create=create)
        except UnavailableError:
            if create:
                raise
        try:
            yield Service(store, log, trust, clock, source=settings.source, options=settings.findings)
        finally:
            if log is not None:
                log.close()


@contextmanager
def opened_embedded_service(
    url: str, clock: Callable[[], Instant], *, source: str, create: bool = False
) -> Iterator[Service]:
    """Open a service over a SQLite file with both store and log, with its own clock and no trust file."""
    store = open_store(url, codec.read, decode_parts=codec.read_parts, create=create)
    try:
        log = open_log(url, create=create, clock=clock)
        try:
            yield Service(store, log, Trust(), clock, source=source)
        finally:
            log.close()
    finally:
        store.close()


@contextmanager
def opened_shared_embedded_service(url: str, clock: Callable[[], Instant], *, source: str) -> Iterator[Service]:
    """Open the same for many threads; the file must exist."""
    store = open_store(url, codec.read, decode_parts=codec.read_parts)
    try:
        log = SharedLog(lambda: open_log(url, create=False, clock=clock))
        try:
            worlds = QuestionCache(store, log, None, log_inside=True)
            yield Service(store, log, Trust(), clock, source=source, worlds=worlds, face=OVER_HTTP)
        finally:
            log.close()
    finally:
        store.close()


@contextmanager
def opened_shared_service(settings: Settings) -> Iterator[Service]:
    """Open the service for many threads. An unavailable log is retried later; until then the answers say so."""
    trust = settings.read_trust(now)
    with opened_store(settings) as store:
        file = pinned_file(settings.log_url)
        log = SharedLog(lambda: _open_log(settings, create=False, file=file))
        age = BEHIND_SECONDS if settings.on_kafka else 0
        worlds = QuestionCache(store, log, trust, log_inside=settings.log_inside, behind_seconds=age)
        try:
            yield Service(
                store,
                log,
                trust,
                now,
                source=settings.source,
                worlds=worlds,
                options=settings.findings,
                most=MOST,
                face=OVER_HTTP,
            )
        finally:
            log.close()


@contextmanager
def opened_collecting(settings: Settings) -> Iterator[tuple[Service, Log]]:
    """Open the service, whose log one thread projects, and a log for the threads that append."""
    with opened_service(settings, create=True) as service:
        file = pinned_file(settings.log_url)
        log = SharedLog(lambda: _open_log(settings, create=True, file=file))
        try:
            yield service, log
        finally:
            log.close()
