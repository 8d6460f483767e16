"""Rules about when, by whom and on whose instruction authority is delegated."""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from lineage.core.authority.elements import Element
from lineage.core.findings.rules import consistency, widening
from lineage.core.findings.rules.rule import DECISION, DELEGATION, REVOCATION, TOKEN, Rule
from lineage.core.findings.rules.widening import facts_of
from lineage.core.findings.scene import inputs
from lineage.core.findings.scene.acts import SAID_BY, UNTRUSTED
from lineage.core.findings.scene.entering import grant_alike
from lineage.core.findings.scene.scene import Scene
from lineage.core.findings.scene.scopes import claimed, contains, first_stated, lacking, matches
from lineage.core.model.events import DecisionMade, DelegationGranted, Fact, RevocationLifted, RevocationOrdered
from lineage.core.model.finding import Finding, Severity, finding
from lineage.core.model.sentences import keyed, listed, moment, principal, sentence, thing
from lineage.core.revocation.late_uses import in_force_at


def granted_after_expiry(scene: Scene, key: str) -> Iterator[Finding]:
    """Find grants issued after the end of an element that they draw on.

    A replaced token may have ended when its successor is issued.
    """
    element = scene.element(key)
    if element is None:
        return
    ended = {scene.end(parent) for parent in scene.granted_parents(element, "parent", "delegation", "subject")}
    ended |= {scene.end(parent) for parent in scene.granted_parents(element, "refresh", "actor")}
    issued_at = scene.issued_at_least(element)
    for end in sorted(ended):
        if issued_at >= end.at + scene.options.leeway:
            why = sentence(
                "{} was issued at {}, after {}, on which it draws, had ended at {}",
                keyed(key),
                moment(issued_at),
                keyed(end.key),
                moment(end.at),
            )
            facts = facts_of(scene, key, end.key)
            yield finding("granted-after-expiry", key, why, facts, at=issued_at, about=end.key)


def granted_after_revocation(scene: Scene, key: str) -> Iterator[Finding]:
    """Find grants issued while an order already ended them: never valid. Severe if the source could have known."""
    element = scene.element(key)
    if element is None:
        return
    issued_at = element.issued_at
    orders = [order for order in scene.ending(key, issued_at) if not order.suspends and order.given_at <= issued_at]
    if not orders:
        return
    order = min(orders, key=in_force_at)
    known = order.fact.recorded_at <= issued_at
    revocation = order.body.revocation
    why = sentence(
        "{} was issued at {}, after {} had ended {}: never valid; ",
        keyed(key),
        moment(issued_at),
        thing("revocation", revocation),
        keyed(order.key),
    )
    why += sentence("the order was recorded at {}", moment(order.fact.recorded_at))
    why += "" if known else ", and its source could not know of it yet"
    yield finding(
        "granted-after-revocation",
        key,
        why,
        (*element.facts, order.fact),
        at=issued_at,
        severity=None if known else Severity.MEDIUM,
    )


def renewal_widened(scene: Scene, key: str) -> Iterator[Finding]:
    """Find renewals with more scopes or a longer life that no person approved."""
    element = scene.element(key)
    if element is None or element.first("task") is None or _approved_by_a_person(scene, element):
        return
    alike = scene.tally.renewals.get(grant_alike(scene, element), [])
    place = bisect_left(alike, (element.issued_at, key))
    earlier = scene.element(alike[place - 1][1]) if place else None
    if earlier is None:
        return
    more = lacking(first_stated(earlier.facts), claimed(element), scene.options)
    longer = element.ends_at - element.issued_at > earlier.ends_at - earlier.issued_at + scene.options.leeway
    if more or longer:
        what = f"also gives {', '.join(more)}" if more else "lasts longer"
        why = sentence("{} renews {} for the same task, and {}", keyed(key), keyed(earlier.key), what)
        facts = facts_of(scene, earlier.key, key)
        yield finding("renewal-widened", key, why, facts, at=element.issued_at, about=earlier.key)


def ungrounded_delegation(scene: Scene, key: str) -> Iterator[Finding]:
    """Find agents that delegate what they never received."""
    element = scene.element(key)
    if element is None or scene.granted_parents(element, "parent"):
        return
    delegator = str(element.first("delegator"))
    if scene.kind(delegator) != "agent":
        return
    claims = claimed(element)
    for held, issued_at in scene.tally.granted.get(scene.party(delegator), {}).items():
        if issued_at <= element.issued_at + scene.options.leeway and (
            held is None or all(contains(held, scope, scene.options) is not False for scope in claims)
        ):
            return
    what = ", ".join(sorted(claims)) or "authority"
    why = sentence(
        "{} delegated {} by {}, which has no parent, and had not received that from anybody",
        principal(delegator),
        what,
        keyed(key),
    )
    facts = (*element.facts, *scene.world.principals.facts_of(delegator))
    yield finding("ungrounded-delegation", key, why, facts, at=element.issued_at, about=f"principal:{delegator}")


_PARTS: Final = {
    "delegator": "granted it",
    "delegatee": "received it",
    "actor": "requested it",
    "ordered_by": "ordered it",
    "lifted_by": "lifted it",
}


def self_approval(scene: Scene, key: str) -> Iterator[Finding]:
    """Find parties that approve what they request, give, receive or order themselves."""
    for fact, roles in _approved(scene, key):
        approver = fact.event.body.approved_by  # type: ignore[union-attr]
        for role, party in roles.items():
            if approver is not None and party is not None and scene.runner(approver) == scene.runner(party):
                as_known = "" if approver == party else sentence(", the same party as {},", principal(party))
                why = sentence("{}{} approved {} and {}", principal(approver), as_known, keyed(key), _PARTS[role])
                order = isinstance(fact.event.body, RevocationOrdered | RevocationLifted)
                severe = order or _is_sensitive(scene, key)
                yield finding(
                    "self-approval",
                    key,
                    why,
                    (fact,),
                    at=fact.given_at,
                    about=role,
                    severity=Severity.HIGH if severe else None,
                )


def _approved(scene: Scene, key: str) -> Iterator[tuple[Fact, dict[str, str | None]]]:
    """Yield each fact about a request that can be approved, with the parties involved."""
    kind, _, id_ = key.partition(":")
    orders = scene.world.orders
    facts = (
        (*orders.by_id.get(id_), *orders.lifts.get(id_))
        if kind == REVOCATION
        else scene.world.decisions.get(id_)
        if kind == DECISION
        else scene.world.graph.facts.get(key)
    )
    for fact in facts:
        match fact.event.body:
            case DelegationGranted() as body:
                yield fact, {"delegator": body.delegator, "delegatee": body.delegatee}
            case DecisionMade():
                decided = scene.decided(key)
                yield fact, {"actor": scene.asker(decided) if decided is not None else None}
            case RevocationOrdered() as body:
                yield fact, {"ordered_by": body.ordered_by}
            case RevocationLifted() as body:
                yield fact, {"lifted_by": body.lifted_by}


def _is_sensitive(scene: Scene, key: str) -> bool:
    """Whether any claimed scope, or the operation decided on, is sensitive by the settings."""
    element = scene.element(key)
    words = claimed(element) if element else frozenset()
    if key.startswith("decision:") and (decided := scene.decided(key)) is not None:
        words |= decided.required_scopes | {decided.operation}
    return any(matches(scene.options.sensitive, word) for word in words)


def unapproved_delegation(scene: Scene, key: str) -> Iterator[Finding]:
    """Find delegations of sensitive scopes without a person's approval here or above."""
    element = scene.element(key)
    if element is None:
        return
    sensitive = sorted(scope for scope in claimed(element) if matches(scene.options.sensitive, scope))
    if not sensitive:
        return
    for other in scene.world.graph.above(key):
        above = scene.element(other)
        if above is not None and other.startswith("delegation:") and _approved_by_a_person(scene, above):
            return
    why = sentence("{} delegates {}, and no person approved that, here or above", keyed(key), ", ".join(sensitive))
    yield finding("unapproved-delegation", key, why, element.facts, at=element.issued_at)


def _approved_by_a_person(scene: Scene, element: Element) -> bool:
    approver = element.first("approved_by")
    return approver is not None and scene.kind(approver) == "human"


def delegation_from_untrusted_instruction(scene: Scene, key: str) -> Iterator[Finding]:
    """Find delegations caused by something an agent read, which alone is not suspicious."""
    element = scene.element(key)
    word = element.first("instruction_source") if element else None
    if element is None or word not in UNTRUSTED:
        return
    other = [
        one
        for rule in _TOGETHER_WITH
        if scene.whole or not rule.wide
        for one in rule.check(scene, key)
        if one.of == key and (one.severity or rule.severity) > Severity.INFORMATIONAL
    ]
    delegator, delegatee = scene.party(element.first("delegator")), scene.party(element.first("delegatee"))
    new = scene.tally.pairs.get(delegator, {}).get(delegatee, element.issued_at) >= element.issued_at
    reasons: list[str] = sorted({one.kind for one in other})
    if _is_sensitive(scene, key):
        reasons.append("sensitive scopes")
    giver, receiver = principal(element.first("delegator")), principal(element.first("delegatee"))
    why = sentence("{} delegated to {} ({}) because of {}", giver, receiver, keyed(key), SAID_BY[word])
    why += ", for the first time" if new else ""
    why += sentence("; also found: {}", listed(reasons)) if reasons else ""
    reasons += ["new"] if new else []
    yield finding(
        "delegation-from-untrusted-instruction",
        key,
        why,
        (*element.facts, *(fact for one in other for fact in one.facts)),
        at=element.issued_at,
        severity=None if reasons else Severity.INFORMATIONAL,
        caused_by=[one.id for one in other],
    )


def no_sensitive(scene: Scene) -> str | None:
    """Explain why rules about sensitive scopes cannot be evaluated."""
    return None if scene.options.sensitive else "the setting 'sensitive' names no scopes"


_OF_GRANTS: Final = (DELEGATION, TOKEN)
RULES: Final = (
    Rule(
        kind="granted-after-expiry",
        severity=Severity.HIGH,
        title="Issued after what it draws on had ended",
        of=_OF_GRANTS,
        check=granted_after_expiry,
        needs="expires_at of delegations and tokens",
        looks_at=(inputs.CHILD,),
        settings=("leeway_seconds",),
        maps_to=("ASI03", "NHI1", "NHI7"),
        fix="Revoke it, and let its issuer check the parents of a grant at the time of issue.",
    ),
    Rule(
        kind="granted-after-revocation",
        severity=Severity.HIGH,
        title="Issued after revocation: never valid",
        of=_OF_GRANTS,
        check=granted_after_revocation,
        needs="orders",
        looks_at=(inputs.ELEMENT, inputs.ORDER),
        maps_to=("ASI03", "ASI10", "NHI1", "M Privilege Escalation", "T0091.000", "MANAGE 2.4"),
        fix="Make the issuer follow the revocations, and look for uses of the tokens that it has issued since.",
    ),
    Rule(
        kind="renewal-widened",
        severity=Severity.LOW,
        title="Renewed with more than before",
        of=(DELEGATION,),
        check=renewal_widened,
        needs="tasks of delegations",
        looks_at=(inputs.TASK,),
        maps_to=("ASI03", "NHI5"),
        fix="Find out who requested more; have a person approve it, or issue it again as it was.",
        wide=True,
    ),
    Rule(
        kind="ungrounded-delegation",
        severity=Severity.MEDIUM,
        title="An agent hands on what nobody gave it",
        of=(DELEGATION,),
        check=ungrounded_delegation,
        needs="what was granted to agents",
        looks_at=(inputs.BY_AGENT,),
        settings=("leeway_seconds",),
        maps_to=("ASI03", "ASI10", "M Agent Identity Attack", "GOVERN 2.1"),
        fix="Revoke it, or record where this agent's authority comes from; except agents that have their own.",
        wide=True,
    ),
    Rule(
        kind="self-approval",
        severity=Severity.MEDIUM,
        title="Approved by the one who asks for it",
        of=(DELEGATION, DECISION, REVOCATION),
        check=self_approval,
        needs="approved_by",
        looks_at=(inputs.APPROVAL,),
        settings=("sensitive",),
        maps_to=("ASI09", "NHI10", "GOVERN 3.2", "MAP 3.5", "M0029"),
        fix="Have another person review it, and refuse approvals of one's own requests.",
    ),
    Rule(
        kind="unapproved-delegation",
        severity=Severity.MEDIUM,
        title="Sensitive scopes without a person's approval",
        of=(DELEGATION,),
        check=unapproved_delegation,
        needs="approved_by of delegations",
        looks_at=(inputs.DELEGATION,),
        settings=("sensitive",),
        maps_to=("ASI09", "ASI02", "MAP 3.5", "M0029"),
        fix="Have a person approve it, or revoke it.",
        missing=no_sensitive,
    ),
    Rule(
        kind="delegation-from-untrusted-instruction",
        severity=Severity.HIGH,
        title="Handed on because of what an agent read",
        of=(DELEGATION,),
        check=delegation_from_untrusted_instruction,
        needs="instruction_source of delegations",
        looks_at=(inputs.INSTRUCTED,),
        settings=("sensitive",),
        maps_to=("ASI01", "ASI06", "T0051.001", "T0080", "M Agent Goal Manipulation", "M0030"),
        fix="Suspend the delegation until a person has seen what was read; then revoke it or approve it.",
    ),
)
_TOGETHER_WITH: Final = (
    *widening.RULES,
    *(rule for rule in RULES if rule.kind != "delegation-from-untrusted-instruction" and DELEGATION in rule.of),
    *(rule for rule in consistency.RULES if rule.kind in ("chain-mismatch", "cycle")),
)
