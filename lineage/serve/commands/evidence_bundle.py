"""Export an answer as a signed bundle of evidence: sign checkpoints that cover it, gather its records, and sign all."""

from collections.abc import Callable
from typing import Final

from lineage.core.model.events import canonical_json
from lineage.deliver.tlog.note_keys import NoteKeys
from lineage.serve.commands.checkpoints import sign
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.service import Service

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"


def export_bundle(service: Service, keys: NoteKeys, statement: Callable[[], Document | None]) -> Document | None:
    """Sign a bundle as a DSSE envelope; None if there is nothing to give evidence of.

    Args:
        service: The service.
        keys: Signs the checkpoints and the bundle.
        statement: Builds the statement, once the checkpoints cover what was projected.
    """
    sign(service, keys)
    found = statement()
    return None if found is None else keys.sign_envelope(PAYLOAD_TYPE, canonical_json(found))
