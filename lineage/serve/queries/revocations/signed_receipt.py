"""The signed receipt of an enforced revocation, which its recipient can verify without us.

It is a document with a detached JWS (RFC 7797) over its canonical JSON (RFC 8785), and contains no fractions, so that
every JSON library writes the same bytes.
"""

import shlex
from typing import Final

from lineage.core.model.errors import NotOverError, RefusedError
from lineage.core.model.events import canonical_json
from lineage.core.model.times import Instant, format_instant
from lineage.core.revocation.closure import ClosureVerdict
from lineage.deliver.http.signing_keys import NO_SIGNING_KEY, SigningKeys
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.evidence.exported_evidence import named_evidence
from lineage.serve.queries.revocations.receipt import receipt, receipt_summary
from lineage.serve.queries.revocations.revocations import revocation
from lineage.serve.queries.service import Service

TYPE: Final = "delegraph-receipt+jws"
_FIELDS: Final = ("verdict", "ordered_at", "in_force_at", "closed_at", "elements", "receivers")


def signed_receipt(
    service: Service, keys: SigningKeys | None, id_: str, *, at: Instant, origin: str | None = None
) -> Document | None:
    """Sign that a revocation is enforced everywhere; None if there is no such order.

    It names the last checkpoints of the log, whose origin may be configured, and the bundle with the proofs.

    Raises:
        NotOverError: The revocation is not CLOSED.
        RefusedError: No signing key is configured.
    """
    found = revocation(service, id_, at=at)
    if found is None:
        return None
    if found["verdict"] != ClosureVerdict.CLOSED:
        raise NotOverError(
            f"{id_} is {found['verdict']}, and only what is CLOSED has a signed receipt; {len(found['open']):,} open: "
            f"delegraph closure {id_}",
            found["verdict"],
        )
    with receipt(service, id_, at=at) as lines:
        assert lines is not None  # noqa: S101 (there is an order of this id)
        summary = receipt_summary(lines, at=at, known_at=None)
    document = {
        "type": "delegraph-receipt",
        "revocation": id_,
        **{name: found[name] for name in _FIELDS},
        "by_hand": found.get("by_hand", []),
        "orders": found["orders"],
        "states": summary["states"],
        "lines_sha256": summary["digest"],
        "signed_at": format_instant(at),
        "recorded_at": found["as_of"]["recorded_at"],
    }
    evidence = named_evidence(service, origin, f"delegraph evidence receipt {shlex.quote(id_)} --out FILE")
    if evidence is not None:
        document["evidence"] = evidence
    return signed(keys, "receipt", document, TYPE)


def signed(keys: SigningKeys | None, name: str, document: Document, typ: str) -> Document:
    """Wrap a document with its signature and the key that verifies it.

    Raises:
        RefusedError: No signing key is configured.
    """
    if keys is None:
        raise RefusedError(NO_SIGNING_KEY)
    return {name: document, "jws": keys.sign_detached(canonical_json(document), typ), "jwk": keys.jwks()["keys"][0]}
