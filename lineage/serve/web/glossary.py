"""The meaning of the words on the pages, one sentence each, for first-time readers: the page ``/words``."""

from typing import Final

from lineage.core.findings.rules.catalogue import RULES

STATES: Final = {
    "active": "It is valid, and neither it nor anything that it depends on is revoked.",
    "revoked": "It was revoked by its own id. For a token or a delegation that is permanent.",
    "cascaded": "Something that it depends on, or a party that it names, was revoked.",
    "expired": "It expired before it was revoked.",
    "suspended": "It is suspended until it is reinstated; then it is active again.",
    "unknown": "Something names it, but no event that grants it is known. It never counts as active.",
    "not_yet_valid": "It was not issued yet at the time that is viewed, or its validity had not begun.",
}
VERDICTS: Final = {
    "PARTIAL": "In progress: at least one enforcement point has not confirmed every element.",
    "UNKNOWN": "Not verifiable: no enforcement point covers an element, or its state is unknown.",
    "CLOSED": "Enforced: every enforcement point has confirmed every element that has not expired.",
}
_FINDINGS: Final = {
    "wielder-mismatch": "Another party, workload or key used it than the one it was issued to: it may be stolen.",
    "delegation-mismatch": "The action names a different delegation than its token.",
    "subject-mismatch": "The action names a different person on whose behalf it was done than its token.",
    "chain-mismatch": "Tokens and delegations state different chains, or a party passed on what it never received.",
    "subject-change": "A token acts for someone other than the token it was derived from, and nothing explains why.",
    "branch": "There were several ways up from here; the chain takes one by a fixed rule.",
    "disagreement": "Different values were stated where there can be only one; the first stated value counts.",
    "kind-contradiction": "A principal was registered as a different kind than its id declares.",
    "suspect": "An order was given on one of the token's prior actors; that alone does not end the token.",
    "cycle": "Elements depend on one another in a circle.",
    "shared-status-list": "Two tokens have the same index in a status list, which cannot tell them apart.",
    "shared-order-id": "Several orders were given under one id; all of them count.",
    "lift-without-effect": "A lift that reinstates nothing.",
    "far-effective-at": "An order takes effect more than a year before or after it was given.",
    "sequence-hole": "A source numbers its events without gaps, and one of them never arrived.",
    "unauthorised": "A fact whose source may not state it, or an order on the wrong topic: stored, but in no answer.",
    "used-after-revocation": "Something succeeded with it when the order was in force: it was not enforced there.",
    "tainted-use": "Something succeeded with it after the effective time of the order, before the order was in force.",
    "coverage-narrowed": "A receiver registered to cover less than before; orders given earlier still count in full.",
    "acknowledgement-without-order": "A receiver acknowledged a revocation that nobody has ordered.",
    "acknowledgement-before-order": "A receiver acknowledged an order before it was given.",
    "acknowledgement-of-nothing": "A receiver acknowledged everything delivered to it, but nothing had been delivered.",
    "unregistered-receiver": "An acknowledgement came from a party that was never registered as a receiver.",
}
FINDINGS: Final = {kind: f"{rule.title}." for kind, rule in RULES.items()} | _FINDINGS
TERMS: Final = {
    "principal": "A party that can hold authority: a human, an agent, a service, a workload.",
    "delegation": "Authority that one party gives to another, with its scopes, until it expires or is revoked.",
    "token": "A credential, known by its id. The credential itself is stored nowhere.",
    "chain": "Who stood behind something, from the root (ideally a human) down to the party that acted.",
    "source": "Who states it. What only an action states is unverified and gives no authority.",
    "scope": "What a token or a delegation allows. On the way down scopes may shrink and must not grow.",
    "gap": "Evidence that events refer to but that never arrived. The answer says that it is missing.",
    "finding": "Facts that contradict one another or break a rule. A finding changes no state; it needs a look.",
    "depends on": "A token depends on those it was derived from and on its delegation: if one is revoked, so is it.",
    "blast radius": "Everything active that a revocation would end, all the way down.",
    "plan, digest": "What would be revoked, listed, and the fingerprint of the list. A revocation carries the digest; "
    "if more would be revoked by then, nothing is.",
    "never valid": "Issued after revocation: it was never active.",
    "enforcement point": "A receiver of revocations, such as a gateway. Delivered: it was notified. Enforced: it "
    "confirmed. Rejected: it refused. Pending: it has not answered.",
    "as of": "The time that is asked about: was it valid then?",
    "as known at": "Only what had been recorded by that time: could it have been known then?",
    "quarantine": "Records that could not be read. They are kept whole, and can be retried later.",
    "conflict": "One source sent different contents under one identity. All of them are kept; none replaces another.",
    "behind": "Records in the log that are not projected yet (lag).",
}
