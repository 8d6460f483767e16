"""Bodies of writes over HTTP, valid and invalid, and the Avro encoding of an event."""

from typing import Any

import httpx

from ingest.codec import api as codec
from tests.support.http_worlds import LEAKED

ID = LEAKED.removeprefix("token:")


TARGET = {"kind": "token", "id": ID}


ORDER = {"target": TARGET, "reason": "credential_leak"}


KILLED = 3


EVENT = {
    "type": "token.issued",
    "event_id": "e1",
    "source": "urn:test:a",
    "occurred_at": "2026-11-02T10:20:00Z",
    "token": "t1",
    "subject": "human:alice@example.com",
    "derived_from": [{"token": ID, "role": "subject"}],
}


COUNTS = ("read", "accepted", "duplicates", "conflicts", "unauthorised", "quarantined")


def counts(response: httpx.Response) -> list[int]:
    assert 200 == response.status_code, response.text
    return [response.json()[name] for name in COUNTS]


def event(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {**EVENT, "event_id": f"e{number}", "token": f"t{number}", **fields}


def avro(*events: dict[str, Any]) -> list[bytes]:
    return [codec.encode(codec.event_from_document(one)) for one in events]


def zigzag(number: int) -> bytes:
    number = number << 1 ^ number >> 63
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


ORDERED = {"type": "revocation.ordered", "revocation": "r", "target": TARGET, "reason": "test", "ordered_by": "human:x"}


NOT_EVENTS = [
    ORDERED,
    {"type": "revocation.lifted", "revocation": "r", "lifted_by": "human:x"},
    {"type": "revocation.acknowledged", "revocation": "r", "receiver": "x", "outcome": "enforced"},
    {"type": "finding.judged", "finding": "F-1", "judgement": "suppressed", "by": "human:x", "reason": "hidden"},
    {"type": "checkpoint.key_rotated", "log": "x", "by": "human:x", "reason": "over", "note": "x"},
    {"type": "hold.changed", "hold": "h", "change": "released", "by": "human:x", "reason": "over"},
]
