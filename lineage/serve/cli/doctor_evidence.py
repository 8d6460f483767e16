"""The doctor's checks of the evidence: checkpoints, trees, and witnesses that are silent or disagree."""

from functools import partial

from lineage.core.evidence.notes import parse_note
from lineage.core.model.times import SECOND
from lineage.deliver.tlog.checkpointing import origin_of, origin_of_lane
from lineage.deliver.tlog.cosigning import consistency_of
from lineage.deliver.tlog.witness_client import request_cosignature
from lineage.deliver.tlog.witness_settings import WitnessEndpoint
from lineage.serve.cli.doctor_checks import Checks, ago
from lineage.serve.config.settings import Settings
from lineage.serve.config.wiring import now
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.evidence.evidence_status import evidence_status
from lineage.store import evidence_trees
from lineage.store.store import Store

_SIGN = "run 'delegraph evidence checkpoint', or 'delegraph deliver', which signs continuously"


def examine(checks: Checks, settings: Settings, store: Store) -> None:
    """Check what is signed and witnessed; adds nothing if nothing is signed and no key is configured."""
    found = evidence_status(store, settings.evidence_origin, settings.witnesses, at=now())
    if found["checkpoint"] is None and settings.evidence_key_file is None:
        return
    if not any(one["size"] for one in found["trees"]):
        checks.report("checkpoint", "there is nothing to sign yet")
        return
    broken = [f"{one['topic']}/{one['partition']}" for one in found["trees"] if one["is_broken"]]
    named = ", ".join(broken)
    checks.report(
        "trees",
        f"damaged, and not extended: {named}; run 'delegraph rebuild'" if broken else "whole",
        ok=not broken,
    )
    _covered(checks, "checkpoint", found["checkpoint"], "nothing is signed yet")
    if settings.witnesses:
        _covered(checks, "witnessed", found["witnessed"], "no checkpoint is witnessed yet")
        for one, status in zip(settings.witnesses, found["witnesses"], strict=True):
            _witness(checks, settings, store, one, status)


def _covered(checks: Checks, name: str, found: Document | None, nothing: str) -> None:
    if found is None:
        checks.report(name, f"{nothing}: {_SIGN}", ok=False)
        return
    age = ago(found["age_seconds"] * SECOND)
    message = f"the last one is {age} old and covers {found['size']:,} records; {found['records_after']:,} came later"
    checks.report(name, f"{message}: {_SIGN}" if found["old"] else message, ok=not found["old"])


def _witness(checks: Checks, settings: Settings, store: Store, witness: WitnessEndpoint, status: Document) -> None:
    """Ask a witness for the cosignatures that it owes, to learn why; the next process that signs stores them."""
    name = f"witness {witness.name}"
    if not status["lacking"]:
        checks.report(name, f"has cosigned the last checkpoints, {status['cosigned_at'] or 'none so far'}")
        return
    origin = origin_of(store, settings.evidence_origin)
    lanes = {origin_of_lane(origin, lane): lane for lane in evidence_trees.heads(store)}
    faults = []
    for tree in status["lacking"]:
        found = evidence_trees.latest_checkpoint(store, tree)
        if found is not None:
            prove = partial(consistency_of, store, lanes[tree])
            reply = request_cosignature(witness, parse_note(found.note), found.head, prove, now)
            faults += [] if reply.fault is None else [f"has not cosigned {tree}: {reply.fault}"]
    lacking = f"lacks {len(status['lacking'])} cosignatures, which it gives now: run 'delegraph evidence checkpoint'"
    checks.report(name, "; ".join(faults) or lacking, ok=not faults)
