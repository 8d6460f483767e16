"""What a refusal tells whoever asks to do instead, in the words of the face by which they ask."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """How a face says things.

    Attributes:
        stale: How to have an answer that may lack what is not projected.
        without_plan: More than an order without a plan may kill, ``most``, and how to order by one, ``digest``.
        one_person: How much one person may decide, ``most``.
        second_orders: How a second person comes into an order.
        second_lifts: How a second person comes into a lift.
        source: How to send under another source.
    """

    stale: str
    without_plan: str
    one_person: str
    second_orders: str
    second_lifts: str
    source: str


COMMAND_LINE: Final = Face(
    stale="--stale answers from what is projected",
    without_plan="--max-kills {most:,}; look at the plan and give --plan-digest {digest}, or raise --max-kills",
    one_person="--four-eyes {most:,}",
    second_orders="name one with --approved-by",
    second_lifts="name one with --approved-by",
    source="name another with --source",
)
OVER_HTTP: Final = Face(
    stale="stale=true answers from what is projected",
    without_plan="the {most:,} that it may without a plan; look at the plan, which GET /v1/reach makes, and order by "
    "its plan_digest, {digest} as of now",
    one_person="the {most:,} that one person may decide",
    second_orders="have somebody else approve the plan (POST /v1/plans/{plan_digest}/approvals, or its page), and "
    "order by its digest",
    second_lifts="that is done by the command line, delegraph lift, where --approved-by names one",
    source="have whoever runs this server name another, DELEGRAPH_SOURCE",
)
