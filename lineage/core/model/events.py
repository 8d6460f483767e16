"""The wire contract as frozen values: one class per event type, matching ``schemas/`` field by field (tested).

An absent list is the empty tuple; anything else that is absent is None. Absent, null and empty are equivalent (clause
2.2). Instants are microseconds since the epoch. Pure: no clock, no I/O.
"""

import hashlib
import json
from typing import Any, Final, NamedTuple

from lineage.core.model.times import Instant, format_instant


class Resource(NamedTuple):
    """The object of a decision or an action."""

    id: str
    type: str | None = None
    environment: str | None = None


class Derivation(NamedTuple):
    """An input of a token: another token and the role it played."""

    token: str
    role: str  # subject, actor, refresh, replaced


class Policy(NamedTuple):
    """The policy that a decision followed."""

    id: str
    version: str | None = None


class StatusList(NamedTuple):
    """The entry of a token in a Token Status List."""

    uri: str
    idx: int


class Target(NamedTuple):
    """The target of an order."""

    kind: str
    id: str

    @property
    def key(self) -> str:
        """``KIND:ID``."""
        return f"{self.kind}:{self.id}"


class CaseItem(NamedTuple):
    """A thing that a case is about; for the kind ``actions``, the id is the filters of a range of actions."""

    kind: str
    id: str

    @property
    def key(self) -> str:
        """``KIND:ID``."""
        return f"{self.kind}:{self.id}"


class PrincipalRegistered(NamedTuple):
    """A principal was registered, or changed."""

    principal: str
    kind: str
    display_name: str | None = None
    owner: str | None = None
    purpose: str | None = None
    environment: str | None = None
    max_delegation_depth: int | None = None
    aliases: tuple[str, ...] = ()


class WorkloadBound(NamedTuple):
    """An agent runs as an attested workload."""

    agent: str
    workload: str
    key_thumbprint: str | None = None
    expires_at: Instant | None = None


class DelegationGranted(NamedTuple):
    """A durable grant from a delegator to a delegatee."""

    delegation: str
    delegator: str
    delegatee: str
    parents: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()
    purpose: str | None = None
    task: str | None = None
    max_depth: int | None = None
    not_before: Instant | None = None
    expires_at: Instant | None = None
    instruction_source: str | None = None
    approved_by: str | None = None
    single_use: bool | None = None
    no_scopes: bool | None = None  # True means nothing is granted; an empty `scopes` states nothing


class TokenIssued(NamedTuple):
    """A token was issued, renewed or seen."""

    token: str
    subject: str
    token_type: str | None = None
    actor: str | None = None
    prior_actors: tuple[str, ...] = ()
    client: str | None = None
    session: str | None = None
    delegation: str | None = None
    derived_from: tuple[Derivation, ...] = ()
    scopes: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()
    issued_at: Instant | None = None
    not_before: Instant | None = None
    expires_at: Instant | None = None
    workload: str | None = None
    key_thumbprint: str | None = None
    exchange: str | None = None
    status_list: StatusList | None = None
    single_use: bool | None = None
    no_scopes: bool | None = None
    task: str | None = None


class DecisionMade(NamedTuple):
    """A policy decision point permitted or denied one request."""

    decision: str
    permitted: bool
    operation: str
    resource: Resource | None = None
    token: str | None = None
    actor: str | None = None
    on_behalf_of: str | None = None
    workload: str | None = None
    session: str | None = None
    delegation: str | None = None
    policy: Policy | None = None
    reasons: tuple[str, ...] = ()
    context: tuple[tuple[str, str], ...] = ()  # sorted by key
    approved_by: str | None = None
    prior_actors: tuple[str, ...] = ()
    required_scopes: tuple[str, ...] = ()
    params_digest: str | None = None


class ActionPerformed(NamedTuple):
    """An effect at a tool or a service."""

    action: str
    operation: str
    outcome: str
    tool: str | None = None
    resource: Resource | None = None
    token: str | None = None
    actor: str | None = None
    prior_actors: tuple[str, ...] = ()
    workload: str | None = None
    session: str | None = None
    delegation: str | None = None
    decision: str | None = None
    on_behalf_of: str | None = None
    key_thumbprint: str | None = None
    parent_action: str | None = None
    params_digest: str | None = None
    instruction_source: str | None = None
    required_scopes: tuple[str, ...] = ()
    task: str | None = None


class RevocationOrdered(NamedTuple):
    """A responder ordered a revocation or a suspension."""

    revocation: str
    target: Target
    reason: str
    ordered_by: str
    mode: str = "revoke"
    cascade: bool = True
    effective_at: Instant | None = None
    issued_before: Instant | None = None
    note: str | None = None
    approved_by: str | None = None
    plan_digest: str | None = None


class RevocationLifted(NamedTuple):
    """An order was lifted."""

    revocation: str
    lifted_by: str
    approved_by: str | None = None
    effective_at: Instant | None = None
    note: str | None = None


class RevocationAcknowledged(NamedTuple):
    """A receiver's statement of what it did about an order."""

    revocation: str
    receiver: str
    outcome: str
    token: str | None = None
    note: str | None = None


class ReceiverRegistered(NamedTuple):
    """An enforcement point, and what it covers."""

    receiver: str
    issuers: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    deadline_seconds: int | None = None


class FindingJudged(NamedTuple):
    """A responder acknowledged, suppressed or reopened a finding."""

    finding: str
    judgement: str  # acknowledged, suppressed, reopened
    by: str
    reason: str
    until: Instant | None = None


class CaseChanged(NamedTuple):
    """A responder opened a case or changed it."""

    case: str
    change: str  # opened, added, removed, noted, assigned, closed, reopened
    by: str
    items: tuple[CaseItem, ...] = ()
    title: str | None = None
    assignee: str | None = None
    note: str | None = None


class HoldChanged(NamedTuple):
    """A legal hold was placed, or released."""

    hold: str
    change: str  # placed, released
    by: str
    reason: str
    principal: str | None = None
    case: str | None = None
    starts_at: Instant | None = None
    ends_at: Instant | None = None


class RecordsDeleted(NamedTuple):
    """Retention deleted records of a partition."""

    deletion: str
    by: str
    topic: str
    partition: int
    first_tile: int
    last_tile: int
    records: int
    rule: str
    recorded_before: Instant
    list_sha256: str
    certificate: str


class CheckpointKeyRotated(NamedTuple):
    """Another key signs the checkpoints of the log from now on."""

    log: str
    by: str
    reason: str
    note: str


Body = (
    PrincipalRegistered
    | WorkloadBound
    | DelegationGranted
    | TokenIssued
    | DecisionMade
    | ActionPerformed
    | RevocationOrdered
    | RevocationLifted
    | RevocationAcknowledged
    | ReceiverRegistered
    | FindingJudged
    | CaseChanged
    | HoldChanged
    | RecordsDeleted
    | CheckpointKeyRotated
)

BODIES: Final[dict[str, type[Body]]] = {
    "principal.registered": PrincipalRegistered,
    "workload.bound": WorkloadBound,
    "delegation.granted": DelegationGranted,
    "token.issued": TokenIssued,
    "decision.made": DecisionMade,
    "action.performed": ActionPerformed,
    "revocation.ordered": RevocationOrdered,
    "revocation.lifted": RevocationLifted,
    "revocation.acknowledged": RevocationAcknowledged,
    "receiver.registered": ReceiverRegistered,
    "finding.judged": FindingJudged,
    "case.changed": CaseChanged,
    "hold.changed": HoldChanged,
    "records.deleted": RecordsDeleted,
    "checkpoint.key_rotated": CheckpointKeyRotated,
}


def _is_equal(body: tuple[Any, ...], other: object) -> bool:
    return type(body) is type(other) and tuple.__eq__(body, other)


def _is_unequal(body: tuple[Any, ...], other: object) -> bool:
    return not _is_equal(body, other)


# Bodies are equal only if their types are. As plain tuples, a lift and an acknowledgement could be equal, and one
# could be discarded as a duplicate of the other. Equal bodies still have equal hashes.
for _type in BODIES.values():
    setattr(_type, "__eq__", _is_equal)  # noqa: B010 (not assignable to a class that mypy knows)
    setattr(_type, "__ne__", _is_unequal)  # noqa: B010

TYPES: Final[dict[type[Body], str]] = {body: name for name, body in BODIES.items()}
_ORDERS: Final = frozenset(
    {
        *(RevocationOrdered, RevocationLifted, FindingJudged, CaseChanged),
        *(HoldChanged, RecordsDeleted, CheckpointKeyRotated),
    }
)
TIME_FIELDS: Final = frozenset(
    {
        *("occurred_at", "issued_at", "not_before", "expires_at", "effective_at", "issued_before", "until"),
        *("starts_at", "ends_at", "recorded_before"),
    }
)


class Event(NamedTuple):
    """The envelope and the body. The identity of a fact is (source, event_id)."""

    event_id: str
    source: str
    occurred_at: Instant
    body: Body
    txn: str | None = None
    traceparent: str | None = None
    sequence: int | None = None

    @property
    def type(self) -> str:
        """The name of the event's type, such as ``token.issued``."""
        return TYPES[type(self.body)]

    @property
    def is_order(self) -> bool:
        """Whether it belongs on the topic of orders alone, as orders, lifts and changes of cases and holds do."""
        return type(self.body) in _ORDERS


class Fact(NamedTuple):
    """An event as recorded by the log.

    ``recorded_at`` is the earliest time at which the log recorded this content (duplicates count). ``misrouted``
    marks an order, or another event that belongs on the topic of orders, that arrived on the topic of decisions: it is
    not part of the state.
    """

    event: Event
    recorded_at: Instant
    misrouted: bool = False

    @property
    def given_at(self) -> Instant:
        """The time it was given: the earlier of ``occurred_at`` and ``recorded_at``; a fast clock delays nothing."""
        return min(self.event.occurred_at, self.recorded_at)


# The defaults that every reader assumes; stating one is the same content as omitting it.
_DEFAULTS: Final[dict[str, Any]] = {"mode": "revoke", "cascade": True}


def document(event: Event) -> dict[str, Any]:
    """Convert an event to its JSONL form: envelope and body in one object, times as in answers.

    Absent, null, the empty list or map and the default are equivalent and are omitted (clause 2.11).
    """
    stated: dict[str, Any] = {"type": event.type}
    for record in (event, event.body):
        for name, value in zip(record._fields, record, strict=True):
            if name != "body" and value is not None and value != () and _DEFAULTS.get(name) != value:
                stated[name] = _json_value(name, value)
    return stated


def _json_value(name: str, value: Any) -> Any:
    if name in TIME_FIELDS:
        return format_instant(value)
    if name == "context":
        return dict(value)
    if isinstance(value, Resource | Derivation | Policy | StatusList | Target | CaseItem):
        return {key: item for key, item in value._asdict().items() if item is not None}
    if isinstance(value, tuple):
        return [_json_value("", item) for item in value]
    return value


def canonical_json(value: Any) -> bytes:
    """Serialise a value to canonical JSON (RFC 8785): objects, lists, strings, booleans, null and integers.

    Integers stay within 2**53 - 1 (checked when records are read), so their shortest form is their decimal form.
    """
    text = _BY_CODE_POINT(value)
    # RFC 8785 section 3.2.3 sorts properties by UTF-16 code units; this differs only for characters beyond the BMP.
    if not text.isascii() and max(text) > "\uffff":
        text = _AS_IT_COMES(_sorted(value))
    return text.encode()


_BY_CODE_POINT: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode
_AS_IT_COMES: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _sorted(value: Any) -> Any:
    # The schema bounds the depth.
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value, key=lambda text: text.encode("utf-16-be"))}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value


def digest(event: Event) -> str:
    """Return the SHA-256, in hexadecimal, of the event's canonical JSON."""
    return hashlib.sha256(canonical_json(document(event))).hexdigest()


class _ContentDigest:
    """The last component of the fact order: the digest of the content, computed only if everything else is equal."""

    __slots__ = ("_event",)

    def __init__(self, event: Event) -> None:
        self._event = event

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ContentDigest) and self._event == other._event

    def __lt__(self, other: "_ContentDigest") -> bool:
        return digest(self._event) < digest(other._event)

    def __hash__(self) -> int:
        return hash(self._event)


def fact_order(fact: Fact) -> tuple[Instant, str, str, _ContentDigest]:
    """Return the sort key by which several facts about one thing combine (clause 3.4).

    ``occurred_at``, source, event id, then the SHA-256 of the content.
    """
    event = fact.event
    return event.occurred_at, event.source, event.event_id, _ContentDigest(event)
