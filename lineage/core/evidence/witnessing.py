"""The decision of a witness (C2SP tlog-witness): it cosigns a checkpoint that extends the last one it cosigned."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from lineage.core.evidence.checkpoints import Checkpoint, decoded_hashes, encoded_hashes, parse_checkpoint
from lineage.core.evidence.merkle import is_consistent
from lineage.core.evidence.notes import Check, Note, NoteError, VerifierKey, parse_note, verified

_OLD: Final = re.compile(r"old (0|[1-9]\d{0,18})", re.ASCII)
_MOST_HASHES: Final = 63


@dataclass(frozen=True, slots=True)
class Submission:
    """A request for a cosignature.

    Attributes:
        old: The size of the checkpoint that the witness cosigned last.
        proof: The consistency proof from there.
        note: The signed checkpoint.
        head: What it says.
    """

    old: int
    proof: tuple[bytes, ...]
    note: Note
    head: Checkpoint

    def __str__(self) -> str:
        """Format the body of the request."""
        return "\n".join([f"old {self.old}", *encoded_hashes(self.proof), "", str(self.note)])


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason why a witness does not cosign.

    Attributes:
        status: The status of the answer.
        size: The size of the checkpoint that it cosigned last, if the submission builds on another.
        forked: Whether the log has signed two histories, which is proof that it misbehaves.
        detail: A sentence for people.
    """

    status: HTTPStatus
    detail: str
    size: int | None = None
    forked: bool = False


def parse_submission(raw: str) -> Submission:
    """Parse the body of a request.

    Raises:
        NoteError: It is not a submission.
    """
    head, blank, note = raw.partition("\n\n")
    first, *lines = head.split("\n")
    matched = _OLD.fullmatch(first)
    if matched is None or not blank or len(lines) > _MOST_HASHES:
        raise NoteError("a submission begins with the line 'old SIZE' and at most 63 hashes; a checkpoint follows")
    parsed = parse_note(note)
    return Submission(int(matched.group(1)), decoded_hashes(lines), parsed, parse_checkpoint(parsed))


def refusal(
    submission: Submission,
    keys: Mapping[str, Sequence[VerifierKey]],
    last: Checkpoint | None,
    check: Check,
    *,
    retired: int = 0,
) -> Refusal | None:
    """Decide about a submission; None means that the checkpoint may be cosigned.

    Args:
        submission: The submission.
        keys: The keys of each log that is witnessed, by its origin, the oldest first.
        last: The checkpoint of this origin that was cosigned last; None if none was.
        check: Verifies an Ed25519 signature.
        retired: The number of keys, from the first on, that were replaced, because a later one has signed.
    """
    head = submission.head
    if head.origin not in keys:
        return Refusal(HTTPStatus.NOT_FOUND, f"no log {head.origin} is witnessed here")
    try:
        signed = verified(submission.note, keys[head.origin], check)
    except NoteError as fault:
        return Refusal(HTTPStatus.FORBIDDEN, str(fault))
    if not signed:
        return Refusal(HTTPStatus.FORBIDDEN, "no key of this log signed the checkpoint")
    if not signed.keys() & set(keys[head.origin][retired:]):
        detail = "the key that signed the checkpoint was replaced: a later key has signed one that was cosigned"
        return Refusal(HTTPStatus.FORBIDDEN, detail)
    if submission.old > head.size:
        return Refusal(HTTPStatus.BAD_REQUEST, "the old size is larger than that of the checkpoint")
    known = last.size if last is not None else 0
    if submission.old != known:
        return Refusal(HTTPStatus.CONFLICT, f"the last checkpoint that was cosigned has {known} records", known)
    if last is None:
        wrong = bool(submission.proof)
    else:
        wrong = not is_consistent(last.size, head.size, last.root, head.root, submission.proof)
    if not wrong:
        return None
    if last is not None and last.size == head.size:
        detail = f"the log signed two checkpoints with {known} records: it shows two histories"
        return Refusal(HTTPStatus.CONFLICT, detail, known, forked=True)
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "the checkpoint does not extend the one that was cosigned last")
