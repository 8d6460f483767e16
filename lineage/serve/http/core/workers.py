"""Threads for blocking work: separate for questions and each kind of write, shared fairly among callers.

A flood of questions must not delay an order, nor the questions of one caller those of others. So each kind of work
has separate threads, and within a kind callers take turns: one may use all threads but a few, and have a bounded
number of requests in progress.
"""

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

from lineage.core.model.errors import OverloadedError, SlowAnswerError
from lineage.deliver.http.callers import CallerLimitError
from lineage.serve.config.limits import Limits

_P = ParamSpec("_P")
_T = TypeVar("_T")

_LEFT_TO_OTHERS: Final = 2  # threads that one caller never uses, if there are more than these


@dataclass(eq=False, slots=True)
class _Job:
    caller: str
    work: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    done: "asyncio.Future[Any]"
    is_begun: bool = False


class Workers:
    """The threads for one kind of work.

    Attributes:
        name: The name of the threads.
        turned_away: The number of refused requests by reason: ``caller`` (one caller had too many in progress),
            ``full`` (all callers together had) and ``late`` (no thread was free in time).
    """

    def __init__(
        self, name: str, threads: int, limits: Limits, *, by_caller: int | None = None, is_write: bool = False
    ) -> None:
        """Create the threads.

        Args:
            name: The name of the threads.
            threads: The number of requests that are processed at once.
            limits: The number that may wait, and for how long.
            by_caller: The number of requests of one caller that may be in progress, including waiting
                ones; None for any number.
            is_write: Whether work that has begun is awaited until it ends, so that a write that may still succeed is
                never answered with an error.
        """
        self.name = name
        self.turned_away: Counter[str] = Counter(caller=0, full=0, late=0)
        self._limits = limits
        self._threads = threads
        self._by_caller = by_caller
        self._of_one = threads - _LEFT_TO_OTHERS if threads > _LEFT_TO_OTHERS else threads
        self._is_write = is_write
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"delegraph-{name}")
        self._lock = threading.Lock()
        self._is_closed = False
        self._waiting: dict[str, deque[_Job]] = {}  # by caller; the next one to run is first
        self._under_way: Counter[str] = Counter()
        self._running: Counter[str] = Counter()
        self._idle = threads

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a thread."""
        with self._lock:
            return sum(map(len, self._waiting.values()))

    async def run(self, caller: str, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a blocking function.

        Raises:
            CallerLimitError: Too many requests of this caller are in progress.
            OverloadedError: Too many requests are waiting, or no thread was free in time; nothing was begun.
            SlowAnswerError: A question took too long; it continues in the background and changes nothing.
        """
        loop = asyncio.get_running_loop()
        job = _Job(caller, partial(function, *args, **kwargs), loop, loop.create_future())
        with self._lock:
            self._queue(job)
            self._hand_out()
        try:
            outcome: _T = await self._outcome(job)
            return outcome
        finally:
            self._withdraw(job)

    async def _outcome(self, job: _Job) -> Any:
        await asyncio.wait([job.done], timeout=self._limits.seconds)
        if not job.done.done():
            seconds = f"{self._limits.seconds:g} s"
            if self._withdraw(job):
                self.turned_away["late"] += 1
                raise OverloadedError(f"no thread was free within {seconds}; nothing was begun, try again")
            if not self._is_write:
                raise SlowAnswerError(f"no answer within {seconds}; ask for less")
        return await job.done

    def _queue(self, job: _Job) -> None:
        if self._is_closed:
            raise OverloadedError("the server is being stopped; nothing was begun")
        if self._by_caller is not None and self._under_way[job.caller] >= self._by_caller:
            self.turned_away["caller"] += 1
            raise CallerLimitError(
                "too many requests of this caller are in progress; send the next one when one has been answered"
            )
        if sum(map(len, self._waiting.values())) >= self._limits.waiting:
            self.turned_away["full"] += 1
            raise OverloadedError("too many requests wait already; nothing was begun, try again")
        self._under_way[job.caller] += 1
        self._waiting.setdefault(job.caller, deque()).append(job)

    def _hand_out(self) -> None:
        """Start as many requests as there are free threads, callers taking turns. The lock must be held."""
        while self._idle and not self._is_closed:
            caller = next((who for who in self._waiting if self._running[who] < self._of_one), None)
            if caller is None:
                return
            jobs = self._waiting.pop(caller)
            job = jobs.popleft()
            if jobs:
                self._waiting[caller] = jobs  # after all others
            job.is_begun = True
            self._idle -= 1
            self._running[caller] += 1
            self._pool.submit(self._work, job)

    def _work(self, job: _Job) -> None:
        """Run a job, in a thread."""
        result, fault = None, None
        try:
            result = job.work()
        except BaseException as error:  # noqa: BLE001 (whatever it is, it belongs to who asked)
            fault = error
        with self._lock:
            self._idle += 1
            _count_down(self._running, job.caller)
            _count_down(self._under_way, job.caller)
            self._hand_out()
        with suppress(RuntimeError):  # the loop is gone, and nothing waits for the result
            job.loop.call_soon_threadsafe(_tell, job.done, result, fault)

    def _withdraw(self, job: _Job) -> bool:
        """Withdraw a job if it has not begun, and return whether it was withdrawn."""
        with self._lock:
            if job.is_begun:
                return False
            jobs = self._waiting.get(job.caller, ())
            if job in jobs:
                jobs.remove(job)  # type: ignore[union-attr]
                if not jobs:
                    del self._waiting[job.caller]
                _count_down(self._under_way, job.caller)
            return True

    def later(self, function: Callable[[], object]) -> None:
        """Run something in the background."""
        self._pool.submit(function)

    def close(self) -> None:
        """Release the threads. Waiting jobs never begin."""
        with self._lock:
            self._is_closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)


def _tell(done: "asyncio.Future[Any]", result: Any, fault: BaseException | None) -> None:
    if done.done():  # nothing waits for it any longer
        return
    if fault is None:
        done.set_result(result)
    else:
        done.set_exception(fault)
        done.exception()  # an error of a job whose result is not awaited; logged here instead of at exit


def _count_down(counter: Counter[str], caller: str) -> None:
    counter[caller] -= 1
    if not counter[caller]:
        del counter[caller]  # forget callers without jobs


class Pools:
    """The workers of one server.

    Attributes:
        questions: Everything that only reads.
        orders: Orders, lifts and approvals.
        events: Batches of events.
        acknowledgements: Acknowledgements by receivers.
        own: The server's own queries, and authentication that needs network access.
        background: One thread for work that no request waits for.
    """

    def __init__(self, limits: Limits) -> None:
        """Create them."""
        by_caller = limits.questions_by_caller
        self.questions = Workers("questions", limits.workers, limits, by_caller=by_caller)
        self.orders = Workers("orders", 2, limits, is_write=True)
        self.events = Workers("events", 2, limits, by_caller=by_caller, is_write=True)
        self.acknowledgements = Workers("acknowledgements", 1, limits, by_caller=by_caller, is_write=True)
        self.own = Workers("own", 2, limits)
        self.background = ThreadPoolExecutor(1, thread_name_prefix="delegraph-background")

    @property
    def all(self) -> tuple[Workers, ...]:
        """Return the workers for every kind of request."""
        return self.questions, self.orders, self.events, self.acknowledgements, self.own

    def close(self) -> None:
        """Release the threads."""
        for workers in self.all:
            workers.close()
        self.background.shutdown(wait=True, cancel_futures=True)
