"""Posture rules about grants and tokens: too long, too wide, unused, without a responsible person."""

from collections.abc import Iterator
from typing import Final

from lineage.core.authority.elements import Element
from lineage.core.findings.rules.rule import DELEGATION, TOKEN, Rule
from lineage.core.findings.rules.using import no_needed_scopes
from lineage.core.findings.scene import inputs
from lineage.core.findings.scene.scene import Scene
from lineage.core.findings.scene.scopes import claimed, is_wildcard, matches
from lineage.core.model.finding import Finding, Severity, finding
from lineage.core.model.sentences import keyed, moment, principal, sentence
from lineage.core.model.times import DAY, HOUR, NEVER, Instant

_MACHINES: Final = frozenset({"agent", "service", "workload"})


def long_lived_credential(scene: Scene, key: str) -> Iterator[Finding]:
    """Find machine tokens without an end, or with a distant one, that were not revoked."""
    element, holder = scene.element(key), scene.holder(key)
    if element is None or holder is None or scene.kind(holder) not in _MACHINES:
        return
    refresh = "refresh" in str(element.first("token_type")).casefold()
    most = scene.options.refresh_life if refresh else scene.options.token_life
    life = element.ends_at - element.issued_at
    if (element.ends_at == NEVER or life > most) and not scene.is_revoked(key):
        endless = element.ends_at == NEVER
        sensitive = any(matches(scene.options.sensitive, scope) for scope in claimed(element))
        why = sentence("{}, held by {}, ", keyed(key), principal(holder))
        why += "never expires" if endless else f"is valid for {life / HOUR:.0f} h, more than {most / HOUR:.0f} h"
        severity = Severity.HIGH if endless and sensitive else None
        yield finding("long-lived-credential", key, why, element.facts, at=element.issued_at, severity=severity)


def standing_access(scene: Scene, key: str) -> Iterator[Finding]:
    """Find delegations to agents without an end, or with a distant one, that were not revoked."""
    element = scene.element(key)
    if element is None or scene.kind(str(element.first("delegatee"))) != "agent":
        return
    life = element.ends_at - element.issued_at
    if (element.ends_at == NEVER or life > scene.options.delegation_life) and not scene.is_revoked(key):
        why = sentence("{} to {} ", keyed(key), principal(element.first("delegatee")))
        most = scene.options.delegation_life
        why += (
            "never expires" if element.ends_at == NEVER else f"lasts {life / DAY:.0f} days, more than {most / DAY:.0f}"
        )
        yield finding("standing-access", key, why, element.facts, at=element.issued_at)


def broad_scope(scene: Scene, key: str) -> Iterator[Finding]:
    """Find wildcards, scopes that the settings call broad, or very many scopes, held by an agent."""
    element, holder = scene.element(key), scene.holder(key)
    if element is None or holder is None or not scene.is_of_an_agent(key):
        return
    scopes = claimed(element)
    wide = sorted(scope for scope in scopes if (is_wildcard(scope) or scope in scene.options.broad)) if scopes else []
    many = len(scopes) > scene.options.scopes
    if wide or many:
        above = scene.scopes_reported_above(element)
        wide = [scope for scope in wide if scope not in above]
        many = many and not scopes <= above
    if wide or many:
        what = f"broad scopes: {', '.join(wide)}" if wide else f"{len(scopes)} scopes"
        why = sentence("{} gives {} {}", keyed(key), principal(holder), what)
        yield finding("broad-scope", key, why, element.facts, at=element.issued_at)


def scope_unstated(scene: Scene, key: str) -> Iterator[Finding]:
    """Find grants or tokens of agents for which neither they nor the elements above them state scopes."""
    element, holder = scene.element(key), scene.holder(key)
    if element is None or holder is None or scene.kind(holder) != "agent" or scene.scopes.held(key) is not None:
        return
    above = [parent for parent in scene.scopes.sources(key) if scene.is_of_an_agent(parent)]
    if any(scene.scopes.held(parent) is None for parent in above):
        return  # reported for the element above
    why = sentence(
        "{} states no scopes, and nothing above it does: what {} may do with it is not known",
        keyed(key),
        principal(holder),
    )
    yield finding("scope-unstated", key, why, element.facts, at=element.issued_at)


def unused_access(scene: Scene, key: str) -> Iterator[Finding]:
    """Find scopes of living grants that nothing done under them has needed for long."""
    element = scene.element(key)
    if element is None or element.issued_at > scene.at - scene.options.unused or not scene.is_alive(key):
        return
    needs = scene.needs_below(key)
    scopes = claimed(element)
    if not needs.known or not needs.last or not scopes:
        return
    since = scene.at - scene.options.unused
    unused = sorted(
        scope
        for scope in scopes
        if not any(at > since and (need == scope or is_wildcard(scope)) for need, at in needs.last.items())
    )
    if unused:
        days = scene.options.unused // DAY
        why = sentence(
            "{} {} of {} {} not needed in the last {} days",
            "the scope" if len(unused) == 1 else "the scopes",
            ", ".join(unused),
            keyed(key),
            "was" if len(unused) == 1 else "were",
            days,
        )
        yield finding("unused-access", key, why, element.facts, at=element.issued_at, count=len(unused))


def dormant_but_alive(scene: Scene, key: str) -> Iterator[Finding]:
    """Find elements that stay alive for long and have not been used for long."""
    element, holder = scene.element(key), scene.holder(key)
    if element is None or holder is None or not _is_dormant(scene, key):
        return
    if any(_is_dormant(scene, parent) for parent in scene.scopes.sources(key)):
        return  # reported for the element above
    idle_since, end = _idle_since(scene, element), scene.end(key).at
    days = (scene.at - idle_since) // DAY
    ends = "has no end" if end == NEVER else sentence("ends at {}", moment(end))
    why = sentence("{}, held by {}, was not used for {} days and {}", keyed(key), principal(holder), days, ends)
    yield finding("dormant-but-alive", key, why, element.facts, at=idle_since)


def _is_dormant(scene: Scene, key: str) -> bool:
    """Whether a machine holds an element that is alive, was not used for long, and does not end soon."""
    element, holder = scene.element(key), scene.holder(key)
    if element is None or holder is None or scene.kind(holder) not in _MACHINES:
        return False
    if _idle_since(scene, element) > scene.at - scene.options.dormant or not scene.is_alive(key):
        return False
    return scene.end(key).at > scene.at + scene.options.dormant_left


def _idle_since(scene: Scene, element: Element) -> Instant:
    return max(element.issued_at, scene.last_activity(element.key))


def no_human_root(scene: Scene, key: str) -> Iterator[Finding]:
    """Find living authority that begins neither with a human nor with a party owned by one."""
    element = scene.element(key)
    if element is None or scene.any_granted_parent(element):
        return
    root = str(element.first("subject") or element.first("delegator"))
    if scene.kind(root) not in _MACHINES:
        return
    owner = scene.world.principals.owner(root)
    if (owner is not None and scene.kind(owner.value) == "human") or not scene.is_anything_alive_below(key):
        return
    why = sentence("living authority begins with {}, which is neither a human nor owned by one", principal(root))
    facts = (*element.facts, *scene.world.principals.facts_of(root))
    yield finding("no-human-root", f"principal:{scene.party(root)}", why, facts, at=element.issued_at)


def revocation_unreachable(scene: Scene, key: str) -> Iterator[Finding]:
    """Find living elements whose revocation no receiver would enforce."""
    element = scene.element(key)
    kind = key.partition(":")[0]
    receivers = scene.world.receivers.registered()
    if element is None or not any(not one.kinds or kind in one.kinds for one in receivers):
        return
    if scene.is_alive(key) and not scene.coverage.of(key, element):
        why = sentence(
            "{} is alive, and no registered receiver covers it: nobody would enforce that it is revoked", keyed(key)
        )
        yield finding("revocation-unreachable", key, why, element.facts, at=element.issued_at)


def no_receivers(scene: Scene) -> str | None:
    """Explain why rules about receivers cannot be evaluated."""
    return None if scene.world.receivers.registered() else "no receiver is registered"


_GRANTS: Final = (DELEGATION, TOKEN)
RULES: Final = (
    Rule(
        kind="long-lived-credential",
        severity=Severity.MEDIUM,
        title="A machine's token lives too long",
        of=(TOKEN,),
        check=long_lived_credential,
        needs="tokens of agents, services and workloads",
        looks_at=(inputs.MACHINE_TOKEN,),
        settings=("token_life_hours", "refresh_life_days", "sensitive"),
        maps_to=("NHI7", "ASI03", "T0055", "MEASURE 2.7"),
        fix="Issue short-lived tokens, and renew them during the task.",
        posture=True,
    ),
    Rule(
        kind="standing-access",
        severity=Severity.MEDIUM,
        title="Long-lived access",
        of=(DELEGATION,),
        check=standing_access,
        needs="delegations to agents",
        looks_at=(inputs.TO_AGENT,),
        settings=("delegation_life_days",),
        maps_to=("NHI7", "NHI5", "ASI03", "MANAGE 2.4"),
        fix="Give the delegation an end, no later than that of its task.",
        posture=True,
    ),
    Rule(
        kind="broad-scope",
        severity=Severity.MEDIUM,
        title="Scopes that are too wide for an agent",
        of=_GRANTS,
        check=broad_scope,
        needs="scopes of grants to agents",
        looks_at=(inputs.SCOPED_OF_AGENT,),
        settings=("broad", "scopes"),
        maps_to=("NHI5", "ASI02", "ASI03", "M0026", "M0028"),
        fix="Name the scopes that the task needs, one by one.",
        posture=True,
    ),
    Rule(
        kind="scope-unstated",
        severity=Severity.LOW,
        title="Nobody says what it allows",
        of=_GRANTS,
        check=scope_unstated,
        needs="grants and tokens of agents",
        looks_at=(inputs.OF_AGENT,),
        maps_to=("NHI5", "MAP 3.3"),
        fix="State the scopes, or no_scopes if nothing is granted.",
        posture=True,
    ),
    Rule(
        kind="unused-access",
        severity=Severity.LOW,
        title="Scopes that nothing needs",
        of=(DELEGATION,),
        check=unused_access,
        needs="required_scopes of actions or decisions",
        looks_at=(inputs.DELEGATION,),
        settings=("unused_days", "scopes"),
        maps_to=("NHI5", "MANAGE 4.1"),
        fix="Grant it again without these scopes.",
        missing=no_needed_scopes,
        posture=True,
        wide=True,
    ),
    Rule(
        kind="dormant-but-alive",
        severity=Severity.MEDIUM,
        title="Alive and not used",
        of=_GRANTS,
        check=dormant_but_alive,
        needs="grants and tokens of machines, and their uses",
        looks_at=(inputs.OF_MACHINE,),
        settings=("dormant_days", "dormant_left_days"),
        maps_to=("NHI1", "NHI7", "GOVERN 1.7", "MANAGE 2.4"),
        fix="Revoke it, with the reason inactivity.",
        posture=True,
        wide=True,
    ),
    Rule(
        kind="no-human-root",
        severity=Severity.MEDIUM,
        title="No human behind it",
        of=_GRANTS,
        check=no_human_root,
        needs="delegations, tokens and owners",
        looks_at=(inputs.ELEMENT,),
        maps_to=("GOVERN 2.1", "GOVERN 3.2", "ASI10", "M Repudiation"),
        fix="Register a human as owner of the principal.",
        posture=True,
        wide=True,
    ),
    Rule(
        kind="revocation-unreachable",
        severity=Severity.MEDIUM,
        title="Nobody would enforce its revocation",
        of=_GRANTS,
        check=revocation_unreachable,
        needs="registered receivers",
        looks_at=(inputs.ELEMENT,),
        maps_to=("MANAGE 2.4", "GOVERN 1.7", "ASI08", "NHI1"),
        fix="Register the enforcement point that accepts it, with its issuer and audience.",
        missing=no_receivers,
        posture=True,
        wide=True,
    ),
)
