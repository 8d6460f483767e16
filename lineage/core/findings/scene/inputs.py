"""The inputs of rules: each kind of statement that facts can contain, with a name for people.

A rule for which no fact has any of its inputs has not passed: it was not evaluated.
"""

from functools import lru_cache
from operator import attrgetter
from typing import Final, NamedTuple

from lineage.core.authority.elements import Element
from lineage.core.authority.world import World
from lineage.core.findings.scene.acts import Act, Decided
from lineage.core.model.events import DelegationGranted, Fact, PrincipalRegistered, TokenIssued

FACT: Final = "fact"
ELEMENT: Final = "grant or token"
DELEGATION: Final = "delegation"
TOKEN: Final = "token"
CHILD: Final = "grant or token that draws on another"
SCOPED_CHILD: Final = "grant or token that states scopes and draws on another"
PLACED_CHILD: Final = "grant or token that states an audience and draws on another"
DERIVED: Final = "token derived from another"
RENEWED: Final = "token that renews or replaces another"
DEPTH: Final = "max_depth of a delegation or max_delegation_depth of a principal"
TASK: Final = "delegation that states its task"
OF_AGENT: Final = "grant or token held by an agent"
SCOPED_OF_AGENT: Final = "grant or token held by an agent that states scopes"
TO_AGENT: Final = "delegation to an agent"
BY_AGENT: Final = "delegation by an agent"
OF_MACHINE: Final = "grant or token held by an agent, a service or a workload"
MACHINE_TOKEN: Final = "token held by an agent, a service or a workload"
APPROVAL: Final = "approved_by of a delegation, a decision, a revocation or a lift"
INSTRUCTED: Final = "delegation that states its instruction_source"
PRIOR_ACTORS: Final = "token that states prior_actors"
LISTED: Final = "token in a status list"
REGISTRATION: Final = "registration"
AGENT: Final = "agent"
SUCCESS: Final = "action that succeeded"
USE: Final = "success under something that was granted"
WIELDED: Final = "action with a known token that states its actor, workload or key"
PRESENTED: Final = "success with a token that states its actor, workload or key"
PLACED: Final = "action with a known token that states its delegation"
ON_BEHALF: Final = "action with a known token that states on_behalf_of"
AT_TOOL: Final = "success under something that was granted that states its tool"
DECIDED: Final = "success that names a known decision"
IN_ENVIRONMENT: Final = "tool or resource with an environment"
ATTEMPT: Final = "decision or action"
ORDER: Final = "revocation"
LIFT: Final = "lift"
ACKNOWLEDGEMENT: Final = "acknowledgement"
RECEIVER: Final = "registered receiver"
RESTATED: Final = "thing that several facts describe"
ROOT: Final = "grant or token that draws on nothing granted"
DRAWING: Final = "grant or token that draws on something granted, or on itself"
REPLAYABLE: Final = "grant or token that is for a single use, or that several facts describe"
UNACTED: Final = "token held by a person, or exchanged by impersonation"
UNGRANTED_USE: Final = "success under nothing that was granted"
UNDECIDED: Final = "success without a known decision"
UNTRUSTED: Final = "action that states its instruction_source"
CLIENT: Final = "client or session of an agent's token"
EXCEPTION: Final = "exception in the settings"

# Of a thing's own values and those of what it draws on (``offering.py``): without them a rule would find nothing.
WIDER: Final = "grant or token with a scope that something it draws on does not hold"
FARTHER: Final = "grant or token with an audience that something it draws on does not have"
LONGER: Final = "grant or token that ends after something it draws on"
TOO_LATE: Final = "grant or token issued after the end of something it draws on"
LOOSE_LINK: Final = "grant or token with a chain that has to be examined"
LONG_LIVED: Final = "grant or token with a distant end, held by a machine"
LASTING: Final = "grant or token that may outlive a long silence, held by a machine"
BROAD: Final = "grant or token with broad or very many scopes, held by an agent"
UNSCOPED: Final = "grant or token without scopes, held by an agent"
UNBOUND: Final = "token without a workload or a key, held by an agent"
MACHINE_ROOT: Final = "grant or token of a machine that draws on nothing granted"
MISFIT: Final = "action that states another actor, workload or key than its token"
EARLY_USE: Final = "success before its authority was valid"
LATE_USE: Final = "success that may be after the end of its authority"

# Of a thing's surroundings (``around.py``), likewise.
MANY_BELOW: Final = "thing that may have very many living elements below it"
ORDERED: Final = "grant or token that an order could end"
FOREIGN: Final = "token of an issuer that sends nothing"
REPLACED: Final = "token that another one replaced"
SHARED: Final = "token used by several parties"
MANY_TOOLS: Final = "token used with many tools"
CROWDED: Final = "grant or token with very many uses or grants below it"
USUALLY_DECIDED: Final = "action of a kind that usually has a decision"
DENIED: Final = "party that was denied something"

MACHINES: Final = frozenset({"agent", "service", "workload"})
_WIELDERS: Final = frozenset({"human", "agent"})
_RENEWING: Final = frozenset({"refresh", "replaced"})
_PARENTS: Final = frozenset({"parent", "delegation", "subject", "refresh", "replaced"})


class Shape(NamedTuple):
    """The properties of a grant or a token on which its inputs depend; many have the same.

    Attributes:
        is_token: Whether it is a token.
        stated: The fields among those that matter that any fact states.
        is_restated: Whether several facts report it.
        is_its_own_parent: Whether it claims to draw on itself.
        holder_kind: The kind of its holder.
        delegator_kind: The kind of its delegator; ``unknown`` for a token.
        granted: The roles of the granted elements that it draws on.
        is_renewal: Whether it renews or replaces a token, granted or not.
    """

    is_token: bool
    stated: tuple[str, ...]
    is_restated: bool
    is_its_own_parent: bool
    holder_kind: str
    delegator_kind: str
    granted: frozenset[str]
    is_renewal: bool


def shape_of(element: Element, holder_kind: str, delegator_kind: str, *, granted: frozenset[str]) -> Shape:
    """Return the shape of a grant or a token."""
    is_token = element.key.startswith("token:")
    fields, values_of = (_OF_TOKEN, _VALUES_OF_TOKEN) if is_token else (_OF_DELEGATION, _VALUES_OF_DELEGATION)
    values = values_of(element.facts[0].event.body)
    if len(element.facts) > 1:
        each = (values_of(fact.event.body) for fact in element.facts)
        values = tuple(any(stated_values) for stated_values in zip(*each, strict=True))
    stated = tuple([field for field, value in zip(fields, values, strict=True) if value])
    if not is_token and element.first("max_depth") is not None:  # it may be 0
        stated += ("max_depth",)
    return Shape(
        is_token,
        stated,
        len(element.facts) > 1,
        element.key in element.parents,
        holder_kind,
        delegator_kind,
        granted,
        not _RENEWING.isdisjoint(role for roles in element.parents.values() for role in roles),
    )


@lru_cache(maxsize=1_024)
def in_element(shape: Shape) -> frozenset[str]:
    """Return the inputs that a grant or a token of a shape offers to rules."""
    is_token, stated, granted, holder_kind = shape.is_token, shape.stated, shape.granted, shape.holder_kind
    found = {ELEMENT, TOKEN if is_token else DELEGATION}
    if granted & _PARENTS:
        found |= {
            CHILD,
            *({SCOPED_CHILD} if "scopes" in stated else ()),
            *({PLACED_CHILD} if "audience" in stated else ()),
        }
    if not granted:
        found.add(ROOT)
    if granted or shape.is_its_own_parent:
        found.add(DRAWING)
    if shape.is_restated:
        found |= {RESTATED, REPLAYABLE}
    if "single_use" in stated:
        found.add(REPLAYABLE)
    if is_token and (holder_kind == "human" or "exchange" in stated):
        found.add(UNACTED)
    if is_token and granted - {"delegation"}:
        found.add(DERIVED)
    if shape.is_renewal:
        found.add(RENEWED)
    if holder_kind == "agent":
        found |= {OF_AGENT, *({SCOPED_OF_AGENT} if "scopes" in stated else ()), *(() if is_token else (TO_AGENT,))}
    if holder_kind in MACHINES:
        found |= {OF_MACHINE, *({MACHINE_TOKEN} if is_token else ())}
    if shape.delegator_kind == "agent":
        found.add(BY_AGENT)
    found |= {_OF_FIELD[field] for field in stated if field in _OF_FIELD}
    if not is_token and "task" in stated:
        found.add(TASK)
    if "max_depth" in stated:
        found.add(DEPTH)
    return frozenset(found)


_OF_FIELD: Final = {
    "approved_by": APPROVAL,
    "instruction_source": INSTRUCTED,
    "prior_actors": PRIOR_ACTORS,
    "status_list": LISTED,
}
_FIELDS: Final = ("scopes", "audience", "task", "single_use", "exchange", *_OF_FIELD)
_OF_TOKEN: Final = tuple(field for field in _FIELDS if field in TokenIssued._fields)
_OF_DELEGATION: Final = tuple(field for field in _FIELDS if field in DelegationGranted._fields)
_VALUES_OF_TOKEN: Final = attrgetter(*_OF_TOKEN)
_VALUES_OF_DELEGATION: Final = attrgetter(*_OF_DELEGATION)


def in_decision(decided: Decided) -> frozenset[str]:
    """Return the inputs that a decision offers to rules."""
    approved = any(getattr(fact.event.body, "approved_by", None) for fact in decided.facts)
    return frozenset((ATTEMPT, *((APPROVAL,) if approved else ()), *((RESTATED,) if len(decided.facts) > 1 else ())))


def in_action(act: Act, *, known_token: bool) -> frozenset[str]:
    """Return the inputs that an action offers to rules; ``known_token`` tells whether its token was granted."""
    return _in_action(
        is_restated=len(act.facts) > 1,
        is_instructed=act.instruction_source is not None,
        is_wielded=known_token and bool(act.actor or act.workload or act.key_thumbprint),
        is_presented=act.token is not None and bool(act.actor or act.workload or act.key_thumbprint),
        is_placed=known_token and bool(act.delegation),
        is_on_behalf=known_token and bool(act.on_behalf_of),
        is_use=act.element is not None or known_token,
        is_granted=act.element is not None,
        is_at_tool=bool(act.tool),
        is_in_environment=act.resource is not None and act.resource.environment is not None,
        is_decided=act.decided is not None,
        succeeded=act.succeeded,
    )


@lru_cache(maxsize=1_024)
def _in_action(
    *,
    is_restated: bool,
    is_instructed: bool,
    is_wielded: bool,
    is_presented: bool,
    is_placed: bool,
    is_on_behalf: bool,
    is_use: bool,
    is_granted: bool,
    is_at_tool: bool,
    is_in_environment: bool,
    is_decided: bool,
    succeeded: bool,
) -> frozenset[str]:
    offered = {
        ATTEMPT: True,
        RESTATED: is_restated,
        UNTRUSTED: is_instructed,
        WIELDED: is_wielded,
        PRESENTED: succeeded and is_presented,
        PLACED: is_placed,
        ON_BEHALF: is_on_behalf,
        SUCCESS: succeeded,
        UNGRANTED_USE: succeeded and not is_granted,
        USE: succeeded and is_use,
        AT_TOOL: succeeded and is_use and is_at_tool,
        IN_ENVIRONMENT: succeeded and is_in_environment,
        UNDECIDED: succeeded and not is_decided,
        DECIDED: succeeded and is_decided,
    }
    return frozenset(one for one, there in offered.items() if there)


def in_world(world: World) -> set[str]:
    """Return the inputs that registrations, revocations and their acknowledgements offer to rules."""
    found = set()
    registrations = world.principals.registrations
    for id_ in registrations:
        found.add(REGISTRATION)
        if any(_limits_depth(fact) for fact in registrations.get(id_)):
            found.add(DEPTH)
        if any(_is_a_placed_tool(fact) for fact in registrations.get(id_)):
            found.add(IN_ENVIRONMENT)
    given: list[Fact] = []
    for what, index in (
        (ORDER, world.orders.by_id),
        (LIFT, world.orders.lifts),
        (ACKNOWLEDGEMENT, world.receivers.acknowledgements),
        (RECEIVER, world.receivers.registrations),
    ):
        facts = [fact for id_ in index for fact in index.get(id_)]
        if facts:
            found.add(what)
            given += facts
    if any(getattr(fact.event.body, "approved_by", None) for fact in given):
        found.add(APPROVAL)
    return found


def _is_a_placed_tool(fact: Fact) -> bool:
    body = fact.event.body
    return isinstance(body, PrincipalRegistered) and body.kind not in _WIELDERS and body.environment is not None


def _limits_depth(fact: Fact) -> bool:
    body = fact.event.body
    return isinstance(body, PrincipalRegistered) and body.max_delegation_depth is not None
