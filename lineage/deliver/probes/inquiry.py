"""The data that all requests of one proof share."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from lineage.core.model.events import StatusList
from lineage.core.model.times import Instant
from lineage.deliver.http.signing_keys import SigningKeys


@dataclass(frozen=True, slots=True)
class Inquiry:
    """The data that all requests of one proof share.

    Attributes:
        nonce: The nonce that a follower repeats in its answer.
        clock: Returns the current time.
        keys: Our own keys, which sign the status lists that we serve; None without keys.
        places: The entries of status lists that facts state for an element, by ``KIND:ID``.
    """

    nonce: str
    clock: Callable[[], Instant]
    keys: SigningKeys | None = None
    places: Mapping[str, Collection[StatusList]] = field(default_factory=dict)
