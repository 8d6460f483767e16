"""Record what a tool does: an action begins and ends, and is emitted with its outcome.

Of the parameters only a digest is recorded, of a token only its id, of an exception only that it was raised.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from functools import wraps
from types import TracebackType
from typing import Any, Final, ParamSpec, Protocol, Self, TypeVar, cast
from uuid import uuid4

from ingest.codec import api as codec
from ingest.codec.params_digest import digest_of
from ingest.producer.event_builders import token_id
from lineage.core.model.errors import DelegraphError, RefusedError
from lineage.core.model.times import Instant, format_instant

logger = logging.getLogger(__name__)

_P = ParamSpec("_P")
_R = TypeVar("_R")

SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
DENIED: Final = "denied"

# The action in progress, which is the parent of one that begins now.
_current: ContextVar[str | None] = ContextVar("delegraph_action", default=None)


class Emit(Protocol):
    """Emits an event, as ``Producer.emit`` does."""

    def __call__(self, event: Mapping[str, object], *, occurred_at: Instant) -> object:
        """Emit an event that occurred at ``occurred_at``."""
        ...


class ActionRecorder:
    """An action in progress, for ``with`` and ``async with``.

    Its outcome is ``succeeded``; ``denied`` if the block raises a PermissionError, ``failed`` if it raises any other
    exception; or the value that ``outcome`` is set to. Its ``parent_action`` is the enclosing action.

    Invalid fields are refused before the action begins. If the event cannot be emitted at the end, that error is raised
    to the caller; if the block has already raised, it is added to that exception as a note.

    Attributes:
        id: The id of the action.
        outcome: Set it to override the outcome.
    """

    def __init__(self, emit: Emit, clock: Callable[[], Instant], operation: str, fields: Mapping[str, object]) -> None:
        """Record an action; see ``Producer.action``."""
        self._emit = emit
        self._clock = clock
        self._began: Instant = 0
        self._outer: Token[str | None] | None = None
        self._fields: dict[str, object] = {"operation": operation}
        self.id = str(fields.get("action") or uuid4())
        self.outcome: str | None = None
        self.note(**fields)

    def note(self, **fields: object) -> None:
        """Add fields that become known during the action."""
        fields = dict(fields)
        if "params" in fields:
            fields["params_digest"] = digest_of(fields.pop("params"))
        raw_token = fields.pop("raw_token", None)
        if isinstance(raw_token, str | bytes):
            fields["token"] = token_id(raw_token)
        elif raw_token is not None:
            raise RefusedError("raw_token is neither a string nor bytes")
        self._fields |= fields

    def __enter__(self) -> Self:
        self._began = self._clock()
        self._fields = {"parent_action": _current.get(), **self._fields}
        complete = {"event_id": self.id, "source": self.id, "occurred_at": format_instant(self._began)}
        codec.event_from_document(complete | self._document(FAILED))
        self._outer = _current.set(self.id)
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> None:
        self._leave()
        self._end(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> None:
        self._leave()
        # Emitting waits for the disk, and possibly for room in the spool, which must not block the event loop.
        await asyncio.to_thread(self._end, error)

    def _leave(self) -> None:
        if self._outer is not None:
            _current.reset(self._outer)

    def _end(self, error: BaseException | None) -> None:
        try:
            self._emit(self._document(self.outcome or _outcome_of(error)), occurred_at=self._began)
        except DelegraphError as fault:
            if error is None:
                raise
            error.add_note(f"this action was not recorded: {fault}")
            logger.error("an action was not recorded: %s", fault)  # noqa: TRY400  (the block's exception has the trace)

    def _document(self, outcome: str) -> dict[str, object]:
        return {"type": "action.performed", **self._fields, "action": self.id, "outcome": outcome}


def _outcome_of(error: BaseException | None) -> str:
    if error is None:
        return SUCCEEDED
    return DENIED if isinstance(error, PermissionError) else FAILED


def recorded(
    function: Callable[_P, _R],
    begin: Callable[[Mapping[str, object]], ActionRecorder],
    about: Callable[..., Mapping[str, object]] | None,
) -> Callable[_P, _R]:
    """Wrap a function, sync or async, so that every call is recorded.

    Args:
        function: The function to wrap.
        begin: Creates the recording of one call from the fields that depend on its arguments.
        about: Returns those fields, in addition to the digest of the arguments.

    Raises:
        RefusedError: It is a generator: its call returns before it does anything.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise RefusedError(f"{function.__qualname__} is a generator; record what it does with 'with producer.action'")
    signature = inspect.signature(function)

    def recording(args: tuple[Any, ...], kwargs: dict[str, Any]) -> ActionRecorder:
        params = dict(signature.bind(*args, **kwargs).arguments)
        params.pop("self", None)
        params.pop("cls", None)
        return begin({"params": params, **(about(*args, **kwargs) if about else {})})

    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def call_async(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            async with recording(args, kwargs):
                return await function(*args, **kwargs)

        return cast("Callable[_P, _R]", call_async)

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with recording(args, kwargs):
            return function(*args, **kwargs)

    return call
