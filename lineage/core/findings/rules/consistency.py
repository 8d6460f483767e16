"""Rules about contradictions: those found by ``contradictions``, ``chains`` and ``mismatches``, declared as rules."""

from collections.abc import Iterator
from typing import Final

from lineage.core.findings.rules.chains import own_element_findings
from lineage.core.findings.rules.contradictions import decision_findings, principal_findings
from lineage.core.findings.rules.mismatches import own_action_findings
from lineage.core.findings.rules.rule import ACTION, DECISION, DELEGATION, PRINCIPAL, TOKEN, Check, Rule
from lineage.core.findings.scene import inputs
from lineage.core.findings.scene.scene import Scene
from lineage.core.model.finding import Finding, Severity
from lineage.core.model.keys import split_key

_ELEMENTS: Final = (DELEGATION, TOKEN)
_Words = tuple[str, str, str]  # title, needs, fix


def all_of(scene: Scene, key: str) -> list[Finding]:
    """Return all contradictions of one subject; the last result is cached, because many rules need it."""
    return scene.once(("consistency", key), lambda: list(_look(scene, key)))


def _look(scene: Scene, key: str) -> Iterator[Finding]:
    kind, id_ = split_key(key)
    world = scene.world
    match kind:
        case "token" | "delegation" if world.graph.granted(key):
            yield from own_element_findings(world, key, scene.at)
        case "action":
            yield from own_action_findings(world, id_)
        case "decision":
            yield from decision_findings(world, id_)
        case "principal":
            yield from principal_findings(world, id_)


def only(kind: str) -> Check:
    """Build the check of one kind."""

    def check(scene: Scene, key: str) -> Iterator[Finding]:
        return (one for one in all_of(scene, key) if one.kind == kind)

    return check


def _rule(
    kind: str, severity: Severity, of: tuple[str, ...], looks_at: tuple[str, ...], words: _Words, *maps_to: str
) -> Rule:
    title, needs, fix = words
    return Rule(
        kind=kind,
        severity=severity,
        title=title,
        of=of,
        check=only(kind),
        needs=needs,
        looks_at=looks_at,
        fix=fix,
        maps_to=maps_to,
    )


RULES: Final = (
    _rule(
        "chain-mismatch",
        Severity.HIGH,
        _ELEMENTS,
        (inputs.ELEMENT,),
        (
            "Tokens and delegations tell different chains",
            "delegations and tokens",
            "Trust neither: ask the issuer on whose behalf it was issued, and revoke it if the issuer cannot say.",
        ),
        "ASI07",
        "M Repudiation",
    ),
    _rule(
        "cycle",
        Severity.HIGH,
        _ELEMENTS,
        (inputs.ELEMENT,),
        (
            "Grants that depend on one another",
            "delegations and tokens",
            "No honest issuer creates a cycle: find out which of them was stated falsely.",
        ),
        "ASI07",
        "M Repudiation",
    ),
    _rule(
        "branch",
        Severity.INFORMATIONAL,
        _ELEMENTS,
        (inputs.ELEMENT,),
        (
            "Several parents to choose from",
            "delegations and tokens",
            "Examine the other parents too: the chain shown is one of several.",
        ),
        "ASI07",
        "M Repudiation",
    ),
    _rule(
        "subject-change",
        Severity.HIGH,
        (TOKEN,),
        (inputs.DERIVED,),
        (
            "Acts for someone other than the token it was made from",
            "derivations of tokens",
            "Revoke the token, and ask its issuer which subject was presented.",
        ),
        "ASI03",
        "ASI07",
        "T0073",
        "M Agent Impersonation",
        "M0027",
    ),
    _rule(
        "subject-mismatch",
        Severity.HIGH,
        (ACTION,),
        (inputs.ON_BEHALF,),
        (
            "Done for someone other than the token says",
            "on_behalf_of of actions",
            "Ask the tool on whose behalf it was called; revoke the token if it was used for another person.",
        ),
        "ASI03",
        "ASI07",
        "T0073",
        "M Agent Impersonation",
        "M0027",
    ),
    _rule(
        "wielder-mismatch",
        Severity.HIGH,
        (ACTION,),
        (inputs.WIELDED,),
        (
            "Token used by a different agent (possible theft)",
            "actors, workloads or keys of actions",
            "Revoke the token now: the party that used it is not the one it was issued to.",
        ),
        "ASI03",
        "ASI07",
        "NHI4",
        "NHI9",
        "T0091.000",
        "M Agent Identity Attack",
    ),
    _rule(
        "delegation-mismatch",
        Severity.MEDIUM,
        (ACTION,),
        (inputs.PLACED,),
        (
            "Done under another delegation than the token's",
            "delegations of actions and tokens",
            "Ask the tool under which delegation it was called; the token depends on another.",
        ),
        "ASI03",
        "ASI07",
        "NHI4",
        "NHI9",
        "T0091.000",
        "M Agent Identity Attack",
    ),
    _rule(
        "suspect",
        Severity.MEDIUM,
        (TOKEN,),
        (inputs.PRIOR_ACTORS, inputs.ORDER),
        (
            "A revoked party stood before it",
            "prior actors of tokens, and orders",
            "Revoke the token too, unless its issuer can say that this party had no part in it.",
        ),
        "ASI03",
        "M Repudiation",
    ),
    _rule(
        "shared-status-list",
        Severity.MEDIUM,
        (TOKEN,),
        (inputs.LISTED,),
        (
            "Two tokens in one place of a status list",
            "status_list of tokens",
            "Let the issuer give each token a separate entry: one status cannot represent both.",
        ),
        "ASI03",
    ),
    _rule(
        "kind-contradiction",
        Severity.LOW,
        (PRINCIPAL,),
        (inputs.REGISTRATION,),
        (
            "Registered as another kind than its id says",
            "registrations",
            "Correct the registration, or give the principal an id without a misleading prefix.",
        ),
        "ASI03",
        "M Repudiation",
    ),
    _rule(
        "disagreement",
        Severity.LOW,
        (*_ELEMENTS, ACTION, DECISION, PRINCIPAL),
        (inputs.FACT,),
        (
            "Several values for one thing",
            "several facts about one thing",
            "Ask the sources which value is right; the first that was stated counts.",
        ),
        "M Poisoning Observability Data",
        "M Repudiation",
        "M0024",
        "MEASURE 2.8",
    ),
)
