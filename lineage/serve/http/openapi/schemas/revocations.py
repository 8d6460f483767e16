"""The board of revocations, receipts, and signed statements."""

from typing import Literal, NotRequired, TypedDict

from lineage.serve.http.openapi.schemas.common import AsOf, ListPage, State, Thing, Time
from lineage.serve.http.openapi.schemas.evidence import EvidenceOfReceipt
from lineage.serve.http.openapi.schemas.findings import Finding


class Order(TypedDict):
    """An order as it was given."""

    revocation: str
    target: Thing
    mode: str
    cascade: bool
    issued_before: Time | None
    reason: str
    note: str | None
    ordered_by: str
    approved_by: str | None
    ordered_at: Time
    effective_at: Time
    in_force_at: Time
    lifted_at: Time | None


class BoardEntry(Order):
    """An order with a summary of its verdict; null if it ends more than is examined for a list."""

    elements: int | None
    verdict: str | None
    closed_at: Time | None
    open: int | None


class RevocationBoard(ListPage):
    """All orders, the latest first."""

    items: list[BoardEntry]
    as_of: AsOf


class ReceiverProgress(TypedDict):
    """The progress of one receiver."""

    receiver: str
    covers: int
    delivered: int
    enforced: int
    rejected: int
    pending: int


class Open(TypedDict):
    """An element that is open."""

    kind: str
    id: str
    receiver: NotRequired[str]
    reason: str


class HandMark(TypedDict):
    """A person's statement that elements are enforced at a receiver, and how many elements depend on it."""

    receiver: str
    by: str
    reason: str
    said_at: Time
    elements: int


class Revocation(TypedDict):
    """A revocation, and whether it is enforced."""

    revocation: str
    verdict: Literal["CLOSED", "PARTIAL", "UNKNOWN"]
    ordered_at: Time
    in_force_at: Time
    closed_at: Time | None
    seconds: float | None
    elements: int
    receivers: list[ReceiverProgress]
    open: list[Open]
    reopened_by: list[str]
    by_hand: NotRequired[list[HandMark]]
    lifted_at: NotRequired[Time]
    findings: list[Finding]
    orders: list[Order]
    incident: str | None
    as_of: AsOf


class ReceiptLine(TypedDict):
    """An element that a revocation ended."""

    kind: str
    id: str
    state: State
    revocation: str
    effective_at: Time
    path: list[str]
    path_length: NotRequired[int]
    principals: list[str]
    expires_at: Time | None
    born_dead: bool
    recorded_at: Time


class SignedStatement(TypedDict):
    """The statement that a revocation is enforced everywhere."""

    type: Literal["delegraph-receipt"]
    revocation: str
    verdict: Literal["CLOSED"]
    ordered_at: Time
    in_force_at: Time
    closed_at: Time
    elements: int
    receivers: list[ReceiverProgress]
    by_hand: list[HandMark]
    orders: list[Order]
    states: dict[str, int]
    lines_sha256: str
    evidence: NotRequired[EvidenceOfReceipt]
    signed_at: Time
    recorded_at: Time | None


class SignedReceipt(TypedDict):
    """The statement, its signature, and the key that verifies it."""

    receipt: SignedStatement
    jws: str
    jwk: dict[str, str]


class ProvedPoint(TypedDict):
    """The result of probing an enforcement point."""

    receiver: str
    asked_by: str | None
    verdict: Literal["CLOSED", "PARTIAL", "UNKNOWN"]
    covers: int
    denied: int
    accepted: int
    not_asked: int
    revocation_unsupported: int
    revocation_unavailable: int
    acknowledged: int
    last_success: Time | None
    first_denial: Time | None


class CountedThings(TypedDict):
    """The number of elements, and the first thousand of them."""

    count: int
    first: list[dict[str, str]]


class StopProof(TypedDict):
    """Whether enforcement points still accept what a revocation has ended."""

    type: Literal["delegraph-stop-proof"]
    revocation: str
    nonce: str
    verdict: Literal["CLOSED", "PARTIAL", "UNKNOWN"]
    began_at: Time
    ended_at: Time
    closure: Literal["CLOSED", "PARTIAL", "UNKNOWN"]
    elements: int
    expired: int
    accepted: CountedThings
    uncovered: CountedThings
    points: list[ProvedPoint]
    recorded_at: Time | None


class SignedProof(TypedDict):
    """The proof, its signature, and the key that verifies it."""

    proof: StopProof
    jws: str
    jwk: dict[str, str]
