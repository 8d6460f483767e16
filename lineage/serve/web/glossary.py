"""What the words on the pages mean, in one sentence each, for whoever has never seen them: the page ``/words``."""

from typing import Final

STATES: Final = {
    "active": "It is valid, and no order has ended it or anything that it hangs on.",
    "revoked": "An order ends it by its own id. Of a token or a delegation that is for good.",
    "cascaded": "It is dead because of an order on something that it hangs on, or on somebody whom it names.",
    "expired": "Its time was over before any order ended it.",
    "suspended": "It is stopped until the order is lifted; then it is as before.",
    "unknown": "Something names it, but no event that granted it was ever seen. It is never taken for active.",
    "not_yet_valid": "It was not issued yet at the moment that is looked at, or its validity had not begun.",
}
VERDICTS: Final = {
    "PARTIAL": "Not over: somebody who has to enforce it has not said for every element that they do.",
    "UNKNOWN": "Nobody can say: an element is covered by no receiver, or its state cannot be known.",
    "CLOSED": "Over: everyone who has to enforce it says so of every element that has not ended by itself.",
}
FINDINGS: Final = {
    "wielder-mismatch": "It was used by another party, workload or key than the token was made for: it may be stolen.",
    "delegation-mismatch": "The action names another delegation than its token.",
    "subject-mismatch": "The action names another person, on whose behalf it was done, than its token.",
    "chain-mismatch": "Tokens and delegations tell different chains, or somebody passed on what they never received.",
    "subject-change": "A token acts for somebody else than the one it was derived from, and nothing says how.",
    "branch": "There were several ways up from here; the chain takes one by a fixed rule.",
    "disagreement": "Different values were stated where there can be one; the first stated holds.",
    "kind-contradiction": "A principal was registered as another kind than its id declares.",
    "suspect": "An order was given on one of the token's prior actors; that alone does not end the token.",
    "cycle": "Elements depend on one another in a circle.",
    "shared-status-list": "Two tokens stand at one place of a status list, which cannot tell them apart.",
    "shared-order-id": "Several orders were given under one id; all of them stand.",
    "lift-without-effect": "A lift that brings nothing back.",
    "far-effective-at": "An order takes effect more than a year before or after it was given.",
    "sequence-hole": "A source numbers its events without gaps, and one of them never arrived.",
    "unauthorised": "A fact from a source that may not say it, or an order by the wrong topic: kept, and in no answer.",
    "used-after-revocation": "Something succeeded with it when the order was in force: it was not enforced there.",
    "tainted-use": "Something succeeded with it after the moment from which the order counts, before it was in force.",
    "coverage-narrowed": "A receiver registered to cover less than before; orders given earlier still count in full.",
    "acknowledgement-without-order": "A receiver acknowledged a revocation that nobody has ordered.",
    "acknowledgement-before-order": "A receiver acknowledged an order before it was given.",
    "acknowledgement-of-nothing": "A receiver acknowledged all that it had been told of, and had been told of nothing.",
    "unregistered-receiver": "Somebody acknowledged who was never registered as a receiver.",
}
TERMS: Final = {
    "principal": "A party that can hold authority: a human, an agent, a service, a workload.",
    "delegation": "Authority that one party gives to another, with its scopes, until it expires or is revoked.",
    "token": "A credential, known by its id. The credential itself is stored nowhere.",
    "chain": "Who stood behind something, from the root (best: a human) down to whoever acted.",
    "word of": "The source that says so. What nobody but an action says is only asserted: it is no authority.",
    "scope": "What a token or a delegation allows. On the way down scopes get lost, and none should be gained.",
    "gap": "Something that is named and was never seen. The answer is not complete without it, and says so.",
    "finding": "Facts that do not fit together. A finding changes no state; somebody has to look at it.",
    "hangs on": "A token hangs on those that it was made from, and on its delegation: if one falls, it falls.",
    "what would fall": "Everything alive that an order would end, all the way down.",
    "plan, digest": "What would fall, listed, and the fingerprint of the list. An order carries the digest; "
    "if more would fall by then, nothing is ordered.",
    "born dead": "Issued after the order took effect: it has never lived.",
    "receiver": "Somebody who has to enforce orders, such as a gateway. Delivered: we have told it. Enforced: it says "
    "that it does, by whatever way it knew. Rejected: it says that it will not. Pending: it has not said.",
    "as of": "The moment that is asked about: was it valid then?",
    "as known at": "Only what had been recorded by that moment: could it have been known then?",
    "quarantine": "Records that could not be read. They are kept whole, and can be taken up later.",
    "conflict": "One source sent different contents under one identity. Each stands, and none replaces another.",
    "behind": "Records that are in the log and not yet in the answers.",
}
