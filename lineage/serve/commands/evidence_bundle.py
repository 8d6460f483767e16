"""Export an answer as a signed bundle of evidence: sign checkpoints that cover it, gather its records, and sign all."""

from collections.abc import Callable, Sequence
from typing import Final

from lineage.core.model.events import canonical_json
from lineage.deliver.tlog.note_keys import NoteKeys
from lineage.deliver.tlog.witness_settings import WitnessEndpoint
from lineage.serve.commands.checkpoints import sign
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.service import Service

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"


def export_bundle(
    service: Service,
    keys: NoteKeys,
    witnesses: Sequence[WitnessEndpoint],
    needed: int | None,
    statement: Callable[[], Document | None],
) -> Document | None:
    """Sign a bundle as a DSSE envelope; None if there is nothing to give evidence of.

    Args:
        service: The service.
        keys: Signs the checkpoints and the bundle.
        witnesses: Asked to cosign the checkpoints; one that does not is left out.
        needed: The number that must have cosigned a checkpoint for it to count as witnessed; None for all.
        statement: Builds the statement, once the checkpoints cover what was projected.
    """
    sign(service, keys, witnesses, needed)
    found = statement()
    return None if found is None else keys.sign_envelope(PAYLOAD_TYPE, canonical_json(found))
