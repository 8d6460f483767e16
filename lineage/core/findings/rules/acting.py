"""Rules about who acts: on whose instruction, in whose name, with whose credential, in which environment."""

from collections.abc import Iterator
from typing import Final

from lineage.core.authority.elements import last_stated
from lineage.core.findings.rules import using
from lineage.core.findings.rules.rule import ACTION, TOKEN, Rule
from lineage.core.findings.rules.using import success
from lineage.core.findings.rules.widening import facts_of
from lineage.core.findings.scene import inputs
from lineage.core.findings.scene.acts import SAID_BY, UNTRUSTED, Act
from lineage.core.findings.scene.scene import Scene
from lineage.core.findings.scene.scopes import matches
from lineage.core.model.events import Fact
from lineage.core.model.finding import Finding, Severity, finding
from lineage.core.model.sentences import keyed, listed, principal, sentence, thing

_MACHINES: Final = frozenset({"agent", "service", "workload"})
_ENVIRONMENTS: Final = {"prod": "production", "dev": "development", "stage": "staging"}


def action_from_untrusted_instruction(scene: Scene, key: str) -> Iterator[Finding]:
    """Find actions caused by something an agent read, which alone is not suspicious."""
    act = success(scene, key)
    if act is None or act.instruction_source not in UNTRUSTED:
        return
    outside = list(using.action_outside_scope(scene, key))
    reasons = ["beyond the scopes of its authority"] if outside else []
    if any(matches(scene.options.sensitive, word) for word in {act.operation} | (scene.needed(act) or set())):
        reasons.append("a sensitive operation")
    if _is_new(scene, act):
        reasons.append(f"the agent's first {act.operation}")
    why = sentence("{} because of {}", using.done(act), SAID_BY[act.instruction_source])
    why += f"; this is {', and '.join(reasons)}" if reasons else ""
    parent = scene.world.actions.get(act.parent_action) if act.parent_action is not None else ()
    yield finding(
        "action-from-untrusted-instruction",
        key,
        why,
        (*act.facts, *parent),
        at=act.occurred_at,
        severity=None if reasons else Severity.INFORMATIONAL,
        caused_by=[one.id for one in outside],
    )


def _is_new(scene: Scene, act: Act) -> bool:
    """Whether an agent with enough history does something for the first time.

    What it does on the result of a child, within its scopes, is normal also for the first time.
    """
    actor = scene.actor(act)
    if actor is None or scene.kind(actor) != "agent":
        return False
    if act.instruction_source == "child_result" and _is_within_scopes(scene, act):
        return False
    party = scene.party(actor)
    before = [at for at in scene.tally.successes.get(party, ()) if at < act.occurred_at]
    first = scene.tally.operations.get(party, {}).get(act.operation)
    return len(before) >= scene.options.history and first is not None and first >= act.occurred_at


def _is_within_scopes(scene: Scene, act: Act) -> bool:
    """Whether an action certainly needed nothing but what its authority effectively allows."""
    needed = scene.needed(act)
    if act.element is None or not needed:
        return False
    return all(scene.allows(act.element.key, scope) for scope in needed)


def impersonating_exchange(scene: Scene, key: str) -> Iterator[Finding]:
    """Find tokens that do not name the agent using them, so that an audit of them only finds the human."""
    element = scene.element(key)
    if element is None:
        return
    subject = str(element.first("subject"))
    if element.first("exchange") == "impersonation":
        why = sentence(
            "{} acts for {} and names no actor: it was exchanged by impersonation", keyed(key), principal(subject)
        )
        yield finding("impersonating-exchange", key, why, element.facts, at=element.issued_at)
        return
    if scene.kind(subject) != "human" or scene.holder(key) != subject:
        return
    client = element.first("client")
    if client is not None and scene.kind(client) == "agent":
        why = sentence(
            "{} acts for {} and names no actor, and was issued to {}, which is an agent",
            keyed(key),
            principal(subject),
            thing("client", client),
        )
        yield finding("impersonating-exchange", key, why, element.facts, at=element.issued_at)
        return
    used = scene.tally.used.get(key)
    hands = {**used.workloads, **used.actors} if used else {}
    agents = sorted(party for party in hands if scene.kind(party) == "agent")
    if agents:
        sample = hands[agents[0]]
        why = sentence(
            "{} acts for {} and names no actor, and was used by {}",
            keyed(key),
            principal(subject),
            listed(map(principal, agents)),
        )
        facts = (*element.facts, sample.fact)
        yield finding("impersonating-exchange", key, why, facts, at=sample.first, last=sample.last)


def human_uses_agent_credential(scene: Scene, key: str) -> Iterator[Finding]:
    """Find people who act with the credential of an agent, a service or a workload."""
    act = success(scene, key)
    if act is None or act.token is None or act.actor is None or scene.kind(act.actor) != "human":
        return
    holder = scene.holder(act.token)
    if holder is None or scene.kind(holder) not in _MACHINES:
        return
    approvers = [getattr(fact.event.body, "approved_by", None) for fact in act.decided.facts] if act.decided else []
    if any(approver is not None and scene.kind(approver) == "human" for approver in approvers):
        return
    why = sentence(
        "{}, a person, did {} ({}) with {}, which belongs to {}",
        principal(act.actor),
        act.operation,
        keyed(key),
        keyed(act.token),
        principal(holder),
    )
    facts = (*act.facts, *facts_of(scene, act.token))
    yield finding("human-uses-agent-credential", key, why, facts, at=act.occurred_at, about=act.token)


def environment_crossed(scene: Scene, key: str) -> Iterator[Finding]:
    """Find agents that act on a tool or a resource of another environment."""
    act = success(scene, key)
    actor = scene.actor(act) if act else None
    if act is None or actor is None:
        return
    own, registered = _environment_of(scene, actor)
    there, facts = _environment_of(scene, act.tool or "")
    if there is None and act.tool is not None:
        there, facts = _environment_of(scene, f"service:{act.tool}")
    if act.resource is not None and act.resource.environment is not None:
        there, facts = act.resource.environment, ()
    if own is None or there is None or _plain(own) == _plain(there):
        return
    named = (
        ("tool", str(act.tool))
        if act.resource is None or act.resource.environment is None
        else ("resource", act.resource.id)
    )
    why = sentence(
        "{} belongs to {} and did {} ({}) to {}, which belongs to {}",
        principal(actor),
        own,
        act.operation,
        keyed(key),
        thing(*named),
        there,
    )
    cited = (*act.facts, *registered, *facts)
    yield finding("environment-crossed", key, why, cited, at=act.occurred_at, about=f"principal:{actor}")


def _environment_of(scene: Scene, id_: str) -> tuple[str | None, tuple[Fact, ...]]:
    stated = last_stated(scene.world.principals.facts_of(id_), "environment") if id_ else None
    return (str(stated.value), (stated.fact,)) if stated else (None, ())


def _plain(environment: str) -> str:
    word = environment.casefold()
    return _ENVIRONMENTS.get(word, word)


def no_instructions(scene: Scene) -> str | None:
    """Explain why the rule about instructions cannot be evaluated."""
    return None if scene.tally.instructions else "no action states its instruction_source"


def no_environments(scene: Scene) -> str | None:
    """Explain why the rule about environments cannot be evaluated."""
    registrations = scene.world.principals.registrations
    if any(getattr(fact.event.body, "environment", None) for id_ in registrations for fact in registrations.get(id_)):
        return None
    return "nobody registers principals with an environment"


RULES: Final = (
    Rule(
        kind="action-from-untrusted-instruction",
        severity=Severity.HIGH,
        title="Done because of what an agent read",
        of=(ACTION,),
        check=action_from_untrusted_instruction,
        needs="instruction_source of actions",
        looks_at=(inputs.SUCCESS,),
        settings=("sensitive", "history"),
        maps_to=("ASI01", "ASI06", "T0051.001", "T0053", "T0086", "M Agent Goal Manipulation", "M0030"),
        fix="Read what the agent had read; suspend the agent if that text gave it instructions.",
        missing=no_instructions,
    ),
    Rule(
        kind="impersonating-exchange",
        severity=Severity.MEDIUM,
        title="A token that hides who uses it",
        of=(TOKEN,),
        check=impersonating_exchange,
        needs="exchange and actors of tokens",
        looks_at=(inputs.TOKEN,),
        maps_to=("ASI03", "ASI09", "NHI10", "T0073", "M Repudiation", "MEASURE 2.8"),
        fix="Let the issuer exchange by delegation, with the agent as actor.",
    ),
    Rule(
        kind="human-uses-agent-credential",
        severity=Severity.MEDIUM,
        title="A person uses an agent's credential",
        of=(ACTION,),
        check=human_uses_agent_credential,
        needs="actors of actions",
        looks_at=(inputs.WIELDED,),
        maps_to=("NHI10", "GOVERN 3.2"),
        fix="Give the person a separate credential, and revoke the one that was passed on.",
    ),
    Rule(
        kind="environment-crossed",
        severity=Severity.HIGH,
        title="Acts in another environment",
        of=(ACTION,),
        check=environment_crossed,
        needs="environments of principals, and of tools or resources",
        looks_at=(inputs.SUCCESS, inputs.IN_ENVIRONMENT),
        maps_to=("NHI8", "ASI03", "M Lateral Movement"),
        fix="Revoke what the agent holds for the other environment.",
        missing=no_environments,
    ),
)
