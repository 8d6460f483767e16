"""The guided tour through the incident of the demo, in the browser."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlencode
from uuid import uuid4

from lineage.core.model.times import format_instant
from lineage.serve.cli.demo import ACTION, LATE_EVENTS, LEAKED, ingest
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.revocations.closure import closure
from lineage.serve.queries.revocations.revocations import revocations
from lineage.serve.queries.service import Service
from lineage.serve.web.demo_path import DemoStep, Story

RECEIVER: Final = "https://gateway.example"
CONTACT: Final = "the gateway's team: in this demo, the tour on the start page"
_THEN: Final = "2026-11-02T09:47:30Z"
_MISSING, _BORN_DEAD = LATE_EVENTS


def _to(path: str, **params: str) -> str:
    return f"{path}?{urlencode(params)}"


_STEPS: Final = (
    DemoStep(
        title="Who mailed the price list to a rival?",
        text="The answer is one sentence. The token was issued to the mailer; the scraper held it.",
        link=(_to("/who", action=ACTION), f"Look at the action {ACTION}"),
    ),
    DemoStep(
        title="Where else was that token used?",
        text="Two parties used it, as two workloads. It has leaked.",
        link=(_to("/uses", of=f"token:{LEAKED}"), "Look at all its uses"),
    ),
    DemoStep(
        title="What evidence is missing?",
        text="A second mail was sent with relay-2, which was derived from a token that no event grants.",
        link=(_to("/who", action="mail-8"), "Look at the action mail-8 and its missing evidence"),
    ),
    DemoStep(
        title="What is the blast radius?",
        text="The plan lists every token that a revocation would end, and carries a digest. Leave its tab open and "
        "come back to this one.",
        link=(_to("/reach", of=f"token:{LEAKED}"), "Look at the blast radius of the leaked token"),
        new_tab=True,
    ),
    DemoStep(
        title="Meanwhile the missing event arrives",
        text="mailer-2 was derived from the leaked token, so relay-2 depends on it as well. Let it arrive, then "
        "confirm the plan in the other tab: it is refused because more would be revoked than you have seen.",
        link=(_to("/chain", of="token:https://idp.example#relay-2"), "Look at relay-2 again: the evidence is complete"),
        play="missing",
    ),
    DemoStep(
        title="Revoke it, and follow the revocation",
        text="Look at the new plan, choose a reason, type the id of the token, and revoke it. The page that follows, "
        "and the board of revocations, show which enforcement points have confirmed.",
        link=(_to("/reach", of=f"token:{LEAKED}"), "Look at the plan as it is now"),
    ),
    DemoStep(
        title="The gateway enforces it",
        text="The gateway confirms every revocation so far. The board updates while you look at it.",
        link=("/revocations", "Look at the board"),
        play="enforced",
    ),
    DemoStep(
        title="Prove that it has stopped",
        text="A confirmation is a word. On the page of the revocation, 'Prove it now' asks the gateway what it does "
        "and signs the reply; the signed receipt is for everyone who needs proof.",
        link=("/revocations", "Open the revocation, and prove it"),
    ),
    DemoStep(
        title="A token service that had not heard of it issues a token",
        text="relay-4 is derived from the leaked token after the revocation: it is never valid, and the revocation is "
        "open again until the gateway has confirmed that too.",
        link=(_to("/chain", of="token:https://idp.example#relay-4"), "Look at relay-4"),
        play="born-dead",
    ),
    DemoStep(
        title="And was it allowed at the time?",
        text="View the moment at which the mail was sent: the authority was active. Revoking it today does not rewrite "
        "history.",
        link=(_to("/who", action=ACTION, at=_THEN), "Look at the action as of 09:47:30"),
    ),
)


class DemoGateway:
    """The gateway of the story, as a stop-proof asks it: it denies what it has enforced."""

    is_current = True

    def __init__(self) -> None:
        """Start by accepting everything."""
        self._denied: set[str] = set()

    def deny(self, token: str) -> None:
        """Stop accepting a token."""
        self._denied.add(token)

    def is_dead(self, token: str) -> bool:
        """Whether a token is denied."""
        return token in self._denied

    def status_of(self, _kind: str, _id: str) -> None:
        """Return nothing: it knows only tokens."""


def demo_story(service: Service, gateway: DemoGateway) -> Story:
    """Build the tour; events that it adds go through the real import."""

    def missing() -> None:
        _take(service, [_MISSING])

    def born_dead() -> None:
        now = format_instant(service.clock())
        _take(service, [{**_BORN_DEAD, "occurred_at": now}])

    def enforced() -> None:
        # One element at a time: an acknowledgement of everything delivered would need a delivery process, which is
        # not running.
        orders = revocations(service, at=service.clock())["items"]
        acknowledged, enforcing = [], {"receiver": RECEIVER, "outcome": "enforced"}
        for id_ in sorted({order["revocation"] for order in orders}):
            verdict = closure(service, id_, at=service.clock())
            acknowledged += [
                _event(service, "revocation.acknowledged", **enforcing, revocation=id_, token=one["id"])
                for one in (verdict["open"] if verdict else ())
                if one["kind"] == "token"
            ]
        for one in acknowledged:
            gateway.deny(one["token"])
        if acknowledged:
            _take(service, acknowledged)

    return Story(steps=_STEPS, plays={"missing": missing, "enforced": enforced, "born-dead": born_dead})


def register_receiver(service: Service) -> None:
    """Register a gateway that enforces revocations, so that a revocation can be completed."""
    _take(service, [_event(service, "receiver.registered", receiver=RECEIVER)])


def _event(service: Service, type_: str, **fields: str) -> Document:
    now = format_instant(service.clock())
    return {"type": type_, "event_id": str(uuid4()), "source": RECEIVER, "occurred_at": now, **fields}


def _take(service: Service, events: Sequence[Document]) -> None:
    with tempfile.TemporaryDirectory(prefix="delegraph-story-") as folder:
        file = Path(folder) / "events.jsonl"
        file.write_text("".join(f"{json.dumps(event)}\n" for event in events), encoding="utf-8")
        ingest(service, file)
