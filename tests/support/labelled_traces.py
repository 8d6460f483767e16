"""Labelled traces: attacks, each with the rule that must find it and the subject, and honest twins of them.

They are written from the catalogue alone, as a user could: the facts of a trace come in one or two files, and an event
with ``NOW`` happens when its file is ingested.
"""

from typing import Any, Final, NamedTuple

from tests.support import finding_cases as cases
from tests.support.finding_cases import Event, moment

Events = list[Event]
Fields = dict[str, Any]

ISSUER: Final = "https://login.acme.example"
ANN, BEN = "human:ann@acme.example", "human:ben@acme.example"
P, W, X = "agent:planner", "agent:worker", "agent:crawler"
WORKLOAD: Final = "spiffe://acme.example/"
NOW: Final = "NOW"
END, FAR = moment(60), moment(90 * 24 * 60)


class Trace(NamedTuple):
    """A trace with its files, and the expected finding; None for an honest one."""

    rule: str
    label: str
    parts: list[Events]
    of: str | None


TRACES: list[Trace] = []


def attack(rule: str, label: str, of: str, *parts: Events) -> None:
    """Add an attack, which a rule has to report."""
    TRACES.append(Trace(rule, label, list(parts), of))


def honest(rule: str, label: str, *parts: Events) -> None:
    """Add an honest twin, about which a rule reports nothing."""
    TRACES.append(Trace(rule, label, list(parts), None))


def _at(made: Event, at: float | str) -> Event:
    return {**made, "occurred_at": at} if isinstance(at, str) else made


def _unique(made: Event) -> Event:
    _numbers.append(made["event_id"])
    return {
        name: value
        for name, value in {**made, "event_id": f"{made['event_id']} {len(_numbers)}"}.items()
        if value is not None
    }


_numbers: list[str] = []


def _id(name: str | None) -> str | None:
    return None if name is None else f"{ISSUER}#{name}"


def registered(principal: str, at: float = -60, **fields: Any) -> Event:
    return _unique(cases.registered(principal, at, **fields))


def bound(agent: str, workload: str) -> Event:
    return _unique(cases.bound(agent, workload))


def granted(id_: str, by: str, to: str, at: float | str = 0, **fields: Any) -> Event:
    return _unique(_at(cases.granted(id_, by, to, 0 if isinstance(at, str) else at, **fields), at))


def issued(name: str, subject: str = ANN, at: float = 1, derived: Any = (), **fields: Any) -> Event:
    of = [(role, _id(other)) for other, role in derived]
    src = {"source": fields.pop("source")} if "source" in fields else {}
    return _unique(cases.issued(str(_id(name)), subject, at, of=of, **src, **fields))


def decided(id_: str, permitted: bool, op: str, at: float | str = 5, **fields: Any) -> Event:
    src = {"source": fields.pop("source")} if "source" in fields else {}
    fields["token"] = _id(fields.get("token"))
    return _unique(_at(cases.decided(id_, permitted, op, 5 if isinstance(at, str) else at, **src, **fields), at))


def done(id_: str, op: str = "crm.read", at: float | str = 6, **fields: Any) -> Event:
    fields["token"] = _id(fields.get("token"))
    return _unique(_at(cases.done(id_, op, 6 if isinstance(at, str) else at, **fields), at))


def ordered(id_: str, kind: str, target: str, at: float = 10, **fields: Any) -> Event:
    aim = _id(target) if kind in ("token", "session", "client") else target
    return _unique(cases.ordered(id_, f"{kind}:{aim}", at, **fields))


def lifted(id_: str, at: float = 11) -> Event:
    return _unique(cases.lifted(id_, at))


def base(g: Fields | None = None, t: Fields | None = None) -> Events:
    """Let Ann delegate to the planner, which has a token for it: an hour, two scopes."""
    grants = {"scopes": ["crm.read", "mail.send"], "expires_at": END, **(g or {})}
    token = {"actor": P, "delegation": "g1", "scopes": ["crm.read"], "expires_at": END, **(t or {})}
    people = [registered(ANN), registered(BEN), *(registered(agent, owner=ANN, purpose="x") for agent in (P, W, X))]
    login = issued("login", ANN, 0.5, scopes=["openid", "email"], expires_at=END)
    return [*people, granted("g1", ANN, P, **grants), login, issued("t1", ANN, derived=[("login", "subject")], **token)]


def child(at: float | str = 2, **fields: Any) -> Event:
    """Let the planner delegate a part to the worker."""
    return granted("g2", P, W, at, parents=["g1"], **{"scopes": ["crm.read"], "expires_at": END, **fields})


# used-after-revocation : parts: before, then (NOW) use
FAR = moment(60 * 24 * 60)


def revoked(of_kind: str, i: str, extra: Events = (), use: Events | None = None, **o: Any) -> list[Events]:
    b = base(
        g={"expires_at": FAR},
        t={"expires_at": FAR, "session": f"{ISSUER}#s1", "client": f"{ISSUER}#c1", "workload": WORKLOAD + "p"},
    )
    return [
        [*b, *extra, ordered("r1", of_kind, i, **o)],
        [done("x1", at=NOW, token="t1", actor=P)] if use is None else use,
    ]


for k, i in (
    ("token", "t1"),
    ("token", "login"),
    ("delegation", "g1"),
    ("principal", P),
    ("principal", ANN),
    ("session", "s1"),
    ("client", "c1"),
    ("workload", WORKLOAD + "p"),
):
    attack("used-after-revocation", f"order on {k} {i}", "action:x1", *revoked(k, i))
attack(
    "used-after-revocation",
    "alias",
    "action:x1",
    *revoked("principal", "okta|77", [registered(P, aliases=["okta|77"])]),
)
attack(
    "used-after-revocation",
    "under delegation only",
    "action:x1",
    *revoked("delegation", "g1", use=[done("x1", at=NOW, delegation="g1", actor=P)]),
)
attack(
    "used-after-revocation",
    "via decision",
    "action:x1",
    *revoked(
        "token",
        "t1",
        use=[decided("p1", True, "crm.read", at=NOW, token="t1", actor=P), done("x1", at=NOW, decision="p1", actor=P)],
    ),
)
attack(
    "used-after-revocation",
    "grandchild token",
    "action:x1",
    *revoked(
        "delegation",
        "g1",
        [
            child(expires_at=FAR),
            issued("t2", ANN, 3, derived=[("t1", "actor")], actor=W, delegation="g2", expires_at=FAR),
        ],
        use=[done("x1", at=NOW, token="t2", actor=W)],
    ),
)
honest("used-after-revocation", "sibling", *revoked("token", "other"))
honest("used-after-revocation", "parent without cascade", *revoked("token", "login", cascade=False))
honest(
    "used-after-revocation",
    "denied attempt",
    *revoked("token", "t1", use=[done("x1", at=NOW, token="t1", actor=P, outcome="denied")]),
)
honest("used-after-revocation", "issued_before earlier", *revoked("client", "c1", issued_before=moment(0)))
honest("used-after-revocation", "suspended and lifted", *revoked("token", "t1", [lifted("r1", 12)], mode="suspend"))
honest("used-after-revocation", "before", [*base(), done("x1", token="t1", actor=P), ordered("r1", "token", "t1", 20)])
attack("used-while-suspended", "suspend", "action:x1", *revoked("token", "t1", mode="suspend"))
# action-after-deny
ACCOUNT = {"id": "acct-1"}
attack(
    "action-after-deny",
    "named",
    "action:x1",
    [*base(), decided("p1", False, "crm.read", token="t1", actor=P), done("x1", token="t1", actor=P, decision="p1")],
)
attack(
    "action-after-deny",
    "named no token",
    "action:x1",
    [*base(), decided("p1", False, "crm.read", actor=P), done("x1", actor=P, token="t1", decision="p1")],
)
attack(
    "action-after-deny",
    "same within 60s, no decision",
    "action:x1",
    [
        *base(),
        decided("p1", False, "crm.read", at=5, token="t1", actor=P, resource=ACCOUNT),
        done("x1", at=5.5, token="t1", actor=P, resource=ACCOUNT),
    ],
)
attack(
    "action-after-deny",
    "retry with another token",
    "action:x1",
    [
        *base(),
        issued("t9", ANN, 2, actor=P, delegation="g1", expires_at=END),
        decided("p1", False, "crm.read", at=5, token="t1", actor=P, resource=ACCOUNT),
        done("x1", at=5.5, token="t9", actor=P, resource=ACCOUNT),
    ],
)
attack(
    "action-after-deny",
    "retry as alias",
    "action:x1",
    [
        *base(),
        registered(P, aliases=["okta|9"]),
        decided("p1", False, "crm.read", at=5, token="t1", actor=P, resource=ACCOUNT),
        done("x1", at=5.5, token="t1", actor="okta|9", resource=ACCOUNT),
    ],
)
attack(
    "action-after-deny",
    "other PDP permits the id",
    "action:x1",
    [
        *base(),
        decided("p1", False, "crm.read", actor=P),
        decided("p1", True, "crm.read", at=5.1, actor=P, source="https://evil.test"),
        done("x1", token="t1", actor=P, decision="p1"),
    ],
)
attack(
    "action-after-deny",
    "resource differs in case of type",
    "action:x1",
    [
        *base(),
        decided("p1", False, "crm.read", at=5, actor=P, token="t1", resource={"type": "account", "id": "acct-1"}),
        done("x1", at=5.5, token="t1", actor=P, resource={"type": "account", "id": "acct-1"}),
    ],
)
honest(
    "action-after-deny",
    "later permit",
    [
        *base(),
        decided("p1", False, "crm.read", at=5, token="t1", actor=P, resource=ACCOUNT),
        decided("p2", True, "crm.read", at=5.3, token="t1", actor=P, resource=ACCOUNT),
        done("x1", at=5.5, token="t1", actor=P, resource=ACCOUNT, decision="p2"),
    ],
)
honest(
    "action-after-deny",
    "later permit unnamed",
    [
        *base(),
        decided("p1", False, "crm.read", at=5, token="t1", actor=P, resource=ACCOUNT),
        decided("p2", True, "crm.read", at=5.3, token="t1", actor=P, resource=ACCOUNT),
        done("x1", at=5.5, token="t1", actor=P, resource=ACCOUNT),
    ],
)
honest(
    "action-after-deny",
    "five minutes later",
    [
        *base(),
        decided("p1", False, "crm.read", at=5, token="t1", actor=P, resource=ACCOUNT),
        done("x1", at=10, token="t1", actor=P, resource=ACCOUNT),
    ],
)
honest(
    "action-after-deny",
    "another resource",
    [
        *base(),
        decided("p1", False, "crm.read", at=5, token="t1", actor=P, resource=ACCOUNT),
        done("x1", at=5.5, token="t1", actor=P, resource={"id": "acct-2"}),
    ],
)
honest(
    "action-after-deny",
    "another actor",
    [
        *base(),
        decided("p1", False, "crm.read", at=5, actor=W, resource=ACCOUNT),
        done("x1", at=5.5, token="t1", actor=P, resource=ACCOUNT),
    ],
)
honest(
    "action-after-deny",
    "denied",
    [
        *base(),
        decided("p1", False, "crm.read", token="t1", actor=P),
        done("x1", token="t1", actor=P, decision="p1", outcome="denied"),
    ],
)


# decision-mismatch
def permitted(stated: Fields, acted: Fields, extra: Events = ()) -> Events:
    """Build an action under a decision, with the statements of both."""
    stated, acted = {"op": "crm.read", **stated}, {"op": "crm.read", **acted}
    return [*base(), *extra, decided("p1", True, **stated), done("x1", decision="p1", **acted)]


attack(
    "decision-mismatch",
    "operation",
    "action:x1",
    permitted({"actor": P}, {"op": "crm.delete", "actor": P, "token": "t1"}),
)
attack(
    "decision-mismatch",
    "resource",
    "action:x1",
    permitted({"actor": P, "resource": ACCOUNT}, {"actor": P, "token": "t1", "resource": {"id": "acct-2"}}),
)
attack(
    "decision-mismatch",
    "resource type",
    "action:x1",
    permitted(
        {"actor": P, "resource": {"type": "mail", "id": "1"}},
        {"actor": P, "token": "t1", "resource": {"type": "crm", "id": "1"}},
    ),
)
attack(
    "decision-mismatch", "token", "action:x1", permitted({"actor": P, "token": "t1"}, {"actor": P, "token": "login"})
)
attack("decision-mismatch", "actor", "action:x1", permitted({"actor": P}, {"actor": W, "token": "t1"}))
attack(
    "decision-mismatch",
    "on_behalf_of",
    "action:x1",
    permitted({"actor": P, "on_behalf_of": ANN}, {"actor": P, "token": "t1", "on_behalf_of": BEN}),
)
attack(
    "decision-mismatch",
    "params",
    "action:x1",
    permitted({"actor": P, "params_digest": "sha256:aa"}, {"actor": P, "token": "t1", "params_digest": "sha256:bb"}),
)
honest(
    "decision-mismatch",
    "same",
    permitted(
        {"actor": P, "token": "t1", "resource": ACCOUNT, "on_behalf_of": ANN, "params_digest": "sha256:aa"},
        {"actor": P, "token": "t1", "resource": ACCOUNT, "on_behalf_of": ANN, "params_digest": "sha256:aa"},
    ),
)
honest(
    "decision-mismatch",
    "alias actor",
    permitted({"actor": "okta|9"}, {"actor": P, "token": "t1"}, [registered(P, aliases=["okta|9"])]),
)
honest(
    "decision-mismatch",
    "alias human",
    permitted(
        {"actor": P, "on_behalf_of": "okta|8"},
        {"actor": P, "token": "t1", "on_behalf_of": ANN},
        [registered(ANN, aliases=["okta|8"])],
    ),
)
honest("decision-mismatch", "unstated", permitted({}, {"actor": P, "token": "t1", "resource": ACCOUNT}))
honest(
    "decision-mismatch",
    "workload of the agent",
    permitted({"actor": P}, {"actor": WORKLOAD + "p", "token": "t1"}, [bound(P, WORKLOAD + "p")]),
)
honest(
    "decision-mismatch",
    "type unstated on one side",
    permitted(
        {"actor": P, "resource": {"type": "crm", "id": "1"}}, {"actor": P, "token": "t1", "resource": {"id": "1"}}
    ),
)


# action-outside-scope
def used(world: Events, **fields: Any) -> Events:
    """Build a use of the token in a world."""
    return [*world, done("x1", **{"token": "t1", "actor": P, **fields})]


attack(
    "action-outside-scope",
    "token narrower than need",
    "action:x1",
    used(base(), op="mail.send", required_scopes=["mail.send"]),
)
attack(
    "action-outside-scope",
    "by delegation",
    "action:x1",
    used(base(g={"scopes": ["crm.read"]}, t={"scopes": None}), op="mail.send", required_scopes=["mail.send"]),
)
attack(
    "action-outside-scope",
    "token claims more than delegation",
    "action:x1",
    used(base(g={"scopes": ["crm.read"]}, t={"scopes": ["crm.read", "pay"]}), op="pay", required_scopes=["pay"]),
)
attack(
    "action-outside-scope",
    "grandparent narrower",
    "action:x1",
    [
        *base(),
        child(scopes=["crm.read", "pay"]),
        issued("t2", ANN, 3, actor=W, delegation="g2", scopes=["pay"], expires_at=END),
        done("x1", "pay", token="t2", actor=W, required_scopes=["pay"]),
    ],
)
attack(
    "action-outside-scope",
    "no_scopes",
    "action:x1",
    used(base(t={"scopes": None, "no_scopes": True}), required_scopes=["crm.read"]),
)
attack(
    "action-outside-scope",
    "decision states the need",
    "action:x1",
    [
        *base(),
        decided("p1", True, "mail.send", actor=P, token="t1", required_scopes=["mail.send"]),
        done("x1", "mail.send", token="t1", actor=P, decision="p1"),
    ],
)
attack(
    "action-outside-scope",
    "delegation named alone",
    "action:x1",
    [*base(g={"scopes": ["crm.read"]}), done("x1", "pay", delegation="g1", actor=P, required_scopes=["pay"])],
)
honest("action-outside-scope", "within", used(base(), required_scopes=["crm.read"]))
honest(
    "action-outside-scope",
    "nothing stated",
    used(base(g={"scopes": None}, t={"scopes": None}), required_scopes=["pay"]),
)
honest(
    "action-outside-scope", "inherited", used(base(t={"scopes": None}), op="mail.send", required_scopes=["mail.send"])
)
honest(
    "action-outside-scope",
    "operation spelled differently, need unknown",
    used(base(g={"scopes": ["crm:read"]}, t={"scopes": ["crm:read"]}), op="crm.read"),
)
honest(
    "action-outside-scope",
    "union of two parents",
    [
        *base(),
        granted("h1", BEN, P, 0, scopes=["pay"], expires_at=END),
        granted("g2", P, W, 2, parents=["g1", "h1"], scopes=["crm.read", "pay"], expires_at=END),
        issued("t2", ANN, 3, actor=W, delegation="g2", scopes=["pay"], expires_at=END),
        done("x1", "pay", token="t2", actor=W, required_scopes=["pay"]),
    ],
)
# scope-exceeds-parent
attack("scope-exceeds-parent", "delegation", "delegation:g2", [*base(), child(scopes=["crm.read", "pay"])])
attack(
    "scope-exceeds-parent", "token against delegation", f"token:{ISSUER}#t1", base(t={"scopes": ["crm.read", "pay"]})
)
attack(
    "scope-exceeds-parent",
    "refresh",
    f"token:{ISSUER}#t2",
    [
        *base(),
        issued("t2", ANN, 3, derived=[("t1", "refresh")], actor=P, scopes=["crm.read", "mail.send"], expires_at=END),
    ],
)
attack(
    "scope-exceeds-parent",
    "replaced",
    f"token:{ISSUER}#t2",
    [
        *base(),
        issued("t2", ANN, 3, derived=[("t1", "replaced")], actor=P, scopes=["crm.read", "mail.send"], expires_at=END),
    ],
)
attack(
    "scope-exceeds-parent",
    "subject",
    f"token:{ISSUER}#t2",
    [*base(), issued("t2", ANN, 3, derived=[("t1", "subject")], actor=W, scopes=["crm.read", "pay"], expires_at=END)],
)
attack(
    "scope-exceeds-parent",
    "two parents",
    "delegation:g2",
    [
        *base(),
        granted("h1", BEN, P, 0, scopes=["files"], expires_at=END),
        granted("g2", P, W, 2, parents=["g1", "h1"], scopes=["crm.read", "files", "pay"], expires_at=END),
    ],
)
attack("scope-exceeds-parent", "wildcard", "delegation:g2", [*base(), child(scopes=["*"])])
attack(
    "scope-exceeds-parent",
    "parent says no scopes",
    "delegation:g2",
    [*base(g={"scopes": None, "no_scopes": True}, t={"scopes": None}), child(scopes=["crm.read"])],
)
honest("scope-exceeds-parent", "narrower", [*base(), child()])
honest("scope-exceeds-parent", "parent unstated", [*base(g={"scopes": None}), child(scopes=["pay"])])
honest(
    "scope-exceeds-parent",
    "actor token",
    [
        *base(),
        issued("w", W, 0.5, scopes=["svc"], expires_at=END),
        issued("t2", ANN, 3, derived=[("t1", "subject"), ("w", "actor")], actor=W, scopes=["crm.read"], expires_at=END),
    ],
)
honest(
    "scope-exceeds-parent",
    "login scopes",
    [
        *base(),
        issued("t2", ANN, 3, derived=[("login", "subject")], actor=P, scopes=["crm.read", "openid"], expires_at=END),
    ],
)
honest(
    "scope-exceeds-parent",
    "union",
    [
        *base(),
        granted("h1", BEN, P, 0, scopes=["pay"], expires_at=END),
        granted("g2", P, W, 2, parents=["g1", "h1"], scopes=["crm.read", "pay"], expires_at=END),
    ],
)
honest("scope-exceeds-parent", "login scopes in token", base(t={"scopes": ["crm.read", "openid"]}))
# depth
attack("delegation-depth-exceeded", "max_depth 0", "delegation:g2", [*base(g={"max_depth": 0}), child()])
attack(
    "delegation-depth-exceeded",
    "max_depth 1, two below",
    "delegation:g3",
    [*base(g={"max_depth": 1}), child(), granted("g3", W, X, 3, parents=["g2"], scopes=["crm.read"], expires_at=END)],
)
attack(
    "delegation-depth-exceeded",
    "registration",
    "delegation:g3",
    [
        registered(P, at=-70, max_delegation_depth=1),
        *base(),
        child(),
        granted("g3", W, X, 3, parents=["g2"], scopes=["crm.read"], expires_at=END),
    ],
)
attack(
    "delegation-depth-exceeded",
    "child says more",
    "delegation:g3",
    [
        *base(g={"max_depth": 1}),
        child(max_depth=9),
        granted("g3", W, X, 3, parents=["g2"], scopes=["crm.read"], expires_at=END),
    ],
)
attack(
    "delegation-depth-exceeded",
    "longest path",
    "delegation:g3",
    [
        *base(g={"max_depth": 1}),
        child(),
        granted("h1", BEN, W, 0, scopes=["crm.read"], expires_at=END),
        granted("g3", W, X, 3, parents=["g2", "h1"], scopes=["crm.read"], expires_at=END),
    ],
)
honest("delegation-depth-exceeded", "at depth", [*base(g={"max_depth": 1}), child()])
honest(
    "delegation-depth-exceeded",
    "unlimited",
    [*base(), child(), granted("g3", W, X, 3, parents=["g2"], scopes=["crm.read"], expires_at=END)],
)
honest(
    "delegation-depth-exceeded",
    "registration at depth",
    [registered(P, at=-70, max_delegation_depth=1), *base(), child()],
)
# used-after-expiry
attack("used-after-expiry", "token", "action:x1", used(base(g={"expires_at": FAR}), at=62))
attack("used-after-expiry", "delegation", "action:x1", used(base(t={"expires_at": FAR}), at=62))
attack(
    "used-after-expiry",
    "ancestor",
    "action:x1",
    [
        *base(),
        child(expires_at=FAR),
        issued("t2", ANN, 3, actor=W, delegation="g2", expires_at=FAR),
        done("x1", at=62, token="t2", actor=W),
    ],
)
attack("used-after-expiry", "delegation alone", "action:x1", [*base(), done("x1", at=62, delegation="g1", actor=P)])
attack(
    "used-after-expiry",
    "by decision",
    "action:x1",
    [*base(), decided("p1", True, "crm.read", at=62, token="t1", actor=P), done("x1", at=62.1, decision="p1", actor=P)],
)
honest("used-after-expiry", "leeway", used(base(), at=60.3))
honest(
    "used-after-expiry",
    "renewal",
    used([*base(), issued("t1", ANN, 50, actor=P, expires_at=FAR), granted("g1", ANN, P, 50, expires_at=FAR)], at=62),
)
honest(
    "used-after-expiry",
    "subject token ended",
    [*base(g={"expires_at": FAR}, t={"expires_at": FAR}), done("x1", at=90, token="t1", actor=P)],
)
honest("used-after-expiry", "failed", used(base(), at=62, outcome="failed"))
# granted-after-expiry
attack("granted-after-expiry", "delegation", "delegation:g2", [*base(), child(at=62, expires_at=moment(80))])
attack(
    "granted-after-expiry",
    "token",
    f"token:{ISSUER}#t2",
    [*base(), issued("t2", ANN, 62, actor=P, delegation="g1", expires_at=moment(80))],
)
honest("granted-after-expiry", "leeway", [*base(), child(at=60.3)])
honest("granted-after-expiry", "in time", [*base(), child(at=59)])
honest("granted-after-expiry", "renewed", [*base(), granted("g1", ANN, P, 50, expires_at=FAR), child(at=62)])
# granted-after-revocation
attack(
    "granted-after-revocation",
    "delegation below",
    "delegation:g2",
    [*base(g={"expires_at": FAR}), ordered("r1", "delegation", "g1", 10), child(at=20)],
)
attack(
    "granted-after-revocation",
    "token below",
    f"token:{ISSUER}#t2",
    [
        *base(),
        ordered("r1", "token", "t1", 10),
        issued("t2", ANN, 20, derived=[("t1", "subject")], actor=W, expires_at=END),
    ],
)
attack(
    "granted-after-revocation", "principal", "delegation:g2", [*base(), ordered("r1", "principal", P, 10), child(at=20)]
)
attack(
    "granted-after-revocation",
    "could know",
    "delegation:g2",
    [*base(g={"expires_at": FAR}), ordered("r1", "delegation", "g1", 10)],
    [child(at=NOW, expires_at=FAR)],
)
honest("granted-after-revocation", "before", [*base(), child(at=5), ordered("r1", "delegation", "g1", 10)])
honest("granted-after-revocation", "sibling", [*base(), ordered("r1", "delegation", "other", 10), child(at=20)])
honest(
    "granted-after-revocation",
    "no cascade",
    [*base(), ordered("r1", "delegation", "g1", 10, cascade=False), child(at=20)],
)
# unattributed
attack(
    "unattributed-action",
    "never granted",
    "action:x1",
    [*base(), done("y", token="t1", actor=P), done("x1", token="ghost", actor=P)],
)
attack("unattributed-action", "names none", "action:x1", [*base(), done("y", token="t1", actor=P), done("x1", actor=P)])
attack(
    "unattributed-action",
    "workload names none",
    "action:x1",
    [*base(), done("y", token="t1", actor=P), done("x1", workload=WORKLOAD + "z")],
)
attack(
    "unattributed-action", "delegation never granted", "action:x1", [*base(), done("x1", delegation="ghost", actor=W)]
)
attack(
    "unattributed-action",
    "decision never made",
    "action:x1",
    [
        *base(),
        decided("p1", True, "crm.read", actor=P, token="t1"),
        done("y", token="t1", actor=P, decision="p1"),
        done("x1", actor=P, decision="ghost"),
    ],
)
honest("unattributed-action", "human", [*base(), done("y", token="t1", actor=P), done("x1", actor=ANN)])
honest(
    "unattributed-action",
    "late grant",
    [*base(), done("x1", token="t7", actor=P)],
    [issued("t7", ANN, 1, actor=P, delegation="g1", expires_at=END)],
)
honest("unattributed-action", "by delegation", [*base(), done("x1", delegation="g1", actor=P)])
honest(
    "unattributed-action",
    "decision names the token",
    [*base(), decided("p1", True, "crm.read", actor=P, token="t1"), done("x1", actor=P, decision="p1")],
)
honest(
    "unattributed-action",
    "denied attempt",
    [*base(), done("y", token="t1", actor=P), done("x1", actor=P, outcome="denied")],
)
# credential-replay
attack(
    "credential-replay",
    "single use token exchanged twice",
    f"token:{ISSUER}#t1",
    [
        *base(t={"single_use": True}),
        issued("t2", ANN, 3, derived=[("t1", "subject")], actor=W, expires_at=END),
        issued("t3", ANN, 4, derived=[("t1", "subject")], actor=X, expires_at=END),
    ],
)
attack(
    "credential-replay",
    "single use token used twice",
    f"token:{ISSUER}#t1",
    [*base(t={"single_use": True}), done("x1", at=5, token="t1", actor=P), done("x2", at=7, token="t1", actor=P)],
)
attack(
    "credential-replay",
    "single use grant handed twice",
    "delegation:g1",
    [
        *base(g={"single_use": True}),
        child(),
        granted("g3", P, X, 3, parents=["g1"], scopes=["crm.read"], expires_at=END),
    ],
)
attack(
    "credential-replay",
    "restated",
    f"token:{ISSUER}#t1",
    [
        *base(),
        issued(
            "t1", ANN, 9, derived=[("login", "subject")], actor=P, delegation="g1", scopes=["crm.read"], expires_at=END
        ),
    ],
)
attack(
    "credential-replay",
    "grant restated",
    "delegation:g1",
    [*base(), granted("g1", ANN, P, 9, scopes=["crm.read", "mail.send"], expires_at=END)],
)
attack(
    "credential-replay",
    "two delegations",
    f"token:{ISSUER}#t1",
    [
        *base(),
        granted("h1", BEN, P, 0, scopes=["crm.read"], expires_at=END),
        issued("t1", ANN, 9, actor=P, delegation="h1", expires_at=END),
    ],
)
honest("credential-replay", "single use once", [*base(t={"single_use": True}), done("x1", token="t1", actor=P)])
honest("credential-replay", "renewal", [*base(), issued("t1", ANN, 9, actor=P, expires_at=moment(90))])
honest(
    "credential-replay",
    "another source tells it",
    [
        *base(),
        issued(
            "t1",
            ANN,
            1.1,
            actor=P,
            delegation="g1",
            scopes=["crm.read"],
            expires_at=END,
            source="https://mesh.acme.example",
        ),
    ],
)
honest(
    "credential-replay",
    "adds a scope list later",
    [*base(t={"scopes": None}), issued("t1", ANN, 9, actor=P, scopes=["crm.read"], expires_at=END)],
)
# refresh reuse
attack(
    "refresh-token-reuse",
    "replaced twice",
    f"token:{ISSUER}#t1",
    [
        *base(),
        issued("t2", ANN, 3, derived=[("t1", "replaced")], actor=P, expires_at=END),
        issued("t3", ANN, 4, derived=[("t1", "replaced")], actor=P, expires_at=END),
    ],
)
attack(
    "refresh-token-reuse",
    "used after replaced",
    f"token:{ISSUER}#t1",
    [
        *base(),
        issued("t2", ANN, 3, derived=[("t1", "replaced")], actor=P, expires_at=END),
        done("x1", at=5, token="t1", actor=P),
    ],
)
attack(
    "refresh-token-reuse",
    "refreshed after replaced",
    f"token:{ISSUER}#t1",
    [
        *base(),
        issued("t2", ANN, 3, derived=[("t1", "replaced")], actor=P, expires_at=END),
        issued("t3", ANN, 9, derived=[("t1", "refresh")], actor=P, expires_at=END),
    ],
)
honest(
    "refresh-token-reuse",
    "retry within 10 s",
    [
        *base(),
        issued("t2", ANN, 3, derived=[("t1", "replaced")], actor=P, expires_at=END),
        issued("t3", ANN, 3.1, derived=[("t1", "replaced")], actor=P, expires_at=END),
    ],
)
honest(
    "refresh-token-reuse",
    "refresh many",
    [
        *base(),
        issued("t2", ANN, 3, derived=[("t1", "refresh")], actor=P, expires_at=END),
        issued("t3", ANN, 9, derived=[("t1", "refresh")], actor=P, expires_at=END),
    ],
)
honest(
    "refresh-token-reuse",
    "used before",
    [
        *base(),
        done("x1", at=2, token="t1", actor=P),
        issued("t2", ANN, 3, derived=[("t1", "replaced")], actor=P, expires_at=END),
    ],
)
# shared
attack(
    "credential-shared",
    "actors",
    f"token:{ISSUER}#t1",
    [*base(), done("x1", token="t1", actor=P), done("x2", at=8, token="t1", actor=W)],
)
attack(
    "credential-shared",
    "keys",
    f"token:{ISSUER}#t1",
    [
        *base(),
        done("x1", token="t1", actor=P, key_thumbprint="k1"),
        done("x2", at=8, token="t1", actor=P, key_thumbprint="k2"),
    ],
)
attack(
    "credential-shared",
    "workloads",
    f"token:{ISSUER}#t1",
    [
        *base(),
        done("x1", token="t1", actor=P, workload=WORKLOAD + "1"),
        done("x2", at=8, token="t1", actor=P, workload=WORKLOAD + "2"),
    ],
)
attack(
    "credential-shared",
    "by decision",
    f"token:{ISSUER}#t1",
    [
        *base(),
        done("x1", token="t1", actor=P),
        decided("p1", True, "crm.read", token="t1", actor=W, at=7),
        done("x2", at=8, decision="p1", actor=W),
    ],
)
honest(
    "credential-shared",
    "alias",
    [
        *base(),
        registered(P, aliases=["okta|9"]),
        done("x1", token="t1", actor=P),
        done("x2", at=8, token="t1", actor="okta|9"),
    ],
)
honest(
    "credential-shared",
    "own workload",
    [
        *base(),
        bound(P, WORKLOAD + "p"),
        done("x1", token="t1", actor=P),
        done("x2", at=8, token="t1", actor=WORKLOAD + "p"),
    ],
)
honest(
    "credential-shared",
    "two bound workloads",
    [
        *base(),
        bound(P, WORKLOAD + "1"),
        bound(P, WORKLOAD + "2"),
        done("x1", token="t1", actor=P, workload=WORKLOAD + "1"),
        done("x2", at=8, token="t1", actor=P, workload=WORKLOAD + "2"),
    ],
)
honest(
    "credential-shared", "same twice", [*base(), done("x1", token="t1", actor=P), done("x2", at=8, token="t1", actor=P)]
)
# subject-change etc
attack(
    "subject-change",
    "exchange",
    f"token:{ISSUER}#t2",
    [*base(), issued("t2", BEN, 3, derived=[("t1", "subject")], actor=W, expires_at=END)],
)
attack(
    "subject-change",
    "refresh",
    f"token:{ISSUER}#t2",
    [*base(), issued("t2", BEN, 3, derived=[("t1", "refresh")], actor=P, expires_at=END)],
)
honest("subject-change", "same", [*base(), issued("t2", ANN, 3, derived=[("t1", "subject")], actor=W, expires_at=END)])
honest(
    "subject-change",
    "alias",
    [
        *base(),
        registered(ANN, aliases=["okta|8"]),
        issued("t2", "okta|8", 3, derived=[("t1", "subject")], actor=W, expires_at=END),
    ],
)
attack("subject-mismatch", "obo", "action:x1", used(base(), on_behalf_of=BEN))
honest("subject-mismatch", "alias", used([*base(), registered(ANN, aliases=["okta|8"])], on_behalf_of="okta|8"))
attack("wielder-mismatch", "actor", "action:x1", used(base(), actor=W))
attack(
    "wielder-mismatch", "workload", "action:x1", used(base(t={"workload": WORKLOAD + "p"}), workload=WORKLOAD + "evil")
)
attack("wielder-mismatch", "key", "action:x1", used(base(t={"key_thumbprint": "k1"}), key_thumbprint="k2"))
honest("wielder-mismatch", "alias", used([*base(), registered(P, aliases=["okta|9"])], actor="okta|9"))
honest("wielder-mismatch", "bound workload as actor", used([*base(), bound(P, WORKLOAD + "p")], actor=WORKLOAD + "p"))
attack(
    "delegation-mismatch",
    "delegation",
    "action:x1",
    used([*base(), granted("h1", BEN, P, 0, scopes=["pay"], expires_at=END)], delegation="h1"),
)
honest("delegation-mismatch", "same", used(base(), delegation="g1"))
attack(
    "chain-mismatch",
    "delegator is not the delegatee above",
    "delegation:g2",
    [*base(), granted("g2", X, W, 2, parents=["g1"], scopes=["crm.read"], expires_at=END)],
)
honest(
    "chain-mismatch",
    "alias",
    [
        *base(),
        registered(P, aliases=["okta|9"]),
        granted("g2", "okta|9", W, 2, parents=["g1"], scopes=["crm.read"], expires_at=END),
    ],
)
attack("outlives-parent", "delegation later", "delegation:g2", [*base(), child(expires_at=moment(90))])
attack("outlives-parent", "delegation without end", "delegation:g2", [*base(), child(expires_at=None)])
attack("outlives-parent", "token without end", f"token:{ISSUER}#t1", base(t={"expires_at": None}))
attack("outlives-parent", "token later", f"token:{ISSUER}#t1", base(t={"expires_at": moment(90)}))
honest("outlives-parent", "equal", [*base(), child()])
honest("outlives-parent", "earlier", [*base(), child(expires_at=moment(30))])
honest(
    "outlives-parent",
    "renewed parent",
    [*base(), child(expires_at=moment(90)), granted("g1", ANN, P, 50, expires_at=moment(120))],
)
attack("self-approval", "delegator", "delegation:g1", base(g={"approved_by": ANN}))
attack("self-approval", "delegatee", "delegation:g2", [*base(), child(approved_by=W)])
attack(
    "self-approval", "alias", "delegation:g2", [*base(), registered(W, aliases=["okta|5"]), child(approved_by="okta|5")]
)
attack(
    "self-approval",
    "decision actor",
    "decision:p1",
    [*base(), decided("p1", True, "crm.read", actor=P, token="t1", approved_by=P)],
)
attack(
    "self-approval",
    "order",
    "revocation:r1",
    [*base(), ordered("r1", "token", "t1", 10, approved_by="human:ir")],
)
honest("self-approval", "another", base(g={"approved_by": BEN}))
honest(
    "self-approval", "decision other", [*base(), decided("p1", True, "crm.read", actor=P, token="t1", approved_by=BEN)]
)
