"""Facts with which somebody might try to resolve a finding: each contradicts a fact of a world, or adds to it."""

from collections.abc import Iterator

from tests.support.finding_cases import Event, lifted, moment, registered

_ENVELOPE = frozenset({"type", "event_id", "source", "occurred_at"})
# The required fields, which name the subject of a fact.
_ABOUT = {
    "delegation.granted": ("delegation", "delegator", "delegatee"),
    "token.issued": ("token", "subject"),
    "decision.made": ("decision", "permitted", "operation"),
    "action.performed": ("action", "operation", "outcome"),
    "receiver.registered": ("receiver",),
}
_OTHER_VALUES = {
    "token": "other", "delegation": "other", "actor": "agent:other", "workload": "spiffe://other",
    "on_behalf_of": "human:other", "decision": "other", "outcome": "failed", "permitted": True, "single_use": False,
    "scopes": ["other"], "audience": ["https://other"], "task": "other", "tool": "other", "approved_by": "human:other",
    "key_thumbprint": "other", "instruction_source": "user", "operation": "other", "exchange": "delegation",
    "expires_at": "2027-11-02T08:00:00Z",
}  # fmt: skip


def against(events: list[Event]) -> Iterator[Event]:
    """Build late facts of a party that denies everything; nobody gets another name."""
    for number, one in enumerate(events):
        for minutes, source in ((-30, one["source"]), (0, "urn:other"), (600, one["source"])):
            about = _ABOUT.get(one["type"])
            if about is None:
                continue
            least = {name: one[name] for name in (*_ENVELOPE, *about) if name in one}
            least |= {"event_id": f"against {number} {minutes} {source}", "source": source}
            least |= {"occurred_at": moment(minutes)} if minutes else {}
            yield least
            named = about[0]
            for field, value in _OTHER_VALUES.items():
                if field != named and (field in one or field in about or field in _ALLOWED.get(one["type"], ())):
                    yield {**least, "event_id": f"{least['event_id']} {field}", field: value}
        if one["type"] == "revocation.ordered":
            yield lifted(one["revocation"], 30)
            yield lifted(one["revocation"], 9000, effective_at=moment(0))
    for id_ in ("agent:a", "agent:b", "human:al"):
        yield registered(id_, 30, event_id=f"against {id_}", owner="human:al", purpose="good")


_ALLOWED = {
    "token.issued": ("actor", "delegation", "scopes", "single_use", "expires_at"),
    "delegation.granted": ("scopes", "single_use", "expires_at", "approved_by"),
    "action.performed": ("token", "delegation", "decision", "actor"),
    "decision.made": ("token", "actor", "approved_by"),
}
