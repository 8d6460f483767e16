"""Ask a witness to cosign a checkpoint (C2SP tlog-witness)."""

import logging
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, NamedTuple

import httpx

from lineage.core.evidence.checkpoints import Checkpoint
from lineage.core.evidence.notes import Note, NoteError, Signature, parse_signatures, verified
from lineage.core.evidence.witnessing import Submission
from lineage.core.model.times import SECOND, Instant
from lineage.deliver.http.certificates import trusting
from lineage.deliver.tlog.note_keys import is_valid
from lineage.deliver.tlog.witness_settings import WitnessEndpoint

logger = logging.getLogger(__name__)

_ANSWER_BYTES: Final = 64 * 1024
_CLOCK_SECONDS: Final = 3_600  # a cosignature of another time would say that the checkpoint was seen then
_SIZE: Final = re.compile(r"(0|[1-9]\d{0,18})\n?", re.ASCII)

SILENT: Final = "it does not answer"  # how the fault of a witness begins that cannot be reached

Prove = Callable[[int, int], tuple[bytes, ...]]  # the consistency proof between two sizes


class WitnessReply(NamedTuple):
    """The reply of a witness.

    Attributes:
        cosignature: Its signature; None if it did not cosign.
        fault: A sentence that says why there is no cosignature.
    """

    cosignature: Signature | None
    fault: str | None = None


def request_cosignature(
    witness: WitnessEndpoint, note: Note, head: Checkpoint, prove: Prove, clock: Callable[[], Instant]
) -> WitnessReply:
    """Ask a witness to cosign a checkpoint. Its reply names the size that it cosigned last, where the proof begins.

    Args:
        witness: The witness.
        note: The signed checkpoint.
        head: The tree head in the note.
        prove: Builds consistency proofs.
        clock: Returns the current time.

    Raises:
        RefusedError: The file with its certificates cannot be read.
    """
    with httpx.Client(timeout=witness.timeout_seconds, verify=trusting(witness.ca), trust_env=False) as client:
        try:
            status, text = _post(client, witness, Submission(0, (), note, head))
            matched = _SIZE.fullmatch(text) if status == HTTPStatus.CONFLICT else None
            if matched is not None:
                old = int(matched.group(1))
                if old > head.size:
                    return WitnessReply(
                        None, f"it has cosigned {old:,} records, more than the {head.size:,} of this log"
                    )
                status, text = _post(client, witness, Submission(old, prove(old, head.size), note, head))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            return WitnessReply(None, f"{SILENT}: {type(error).__name__}")
    if status != HTTPStatus.OK:
        message = " ".join(text.split())[:200]
        return WitnessReply(
            None, f"it refuses with {status}: {message}" if message.isprintable() else f"it refuses with {status}"
        )
    return _accepted(witness, note, text, clock())


def _accepted(witness: WitnessEndpoint, note: Note, text: str, now: Instant) -> WitnessReply:
    """Return the verified cosignature in an answer; signatures of other keys are ignored."""
    try:
        for signature in parse_signatures(text):
            made_at = verified(Note(note.text, (signature,)), [witness.key], is_valid).get(witness.key)
            if made_at is None:
                continue
            if abs(now // SECOND - made_at) > _CLOCK_SECONDS:
                return WitnessReply(None, f"its clock differs from ours by {abs(now // SECOND - made_at):,} s")
            return WitnessReply(signature)
    except NoteError as fault:
        return WitnessReply(None, f"its answer is not a cosignature: {fault}")
    return WitnessReply(None, "its answer has no cosignature by its key")


def _post(client: httpx.Client, witness: WitnessEndpoint, submission: Submission) -> tuple[int, str]:
    body = bytearray()
    with client.stream("POST", f"{witness.url}/add-checkpoint", content=str(submission).encode()) as response:
        for part in response.iter_bytes():
            body += part
            if len(body) > _ANSWER_BYTES:
                raise ValueError("too long")
        return response.status_code, body.decode()
