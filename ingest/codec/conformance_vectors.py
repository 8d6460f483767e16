"""Test vectors for producers in other languages: event, Avro bytes, digest.

``python -m ingest.codec.conformance_vectors`` regenerates ``schemas/vectors/``, the vectors of the latest schema
version. Those of earlier versions stay in ``v1/`` and so on, since values written with them stay in the log.
"""

import json
from pathlib import Path
from typing import Any, Final

from ingest.codec.api import encode, event_from_document
from lineage.core.model.events import digest

FOLDER: Final = Path(__file__).resolve().parents[2] / "schemas" / "vectors"

_STS: Final = "https://sts.example.com"
_UUID: Final = "0191e8a2-7c00-7000-8000-00000000000"


def _event(type: str, number: int, **fields: Any) -> dict[str, Any]:
    return {
        "type": type,
        "event_id": f"{_UUID}{number:x}",
        "source": _STS,
        "occurred_at": f"2026-11-01T09:00:0{number % 10}.000000Z",
        **fields,
    }


_ENVELOPE: Final = {
    "txn": "txn-4711",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "sequence": 9007199254740991,
}
_LEAST: Final[dict[str, dict[str, Any]]] = {
    "principal.registered": _event("principal.registered", 1, principal="agent:planner", kind="agent"),
    "workload.bound": _event(
        "workload.bound", 2, agent="agent:planner", workload="spiffe://example.com/agents/planner"
    ),
    "delegation.granted": _event(
        "delegation.granted",
        3,
        delegation="dlg-1",
        delegator="human:alice@example.com",
        delegatee="agent:planner",
    ),
    "token.issued": _event(
        "token.issued", 4, token=f"{_STS}#t1", subject="human:alice@example.com", actor="agent:planner"
    ),
    "decision.made": _event("decision.made", 5, decision="dec-1", permitted=False, operation="tools/call"),
    "action.performed": _event("action.performed", 6, action="act-1", operation="tools/call", outcome="succeeded"),
    "revocation.ordered": _event(
        "revocation.ordered",
        7,
        revocation="rev-1",
        target={"kind": "token", "id": f"{_STS}#t1"},
        reason="compromise",
        ordered_by="human:ir@example.com",
    ),
    "revocation.lifted": _event("revocation.lifted", 8, revocation="rev-1", lifted_by="human:ir@example.com"),
    "revocation.acknowledged": _event(
        "revocation.acknowledged", 9, revocation="rev-1", receiver="gateway:eu", outcome="enforced"
    ),
    "receiver.registered": _event("receiver.registered", 10, receiver="gateway:eu"),
    "finding.judged": _event(
        "finding.judged",
        11,
        finding="F-0f1e2d3c4b5a69788796",
        judgement="suppressed",
        by="human:ir@example.com",
        reason="Known: a test of the gateway",
    ),
    "case.changed": _event("case.changed", 12, case="INC-2026-0042", change="assigned", by="human:ir@example.com"),
    "hold.changed": _event(
        "hold.changed", 13, hold="LIT-2026-7", change="placed", by="human:counsel@example.com", reason="A lawsuit"
    ),
    "records.deleted": _event(
        "records.deleted",
        14,
        deletion="deletion-20261102-7c1f9a",
        by="service:delegraph",
        topic="decisions",
        partition=0,
        first_tile=0,
        last_tile=7,
        records=1900,
        rule="decisions older than 400 days",
        recorded_before="2025-10-01T00:00:00.000000Z",
        list_sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        certificate="a signed note\n",
    ),
    "checkpoint.key_rotated": _event(
        "checkpoint.key_rotated",
        15,
        log="audit.example/agents",
        by="human:ops@example.com",
        reason="Once a year",
        note="a signed note\n",
    ),
}
_EVERY_FIELD: Final[dict[str, dict[str, Any]]] = {
    "principal.registered": {
        "display_name": "Planner",
        "owner": "human:alice@example.com",
        "purpose": "Plans the quarter",
        "environment": "production",
        "max_delegation_depth": 3,
        "aliases": ["spiffe://example.com/agents/planner", "arn:aws:iam::123456789012:role/planner"],
    },
    "workload.bound": {
        "key_thumbprint": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
        "expires_at": "2026-11-01T10:00:00.000000Z",
    },
    "delegation.granted": {
        "parents": ["dlg-0"],
        "scopes": ["crm:read", "mail:send"],
        "audience": ["https://crm.example.com"],
        "purpose": "Prepare the quarterly report",
        "task": "TASK-17",
        "max_depth": 0,
        "not_before": "2026-11-01T09:00:00.000000Z",
        "expires_at": "2026-11-30T00:00:00.000000Z",
        "instruction_source": "tool_result",
        "approved_by": "human:bob@example.com",
        "single_use": True,
        "no_scopes": False,
    },
    "token.issued": {
        "token_type": "urn:ietf:params:oauth:token-type:access_token",
        "prior_actors": ["agent:orchestrator", "agent:router"],
        "client": f"{_STS}#client-7",
        "session": f"{_STS}#sid-9",
        "delegation": "dlg-1",
        "derived_from": [
            {"token": f"{_STS}#t0", "role": "subject"},
            {"token": "aws#ASIAEXAMPLEEXAMPLE42", "role": "actor"},
        ],
        "scopes": ["crm:read"],
        "audience": ["https://crm.example.com"],
        "issued_at": "2026-11-01T09:00:00.000000Z",
        "not_before": "2026-11-01T09:00:00.000001Z",
        "expires_at": "9999-12-31T23:59:59.999999Z",
        "workload": "spiffe://example.com/agents/planner",
        "key_thumbprint": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2",
        "exchange": "delegation",
        "status_list": {"uri": "https://status.example.com/1", "idx": 0},
        "single_use": False,
        "no_scopes": True,
        "task": "TASK-17",
    },
    "decision.made": {
        "resource": {"id": "crm/accounts/42", "type": "account", "environment": "production"},
        "token": f"{_STS}#t1",
        "actor": "agent:planner",
        "on_behalf_of": "human:alice@example.com",
        "workload": "spiffe://example.com/agents/planner",
        "session": f"{_STS}#sid-9",
        "delegation": "dlg-1",
        "policy": {"id": "crm.rego", "version": "sha256:9f86d081"},
        "reasons": ["risk too high", "outside office hours"],
        "context": {"device": "managed", "risk": "high"},
        "approved_by": "human:bob@example.com",
        "prior_actors": ["agent:orchestrator"],
        "required_scopes": ["crm:read", "crm:accounts"],
        "params_digest": "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    },
    "action.performed": {
        "tool": "crm",
        "resource": {"id": "crm/accounts/42"},
        "token": f"{_STS}#t1",
        "actor": "agent:planner",
        "prior_actors": ["agent:orchestrator"],
        "workload": "spiffe://example.com/agents/planner",
        "session": f"{_STS}#sid-9",
        "delegation": "dlg-1",
        "decision": "dec-1",
        "on_behalf_of": "human:alice@example.com",
        "key_thumbprint": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
        "parent_action": "act-0",
        "params_digest": "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        "instruction_source": "document",
        "required_scopes": ["crm:read"],
        "task": "TASK-17/research",
    },
    "revocation.ordered": {
        "mode": "suspend",
        "cascade": False,
        "effective_at": "2026-11-01T09:05:00.000000Z",
        "issued_before": "2026-11-01T09:00:00.000000Z",
        "note": "INC-2026-0042: seen in a public repository",
        "approved_by": "human:bob@example.com",
        "plan_digest": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    },
    "revocation.lifted": {
        "approved_by": "human:bob@example.com",
        "effective_at": "2026-11-01T09:10:00.000000Z",
        "note": "False alarm",
    },
    "revocation.acknowledged": {"token": f"{_STS}#t1", "note": "Cache emptied"},
    "receiver.registered": {
        "issuers": [_STS],
        "audiences": ["https://crm.example.com"],
        "kinds": ["token", "delegation"],
        "deadline_seconds": 30,
    },
    "finding.judged": {"until": "2026-12-01T00:00:00.000000Z"},
    "case.changed": {
        "change": "opened",
        "items": [
            {"kind": "token", "id": f"{_STS}#t1"},
            {"kind": "actions", "id": "agent=agent%3Aplanner&from=2026-11-01T09%3A00%3A00.000000Z"},
        ],
        "title": "Leaked token of the planner",
        "assignee": "human:bob@example.com",
        "note": "Reported by the bank",
    },
    "hold.changed": {
        "principal": "human:alice@example.com",
        "case": "INC-2026-0042",
        "starts_at": "2026-11-01T00:00:00.000000Z",
        "ends_at": "2026-12-01T00:00:00.000000Z",
    },
    "records.deleted": {},
    "checkpoint.key_rotated": {},
}
# Defaults stated explicitly, and a time with an offset and more digits than are kept: the digest does not change.
_STATED_DEFAULTS: Final = {
    "occurred_at": "2026-11-01T10:00:07.0000009+01:00",
    "mode": "revoke",
    "cascade": True,
    "note": None,
    "traceparent": None,
}
_BEYOND_ASCII: Final = {
    "token": "https://idp.例え.jp#ﾄｰｸﾝ-1",
    "subject": "human:zoë@example.com",
    "actor": "agent:planificación-🤖",
    "scopes": ["größe:lesen", "", "e\u0301"],
}


def documents() -> dict[str, dict[str, Any]]:
    """The events of the vectors, by the name of the vector."""
    return {
        **_LEAST,
        **{f"{name}.every_field": _LEAST[name] | _ENVELOPE | more for name, more in _EVERY_FIELD.items()},
        "revocation.ordered.stated_defaults": _LEAST["revocation.ordered"] | _STATED_DEFAULTS,
        "token.issued.beyond_ascii": _LEAST["token.issued"] | _BEYOND_ASCII,
        "decision.made.beyond_ascii": _LEAST["decision.made"]
        | {"context": {"\ufb33": "1", "\U0001f600": "2", "\u20ac": "3", "\r": "4", "1": '"\\/\u2028'}},
    }


def vector(document: dict[str, Any]) -> dict[str, Any]:
    """Build one vector: the event as JSON, its value in the log in hexadecimal, and the digest of its content."""
    event = event_from_document(document)
    return {"event": document, "bytes": encode(event).hex(), "digest": digest(event)}


def text_of(document: dict[str, Any]) -> str:
    """The content of a vector's file."""
    return json.dumps(vector(document), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all vectors."""
    FOLDER.mkdir(exist_ok=True)
    for name, document in documents().items():
        (FOLDER / f"{name}.json").write_text(text_of(document), encoding="utf-8")


if __name__ == "__main__":
    main()
