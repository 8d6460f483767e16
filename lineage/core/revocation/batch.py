"""Several targets revoked at once: one order for each, and one plan with one digest over all of them.

Pure, like ``reach``. The plan of a batch has the form of the plan of one order, but with a list of targets, so that
one can never be mistaken for the other.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lineage.core.model.events import canonical_json
from lineage.core.model.keys import key_of
from lineage.core.revocation.reach import Reach


@dataclass(frozen=True, slots=True)
class BatchReach:
    """The elements that several proposed orders would end together.

    Attributes:
        reaches: The reach of each target, sorted by target; the proposals differ only in the target.
    """

    reaches: tuple[Reach, ...]

    @classmethod
    def of(cls, reaches: Sequence[Reach]) -> "BatchReach":
        """Combine the reaches of some targets."""
        return cls(tuple(sorted(reaches, key=lambda one: (one.proposal.target.kind, one.proposal.target.id))))

    @property
    def kills(self) -> set[str]:
        """``KIND:ID`` of each element that any of the orders would end."""
        return {key for reach in self.reaches for key in reach.kills}

    @property
    def shared(self) -> list[str]:
        """``KIND:ID`` of each element that more than one of the orders would end, sorted."""
        counts = Counter(key for reach in self.reaches for key in reach.kills)
        return sorted(key for key, count in counts.items() if count > 1)

    @property
    def survivors(self) -> dict[str, str]:
        """The elements close to the targets that stay alive, and why: those that one order spares and no other ends."""
        ended = self.kills
        return {
            key: survivor.why
            for reach in self.reaches
            for survivor in reach.survivors
            if (key := key_of(survivor.kind, survivor.id)) not in ended
        }

    @property
    def plan(self) -> dict[str, Any]:
        """The plan: the elements that the orders would end together, without time, person or reason."""
        kills = sorted(key.partition(":")[::2] for key in self.kills)
        return {
            **self.reaches[0].plan,
            "target": [reach.plan["target"] for reach in self.reaches],
            "kills": {
                "tokens": [id_ for kind, id_ in kills if kind == "token"],
                "delegations": [id_ for kind, id_ in kills if kind == "delegation"],
            },
        }

    @property
    def plan_digest(self) -> str:
        """The SHA-256, in hexadecimal, of the plan's canonical JSON (RFC 8785)."""
        return hashlib.sha256(canonical_json(self.plan)).hexdigest()
