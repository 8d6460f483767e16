"""The remedies named in error messages, worded for each interface (command line, HTTP)."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedies:
    """The wording of remedies for an interface.

    Attributes:
        stale: How to get an answer that may lack records not projected yet.
        without_plan: The limit of a revocation without a plan, ``most``, and how to use the plan ``digest``.
        one_person: The number of elements, ``most``, that one person may decide about.
        second_orders: How a second person approves a revocation.
        second_lifts: How a second person approves a reinstatement.
        source: How to send under another source.
    """

    stale: str
    without_plan: str
    one_person: str
    second_orders: str
    second_lifts: str
    source: str


COMMAND_LINE: Final = Remedies(
    stale="--stale answers from what is projected",
    without_plan="--max-kills {most:,}; check the plan and pass --plan-digest {digest}, or raise --max-kills",
    one_person="--four-eyes {most:,}",
    second_orders="name one with --approved-by",
    second_lifts="name one with --approved-by",
    source="name another with --source",
)
OVER_HTTP: Final = Remedies(
    stale="stale=true answers from what is projected",
    without_plan="the {most:,} allowed without a plan; check the plan (GET /v1/reach) and send its plan_digest, "
    "{digest} as of now",
    one_person="the {most:,} that one person may decide",
    second_orders="have another person approve the plan (POST /v1/plans/{plan_digest}/approvals, or its page), and "
    "send its digest",
    second_lifts="use the command line, delegraph lift, with --approved-by",
    source="ask the operator of this server to set another one, DELEGRAPH_SOURCE",
)

_FEW: Final = 12  # names that a message lists


def no_such(what: str, value: object, known: Iterable[str], *, listed_by: str = "") -> str:
    """Build a sentence that refuses a name, and suggests the nearest known one, or lists all if there are few.

    Args:
        what: What the name should be, such as ``rule``.
        value: The unknown name.
        known: The known names.
        listed_by: The command that lists all of them, if there are many.
    """
    names = list(known)
    near = get_close_matches(value.lower(), names, n=2) if isinstance(value, str) else []
    if near:
        return f"there is no {what} {value!a}; did you mean {' or '.join(near)}?"
    if len(names) <= _FEW or not listed_by:
        return f"there is no {what} {value!a}; there are {', '.join(names)}"
    return f"there is no {what} {value!a}; {listed_by} lists all {len(names)}"
