"""Keys: the kind and the id of a thing as one string, ``KIND:ID``."""

import sys
from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from lineage.core.model.errors import RefusedError

ELEMENT_KINDS: Final = frozenset({"token", "delegation"})
NAME_KINDS: Final = frozenset({"principal", "workload", "session", "client"})
FEW: Final = 1_000  # things that are inserted into a long list one by one; of more, the whole list is made again
_T = TypeVar("_T")
# Python 3.12 never frees interned texts, and a server reads ids without end.
shared_text: Callable[[str], str] = str if sys.version_info[:2] == (3, 12) else sys.intern
KINDS: Final = (*sorted(ELEMENT_KINDS | NAME_KINDS), "action", "decision", "revocation", "receiver")  # of any thing


def key_of(kind: str, id_: str) -> str:
    """Build the key of a thing. Principals and workloads share one namespace, so both get the prefix ``principal``."""
    return f"principal:{id_}" if kind == "workload" else f"{kind}:{id_}"


def is_element(key: str) -> bool:
    """Whether a key is that of a token or a delegation."""
    return key.startswith(("token:", "delegation:"))


def split_key(key: str) -> tuple[str, str]:
    """Split a key into kind and id, at the first colon."""
    kind, _, id_ = key.partition(":")
    return kind, id_


def split_of(of: str) -> tuple[str, str]:
    """Split what somebody typed as ``KIND:ID`` into kind and id.

    Raises:
        RefusedError: It does not have that form.
    """
    kind, id_ = split_key(of)
    if not id_:
        raise RefusedError(f"{of!r} is not KIND:ID, such as token:t1 or principal:agent:planner")
    return kind, id_


def by_id(key: str) -> tuple[str, str]:
    """Return the sort key of receipts and verdicts: by id, then by kind."""
    kind, _, id_ = key.partition(":")
    return id_, kind


def sorted_by_id(things: Iterable[_T], key: Callable[[_T], str]) -> list[_T]:
    """Sort things into the order of receipts and verdicts; ``key`` returns the ``KIND:ID`` of one."""
    listed = list(things)
    if all(key(one).startswith("token:") for one in listed):  # the usual case: no key has to be divided
        return sorted(listed, key=key)
    return sorted(listed, key=lambda one: by_id(key(one)))


def with_few_by_id(ordered: list[_T], few: Sequence[_T], key: Callable[[_T], str]) -> list[_T]:
    """Return a list in that order with some further things; unless these are many, they are inserted in place."""
    if len(few) > FEW:
        return sorted_by_id([*ordered, *few], key)
    for one in few:
        insort(ordered, one, key=lambda each: by_id(key(each)))
    return ordered
