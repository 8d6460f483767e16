"""What one process serves, and to whom: everything that the faces over HTTP are given. Made in ``starting``."""

import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from starlette.requests import HTTPConnection

from lineage.core.model.errors import NotAtOnceError
from lineage.core.model.times import Instant
from lineage.deliver.http.access_log import noted
from lineage.deliver.http.callers import Authentication, Caller
from lineage.serve.config.limits import Limits
from lineage.serve.http.core.workers import Pools
from lineage.serve.queries.service import Service

LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, kw_only=True)
class Site:
    """What one process serves.

    Attributes:
        service: Questions and orders. Any thread may ask it.
        authentication: Says who asks.
        hosts: The names under which it may be asked for (the header ``Host``), without ports.
        one_order: Held while an order is given or lifted: of two repetitions one is the order, the other finds it.
        one_batch: Held while events are taken in: two batches at once only fence one another.
        tls: Whether browsers come over TLS.
        four_eyes: Above how many elements an order needs a second person; None: never.
        limits: How much one request may ask for.
        pools: Where what blocks is run.
    """

    service: Service
    authentication: Authentication
    hosts: frozenset[str] = LOOPBACK_HOSTS
    tls: bool = False
    four_eyes: int | None = None
    limits: Limits = field(default_factory=Limits)
    pools: Pools = field(default_factory=lambda: Pools(Limits()))
    one_order: threading.Lock = field(default_factory=threading.Lock)
    one_batch: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def at_once(self) -> "Site | None":
        """The same for whoever may not wait; None: everything here takes waiting."""
        service = self.service.at_once()
        return None if service is None else replace(self, service=service)

    @cached_property
    def noting(self) -> Authentication:
        """The authentication, which keeps who asks for the access log."""
        return noted(self.authentication)

    async def caller_of(self, connection: HTTPConnection) -> Caller:
        """Who asks. It waits for no question and no order of anybody.

        Raises:
            UnauthenticatedError: That is not known.
        """
        if self.noting.recognise is not None:
            with suppress(NotAtOnceError):
                return self.noting.recognise(connection)
        peer = connection.client.host if connection.client else ""
        return await self.pools.own.run(f"peer {peer}", self.noting.authenticate, connection)

    @property
    def now(self) -> Instant:
        """The moment now."""
        return self.service.clock()
