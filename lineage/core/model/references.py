"""The subject of an event and everything it mentions: the index behind every lookup.

Keys are ``KIND:ID`` as ``key_of`` builds them. Pure.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, assert_never

from lineage.core.model.events import (
    ActionPerformed,
    CaseChanged,
    CheckpointKeyRotated,
    DecisionMade,
    DelegationGranted,
    Derivation,
    Event,
    FindingJudged,
    HoldChanged,
    PrincipalRegistered,
    ReceiverRegistered,
    RecordsDeleted,
    RevocationAcknowledged,
    RevocationLifted,
    RevocationOrdered,
    StatusList,
    TokenIssued,
    WorkloadBound,
)
from lineage.core.model.keys import shared_text


class RefRole:
    """The ways in which an event mentions something. The numbers are stored: never reuse one.

    Plain integers instead of an enumeration, because the projection handles several of them for every event.
    """

    DEPENDS: Final = 1  # an element depends on it
    NAMES: Final = 2  # an element names it
    USES: Final = 3  # an action or a decision names it as its authority, or an action its decision
    TARGET: Final = 4  # an order targets it
    ALIAS: Final = 5  # a principal is stated to be an alias of it
    OWNER: Final = 6  # a principal is stated to be owned by it
    BOUND: Final = 7  # an agent and a workload are bound
    PRIOR: Final = 8  # a token asserts it as a prior actor
    MENTIONS: Final = 9  # anything else
    ACTS: Final = 10  # an action names it as its actor
    ASKS: Final = 11  # a decision names it as the requester


_SHARED: Final = 1 << 13  # what as many tokens name or depend on is kept, since very many share it
_NAMES: Final = RefRole.NAMES  # read for every name of every grant

Mention = tuple[int, str, str]
"""One mention in an event: how (a ``RefRole``), the kind (principals and workloads share one), and the id."""


def subject_of(event: Event) -> tuple[str, str]:
    """Return the kind and the id of an event's subject."""
    body = event.body
    match body:
        case TokenIssued():
            return "token", body.token
        case ActionPerformed():
            return "action", body.action
        case DelegationGranted():
            return "delegation", body.delegation
        case DecisionMade():
            return "decision", body.decision
        case PrincipalRegistered():
            return "principal", body.principal
        case WorkloadBound():
            return "principal", body.workload
        case RevocationOrdered() | RevocationLifted() | RevocationAcknowledged():
            return "revocation", body.revocation
        case ReceiverRegistered():
            return "receiver", body.receiver
        case FindingJudged():
            return "finding", body.finding
        case CaseChanged():
            return "case", body.case
        case HoldChanged():
            return "hold", body.hold
        case RecordsDeleted():
            return "deletion", body.deletion
        case CheckpointKeyRotated():
            return "log", body.log
        case _:
            assert_never(body)


def about(event: Event) -> str:
    """Return the key of an event's subject."""
    kind, id_ = subject_of(event)
    return f"{kind}:{id_}"


def names_of(body: TokenIssued | DelegationGranted) -> tuple[str, ...]:
    """Return the keys of everything that a grant names, each once (clause 4.1)."""
    if isinstance(body, DelegationGranted):
        parties = (body.delegator, body.delegatee)
        return tuple(dict.fromkeys(shared_text(f"principal:{party}") for party in parties))
    return _names_of_token(body.subject, body.actor, body.workload, body.session, body.client)


@lru_cache(_SHARED)
def _names_of_token(
    subject: str, actor: str | None, workload: str | None, session: str | None, client: str | None
) -> tuple[str, ...]:
    found = dict.fromkeys(shared_text(f"principal:{id_}") for id_ in (subject, actor, workload) if id_ is not None)
    if session is not None:
        found[shared_text(f"session:{session}")] = None
    if client is not None:
        found[shared_text(f"client:{client}")] = None
    return tuple(found)


def _named(body: TokenIssued | DelegationGranted) -> list[Mention]:
    """Return what a grant names, as mentions."""
    if isinstance(body, DelegationGranted):
        return [(_NAMES, "principal", body.delegator), (_NAMES, "principal", body.delegatee)]
    found: list[Mention] = [(_NAMES, "principal", body.subject)]
    if body.actor is not None:
        found.append((_NAMES, "principal", body.actor))
    if body.workload is not None:
        found.append((_NAMES, "principal", body.workload))
    if body.session is not None:
        found.append((_NAMES, "session", body.session))
    if body.client is not None:
        found.append((_NAMES, "client", body.client))
    return found


def dependencies_of(body: TokenIssued | DelegationGranted) -> list[tuple[str, str]]:
    """Return the (key, role) pairs of everything that a grant depends on (clause 4.1)."""
    if isinstance(body, DelegationGranted):
        return [(f"delegation:{parent}", "parent") for parent in body.parents]
    found = [(f"token:{token}", role) for token, role in body.derived_from]
    if body.delegation is not None:
        found.append((f"delegation:{body.delegation}", "delegation"))
    return found


def parents_of(body: TokenIssued | DelegationGranted) -> Mapping[str, tuple[str, ...]]:
    """Return the key of everything that a grant depends on, with the roles in which it does (clause 4.1)."""
    if isinstance(body, DelegationGranted):
        return _with_roles(body)
    return _parents_of_token(body.derived_from, body.delegation)


@lru_cache(_SHARED)
def _parents_of_token(derived_from: tuple[Derivation, ...], delegation: str | None) -> Mapping[str, tuple[str, ...]]:
    return _with_roles(TokenIssued("", "", derived_from=derived_from, delegation=delegation))


def _with_roles(body: TokenIssued | DelegationGranted) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for key, role in dependencies_of(body):
        known = found.get(key, ())
        if role not in known:
            found[shared_text(key)] = (*known, role)
    return found


def _of_grant(body: TokenIssued | DelegationGranted) -> list[Mention]:
    """Return what a grant names and depends on, as mentions."""
    found = _named(body)
    for key, _ in dependencies_of(body):
        kind, _, id_ = key.partition(":")
        found.append((RefRole.DEPENDS, kind, id_))
    return found


def mentions(event: Event) -> list[Mention]:
    """Return everything that an event mentions besides its subject, and how; may contain repetitions."""
    body = event.body
    match body:
        # Tokens and actions are nearly all events, so this path is taken for every one of them.
        case TokenIssued():
            found = _of_grant(body)
            if body.status_list is not None:
                found.append((RefRole.MENTIONS, *listed(body.status_list)))
            return found + _all(RefRole.PRIOR, "principal", *body.prior_actors) if body.prior_actors else found
        case ActionPerformed():
            found = _authority(body)
            for id_ in acting(body):
                found.append((RefRole.ACTS, "principal", id_))
            if body.decision is not None:
                found.append((RefRole.USES, "decision", body.decision))
            if body.parent_action is not None:
                found.append((RefRole.MENTIONS, "action", body.parent_action))
            if body.actor is not None and body.on_behalf_of is not None:
                found.append((RefRole.MENTIONS, "principal", body.on_behalf_of))
            return found + _all(RefRole.MENTIONS, "principal", *body.prior_actors) if body.prior_actors else found
        case DelegationGranted():
            return _of_grant(body) + _all(RefRole.MENTIONS, "principal", body.approved_by)
        case DecisionMade():
            found = _authority(body) + _all(RefRole.ASKS, "principal", *acting(body))
            behalf = None if body.actor is None else body.on_behalf_of
            return found + _all(RefRole.MENTIONS, "principal", behalf, body.approved_by, *body.prior_actors)
        case PrincipalRegistered():
            return _all(RefRole.ALIAS, "principal", *body.aliases) + _all(RefRole.OWNER, "principal", body.owner)
        case WorkloadBound():
            return _all(RefRole.BOUND, "principal", body.agent, body.workload)
        case RevocationOrdered():
            kind, id_ = body.target
            found = [(RefRole.TARGET, "principal" if kind == "workload" else kind, id_)]
            return found + _all(RefRole.MENTIONS, "principal", body.ordered_by, body.approved_by)
        case RevocationLifted():
            return _all(RefRole.MENTIONS, "principal", body.lifted_by, body.approved_by)
        case RevocationAcknowledged():
            return _all(RefRole.MENTIONS, "receiver", body.receiver) + _all(RefRole.MENTIONS, "token", body.token)
        case ReceiverRegistered():
            return []
        case FindingJudged():
            return _all(RefRole.MENTIONS, "principal", body.by)
        case CaseChanged():
            found = [(RefRole.MENTIONS, kind, id_) for kind, id_ in body.items if kind != "actions"]
            return found + _all(RefRole.MENTIONS, "principal", body.by, body.assignee)
        case HoldChanged():
            found = _all(RefRole.MENTIONS, "principal", body.by, body.principal)
            return found + _all(RefRole.MENTIONS, "case", body.case)
        case RecordsDeleted() | CheckpointKeyRotated():
            return _all(RefRole.MENTIONS, "principal", body.by)
        case _:
            assert_never(body)


def mentions_key(event: Event, key: str) -> bool:
    """Whether an event is about a key or mentions it."""
    return about(event) == key or any(f"{kind}:{id_}" == key for _, kind, id_ in mentions(event))


def acting(body: ActionPerformed | DecisionMade) -> tuple[str, ...]:
    """Return the parties that acted or requested: the actor, else the represented party; and the workload."""
    actor = body.on_behalf_of if body.actor is None else body.actor
    if body.workload is None:
        return () if actor is None else (actor,)
    return (body.workload,) if actor is None else (actor, body.workload)


def listed(place: StatusList) -> tuple[str, str]:
    """Return the kind and the id of a status list entry."""
    return "status_list", f"{place.uri}#{place.idx}"


def _authority(body: ActionPerformed | DecisionMade) -> list[Mention]:
    found: list[Mention] = []
    if body.token is not None:
        found.append((RefRole.USES, "token", body.token))
    if body.delegation is not None:
        found.append((RefRole.USES, "delegation", body.delegation))
    if body.session is not None:
        found.append((RefRole.MENTIONS, "session", body.session))
    return found


def _all(role: int, kind: str, *ids: str | None) -> list[Mention]:
    return [(role, kind, id_) for id_ in ids if id_ is not None]
