"""A small witness for a second site: it cosigns checkpoints that extend the last cosigned one, and refuses forks.

Its state is one SQLite file with the last checkpoint of each log.
"""

import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from lineage.core.evidence.checkpoints import Checkpoint
from lineage.core.evidence.notes import NoteError, VerifierKey, verified
from lineage.core.evidence.witnessing import Refusal, Submission, parse_submission, refusal
from lineage.core.model.errors import UnavailableError
from lineage.core.model.times import SECOND, Instant
from lineage.deliver.http.route import Route
from lineage.deliver.tlog.note_keys import NoteKeys, is_valid

logger = logging.getLogger(__name__)

MOST_BYTES: Final = 64 * 1024  # of a request
SIZE_TYPE: Final = "text/x.tlog.size"
_BUSY_SECONDS: Final = 10
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS cosigned (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS signer (origin TEXT PRIMARY KEY, key TEXT NOT NULL);
"""  # the key that signed the last checkpoint that was cosigned


class Witness:
    """Cosigns checkpoints. Thread-safe; other processes may use the same state."""

    def __init__(
        self, keys: NoteKeys, logs: Mapping[str, Sequence[VerifierKey]], state: Path, clock: Callable[[], Instant]
    ) -> None:
        """Open the state, which is created if it does not exist.

        Args:
            keys: The witness's keys.
            logs: The keys of each log that it witnesses, by the origin of the tree, the oldest first. Once one has
                signed, those before it are refused.
            state: The SQLite file with the last checkpoints.
            clock: Returns the current time.

        Raises:
            UnavailableError: The file cannot be used.
        """
        self._keys, self._logs, self._state, self._clock = keys, logs, state, clock
        with closing(self._connected()) as connection:
            connection.executescript(_TABLE)

    def _connected(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self._state, timeout=_BUSY_SECONDS, isolation_level=None)
            connection.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error as error:
            raise UnavailableError(f"the state {self._state} of the witness cannot be used: {error}") from error
        return connection

    def _retired(self, connection: sqlite3.Connection, origin: str) -> int:
        """Return how many keys of a log were replaced by the one that signed last."""
        row = connection.execute("SELECT key FROM signer WHERE origin = ?", (origin,)).fetchone()
        texts = [key.text for key in self._logs.get(origin, ())]
        return texts.index(row[0]) if row is not None and row[0] in texts else 0

    def cosign(self, submission: Submission) -> Refusal | str:
        """Cosign a checkpoint; return the signature line or the refusal. The state is on disk before this returns.

        Raises:
            UnavailableError: The state cannot be used.
        """
        head = submission.head
        with closing(self._connected()) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                row = connection.execute("SELECT size, root FROM cosigned WHERE origin = ?", (head.origin,)).fetchone()
                last = None if row is None else Checkpoint(head.origin, row[0], row[1])
                retired = self._retired(connection, head.origin)
                if refused := refusal(submission, self._logs, last, is_valid, retired=retired):
                    return refused
                line = self._keys.cosign(head.text, self._clock() // SECOND).line
                connection.execute(
                    "INSERT OR REPLACE INTO cosigned VALUES (?, ?, ?)", (head.origin, head.size, head.root)
                )
                signed = verified(submission.note, self._logs[head.origin], is_valid)
                latest = next(key for key in reversed(self._logs[head.origin]) if key in signed)
                connection.execute("INSERT OR REPLACE INTO signer VALUES (?, ?)", (head.origin, latest.text))
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise UnavailableError(f"the state {self._state} of the witness cannot be used: {error}") from error
            return line


def app_of(witness: Witness) -> Starlette:
    """Build the ASGI app: ``POST /add-checkpoint``."""

    async def add_checkpoint(request: Request) -> Response:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                return _plain_text(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a submission has at most {MOST_BYTES} bytes")
        try:
            submission = parse_submission(body.decode())
        except (NoteError, UnicodeDecodeError) as fault:
            return _plain_text(HTTPStatus.BAD_REQUEST, str(fault))
        try:
            answer = await run_in_threadpool(witness.cosign, submission)
        except UnavailableError as fault:
            logger.error("%s", fault)  # noqa: TRY400 (the message says all)
            return _plain_text(HTTPStatus.SERVICE_UNAVAILABLE, "the state of the witness cannot be used")
        if isinstance(answer, str):
            return Response(answer, media_type="text/plain; charset=utf-8")
        level = logging.ERROR if answer.forked else logging.INFO
        logger.log(level, "%s is not cosigned: %s", submission.head.origin, answer.detail)
        if answer.size is not None and not answer.forked:
            # A media type without a charset, as the protocol demands; Starlette would add one.
            return Response(f"{answer.size}\n", status_code=answer.status, headers={"content-type": SIZE_TYPE})
        return _plain_text(answer.status, answer.detail)

    return Starlette(routes=[Route("POST", "/add-checkpoint", add_checkpoint)])


def _plain_text(status: HTTPStatus, detail: str) -> Response:
    return Response(f"{detail}\n", status_code=status, media_type="text/plain; charset=utf-8")
