"""What one process serves, and to whom: everything that the faces over HTTP are given. Made in ``starting``."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Final, ParamSpec, TypeVar

from starlette.requests import HTTPConnection

from lineage.core.model.errors import UnavailableError
from lineage.core.model.times import Instant
from lineage.deliver.http.callers import Authentication, Caller
from lineage.serve.queries.service import Service

LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one request may ask for.

    Attributes:
        body_bytes: Of a body; events come in many parts, an order in few bytes.
        body_seconds: From the request to the end of its body.
        events: In one body: as many as are projected at once.
        asked: Ids in one question.
        page: Items of a list, at most; and how many if nothing is said.
        workers: Questions that are answered at the same time. Each may hold two connections of the store, which has 15.
        waiting: Questions that wait for a worker; one more is refused with 503.
        seconds: From the request to the answer; a question that takes longer is answered with 503.
        listeners: Of the live tail.
    """

    body_bytes: int = 16 * 1024 * 1024
    body_seconds: float = 30.0
    events: int = 50_000
    asked: int = 100
    page: int = 1_000
    first_page: int = 100
    workers: int = 6
    waiting: int = 256
    seconds: float = 30.0
    listeners: int = 2_000


class Workers:
    """Threads for what blocks: a bounded number, and a bounded queue before them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="delegraph-http")
        self._pending = 0  # of the event loop alone

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run something that blocks.

        Raises:
            UnavailableError: Too many wait already, or it took too long; what it does goes on and is not waited for.
        """
        if self._pending >= self._limits.workers + self._limits.waiting:
            raise UnavailableError("too many questions wait to be answered; try again")
        self._pending += 1
        running = asyncio.get_running_loop().run_in_executor(self._pool, partial(function, *args, **kwargs))
        running.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.shield(running), self._limits.seconds)
        except TimeoutError as error:
            raise UnavailableError(f"no answer within {self._limits.seconds:.0f} s; ask for less") from error

    def later(self, function: Callable[[], object]) -> None:
        """Run something that nobody waits for."""
        self._pool.submit(function)

    def _done(self, running: "asyncio.Future[Any]") -> None:
        self._pending -= 1
        if not running.cancelled():
            running.exception()  # of what nobody waits for any more; said here, it is not said at exit

    def close(self) -> None:
        """Give the threads back."""
        self._pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, kw_only=True)
class Site:
    """What one process serves.

    Attributes:
        service: Questions and orders. Any thread may ask it.
        authentication: Says who asks.
        hosts: The names under which it may be asked for (the header ``Host``), without ports.
        writers: The same for events, so that a flood of them keeps no question and no order waiting.
        one_order: Held while an order is given: of two repetitions one is the order, the other finds it.
        one_batch: Held while events are taken in: two batches at once only fence one another.
        tls: Whether browsers come over TLS.
        four_eyes: Above how many elements an order needs a second person; None: never.
        limits: How much one request may ask for.
        workers: Where what blocks is run.
    """

    service: Service
    authentication: Authentication
    hosts: frozenset[str] = LOOPBACK_HOSTS
    tls: bool = False
    four_eyes: int | None = None
    limits: Limits = field(default_factory=Limits)
    workers: Workers = field(default_factory=lambda: Workers(Limits()))
    writers: Workers = field(default_factory=lambda: Workers(Limits(workers=2)))
    one_order: threading.Lock = field(default_factory=threading.Lock)
    one_batch: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def at_once(self) -> "Site | None":
        """The same for whoever may not wait; None: everything here takes waiting."""
        service = self.service.at_once()
        recognise = self.authentication.recognise
        if service is None or recognise is None:
            return None
        return replace(self, service=service, authentication=Authentication(recognise))

    def authenticate(self, connection: HTTPConnection) -> Caller:
        """Says who asks; may block.

        Raises:
            UnauthenticatedError: That is not known.
        """
        return self.authentication.authenticate(connection)

    @property
    def now(self) -> Instant:
        """The moment now."""
        return self.service.clock()
