"""Export findings in formats of other tools: OCSF events, SARIF for annotations in pipelines, CSV, JSON lines.

OCSF 1.9 has no class for delegation chains, so the delegations of a finding, root first, are in ``unmapped``, with
the keys of OCSF's object ``delegation``.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from lineage import __version__
from lineage.core.authority.chain import chain_of
from lineage.core.authority.world import World
from lineage.core.findings.frameworks import ATLAS
from lineage.core.findings.rules.catalogue import RULES
from lineage.core.model.finding import SEVERITIES
from lineage.core.model.keys import split_key
from lineage.core.model.times import NEVER, parse_instant
from lineage.serve.documents import csv_table
from lineage.serve.documents.compact_json import compact_json
from lineage.serve.documents.core_documents import Document

OCSF_VERSION: Final = "1.9.0"
SARIF_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_COLUMNS: Final = (
    *("id", "severity", "status", "kind", "of", "about", "why", "first_seen", "last_seen", "count"),
    *("caused_by", "maps_to", "facts", "fix"),
)
_STATUSES: Final = {"new": (1, "New"), "acknowledged": (2, "In Progress"), "suppressed": (3, "Suppressed")}
_RESOLVED: Final = (4, "Resolved")
_LEVELS: Final = {"critical": "error", "high": "error", "medium": "warning", "low": "note", "informational": "note"}
_OUTCOMES: Final = {
    "pass": (1, "Pass"),
    "suppressed": (2, "Warning"),
    "fail": (3, "Fail"),
    "not_evaluated": (0, "Unknown"),
}
_TECHNIQUE: Final = "AML.T"


def as_lines(findings: Iterable[Document]) -> str:
    """Export as JSON, one finding per line."""
    return "".join(f"{compact_json(one)}\n" for one in findings)


def as_csv(findings: Iterable[Document]) -> str:
    """Export as a table with a header; a list is one cell, separated by semicolons."""
    rows = (
        {
            **one,
            "maps_to": [f"{entry['framework']} {entry['version']} {entry['id']}" for entry in one["maps_to"]],
            "facts": [f"{fact['event_id']} of {fact['source']}" for fact in one["facts"]],
        }
        for one in findings
    )
    return csv_table.csv_text(_COLUMNS, rows)


def as_ocsf(findings: Iterable[Document], world: World) -> str:
    """Export as OCSF events, one per line: Detection Findings, or Compliance Findings for posture rules."""
    return "".join(f"{compact_json(ocsf_event(one, world))}\n" for one in findings)


def ocsf_event(one: Document, world: World) -> Document:
    """Convert one finding to an OCSF event."""
    rule = RULES.get(one["kind"])
    title = rule.title if rule else one["kind"]
    status_id, status = _STATUSES.get(one["status"], _RESOLVED)
    is_posture = rule is not None and rule.posture
    kind, id_ = split_key(one["of"])
    resource = {"uid": id_, "type": kind}
    event = {
        **_class(2003 if is_posture else 2004, closed=status_id == _RESOLVED[0]),
        "severity_id": int(SEVERITIES[one["severity"]]),
        "severity": one["severity"].capitalize(),
        "status_id": status_id,
        "status": status,
        "time": milliseconds(one["last_seen"]),
        "start_time": milliseconds(one["first_seen"]),
        "end_time": milliseconds(one["last_seen"]),
        "count": one["count"],
        "message": one["why"],
        "metadata": ocsf_metadata(),
        "finding_info": {
            "uid": one["id"],
            "title": title,
            "desc": one["why"],
            "types": [one["kind"]],
            "created_time": milliseconds(one["first_seen"]),
            "first_seen_time": milliseconds(one["first_seen"]),
            "last_seen_time": milliseconds(one["last_seen"]),
            "analytic": {"uid": one["kind"], "name": title, "type_id": 1, "type": "Rule"},
            "attacks": _attacks(one["maps_to"]),
        },
        "remediation": {"desc": one["fix"]},
        "unmapped": {
            "about": one["about"],
            "caused_by": one["caused_by"],
            "maps_to": one["maps_to"],
            "delegations": delegations(one["of"], world),
        },
    }
    evidences = [{"data": fact} for fact in one["facts"]]
    if is_posture:
        compliance = _compliance(one["kind"], title, one["maps_to"])
        failed = (2, "Warning") if status == "Suppressed" else (3, "Fail")
        return {
            **event,
            "compliance": {**compliance, "status_id": failed[0], "status": failed[1]},
            "resources": [resource],
            "evidences": evidences,
        }
    return {
        **event,
        "is_alert": one["severity"] in ("critical", "high"),
        "resources": [resource],
        "evidences": evidences,
    }


def posture_as_ocsf(posture: Document, at: str) -> str:
    """Export a posture as OCSF Compliance Findings, one check per line."""
    return "".join(f"{compact_json(_check(item, at))}\n" for item in posture["items"])


def _check(item: Document, at: str) -> Document:
    status_id, status = _OUTCOMES[item["outcome"]]
    detail = item["why"] or f"{item['failed']} failed, {item['suppressed']} suppressed"
    return {
        **_class(2003, closed=False),
        "severity_id": int(SEVERITIES[item["severity"]]),
        "severity": item["severity"].capitalize(),
        "status_id": 1,
        "status": "New",
        "time": milliseconds(at),
        "message": f"{item['title']}: {item['outcome'].replace('_', ' ')}",
        "metadata": ocsf_metadata(),
        "finding_info": {
            "uid": f"posture:{item['kind']}",
            "title": item["title"],
            "desc": detail,
            "types": [item["kind"]],
            "analytic": {"uid": item["kind"], "name": item["title"], "type_id": 1, "type": "Rule"},
        },
        "compliance": {
            **_compliance(item["kind"], item["title"], item["maps_to"]),
            "status_id": status_id,
            "status": status,
            "status_detail": detail,
        },
        "remediation": {"desc": item["fix"]},
        "unmapped": {"failed": item["failed"], "suppressed": item["suppressed"], "maps_to": item["maps_to"]},
    }


def _class(uid: int, *, closed: bool) -> Document:
    name = "Compliance Finding" if uid == 2003 else "Detection Finding"  # noqa: PLR2004 (OCSF's number)
    activity, word = (3, "Close") if closed else (1, "Create")
    return {
        "activity_id": activity,
        "activity_name": word,
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": uid,
        "class_name": name,
        "type_uid": uid * 100 + activity,
        "type_name": f"{name}: {word}",
    }


def ocsf_metadata() -> Document:
    """Build the metadata of an OCSF event: the version of the schema, and what made the event."""
    product = {"name": "delegraph", "vendor_name": "delegraph", "version": __version__}
    return {"version": OCSF_VERSION, "product": product}


def _compliance(kind: str, title: str, maps_to: Iterable[Document]) -> Document:
    entries = list(maps_to)
    return {
        "control": kind,
        "desc": title,
        "standards": sorted({f"{entry['framework']} {entry['version']}" for entry in entries}),
        "requirements": [f"{entry['id']} {entry['title']}" for entry in entries],
    }


def _attacks(maps_to: Iterable[Document]) -> list[Document]:
    return [
        {"technique": {"uid": entry["id"], "name": entry["title"]}, "version": entry["version"]}
        for entry in maps_to
        if entry["framework"] == ATLAS and entry["id"].startswith(_TECHNIQUE)
    ]


def delegations(of: str, world: World) -> list[Document]:
    """List the delegations behind something, root first, with the keys of OCSF's object ``delegation``."""
    kind, id_ = split_key(of)
    key = world.authority(id_) if kind == "action" else of
    if key is None or not key.startswith(("token:", "delegation:")) or not world.graph.granted(key):
        return []
    found: list[Document] = []
    for name in chain_of(world, key).delegations:
        element = world.graph.element(name)
        if element is None:
            continue
        subjects = {
            "uid": element.id,
            "parent_uid": found[-1]["uid"] if found else None,
            "issuer_uid": element.first("delegator"),
            "created_time": element.issued_at // 1_000,
            "expiration_time": None if element.ends_at == NEVER else element.ends_at // 1_000,
            "scopes": list(element.first("scopes") or ()),
            "audience": sorted(element.first("audience") or ()),
        }
        found.append({name: value for name, value in subjects.items() if value is not None})
    return found


def as_sarif(findings: Collection[Document], baseline: Collection[str] | None = None) -> str:
    """Export as a SARIF 2.1.0 log for annotations; without files, every result has a logical location."""
    kinds = sorted({one["kind"] for one in findings})
    return compact_json(
        {
            "$schema": SARIF_SCHEMA,
            "version": "2.1.0",
            "runs": [
                {
                    "tool": {"driver": {"name": "delegraph", "version": __version__, "rules": [*map(_rule, kinds)]}},
                    "columnKind": "utf16CodeUnits",
                    "results": [*_results(findings, kinds, baseline)],
                }
            ],
        }
    )


def _rule(kind: str) -> Document:
    rule = RULES.get(kind)
    if rule is None:
        return {"id": kind}
    return {
        "id": kind,
        "shortDescription": {"text": rule.title},
        "help": {"text": rule.fix},
        "defaultConfiguration": {"level": _LEVELS[rule.severity.word]},
        "properties": {"tags": sorted({reference.id for reference in rule.references})},
    }


def _results(findings: Iterable[Document], kinds: list[str], baseline: Collection[str] | None) -> Iterator[Document]:
    for one in findings:
        result: Document = {
            "ruleId": one["kind"],
            "ruleIndex": kinds.index(one["kind"]),
            "level": _LEVELS[one["severity"]],
            "message": {"text": f"{one['why']}. {one['fix']}"},
            "partialFingerprints": {"delegraphFinding/v1": one["id"]},
            "locations": [
                {"logicalLocations": [{"fullyQualifiedName": one["of"], "kind": split_key(one["of"])[0]}]},
            ],
            "occurrenceCount": one["count"],
            "properties": {"severity": one["severity"], "status": one["status"], "last_seen": one["last_seen"]},
        }
        if one["status"] == "suppressed":
            result["suppressions"] = [{"kind": "external", "status": "accepted"}]
        if baseline is not None:
            result["baselineState"] = "unchanged" if one["id"] in baseline else "new"
        yield result


def milliseconds(moment: str) -> int:
    """Convert a time to milliseconds, as OCSF has it."""
    return parse_instant(moment) // 1_000
