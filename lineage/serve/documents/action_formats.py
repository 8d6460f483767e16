"""Export actions and events in formats of other tools: OCSF API Activity, and Timesketch JSON lines.

OCSF (class 6003) has no place for a chain of delegations, so the human, the authority and the delegations of an action,
root first, are in ``unmapped``; the delegations have the keys of OCSF's object ``delegation``. Timesketch takes one
JSON object per line with ``message``, ``datetime`` and ``timestamp_desc``.
"""

from collections.abc import Iterable
from typing import Final

from lineage.core.authority.world import World
from lineage.core.model.times import parse_instant
from lineage.serve.documents.compact_json import compact_json
from lineage.serve.documents.core_documents import Document
from lineage.serve.documents.finding_formats import delegations, milliseconds, ocsf_metadata

_API_ACTIVITY: Final = 6003
_OTHER: Final = 99
# The activities of OCSF, by the words with which operations begin or end; what fits none of them is "Other".
_ACTIVITIES: Final = (
    (1, "Create", frozenset({"create", "add", "insert", "put", "send", "upload", "run", "issue"})),
    (2, "Read", frozenset({"read", "get", "list", "search", "query", "describe", "lookup", "download"})),
    (3, "Update", frozenset({"update", "write", "set", "patch", "modify", "rotate", "renew"})),
    (4, "Delete", frozenset({"delete", "remove", "revoke", "destroy"})),
)
_STATUSES: Final = {"succeeded": (1, "Success"), "failed": (2, "Failure"), "denied": (2, "Failure")}
_SPLIT: Final = str.maketrans(dict.fromkeys(".:/_- ", " "))


def actions_as_ocsf(actions: Iterable[Document], world: World) -> str:
    """Export actions as OCSF events, one per line.

    Args:
        actions: Items of a list of actions.
        world: The facts about them and their authority.
    """
    return "".join(f"{compact_json(_event(action, world))}\n" for action in actions)


def _event(action: Document, world: World) -> Document:
    activity, word = _activity(action["operation"])
    status_id, status = _STATUSES.get(action["outcome"] or "", (0, "Unknown"))
    key = f"action:{action['action']}"
    actor = action["actor"] or "unknown"
    return {
        "activity_id": activity,
        "activity_name": word,
        "category_uid": 6,
        "category_name": "Application Activity",
        "class_uid": _API_ACTIVITY,
        "class_name": "API Activity",
        "type_uid": _API_ACTIVITY * 100 + activity,
        "type_name": f"API Activity: {word}",
        "severity_id": 1,
        "severity": "Informational",
        "status_id": status_id,
        "status": status,
        "status_detail": action["outcome"] or "unknown",
        "time": milliseconds(action["occurred_at"]),
        "message": sentence_of(action),
        "metadata": {**ocsf_metadata(), "uid": action["action"]},
        "actor": {
            "user": {"uid": actor, **_user_type(world.principals.kind(actor))},
            **({"session": {"credential_uid": action["token"]}} if action["token"] else {}),
            **({"invoked_by": action["human"]} if action["human"] else {}),
        },
        "api": {
            "operation": action["operation"] or "unknown",
            **({"service": {"name": action["tool"]}} if action["tool"] else {}),
        },
        "src_endpoint": {"name": actor},
        "resources": _resources(action["resource"]),
        "unmapped": {
            "human": action["human"],
            "root": action["root"],
            "authority": action["authority"],
            "delegations": delegations(key, world),
        },
    }


def _activity(operation: str | None) -> tuple[int, str]:
    words = (operation or "").casefold().translate(_SPLIT).split()
    for word in (*words[-1:], *words[:1]):
        for number, name, known in _ACTIVITIES:
            if word in known:
                return number, name
    return _OTHER, "Other"


def _user_type(kind: str) -> Document:
    type_id = {"human": 1, "service": 4}.get(kind, 0 if kind == "unknown" else _OTHER)
    return {"type_id": type_id, "type": kind.capitalize()}


def _resources(resource: Document | None) -> list[Document]:
    if not resource:
        return []
    return [{"uid": resource["id"], **({"type": resource["type"]} if resource["type"] else {})}]


def sentence_of(action: Document) -> str:
    """State in one sentence who did what to what, for whom."""
    text = f"{action['actor'] or 'somebody'} did {action['operation'] or 'something'}"
    if action["resource"]:
        text += f" on {action['resource']['id']}"
    if action["human"] and action["human"] != action["actor"]:
        text += f" for {action['human']}"
    return f"{text}: {action['outcome'] or 'outcome unknown'}"


def actions_as_timesketch(actions: Iterable[Document]) -> str:
    """Export the items of a list of actions as JSON lines for Timesketch."""
    return "".join(
        _timesketch(
            {**action, "resource": action["resource"]["id"] if action["resource"] else None},
            sentence_of(action),
            "Action performed",
        )
        for action in actions
    )


def events_as_timesketch(mentions: Iterable[Document]) -> str:
    """Export the items of a timeline as JSON lines for Timesketch."""
    return "".join(
        _timesketch(
            {**one["event"], "of": one["of"], "recorded_at": one["recorded_at"]},
            f"{one['type']}: {one['of']}, by {one['event']['source']}",
            "Event occurred",
        )
        for one in mentions
    )


def _timesketch(fields: Document, message: str, what: str) -> str:
    """Write one line; a field with several values is text, as Timesketch searches it."""
    flat = {
        name: value if isinstance(value, str | int | float) else compact_json(value)
        for name, value in fields.items()
        if value not in (None, [], {})
    }
    moment = {"datetime": fields["occurred_at"], "timestamp": parse_instant(fields["occurred_at"])}
    return f"{compact_json({**flat, 'message': message, **moment, 'timestamp_desc': what, 'data_type': 'delegraph'})}\n"
