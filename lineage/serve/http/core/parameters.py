"""The parameters of the questions: their names, values and descriptions."""

from typing import Final

from lineage.core.cases.case import STATUSES as CASE_STATUSES
from lineage.core.findings.frameworks import SHORT_NAMES
from lineage.core.findings.judging import STATUSES
from lineage.core.model.finding import SEVERITIES
from lineage.core.model.vocabulary import ACTION_OUTCOMES, MODES
from lineage.serve.http.core.query import Parameter
from lineage.serve.queries.cases.cases import PAGE as PAGE_OF_ITEMS
from lineage.serve.queries.inventory.inventory import KINDS as PRINCIPAL_KINDS
from lineage.serve.queries.inventory.inventory import NAME_STATES, STATES
from lineage.serve.queries.revocations.revocations import PAGE

_TIME: Final = {"type": "string", "format": "date-time"}
_ID: Final = {"type": "string", "minLength": 1, "maxLength": 1_024}

AT: Final = Parameter("at", _TIME, "The instant asked about; by default now.", example="2026-11-02T10:25:00Z")
KNOWN_AT: Final = Parameter("known_at", _TIME, "Only what was recorded by then; by default everything.")
TIMES: Final = (AT, KNOWN_AT)
OF: Final = Parameter(
    "of",
    _ID,
    "`KIND:ID`, split at the first colon.",
    required=True,
    repeatable=True,
    example="token:https://idp.example#mailer-1",
)
ACTION: Final = Parameter("action", _ID, "The id of an action.", required=True, repeatable=True, example="mail-7")
AGENT: Final = Parameter("agent", _ID, "The id of an agent.", required=True, example="agent:mailer")
HOW: Final = (
    Parameter("mode", {"type": "string", "enum": list(MODES)}, "`suspend` ends it until lifted. By default `revoke`."),
    Parameter("issued_before", _TIME, "Spare what was issued at this time or later."),
    Parameter("cascade", {"type": "boolean"}, "`false` ends only what is hit, not what depends on it."),
)
STALE: Final = Parameter(
    "stale", {"type": "boolean"}, "Answer from what is projected, even if the log cannot be reached for newer records."
)
UNSEEN: Final = Parameter(
    "unseen", {"type": "boolean"}, "Answer even if no fact names it yet: an order may end it in advance."
)
TEXT: Final = Parameter(
    "q",
    {"type": "string", "minLength": 1, "maxLength": 512},
    "Words that an id, a name, a tool, an operation or a resource contains, whatever their case (of ASCII letters).",
    required=True,
    example="mailer",
)
NAMED_BY: Final = (
    AT._replace(description="Only what an authorised fact names that occurred by then; by default anything."),
    KNOWN_AT._replace(description="Only what an authorised fact names that was recorded by then; by default anything."),
)
FROM: Final = Parameter("from", _TIME, "The first instant.", required=True, example="2026-11-02T09:00:00Z")
TO: Final = Parameter("to", _TIME, "The second instant.", required=True, example="now")
AFTER: Final = Parameter("after", {"type": "string", "maxLength": 2_048}, "The `next` of the previous page.")
LIMIT: Final = Parameter("limit", {"type": "integer", "minimum": 1, "maximum": 1_000}, "Items on one page.")
PAGES: Final = (AFTER, LIMIT)
FEWER: Final = LIMIT._replace(
    schema={**LIMIT.schema, "maximum": PAGE}, description="Items on one page; each includes its verdict."
)
FINDINGS: Final = (
    OF._replace(required=False, repeatable=False, description="Only what is wrong with this, or about it."),
    Parameter("kind", {"type": "string", "maxLength": 64}, "Only of this rule.", repeatable=True),
    Parameter("severity", {"type": "string", "enum": list(SEVERITIES)}, "Only of this severity.", repeatable=True),
    Parameter("status", {"type": "string", "enum": list(STATUSES)}, "Only in this status.", repeatable=True),
    Parameter("since", _TIME, "Only findings last seen then or later."),
    Parameter("all", {"type": "boolean"}, "Include suppressed ones."),
    Parameter(
        "fresh",
        {"type": "boolean"},
        "Evaluate every rule now, even if an index of findings is kept; refused if the store is large.",
    ),
)
_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": 4_096}
ACTION_FILTERS: Final = (
    OF._replace(required=False, repeatable=False, description="Only actions that mention this, `KIND:ID`."),
    Parameter("human", _ID, "The party at the root of the chain.", example="human:alice@example.com"),
    Parameter("agent", _ID, "A party anywhere on the chain.", example="agent:mailer"),
    Parameter("actor", _ID, "The party that acted, according to the action, or else to its decision."),
    Parameter("token", _ID, "The token used, according to the action or its decision."),
    Parameter("delegation", _ID, "A delegation that the action names, or that is on its chain."),
    Parameter("session", _ID, "A session that the action, its decision or a token on its chain names."),
    Parameter("client", _ID, "A client that a token on its chain names."),
    Parameter("tool", _TEXT, "The tool used.", example="mail"),
    Parameter("operation", _TEXT, "The operation."),
    Parameter("resource", _TEXT, "The id of the resource."),
    Parameter("outcome", {"type": "string", "enum": list(ACTION_OUTCOMES)}, "The outcome."),
    FROM._replace(required=False, description="The earliest time at which it occurred.", example=None),
    TO._replace(required=False, description="The latest time at which it occurred, inclusive.", example=None),
    Parameter("text", _TEXT, "Words; each must occur in one of these, or in a display name."),
)
USED: Final = tuple(
    one._replace(description=description, example=None)
    for name, description in (
        ("tool", "Which tool."),
        ("resource", "Which resource."),
        ("operation", "Which operation."),
    )
    for one in ACTION_FILTERS
    if one.name == name
)
FRAMEWORK: Final = Parameter(
    "framework", {"type": "string", "enum": list(SHORT_NAMES)}, "Only checks that map to this framework."
)
_OWNER: Final = Parameter("owner", _ID, "The owner of the principal, or of the holder.")
_WORDS: Final = Parameter("text", _TEXT, "Words; each must occur in an id or a name.")
_HELD: Final = (
    Parameter("holder", _ID, "The holder of the token or of the delegation.", example="agent:mailer"),
    _OWNER,
    Parameter("state", {"type": "string", "enum": list(STATES)}, "The state at the instant asked about."),
    _WORDS,
)
TOKEN_FILTERS: Final = (
    Parameter("issuer", _TEXT, "The issuer: the id up to the first `#`.", example="https://idp.example"),
    Parameter("kind", _TEXT, "The type of the token."),
    *_HELD,
)
DELEGATION_FILTERS: Final = (Parameter("issuer", _ID, "The party that granted it."), *_HELD)
PEOPLE_FILTERS: Final = (
    Parameter("kind", {"type": "string", "enum": list(PRINCIPAL_KINDS)}, "The kind.", example="agent"),
    _OWNER,
    Parameter("state", {"type": "string", "enum": list(NAME_STATES)}, "The state at the instant asked about."),
    _WORDS,
)
EVERYTHING: Final = Parameter("all", {"type": "boolean"}, "Include records that were released since.")
REVOCATION: Final = Parameter(
    "id", _ID, "The id of a revocation.", required=True, example="rev-mailer-leak", where="path"
)
FINDING: Final = Parameter(
    "id", {"type": "string"}, "The id of a finding.", where="path", required=True, example="F-7ad89a5c2ebaf0cbebb4"
)
PAGES_OF_ITEMS: Final = (
    AFTER,
    LIMIT._replace(
        schema={**LIMIT.schema, "maximum": PAGE_OF_ITEMS}, description="Items on one page; each includes its state."
    ),
)
HOLD: Final = Parameter("id", _ID, "The id of a hold.", required=True, example="LIT-2026-7", where="path")
CASE: Final = Parameter("id", _ID, "The id of a case.", required=True, example="INC-2026-0042", where="path")
CASE_FILTERS: Final = (
    Parameter("status", {"type": "string", "enum": list(CASE_STATUSES)}, "Only open or closed ones."),
    Parameter("assignee", _ID, "Only those assigned to this principal."),
    Parameter("of", _ID, "Only those that contain this, `KIND:ID`.", example="token:https://idp.example#mailer-1"),
)
PLAN: Final = Parameter(
    "id",
    {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "The digest of a plan, as returned by reach.",
    required=True,
    example="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    where="path",
)
ONE: Final = OF._replace(repeatable=False)
