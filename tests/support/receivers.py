"""Short forms of registrations and acknowledgements of receivers."""

from typing import Any

from tests.support.desk import LATER, raw_event


def receiver(id: str, **fields: Any) -> dict[str, Any]:
    return raw_event("receiver.registered", f"receiver {id}", "08:00", "urn:directory", receiver=id, **fields)


def acknowledged(receiver: str, revocation: str, at: str = LATER, **fields: Any) -> dict[str, Any]:
    stated = {"outcome": "enforced", **fields}
    event = raw_event("revocation.acknowledged", f"ack {receiver} {revocation} {fields}", source=receiver, **stated)
    return {**event, "occurred_at": at, "receiver": receiver, "revocation": revocation}
