"""Dumps of spans read as events: the SDK's console exporter, shorter forms, OpenAI's Agents SDK."""

from typing import Any

import pytest

from ingest.sources.adapters import FORMATS
from ingest.sources.adapters.formats import format_of
from tests.support.adapter_tables import Row, check
from tests.support.foreign_worlds import Desk, data, principals, truth

OTLP = FORMATS["otlp"]
TRACE = "0af7651916cd43dd8448eb211c80319c"
NATIVE = "trace_77"
AT = "2026-03-01T10:00:00.250000Z"


def printed(id_: int, above: int | None, name: str, **fields: Any) -> dict[str, Any]:
    """Build a span as the console exporter prints it; ``__`` in the names of attributes becomes a dot."""
    return {
        "name": name,
        "context": {"trace_id": f"0x{TRACE}", "span_id": f"0x{id_:016x}", "trace_state": "[]"},
        "kind": "SpanKind.INTERNAL",
        "parent_id": f"0x{above:016x}" if above else None,
        "start_time": AT,
        "end_time": AT,
        "status": {"status_code": "UNSET"},
        "attributes": {key.replace("__", "."): value for key, value in fields.items()},
        "events": [],
    }


def short(id_: int, above: int | None, name: str, **fields: Any) -> dict[str, Any]:
    """Build the same span under shorter names, and without a time."""
    attributes = printed(id_, above, name, **fields)["attributes"]
    ids = {"trace": TRACE, "span": f"{id_:016x}", "parent": f"{above:016x}" if above else None}
    return {"name": name, "kind": "INTERNAL", **ids, "attributes": attributes}


def native(id_: str, above: str | None, error: Any = None, **fields: Any) -> dict[str, Any]:
    """Build a span of OpenAI's Agents SDK."""
    time = {"started_at": AT, "ended_at": AT}
    return {
        "object": "trace.span", "id": id_, "trace_id": NATIVE, "parent_id": above, **time, "span_data": fields,
        "error": error,
    }  # fmt: skip


HEAD = {"object": "trace", "id": NATIVE, "workflow_name": "desk", "group_id": "c1", "metadata": {"user": "ann"}}
TEAM = [
    HEAD,
    native("s1", None, type="custom", name="task", data={}),
    native("s2", "s1", type="agent", name="front"),
    native("s3", "s2", type="handoff", from_agent="front", to_agent="back"),
    native("s4", "s1", type="agent", name="back") | {"started_at": "2026-03-01T10:00:01Z"},
    native("s5", "s4", type="function", name="book", input='{"x": 1}', output="ok"),
    native("s6", "s4", {"message": "no"}, type="function", name="pay", input="{}"),
    native("s7", "s4", type="generation", model="m"),
]


def registered(principal: str, kind: str) -> dict[str, Any]:
    return {"type": "principal.registered", "principal": principal, "kind": kind}


def called(id_: str, tool: str | None, outcome: str = "succeeded", **extra: Any) -> dict[str, Any]:
    return {"type": "action.performed", "action": id_, "tool": tool, "outcome": outcome} | extra


def granted(id_: str, by: str, to: str, *parents: str) -> dict[str, Any]:
    fields = {"delegation": id_, "delegator": by, "delegatee": to, "parents": list(parents) or None}
    return {"type": "delegation.granted"} | fields


ANN, FRONT, BACK = "otlp:user:ann", "otlp:agent:front", "otlp:agent:back"
OF_FRONT, OF_BACK = f"otlp#{NATIVE}/s2", f"otlp#{NATIVE}/s4"
OF_AGENT = {"gen_ai__operation__name": "invoke_agent", "gen_ai__agent__name": "front"}
OF_TOOL = {"gen_ai__operation__name": "execute_tool", "gen_ai__tool__name": "book"}

ROWS = [
    Row(
        "the console exporter's spans, with ids in 0x and attributes by name",
        [
            printed(1, None, "POST /chat", enduser__id="ann", http__status=200, ok=True),
            printed(2, 1, "invoke_agent front", **OF_AGENT),
            printed(3, 2, "execute_tool book", **OF_TOOL) | {"status": {"status_code": "ERROR"}},
        ],
        [
            registered(ANN, "human"),
            registered(FRONT, "agent"),
            called(f"otlp#{TRACE}/{3:016x}", "book", "failed"),
            granted(f"otlp#{TRACE}/{2:016x}", ANN, FRONT),
            called(f"otlp#{TRACE}/{3:016x}", None, "failed", actor=FRONT, delegation=f"otlp#{TRACE}/{2:016x}"),
        ],
    ),
    Row(
        "a span without a time yields nothing",
        [short(1, None, "invoke_agent front", **OF_AGENT), short(2, 1, "execute_tool book", **OF_TOOL)],
        skipped=["no-time", "no-time"],
    ),
    Row(
        "the Agents SDK of OpenAI: the person of the trace's metadata, agents, a hand-off, tools",
        TEAM,
        [
            *(registered(FRONT, "agent"), registered(FRONT, "agent"), registered(BACK, "agent")),
            registered(BACK, "agent"),
            called(f"otlp#{NATIVE}/s5", "book"),
            called(f"otlp#{NATIVE}/s6", "pay", "failed"),
            *(granted(OF_FRONT, ANN, FRONT), registered(ANN, "human")),
            *(granted(OF_BACK, FRONT, BACK, OF_FRONT), registered(ANN, "human")),
            called(f"otlp#{NATIVE}/s5", None, actor=BACK, delegation=OF_BACK, session="otlp#c1"),
            registered(ANN, "human"),
            called(f"otlp#{NATIVE}/s6", None, "failed", actor=BACK, delegation=OF_BACK, session="otlp#c1"),
            registered(ANN, "human"),
        ],
        skipped=["trace-header", "no-agent-work", "model-call"],
    ),
    Row(
        "a span that cannot be placed is quarantined",
        [
            printed(1, None, "x") | {"start_time": "soon"},
            native("s1", None, type="agent", name="a") | {"trace_id": ["?"]},
            HEAD | {"id": "no id"},
        ],
        faults=["bad-time", "missing-field", "missing-field"],
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_rule(row: Row):
    """
    The dump of a library, its events, and the rules of the kit.
    """
    check(OTLP, row)


@pytest.mark.parametrize("record", [HEAD, TEAM[1], printed(1, None, "x"), short(1, None, "x")])
def test_each_form_is_recognised_by_its_marks(record):
    """
    None of them is mistaken for a record of another system.
    """
    assert "otlp" == format_of(record)


def test_in_real_traces_of_the_agents_sdk_every_tool_call_has_person_and_agents(tmp_path):
    """
    They agree with those of the instrumentations that watched the same run.
    """
    folder, desk = data("otel"), Desk(tmp_path)
    known = truth(folder)
    desk.ingest(folder / "openai-agents.native.json")

    answers = list(desk.ask("who", desk.found("otlp#", "action")))

    person = f"otlp:user:{known['human']}"
    chain = [person, *(f"otlp:agent:{known[name]}" for name in ("root_agent", "second_agent"))]
    assert [(tool, chain, person) for tool in sorted(known["tools_called_by_second"])] == sorted(
        (answer["tool"], principals(answer), answer["human"]) for answer in answers
    )


def test_every_real_span_of_mcp_is_accounted_for(tmp_path):
    """
    They were dumped without their times.
    """
    folder, desk = data("mcp"), Desk(tmp_path)
    counts = desk.ingest(folder / "spans.json")

    assert (counts["records"], 0) == (counts["skipped"]["no-time"], counts["read"])
