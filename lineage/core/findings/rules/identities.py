"""Rules about identities: shared by several agents, unbound, or from an unknown issuer."""

from collections.abc import Iterator
from typing import Final

from lineage.core.authority.receivers import issuer_of
from lineage.core.findings.rules.rule import KEY, NAMED, PRINCIPAL, TOKEN, Rule
from lineage.core.findings.scene import inputs
from lineage.core.findings.scene.entering import issuer_or_source
from lineage.core.findings.scene.scene import Scene
from lineage.core.findings.scene.scopes import claimed, matches
from lineage.core.model.events import Fact, WorkloadBound
from lineage.core.model.finding import CITED, Finding, Severity, finding
from lineage.core.model.sentences import keyed, listed, principal, sentence, thing
from lineage.core.model.times import DAY, NEVER

_MULTIPLE: Final = 2
_Bound = tuple[Fact, WorkloadBound]


def identity_shared(scene: Scene, key: str) -> Iterator[Finding]:
    """Find workloads or keys bound to several agents at once."""
    bound = list(_bindings(scene, key))
    agents: dict[str, list[_Bound]] = {}
    for fact, body in bound:
        agents.setdefault(scene.party(body.agent), []).append((fact, body))
    together = sorted(
        agent
        for agent, own in agents.items()
        if any(_overlap(one, other) for one in own for other in bound if scene.party(other[1].agent) != agent)
    )
    if len(together) >= _MULTIPLE:
        facts = [fact for agent in together for fact, _ in agents[agent]]
        why = sentence("{} is bound to {}", keyed(key), listed(map(principal, together)))
        times = sorted(min(fact.event.occurred_at for fact, _ in agents[agent]) for agent in together)
        yield finding("identity-shared", key, why, facts, at=times[1], last=times[-1], count=len(together))


def _bindings(scene: Scene, key: str) -> Iterator[_Bound]:
    kind, _, id_ = key.partition(":")
    bindings = scene.world.principals.bindings
    names = scene.world.principals.party(id_) if kind == PRINCIPAL else scene.bound_by_key.get(id_, ())
    for name in sorted(names):
        for fact in bindings.get(name):
            body = fact.event.body
            if not isinstance(body, WorkloadBound):
                continue
            if body.key_thumbprint == id_ if kind == KEY else body.workload == name:
                yield fact, body


def _overlap(one: _Bound, other: _Bound) -> bool:
    (first, first_body), (second, second_body) = one, other
    first_ends = NEVER if first_body.expires_at is None else first_body.expires_at
    second_ends = NEVER if second_body.expires_at is None else second_body.expires_at
    return first.event.occurred_at < second_ends and second.event.occurred_at < first_ends


def client_shared(scene: Scene, key: str) -> Iterator[Finding]:
    """Find clients or sessions that use the tokens of several agents."""
    wielders = scene.tally.wielded.get(key)
    if wielders is None or len(wielders.tokens) < scene.options.client_agents:
        return
    count, facts = len(wielders.tokens), wielders.facts
    why = sentence("{} wields tokens of {} agents: {}", keyed(key), count, listed(map(principal, wielders.named)))
    why += ", …" if count > len(wielders.named) else ""
    first, last = facts[0].event.occurred_at, facts[-1].event.occurred_at
    yield finding("client-shared", key, why, facts[:CITED], at=first, last=last, count=count)


def unbound_credential(scene: Scene, key: str) -> Iterator[Finding]:
    """Find bearer tokens of agents from issuers that bind other tokens to a key or a workload."""
    element = scene.element(key)
    holder = scene.holder(key)
    if element is None or holder is None or scene.kind(holder) != "agent":
        return
    if element.first("workload") is not None or element.first("key_thumbprint") is not None:
        return
    issuer = issuer_or_source(element)
    if issuer in scene.tally.binding_issuers:
        sensitive = any(matches(scene.options.sensitive, scope) for scope in claimed(element))
        why = sentence(
            "{} is bound to no key and no workload; {} binds other tokens", keyed(key), thing("source", issuer)
        )
        severity = Severity.LOW if sensitive else None
        yield finding("unbound-credential", key, why, element.facts, at=element.issued_at, severity=severity)


def unknown_issuer(scene: Scene, key: str) -> Iterator[Finding]:
    """Find tokens of issuers that send nothing and are not covered by a receiver or the trust table."""
    element = scene.element(key)
    issuer = issuer_of(element.id) if element else None
    if element is None or issuer is None or _is_covered(scene, issuer):
        return
    if _is_old(scene, issuer):
        return
    why = sentence(
        "nobody knows {}, the issuer of {}: it sends nothing, and no receiver and no trust entry covers it",
        thing("source", issuer),
        keyed(key),
    )
    yield finding("unknown-issuer", key, why, element.facts, at=element.issued_at, about=issuer)


def _is_covered(scene: Scene, issuer: str) -> bool:
    if issuer in scene.tally.sources or issuer in scene.known_issuers:
        return True
    return any(prefix and f"{issuer}#".startswith(prefix) for prefix in scene.intake.known_prefixes)


def _is_old(scene: Scene, issuer: str) -> bool:
    """Whether an issuer was seen before the last days that count as recent."""
    first = scene.tally.issuers.get(issuer)
    return first is not None and first <= scene.at - scene.options.issuer_age


def no_known_issuer(scene: Scene) -> str | None:
    """Explain why unknown issuers cannot be recognised."""
    if any(_is_covered(scene, issuer) or _is_old(scene, issuer) for issuer in scene.tally.issuers):
        return None
    days = scene.options.issuer_age // DAY
    return (
        "no source, receiver or trust entry is named as the issuer of any token is, and none was seen before the last "
        f"{days} days, so none is known"
    )


def no_bindings(scene: Scene) -> str | None:
    """Explain why rules about bindings cannot be evaluated."""
    return None if len(scene.world.principals.bindings) else "nobody sends workload.bound"


def no_bound_tokens(scene: Scene) -> str | None:
    """Explain why unbound tokens cannot be recognised."""
    return None if scene.tally.binding_issuers else "no issuer binds any token to a key or a workload"


RULES: Final = (
    Rule(
        kind="identity-shared",
        severity=Severity.MEDIUM,
        title="One identity for several agents",
        of=(PRINCIPAL, KEY),
        check=identity_shared,
        needs="bindings of workloads",
        maps_to=("NHI9", "M Agent Impersonation", "MEASURE 2.8"),
        fix="Give each agent its own workload and key.",
        missing=no_bindings,
        wide=True,
    ),
    Rule(
        kind="client-shared",
        severity=Severity.LOW,
        title="One client for several agents",
        of=(NAMED,),
        check=client_shared,
        needs="clients and sessions of tokens",
        looks_at=(inputs.CLIENT,),
        settings=("client_agents",),
        maps_to=("NHI9", "GOVERN 2.1"),
        fix="Register a client for each agent; make an exception for platforms that have one client for all.",
        wide=True,
    ),
    Rule(
        kind="unbound-credential",
        severity=Severity.INFORMATIONAL,
        title="A bearer token where others are bound",
        of=(TOKEN,),
        check=unbound_credential,
        needs="key_thumbprint or workload of tokens",
        looks_at=(inputs.OF_AGENT,),
        settings=("sensitive",),
        maps_to=("NHI4", "ASI03", "T0055"),
        fix="Bind it to the agent's key or workload, so that nobody else can use it.",
        missing=no_bound_tokens,
        wide=True,
    ),
    Rule(
        kind="unknown-issuer",
        severity=Severity.MEDIUM,
        title="A token of an issuer nobody knows",
        of=(TOKEN,),
        check=unknown_issuer,
        needs="sources, receivers or trust entries named as issuers are",
        looks_at=(inputs.TOKEN,),
        settings=("issuer_age_days",),
        maps_to=("NHI3", "ASI04", "GOVERN 6.1", "M Compromised Agent Registry"),
        fix="Find out who issues these; add the issuer to the trust file, or refuse its tokens.",
        missing=no_known_issuer,
        wide=True,
    ),
)
