"""Prove that a revocation has stopped what it ended: ask the enforcement points now, and sign what they replied."""

import random
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from lineage.core.model.errors import RefusedError
from lineage.core.model.keys import split_key
from lineage.core.model.times import format_instant
from lineage.core.revocation.stop_proof import PointProof, Stopped, StopProof, prove
from lineage.deliver.http.signing_keys import NO_SIGNING_KEY, SigningKeys
from lineage.deliver.probes.inquiry import Inquiry
from lineage.deliver.probes.probe_settings import STATUS_LIST, Probe
from lineage.deliver.probes.prober import ask_all
from lineage.serve.documents.core_documents import Document, instant
from lineage.serve.queries.revocations.signed_receipt import signed
from lineage.serve.queries.revocations.stopped import places_of, stopped_and_acknowledged, stopped_by
from lineage.serve.queries.service import Service

TYPE: Final = "delegraph-stop-proof+jws"
FIRST: Final = 1_000  # entries listed besides a count
_NONCE_CHARACTERS: Final = 128

Probes = Mapping[str, Probe]


def prove_stopped(
    service: Service,
    keys: SigningKeys | None,
    probes: Probes,
    revocation: str,
    *,
    nonce: str | None = None,
    sample: int | None = None,
) -> Document | None:
    """Ask every enforcement point about what a revocation has ended; None if there is no such order.

    Args:
        service: The service.
        keys: What signs the proof.
        probes: How to ask the enforcement points.
        revocation: The id.
        nonce: Shows the caller that the proof was made for this request; None to have one made.
        sample: Roughly how many elements each introspection endpoint is asked about; None for all. What was not
            asked about is not proved.

    Raises:
        RefusedError: It was lifted or is not in effect yet, the nonce is unusable, or there is no signing key.
        UnavailableError: The log cannot be read for records that are not projected yet.
    """
    nonce = _usable(nonce)
    service.catch_up()
    began_at = service.clock()
    before = stopped_by(service, revocation)
    if before is None:
        return None
    if keys is None:
        raise RefusedError(NO_SIGNING_KEY)
    keys_by_probe = _keys_by_probe(before, probes, nonce, sample)
    observations = ask_all(probes, keys_by_probe, inquiry_about(service, keys, probes, keys_by_probe, nonce))
    service.catch_up()  # receivers that joined, elements that were linked, and uses that were recorded since
    after = stopped_and_acknowledged(service, revocation)
    assert after is not None  # noqa: S101 (nothing is ever taken out of the log)
    ended_at = service.clock()
    proof = prove(after.elements, observations, ended_at)
    document = {
        "type": "delegraph-stop-proof",
        "revocation": revocation,
        "nonce": nonce,
        "verdict": str(proof.verdict),
        "began_at": format_instant(began_at),
        "ended_at": format_instant(ended_at),
        "closure": str(after.closure.verdict),
        **_proof_document(proof),
        "points": [_point_document(one, probes, after.acknowledged) for one in proof.points],
        "recorded_at": after.recorded_at,
    }
    return signed(keys, "proof", document, TYPE)


def inquiry_about(
    service: Service, keys: SigningKeys, probes: Probes, keys_by_probe: Mapping[str, Iterable[str]], nonce: str
) -> Inquiry:
    """Prepare what all questions share; entries of status lists only for elements of who decides by them."""
    listed = {key for receiver, found in keys_by_probe.items() if _reads_lists(probes, receiver) for key in found}
    return Inquiry(nonce, service.clock, keys, places_of(service, listed) if listed else {})


def _reads_lists(probes: Probes, receiver: str) -> bool:
    return receiver in probes and probes[receiver].kind == STATUS_LIST


def _usable(nonce: str | None) -> str:
    if nonce is None:
        return secrets.token_hex(16)
    if not 0 < len(nonce) <= _NONCE_CHARACTERS or not (nonce.isascii() and nonce.isprintable()):
        raise RefusedError(f"a nonce has 1 to {_NONCE_CHARACTERS} printable characters of ASCII")
    return nonce


def _keys_by_probe(elements: Iterable[Stopped], probes: Probes, nonce: str, sample: int | None) -> dict[str, list[str]]:
    keys_by_probe: dict[str, list[str]] = {}
    for one in elements:
        for receiver in one.receivers:
            keys_by_probe.setdefault(receiver, []).append(one.key)
    chosen = random.Random(nonce)  # noqa: S311 (which elements are asked about is no secret)
    for receiver, found in keys_by_probe.items():
        probe = probes.get(receiver)
        if probe is not None and probe.asks_one_by_one and sample is not None and sample < len(found):
            keys_by_probe[receiver] = chosen.sample(found, sample)
    return keys_by_probe


def _proof_document(proof: StopProof) -> Document:
    accepted = [{"kind": kind, "id": id_, "receiver": receiver} for kind, id_, receiver in _places(proof.accepted)]
    uncovered = [dict(zip(("kind", "id"), split_key(key), strict=True)) for key in proof.uncovered[:FIRST]]
    return {
        "elements": proof.elements,
        "expired": proof.expired,
        "accepted": {"count": len(proof.accepted), "first": accepted},
        "uncovered": {"count": len(proof.uncovered), "first": uncovered},
    }


def _places(accepted: Sequence[tuple[str, str]]) -> Iterable[tuple[str, str, str]]:
    return ((*split_key(key), receiver) for key, receiver in accepted[:FIRST])


def _point_document(one: PointProof, probes: Probes, acknowledged: Mapping[str, int]) -> Document:
    probe = probes.get(one.receiver)
    return {
        "receiver": one.receiver,
        "asked_by": None if probe is None else probe.kind,
        "verdict": str(one.verdict),
        "covers": one.covers,
        "denied": one.denied,
        "accepted": one.accepted,
        "not_asked": one.not_asked,
        "revocation_unsupported": one.unsupported,
        "revocation_unavailable": one.unavailable,
        "acknowledged": acknowledged.get(one.receiver, 0),
        "last_success": instant(one.last_success),
        "first_denial": instant(one.first_denial),
    }
