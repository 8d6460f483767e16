"""A program that checks an exported case, written from docs/cases.md alone: it imports nothing of delegraph.

``python case_checker.py FILE`` prints what is wrong, a line each, and exits with 1 if anything is.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

ABOUT = {
    "token.issued": ("token", "token"),
    "delegation.granted": ("delegation", "delegation"),
    "decision.made": ("decision", "decision"),
    "action.performed": ("action", "action"),
    "principal.registered": ("principal", "principal"),
    "workload.bound": ("principal", "workload"),
    "revocation.ordered": ("revocation", "revocation"),
    "revocation.lifted": ("revocation", "revocation"),
    "revocation.acknowledged": ("revocation", "revocation"),
    "case.changed": ("case", "case"),
}
PARTIES = ("subject", "actor", "delegator", "delegatee", "on_behalf_of", "workload")
ADDED = ("kind", "id", "added_at", "added_by", "note", "rests_on")  # the members of an item that its change states
Json = dict[str, Any]


def canonical(value: Any) -> bytes:
    """Serialize as RFC 8785 for values without fractions: members sorted by UTF-16 code units."""

    def by_units(one: Any) -> Any:
        if isinstance(one, dict):
            return {name: by_units(one[name]) for name in sorted(one, key=lambda name: name.encode("utf-16-be"))}
        return [by_units(item) for item in one] if isinstance(one, list) else one

    return json.dumps(by_units(value), ensure_ascii=False, separators=(",", ":")).encode()


def sha256(value: Any) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()


def about(event: Json) -> str:
    kind, field = ABOUT.get(event["type"], ("", ""))
    return f"{kind}:{event.get(field)}"


def given_at(entry: Json) -> str:
    return min(entry["event"]["occurred_at"], entry["recorded_at"])  # both in UTC with six digits


def names(event: Json, principal: str) -> bool:
    return principal in event.get("prior_actors", []) or any(event.get(field) == principal for field in PARTIES)


def depends(event: Json, on: str) -> bool:
    kind, _, id_ = on.partition(":")
    if kind == "token":
        return id_ in [one["token"] for one in event.get("derived_from", [])]
    if event["type"] == "token.issued":
        return bool(event.get("delegation") == id_)
    return id_ in event.get("parents", [])


def faults(document: Json) -> Iterator[str]:
    """Return everything that is wrong with an export."""
    export = document["export"]
    if export["format"] != "delegraph-case-1":
        yield "format: not known"
    if sha256(export) != document["sha256"]:
        yield "sha256: not that of the export"
    events: dict[str, Json] = {}
    for entry in export["events"]:
        if sha256(entry["event"]) != entry["digest"]:
            yield f"event {entry['digest'][:8]}: changed"
        if entry["digest"] in events:
            yield f"event {entry['digest'][:8]}: twice"
        events[entry["digest"]] = entry
    if list(events) != sorted(events):
        yield "events: not sorted"
    places = [canonical(entry["position"]) for entry in export["events"] if entry["position"] is not None]
    if len(set(places)) != len(export["events"]):
        yield "events: two have one position, or one has none"
    cited: set[str] = set()
    for part in (
        *export["changes"],
        *export["items"],
        *(one for item in export["items"] for one in item["statements"]),
    ):
        cited.update(part["rests_on"])
    yield from (f"event {name[:8]}: cited, and not there" for name in sorted(cited - events.keys()))
    yield from (f"event {name[:8]}: there, and not cited" for name in sorted(events.keys() - cited))
    if cited - events.keys():
        return
    yield from case_faults(export, events)
    for item in export["items"]:
        of = f"{item['kind']}:{item['id']}"
        for statement in item["statements"]:
            basis = [events[name]["event"] for name in statement["rests_on"]]
            if not holds(statement, basis, export["at"]):
                yield f"{of}: {statement['says']} of {statement['of']} does not follow from its events"


def case_faults(export: Json, events: dict[str, Json]) -> Iterator[str]:
    """Return the parts of a case that do not follow from its changes."""
    own = [e for e in events.values() if about(e["event"]) == f"case:{export['case']}"]
    own.sort(
        key=lambda e: (
            given_at(e), e["event"]["occurred_at"], e["event"]["source"], e["event"]["event_id"], e["digest"],
        )
    )  # fmt: skip
    changes = [
        {
            "change": e["event"]["change"],
            "by": e["event"]["by"],
            "given_at": given_at(e),
            "contained": e["event"].get("items", []),
            **{name: e["event"].get(name) for name in ("title", "assignee", "note")},
            "rests_on": [e["digest"]],
        }
        for e in own
    ]
    if changes != export["changes"]:
        yield "changes: not those of the events"
    title = next((one["title"] for one in changes if one["change"] == "opened"), None)
    settled = [one["change"] for one in changes if one["change"] in ("closed", "reopened")]
    assigned = [
        one["assignee"]
        for one in changes
        if one["change"] == "assigned" or (one["change"] == "opened" and one["assignee"])
    ]
    items: dict[tuple[str, str], Json] = {}
    for one in changes:
        for item in one["contained"]:
            key = (item["kind"], item["id"])
            if one["change"] in ("opened", "added"):
                items.setdefault(key, one)
            elif one["change"] == "removed":
                items.pop(key, None)
    fields = {
        "title": title,
        "status": "closed" if settled and settled[-1] == "closed" else "open",
        "assignee": assigned[-1] if assigned else None,
        "version": hashlib.sha256("".join(sorted(e["digest"] for e in own)).encode()).hexdigest()[:16],
    }
    yield from (f"{name}: does not follow from the changes" for name, value in fields.items() if export[name] != value)
    contained = [
        {
            "kind": kind,
            "id": id_,
            "added_at": one["given_at"],
            "added_by": one["by"],
            "note": one["note"],
            "rests_on": one["rests_on"],
        }
        for (kind, id_), one in items.items()
    ]
    if contained != [{name: item[name] for name in item if name in ADDED} for item in export["items"]]:
        yield "items: not those of the changes"


def holds(one: Json, basis: list[Json], at: str) -> bool:
    """Whether a statement follows from the events that it cites."""
    of = one["of"]
    match one["says"]:
        case "stated":
            return any(about(event) == of and event.get(one["field"]) == one["value"] for event in basis)
        case "named" if one["by"] is None:
            return not basis
        case "named":
            return bool(basis) and all(about(e) == one["by"] and names(e, one["principal"]) for e in basis)
        case "depends":
            return bool(basis) and all(about(event) == of and depends(event, one["on"]) for event in basis)
        case "state":
            return one["at"] == at and state_holds(one, basis)
        case "found":
            identity = {"rule": one["rule"], "of": one["subject"], "about": one["about"]}
            return bool(of == f"finding:F-{sha256(identity)[:20]}" and basis)
        case "matches":
            return range_holds(one, basis)
    return False


def state_holds(one: Json, basis: list[Json]) -> bool:
    if "revocation" not in one:
        if one["state"] in ("revoked", "cascaded", "suspended"):
            return False
        return bool(basis) and all(about(event) == one["of"] for event in basis)
    path = one["path"]
    orders = [e for e in basis if e["type"] == "revocation.ordered" and e["revocation"] == one["revocation"]]
    targets = [f"{e['target']['kind'].replace('workload', 'principal')}:{e['target']['id']}" for e in orders]
    if path[0] not in targets or path[-1] != one["of"]:
        return False
    if one["state"] != "suspended" and one["state"] != ("revoked" if len(path) == 1 else "cascaded"):
        return False
    return all(linked(parent, child, basis) for parent, child in pairwise(path))


def linked(parent: str, child: str, basis: list[Json]) -> bool:
    kind, _, id_ = parent.partition(":")
    grants = [event for event in basis if about(event) == child]
    if kind in ("token", "delegation"):
        return any(depends(event, parent) for event in grants)
    if kind in ("session", "client"):
        return any(event.get(kind) == id_ for event in grants)
    aliases = {id_}
    for event in basis:
        if event["type"] == "principal.registered" and {event["principal"], *event.get("aliases", [])} & aliases:
            aliases |= {event["principal"], *event.get("aliases", [])}
    return any(names(event, alias) for event in grants for alias in aliases)


def range_holds(one: Json, basis: list[Json]) -> bool:
    filters = dict(parse_qsl(one["of"].partition(":")[2]))
    if {about(event) for event in basis} != {f"action:{action}" for action in one["actions"]}:
        return False
    for event in basis:
        if not filters.get("from", "") <= event["occurred_at"] <= filters.get("to", "9"):
            return False
        if any(
            name in filters and event.get(name, filters[name]) != filters[name]
            for name in ("tool", "operation", "outcome")
        ):
            return False
    return True


if __name__ == "__main__":
    found = list(faults(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
    sys.stdout.write("\n".join(found or ["every statement holds"]) + "\n")
    sys.exit(1 if found else 0)
