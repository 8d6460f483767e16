"""Labelled worlds of every rule: attacks, honest twins that look similar, and worlds without the input of a rule.

They are written from the catalogue of rules alone, as a user could. Times are minutes from a start, so that a world can
be as recent as a question; an event with ``NOW`` happens when its part is ingested, and ``THEN`` separates parts that
arrive one after another.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from tests.support.finding_cases import Event

Fields = dict[str, Any]
NOW: Final = "NOW"
THEN: Final = "THEN"
DAY: Final = 24 * 60
ALICE = "human:alice"
PLANNER, MAILER, CRAWLER = "agent:planner", "agent:mailer", "agent:web"
WORKLOADS = {agent: agent.replace("agent:", "spiffe://x/") for agent in (PLANNER, MAILER, CRAWLER)}
FIRST, SECOND, THIRD = "https://idp#t1", "https://idp#t2", "https://idp#t3"
_TIMES: Final = ("occurred_at", "expires_at", "not_before", "effective_at", "issued_before", "issued_at")


class Labelled(NamedTuple):
    """A labelled world.

    Attributes:
        rule: The rule it is about.
        label: What it shows.
        kind: ``attack``, ``honest``, or ``unknown`` if the rule cannot be evaluated.
        parts: Its events, in the parts in which they arrive.
        of: What the rule speaks of; None if the label does not say.
        sev: How severe it is.
        cites: Some of the events that the finding cites.
        n: How many findings of the rule there are; None for any number.
        settings: The settings, in TOML.
        at: The instant asked about, in minutes; None for just after everything arrived.
    """

    rule: str
    label: str
    kind: str
    parts: list[list[Event]]
    of: str | None = None
    sev: str | None = None
    cites: frozenset[str] = frozenset()
    n: int | None = None
    settings: str = ""
    at: float | None = None


WORLDS: list[Labelled] = []


def dated(event: Event, start: datetime, now: datetime) -> Event:
    """Return an event with its times as producers state them."""

    def moment(value: float | str) -> str:
        at = now if value == NOW else start + timedelta(minutes=float(value))
        return at.isoformat().replace("+00:00", "Z")

    return {name: moment(value) if name in _TIMES else value for name, value in event.items() if value is not None}


def _event(type_: str, id_: str, at: float | str, source: str, **fields: Any) -> Event:
    source, id_ = fields.pop("src", source), fields.pop("id", id_)
    return {"type": type_, "event_id": id_, "source": source, "occurred_at": at, **fields}


def registered(principal: str, kind: str, m: float = 0, **fields: Any) -> Event:
    return _event("principal.registered", f"reg-{principal}", m, "urn:dir", principal=principal, kind=kind, **fields)


def bound(agent: str, workload: str, m: float = 0, **fields: Any) -> Event:
    return _event("workload.bound", f"bind-{agent}-{workload}", m, "urn:dir", agent=agent, workload=workload, **fields)


def granted(delegation: str, by: str, to: str, m: float | str = 1, **fields: Any) -> Event:
    fields = {"expires_at": 300, "scopes": ["crm:read"], **fields}
    return _event(
        "delegation.granted", f"grant-{delegation}", m, "urn:idp", delegation=delegation, delegator=by, delegatee=to,
        **fields,
    )  # fmt: skip


def issued(token: str, subject: str, actor: str | None, m: float | str = 2, **fields: Any) -> Event:
    """Build a token, bound to its user's workload; ``sub``, ``act``, ``ref`` and ``rep`` name what it derives from."""
    roles = {"sub": "subject", "act": "actor", "ref": "refresh", "rep": "replaced"}
    derived = [{"token": fields.pop(short), "role": role} for short, role in roles.items() if short in fields]
    derived += fields.pop("derived_from", [])
    fields = {"expires_at": 300, "scopes": ["crm:read"], "workload": WORKLOADS.get(actor or subject), **fields}
    return _event(
        "token.issued", f"iss-{token}", m, "urn:idp", token=token, subject=subject, actor=actor, derived_from=derived,
        **fields,
    )  # fmt: skip


def decided(decision: str, permitted: bool = True, m: float | str = 5, **fields: Any) -> Event:
    fields = {"operation": "crm.read", **fields}
    return _event("decision.made", f"dec-{decision}", m, "urn:pdp", decision=decision, permitted=permitted, **fields)


def done(action: str, m: float | str = 6, **fields: Any) -> Event:
    fields = {"operation": "crm.read", "outcome": "succeeded", **fields}
    if isinstance(fields.get("resource"), str):
        fields["resource"] = {"id": fields["resource"]}
    return _event("action.performed", f"do-{action}", m, "urn:gw", action=action, **fields)


def ordered(revocation: str, kind: str, id_: str, m: float | str = 10, **fields: Any) -> Event:
    fields = {"reason": "compromise", "ordered_by": "human:ruth", "target": {"kind": kind, "id": id_}, **fields}
    return _event("revocation.ordered", f"order-{revocation}", m, "urn:ir", revocation=revocation, **fields)


def lifted(revocation: str, m: float | str = 15, **fields: Any) -> Event:
    fields = {"lifted_by": "human:ruth", **fields}
    return _event("revocation.lifted", f"lift-{revocation}", m, "urn:ir", revocation=revocation, **fields)


def acknowledged(revocation: str, by: str, m: float | str = 12, **fields: Any) -> Event:
    fields = {"outcome": "enforced", "receiver": by, **fields}
    return _event("revocation.acknowledged", f"ack-{revocation}-{by}", m, "urn:rs", revocation=revocation, **fields)


def receiver(receiver: str, m: float = 0, **fields: Any) -> Event:
    return _event("receiver.registered", f"recv-{receiver}", m, "urn:rs", receiver=receiver, **fields)


BASE = [
    *(registered(person, "human") for person in (ALICE, "human:bob", "human:ruth")),
    *(registered(agent, "agent", owner=ALICE, purpose="crm work", environment="prod") for agent in WORKLOADS),
    *(bound(agent, workload) for agent, workload in WORKLOADS.items()),
]
D1, FIRST_TOKEN = granted("d1", ALICE, PLANNER), issued(FIRST, ALICE, PLANNER, delegation="d1")
D2 = granted("d2", PLANNER, MAILER, 2, parents=["d1"])
SECOND_TOKEN = issued(SECOND, ALICE, MAILER, 3, delegation="d2", sub=FIRST)
CHAIN = [D1, FIRST_TOKEN, D2, SECOND_TOKEN]


def _parts(events: Iterable[Event | str]) -> list[list[Event]]:
    parts: list[list[Event]] = [[]]
    for one in events:
        if isinstance(one, str):
            parts.append([])
        else:
            parts[-1].append(one)
    return [part for part in parts if part]


def _add(kind: str, rule: str, label: str, events: tuple[Event | str, ...], base: list[Event], fields: Fields) -> None:
    cites = frozenset(fields.pop("cites", ()))
    WORLDS.append(Labelled(rule, label, kind, _parts([*base, *events]), cites=cites, **fields))


def attack(rule: str, label: str, *events: Event | str, base: list[Event] = BASE, **fields: Any) -> None:
    """Add an attack, which the rule has to report."""
    _add("attack", rule, label, events, base, fields)


def honest(rule: str, label: str, *events: Event | str, base: list[Event] = BASE, **fields: Any) -> None:
    """Add an honest twin, about which the rule reports nothing."""
    _add("honest", rule, label, events, base, fields)


def unknown(rule: str, label: str, *events: Event | str, base: list[Event] = BASE, **fields: Any) -> None:
    """Add a world without the input of the rule, which must then report that it is not evaluated."""
    _add("unknown", rule, label, events, base, fields)


# fmt: off
# audience-exceeds-parent
CRM, PAY = ["https://crm"], ["https://crm", "https://pay"]
attack(
    "audience-exceeds-parent", "plain", granted("d1", ALICE, PLANNER, audience=CRM),
    granted("d2", PLANNER, MAILER, 2, parents=["d1"], audience=PAY), of="delegation:d2", sev="medium",
    cites=["grant-d1", "grant-d2"],
)
attack(
    "audience-exceeds-parent", "token", granted("d1", ALICE, PLANNER, audience=CRM),
    issued(FIRST, ALICE, PLANNER, delegation="d1", audience=PAY), of=f"token:{FIRST}", sev="medium",
)
attack(
    "audience-exceeds-parent", "renewed", issued(FIRST, ALICE, PLANNER, audience=CRM),
    issued(SECOND, ALICE, PLANNER, 5, rep=FIRST, audience=PAY), of=f"token:{SECOND}", sev="medium",
)
attack(
    "audience-exceeds-parent", "split: audience added later", granted("d1", ALICE, PLANNER, audience=CRM),
    granted("d2", PLANNER, MAILER, 2, parents=["d1"], audience=CRM), THEN,
    granted("d2", PLANNER, MAILER, 3, parents=["d1"], audience=["https://pay"], id="more"), of="delegation:d2",
    sev="medium",
)
honest(
    "audience-exceeds-parent", "exchange", granted("d1", ALICE, PLANNER),
    issued(FIRST, ALICE, PLANNER, audience=CRM, delegation="d1"),
    issued(SECOND, ALICE, MAILER, 4, sub=FIRST, audience=["https://pay"]),
)
honest(
    "audience-exceeds-parent", "actor edge", issued(FIRST, ALICE, PLANNER, audience=["https://idp"]),
    issued("https://idp#a", MAILER, None, 3, audience=["https://sts"]),
    issued(SECOND, ALICE, MAILER, 4, sub=FIRST, act="https://idp#a", audience=CRM),
)
honest(
    "audience-exceeds-parent", "parent unstated", D1, granted("d2", PLANNER, MAILER, 2, parents=["d1"], audience=CRM),
)
honest(
    "audience-exceeds-parent", "narrower", granted("d1", ALICE, PLANNER, audience=PAY),
    granted("d2", PLANNER, MAILER, 2, parents=["d1"], audience=CRM),
)
honest(
    "audience-exceeds-parent", "parent widened late", granted("d1", ALICE, PLANNER, audience=CRM),
    granted("d2", PLANNER, MAILER, 2, parents=["d1"], audience=PAY), THEN,
    granted("d1", ALICE, PLANNER, 1.5, audience=["https://pay"], id="more"),
)
unknown("audience-exceeds-parent", "none", *CHAIN)

# renewal-widened
TASKED: Fields = {"task": "inv-1", "parents": ["d0"]}
D0 = granted("d0", ALICE, PLANNER, 0.5, scopes=["crm:read", "crm:write", "crm:del"])
attack(
    "renewal-widened", "scopes", D0, granted("d1", PLANNER, MAILER, 1, **TASKED),
    granted("d2", PLANNER, MAILER, 5, scopes=["crm:read", "crm:write"], **TASKED), of="delegation:d2", sev="low",
    cites=["grant-d1", "grant-d2"],
)
attack(
    "renewal-widened", "end", D0, granted("d1", PLANNER, MAILER, 1, **TASKED, expires_at=100),
    granted("d2", PLANNER, MAILER, 5, **TASKED, expires_at=None), of="delegation:d2", sev="low",
)
attack(
    "renewal-widened", "alias",
    registered(MAILER, "agent", id="al", aliases=["m-7"], owner=ALICE, purpose="crm work"), D0,
    granted("d1", PLANNER, MAILER, 1, **TASKED),
    granted("d2", PLANNER, "m-7", 5, scopes=["crm:read", "crm:write"], **TASKED), of="delegation:d2", sev="low",
)
attack(
    "renewal-widened", "approved by an agent", D0, granted("d1", PLANNER, MAILER, 1, **TASKED),
    granted("d2", PLANNER, MAILER, 5, scopes=["crm:read", "crm:write"], approved_by=CRAWLER, **TASKED),
    of="delegation:d2", sev="low",
)
attack(
    "renewal-widened", "reversed arrival", D0,
    granted("d2", PLANNER, MAILER, 5, scopes=["crm:read", "crm:write"], **TASKED), THEN,
    granted("d1", PLANNER, MAILER, 1, **TASKED), of="delegation:d2", sev="low",
)
honest(
    "renewal-widened", "approved", D0, granted("d1", PLANNER, MAILER, 1, **TASKED),
    granted("d2", PLANNER, MAILER, 5, scopes=["crm:read", "crm:write"], approved_by="human:bob", **TASKED),
)
honest(
    "renewal-widened", "other task", D0, granted("d1", PLANNER, MAILER, 1, **TASKED),
    granted("d2", PLANNER, MAILER, 5, scopes=["crm:read", "crm:write"], task="inv-2", parents=["d0"]),
)
honest(
    "renewal-widened", "narrower", D0, granted("d1", PLANNER, MAILER, 1, scopes=["crm:read", "crm:write"], **TASKED),
    granted("d2", PLANNER, MAILER, 5, **TASKED),
)
honest(
    "renewal-widened", "other delegatee", D0, granted("d1", PLANNER, MAILER, 1, **TASKED),
    granted("d2", PLANNER, CRAWLER, 5, scopes=["crm:read", "crm:write"], **TASKED),
)
honest(
    "renewal-widened", "the same again", D0, granted("d1", PLANNER, MAILER, 1, **TASKED),
    granted("d2", PLANNER, MAILER, 5, **TASKED),
)
unknown("renewal-widened", "no tasks", *CHAIN)

# ungrounded-delegation
attack(
    "ungrounded-delegation", "plain", granted("d2", PLANNER, MAILER, 2), of="delegation:d2", sev="medium",
    cites=["grant-d2", f"reg-{PLANNER}"],
)
attack(
    "ungrounded-delegation", "scopes it never had", D1, granted("d2", PLANNER, MAILER, 5, scopes=["pay:send"]),
    of="delegation:d2", sev="medium",
)
attack(
    "ungrounded-delegation", "only later", granted("d2", PLANNER, MAILER, 2), granted("d1", ALICE, PLANNER, 5),
    of="delegation:d2", sev="medium",
)
attack(
    "ungrounded-delegation", "agent by registration", registered("robot-9", "agent", owner=ALICE, purpose="x"),
    granted("d2", "robot-9", MAILER, 2), of="delegation:d2", sev="medium",
)
attack(
    "ungrounded-delegation", "token of another", issued(FIRST, ALICE, CRAWLER), granted("d2", PLANNER, MAILER, 5),
    of="delegation:d2", sev="medium",
)
honest("ungrounded-delegation", "delegation before", D1, granted("d2", PLANNER, MAILER, 5))
honest("ungrounded-delegation", "token before", D1, issued(FIRST, ALICE, PLANNER), granted("d2", PLANNER, MAILER, 5))
honest("ungrounded-delegation", "human", D1)
honest("ungrounded-delegation", "arrives late", granted("d2", PLANNER, MAILER, 5), THEN, D1)
honest(
    "ungrounded-delegation", "alias",
    registered(PLANNER, "agent", id="al", aliases=["p-7"], owner=ALICE, purpose="crm work"),
    granted("d1", ALICE, "p-7"), granted("d2", PLANNER, MAILER, 5),
)
honest(
    "ungrounded-delegation", "service", registered("service:cron", "service", owner=ALICE),
    granted("d2", "service:cron", MAILER, 5),
)

# unapproved-delegation
SETTINGS = '[findings]\nsensitive=["pay:*"]\n'


def paying(**fields: Any) -> Event:
    return granted("d1", ALICE, PLANNER, scopes=["pay:send"], **fields)


def paying_on(**fields: Any) -> Event:
    return granted("d2", PLANNER, MAILER, 2, parents=["d1"], scopes=["pay:send"], **fields)


attack(
    "unapproved-delegation", "plain", paying(), of="delegation:d1", sev="medium", settings=SETTINGS,
    cites=["grant-d1"],
)
attack("unapproved-delegation", "below", paying(), paying_on(), of="delegation:d2", sev="medium", settings=SETTINGS)
attack(
    "unapproved-delegation", "agent approves", paying(approved_by=MAILER), of="delegation:d1", sev="medium",
    settings=SETTINGS,
)
attack(
    "unapproved-delegation",
    "inherited",
    granted(
        "d1",
        ALICE,
        PLANNER,
        scopes=["pay:send", "crm:read"],
    ),
    settings=SETTINGS,
    of="delegation:d1",
    sev="medium",
)
attack(
    "unapproved-delegation", "approval only below", paying(), paying_on(approved_by="human:bob"), settings=SETTINGS,
    of="delegation:d1", sev="medium", n=1,
)
honest("unapproved-delegation", "approved", paying(approved_by="human:bob"), settings=SETTINGS)
honest("unapproved-delegation", "approved above", paying(approved_by="human:bob"), paying_on(), settings=SETTINGS)
honest("unapproved-delegation", "not sensitive", D1, settings=SETTINGS)
honest(
    "unapproved-delegation", "late approval", paying(), THEN,
    granted("d1", ALICE, PLANNER, 3, scopes=["pay:send"], approved_by="human:bob", id="appr"), settings=SETTINGS,
)
unknown("unapproved-delegation", "off", paying())

# delegation-from-untrusted-instruction
HANDED_BEFORE = [D1, granted("old", PLANNER, MAILER, 1.5, parents=["d1"])]
attack(
    "delegation-from-untrusted-instruction", "with widening", *HANDED_BEFORE,
    granted("d2", PLANNER, MAILER, 2, parents=["d1"], scopes=["pay:send"], instruction_source="document"),
    of="delegation:d2", sev="high", cites=["grant-d2"],
)
attack(
    "delegation-from-untrusted-instruction", "sensitive", *HANDED_BEFORE,
    granted("d2", PLANNER, MAILER, 2, parents=["d1"], instruction_source="child_result"), of="delegation:d2",
    sev="high", settings='[findings]\nsensitive=["crm:*"]\n',
)
attack(
    "delegation-from-untrusted-instruction", "alone", *HANDED_BEFORE,
    granted("d2", PLANNER, MAILER, 2, parents=["d1"], instruction_source="document"), of="delegation:d2",
    sev="informational",
)
attack(
    "delegation-from-untrusted-instruction", "the first of its delegator", D1,
    granted("d2", PLANNER, MAILER, 2, parents=["d1"], instruction_source="document"), of="delegation:d2", sev="high",
    cites=["grant-d2"],
)
attack(
    "delegation-from-untrusted-instruction", "the first to this delegatee", *HANDED_BEFORE,
    granted("d2", PLANNER, CRAWLER, 2, parents=["d1"], instruction_source="tool_result"), of="delegation:d2",
    sev="high",
)
attack(
    "delegation-from-untrusted-instruction", "the earlier one arrives late", D1,
    granted("d2", PLANNER, MAILER, 2, parents=["d1"], instruction_source="document"), THEN, *HANDED_BEFORE[1:],
    of="delegation:d2", sev="informational", n=1,
)
attack(
    "delegation-from-untrusted-instruction", "handed back under another name",
    registered(MAILER, "agent", id="al", aliases=["m-7"], owner=ALICE, purpose="crm work"), *HANDED_BEFORE,
    granted("d2", PLANNER, "m-7", 2, parents=["d1"], instruction_source="document"), of="delegation:d2",
    sev="informational",
)
attack(
    "delegation-from-untrusted-instruction", "split", *HANDED_BEFORE,
    granted("d2", PLANNER, MAILER, 2, parents=["d1"], scopes=["pay:send"]), THEN,
    granted("d2", PLANNER, MAILER, 2.2, parents=["d1"], scopes=["pay:send"], instruction_source="document", id="g2b"),
    of="delegation:d2", sev="high",
)
honest(
    "delegation-from-untrusted-instruction", "user", D1,
    granted("d2", PLANNER, MAILER, 2, parents=["d1"], instruction_source="user"),
)
honest(
    "delegation-from-untrusted-instruction", "user and wide", D1,
    granted("d2", PLANNER, MAILER, 2, parents=["d1"], scopes=["pay:send"], instruction_source="user"),
)
honest("delegation-from-untrusted-instruction", "unstated", *CHAIN)
unknown("delegation-from-untrusted-instruction", "none", *CHAIN)

# cycle
attack(
    "cycle", "two", granted("c1", PLANNER, MAILER, parents=["c2"]), granted("c2", MAILER, PLANNER, parents=["c1"]),
    sev="high",
)
attack("cycle", "self", granted("c1", PLANNER, PLANNER, parents=["c1"]), sev="high", of="delegation:c1")
attack(
    "cycle", "tokens", issued(FIRST, ALICE, PLANNER, sub=SECOND), THEN, issued(SECOND, ALICE, PLANNER, sub=FIRST),
    sev="high",
)
honest(
    "cycle", "diamond", D1, D2, granted("d2b", PLANNER, MAILER, 2, parents=["d1"]),
    granted("d3", MAILER, CRAWLER, 3, parents=["d2", "d2b"]),
)

# branch
attack(
    "branch", "two", D1, granted("d1b", ALICE, PLANNER, 1), granted("d2", PLANNER, MAILER, 2, parents=["d1", "d1b"]),
    of="delegation:d2", sev="informational",
)
attack(
    "branch", "tokens", issued(FIRST, ALICE, PLANNER), issued("https://idp#t1b", ALICE, PLANNER),
    issued(
        SECOND,
        ALICE,
        PLANNER,
        4,
        derived_from=[{"token": FIRST, "role": "subject"}, {"token": "https://idp#t1b", "role": "refresh"}],
    ),
    of=f"token:{SECOND}", sev="informational",
)
attack(
    "branch", "late", D1, granted("d2", PLANNER, MAILER, 2, parents=["d1"]), THEN, granted("d1b", ALICE, PLANNER, 1),
    granted("d2", PLANNER, MAILER, 2, parents=["d1b"], id="p2"), of="delegation:d2", sev="informational",
)
honest("branch", "line", *CHAIN)
honest(
    "branch", "subject and actor token", D1, FIRST_TOKEN, issued("https://idp#a", MAILER, None),
    issued(SECOND, ALICE, MAILER, 4, sub=FIRST, act="https://idp#a"),
)

# action-outside-audience
SETTINGS = '[audiences]\nmail="https://mail"\n'


def for_audiences(*audience: str) -> Event:
    return issued(FIRST, ALICE, PLANNER, delegation="d1", audience=list(audience))


attack(
    "action-outside-audience", "plain", D1, for_audiences("https://crm"),
    done("a", token=FIRST, actor=PLANNER, tool="mail"), of="action:a", sev="medium", settings=SETTINGS,
    cites=["do-a", f"iss-{FIRST}"],
)
attack(
    "action-outside-audience", "delegation's", granted("d1", ALICE, PLANNER, audience=["https://crm"]), FIRST_TOKEN,
    done("a", token=FIRST, actor=PLANNER, tool="mail"), of="action:a", sev="medium", settings=SETTINGS,
)
attack(
    "action-outside-audience", "late token", done("a", token=FIRST, actor=PLANNER, tool="mail"), THEN, D1,
    for_audiences("https://crm"), of="action:a", sev="medium", settings=SETTINGS,
)
honest(
    "action-outside-audience", "inside", D1, for_audiences("https://crm", "https://mail"),
    done("a", token=FIRST, actor=PLANNER, tool="mail"), settings=SETTINGS,
)
honest(
    "action-outside-audience", "unstated", *CHAIN, done("a", token=FIRST, actor=PLANNER, tool="mail"),
    settings=SETTINGS,
)
honest(
    "action-outside-audience", "no table", D1, for_audiences("https://crm"),
    done("a", token=FIRST, actor=PLANNER, tool="mail"),
)
honest(
    "action-outside-audience", "other tool", D1, for_audiences("https://crm"),
    done("a", token=FIRST, actor=PLANNER, tool="crm"), settings=SETTINGS,
)
honest(
    "action-outside-audience", "denied", D1, for_audiences("https://crm"),
    done("a", token=FIRST, actor=PLANNER, tool="mail", outcome="denied"), settings=SETTINGS,
)
unknown(
    "action-outside-audience", "no table", D1, for_audiences("https://crm"),
    done("a", token=FIRST, actor=PLANNER, tool="mail"),
)

# action-outside-task
FOR_A_TASK = granted("d1", ALICE, PLANNER, task="invoice/7")
attack(
    "action-outside-task", "plain", FOR_A_TASK, FIRST_TOKEN, done("a", token=FIRST, actor=PLANNER, task="payroll"),
    of="action:a", sev="medium", cites=["do-a", "grant-d1"],
)
attack(
    "action-outside-task", "nearest above", FOR_A_TASK, D2, SECOND_TOKEN,
    done("a", token=SECOND, actor=MAILER, task="payroll"), of="action:a", sev="medium",
)
attack(
    "action-outside-task", "similar name", FOR_A_TASK, FIRST_TOKEN,
    done("a", token=FIRST, actor=PLANNER, task="invoice/77"), of="action:a", sev="medium",
)
attack(
    "action-outside-task", "by delegation", FOR_A_TASK, done("a", delegation="d1", actor=PLANNER, task="payroll"),
    of="action:a", sev="medium",
)
honest("action-outside-task", "same", FOR_A_TASK, FIRST_TOKEN, done("a", token=FIRST, actor=PLANNER, task="invoice/7"))
honest(
    "action-outside-task", "subtask", FOR_A_TASK, FIRST_TOKEN,
    done("a", token=FIRST, actor=PLANNER, task="invoice/7/pdf"),
)
honest("action-outside-task", "unstated", FOR_A_TASK, FIRST_TOKEN, done("a", token=FIRST, actor=PLANNER))
honest(
    "action-outside-task", "nearest wins", FOR_A_TASK,
    granted("d2", PLANNER, MAILER, 2, parents=["d1"], task="invoice/7/mail"), SECOND_TOKEN,
    done("a", token=SECOND, actor=MAILER, task="invoice/7/mail"),
)
honest(
    "action-outside-task", "failed", FOR_A_TASK, FIRST_TOKEN,
    done("a", token=FIRST, actor=PLANNER, task="payroll", outcome="failed"),
)
unknown("action-outside-task", "none", *CHAIN, done("a", token=FIRST, actor=PLANNER))


def ending(**fields: Any) -> Event:
    return issued(FIRST, ALICE, PLANNER, delegation="d1", expires_at=10, **fields)

# used-before-valid
attack(
    "used-before-valid", "not_before", D1, issued(FIRST, ALICE, PLANNER, delegation="d1", not_before=30),
    done("a", 20, token=FIRST, actor=PLANNER), of="action:a", sev="medium", cites=["do-a", f"iss-{FIRST}"],
)
attack(
    "used-before-valid", "issue", D1, issued(FIRST, ALICE, PLANNER, 30, delegation="d1"),
    done("a", 20, token=FIRST, actor=PLANNER), of="action:a", sev="medium",
)
LATER_GRANT = granted("d1", ALICE, PLANNER, not_before=30)
attack(
    "used-before-valid", "its delegation's not_before", LATER_GRANT, FIRST_TOKEN,
    done("a", 20, token=FIRST, actor=PLANNER), of="action:a", sev="medium", cites=["do-a", "grant-d1"], n=1,
)
attack(
    "used-before-valid", "by delegation", LATER_GRANT, done("a", 20, delegation="d1", actor=PLANNER), of="action:a",
    sev="medium", cites=["do-a", "grant-d1"],
)
attack(
    "used-before-valid", "the delegation above its own", LATER_GRANT, D2, SECOND_TOKEN,
    done("a", 20, token=SECOND, actor=MAILER), of="action:a", sev="medium", cites=["do-a", "grant-d1"],
)
attack(
    "used-before-valid", "a delegation that only the action names", FIRST_TOKEN,
    granted("d7", ALICE, PLANNER, not_before=30),
    done("a", 20, token=FIRST, delegation="d7", actor=PLANNER), of="action:a", sev="medium", cites=["grant-d7"],
)
attack(
    "used-before-valid", "delegation arrives late", FIRST_TOKEN, done("a", 20, token=FIRST, actor=PLANNER), THEN,
    LATER_GRANT, of="action:a", sev="medium",
)
honest(
    "used-before-valid", "after the delegation began", LATER_GRANT, FIRST_TOKEN,
    done("a", 29.6, token=FIRST, actor=PLANNER),
)
honest(
    "used-before-valid", "a token it was exchanged from begins later", D1,
    issued(FIRST, ALICE, PLANNER, delegation="d1", not_before=30), D2, SECOND_TOKEN,
    done("a", 20, token=SECOND, actor=MAILER),
)
honest(
    "used-before-valid", "leeway", D1, issued(FIRST, ALICE, PLANNER, delegation="d1", not_before=20.4),
    done("a", 20, token=FIRST, actor=PLANNER),
)
honest(
    "used-before-valid", "issue in leeway", D1, issued(FIRST, ALICE, PLANNER, 20.4, delegation="d1"),
    done("a", 20, token=FIRST, actor=PLANNER),
)
honest(
    "used-before-valid", "issued_at earlier", D1, issued(FIRST, ALICE, PLANNER, 30, issued_at=3, delegation="d1"),
    done("a", 20, token=FIRST, actor=PLANNER),
)
honest(
    "used-before-valid", "failed", D1, issued(FIRST, ALICE, PLANNER, delegation="d1", not_before=30),
    done("a", 20, token=FIRST, actor=PLANNER, outcome="failed"),
)

# tainted-use
attack(
    "tainted-use", "plain", D1, FIRST_TOKEN, done("a", 20, token=FIRST, actor=PLANNER),
    done("b", 21, token=FIRST, actor=PLANNER), ordered("r1", "token", FIRST, NOW, effective_at=10),
    of="revocation:r1", sev="medium", n=1, cites=["order-r1"],
)
attack(
    "tainted-use", "cascade", *CHAIN, done("a", 20, token=SECOND, actor=MAILER), THEN,
    ordered("r1", "token", FIRST, NOW, effective_at=10), of="revocation:r1", sev="medium",
)
attack(
    "tainted-use", "imported", D1, FIRST_TOKEN, ordered("r1", "token", FIRST, 10),
    done("a", 20, token=FIRST, actor=PLANNER), of="revocation:r1", sev="medium",
)
honest(
    "tainted-use", "before", D1, FIRST_TOKEN, done("a", 5, token=FIRST, actor=PLANNER),
    ordered("r1", "token", FIRST, NOW, effective_at=10),
)
honest(
    "tainted-use", "failed", D1, FIRST_TOKEN, done("a", 20, token=FIRST, actor=PLANNER, outcome="failed"),
    ordered("r1", "token", FIRST, NOW, effective_at=10),
)
honest(
    "tainted-use", "sibling", D1, FIRST_TOKEN, issued("https://idp#t9", ALICE, PLANNER, delegation="d1"),
    done("a", 20, token="https://idp#t9", actor=PLANNER), ordered("r1", "token", FIRST, NOW, effective_at=10),
)

# action-without-decision
def permitted_actions(count: int) -> list[Event]:
    permits = [decided(f"q{one}", m=6, token=FIRST, actor=PLANNER) for one in range(count)]
    return [
        *permits,
        *(done(f"c{one}", 6.1 + one * 0.01, token=FIRST, actor=PLANNER, decision=f"q{one}") for one in range(count)),
    ]


attack(
    "action-without-decision", "plain", D1, FIRST_TOKEN, *permitted_actions(20),
    done("a", 8, token=FIRST, actor=PLANNER), of="action:a", sev="medium", cites=["do-a"],
)
attack(
    "action-without-decision", "first in arrival", D1, FIRST_TOKEN, done("a", 8, token=FIRST, actor=PLANNER), THEN,
    *permitted_actions(30), of="action:a", sev="medium",
)
attack(
    "action-without-decision", "with another source around", D1, FIRST_TOKEN, *permitted_actions(20),
    *[done(f"o{i}", 7, token=FIRST, actor=PLANNER, src="urn:other", id=f"o{i}") for i in range(20)],
    done("a", 8, token=FIRST, actor=PLANNER), of="action:a", sev="medium", n=1,
)
honest(
    "action-without-decision", "no coverage", D1, FIRST_TOKEN, *permitted_actions(4),
    *[done(f"a{i}", 8, token=FIRST, actor=PLANNER) for i in range(6)],
)
honest(
    "action-without-decision", "decision late", D1, FIRST_TOKEN, *permitted_actions(20),
    done("a", 8, token=FIRST, actor=PLANNER), THEN,
    done("a", 8, token=FIRST, actor=PLANNER, decision="qq", id="do-a2"),
    decided("qq", m=7.9, token=FIRST, actor=PLANNER),
)
honest(
    "action-without-decision", "other operation", D1, FIRST_TOKEN, *permitted_actions(20),
    done("a", 8, token=FIRST, actor=PLANNER, operation="ping"),
)
unknown("action-without-decision", "no decisions", *CHAIN, done("a", token=FIRST, actor=PLANNER))

# action-after-deny
attack(
    "action-after-deny", "critical", D1, FIRST_TOKEN, decided("q", False, 5, token=FIRST, actor=PLANNER),
    done("a", 6, token=FIRST, actor=PLANNER, decision="q"), of="action:a", sev="critical", cites=["do-a", "dec-q"],
)
attack(
    "action-after-deny", "soon", D1, FIRST_TOKEN,
    decided("q", False, 5, token=FIRST, actor=PLANNER, resource={"id": "x"}),
    done("a", 5.5, token=FIRST, actor=PLANNER, resource="x"), of="action:a", sev="high", cites=["do-a", "dec-q"],
)
attack(
    "action-after-deny", "other token", D1, FIRST_TOKEN, issued("https://idp#t9", ALICE, PLANNER, delegation="d1"),
    decided("q", False, 5, token=FIRST, actor=PLANNER), done("a", 5.5, token="https://idp#t9", actor=PLANNER),
    of="action:a", sev="high",
)
attack(
    "action-after-deny", "alias",
    registered(PLANNER, "agent", id="al", aliases=["p-7"], owner=ALICE, purpose="crm work"), D1, FIRST_TOKEN,
    decided("q", False, 5, token=FIRST, actor="p-7"), done("a", 5.5, token=FIRST, actor=PLANNER), of="action:a",
    sev="high",
)
attack(
    "action-after-deny", "deny arrives late", D1, FIRST_TOKEN,
    done("a", 6, token=FIRST, actor=PLANNER, decision="q"), THEN, decided("q", False, 5, token=FIRST, actor=PLANNER),
    of="action:a", sev="critical",
)
attack(
    "action-after-deny", "permit was before", D1, FIRST_TOKEN, decided("q0", True, 4, token=FIRST, actor=PLANNER),
    decided("q", False, 5, token=FIRST, actor=PLANNER), done("a", 5.5, token=FIRST, actor=PLANNER), of="action:a",
    sev="high",
)
honest(
    "action-after-deny", "permit later", D1, FIRST_TOKEN, decided("q", False, 5, token=FIRST, actor=PLANNER),
    decided("q2", True, 5.2, token=FIRST, actor=PLANNER), done("a", 5.5, token=FIRST, actor=PLANNER, decision="q2"),
)
honest(
    "action-after-deny", "permit later unnamed", D1, FIRST_TOKEN, decided("q", False, 5, token=FIRST, actor=PLANNER),
    decided("q2", True, 5.2, token=FIRST, actor=PLANNER), done("a", 5.5, token=FIRST, actor=PLANNER),
)
honest(
    "action-after-deny", "long after", D1, FIRST_TOKEN, decided("q", False, 5, token=FIRST, actor=PLANNER),
    done("a", 6.1, token=FIRST, actor=PLANNER),
)
honest(
    "action-after-deny", "other resource", D1, FIRST_TOKEN,
    decided("q", False, 5, token=FIRST, actor=PLANNER, resource={"id": "x"}),
    done("a", 5.5, token=FIRST, actor=PLANNER, resource="y"),
)
honest(
    "action-after-deny", "other actor", *CHAIN, decided("q", False, 5, token=FIRST, actor=PLANNER),
    done("a", 5.5, token=SECOND, actor=MAILER),
)
honest(
    "action-after-deny", "failed after deny", D1, FIRST_TOKEN, decided("q", False, 5, token=FIRST, actor=PLANNER),
    done("a", 5.5, token=FIRST, actor=PLANNER, decision="q", outcome="denied"),
)
honest(
    "action-after-deny", "before deny", D1, FIRST_TOKEN, done("a", 5, token=FIRST, actor=PLANNER),
    decided("q", False, 5.5, token=FIRST, actor=PLANNER),
)


def asked(**fields: Any) -> Event:
    return decided("q", **{"token": FIRST, "actor": PLANNER, **fields})


def did(**fields: Any) -> Event:
    return done("a", **{"token": FIRST, "actor": PLANNER, "decision": "q", **fields})

# decision-reused
attack(
    "decision-reused", "two", D1, FIRST_TOKEN, asked(), done("a", token=FIRST, actor=PLANNER, decision="q"),
    done("b", 6.5, token=FIRST, actor=PLANNER, decision="q"), sev="medium", of="decision:q", cites=["do-a", "do-b"],
)
attack(
    "decision-reused", "three, split", D1, FIRST_TOKEN, done("a", token=FIRST, actor=PLANNER, decision="q"), THEN,
    done("b", 6.5, token=FIRST, actor=PLANNER, decision="q"), THEN, asked(), sev="medium", of="decision:q", n=1,
)
attack(
    "decision-reused", "cache", D1, FIRST_TOKEN, asked(), done("a", token=FIRST, actor=PLANNER, decision="q"),
    done("b", 6.5, token=FIRST, actor=PLANNER, decision="q"), sev="informational", of="decision:q",
    settings='[findings]\ncaching=["urn:pdp"]\n',
)
honest("decision-reused", "once", D1, FIRST_TOKEN, asked(), did())
honest(
    "decision-reused", "failed then ok", D1, FIRST_TOKEN, asked(),
    done("a0", token=FIRST, actor=PLANNER, decision="q", outcome="failed"), did(m=6.5),
)
honest(
    "decision-reused", "told twice", D1, FIRST_TOKEN, asked(), did(),
    done("a", 6.1, token=FIRST, actor=PLANNER, decision="q", src="urn:gw2", id="x"),
)

# decision-stale
attack(
    "decision-stale", "late", D1, FIRST_TOKEN, asked(m=5), did(m=11), of="action:a", sev="low",
    cites=["do-a", "dec-q"],
)
attack(
    "decision-stale", "revoked in between", D1, FIRST_TOKEN, asked(m=5), ordered("r1", "token", FIRST, 6), did(m=7),
    of="action:a", sev="high",
)
attack(
    "decision-stale", "expired between", D1, issued(FIRST, ALICE, PLANNER, delegation="d1", expires_at=6),
    asked(m=5), did(m=7), of="action:a", sev="high",
)
attack(
    "decision-stale", "policy changed", D1, FIRST_TOKEN, asked(m=5, policy={"id": "p", "version": "1"}),
    decided("q2", m=6, token=FIRST, actor=PLANNER, policy={"id": "p", "version": "2"}), did(m=7), of="action:a",
    sev="high",
)
honest("decision-stale", "soon", D1, FIRST_TOKEN, asked(m=5), did(m=9.9))
honest("decision-stale", "exactly 300", D1, FIRST_TOKEN, asked(m=5), did(m=10))
honest(
    "decision-stale", "other policy", D1, FIRST_TOKEN, asked(m=5, policy={"id": "p", "version": "1"}),
    decided("q2", m=6, token=FIRST, actor=PLANNER, policy={"id": "z", "version": "2"}), did(m=7),
)
honest("decision-stale", "failed", D1, FIRST_TOKEN, asked(m=5), did(m=20, outcome="failed"))

# action-from-untrusted-instruction
USUAL = [done(f"u{i}", 4 + i * 0.1, token=FIRST, actor=PLANNER, required_scopes=["crm:read"]) for i in range(3)]
attack(
    "action-from-untrusted-instruction", "outside scope", D1, FIRST_TOKEN, *USUAL,
    done("a", token=FIRST, actor=PLANNER, required_scopes=["crm:write"], instruction_source="document"),
    of="action:a", sev="high",
)
attack(
    "action-from-untrusted-instruction", "sensitive", D1, FIRST_TOKEN, *USUAL,
    done("a", token=FIRST, actor=PLANNER, instruction_source="tool_result"), of="action:a", sev="high",
    settings='[findings]\nsensitive=["crm.read"]\n',
)
attack(
    "action-from-untrusted-instruction", "first use", D1, FIRST_TOKEN, *USUAL,
    done("a", token=FIRST, actor=PLANNER, operation="crm.delete", instruction_source="child_result"), of="action:a",
    sev="high",
)
attack(
    "action-from-untrusted-instruction", "a child's result, within scope", D1, FIRST_TOKEN, *USUAL,
    done(
        "a", token=FIRST, actor=PLANNER, operation="look", instruction_source="child_result",
        required_scopes=["crm:read"],
    ),
    of="action:a", sev="informational",
)
attack(
    "action-from-untrusted-instruction", "alone", D1, FIRST_TOKEN, *USUAL,
    done("a", token=FIRST, actor=PLANNER, instruction_source="document"), of="action:a", sev="informational",
)
attack(
    "action-from-untrusted-instruction", "split", D1, FIRST_TOKEN, *USUAL,
    done("a", token=FIRST, actor=PLANNER, operation="crm.delete"), THEN,
    done("a", 6.1, token=FIRST, actor=PLANNER, operation="crm.delete", instruction_source="document", id="x"),
    of="action:a", sev="high",
)
honest(
    "action-from-untrusted-instruction", "user", D1, FIRST_TOKEN, *USUAL,
    done("a", token=FIRST, actor=PLANNER, operation="crm.delete", instruction_source="user"),
)
honest(
    "action-from-untrusted-instruction", "unstated", D1, FIRST_TOKEN, *USUAL,
    done("a", token=FIRST, actor=PLANNER, operation="crm.delete"),
)
honest(
    "action-from-untrusted-instruction", "failed", D1, FIRST_TOKEN, *USUAL,
    done("a", token=FIRST, actor=PLANNER, operation="crm.delete", instruction_source="document", outcome="failed"),
)
unknown("action-from-untrusted-instruction", "none", D1, FIRST_TOKEN, *USUAL)

# impersonating-exchange
attack(
    "impersonating-exchange", "stated", D1, issued(FIRST, ALICE, PLANNER, delegation="d1", exchange="impersonation"),
    of=f"token:{FIRST}", sev="medium",
)
attack(
    "impersonating-exchange", "no actor, used by agent", issued(FIRST, ALICE, None),
    done("a", token=FIRST, actor=PLANNER), of=f"token:{FIRST}", sev="medium", cites=[f"iss-{FIRST}"],
)
attack(
    "impersonating-exchange", "issued to an agent client",
    registered("https://idp#client-9", "agent", owner=ALICE, purpose="x"),
    issued(FIRST, ALICE, None, client="https://idp#client-9"), of=f"token:{FIRST}", sev="medium",
)
attack(
    "impersonating-exchange", "late use", issued(FIRST, ALICE, None), THEN, done("a", token=FIRST, actor=PLANNER),
    of=f"token:{FIRST}", sev="medium",
)
honest(
    "impersonating-exchange", "delegation", D1, issued(FIRST, ALICE, PLANNER, delegation="d1", exchange="delegation"),
)
honest(
    "impersonating-exchange", "human with own token", issued(FIRST, ALICE, None), done("a", token=FIRST, actor=ALICE),
)
honest("impersonating-exchange", "human, actor unstated", issued(FIRST, ALICE, None), done("a", token=FIRST))
honest(
    "impersonating-exchange", "agent's own token", issued(FIRST, PLANNER, None),
    done("a", token=FIRST, actor=PLANNER),
)

# human-uses-agent-credential
attack(
    "human-uses-agent-credential", "plain", D1, FIRST_TOKEN, done("a", token=FIRST, actor="human:bob"),
    of="action:a", sev="medium", cites=["do-a", f"iss-{FIRST}"],
)
attack(
    "human-uses-agent-credential", "service's", issued(FIRST, "service:cron", None),
    done("a", token=FIRST, actor=ALICE), of="action:a", sev="medium",
)
attack(
    "human-uses-agent-credential", "the subject himself", D1, FIRST_TOKEN, done("a", token=FIRST, actor=ALICE),
    of="action:a", sev="medium",
)
attack(
    "human-uses-agent-credential", "alias", registered("human:bob", "human", id="al", aliases=["bob7"]), D1,
    FIRST_TOKEN, done("a", token=FIRST, actor="bob7"), of="action:a", sev="medium",
)
honest("human-uses-agent-credential", "own", issued(FIRST, ALICE, None), done("a", token=FIRST, actor=ALICE))
honest("human-uses-agent-credential", "agent", D1, FIRST_TOKEN, done("a", token=FIRST, actor=PLANNER))
honest(
    "human-uses-agent-credential", "break glass", D1, FIRST_TOKEN,
    decided("q", token=FIRST, actor="human:bob", approved_by="human:ruth"),
    done("a", token=FIRST, actor="human:bob", decision="q"),
)
honest(
    "human-uses-agent-credential", "failed", D1, FIRST_TOKEN,
    done("a", token=FIRST, actor="human:bob", outcome="failed"),
)

# environment-crossed
attack(
    "environment-crossed", "registered tool",
    registered("service:pay", "service", owner=ALICE, environment="staging"), D1, FIRST_TOKEN,
    done("a", token=FIRST, actor=PLANNER, tool="service:pay"), of="action:a", sev="high", cites=["do-a"],
)
attack(
    "environment-crossed", "resource", D1, FIRST_TOKEN,
    done("a", token=FIRST, actor=PLANNER, resource={"id": "x", "environment": "staging"}), of="action:a", sev="high",
)
attack(
    "environment-crossed", "late", done("a", token=FIRST, actor=PLANNER, tool="service:pay"), D1, FIRST_TOKEN, THEN,
    registered("service:pay", "service", owner=ALICE, environment="staging"), of="action:a", sev="high",
)
honest(
    "environment-crossed", "same", D1, FIRST_TOKEN,
    done("a", token=FIRST, actor=PLANNER, resource={"id": "x", "environment": "prod"}),
)
honest("environment-crossed", "unstated", D1, FIRST_TOKEN, done("a", token=FIRST, actor=PLANNER, resource="x"))
honest(
    "environment-crossed", "failed", D1, FIRST_TOKEN,
    done("a", token=FIRST, actor=PLANNER, resource={"id": "x", "environment": "staging"}, outcome="failed"),
)
unknown("environment-crossed", "none", *CHAIN, done("a", token=FIRST, actor=PLANNER))


UNBOUND = issued(FIRST, ALICE, PLANNER, delegation="d1", workload=None)

# identity-shared
attack(
    "identity-shared", "workload", bound(MAILER, "spiffe://x/planner", 1), of="principal:spiffe://x/planner",
    sev="medium", cites=["bind-agent:planner-spiffe://x/planner", "bind-agent:mailer-spiffe://x/planner"],
)
attack(
    "identity-shared", "key", bound(MAILER, "spiffe://x/m2", 1, key_thumbprint="k1"),
    bound(CRAWLER, "spiffe://x/w2", 1, key_thumbprint="k1"), sev="medium",
)
attack(
    "identity-shared", "late", THEN, bound(MAILER, "spiffe://x/planner", 1), of="principal:spiffe://x/planner",
    sev="medium",
)
honest(
    "identity-shared", "alias",
    registered(PLANNER, "agent", id="al", aliases=["p-7"], owner=ALICE, purpose="crm work"),
    bound("p-7", "spiffe://x/planner"),
)
honest("identity-shared", "again", bound(PLANNER, "spiffe://x/planner", 1, id="again"))
honest("identity-shared", "two workloads of one", bound(PLANNER, "spiffe://x/planner-b"))
unknown("identity-shared", "nobody binds", D1, base=[registered(ALICE, "human")])

# client-shared
APP = "https://idp#app"
attack(
    "client-shared", "client", D1, issued(FIRST, ALICE, PLANNER, delegation="d1", client=APP),
    issued(SECOND, ALICE, MAILER, client=APP), of=f"client:{APP}", sev="low",
)
attack(
    "client-shared", "session", issued(FIRST, ALICE, PLANNER, session=APP),
    issued(SECOND, ALICE, MAILER, session=APP), of=f"session:{APP}", sev="low",
)
attack(
    "client-shared", "late", issued(FIRST, ALICE, PLANNER, client=APP), THEN,
    issued(SECOND, "human:bob", MAILER, client=APP), of=f"client:{APP}", sev="low",
)
honest(
    "client-shared", "one agent", issued(FIRST, ALICE, PLANNER, client=APP),
    issued(SECOND, "human:bob", PLANNER, client=APP),
)
honest(
    "client-shared", "alias",
    registered(PLANNER, "agent", id="al", aliases=["p-7"], owner=ALICE, purpose="crm work"),
    issued(FIRST, ALICE, PLANNER, client=APP), issued(SECOND, ALICE, "p-7", client=APP),
)
honest("client-shared", "humans", issued(FIRST, ALICE, None, client=APP), issued(SECOND, "human:bob", None, client=APP))

# credential-shared
GHOST = "https://idp#ghost"


def by_two(**other: Any) -> list[Event]:
    return [done("a", 6, token=GHOST, actor=PLANNER), done("b", 7, **{"token": GHOST, **other})]


attack(
    "credential-shared", "a token that nobody granted", D1, *by_two(actor=MAILER), of=f"token:{GHOST}", sev="medium",
    cites=["do-a", "do-b"], n=1,
)
attack(
    "credential-shared", "the same, by workload",
    done("a", 6, token=GHOST, actor=PLANNER, workload="spiffe://x/p1"),
    done("b", 7, token=GHOST, actor=PLANNER, workload="spiffe://x/p2"), of=f"token:{GHOST}", sev="high", n=1,
)
attack(
    "credential-shared", "the same, by key, in parts",
    done("a", 6, token=GHOST, actor=PLANNER, key_thumbprint="k1"), THEN,
    done("b", 7, token=GHOST, actor=PLANNER, key_thumbprint="k2", src="urn:gw2"), of=f"token:{GHOST}", sev="high", n=1,
)
attack(
    "credential-shared", "granted afterwards", *by_two(actor=MAILER), THEN, issued(GHOST, ALICE, PLANNER),
    of=f"token:{GHOST}", sev="medium", cites=["do-a", "do-b", f"iss-{GHOST}"], n=1,
)
honest("credential-shared", "nobody granted it, one agent", *by_two(actor=PLANNER))
honest(
    "credential-shared", "nobody granted it, one agent under two names",
    registered(PLANNER, "agent", id="al", aliases=["p-7"], owner=ALICE, purpose="crm work"), *by_two(actor="p-7"),
)
honest("credential-shared", "nobody granted it, the agent and its workload", *by_two(actor=WORKLOADS[PLANNER]))
honest("credential-shared", "nobody granted it, the other one fails", *by_two(actor=MAILER, outcome="denied"))
honest("credential-shared", "two that nobody granted", *by_two(token="https://idp#ghost2", actor=MAILER))
unknown("credential-shared", "no hands", D1, FIRST_TOKEN, done("a", token=FIRST))

# refresh-token-reuse
OLD_REFRESH = "https://idp#rt0"
attack(
    "refresh-token-reuse", "of a token that nobody granted", issued(FIRST, ALICE, PLANNER, 5, rep=OLD_REFRESH),
    issued(SECOND, ALICE, PLANNER, 8, rep=OLD_REFRESH), of=f"token:{OLD_REFRESH}", sev="high",
    cites=[f"iss-{FIRST}", f"iss-{SECOND}"], n=1,
)
attack(
    "refresh-token-reuse", "the same, in parts", issued(SECOND, ALICE, PLANNER, 8, ref=OLD_REFRESH), THEN,
    issued(FIRST, ALICE, PLANNER, 5, rep=OLD_REFRESH), of=f"token:{OLD_REFRESH}", sev="high",
)
attack(
    "refresh-token-reuse", "used after it was replaced, and nobody granted it",
    issued(FIRST, ALICE, PLANNER, 5, rep=OLD_REFRESH), done("a", 9, token=OLD_REFRESH, actor=PLANNER),
    of=f"token:{OLD_REFRESH}", sev="high", cites=["do-a"],
)
honest(
    "refresh-token-reuse", "a lost answer, and nobody granted it", issued(FIRST, ALICE, PLANNER, 5, rep=OLD_REFRESH),
    issued(SECOND, ALICE, PLANNER, 5.1, rep=OLD_REFRESH),
)
honest(
    "refresh-token-reuse", "refreshed without rotation, and nobody granted it",
    issued(FIRST, ALICE, PLANNER, 5, ref=OLD_REFRESH), issued(SECOND, ALICE, PLANNER, 8, ref=OLD_REFRESH),
)
unknown("refresh-token-reuse", "no renewals", *CHAIN)

# credential-across-tools
def used_at(*uses: tuple[float, str], **fields: Any) -> list[Event]:
    return [
        done(f"x{number}", 5 + at, token=FIRST, actor=PLANNER, tool=tool, **fields)
        for number, (at, tool) in enumerate(uses)
    ]


attack(
    "credential-across-tools", "plain", D1, FIRST_TOKEN, *used_at((0, "a"), (30, "b"), (70, "c")),
    of=f"token:{FIRST}", sev="low",
)
attack(
    "credential-across-tools", "no end", granted("d1", ALICE, PLANNER, expires_at=None),
    issued(FIRST, ALICE, PLANNER, delegation="d1", expires_at=None), *used_at((0, "a"), (30, "b"), (70, "c")),
    of=f"token:{FIRST}", sev="medium",
)
attack(
    "credential-across-tools", "reversed", *used_at((70, "c")), THEN,
    *[done("y", 5, token=FIRST, actor=PLANNER, tool="a"), done("z", 30, token=FIRST, actor=PLANNER, tool="b")], THEN,
    D1, FIRST_TOKEN, of=f"token:{FIRST}", sev="low",
)
honest(
    "credential-across-tools", "one audience", D1,
    issued(FIRST, ALICE, PLANNER, delegation="d1", audience=["https://a"]), *used_at((0, "a"), (30, "b"), (70, "c")),
)
honest("credential-across-tools", "two tools", D1, FIRST_TOKEN, *used_at((0, "a"), (30, "b"), (70, "a")))
honest("credential-across-tools", "short", D1, FIRST_TOKEN, *used_at((0, "a"), (30, "b"), (59, "c")))
honest(
    "credential-across-tools", "failed", D1, FIRST_TOKEN, *used_at((0, "a"), (30, "b")),
    done("f", 80, token=FIRST, actor=PLANNER, tool="c", outcome="failed"),
)

# unbound-credential
UNBOUND_SECOND = issued(SECOND, ALICE, MAILER, delegation="d2", workload=None)
attack(
    "unbound-credential", "plain", D1, FIRST_TOKEN, D2, UNBOUND_SECOND, of=f"token:{SECOND}", sev="informational",
    cites=[f"iss-{SECOND}"],
)
attack(
    "unbound-credential", "sensitive", D1, FIRST_TOKEN, D2, UNBOUND_SECOND, of=f"token:{SECOND}", sev="low",
    settings='[findings]\nsensitive=["crm:*"]\n',
)
attack(
    "unbound-credential", "late", UNBOUND_SECOND, THEN, FIRST_TOKEN, D1, D2, of=f"token:{SECOND}",
    sev="informational",
)
honest(
    "unbound-credential", "bound by key", D1, FIRST_TOKEN, D2,
    issued(SECOND, ALICE, MAILER, delegation="d2", workload=None, key_thumbprint="k"),
)
honest("unbound-credential", "other issuer", D1, FIRST_TOKEN, issued("https://other#t", ALICE, MAILER, workload=None))
honest("unbound-credential", "human", D1, FIRST_TOKEN, issued(SECOND, ALICE, None, workload=None))
unknown("unbound-credential", "nobody", D1, issued(FIRST, ALICE, PLANNER, workload=None))

# unknown-issuer
OLD = issued("https://idp#old", ALICE, PLANNER, -40 * DAY, expires_at=-40 * DAY + 60)
attack(
    "unknown-issuer", "plain", OLD, D1, FIRST_TOKEN, issued("https://evil#t", ALICE, PLANNER, 5),
    of="token:https://evil#t", sev="medium",
)
attack(
    "unknown-issuer", "late", issued("https://evil#t", ALICE, PLANNER, 5), THEN, OLD, D1, FIRST_TOKEN,
    of="token:https://evil#t", sev="medium",
)
honest(
    "unknown-issuer", "seen long before", OLD,
    issued("https://new#old", ALICE, PLANNER, -40 * DAY, expires_at=-40 * DAY + 60),
    issued("https://new#t", ALICE, PLANNER, 5),
)
honest(
    "unknown-issuer", "covered by receiver", OLD, receiver("urn:rs", issuers=["https://new"]),
    issued("https://new#t", ALICE, PLANNER, 5),
)
honest("unknown-issuer", "first day of all", D1, FIRST_TOKEN)

# suspect
attack(
    "suspect", "plain", D1, FIRST_TOKEN, issued(SECOND, ALICE, MAILER, 5, sub=FIRST, prior_actors=[CRAWLER]),
    ordered("r1", "principal", CRAWLER), of=f"token:{SECOND}", sev="medium",
)
attack(
    "suspect", "alias", registered(CRAWLER, "agent", id="al", aliases=["w-7"], owner=ALICE, purpose="crm work"),
    issued(SECOND, ALICE, MAILER, 5, prior_actors=["w-7"]), ordered("r1", "principal", CRAWLER),
    of=f"token:{SECOND}", sev="medium",
)
attack(
    "suspect", "order first", ordered("r1", "principal", CRAWLER), THEN,
    issued(SECOND, ALICE, MAILER, 5, prior_actors=[CRAWLER]), of=f"token:{SECOND}", sev="medium",
)
honest("suspect", "no order", issued(SECOND, ALICE, MAILER, 5, prior_actors=[CRAWLER]))
honest(
    "suspect", "other", issued(SECOND, ALICE, MAILER, 5, prior_actors=[CRAWLER]), ordered("r1", "principal", PLANNER),
)

# shared-status-list
PLACE = {"uri": "https://s/1", "idx": 7}
attack(
    "shared-status-list", "plain", issued(FIRST, ALICE, PLANNER, status_list=PLACE),
    issued(SECOND, ALICE, MAILER, status_list=PLACE), sev="medium",
)
attack(
    "shared-status-list", "late", issued(FIRST, ALICE, PLANNER, status_list=PLACE), THEN,
    issued(SECOND, ALICE, MAILER, status_list=PLACE), sev="medium",
)
attack(
    "shared-status-list", "ended long ago", issued(FIRST, ALICE, PLANNER, 1, expires_at=10, status_list=PLACE),
    issued(SECOND, ALICE, MAILER, 5, status_list=PLACE), sev="medium",
)
honest(
    "shared-status-list", "other idx", issued(FIRST, ALICE, PLANNER, status_list=PLACE),
    issued(SECOND, ALICE, MAILER, status_list={"uri": "https://s/1", "idx": 8}),
)
honest(
    "shared-status-list", "same token", issued(FIRST, ALICE, PLANNER, status_list=PLACE),
    issued(FIRST, ALICE, PLANNER, 3, expires_at=400, status_list=PLACE, id="again"),
)
honest(
    "shared-status-list", "other list", issued(FIRST, ALICE, PLANNER, status_list=PLACE),
    issued(SECOND, ALICE, MAILER, status_list={"uri": "https://s/2", "idx": 7}),
)

# kind-contradiction
attack("kind-contradiction", "prefix", registered("agent:q", "human"), of="principal:agent:q", sev="low")
attack(
    "kind-contradiction", "later", registered("agent:q", "agent", owner=ALICE, purpose="x"), THEN,
    registered("agent:q", "service", 2, id="z"), of="principal:agent:q", sev="low",
)
attack("kind-contradiction", "spiffe", registered("spiffe://x/a", "human"), of="principal:spiffe://x/a", sev="low")
honest("kind-contradiction", "same", registered("agent:q", "agent", owner=ALICE, purpose="x"))
honest("kind-contradiction", "no prefix", registered("robot", "agent", owner=ALICE, purpose="x"))

# long-lived-credential
attack(
    "long-lived-credential", "no end", D1, issued(FIRST, ALICE, PLANNER, delegation="d1", expires_at=None),
    of=f"token:{FIRST}", sev="medium", cites=[f"iss-{FIRST}"],
)
attack(
    "long-lived-credential", "25 h", issued(FIRST, ALICE, PLANNER, 0, expires_at=25 * 60), of=f"token:{FIRST}",
    sev="medium",
)
attack(
    "long-lived-credential", "renewed over 24 h", issued(FIRST, ALICE, PLANNER, 0, expires_at=60), THEN,
    issued(FIRST, ALICE, PLANNER, 50, expires_at=30 * 60, id="renew"), of=f"token:{FIRST}", sev="medium",
)
attack(
    "long-lived-credential", "sensitive no end", issued(FIRST, ALICE, PLANNER, scopes=["pay:send"], expires_at=None),
    of=f"token:{FIRST}", sev="high", settings='[findings]\nsensitive=["pay:*"]\n',
)
attack(
    "long-lived-credential", "subject agent", issued(FIRST, PLANNER, None, expires_at=None), of=f"token:{FIRST}",
    sev="medium",
)
attack(
    "long-lived-credential", "workload", issued(FIRST, "spiffe://x/job", None, expires_at=None), of=f"token:{FIRST}",
    sev="medium",
)
attack(
    "long-lived-credential", "refresh 31 d",
    issued(FIRST, ALICE, PLANNER, token_type="refresh_token", expires_at=31 * DAY), of=f"token:{FIRST}", sev="medium",
)
honest("long-lived-credential", "24 h", issued(FIRST, ALICE, PLANNER, 0, expires_at=24 * 60))
honest("long-lived-credential", "human", issued(FIRST, ALICE, None, expires_at=None))
honest(
    "long-lived-credential", "refresh 29 d",
    issued(FIRST, ALICE, PLANNER, token_type="refresh_token", expires_at=29 * DAY),
)
ENDLESS = issued(FIRST, ALICE, PLANNER, delegation="d1", expires_at=None)
attack(
    "long-lived-credential", "suspended", D1, ENDLESS, ordered("r1", "token", FIRST, mode="suspend"),
    of=f"token:{FIRST}", sev="medium",
)
attack(
    "long-lived-credential", "its delegation has ended", granted("d1", ALICE, PLANNER, expires_at=60), ENDLESS,
    of=f"token:{FIRST}", sev="medium",
)
attack(
    "long-lived-credential", "revocation of another", D1, ENDLESS, ordered("r1", "token", SECOND),
    of=f"token:{FIRST}", sev="medium",
)
honest("long-lived-credential", "revoked", D1, ENDLESS, THEN, ordered("r1", "token", FIRST))
honest("long-lived-credential", "revoked from above", D1, ENDLESS, THEN, ordered("r1", "principal", ALICE))
honest("long-lived-credential", "arrives after its revocation", ordered("r1", "delegation", "d1"), THEN, D1, ENDLESS)
attack(
    "long-lived-credential", "expired", issued(FIRST, ALICE, PLANNER, -2 * DAY, expires_at=-60),
    issued(SECOND, ALICE, PLANNER, expires_at=60), of=f"token:{FIRST}", sev="medium",
)
attack(
    "long-lived-credential", "expired by time", issued(FIRST, ALICE, PLANNER, expires_at=2 * DAY), at=3 * DAY,
    of=f"token:{FIRST}", sev="medium",
)

# standing-access
attack(
    "standing-access", "no end", granted("d1", ALICE, PLANNER, expires_at=None), of="delegation:d1", sev="medium",
    cites=["grant-d1"],
)
attack(
    "standing-access", "alive 31 d", granted("d1", ALICE, PLANNER, -31 * DAY, expires_at=20 * DAY),
    of="delegation:d1", sev="medium",
)
attack(
    "standing-access", "no end, max_depth", granted("d1", ALICE, PLANNER, max_depth=0, expires_at=None),
    of="delegation:d1", sev="medium",
)
attack(
    "standing-access", "by time", granted("d1", ALICE, PLANNER, expires_at=60 * DAY), at=35 * DAY,
    of="delegation:d1", sev="medium",
)
ENDLESS_GRANT = granted("d1", ALICE, PLANNER, expires_at=None)
attack(
    "standing-access", "suspended", ENDLESS_GRANT, ordered("r1", "delegation", "d1", mode="suspend"),
    of="delegation:d1", sev="medium",
)
honest("standing-access", "revoked", ENDLESS_GRANT, THEN, ordered("r1", "delegation", "d1"))
honest("standing-access", "agent revoked", ENDLESS_GRANT, THEN, ordered("r1", "principal", PLANNER))
attack(
    "standing-access", "expired by time", granted("d1", ALICE, PLANNER, expires_at=60 * DAY), at=61 * DAY,
    of="delegation:d1", sev="medium",
)
honest(
    "standing-access", "parent revoked", D1, granted("d2", PLANNER, MAILER, 2, parents=["d1"], expires_at=None), THEN,
    ordered("r1", "delegation", "d1"),
)
honest("standing-access", "short", D1)
honest("standing-access", "alive 29 d", granted("d1", ALICE, PLANNER, -29 * DAY, expires_at=1 * DAY))
honest("standing-access", "human", granted("d1", ALICE, "human:bob", expires_at=None))

# broad-scope
attack(
    "broad-scope", "star", granted("d1", ALICE, PLANNER, scopes=["*"]), of="delegation:d1", sev="medium",
    cites=["grant-d1"],
)
attack("broad-scope", "admin", granted("d1", ALICE, PLANNER, scopes=["admin"]), of="delegation:d1", sev="medium")
attack(
    "broad-scope", "write anything", granted("d1", ALICE, PLANNER, scopes=["x:write", "*:write"]),
    of="delegation:d1", sev="medium",
)
attack(
    "broad-scope", "21", granted("d1", ALICE, PLANNER, scopes=[f"s:{i}" for i in range(21)]), of="delegation:d1",
    sev="medium",
)
attack("broad-scope", "wildcard", granted("d1", ALICE, PLANNER, scopes=["crm:*"]), of="delegation:d1", sev="medium")
attack("broad-scope", "token", issued(FIRST, ALICE, PLANNER, scopes=["*"]), of=f"token:{FIRST}", sev="medium")
attack("broad-scope", "setting", D1, of="delegation:d1", sev="medium", settings='[findings]\nbroad=["crm:read"]\n')
honest("broad-scope", "20", granted("d1", ALICE, PLANNER, scopes=[f"s:{i}" for i in range(20)]))
honest("broad-scope", "crm:write", granted("d1", ALICE, PLANNER, scopes=["crm:write", "administer"]))
honest("broad-scope", "human", granted("d1", ALICE, "human:bob", scopes=["*"]))

# scope-unstated
attack(
    "scope-unstated", "grant", granted("d1", ALICE, PLANNER, scopes=None), of="delegation:d1", sev="low",
    cites=["grant-d1"],
)
attack("scope-unstated", "token", issued(FIRST, ALICE, PLANNER, scopes=None), of=f"token:{FIRST}", sev="low")
attack(
    "scope-unstated", "below unstated", granted("d1", ALICE, "human:bob", scopes=None),
    granted("d2", "human:bob", PLANNER, 2, parents=["d1"], scopes=None), of="delegation:d2", sev="low",
)
honest("scope-unstated", "inherits", D1, issued(FIRST, ALICE, PLANNER, delegation="d1", scopes=None))
honest("scope-unstated", "no scopes at all", granted("d1", ALICE, PLANNER, scopes=None, no_scopes=True))
honest(
    "scope-unstated", "stated later", granted("d1", ALICE, PLANNER, scopes=None), THEN,
    granted("d1", ALICE, PLANNER, 2, scopes=["crm:read"], id="more"),
)
honest("scope-unstated", "human", issued(FIRST, ALICE, None, scopes=None))

# unused-access
OLD_GRANT = granted("d1", ALICE, PLANNER, -100 * DAY, scopes=["crm:read", "crm:write"], expires_at=5 * DAY)
OLD_TOKEN = issued(
    FIRST, ALICE, PLANNER, -100 * DAY, scopes=["crm:read", "crm:write"], delegation="d1", expires_at=5 * DAY,
)
attack(
    "unused-access", "plain", OLD_GRANT, OLD_TOKEN,
    done("a", -5 * DAY, token=FIRST, actor=PLANNER, required_scopes=["crm:read"]), of="delegation:d1", sev="low",
)
attack(
    "unused-access", "last used long ago", OLD_GRANT, OLD_TOKEN,
    done("a", -5 * DAY, token=FIRST, actor=PLANNER, required_scopes=["crm:read"]),
    done("b", -95 * DAY, token=FIRST, actor=PLANNER, required_scopes=["crm:write"]), of="delegation:d1", sev="low",
)
attack(
    "unused-access", "failed does not use", OLD_GRANT, OLD_TOKEN,
    done("a", -5 * DAY, token=FIRST, actor=PLANNER, required_scopes=["crm:read"]),
    done("b", -5 * DAY, token=FIRST, actor=PLANNER, required_scopes=["crm:write"], outcome="denied"),
    of="delegation:d1", sev="low",
)
honest(
    "unused-access", "used", OLD_GRANT, OLD_TOKEN,
    done("a", -5 * DAY, token=FIRST, actor=PLANNER, required_scopes=["crm:read"]),
    done("b", -50 * DAY, token=FIRST, actor=PLANNER, required_scopes=["crm:write"]),
)
honest(
    "unused-access", "young", granted("d1", ALICE, PLANNER, -50 * DAY, scopes=["crm:read", "crm:write"]),
    issued(FIRST, ALICE, PLANNER, -1 * DAY, delegation="d1"),
    done("a", token=FIRST, actor=PLANNER, required_scopes=["crm:read"]),
)
honest(
    "unused-access", "ended",
    granted("d1", ALICE, PLANNER, -100 * DAY, scopes=["crm:read", "crm:write"], expires_at=-1),
    done("a", -5 * DAY, delegation="d1", actor=PLANNER, required_scopes=["crm:read"]),
)
honest(
    "unused-access", "used below", OLD_GRANT,
    granted("d2", PLANNER, MAILER, -99 * DAY, parents=["d1"], scopes=["crm:write"], expires_at=4 * DAY),
    done("a", -5 * DAY, delegation="d2", actor=MAILER, required_scopes=["crm:write"]),
    done("b", -5 * DAY, delegation="d1", actor=PLANNER, required_scopes=["crm:read"]),
)
unknown("unused-access", "needs unknown", OLD_GRANT, OLD_TOKEN, done("a", -5 * DAY, token=FIRST, actor=PLANNER))

# dormant-but-alive
attack(
    "dormant-but-alive", "never used", issued(FIRST, ALICE, PLANNER, -40 * DAY, expires_at=30 * DAY),
    of=f"token:{FIRST}", sev="medium", cites=[f"iss-{FIRST}"],
)
attack(
    "dormant-but-alive", "no end", granted("d1", ALICE, PLANNER, -40 * DAY, expires_at=None), of="delegation:d1",
    sev="medium",
)
attack(
    "dormant-but-alive", "last use 31 d", issued(FIRST, ALICE, PLANNER, -40 * DAY, expires_at=30 * DAY),
    done("a", -31 * DAY, token=FIRST, actor=PLANNER), of=f"token:{FIRST}", sev="medium",
)
attack(
    "dormant-but-alive", "denied is no use", issued(FIRST, ALICE, PLANNER, -40 * DAY, expires_at=30 * DAY),
    done("a", -1 * DAY, token=FIRST, actor=PLANNER, outcome="denied"), of=f"token:{FIRST}", sev="medium",
)
attack(
    "dormant-but-alive", "by time", issued(FIRST, ALICE, PLANNER, 0, expires_at=60 * DAY), of=f"token:{FIRST}",
    sev="medium", at=32 * DAY,
)
honest(
    "dormant-but-alive", "used", issued(FIRST, ALICE, PLANNER, -40 * DAY, expires_at=30 * DAY),
    done("a", -10 * DAY, token=FIRST, actor=PLANNER),
)
honest("dormant-but-alive", "ends soon", issued(FIRST, ALICE, PLANNER, -40 * DAY, expires_at=6 * DAY))
honest(
    "dormant-but-alive", "used below", granted("d1", ALICE, PLANNER, -40 * DAY, expires_at=30 * DAY),
    issued(FIRST, ALICE, PLANNER, -1 * DAY, delegation="d1"), done("a", -1 * DAY + 9, token=FIRST, actor=PLANNER),
)
honest(
    "dormant-but-alive", "revoked", issued(FIRST, ALICE, PLANNER, -40 * DAY, expires_at=30 * DAY),
    ordered("r1", "token", FIRST),
)
honest(
    "dormant-but-alive", "used to exchange", issued(FIRST, ALICE, PLANNER, -40 * DAY, expires_at=30 * DAY),
    issued(SECOND, ALICE, MAILER, -1 * DAY, sub=FIRST, expires_at=300),
    done("a", -1 * DAY + 9, token=SECOND, actor=MAILER),
)

# agent-unregistered
attack(
    "agent-unregistered", "grant", granted("d1", ALICE, "agent:new"), of="principal:agent:new", sev="medium",
    cites=["grant-d1"],
)
attack(
    "agent-unregistered", "actor", D1, FIRST_TOKEN, done("a", token=FIRST, actor="agent:new"),
    of="principal:agent:new", sev="medium",
)
attack("agent-unregistered", "token", issued(FIRST, ALICE, "agent:new"), of="principal:agent:new", sev="medium")
honest(
    "agent-unregistered", "late", granted("d1", ALICE, "agent:new"), THEN,
    registered("agent:new", "agent", owner=ALICE, purpose="x"),
)
honest(
    "agent-unregistered", "alias", registered("agent:new", "agent", owner=ALICE, purpose="x", aliases=["agent:n2"]),
    granted("d1", ALICE, "agent:n2"),
)
honest("agent-unregistered", "human", granted("d1", ALICE, "human:carol"))
unknown("agent-unregistered", "nobody registers", D1, base=[])

# agent-ownerless
attack(
    "agent-ownerless", "plain", registered("agent:new", "agent", purpose="x"), of="principal:agent:new",
    sev="medium", cites=["reg-agent:new"],
)
attack("agent-ownerless", "no prefix", registered("robot", "agent", purpose="x"), of="principal:robot", sev="medium")
attack(
    "agent-ownerless", "two registrations", registered("agent:new", "agent", purpose="x"), THEN,
    registered("agent:new", "agent", 2, purpose="y", id="z"), of="principal:agent:new", sev="medium", n=1,
)
honest(
    "agent-ownerless", "owned later", registered("agent:new", "agent", purpose="x"), THEN,
    registered("agent:new", "agent", 2, owner=ALICE, id="z"),
)
honest(
    "agent-ownerless", "by alias", registered("agent:new", "agent", purpose="x", aliases=["n2"]),
    registered("n2", "agent", owner=ALICE),
)
honest("agent-ownerless", "human", registered("human:carol", "human"))
unknown("agent-ownerless", "nobody registers", D1, base=[])

# owner-offboarded
HOLDER = [registered("agent:q", "agent", owner="human:bob", purpose="x"), granted("d1", ALICE, "agent:q")]
attack(
    "owner-offboarded", "order", *HOLDER, ordered("r1", "principal", "human:bob", reason="offboarding"),
    of="principal:agent:q", sev="high", cites=["order-r1"],
)
attack(
    "owner-offboarded", "role_change alias", registered("human:bob", "human", id="al", aliases=["bob7"]), *HOLDER,
    ordered("r1", "principal", "bob7", reason="role_change"), of="principal:agent:q", sev="high",
)
attack(
    "owner-offboarded", "not registered", registered("agent:q", "agent", owner="human:ghost", purpose="x"),
    granted("d1", ALICE, "agent:q"), of="principal:agent:q", sev="high",
)
honest("owner-offboarded", "other reason", *HOLDER, ordered("r1", "principal", "human:bob", reason="credential_leak"))
honest(
    "owner-offboarded", "lifted", *HOLDER, ordered("r1", "principal", "human:bob", reason="offboarding"),
    lifted("r1"),
)
honest(
    "owner-offboarded", "new owner", *HOLDER, ordered("r1", "principal", "human:bob", reason="offboarding"),
    registered("agent:q", "agent", 20, owner=ALICE, id="z"),
)
honest("owner-offboarded", "holds nothing", HOLDER[0], ordered("r1", "principal", "human:bob", reason="offboarding"))

# agent-without-purpose
attack(
    "agent-without-purpose", "plain", registered("agent:q", "agent", owner=ALICE), of="principal:agent:q",
    sev="informational",
)
attack(
    "agent-without-purpose", "no prefix", registered("robot", "agent", owner=ALICE), of="principal:robot",
    sev="informational",
)
honest(
    "agent-without-purpose", "stated later", registered("agent:q", "agent", owner=ALICE), THEN,
    registered("agent:q", "agent", 2, purpose="x", id="z"),
)
honest("agent-without-purpose", "human", registered("human:carol", "human"))
unknown("agent-without-purpose", "none", D1, base=[])

# agent-unbound
UNBOUND_AGENT = registered("agent:q", "agent", owner=ALICE, purpose="x")
attack("agent-unbound", "holds", UNBOUND_AGENT, granted("d1", ALICE, "agent:q"), of="principal:agent:q", sev="low")
attack(
    "agent-unbound", "acts", UNBOUND_AGENT, granted("d1", ALICE, "agent:q"),
    done("a", delegation="d1", actor="agent:q"), of="principal:agent:q", sev="medium",
)
attack(
    "agent-unbound", "binding ended", UNBOUND_AGENT, bound("agent:q", "spiffe://x/q", expires_at=30),
    granted("d1", ALICE, "agent:q"), of="principal:agent:q", sev="low",
)
attack(
    "agent-unbound", "binding ends by time", UNBOUND_AGENT, bound("agent:q", "spiffe://x/q", expires_at=180),
    granted("d1", ALICE, "agent:q"), of="principal:agent:q", sev="low", at=200,
)
honest(
    "agent-unbound", "late binding", UNBOUND_AGENT, granted("d1", ALICE, "agent:q"), THEN,
    bound("agent:q", "spiffe://x/q"),
)
honest(
    "agent-unbound", "alias", registered("agent:q", "agent", owner=ALICE, purpose="x", aliases=["q7"]),
    bound("q7", "spiffe://x/q"), granted("d1", ALICE, "agent:q"),
)
honest("agent-unbound", "nothing alive", UNBOUND_AGENT, granted("d1", ALICE, "agent:q", expires_at=60))
unknown(
    "agent-unbound", "nobody binds", UNBOUND_AGENT, granted("d1", ALICE, "agent:q"),
    base=[registered(ALICE, "human")],
)

# no-human-root
attack(
    "no-human-root", "service without owner", registered("service:cron", "service"),
    granted("d1", "service:cron", PLANNER), sev="medium",
)
attack("no-human-root", "token of a workload", issued(FIRST, "spiffe://x/job", None), sev="medium")
attack(
    "no-human-root", "owner a service", registered("service:cron", "service", owner="service:boss"),
    granted("d1", "service:cron", PLANNER), sev="medium",
)
honest(
    "no-human-root", "owner human", registered("service:cron", "service", owner=ALICE),
    granted("d1", "service:cron", PLANNER),
)
honest("no-human-root", "human", *CHAIN)
honest(
    "no-human-root", "expired", registered("service:cron", "service"),
    granted("d1", "service:cron", PLANNER, expires_at=60),
)
honest(
    "no-human-root", "owner late", registered("service:cron", "service"), granted("d1", "service:cron", PLANNER),
    THEN, registered("service:cron", "service", 2, owner=ALICE, id="z"),
)

# revocation-unreachable
ELSEWHERE = receiver("urn:rs", issuers=["https://other"])
attack("revocation-unreachable", "plain", ELSEWHERE, D1, FIRST_TOKEN, of=f"token:{FIRST}", sev="medium")
attack(
    "revocation-unreachable", "audience", receiver("urn:rs", audiences=["https://pay"]),
    issued(FIRST, ALICE, PLANNER, audience=["https://crm"]), of=f"token:{FIRST}", sev="medium",
)
honest("revocation-unreachable", "covered", receiver("urn:rs"), D1, FIRST_TOKEN)
honest("revocation-unreachable", "issuer", receiver("urn:rs", issuers=["https://idp"], kinds=["token"]), FIRST_TOKEN)
honest("revocation-unreachable", "ended", ELSEWHERE, issued(FIRST, ALICE, PLANNER, expires_at=60))
honest("revocation-unreachable", "late receiver", ELSEWHERE, FIRST_TOKEN, THEN, receiver("urn:rs2"))
unknown("revocation-unreachable", "no receivers", *CHAIN)

# revocation-overdue
PROMISING = receiver("urn:rs", deadline_seconds=60)
attack(
    "revocation-overdue", "deadline", PROMISING, D1, FIRST_TOKEN, ordered("r1", "token", FIRST), of="revocation:r1",
    sev="high", cites=["order-r1"], at=200,
)
attack(
    "revocation-overdue", "rejected", PROMISING, D1, FIRST_TOKEN, ordered("r1", "token", FIRST), THEN,
    acknowledged("r1", "urn:rs", NOW, outcome="rejected"), of="revocation:r1", sev="high",
)
attack(
    "revocation-overdue", "one of two", PROMISING, receiver("urn:rs2", deadline_seconds=60), D1, FIRST_TOKEN,
    ordered("r1", "token", FIRST), THEN, acknowledged("r1", "urn:rs2", NOW, token=FIRST), of="revocation:r1",
    sev="high", at=200,
)
honest(
    "revocation-overdue", "enforced", PROMISING, D1, FIRST_TOKEN, ordered("r1", "token", FIRST), THEN,
    acknowledged("r1", "urn:rs", NOW, token=FIRST), at=200,
)
honest(
    "revocation-overdue", "within deadline", receiver("urn:rs", deadline_seconds=36000), D1, FIRST_TOKEN,
    ordered("r1", "token", FIRST),
)
honest("revocation-overdue", "no deadline", receiver("urn:rs"), D1, FIRST_TOKEN, ordered("r1", "token", FIRST), at=200)
honest(
    "revocation-overdue", "ended before the deadline", PROMISING, D1,
    issued(FIRST, ALICE, PLANNER, delegation="d1", expires_at=10.5), ordered("r1", "token", FIRST), at=200,
)

# fan-out-burst
attack(
    "fan-out-burst", "delegations", D1,
    *[granted(f"f{i}", PLANNER, MAILER, 5 + i * 0.01, parents=["d1"]) for i in range(51)], of="delegation:d1",
    sev="medium", n=1,
)
attack(
    "fan-out-burst", "actions", D1, FIRST_TOKEN,
    *[done(f"f{i}", 5 + i * 0.01, token=FIRST, actor=PLANNER) for i in range(51)], of=f"token:{FIRST}", sev="medium",
    n=1,
)
attack(
    "fan-out-burst", "reversed parts", D1, FIRST_TOKEN,
    *[done(f"f{i}", 5 + i * 0.01, token=FIRST, actor=PLANNER) for i in range(50, 25, -1)], THEN,
    *[done(f"f{i}", 5 + i * 0.01, token=FIRST, actor=PLANNER) for i in range(26)], of=f"token:{FIRST}", sev="medium",
    n=1,
)
attack(
    "fan-out-burst", "over a minute boundary", D1, FIRST_TOKEN,
    *[done(f"f{i}", 5.5 + i * 0.019, token=FIRST, actor=PLANNER) for i in range(51)], of=f"token:{FIRST}",
    sev="medium", n=1,
)
honest(
    "fan-out-burst", "50", D1, FIRST_TOKEN,
    *[done(f"f{i}", 5 + i * 0.01, token=FIRST, actor=PLANNER) for i in range(50)],
)
honest(
    "fan-out-burst", "slow", D1, FIRST_TOKEN,
    *[done(f"f{i}", 5 + i * 0.05, token=FIRST, actor=PLANNER) for i in range(60)],
)
honest(
    "fan-out-burst", "spread over tokens", D1,
    *[issued(f"https://idp#n{i}", ALICE, PLANNER, 3 + i, delegation="d1") for i in range(3)],
    *[done(f"f{i}", 5 + i * 0.01, token=f"https://idp#n{i % 3}", actor=PLANNER) for i in range(60)],
)

# repeated-denials
def denied(count: int, kinds: int = 3, step: float = 1.0, by: str = PLANNER) -> list[Event]:
    return [
        decided(f"z{one}", False, 5 + one * step, token=FIRST, actor=by, operation=f"op{one % kinds}")
        for one in range(count)
    ]


attack("repeated-denials", "decisions", D1, FIRST_TOKEN, *denied(5), of=f"principal:{PLANNER}", sev="medium")
attack(
    "repeated-denials", "actions", D1, FIRST_TOKEN,
    *[
        done(f"z{i}", 5 + i, token=FIRST, actor=PLANNER, operation="x", resource=f"r{i}", outcome="denied")
        for i in range(5)
    ],
    of=f"principal:{PLANNER}", sev="medium",
)
attack(
    "repeated-denials", "aliases",
    registered(PLANNER, "agent", id="al", aliases=["p-7"], owner=ALICE, purpose="crm work"), D1, FIRST_TOKEN,
    *denied(3),
    *[{**e, "event_id": e["event_id"] + "b", "decision": e["decision"] + "b"} for e in denied(3, by="p-7")],
    sev="medium", n=1,
)
attack(
    "repeated-denials", "resources", D1, FIRST_TOKEN,
    *[
        decided(f"z{i}", False, 5 + i, token=FIRST, actor=PLANNER, operation="x", resource={"id": f"r{i}"})
        for i in range(5)
    ],
    of=f"principal:{PLANNER}", sev="medium",
)
honest("repeated-denials", "4", D1, FIRST_TOKEN, *denied(4))
honest("repeated-denials", "two operations", D1, FIRST_TOKEN, *denied(8, 2))
honest("repeated-denials", "slow", D1, FIRST_TOKEN, *denied(6, 3, 3.0))
honest(
    "repeated-denials", "decision and its denied action count once", D1, FIRST_TOKEN, *denied(3),
    *[
        done(f"z{i}", 5.05 + i, token=FIRST, actor=PLANNER, operation=f"op{i}", decision=f"z{i}", outcome="denied")
        for i in range(3)
    ],
)

# repeat-offender
attack(
    "repeat-offender", "three", D1, FIRST_TOKEN,
    *[done(f"g{i}", 6 + i, token=f"https://idp#ghost{i}", actor=PLANNER) for i in range(3)],
    of=f"principal:{PLANNER}", sev="high",
)
attack(
    "repeat-offender", "mixed", D1, FIRST_TOKEN, done("a", 6, token=FIRST, actor=PLANNER, required_scopes=["x:y"]),
    decided("q", False, 5, token=FIRST, actor=PLANNER), done("b", 6, token=FIRST, actor=PLANNER, decision="q"),
    done("c", 7, token="https://idp#gh", actor=PLANNER), of=f"principal:{PLANNER}", sev="high",
)
honest(
    "repeat-offender", "two", D1, FIRST_TOKEN,
    *[done(f"g{i}", 6 + i, token=f"https://idp#ghost{i}", actor=PLANNER) for i in range(2)],
)
honest(
    "repeat-offender", "three agents", D1, FIRST_TOKEN,
    *[done(f"g{i}", 6 + i, token=f"https://idp#ghost{i}", actor=w) for i, w in enumerate(WORKLOADS)],
)
honest(
    "repeat-offender", "over days", D1, FIRST_TOKEN,
    *[done(f"g{i}", -i * 2 * DAY, token=f"https://idp#ghost{i}", actor=PLANNER) for i in range(3)],
)

# first-seen-edge
ON = "[findings.first-seen-edge]\nenabled=true\n"
HISTORY = [granted("h", ALICE, PLANNER, -40 * DAY, expires_at=-39 * DAY)]
attack(
    "first-seen-edge", "pair", *HISTORY, granted("h2", ALICE, MAILER, 1), sev="informational", settings=ON,
    cites=["grant-h2"],
)
attack(
    "first-seen-edge", "operation", *HISTORY, D1, FIRST_TOKEN, done("h", -35 * DAY, delegation="h", actor=PLANNER),
    done("a", token=FIRST, actor=PLANNER, operation="crm.delete"), sev="informational", settings=ON, cites=["do-a"],
)
honest("first-seen-edge", "off by default", *HISTORY, granted("h2", ALICE, MAILER, 1))
honest(
    "first-seen-edge", "seen", *HISTORY, granted("h3", ALICE, PLANNER, -10 * DAY, expires_at=-9 * DAY), D1,
    settings=ON,
)

# mass-revocation
attack(
    "mass-revocation", "orders", *[issued(f"https://idp#m{i}", ALICE, PLANNER, 2) for i in range(60)],
    *[ordered(f"r{i}", "token", f"https://idp#m{i}", 10 + i * 0.01) for i in range(60)], sev="medium", n=1,
)
honest(
    "mass-revocation", "few", *[issued(f"https://idp#m{i}", ALICE, PLANNER, 2) for i in range(5)],
    *[ordered(f"r{i}", "token", f"https://idp#m{i}", 10 + i * 0.01) for i in range(5)],
)

# far-effective-at
attack(
    "far-effective-at", "future", FIRST_TOKEN, ordered("r1", "token", FIRST, effective_at=400 * DAY),
    of="revocation:r1",
)
attack(
    "far-effective-at", "past", FIRST_TOKEN, ordered("r1", "token", FIRST, effective_at=-400 * DAY),
    of="revocation:r1",
)
honest("far-effective-at", "near", FIRST_TOKEN, ordered("r1", "token", FIRST, effective_at=-300 * DAY))

# shared-order-id
attack(
    "shared-order-id", "plain", FIRST_TOKEN, ordered("r1", "token", FIRST), ordered("r1", "token", SECOND, id="o2"),
    of="revocation:r1",
)
honest("shared-order-id", "dup", FIRST_TOKEN, ordered("r1", "token", FIRST), THEN, ordered("r1", "token", FIRST))
honest("shared-order-id", "two ids", FIRST_TOKEN, ordered("r1", "token", FIRST), ordered("r2", "token", FIRST))

# lift-without-effect
attack(
    "lift-without-effect", "token revoke", FIRST_TOKEN, ordered("r1", "token", FIRST), lifted("r1"),
    of="revocation:r1",
)
attack("lift-without-effect", "ghost", lifted("r9"), of="revocation:r9")
honest("lift-without-effect", "suspension", FIRST_TOKEN, ordered("r1", "token", FIRST, mode="suspend"), lifted("r1"))
honest("lift-without-effect", "principal", FIRST_TOKEN, ordered("r1", "principal", PLANNER), lifted("r1"))
honest(
    "lift-without-effect", "before effect", FIRST_TOKEN, ordered("r1", "token", FIRST, effective_at=100),
    lifted("r1", 15),
)

# acknowledgement-without-order
attack(
    "acknowledgement-without-order",
    "plain",
    receiver("urn:rs"),
    FIRST_TOKEN,
    acknowledged("r9", "urn:rs"),
)
honest(
    "acknowledgement-without-order", "with", receiver("urn:rs"), FIRST_TOKEN, ordered("r1", "token", FIRST), THEN,
    acknowledged("r1", "urn:rs", NOW, token=FIRST),
)

# acknowledgement-before-order
attack(
    "acknowledgement-before-order", "plain", receiver("urn:rs"), FIRST_TOKEN,
    acknowledged("r1", "urn:rs", 5, token=FIRST), ordered("r1", "token", FIRST, 50),
)
honest(
    "acknowledgement-before-order", "with", receiver("urn:rs"), FIRST_TOKEN, ordered("r1", "token", FIRST), THEN,
    acknowledged("r1", "urn:rs", NOW, token=FIRST),
)

# unregistered-receiver
attack(
    "unregistered-receiver", "plain", FIRST_TOKEN, ordered("r1", "token", FIRST), THEN,
    acknowledged("r1", "urn:ghost", NOW, token=FIRST),
)
honest(
    "unregistered-receiver", "with", receiver("urn:rs"), FIRST_TOKEN, ordered("r1", "token", FIRST), THEN,
    acknowledged("r1", "urn:rs", NOW, token=FIRST),
)

# coverage-narrowed
attack(
    "coverage-narrowed", "plain", receiver("urn:rs"), FIRST_TOKEN, THEN,
    receiver("urn:rs", 1, id="n", issuers=["https://other"]),
)
honest(
    "coverage-narrowed", "wider", receiver("urn:rs", issuers=["https://idp"]), FIRST_TOKEN, THEN,
    receiver("urn:rs", 1, id="n"),
)

# source-silent
BEATS = [done(f"s{i}", 3 + i, token=FIRST, actor=PLANNER) for i in range(80)]
honest("source-silent", "still sends", D1, FIRST_TOKEN, *BEATS, at=84)
honest(
    "source-silent", "irregular", D1, FIRST_TOKEN,
    *[done(f"s{i}", 3 + i**2 * 0.03, token=FIRST, actor=PLANNER) for i in range(60)], at=119,
)
honest("source-silent", "few", D1, FIRST_TOKEN, *BEATS[:3], at=119)

# late-fact
attack(
    "late-fact", "plain", D1, FIRST_TOKEN, done("a", -2 * DAY, token=FIRST, actor=PLANNER, id="late"),
    sev="informational",
)
attack(
    "late-fact", "many", D1, FIRST_TOKEN,
    *[done(f"a{i}", -2 * DAY - i, token=FIRST, actor=PLANNER) for i in range(5)], sev="informational", n=1,
)
honest("late-fact", "23 h", D1, FIRST_TOKEN, done("a", -20 * 60, outcome="failed", token=FIRST, actor=PLANNER))

# future-fact
attack("future-fact", "plain", D1, FIRST_TOKEN, done("a", 130, token=FIRST, actor=PLANNER), sev="low")
honest("future-fact", "leeway", D1, FIRST_TOKEN, done("a", 120.2, token=FIRST, actor=PLANNER))

# sequence-hole
def numbered(*numbers: int) -> list[Event]:
    return [done(f"q{one}", 5 + one * 0.1, token=FIRST, actor=PLANNER, sequence=one) for one in numbers]


attack("sequence-hole", "plain", D1, FIRST_TOKEN, *numbered(1, 2, 4), sev="medium", of="source:urn:gw")
attack(
    "sequence-hole", "later fills", D1, FIRST_TOKEN, *numbered(1, 2, 4, 6), THEN, *numbered(3), sev="medium",
    of="source:urn:gw",
)
honest("sequence-hole", "none", D1, FIRST_TOKEN, *numbered(1, 2, 3))
honest("sequence-hole", "filled late", D1, FIRST_TOKEN, *numbered(1, 2, 4), THEN, *numbered(3))

# disagreement
attack(
    "disagreement", "plain", D1, FIRST_TOKEN, done("a", token=FIRST, actor=PLANNER, tool="x"),
    done("a", 6.1, token=FIRST, actor=PLANNER, tool="y", id="b"), sev="low", of="action:a",
)
attack(
    "disagreement", "split", D1, FIRST_TOKEN, THEN,
    issued(FIRST, ALICE, PLANNER, 3, delegation="d1", scopes=["crm:other"], id="b"), sev="low", of=f"token:{FIRST}",
)
honest(
    "disagreement", "adds", D1, FIRST_TOKEN, done("a", token=FIRST, actor=PLANNER, tool="x"),
    done("a", 6.1, token=FIRST, actor=PLANNER, resource="z", id="b"),
)
honest(
    "disagreement", "renewal", D1, FIRST_TOKEN,
    issued(FIRST, ALICE, PLANNER, 3, delegation="d1", expires_at=400, id="b"),
)

# conflict
attack(
    "conflict", "plain", D1, FIRST_TOKEN, done("a", token=FIRST, actor=PLANNER, tool="x"),
    done("a", 6, token=FIRST, actor=PLANNER, tool="y"), sev="medium",
)
honest(
    "conflict", "dup", D1, FIRST_TOKEN, done("a", token=FIRST, actor=PLANNER, tool="x"), THEN,
    done("a", 6, token=FIRST, actor=PLANNER, tool="x"),
)

# exception-expired
EXCEPTION = '[[findings.exceptions]]\nrule="standing-access"\nof="delegation:*"\nreason="x"\nby="human:ruth"\nuntil='
attack(
    "exception-expired", "plain", granted("d1", ALICE, PLANNER, expires_at=None),
    settings=EXCEPTION + "2020-01-01T00:00:00Z",
)
honest(
    "exception-expired", "in force", granted("d1", ALICE, PLANNER, expires_at=None),
    settings=EXCEPTION + "2099-01-01T00:00:00Z",
)
