"""The dependencies of all HTTP endpoints. Created in ``http_process``."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from starlette.requests import HTTPConnection

from lineage.core.model.errors import WouldBlockError
from lineage.core.model.times import Instant
from lineage.deliver.http.access_log import noted
from lineage.deliver.http.callers import Authentication, Caller
from lineage.deliver.http.signing_keys import SigningKeys
from lineage.deliver.probes.probe_settings import Probe
from lineage.deliver.tlog.witness_settings import WitnessEndpoint
from lineage.serve.config.limits import Limits
from lineage.serve.http.core.store_checks import StoreChecks
from lineage.serve.http.core.workers import Pools
from lineage.serve.queries.evidence.evidence_line import EvidenceLine
from lineage.serve.queries.retention.retention_status import KEPT, RetentionPolicy
from lineage.serve.queries.service import Service

LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, kw_only=True)
class AppContext:
    """The application of one process.

    Attributes:
        service: Questions and orders. Thread-safe.
        authentication: Authenticates callers.
        hosts: The allowed host names (the header ``Host``), without ports.
        one_order: Held while an order is given or lifted: of two repetitions one gives the order, the other finds it.
        one_batch: Held while events are ingested: two batches at once would only fence each other.
        tls: Whether browsers connect over TLS.
        four_eyes: The number of elements above which an order needs a second person; None for never.
        limits: The limits on requests.
        keys: The keys that sign receipts and proofs; None if no signing key is configured.
        probes: How to ask each enforcement point what it does, by receiver.
        contacts: How to reach who runs each enforcement point, by receiver.
        evidence_origin: How checkpoints name the log; None for the default.
        witnesses: The witnesses that cosign its checkpoints.
        retention: How long records are kept.
        one_survey: Held while a plan of retention is made, which takes much memory.
        public_tlog: Whether checkpoints and hashes of the trees are served without authentication.
        pools: The threads for blocking work.
    """

    service: Service
    authentication: Authentication
    hosts: frozenset[str] = LOOPBACK_HOSTS
    tls: bool = False
    four_eyes: int | None = None
    keys: SigningKeys | None = None
    probes: Mapping[str, Probe] = field(default_factory=dict)
    contacts: Mapping[str, str] = field(default_factory=dict)
    evidence_origin: str | None = None
    witnesses: Sequence[WitnessEndpoint] = ()
    retention: RetentionPolicy = KEPT
    public_tlog: bool = True
    limits: Limits = field(default_factory=Limits)
    pools: Pools = field(default_factory=lambda: Pools(Limits()))
    one_order: threading.Lock = field(default_factory=threading.Lock)
    one_batch: threading.Lock = field(default_factory=threading.Lock)
    one_survey: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def non_blocking(self) -> "NonBlockingViews":
        """The views that answer without blocking."""
        return NonBlockingViews(self)

    @cached_property
    def evidence(self) -> EvidenceLine:
        """The sentence about the evidence under every answer."""
        return EvidenceLine(self.service, self.evidence_origin)

    async def evidence_sentence(self) -> str | None:
        """Return this sentence without blocking the event loop."""
        return await self.pools.own.run("evidence", self.evidence.sentence)

    @cached_property
    def noting(self) -> Authentication:
        """Return the authentication, which also stores the caller for the access log."""
        return noted(self.authentication)

    async def caller_of(self, connection: HTTPConnection) -> Caller:
        """Authenticate the caller, without waiting for questions or orders.

        Raises:
            UnauthenticatedError: The caller cannot be identified.
        """
        if self.noting.recognise is not None:
            with suppress(WouldBlockError):
                return self.noting.recognise(connection)
        peer = connection.client.host if connection.client else ""
        return await self.pools.own.run(f"peer {peer}", self.noting.authenticate, connection)

    @property
    def now(self) -> Instant:
        """Return the current time."""
        return self.service.clock()


class NonBlockingViews:
    """Non-blocking views of a context, for one event loop.

    Attributes:
        checks: The checks of a store on a server; None if a store can be checked without waiting.
    """

    def __init__(self, site: AppContext) -> None:
        """Begin without a view."""
        self._site = site
        self.checks = StoreChecks(site.service) if site.service.is_store_asked else None
        self._version: object = None
        self._view = self._view_of(None)

    def open(self) -> None:
        """Begin to check the store, in the event loop that answers."""
        if self.checks is not None:
            self.checks.open()

    def close(self) -> None:
        """Stop checking it."""
        if self.checks is not None:
            self.checks.close()

    def view(self, version: object) -> AppContext | None:
        """A view that never blocks; None if everything blocks.

        Args:
            version: What a check of the store has returned, for which the view answers; None if there are no checks,
                and the view checks the store for each answer.
        """
        if version is not self._version:
            self._version, self._view = version, self._view_of(version)
        return self._view

    def _view_of(self, version: object) -> AppContext | None:
        service = self._site.service.non_blocking(version)
        return None if service is None else replace(self._site, service=service)
