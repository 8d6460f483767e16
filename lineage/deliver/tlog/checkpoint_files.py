"""Checkpoints in files: the latest ones in a file that is replaced atomically, and all of them in an append-only one.

A line is a JSON object with the id of the checkpoint in the store, the origin, the size and the signed note. Several
processes may write the same files.
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from lineage.core.evidence.checkpoints import Checkpoint, parse_checkpoint
from lineage.core.evidence.combined import is_combined
from lineage.core.evidence.notes import NoteError, parse_note
from lineage.core.model.errors import IntegrityError, UnavailableError
from lineage.deliver.tlog.checkpointing import origin_of_lane
from lineage.store import evidence_trees
from lineage.store.evidence_trees import SignedCheckpoint
from lineage.store.store import Store

_MOST_BYTES: Final = 16 * 1024 * 1024  # of the file with the latest checkpoints
_TAIL_BYTES: Final = 64 * 1024  # at the end of the history, in which its last line lies


def write_latest(file: Path, store: Store, origin: str) -> None:
    """Replace the file with the latest checkpoints, unless it has them already.

    Raises:
        IntegrityError: A tree does not extend a checkpoint in the file.
        UnavailableError: It cannot be written.
    """
    latest = sorted(evidence_trees.latest_checkpoints(store).items())
    content = "".join(_line(one) for _, one in latest).encode()
    try:
        if file.exists() and file.read_bytes() == content:
            return
        refuse_older_store(file, store, origin)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as target:
            temporary = Path(target.name)
            try:
                target.write(content)
                target.flush()
                os.fsync(target.fileno())
                temporary.chmod(0o644)
                temporary.replace(file)
            except BaseException:
                temporary.unlink()
                raise
    except OSError as error:
        raise UnavailableError(f"the checkpoints cannot be written to {file}: {error.strerror}") from error


def append_history(file: Path, store: Store) -> None:
    """Append the checkpoints that are not in the history yet. A line that a crash left incomplete is written again.

    Raises:
        UnavailableError: It cannot be written.
    """
    try:
        with file.open("a+b") as target:
            fcntl.flock(target, fcntl.LOCK_EX)
            last, end = _last_of(target)
            new = evidence_trees.checkpoints(store, after=last)
            content = "".join(_line(one) for one in new).encode()
            if not content:
                return
            target.truncate(end)
            target.write(content)
            target.flush()
            os.fsync(target.fileno())
    except OSError as error:
        raise UnavailableError(f"the checkpoints cannot be appended to {file}: {error.strerror}") from error


def refuse_older_store(file: Path, store: Store, origin: str) -> None:
    """Compare the trees with the checkpoints that were published in a file.

    A store that was restored from a backup knows less than was signed, and would sign a second history.

    Raises:
        IntegrityError: A tree does not extend a published checkpoint.
        UnavailableError: The file cannot be read.
    """
    try:
        raw = file.read_bytes() if file.exists() else b""
    except OSError as error:
        raise UnavailableError(f"the checkpoints in {file} cannot be read: {error.strerror}") from error
    published = list(_heads(file, raw))
    for lane in evidence_trees.heads(store):
        for head in published:
            if head.origin != origin_of_lane(origin, lane):
                continue
            with evidence_trees.opened_tree(store, lane) as tree:
                if tree.head.size < head.size or tree.root(head.size) != head.root:
                    raise IntegrityError(
                        f"{file} has a checkpoint of {head.origin} with {head.size:,} records, which the "
                        f"{tree.head.size:,} of the store do not extend: was the store restored from a backup?"
                    )


def _heads(file: Path, raw: bytes) -> Iterable[Checkpoint]:
    if len(raw) > _MOST_BYTES:
        raise IntegrityError(f"{file} is too large to be a file of checkpoints")
    for line in raw.splitlines():
        try:
            note = parse_note(json.loads(line)["note"])
            if not is_combined(note):
                yield parse_checkpoint(note)
        except (ValueError, KeyError, TypeError, NoteError) as error:
            raise IntegrityError(f"{file} has a line that is not a checkpoint; move the file away") from error


def _line(one: SignedCheckpoint) -> str:
    document = {"id": one.id, "origin": one.head.origin, "size": one.head.size, "note": one.note}
    return json.dumps(document, ensure_ascii=False) + "\n"


def _last_of(target: Any) -> tuple[int, int]:
    """The id of the last complete line of a history, and where that line ends."""
    size = target.seek(0, os.SEEK_END)
    target.seek(max(0, size - _TAIL_BYTES))
    complete, newline, rest = target.read().rpartition(b"\n")
    if not newline:
        return 0, size - len(rest)
    try:
        return int(json.loads(complete.rpartition(b"\n")[2])["id"]), size - len(rest)
    except (ValueError, KeyError, TypeError):
        raise UnavailableError(f"{target.name} is not a history of checkpoints; move it away") from None
