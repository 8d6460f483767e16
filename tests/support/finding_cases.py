"""For each rule of the catalogue: worlds with and without a finding, facts that resolve it, and its inputs.

Times are minutes from eight o'clock. Event ids say what an event does: ``grant d1``, ``issue t1``, ``do a1``.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from lineage.core.findings.options import Exempted, Options
from lineage.core.model.times import parse_instant

Event = dict[str, Any]

START = datetime(2026, 11, 2, 8, tzinfo=UTC)
IDP, GATEWAY, PDP, DIRECTORY, RESPONDER = (f"https://{name}.example" for name in ("idp", "gw", "pdp", "dir", "ir"))
AL, BO = "human:al", "human:bo"
A, B, C = "agent:a", "agent:b", "agent:c"
DAY = 24 * 60


def moment(minutes: float) -> str:
    """Format a time as events state it."""
    return (START + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


def event(type_: str, event_id: str, source: str, at: float, **fields: Any) -> Event:
    """Build an event."""
    return {"type": type_, "event_id": event_id, "source": source, "occurred_at": moment(at), **fields}


def registered(id_: str, at: float = -60, **fields: Any) -> Event:
    kind = id_.partition(":")[0]
    fields = {"kind": kind, **fields}
    return event(
        "principal.registered", fields.pop("event_id", f"register {id_}"), DIRECTORY, at, principal=id_, **fields
    )


def bound(agent: str, workload: str, at: float = -50, **fields: Any) -> Event:
    id_ = f"bind {agent} {workload}"
    return event("workload.bound", id_, DIRECTORY, at, agent=agent, workload=workload, **fields)


def granted(id_: str, by: str, to: str, at: float = 0, **fields: Any) -> Event:
    event_id = fields.pop("event_id", f"grant {id_}")
    source = fields.pop("source", IDP)
    return event("delegation.granted", event_id, source, at, delegation=id_, delegator=by, delegatee=to, **fields)


def issued(id_: str, subject: str = AL, at: float = 1, **fields: Any) -> Event:
    event_id, source = fields.pop("event_id", f"issue {id_}"), fields.pop("source", IDP)
    derived = [{"token": token, "role": role} for role, token in fields.pop("of", [])]
    return event("token.issued", event_id, source, at, token=id_, subject=subject, derived_from=derived, **fields)


def decided(id_: str, permitted: bool, operation: str, at: float = 2, **fields: Any) -> Event:
    event_id, source = fields.pop("event_id", f"decide {id_}"), fields.pop("source", PDP)
    return event(
        "decision.made", event_id, source, at, decision=id_, permitted=permitted, operation=operation, **fields
    )


def done(id_: str, operation: str = "crm.read", at: float = 3, **fields: Any) -> Event:
    event_id, source = fields.pop("event_id", f"do {id_}"), fields.pop("source", GATEWAY)
    fields = {"outcome": "succeeded", **fields}
    return event("action.performed", event_id, source, at, action=id_, operation=operation, **fields)


def ordered(id_: str, of: str, at: float = 10, **fields: Any) -> Event:
    kind, _, target = of.partition(":")
    event_id = fields.pop("event_id", f"order {id_}")
    fields = {"reason": "compromise", "ordered_by": "human:ir", **fields}
    target = {"kind": kind, "id": target}
    return event("revocation.ordered", event_id, RESPONDER, at, revocation=id_, target=target, **fields)


def lifted(id_: str, at: float = 20, **fields: Any) -> Event:
    fields = {"lifted_by": "human:ir", **fields}
    return event("revocation.lifted", f"lift {id_} {at}", RESPONDER, at, revocation=id_, **fields)


def receiver(id_: str, at: float = -60, **fields: Any) -> Event:
    return event("receiver.registered", f"receiver {id_}", GATEWAY, at, receiver=id_, **fields)


def acknowledged(id_: str, by: str, at: float = 11, **fields: Any) -> Event:
    fields = {"outcome": "enforced", **fields}
    return event("revocation.acknowledged", f"ack {id_} {by}", GATEWAY, at, revocation=id_, receiver=by, **fields)


def res(id_: str, **fields: Any) -> dict[str, str]:
    return {"id": id_, **fields}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A rule with its findings in some worlds.

    Attributes:
        fires: A world in which it finds something.
        of, about, severity, cites: Its finding; ``cites`` are some of the facts, by event id.
        also: Further findings of the same rule in this world, as (of, about, severity).
        quiet: Honest worlds like the first, in which it finds nothing.
        resolved: Facts that resolve the finding when they come late.
        stands: Why no fact resolves the finding, if none does.
        missing: A world that lacks the rule's input; None if no input can be missing.
        options: The settings.
        at: The instant asked about, in minutes.
        recorded: When facts were recorded, by event id, in minutes; by default when they happened.
        more: Other worlds in which it finds something: (world, severity).
    """

    fires: list[Event]
    of: str
    about: str | None = None
    severity: str
    cites: tuple[str, ...]
    also: tuple[tuple[str, str | None, str], ...] = ()
    quiet: tuple[list[Event], ...] = ()
    resolved: list[Event] = field(default_factory=list)
    stands: str = ""
    missing: list[Event] | None = None
    options: Options = field(default_factory=Options)
    at: float = 24 * DAY
    recorded: dict[str, float] = field(default_factory=dict)
    more: tuple[tuple[list[Event], str], ...] = ()


D1 = granted("d1", AL, A, scopes=["crm:read"], audience=["https://crm"], expires_at=moment(60))
T1 = issued("t1", actor=A, delegation="d1", scopes=["crm:read"], expires_at=moment(60))
PLAIN = [granted("d1", AL, A, expires_at=moment(60)), issued("t1", actor=A, delegation="d1", expires_at=moment(60))]
DOWN = granted("d2", A, B, 5, parents=["d1"], scopes=["crm:read"], expires_at=moment(60))


def reissued(**fields: Any) -> list[Event]:
    """Build an agent's delegation, and a second one below it with some different fields."""
    return [D1, {**DOWN, **fields}]


CASES: dict[str, Case] = {}
CASES["scope-exceeds-parent"] = Case(
    fires=reissued(scopes=["crm:read", "crm:write"]),
    of="delegation:d2",
    about="delegation:d1",
    severity="high",
    cites=("grant d1", "grant d2"),
    quiet=(
        reissued(),
        reissued(scopes=["crm:read", "openid"]),
        [granted("d1", AL, A), {**DOWN, "scopes": ["crm:write"]}],  # the elements above state nothing: unknown
        [D1, issued("t0", AL, 1, scopes=["mail:send"]), issued("t1", at=2, scopes=["crm:read"], of=[("actor", "t0")])],
        [
            issued("t0", scopes=["openid", "offline_access"]),
            issued("t1", at=2, scopes=["crm:read"], of=[("subject", "t0")]),
        ],
        [D1, {**DOWN, "scopes": ["crm:write"], "parents": ["d1", "dx"]}, granted("dx", BO, A, scopes=["crm:write"])],
    ),
    resolved=[granted("d1", AL, A, -1, event_id="grant d1 first", scopes=["crm:read", "crm:write"])],
    more=(
        ([D1, {**T1, "scopes": ["crm:write"]}], "high"),
        ([issued("t0", scopes=["a"]), issued("t1", at=2, scopes=["a", "b"], of=[("refresh", "t0")])], "high"),
        ([issued("t0", scopes=["a"]), issued("t1", at=2, scopes=["a", "b"], of=[("subject", "t0")])], "low"),
        ([{**D1, "scopes": [], "no_scopes": True}, DOWN], "high"),
        # a grant in between that states nothing, a parent that nobody granted, a self-made root of an agent
        ([D1, {**DOWN, "scopes": []}, granted("d3", B, C, 6, parents=["d2"], scopes=["pay"])], "high"),
        ([D1, {**DOWN, "scopes": ["pay"], "parents": ["d1", "ghost"]}], "high"),
        ([D1, {**DOWN, "scopes": ["pay"], "parents": ["d1", "own"]}, granted("own", A, A)], "high"),
        # a second fact about the same grant
        ([D1, DOWN, {**DOWN, "event_id": "grant d2 again", "scopes": ["pay"], "occurred_at": moment(6)}], "high"),
    ),
)
CASES["audience-exceeds-parent"] = Case(
    fires=reissued(audience=["https://crm", "https://pay"]),
    of="delegation:d2",
    about="delegation:d1",
    severity="medium",
    cites=("grant d1", "grant d2"),
    quiet=(
        reissued(audience=["https://crm/"]),
        [granted("d1", AL, A), {**DOWN, "audience": ["https://pay"]}],
        reissued(audience=["https://crm/orders"]),  # a part of what its parent may be used at
        [{**D1, "audience": ["https://*.example"]}, {**DOWN, "audience": ["https://crm.example"]}],
        [issued("t0", audience=["https://a"]), issued("t1", at=2, audience=["https://b"], of=[("subject", "t0")])],
    ),
    resolved=[granted("d1", AL, A, 1, event_id="grant d1 again", audience=["https://pay"])],
    more=(
        ([D1, {**T1, "audience": ["https://pay"]}], "medium"),
        (reissued(audience=["https://crm-pay"]), "medium"),
        (
            [issued("t0", audience=["https://a"]), issued("t1", at=2, audience=["https://b"], of=[("replaced", "t0")])],
            "medium",
        ),
    ),
)
CASES["outlives-parent"] = Case(
    fires=reissued(expires_at=moment(120)),
    of="delegation:d2",
    about="delegation:d1",
    severity="medium",
    cites=("grant d1", "grant d2"),
    quiet=(
        reissued(),
        reissued(expires_at=moment(60.4)),
        [granted("d1", AL, A), DOWN],
        [issued("t0", expires_at=moment(9)), issued("t1", at=2, expires_at=moment(60), of=[("refresh", "t0")])],
    ),
    resolved=[granted("d1", AL, A, 9, event_id="renew d1", expires_at=moment(120))],
    more=(
        (reissued(expires_at=None), "medium"),
        ([D1, {**T1, "expires_at": None}], "medium"),
        (
            [issued("t0", expires_at=moment(9)), issued("t1", at=2, expires_at=moment(60), of=[("subject", "t0")])],
            "informational",
        ),
    ),
)
CASES["delegation-depth-exceeded"] = Case(
    fires=[{**D1, "max_depth": 0}, DOWN],
    of="delegation:d2",
    about="delegation:d1",
    severity="high",
    cites=("grant d1", "grant d2"),
    quiet=(
        [{**D1, "max_depth": 1}, DOWN],
        [D1, DOWN],
        [registered(A, max_delegation_depth=1), D1, DOWN],
    ),
    resolved=[granted("d1", AL, A, -1, event_id="grant d1 first", max_depth=1)],
    more=(
        ([registered(A, max_delegation_depth=0), D1, DOWN], "high"),
        ([registered(A, max_delegation_depth=0), granted("d2", A, B)], "high"),  # without naming a parent
        # by another name of the agent, and by the longer of two ways
        ([registered(A, max_delegation_depth=0, aliases=["x|a"]), D1, {**DOWN, "delegator": "x|a"}], "high"),
        (
            [
                {**D1, "max_depth": 1},
                DOWN,
                granted("d3", B, C, 6, parents=["d1", "d2"]),
            ],
            "high",
        ),
    ),
)
CASES["granted-after-expiry"] = Case(
    fires=[D1, {**DOWN, "occurred_at": moment(61)}],
    of="delegation:d2",
    about="delegation:d1",
    severity="high",
    cites=("grant d1", "grant d2"),
    quiet=(
        [D1, DOWN],
        [D1, {**DOWN, "occurred_at": moment(60.2)}],
        [issued("t0", expires_at=moment(5)), issued("t1", at=9, of=[("replaced", "t0")])],
        # Seen again, by sources whose clocks differ a little: it was issued when the earliest says.
        [D1, T1, {**T1, "event_id": "seen t1", "occurred_at": moment(61), "issued_at": moment(61.4)}],
        [D1, T1, {**T1, "event_id": "seen t1", "occurred_at": moment(2), "issued_at": moment(1)}],
    ),
    resolved=[granted("d1", AL, A, 59, event_id="renew d1", expires_at=moment(120))],
    more=(
        ([D1, {**T1, "occurred_at": moment(61)}], "high"),
        ([D1, {**DOWN, "expires_at": None}, issued("t2", actor=B, at=62, delegation="d2")], "high"),
        ([issued("t0", expires_at=moment(5)), issued("t1", at=9, of=[("subject", "t0")])], "high"),
        # A source that states the late issue time in one of two facts of an early occurrence.
        ([D1, {**T1, "issued_at": moment(62)}, {**T1, "event_id": "issue t1 too"}], "high"),
    ),
)
CASES["granted-after-revocation"] = Case(
    fires=[*PLAIN, ordered("r1", "delegation:d1"), issued("t2", actor=A, at=20, delegation="d1")],
    of="token:t2",
    severity="high",
    cites=("issue t2", "order r1"),
    quiet=(
        [*PLAIN, ordered("r1", "delegation:d1", 30), issued("t2", actor=A, at=20, delegation="d1")],
        [*PLAIN, ordered("r1", "token:t1"), issued("t2", actor=A, at=20, delegation="d1")],
        [*PLAIN, ordered("r1", "delegation:d1", mode="suspend"), issued("t2", actor=A, at=20, delegation="d1")],
        # ordered later, effective earlier: nobody could know
        [
            *PLAIN,
            ordered("r1", "delegation:d1", 30, effective_at=moment(5)),
            issued("t2", actor=A, at=20, delegation="d1"),
        ],
    ),
    resolved=[issued("t2", actor=A, at=5, event_id="issue t2 first", delegation="d1")],
    more=(([registered(A, aliases=["x|a"]), *PLAIN, ordered("r1", "principal:x|a"), issued("t2", A, 20)], "high"),),
)
CASES["renewal-widened"] = Case(
    fires=[granted("d1", AL, A, scopes=["a"], task="T"), granted("d2", AL, A, 9, scopes=["a", "b"], task="T")],
    of="delegation:d2",
    about="delegation:d1",
    severity="low",
    cites=("grant d1", "grant d2"),
    quiet=(
        [granted("d1", AL, A, scopes=["a"], task="T"), granted("d2", AL, A, 9, scopes=["a"], task="T")],
        [granted("d1", AL, A, scopes=["a"], task="T"), granted("d2", AL, A, 9, scopes=["b"], task="U")],
        [granted("d1", AL, A, scopes=["a"], task="T"), granted("d2", AL, A, 9, scopes=["b"], task="T", approved_by=BO)],
        [
            granted("d1", AL, A, task="T", expires_at=moment(60)),
            granted("d2", AL, A, 60, task="T", expires_at=moment(120)),
        ],
    ),
    resolved=[granted("d1", AL, A, -1, event_id="grant d1 first", scopes=["a", "b"])],
    more=(([granted("d1", AL, A, task="T", expires_at=moment(60)), granted("d2", AL, A, 60, task="T")], "low"),),
)
CASES["ungrounded-delegation"] = Case(
    fires=[registered(A), granted("d1", A, B, scopes=["crm:read"])],
    of="delegation:d1",
    about="principal:agent:a",
    severity="medium",
    cites=("grant d1", "register agent:a"),
    quiet=(
        [granted("d0", AL, A, -5, scopes=["crm:read"]), granted("d1", A, B, scopes=["crm:read"])],
        [issued("t0", A, -5, scopes=["crm:read"]), granted("d1", A, B, scopes=["crm:read"])],
        [issued("t0", A, 0.2, scopes=["crm:read"]), granted("d1", A, B, scopes=["crm:read"])],  # two clocks
        [granted("d1", AL, B)],
        [D1, DOWN],
    ),
    resolved=[granted("d0", AL, A, -5, scopes=["crm:read"])],
    more=(([granted("d0", AL, A, -5, scopes=["crm:read"]), granted("d1", A, B, scopes=["pay"])], "medium"),),
)
CASES["self-approval"] = Case(
    fires=[granted("d1", AL, A, approved_by=A)],
    of="delegation:d1",
    about="delegatee",
    severity="medium",
    cites=("grant d1",),
    quiet=([granted("d1", AL, A, approved_by=BO)], [granted("d1", AL, A)]),
    more=(
        ([registered(A, aliases=["x|a"]), granted("d1", AL, A, approved_by="x|a")], "medium"),
        ([decided("p1", True, "pay", actor=A, approved_by=A)], "medium"),
        # requester and approver in two facts; the requester only by the token; by the agent's own workload
        (
            [
                decided("p1", True, "pay", actor=A),
                decided("p1", True, "pay", event_id="approve p1", approved_by=A),
            ],
            "medium",
        ),
        ([D1, T1, decided("p1", True, "pay", token="t1", approved_by=A)], "medium"),
        ([bound(A, "spiffe://x/a"), granted("d1", AL, A, approved_by="spiffe://x/a")], "medium"),
        ([ordered("r1", "token:t1", approved_by="human:ir")], "high"),
        ([ordered("r1", "token:t1"), lifted("r1", approved_by="human:ir")], "high"),
    ),
    stands="each statement of an approval counts by itself",
)
CASES["unapproved-delegation"] = Case(
    fires=[granted("d1", AL, A, scopes=["pay:out"])],
    of="delegation:d1",
    severity="medium",
    cites=("grant d1",),
    options=Options(sensitive=("pay:*",)),
    quiet=(
        [granted("d1", AL, A, scopes=["pay:out"], approved_by=BO)],
        [granted("d1", AL, A, scopes=["crm:read"])],
        [
            granted("d1", AL, A, scopes=["pay:out"], approved_by=BO),
            granted("d2", A, B, 5, parents=["d1"], scopes=["pay:out"]),
        ],
    ),
    resolved=[granted("d1", AL, A, 1, event_id="approve d1", approved_by=BO)],
)
CASES["delegation-from-untrusted-instruction"] = Case(
    fires=reissued(scopes=["crm:read", "crm:write"], instruction_source="document"),
    of="delegation:d2",
    severity="high",
    cites=("grant d2", "grant d1"),
    quiet=(reissued(scopes=["crm:read", "crm:write"], instruction_source="user"), reissued()),
    more=(
        ([D1, granted("d0", A, B, 4, parents=["d1"]), {**DOWN, "instruction_source": "child_result"}], "informational"),
        (reissued(instruction_source="child_result"), "high"),  # the first from the one to the other
        ([D1, granted("e1", A, B, 4), granted("d2", A, C, 5, instruction_source="tool_result")], "high"),
        # it delegates what nobody gave it, or what was given to another party
        ([granted("d2", A, B, scopes=["pay:all"], instruction_source="document")], "high"),
        ([D1, granted("d2", C, B, 5, parents=["d1"], expires_at=moment(60), instruction_source="document")], "high"),
    ),
    resolved=[{**DOWN, "event_id": "grant d2 first", "occurred_at": moment(4), "instruction_source": "user"}],
)
CASES["chain-mismatch"] = Case(
    fires=[D1, granted("d2", C, B, 5, parents=["d1"])],
    of="delegation:d2",
    severity="high",
    cites=("grant d1", "grant d2"),
    quiet=([D1, DOWN],),
    resolved=[registered(A, aliases=[C])],
)
CASES["cycle"] = Case(
    fires=[granted("d1", AL, A, parents=["d2"]), granted("d2", A, B, parents=["d1"])],
    of="delegation:d1",
    severity="high",
    cites=("grant d1", "grant d2"),
    quiet=([D1, DOWN],),
    stands="dependencies are the union of all that is claimed",
)
CASES["branch"] = Case(
    fires=[D1, granted("dx", AL, A), {**DOWN, "parents": ["d1", "dx"]}],
    of="delegation:d2",
    severity="informational",
    cites=("grant d2",),
    quiet=([D1, DOWN],),
    stands="dependencies are the union of all that is claimed",
)
CASES["action-outside-scope"] = Case(
    fires=[D1, T1, done("a1", token="t1", required_scopes=["crm:write"])],
    of="action:a1",
    about="token:t1",
    severity="high",
    cites=("do a1", "issue t1", "grant d1"),
    quiet=(
        [D1, T1, done("a1", token="t1", required_scopes=["crm:read"])],
        [D1, T1, done("a1", "mail.send", token="t1")],
        [D1, T1, done("a1", token="t1", required_scopes=["crm:write"], outcome="denied")],
        [{**D1, "scopes": []}, {**T1, "scopes": []}, done("a1", token="t1", required_scopes=["crm:write"])],
        [
            {**D1, "scopes": ["crm:*"]},
            {**T1, "scopes": ["crm:*"]},
            done("a1", token="t1", required_scopes=["crm:write"]),
        ],
        [{**D1, "scopes": ["crm"]}, {**T1, "scopes": []}, done("a1", token="t1", required_scopes=["crm:write"])],
    ),
    resolved=[
        granted("d1", AL, A, -1, event_id="grant d1 first", scopes=["crm:read", "crm:write"]),
        issued("t1", at=0.5, event_id="issue t1 first", scopes=["crm:read", "crm:write"]),
    ],
    missing=[D1, T1, done("a1", "mail.send", token="t1")],
    more=(
        # the token states it, and its delegation does not hold it; the operation is spelled like the scope
        ([D1, {**T1, "scopes": ["crm:read", "crm:write"]}, done("a1", "crm:write", token="t1")], "high"),
        # the decision states the needed scope
        (
            [D1, T1, decided("p1", True, "op", required_scopes=["pay"]), done("a1", "op", token="t1", decision="p1")],
            "high",
        ),
        # a source that spells operations like scopes, one of which nobody holds here
        (
            [
                *(D1, T1, issued("t9", BO, scopes=["crm:write"]), done("a0", "crm:read", token="t1")),
                done("a1", "crm:write", at=4, token="t1"),
            ],
            "high",
        ),
        # two facts about one action: who used which token, and what was needed
        (
            [
                *(D1, T1, done("a1", token="t1")),
                done("a1", at=3.1, event_id="needs a1", required_scopes=["pay"], source=PDP),
            ],
            "high",
        ),
    ),
)
CASES["action-outside-audience"] = Case(
    fires=[D1, {**T1, "audience": ["https://crm"]}, done("a1", token="t1", tool="pay")],
    of="action:a1",
    about="token:t1",
    severity="medium",
    cites=("do a1", "issue t1"),
    options=Options(audiences={"pay": "https://pay", "crm": "https://crm/"}),
    quiet=(
        [D1, T1, done("a1", token="t1", tool="crm")],
        [D1, T1, done("a1", token="t1", tool="mail")],
        [*PLAIN, done("a1", token="t1", tool="pay")],
    ),
    resolved=[issued("t1", at=2, event_id="issue t1 again", audience=["https://pay"])],
)
CASES["action-outside-task"] = Case(
    fires=[{**D1, "task": "TASK-17"}, T1, done("a1", token="t1", task="TASK-18")],
    of="action:a1",
    about="delegation:d1",
    severity="medium",
    cites=("do a1", "grant d1"),
    quiet=(
        [{**D1, "task": "TASK-17"}, T1, done("a1", token="t1", task="TASK-17")],
        [{**D1, "task": "TASK-17"}, T1, done("a1", token="t1", task="TASK-17/research")],
        [{**D1, "task": "TASK-17"}, {**T1, "task": "TASK-18"}, done("a1", token="t1", task="TASK-18")],
        [D1, T1, done("a1", token="t1", task="TASK-18")],
    ),
    missing=[{**D1, "task": "TASK-17"}, T1, done("a1", token="t1")],
    more=(([{**D1, "task": "TASK-17"}, T1, done("a1", token="t1", task="TASK-170")], "medium"),),
    resolved=[issued("t1", at=2, event_id="task t1", task="TASK-18")],
)
CASES["used-after-expiry"] = Case(
    fires=[D1, T1, done("a1", at=61, token="t1")],
    of="action:a1",
    about="token:t1",
    severity="high",
    cites=("do a1", "issue t1"),
    quiet=(
        [D1, T1, done("a1", token="t1")],
        [D1, T1, done("a1", at=60.3, token="t1")],
        [D1, T1, done("a1", at=61, token="t1", outcome="failed")],
        [issued("t0", expires_at=moment(5)), issued("t1", at=2, of=[("subject", "t0")]), done("a1", at=9, token="t1")],
        # another source reports it later, with the time of its report; the log knew before the end
        [D1, T1, done("a1", at=59, token="t1"), done("a1", at=75, event_id="report a1", source=PDP, token="t1")],
        [D1, T1, done("a1", at=59, token="t1"), done("a1", at=75, event_id="report a1", source=PDP)],
    ),
    resolved=[
        issued("t1", at=59, event_id="renew t1", expires_at=moment(120)),
        granted("d1", AL, A, 59, event_id="renew d1", expires_at=moment(120)),
    ],
    more=(
        ([D1, {**T1, "expires_at": None}, done("a1", at=61, token="t1")], "high"),
        # a delegation that is presented with a token that does not depend on it
        ([D1, issued("t9", actor=A), done("a1", at=61, token="t9", delegation="d1")], "high"),
        # another fact claims that it was done earlier, but not with which token
        ([D1, T1, done("a1", at=59, event_id="early a1"), done("a1", at=61, token="t1", source=PDP)], "high"),
        # the same, and that it only failed then
        ([D1, T1, done("a1", at=59, token="t1", outcome="failed"), done("a1", at=61, token="t1", source=PDP)], "high"),
    ),
)
CASES["used-before-valid"] = Case(
    fires=[D1, {**T1, "not_before": moment(30)}, done("a1", token="t1")],
    of="action:a1",
    about="token:t1",
    severity="medium",
    cites=("do a1", "issue t1"),
    quiet=([D1, T1, done("a1", token="t1")], [D1, T1, done("a1", at=0.6, token="t1")]),
    more=(([D1, {**T1, "occurred_at": moment(9)}, done("a1", token="t1")], "medium"),),
    resolved=[issued("t1", at=0.5, event_id="issue t1 first", not_before=moment(1))],
)
KILLED = [D1, T1, ordered("r1", "delegation:d1")]
CASES["used-after-revocation"] = Case(
    fires=[*KILLED, done("a1", at=11, token="t1")],
    of="action:a1",
    about="token:t1",
    severity="critical",
    cites=("do a1", "order r1"),
    quiet=(
        [*KILLED, done("a1", token="t1")],
        [*KILLED, done("a1", at=11, token="t1", outcome="denied")],
        [D1, T1, ordered("r1", "delegation:d1", cascade=False), done("a1", at=11, token="t1")],
        [D1, T1, ordered("r1", "delegation:d1", mode="suspend"), done("a1", at=11, token="t1")],
    ),
    missing=[D1, T1, done("a1", at=11, token="t1")],
    more=(
        (
            [registered(A, aliases=["x|a"]), D1, T1, ordered("r1", "principal:x|a"), done("a1", at=11, token="t1")],
            "critical",
        ),
        # a presented token counts as used, whatever else is named
        (
            [granted("d9", AL, A), ordered("r1", "token:ghost"), done("a1", at=11, token="ghost", delegation="d9")],
            "critical",
        ),
        # an additional report of an attempt does not undo it
        (
            [
                *KILLED,
                done("a1", at=9.9, event_id="try a1", token="t1", outcome="denied"),
                done("a1", at=11, token="t1"),
            ],
            "critical",
        ),
        # nor does the claim that it was done earlier, or with another token
        ([*KILLED, done("a1", at=9, event_id="early a1", token="t1"), done("a1", at=11, token="t1")], "critical"),
        (
            [
                *KILLED,
                issued("t9", actor=A),
                done("a1", at=9, event_id="early a1", token="t9"),
                done("a1", at=11, token="t1"),
            ],
            "critical",
        ),
    ),
    stands="a revocation of an element is for good, and each report of a use counts by itself",
)
CASES["tainted-use"] = Case(
    fires=[D1, T1, ordered("r1", "token:t1", 10, effective_at=moment(2)), done("a1", token="t1")],
    of="revocation:r1",
    severity="medium",
    cites=("do a1", "order r1"),
    quiet=([*KILLED, done("a1", at=11, token="t1")], [*KILLED, done("a1", token="t1")]),
    missing=[D1, T1, done("a1", token="t1")],
    stands="a revocation of an element is for good, and each report of a use counts by itself",
)
CASES["used-while-suspended"] = Case(
    fires=[D1, T1, ordered("r1", "token:t1", mode="suspend"), done("a1", at=11, token="t1")],
    of="action:a1",
    about="token:t1",
    severity="high",
    cites=("do a1", "order r1"),
    quiet=(
        [D1, T1, ordered("r1", "token:t1", mode="suspend"), lifted("r1", 10.5), done("a1", at=11, token="t1")],
        # revoked as well: that is the finding
        [D1, T1, ordered("r1", "token:t1", mode="suspend"), ordered("r2", "token:t1"), done("a1", at=11, token="t1")],
    ),
    resolved=[lifted("r1", 10.5)],
    missing=[D1, T1, done("a1", at=11, token="t1")],
    # a revocation that nobody could know yet does not hide a suspension that everybody could know
    more=(
        (
            [
                *(D1, T1, ordered("r1", "token:t1", mode="suspend"), done("a1", at=11, token="t1")),
                ordered("r2", "token:t1", 12, effective_at=moment(9)),
            ],
            "high",
        ),
    ),
)
NAMING = done("a0", at=2, token="t1", actor=A)
CASES["unattributed-action"] = Case(
    fires=[done("a1", actor=A, token="ghost")],
    of="action:a1",
    about="token:ghost",
    severity="high",
    cites=("do a1",),
    quiet=(
        [D1, T1, NAMING],
        [done("a1", actor=AL)],
        [done("a1", actor=A, token="ghost", outcome="failed")],
        [D1, T1, NAMING, done("a1", actor=A, decision="p1"), decided("p1", True, "crm.read")],
        [D1, T1, NAMING, done("a1", actor=A, decision="p1")],  # nobody sends decisions here
    ),
    resolved=[issued("ghost", actor=A)],
    missing=[D1],
    more=(
        ([D1, T1, NAMING, done("a1", actor=A)], "medium"),
        ([done("a1", actor="okta|7", token="ghost")], "low"),
        ([done("a1", actor="okta|7", workload="spiffe://x/a", token="ghost")], "high"),  # a workload did it
        ([done("a1", actor=A), done("a2", actor=A, at=4)], "medium"),
        # a delegation that nobody granted either
        ([done("a1", actor=A, token="ghost", delegation="none")], "high"),
        # a decision that nobody made, where decisions are known
        ([D1, T1, decided("p1", True, "crm.read"), done("a1", actor=A, decision="p9")], "high"),
    ),
)
SHARED = [
    *(event for number in range(10) for event in (
        decided(f"p{number}", True, "crm.read", number, token="t1"),
        done(f"a{number}", at=number + 0.1, token="t1", decision=f"p{number}"),
    )),
]  # fmt: skip
CASES["action-without-decision"] = Case(
    fires=[D1, T1, *SHARED, done("alone", at=20, token="t1")],
    of="action:alone",
    severity="medium",
    cites=("do alone",),
    quiet=([D1, T1, *SHARED], [D1, T1, *SHARED, done("alone", "mail.send", at=20, token="t1")]),
    resolved=[
        decided("late", True, "crm.read", 19),
        done("alone", at=20, event_id="decided alone", decision="late", source=PDP),
    ],
    missing=[D1, T1, done("alone", token="t1")],
    # it does not disappear with time, and what counts is what was usual then
    more=(([D1, T1, *SHARED, done("alone", at=20, token="t1"), done("now", at=90 * DAY, token="t1")], "medium"),),
)
DENIED = decided("p1", False, "crm.read", token="t1", actor=A)
CASES["action-after-deny"] = Case(
    fires=[D1, T1, DENIED, done("a1", token="t1", actor=A, decision="p1")],
    of="action:a1",
    about="decision:p1",
    severity="critical",
    cites=("do a1", "decide p1"),
    quiet=(
        [D1, T1, DENIED, done("a1", token="t1", decision="p1", outcome="denied")],
        [D1, T1, {**DENIED, "permitted": True}, done("a1", token="t1", decision="p1")],
        # denied at first, then permitted, by the same source
        [
            D1,
            T1,
            DENIED,
            decided("p1", True, "crm.read", 2.5, event_id="approve p1"),
            done("a1", token="t1", decision="p1"),
        ],
        # the same again, once it was permitted
        [
            *(D1, T1, {**DENIED, "resource": res("42")}),
            decided("p2", True, "crm.read", 2.5, resource=res("42"), actor=A),
            done("a1", token="t1", actor=A, resource=res("42")),
        ],
        [D1, T1, {**DENIED, "resource": res("42")}, done("a1", at=9, token="t1", actor=A, resource=res("42"))],
        # permitted when it was done, and denied since
        [
            *(D1, T1, {**DENIED, "permitted": True}, done("a1", token="t1", actor=A, decision="p1")),
            decided("p1", False, "crm.read", 9, event_id="withdraw p1"),
        ],
        # permitted in between, by a clock that is slightly ahead
        [
            *(D1, T1, {**DENIED, "resource": res("42")}),
            decided("p2", True, "crm.read", 3.2, resource=res("42"), actor=A),
            done("a1", token="t1", actor=A, resource=res("42")),
        ],
        [D1, T1, {**DENIED, "resource": res("42")}, done("a1", at=2.5, token="t1", actor=A, resource=res("43"))],
        # permitted since, of no resource; of another resource or none; of any tool
        [D1, T1, DENIED, decided("p2", True, "crm.read", 2.2, actor=A), done("a1", at=2.5, token="t1", actor=A)],
        [D1, T1, DENIED, done("a1", at=2.5, token="t1", actor=A, resource=res("42"))],
        [D1, T1, {**DENIED, "resource": res("42")}, done("a1", at=2.5, token="t1", actor=A)],
        [D1, T1, {**DENIED, "operation": "tools/call"}, done("a1", "tools/call", at=2.5, token="t1", actor=A)],
    ),
    resolved=[decided("p1", True, "crm.read", 2.5, event_id="approve p1")],
    missing=[D1, T1, done("a1", token="t1")],
    more=(
        (
            [D1, T1, {**DENIED, "resource": res("42")}, done("a1", at=2.5, actor=A, token="t9", resource=res("42"))],
            "high",
        ),
        # a request that names no resource
        ([D1, T1, DENIED, done("a1", at=2.5, token="t9", actor=A)], "high"),
        # approved when it was done already
        (
            [
                *(D1, T1, DENIED, done("a1", token="t1", actor=A, decision="p1")),
                decided("p1", True, "crm.read", 9, event_id="approve p1"),
            ],
            "critical",
        ),
        # with a permit from before the denial; the operation spelled otherwise; by the agent's workload
        (
            [
                *(D1, T1, decided("p0", True, "crm.read", 1, actor=A, resource=res("42"))),
                *({**DENIED, "resource": res("42")}, done("a1", at=2.5, actor=A, resource=res("42"), decision="p0")),
            ],
            "high",
        ),
        (
            [D1, T1, {**DENIED, "resource": res("42")}, done("a1", "CRM:read", 2.5, actor=A, resource=res("42"))],
            "high",
        ),
        (
            [
                *(bound(A, "spiffe://x/a"), D1, T1, {**DENIED, "resource": res("42")}),
                done("a1", at=2.5, actor="spiffe://x/a", resource=res("42")),
            ],
            "high",
        ),
        # by another name, and in two facts
        (
            [
                *(registered(A, aliases=["x|a"]), D1, T1, {**DENIED, "resource": res("42")}),
                done("a1", at=2.5, token="t9", resource=res("42")),
                done("a1", at=2.6, event_id="who a1", actor="x|a", source=PDP),
            ],
            "high",
        ),
        # another source that claims a permit does not undo the denial
        (
            [
                *(D1, T1, DENIED, decided("p1", True, "crm.read", 1, event_id="forged", source="urn:other")),
                done("a1", token="t1", decision="p1"),
            ],
            "critical",
        ),
    ),
)
PERMIT = decided("p1", True, "crm.read", token="t1", actor=A, resource=res("42"), params_digest="sha256:1")
CASES["decision-mismatch"] = Case(
    fires=[D1, T1, PERMIT, done("a1", "crm.delete", token="t1", decision="p1", resource=res("43"))],
    of="action:a1",
    about="decision:p1",
    severity="high",
    cites=("do a1", "decide p1"),
    quiet=(
        [D1, T1, PERMIT, done("a1", "crm:read", token="t1", actor=A, decision="p1", resource=res("42"))],
        [D1, T1, PERMIT, done("a1", "tools/call", tool="crm/crm_read", token="t1", decision="p1")],
        [D1, T1, {**PERMIT, "operation": "read_account"}, done("a1", "x", tool="crm/read_account", decision="p1")],
        [bound(A, "spiffe://x/a"), D1, T1, PERMIT, done("a1", actor="spiffe://x/a", token="t1", decision="p1")],
        [D1, T1, PERMIT, done("a1", "crm.delete", token="t1", decision="p1", outcome="failed")],
        [
            D1,
            T1,
            {**PERMIT, "resource": res("42", type="account")},
            done("a1", token="t1", decision="p1", resource=res("42", type="crm:Account")),
        ],
    ),
    missing=[D1, T1, done("a1", "crm.delete", token="t1")],
    more=(
        (
            [
                D1,
                T1,
                {**PERMIT, "resource": res("42", type="account")},
                done("a1", token="t1", decision="p1", resource=res("42", type="invoice")),
            ],
            "high",
        ),
        ([D1, T1, PERMIT, done("a1", token="t2", decision="p1")], "high"),
        ([D1, T1, PERMIT, done("a1", token="t1", actor=B, decision="p1")], "high"),
        ([D1, T1, PERMIT, done("a1", token="t1", decision="p1", params_digest="sha256:2")], "high"),
        ([D1, T1, {**PERMIT, "on_behalf_of": AL}, done("a1", token="t1", on_behalf_of=BO, decision="p1")], "high"),
    ),
    resolved=[decided("p1", True, "crm.delete", 1, event_id="decide p1 first", resource=res("43"))],
)
CASES["decision-reused"] = Case(
    fires=[D1, T1, PERMIT, done("a1", token="t1", decision="p1"), done("a2", at=4, token="t1", decision="p1")],
    of="decision:p1",
    severity="medium",
    cites=("decide p1", "do a1", "do a2"),
    quiet=(
        [D1, T1, PERMIT, done("a1", token="t1", decision="p1")],
        [D1, T1, PERMIT, done("a1", decision="p1"), done("a2", at=4, decision="p1", outcome="failed")],
    ),
    missing=[D1, T1, done("a1", token="t1")],
    resolved=[done("a2", at=3.9, event_id="decide a2", decision="p2")],
)
CASES["decision-stale"] = Case(
    fires=[D1, T1, PERMIT, done("a1", at=8, token="t1", decision="p1")],
    of="action:a1",
    about="decision:p1",
    severity="low",
    cites=("do a1", "decide p1"),
    quiet=(
        [D1, T1, PERMIT, done("a1", token="t1", decision="p1")],
        # requested at first, and permitted by a person later
        [
            *(D1, T1, {**PERMIT, "permitted": False}, done("a1", at=8, token="t1", decision="p1")),
            decided("p1", True, "crm.read", 7, event_id="approve p1", approved_by=BO),
        ],
    ),
    missing=[D1, T1, done("a1", at=8, token="t1")],
    more=(
        ([D1, T1, PERMIT, ordered("r1", "token:t1", 2.5), done("a1", token="t1", decision="p1")], "high"),
        (
            [
                *(D1, T1, {**PERMIT, "policy": {"id": "crm", "version": "1"}}),
                decided("p2", True, "x", 2.5, policy={"id": "crm", "version": "2"}),
                done("a1", token="t1", decision="p1"),
            ],
            "high",
        ),
    ),
    resolved=[decided("p1", True, "crm.read", 7, event_id="decide p1 again")],
)
CASES["action-from-untrusted-instruction"] = Case(
    fires=[D1, T1, done("a1", token="t1", required_scopes=["pay"], instruction_source="document")],
    of="action:a1",
    severity="high",
    cites=("do a1",),
    quiet=([D1, T1, done("a1", token="t1", required_scopes=["pay"], instruction_source="user")],),
    missing=[D1, T1, done("a1", token="t1")],
    more=(
        ([D1, T1, done("a1", token="t1", instruction_source="tool_result")], "informational"),
        (
            [
                *(D1, T1, *(done(f"b{number}", at=number + 3, token="t1") for number in range(3))),
                done("a1", "mail.send", at=9, token="t1", instruction_source="document"),
            ],
            "high",
        ),
        (  # a child's result, within its scopes
            [
                *(D1, T1, *(done(f"b{number}", at=number + 3, token="t1") for number in range(3))),
                done("a1", "read", at=9, token="t1", instruction_source="child_result", required_scopes=["crm:read"]),
            ],
            "informational",
        ),
    ),
    resolved=[done("a1", at=2.9, event_id="instruct a1", instruction_source="user")],
)
CASES["subject-change"] = Case(
    fires=[issued("t0", AL), issued("t1", BO, 2, of=[("subject", "t0")])],
    of="token:t1",
    about="token:t0",
    severity="high",
    cites=("issue t0", "issue t1"),
    quiet=([issued("t0", AL), issued("t1", AL, 2, of=[("subject", "t0")])],),
    resolved=[registered(AL, aliases=[BO])],
)
CASES["subject-mismatch"] = Case(
    fires=[D1, T1, done("a1", token="t1", on_behalf_of=BO)],
    of="action:a1",
    about="on_behalf_of",
    severity="high",
    cites=("do a1", "issue t1"),
    quiet=([D1, T1, done("a1", token="t1", on_behalf_of=AL)],),
    resolved=[registered(AL, aliases=[BO])],
)
CASES["wielder-mismatch"] = Case(
    fires=[D1, {**T1, "workload": "spiffe://x/a"}, done("a1", token="t1", workload="spiffe://x/b")],
    of="action:a1",
    about="workload",
    severity="high",
    cites=("do a1", "issue t1"),
    quiet=(
        [D1, T1, done("a1", token="t1", actor=A)],
        [D1, {**T1, "key_thumbprint": "k"}, done("a1", token="t1", actor=A, key_thumbprint="k")],
    ),
    resolved=[registered("spiffe://x/a", kind="workload", aliases=["spiffe://x/b"])],
    more=(
        ([D1, T1, done("a1", token="t1", actor=B)], "medium"),
        ([D1, {**T1, "key_thumbprint": "k"}, done("a1", token="t1", actor=B)], "high"),
        ([D1, {**T1, "key_thumbprint": "k"}, done("a1", token="t1", key_thumbprint="l")], "high"),
        ([D1, T1, done("a1", token="t1", actor=B, outcome="denied")], "informational"),
        # in an emergency approved by another person; not if nobody requested it for this actor, or approved their own
        (
            [
                *(D1, T1, decided("p1", True, "crm.read", token="t1", actor=BO, approved_by=AL)),
                done("a1", token="t1", actor=BO, decision="p1"),
            ],
            "informational",
        ),
        (
            [
                *(D1, T1, decided("p1", True, "crm.read", token="t1", approved_by=AL)),
                done("a1", token="t1", actor=BO, decision="p1"),
            ],
            "medium",
        ),
        (
            [
                *(D1, T1, decided("p1", True, "crm.read", token="t1", actor=BO, approved_by=BO)),
                done("a1", token="t1", actor=BO, decision="p1"),
            ],
            "medium",
        ),
    ),
)
CASES["delegation-mismatch"] = Case(
    fires=[D1, T1, done("a1", token="t1", delegation="d9")],
    of="action:a1",
    about="delegation",
    severity="medium",
    cites=("do a1", "issue t1"),
    quiet=([D1, T1, done("a1", token="t1", delegation="d1")],),
    resolved=[done("a1", at=2.9, event_id="do a1 first", delegation="d1")],
)
CASES["impersonating-exchange"] = Case(
    fires=[issued("t1", exchange="impersonation")],
    of="token:t1",
    severity="medium",
    cites=("issue t1",),
    quiet=(
        [issued("t1", actor=A, exchange="delegation")],
        [issued("t1"), done("a1", token="t1", actor=AL)],
    ),
    more=(
        ([issued("t1"), done("a1", token="t1", actor=A)], "medium"),
        ([issued("t1", client="agent:client")], "medium"),
        ([bound(A, "spiffe://x/a"), issued("t1"), done("a1", token="t1", workload="spiffe://x/a")], "medium"),
    ),
    resolved=[issued("t1", actor=A, at=0.5, event_id="issue t1 first", exchange="delegation")],
)
CASES["human-uses-agent-credential"] = Case(
    fires=[D1, T1, done("a1", token="t1", actor=AL)],
    of="action:a1",
    about="token:t1",
    severity="medium",
    cites=("do a1", "issue t1"),
    quiet=(
        [D1, T1, done("a1", token="t1", actor=A)],
        [issued("t1"), done("a1", token="t1", actor=AL)],
        [D1, T1, decided("p1", True, "crm.read", approved_by=BO), done("a1", token="t1", actor=AL, decision="p1")],
    ),
    resolved=[
        decided("p1", True, "crm.read", approved_by=BO),
        done("a1", at=3.1, event_id="approve a1", decision="p1", source=PDP),
    ],
)
CASES["environment-crossed"] = Case(
    fires=[
        registered(A, environment="staging"),
        registered("service:crm", environment="production"),
        *(D1, T1, done("a1", token="t1", tool="crm")),
    ],
    of="action:a1",
    about="principal:agent:a",
    severity="high",
    cites=("do a1", "register agent:a", "register service:crm"),
    quiet=(
        [
            registered(A, environment="prod"),
            registered("service:crm", environment="Production"),
            D1,
            T1,
            done("a1", token="t1", tool="crm"),
        ],
        [registered(A, environment="staging"), D1, T1, done("a1", token="t1", tool="crm")],
    ),
    resolved=[registered(A, -1, event_id="move agent:a", environment="production")],
    missing=[registered(A, environment="staging"), D1, T1, done("a1", token="t1", tool="crm")],
    more=(
        (
            [
                registered(A, environment="staging"),
                D1,
                T1,
                done("a1", token="t1", resource=res("x", environment="production")),
            ],
            "high",
        ),
    ),
)
CASES["credential-replay"] = Case(
    fires=[D1, {**T1, "single_use": True}, done("a1", token="t1"), done("a2", at=4, token="t1")],
    of="token:t1",
    about="single_use",
    severity="high",
    cites=("issue t1", "do a1", "do a2"),
    quiet=(
        [D1, {**T1, "single_use": True}, done("a1", token="t1")],
        [D1, {**T1, "single_use": True}, done("a1", token="t1"), done("a2", at=4, token="t1", outcome="denied")],
        [
            D1,
            granted(
                "d1",
                AL,
                A,
                9,
                event_id="renew d1",
                scopes=["crm:read"],
                audience=["https://crm"],
                expires_at=moment(99),
            ),
        ],
        # the same in two parts
        [
            D1,
            granted("d1", AL, A, 9, event_id="renew d1", scopes=["crm:read"], audience=["https://crm"]),
            granted("d1", AL, A, 9, event_id="renew d1 too", expires_at=moment(99)),
        ],
        # and as another source tells of both, without the end
        [
            *(D1, granted("d1", AL, A, source="urn:other", event_id="seen d1")),
            granted("d1", AL, A, 9, event_id="renew d1", expires_at=moment(99)),
            granted("d1", AL, A, 9, source="urn:other", event_id="seen again d1"),
        ],
        [D1, {**D1, "source": "urn:other", "event_id": "seen d1", "occurred_at": moment(4)}],
        [granted("d1", AL, A), {**D1, "event_id": "details d1", "occurred_at": moment(4)}],  # states more than before
        [{**D1, "single_use": True}, T1, done("a1", token="t1"), done("a2", at=4, token="t1")],
    ),
    more=(
        ([D1, {**D1, "event_id": "again d1", "occurred_at": moment(4)}], "high"),
        ([D1, {**D1, "event_id": "again d1", "occurred_at": moment(4), "purpose": "another"}], "high"),
        ([D1, granted("d1", AL, A, 4, event_id="again d1")], "high"),  # states less, its end too
        ([D1, granted("dx", AL, A), T1, issued("t1", at=2, event_id="again t1", delegation="dx")], "high"),
        ([{**D1, "single_use": True}, T1, issued("t2", actor=A, at=3, delegation="d1")], "high"),
    ),
    stands="one statement that it is for a single use is enough, and each report of a use counts by itself",
)
CASES["refresh-token-reuse"] = Case(
    fires=[
        *(issued("t0"), issued("t1", at=2, of=[("replaced", "t0")])),
        issued("t2", at=9, of=[("refresh", "t0")]),
    ],
    of="token:t0",
    about="token:t2",
    severity="high",
    cites=("issue t0", "issue t1", "issue t2"),
    quiet=(
        [issued("t0"), issued("t1", at=2, of=[("replaced", "t0")]), issued("t2", at=2.1, of=[("refresh", "t0")])],
        [issued("t0"), issued("t1", at=2, of=[("refresh", "t0")]), issued("t2", at=9, of=[("refresh", "t0")])],
        [issued("t0"), issued("t1", at=2, of=[("replaced", "t0")]), done("a1", at=1.5, token="t0")],
    ),
    more=(([issued("t0"), issued("t1", at=2, of=[("replaced", "t0")]), done("a1", at=9, token="t0")], "high"),),
    resolved=[issued("t2", at=2.1, event_id="issue t2 first", of=[("refresh", "t0")])],
)
CASES["credential-shared"] = Case(
    fires=[
        *(D1, T1, done("a1", token="t1", workload="spiffe://x/1")),
        done("a2", at=4, token="t1", workload="spiffe://x/2"),
    ],
    of="token:t1",
    severity="high",
    cites=("issue t1", "do a1", "do a2"),
    quiet=(
        [D1, T1, done("a1", token="t1", actor=A), done("a2", at=4, token="t1", actor=A)],
        [
            *(bound(A, "spiffe://x/1"), bound(A, "spiffe://x/2"), D1, T1),
            *(done("a1", token="t1", workload="spiffe://x/1"), done("a2", at=4, token="t1", workload="spiffe://x/2")),
        ],
        [
            *(bound(A, "spiffe://x/1"), D1, T1),
            *(done("a1", token="t1", actor=A), done("a2", at=4, token="t1", actor="spiffe://x/1")),
        ],
        [D1, T1, done("a1", token="t1", actor=A), done("a2", at=4, token="t1", actor=B, outcome="denied")],
        # one agent, which changed its key
        [
            *(bound(A, "spiffe://x/1", key_thumbprint="k"), bound(A, "spiffe://x/2", key_thumbprint="l"), D1, T1),
            *(done("a1", token="t1", key_thumbprint="k"), done("a2", at=4, token="t1", key_thumbprint="l")),
        ],
    ),
    resolved=[bound(A, "spiffe://x/1"), bound(A, "spiffe://x/2")],
    more=(
        ([D1, T1, done("a1", token="t1", actor=A), done("a2", at=4, token="t1", actor=B)], "medium"),
        (
            [D1, T1, done("a1", token="t1", key_thumbprint="k"), done("a2", at=4, token="t1", key_thumbprint="l")],
            "high",
        ),
    ),
)
CASES["identity-shared"] = Case(
    fires=[bound(A, "spiffe://x/1"), bound(B, "spiffe://x/1")],
    of="principal:spiffe://x/1",
    severity="medium",
    cites=("bind agent:a spiffe://x/1", "bind agent:b spiffe://x/1"),
    quiet=(
        [bound(A, "spiffe://x/1"), bound(B, "spiffe://x/2")],
        [bound(A, "spiffe://x/1", expires_at=moment(0)), bound(B, "spiffe://x/1", 1)],
    ),
    resolved=[registered(A, aliases=[B])],
    missing=[D1],
    more=(([bound(A, "spiffe://x/1", key_thumbprint="k"), bound(B, "spiffe://x/2", key_thumbprint="k")], "medium"),),
)
CASES["client-shared"] = Case(
    fires=[issued("t1", actor=A, client="c"), issued("t2", actor=B, client="c")],
    of="client:c",
    severity="low",
    cites=("issue t1", "issue t2"),
    quiet=([issued("t1", actor=A, client="c"), issued("t2", actor=A, client="c")],),
    resolved=[registered(A, aliases=[B])],
)
ACROSS = [done(f"a{number}", at=40 * number, token="t1", tool=f"tool-{number}") for number in range(3)]
CASES["credential-across-tools"] = Case(
    fires=[issued("t1", actor=A), *ACROSS],
    of="token:t1",
    severity="medium",
    cites=("issue t1", "do a0", "do a2"),
    quiet=(
        [issued("t1", actor=A, audience=["https://gw"]), *ACROSS],
        [issued("t1", actor=A), *ACROSS[:2]],
        [issued("t1", actor=A), *({**one, "occurred_at": moment(5)} for one in ACROSS)],
    ),
    resolved=[issued("t1", at=2, event_id="again t1", audience=["https://gw"])],
    more=(
        ([issued("t1", actor=A, expires_at=moment(200)), *ACROSS], "low"),
        # one audience in each of two facts
        (
            [
                issued("t1", actor=A, audience=["https://a"]),
                issued("t1", actor=A, event_id="again t1", audience=["https://b"]),
                *ACROSS,
            ],
            "medium",
        ),
    ),
)
CASES["unbound-credential"] = Case(
    fires=[issued("i#t1", actor=A), issued("i#t2", actor=B, key_thumbprint="k")],
    of="token:i#t1",
    severity="informational",
    cites=("issue i#t1",),
    quiet=(
        [issued("i#t1", actor=A, workload="spiffe://x/1"), issued("i#t2", actor=B, key_thumbprint="k")],
        [issued("j#t1", actor=A), issued("i#t2", actor=B, key_thumbprint="k")],
    ),
    resolved=[issued("i#t1", actor=A, event_id="bind i#t1", key_thumbprint="l")],
    missing=[issued("i#t1", actor=A)],
)
CASES["unknown-issuer"] = Case(
    fires=[issued(f"{IDP}#t1"), issued("https://evil.example#t2")],
    of="token:https://evil.example#t2",
    about="https://evil.example",
    severity="medium",
    cites=("issue https://evil.example#t2",),
    quiet=(
        [issued(f"{IDP}#t1"), issued("t2")],
        [receiver("gw", issuers=["https://evil.example"]), issued("https://evil.example#t2")],
    ),
    resolved=[receiver("gw", issuers=["https://evil.example"])],
    missing=[issued("https://evil.example#t2")],
    more=(
        # nobody names an issuer, and one has been there for long
        ([issued("https://old.example#t1", at=-10 * DAY), issued("https://evil.example#t2", at=DAY)], "medium"),
    ),
)
CASES["suspect"] = Case(
    fires=[issued("t1", actor=A, prior_actors=[B]), ordered("r1", f"principal:{B}")],
    of="token:t1",
    about="principal:agent:b",
    severity="medium",
    cites=("issue t1", "order r1"),
    quiet=([issued("t1", actor=A, prior_actors=[C]), ordered("r1", f"principal:{B}")],),
    resolved=[issued("t1", at=2, event_id="issue t1 again", actor=B)],  # named by it: dead, and not only suspect
)
CASES["shared-status-list"] = Case(
    fires=[
        issued("t1", status_list={"uri": "https://s/1", "idx": 7}),
        issued("t2", status_list={"uri": "https://s/1", "idx": 7}),
    ],
    of="token:t1",
    about="status_list:https://s/1#7",
    severity="medium",
    cites=("issue t1", "issue t2"),
    also=(("token:t2", "status_list:https://s/1#7", "medium"),),
    quiet=(
        [
            issued("t1", status_list={"uri": "https://s/1", "idx": 7}),
            issued("t2", status_list={"uri": "https://s/1", "idx": 8}),
        ],
    ),
    stands="places in status lists are the union of all that is claimed",
)
CASES["kind-contradiction"] = Case(
    fires=[registered("agent:a", kind="human")],
    of="principal:agent:a",
    severity="low",
    cites=("register agent:a",),
    quiet=([registered("agent:a")],),
    stands="each registration counts by itself",
)
CASES["disagreement"] = Case(
    fires=[D1, {**D1, "event_id": "other d1", "delegatee": B}],
    of="delegation:d1",
    about="delegatee",
    severity="low",
    cites=("grant d1", "other d1"),
    quiet=(
        [D1, {**D1, "event_id": "other d1"}],
        [D1, {**D1, "event_id": "other d1", "delegatee": "alias|a"}, registered(A, aliases=["alias|a"])],
    ),
    resolved=[registered(A, aliases=[B])],  # another name of the same party
)
CASES["long-lived-credential"] = Case(
    fires=[issued("t1", actor=A)],
    of="token:t1",
    severity="medium",
    cites=("issue t1",),
    quiet=(
        [issued("t1", actor=A, expires_at=moment(60))],
        [issued("t1")],
        [issued("t1", A, token_type="refresh_token", expires_at=moment(20 * DAY))],
        [issued("t1", A, token_type="Refresh", expires_at=moment(20 * DAY))],
    ),
    resolved=[issued("t1", actor=A, event_id="end t1", expires_at=moment(60))],
    more=(
        ([issued("t1", "service:s", expires_at=moment(25 * DAY))], "medium"),
        ([issued("t1", A, token_type="refresh_token", expires_at=moment(40 * DAY))], "medium"),
    ),
)
CASES["standing-access"] = Case(
    fires=[granted("d1", AL, A)],
    of="delegation:d1",
    severity="medium",
    cites=("grant d1",),
    quiet=([granted("d1", AL, A, expires_at=moment(20 * DAY))], [granted("d1", AL, "service:s")]),
    resolved=[granted("d1", AL, A, event_id="end d1", expires_at=moment(60))],
    more=(([granted("d1", AL, A, expires_at=moment(40 * DAY))], "medium"),),
)
CASES["broad-scope"] = Case(
    fires=[granted("d1", AL, A, scopes=["crm:*", "mail:send"])],
    of="delegation:d1",
    severity="medium",
    cites=("grant d1",),
    quiet=(
        [granted("d1", AL, A, scopes=["crm:write"])],
        [granted("d1", AL, "service:s", scopes=["*"])],
        [granted("d1", AL, A, scopes=["crm:read"]), issued("t1", actor=A, delegation="d1", scopes=["crm:read"])],
    ),
    more=(
        ([granted("d1", AL, A, scopes=["admin"])], "medium"),
        ([granted("d1", AL, A, scopes=[f"s{number}" for number in range(21)])], "medium"),
        ([issued("t1", actor=A, scopes=["*"])], "medium"),
        # what a person hands to an agent is not reported for the person
        ([granted("d1", AL, BO, scopes=["*"]), issued("t1", BO, actor=A, delegation="d1", scopes=["*"])], "medium"),
    ),
    stands="every scope that is claimed counts",
)
CASES["scope-unstated"] = Case(
    fires=[granted("d1", AL, A)],
    of="delegation:d1",
    severity="low",
    cites=("grant d1",),
    quiet=([D1, {**T1, "scopes": []}], [granted("d1", AL, A, no_scopes=True)]),
    resolved=[granted("d1", AL, A, event_id="scopes d1", scopes=["a"])],
    more=(
        # what a person or a service holds is not reported, only what it hands to an agent
        ([granted("d1", AL, BO), granted("d2", BO, A, 5, parents=["d1"])], "low"),
        ([granted("d1", AL, "service:s"), issued("t1", AL, 5, actor=A, delegation="d1")], "low"),
    ),
)
CASES["unused-access"] = Case(
    fires=[
        granted("d1", AL, A, scopes=["a", "b"]),
        issued("t1", actor=A, delegation="d1"),
        done("a1", at=99 * DAY, token="t1", required_scopes=["a"]),
    ],
    of="delegation:d1",
    severity="low",
    cites=("grant d1",),
    at=100 * DAY,
    quiet=(
        [
            granted("d1", AL, A, scopes=["a"]),
            issued("t1", actor=A, delegation="d1"),
            done("a1", at=99 * DAY, token="t1", required_scopes=["a"]),
        ],
        [
            granted("d1", AL, A, scopes=["a", "b"]),
            issued("t1", actor=A, delegation="d1"),
            done("a1", at=99 * DAY, token="t1", required_scopes=["a"]),
            done("a2", "mail.send", at=99 * DAY, token="t1"),  # nobody knows what it needs
        ],
    ),
    resolved=[done("a2", at=98 * DAY, token="t1", required_scopes=["b"])],
    missing=[granted("d1", AL, A, scopes=["a", "b"]), done("a1", delegation="d1")],
)
CASES["dormant-but-alive"] = Case(
    fires=[granted("d1", AL, A), issued("t1", actor=A, delegation="d1"), done("a1", token="t1")],
    of="delegation:d1",
    severity="medium",
    cites=("grant d1",),
    at=40 * DAY,
    quiet=(
        [granted("d1", AL, A), issued("t1", actor=A, delegation="d1"), done("a1", at=39 * DAY, token="t1")],
        [granted("d1", AL, A, expires_at=moment(42 * DAY))],
        [granted("d1", AL, A), ordered("r1", "delegation:d1")],
    ),
    resolved=[done("a2", at=39 * DAY, token="t1")],
    more=(
        # what it draws on is a person's, has ended, or was ended by an order, and is not reported itself
        ([granted("d1", AL, BO), granted("d2", BO, A, 5, parents=["d1"])], "medium"),
        (
            [issued("t0", actor=A, expires_at=moment(60)), issued("t1", actor=A, at=50, of=[("replaced", "t0")])],
            "medium",
        ),
        (
            [
                *(granted("d1", AL, A), issued("t1", actor=A, delegation="d1")),
                ordered("r1", "delegation:d1", at=35 * DAY, cascade=False),
            ],
            "medium",
        ),
    ),
)
CASES["no-human-root"] = Case(
    fires=[issued("t1", "service:s")],
    of="principal:service:s",
    severity="medium",
    cites=("issue t1",),
    quiet=(
        [issued("t1")],
        [registered("service:s", owner=AL), issued("t1", "service:s")],
        [issued("t1", "service:s", expires_at=moment(60))],
        [issued("t1", "okta|7")],
    ),
    resolved=[registered("service:s", owner=AL)],
)
CASES["revocation-unreachable"] = Case(
    fires=[receiver("gw", issuers=["i"]), issued("i#t1"), issued("j#t2")],
    of="token:j#t2",
    severity="medium",
    cites=("issue j#t2",),
    quiet=(
        [receiver("gw", issuers=["i"]), issued("i#t1")],
        [receiver("gw", issuers=["i"]), issued("j#t2", expires_at=moment(60))],
        [receiver("gw", issuers=["i"], kinds=["token"]), granted("d1", AL, A)],
    ),
    resolved=[receiver("pay", issuers=["j"])],
    missing=[issued("j#t2")],
)
CASES["agent-unregistered"] = Case(
    fires=[registered(A, owner=AL), granted("d1", AL, B)],
    of="principal:agent:b",
    severity="medium",
    cites=("grant d1",),
    quiet=([registered(A, owner=AL), granted("d1", AL, A)], [registered(A, aliases=[B]), granted("d1", AL, B)]),
    resolved=[registered(B)],
    missing=[granted("d1", AL, B)],
)
CASES["agent-ownerless"] = Case(
    fires=[registered(A)],
    of="principal:agent:a",
    severity="medium",
    cites=("register agent:a",),
    quiet=([registered(A, owner=AL)], [registered("service:s"), registered(B, owner=AL)]),
    resolved=[registered(A, event_id="own agent:a", owner=AL)],
    missing=[registered(AL)],
)
CASES["owner-offboarded"] = Case(
    fires=[registered(A, owner=BO), granted("d1", AL, A), ordered("r1", f"principal:{BO}", reason="offboarding")],
    of="principal:agent:a",
    about="principal:human:bo",
    severity="high",
    cites=("register agent:a", "order r1"),
    quiet=(
        [registered(A, owner=BO), granted("d1", AL, A), ordered("r1", f"principal:{BO}", reason="test")],
        [registered(A, owner=BO), ordered("r1", f"principal:{BO}", reason="offboarding")],
        [registered(A, owner=BO), granted("d1", AL, A)],
    ),
    resolved=[lifted("r1")],
    missing=[granted("d1", AL, A)],
    more=(([registered(AL), registered(A, owner=BO), granted("d1", AL, A)], "high"),),
)
CASES["agent-without-purpose"] = Case(
    fires=[registered(A)],
    of="principal:agent:a",
    severity="informational",
    cites=("register agent:a",),
    quiet=([registered(A, purpose="plans")],),
    resolved=[registered(A, event_id="purpose agent:a", purpose="plans")],
    missing=[registered(AL)],
)
CASES["agent-unbound"] = Case(
    fires=[bound(B, "spiffe://x/b"), granted("d1", AL, A)],
    of="principal:agent:a",
    severity="low",
    cites=("grant d1",),
    quiet=(
        [bound(A, "spiffe://x/a"), granted("d1", AL, A)],
        [bound(B, "spiffe://x/b"), granted("d1", AL, A, expires_at=moment(60))],
    ),
    resolved=[bound(A, "spiffe://x/a")],
    missing=[granted("d1", AL, A)],
    more=(
        ([bound(B, "spiffe://x/b"), granted("d1", AL, A), done("a1", actor=A, delegation="d1")], "medium"),
        ([bound(A, "spiffe://x/a", expires_at=moment(9)), granted("d1", AL, A)], "low"),
        # what it holds is not the first that names it, and it holds nothing
        ([bound(B, "spiffe://x/b"), granted("d1", AL, A), granted("c1", A, B, 1, parents=["d1"])], "low"),
        ([bound(B, "spiffe://x/b"), granted("c1", A, B, 1)], "low"),
    ),
)
CASES["excessive-reach"] = Case(
    fires=[granted("root", AL, A), *(granted(f"c{number}", A, B, 1, parents=["root"]) for number in range(5))],
    of="principal:human:al",
    severity="informational",
    cites=("grant root",),
    also=(("principal:agent:a", None, "informational"),),
    options=Options(reach_elements=5),
    quiet=([granted("root", AL, A), *(granted(f"c{number}", A, B, 1, parents=["root"]) for number in range(4))],),
    resolved=[ordered("r1", "delegation:c0")],
)
CASES["revocation-overdue"] = Case(
    fires=[receiver("gw", deadline_seconds=60), D1, T1, ordered("r1", "token:t1")],
    of="revocation:r1",
    about="receiver:gw",
    severity="high",
    cites=("order r1", "receiver gw"),
    at=30,
    quiet=(
        [receiver("gw", deadline_seconds=6000), *KILLED],
        [receiver("gw"), *KILLED],
        [receiver("gw", deadline_seconds=60), D1, T1, ordered("r1", "token:t1"), acknowledged("r1", "gw", token="t1")],
        # it thought again, and it rejects what it does not cover
        [
            *(receiver("gw"), *KILLED, acknowledged("r1", "gw", outcome="rejected")),
            {**acknowledged("r1", "gw", 12), "event_id": "ack again"},
        ],
        [
            *(receiver("gw", kinds=["delegation"]), receiver("other"), D1, T1, ordered("r1", "token:t1")),
            acknowledged("r1", "gw", outcome="rejected"),
        ],
    ),
    missing=KILLED,
    more=(
        ([receiver("gw", deadline_seconds=60), *KILLED], "high"),
        (
            [
                receiver("gw"),
                D1,
                T1,
                ordered("r1", "token:t1"),
                acknowledged("r1", "gw", token="t1", outcome="rejected"),
            ],
            "high",
        ),
        # it rejects the whole order, of whose elements it was told none
        ([receiver("gw"), D1, T1, ordered("r1", "token:t1"), acknowledged("r1", "gw", outcome="rejected")], "high"),
    ),
    resolved=[acknowledged("r1", "gw", token="t1")],
)
CASES["mass-revocation"] = Case(
    fires=[ordered(f"r{number}", f"token:t{number}", 10 + number / 10) for number in range(21)],
    of="principal:human:ir",
    severity="medium",
    cites=("order r0",),
    quiet=([ordered(f"r{number}", f"token:t{number}", 10 + number) for number in range(21)],),
    missing=[D1],
    more=(([ordered(f"r{n}", f"token:t{n}", 10 + n / 10, plan_digest="x") for n in range(21)], "low"),),
    stands="each order counts by itself",
)
CASES["shared-order-id"] = Case(
    fires=[ordered("r1", "token:t1"), ordered("r1", "token:t2", event_id="other r1")],
    of="revocation:r1",
    severity="medium",
    cites=("order r1", "other r1"),
    quiet=([ordered("r1", "token:t1"), ordered("r2", "token:t2")],),
    stands="each order counts by itself",
)
CASES["far-effective-at"] = Case(
    fires=[ordered("r1", "token:t1", effective_at=moment(2 * 366 * DAY))],
    of="revocation:r1",
    severity="medium",
    cites=("order r1",),
    quiet=([ordered("r1", "token:t1", effective_at=moment(DAY))],),
    stands="each order counts by itself",
)
CASES["lift-without-effect"] = Case(
    fires=[lifted("r1")],
    of="revocation:r1",
    severity="low",
    cites=("lift r1 20",),
    quiet=([ordered("r1", "token:t1", mode="suspend"), lifted("r1")],),
    resolved=[ordered("r1", "token:t1", mode="suspend")],
    more=(([ordered("r1", "token:t1"), lifted("r1")], "low"),),
)
CASES["acknowledgement-before-order"] = Case(
    fires=[receiver("gw"), ordered("r1", "token:t1"), acknowledged("r1", "gw", 5)],
    of="revocation:r1",
    about="gw",
    severity="medium",
    cites=("order r1", "ack r1 gw"),
    quiet=([receiver("gw"), ordered("r1", "token:t1"), acknowledged("r1", "gw")],),
    resolved=[ordered("r1", "token:t1", 4, event_id="order r1 first")],
)
CASES["acknowledgement-without-order"] = Case(
    fires=[receiver("gw"), acknowledged("r1", "gw")],
    of="revocation:r1",
    about="gw",
    severity="medium",
    cites=("ack r1 gw",),
    quiet=([receiver("gw"), ordered("r1", "token:t1"), acknowledged("r1", "gw")],),
    resolved=[ordered("r1", "token:t1")],
)
CASES["unregistered-receiver"] = Case(
    fires=[ordered("r1", "token:t1"), acknowledged("r1", "gw")],
    of="revocation:r1",
    about="gw",
    severity="medium",
    cites=("ack r1 gw",),
    quiet=([receiver("gw"), ordered("r1", "token:t1"), acknowledged("r1", "gw")],),
    resolved=[receiver("gw")],
)
CASES["fan-out-burst"] = Case(
    fires=[D1, T1, *(done(f"a{number}", at=3 + number / 100, token="t1") for number in range(51))],
    of="token:t1",
    about="actions",
    severity="medium",
    cites=("issue t1",),
    quiet=([D1, T1, *(done(f"a{number}", at=3 + number / 10, token="t1") for number in range(51))],),
    more=(([D1, *(granted(f"c{n}", A, B, 3 + n / 100, parents=["d1"]) for n in range(51))], "medium"),),
    resolved=[done("a0", at=-10, event_id="do a0 first", token="t1")],
)
CASES["repeated-denials"] = Case(
    fires=[decided(f"p{number}", False, f"op{number % 3}", number, actor=A) for number in range(5)],
    of="principal:agent:a",
    severity="medium",
    cites=("decide p0", "decide p4"),
    quiet=(
        [decided(f"p{number}", False, "op", number, actor=A) for number in range(5)],
        [decided(f"p{number}", False, f"op{number % 3}", number, actor=A) for number in range(4)],
        [decided(f"p{number}", False, f"op{number % 3}", number * 9, actor=A) for number in range(5)],
    ),
    more=(
        (
            [
                *(registered(A, aliases=["x|a"]), decided("p0", False, "op0", 0, actor="x|a")),
                *(done(f"a{number}", f"op{number % 3}", number, actor=A, outcome="denied") for number in range(1, 5)),
            ],
            "medium",
        ),
    ),
    resolved=[decided("p4", True, "op1", 4.5, event_id="approve p4", actor=A)],
)
CASES["repeat-offender"] = Case(
    fires=[done(f"a{number}", at=3 + number, actor=A, token="ghost") for number in range(3)],
    of="principal:agent:a",
    severity="high",
    cites=("do a0",),
    quiet=(
        [done(f"a{number}", at=3 + number, actor=A, token="ghost") for number in range(2)],
        [done(f"a{number}", at=number * DAY, actor=A, token="ghost") for number in range(3)],
    ),
    resolved=[issued("ghost", actor=A)],
    more=(
        (
            [D1, T1, ordered("r1", "token:t1"), *(done(f"a{n}", at=11 + n, token="t1", actor=A) for n in range(3))],
            "high",
        ),
    ),
)
OLD = [granted("e1", A, B, -40 * DAY)]
CASES["first-seen-edge"] = Case(
    fires=[*OLD, granted("d1", A, C)],
    of="delegation:d1",
    severity="informational",
    cites=("grant d1",),
    quiet=([*OLD, granted("d1", A, B)], [granted("e1", A, B, -1 * DAY), granted("d1", A, C)]),
    more=(
        (
            [done("b1", at=-40 * DAY, actor=A, token="t1"), T1, done("a1", "mail.send", actor=A, token="t1")],
            "informational",
        ),
    ),
    resolved=[granted("e2", A, C, -1)],
)
STEADY = [done(f"a{number}", at=number * 2, token="t1") for number in range(60)]
CASES["source-silent"] = Case(
    fires=STEADY,
    of=f"source:{GATEWAY}",
    severity="medium",
    cites=("do a59",),
    at=200,
    quiet=([*STEADY, done("late", at=195, token="t1")], STEADY[:40]),
    resolved=[done("late", at=195, token="t1")],
    missing=STEADY[:10],
)
CASES["late-fact"] = Case(
    fires=[issued("t1")],
    of=f"source:{IDP}",
    severity="informational",
    cites=("issue t1",),
    recorded={"issue t1": 2 * DAY},
    quiet=([issued("t2")],),
    stands="when a fact was recorded never changes",
)
CASES["future-fact"] = Case(
    fires=[issued("t1", at=60)],
    of=f"source:{IDP}",
    severity="low",
    cites=("issue t1",),
    recorded={"issue t1": 0},
    quiet=([issued("t2", at=60)],),
    stands="when a fact was recorded never changes",
)
CASES["sequence-hole"] = Case(
    fires=[{**issued("t1"), "sequence": 1}, {**issued("t2"), "sequence": 3}],
    of=f"source:{IDP}",
    about="sequence 2",
    severity="medium",
    cites=("issue t1", "issue t2"),
    quiet=([{**issued("t1"), "sequence": 1}, {**issued("t2"), "sequence": 2}],),
    resolved=[{**issued("t3"), "sequence": 2}],
    missing=[issued("t1")],
)
CASES["conflict"] = Case(
    fires=[issued("t1"), issued("t2", event_id="issue t1")],
    of=f"source:{IDP}",
    about="event:issue t1",
    severity="medium",
    cites=("issue t1",),
    quiet=([issued("t1"), issued("t1")],),
    stands="both contents stand",
)
CASES["exception-expired"] = Case(
    fires=[],
    of="rule:standing-access",
    about="delegation:d9",
    severity="low",
    cites=(),
    options=Options(
        exempted=(
            Exempted(
                rule="standing-access", of="delegation:d9", reason="a pilot", by=AL, until=parse_instant(moment(60))
            ),
        )
    ),
    stands="it is about the settings",
)
CASES["coverage-narrowed"] = Case(
    fires=[receiver("gw"), {**receiver("gw", 5, issuers=["i"]), "event_id": "narrow gw"}],
    of="receiver:gw",
    severity="medium",
    cites=("receiver gw", "narrow gw"),
    quiet=([receiver("gw", issuers=["i"]), {**receiver("gw", 5), "event_id": "widen gw"}],),
    stands="no registration takes another back",
)
