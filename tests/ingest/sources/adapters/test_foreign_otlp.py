"""Traces of agents read as events: hand-made spans for every rule, and real traces if available."""

import contextlib
import io
import itertools
import json
import random
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.adapters import FORMATS, Memory, Reading, detect, first_bytes, plain, read_records
from ingest.sources.adapters.otlp_protobuf import decoded
from lineage.core.model.errors import BadRecordError
from tests.support.adapter_tables import Row, check, read
from tests.support.foreign_worlds import Desk, data, principals, truth

TRACE = "0af7651916cd43dd8448eb211c80319c"
BEGAN = 1_772_359_200_000_000_000  # 2026-03-01T10:00:00Z
OTLP = FORMATS["otlp"]


def span(
    id_: int, above: int | None, name: str = "x", *, at: int = 0, failed: bool = False, **fields: Any
) -> dict[str, Any]:
    """Build a span of OTLP/JSON; ``__`` in the names of attributes becomes a dot."""
    attributes = [
        {"key": key.replace("__", "."), "value": {"boolValue" if isinstance(value, bool) else "stringValue": value}}
        for key, value in fields.items()
    ]
    return {
        "traceId": TRACE,
        "spanId": f"{id_:016x}",
        "name": name,
        "kind": "SPAN_KIND_INTERNAL",
        "startTimeUnixNano": str(BEGAN + (at or id_) * 1_000_000),
        "endTimeUnixNano": str(BEGAN + 60_000_000_000),
        "attributes": attributes,
        "status": {"code": "STATUS_CODE_ERROR"} if failed else {},
    } | ({"parentSpanId": f"{above:016x}"} if above else {})


def exported(*spans: dict[str, Any]) -> dict[str, Any]:
    """Build an export request."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "desk"}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "s"}, "spans": list(spans)}]}]}


def id_of(number: int) -> str:
    return f"otlp#{TRACE}/{number:016x}"


def agent(id_: int, above: int | None, name: str, **extra: Any) -> dict[str, Any]:
    return span(
        id_, above, f"invoke_agent {name}", gen_ai__operation__name="invoke_agent", gen_ai__agent__name=name, **extra
    )


def tool(id_: int, above: int | None, name: str, **extra: Any) -> dict[str, Any]:
    return span(
        id_, above, f"execute_tool {name}", gen_ai__operation__name="execute_tool", gen_ai__tool__name=name, **extra
    )


def handed_over(id_: int, above: int, from_: str, to: str, **extra: Any) -> dict[str, Any]:
    fields = {
        "gen_ai__operation__name": "agent_handoff",
        "gen_ai__handoff__from_agent": from_,
        "gen_ai__handoff__to_agent": to,
    }
    return span(id_, above, "agent_handoff Stamped On All", gen_ai__agent__name="Stamped On All", **fields, **extra)


CHAT = span(1, None, "POST /chat", enduser__id="ann@example.org", session__id="c1")
ANN = {"type": "principal.registered", "principal": "otlp:user:ann@example.org", "kind": "human"}


def registered(name: str) -> dict[str, Any]:
    return {"type": "principal.registered", "principal": f"otlp:agent:{name}", "kind": "agent", "display_name": name}


def called(id_: int, name: str, outcome: str = "succeeded") -> dict[str, Any]:
    return {"type": "action.performed", "action": id_of(id_), "tool": name, "outcome": outcome, "actor": None}


def by(id_: int, name: str | None, grant: int | None, **extra: Any) -> dict[str, Any]:
    return {
        "type": "action.performed",
        "action": id_of(id_),
        "actor": f"otlp:agent:{name}" if name else None,
        "delegation": id_of(grant) if grant else None,
    } | extra


def granted(id_: int, by_: str, to: str, *parents: int) -> dict[str, Any]:
    return {
        "type": "delegation.granted",
        "delegation": id_of(id_),
        "delegator": by_ if ":" in by_ else f"otlp:agent:{by_}",
        "delegatee": f"otlp:agent:{to}",
        "parents": [id_of(parent) for parent in parents] or None,
    }


ROWS = [
    Row(
        "an agent works for the person above it, whatever is in between",
        [
            exported(
                CHAT,
                span(2, 1),
                agent(3, 2, "boss"),
                span(4, 3),
                tool(5, 4, "search", gen_ai__tool__call__arguments='{"q": 1}'),
            )
        ],
        [
            ANN,
            registered("boss"),
            called(5, "search")
            | {
                "params_digest": read(OTLP, [exported(tool(5, 4, "search", input__value='{"q":1}'))]).events[0][
                    "params_digest"
                ]
            },
            granted(3, "otlp:user:ann@example.org", "boss"),
            by(5, "boss", 3, session="otlp#c1", traceparent=f"00-{TRACE}-{5:016x}-01", txn=TRACE),
        ],
        skipped=["no-agent-work", "no-agent-work"],
    ),
    Row(
        "an agent called as a tool is delegated to by the agent above it",
        [exported(CHAT, agent(2, 1, "boss"), tool(3, 2, "ask_hand"), agent(4, 3, "hand"), tool(5, 4, "search"))],
        [
            ANN,
            registered("boss"),
            called(3, "ask_hand"),
            registered("hand"),
            called(5, "search"),
            granted(2, "otlp:user:ann@example.org", "boss"),
            by(3, "boss", 2),
            granted(4, "boss", "hand", 2),
            by(5, "hand", 4, parent_action=id_of(3)),
        ],
    ),
    Row(
        "a hand-off is a sibling: the agent that takes over is delegated to by the giver",
        [
            exported(
                *(CHAT, agent(2, 1, "boss"), handed_over(3, 2, "boss", "hand"), agent(4, 1, "hand")),
                tool(5, 4, "search", gen_ai__agent__name="Stamped On All"),
            )
        ],
        [
            *(ANN, registered("boss"), registered("boss"), registered("hand"), registered("hand"), called(5, "search")),
            *(granted(2, "otlp:user:ann@example.org", "boss"), granted(4, "boss", "hand", 2), by(5, "hand", 4)),
        ],
    ),
    Row(
        "there and back again: of several hand-offs the latest before it counts",
        [
            exported(
                *(CHAT, agent(2, 1, "boss"), handed_over(3, 2, "boss", "hand"), agent(4, 1, "hand")),
                *(
                    handed_over(5, 4, "hand", "boss"),
                    agent(6, 1, "boss"),
                    handed_over(7, 6, "boss", "hand"),
                    agent(8, 1, "hand"),
                ),
            )
        ],
        [
            *(ANN, registered("boss"), registered("boss"), registered("hand"), registered("hand")),
            *(
                registered("hand"),
                registered("boss"),
                registered("boss"),
                registered("boss"),
                registered("hand"),
                registered("hand"),
            ),
            *(granted(2, "otlp:user:ann@example.org", "boss"), granted(4, "boss", "hand", 2)),
            *(granted(6, "hand", "boss", 4), granted(8, "boss", "hand", 6)),
        ],
    ),
    Row(
        "OpenInference has other attributes, and its hand-off is a tool without a name",
        [
            exported(
                CHAT,
                span(2, 1, "desk", openinference__span__kind="AGENT"),  # the run as a whole: it has no agent's name
                span(3, 2, "boss", openinference__span__kind="AGENT", agent__name="boss"),
                span(
                    4, 3, "handoff to hand", openinference__span__kind="TOOL", input__value="boss", output__value="hand"
                ),
                span(5, 2, "hand", openinference__span__kind="AGENT", agent__name="hand"),
                span(6, 5, "search", openinference__span__kind="TOOL", tool__name="search"),
                span(7, 5, "m", openinference__span__kind="LLM"),
            )
        ],
        [
            *(ANN, registered("boss"), registered("boss"), registered("hand"), registered("hand"), called(6, "search")),
            *(granted(3, "otlp:user:ann@example.org", "boss"), granted(5, "boss", "hand", 3), by(6, "hand", 5)),
        ],
        skipped=["no-agent-work", "model-call"],
    ),
    Row(
        "client and server both report one call of an agent: that is not a hand-off",
        [exported(CHAT, agent(2, 1, "boss"), agent(3, 2, "hand"), agent(4, 3, "hand"), tool(5, 4, "search"))],
        [
            *(ANN, registered("boss"), registered("hand"), registered("hand"), called(5, "search")),
            *(
                granted(2, "otlp:user:ann@example.org", "boss"),
                granted(3, "boss", "hand", 2),
                granted(4, "boss", "hand", 2),
            ),
            by(5, "hand", 4),
        ],
    ),
    Row(
        "without a person nobody delegated to the first agent, and its grant is a gap",
        [exported(agent(2, None, "boss"), agent(3, 2, "hand"), tool(4, 3, "search"))],
        [registered("boss"), registered("hand"), called(4, "search"), granted(3, "boss", "hand", 2), by(4, "hand", 3)],
    ),
    Row(
        "without an agent the application calls the tool for the person",
        [exported(span(1, None, user__id="human:ann"), tool(2, 1, "search", failed=True))],
        [
            {"type": "principal.registered", "principal": "human:ann"},
            called(2, "search", "failed"),
            by(2, None, None, on_behalf_of="human:ann", outcome="failed"),
        ],
    ),
    Row(
        "without either nothing is claimed",
        [exported(span(1, None), tool(2, 1, "search", error__type="timeout"))],
        [called(2, "search", "failed")],
        skipped=["no-agent-work"],
    ),
    Row(
        "while a span in between is missing, the spans above it are unknown",
        [exported(CHAT, agent(3, 2, "boss"), tool(4, 3, "search"))],
        [ANN, registered("boss"), called(4, "search"), by(4, "boss", 3, session=None)],
    ),
    Row(
        "a conversation with one agent is the session if the application names none",
        [exported(agent(2, None, "boss"), tool(3, 2, "search", gen_ai__conversation__id="k1"))],
        [registered("boss"), called(3, "search"), by(3, "boss", 2, session="otlp#k1")],
    ),
    Row(
        "a hand-off that names another giver than the agent above does not count",
        [exported(CHAT, agent(2, 1, "boss"), handed_over(3, 2, "other", "hand"), agent(4, 1, "hand"))],
        [
            *(ANN, registered("boss"), registered("other"), registered("hand"), registered("hand")),
            *(granted(2, "otlp:user:ann@example.org", "boss"), granted(4, "otlp:user:ann@example.org", "hand")),
        ],
    ),
    Row(
        "a span that cannot be placed is quarantined, and does not affect the others",
        [
            exported(
                CHAT,
                span(2, 1) | {"traceId": "?"},
                span(3, 1) | {"spanId": "0" * 16},
                span(4, 1) | {"startTimeUnixNano": "soon"},
                span(5, 1) | {"startTimeUnixNano": True},
                span(6, 1) | {"attributes": [None, {"key": 1}, {"key": "a", "value": []}, {"key": "b", "value": {}}]},
            ),
        ],
        [ANN],
        skipped=["no-agent-work"],
        faults=["missing-field", "missing-field", "bad-time", "bad-time"],
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_rule(row: Row):
    """
    A trace, its events, and the rules of the kit; the spans in any order and in any batches.
    """
    check(OTLP, row)
    spans = [
        one for record in row.records for scope in record["resourceSpans"] for one in scope["scopeSpans"][0]["spans"]
    ]
    whole = facts(read(OTLP, row.records).events)
    shuffler = random.Random(7)
    for _ in range(20):
        shuffled = shuffler.sample(spans, len(spans))
        cut = shuffler.randrange(len(spans) + 1)
        assert whole == facts(read(OTLP, [exported(*shuffled[:cut]), exported(*shuffled[cut:])]).events)


def facts(events: list[dict[str, Any]]) -> set[str]:
    return {json.dumps(event, sort_keys=True) for event in events}


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12), st.randoms(use_true_random=False), st.data())
def test_any_tree_of_agents_and_tools_in_any_order(above, shuffler, draw):
    """
    Each tool call belongs to its nearest agent, each agent is called by the nearest one above, the first by the person.
    """
    kinds = [draw.draw(st.sampled_from(["agent", "tool", "other"])) for _ in above]
    parents = {number + 2: min(parent, number) + 1 for number, parent in enumerate(above)}
    spans = [CHAT]
    for number, kind in enumerate(kinds, start=2):
        made = {"agent": agent, "tool": tool, "other": span}[kind]
        spans.append(made(number, parents[number], f"n{number}"))

    def nearest(number: int) -> int | None:
        while (number := parents.get(number, 0)) > 1:
            if kinds[number - 2] == "agent":
                return number
        return None

    events = read(OTLP, [exported(*shuffler.sample(spans, len(spans)))]).events

    grants = {event["delegation"]: event for event in events if event["type"] == "delegation.granted"}
    done = {event["action"]: event.get("delegation") for event in events if event["event_id"].endswith("/by")}
    for number, kind in enumerate(kinds, start=2):
        up = nearest(number)
        if kind == "agent":
            expected = (f"otlp:agent:n{up}", [id_of(up)]) if up else ("otlp:user:ann@example.org", None)
            assert expected == (grants[id_of(number)]["delegator"], grants[id_of(number)].get("parents"))
        if kind == "tool":
            assert (id_of(up) if up else None) == done[id_of(number)]


def test_a_live_trace_is_explained_once_its_root_is_known():
    """
    Not before, because a hand-off further up may still come; and without waiting for the end of the input.
    """
    reading = Reading(OTLP, None, Memory())

    def batch(*spans: dict[str, Any]) -> list[str]:
        for record in read_records(io.BytesIO(json.dumps(exported(*spans)).encode())):
            list(reading.outcomes(record))
        return [event["type"] for outcome in reading.settled(end=False) for event in outcome.translation.events]

    assert [] == batch(tool(4, 3, "search"))
    assert [] == batch(agent(3, 1, "boss"))
    assert ["action.performed", "delegation.granted"] == batch(CHAT)
    assert [] == batch()


def test_a_deep_trace_and_a_loop_terminate():
    """
    Ten thousand nested spans, and a span that is its own ancestor.
    """
    deep = [agent(2, 1, "boss"), *(span(number, number - 1) for number in range(3, 3_000)), tool(3_000, 2_999, "t")]

    found = read(OTLP, [exported(CHAT, *reversed(deep))])
    looped = read(OTLP, [exported(agent(2, 3, "a"), agent(3, 2, "b"), tool(4, 2, "t"))])

    assert "otlp:agent:boss" == next(event["actor"] for event in found.events if event["event_id"].endswith("/by"))
    assert "otlp:agent:a" == next(event["actor"] for event in looped.events if event["event_id"].endswith("/by"))


# Protobuf


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def field(number: int, value: bytes | int | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def in_protobuf(request: dict[str, Any]) -> bytes:
    """Encode an export request as an exporter does, according to opentelemetry/proto/trace/v1/trace.proto."""

    def attribute(one: dict[str, Any]) -> bytes:
        value = one["value"]
        result = field(2, int(value["boolValue"])) if "boolValue" in value else field(1, value["stringValue"])
        return field(1, one["key"]) + field(2, result)

    def encoded(one: dict[str, Any]) -> bytes:
        ids = [(1, one["traceId"]), (2, one["spanId"]), (4, one.get("parentSpanId", ""))]
        raw = b"".join(field(number, bytes.fromhex(id_)) for number, id_ in ids if id_)
        raw += field(5, one["name"]) + field(6, 1)
        raw += (
            b"\x39"
            + struct.pack("<Q", int(one["startTimeUnixNano"]))
            + b"\x41"
            + struct.pack("<Q", int(one["endTimeUnixNano"]))
        )
        raw += b"".join(field(9, attribute(value)) for value in one["attributes"])
        raw += field(11, b"\x09" + struct.pack("<Q", 5) + field(2, "an event of the span"))
        return raw + field(15, field(3, 2) if one["status"] else b"") + b"\x85\x01" + struct.pack("<I", 256)

    scopes = request["resourceSpans"]
    return b"".join(
        field(
            1,
            field(1, b"".join(field(1, attribute(one)) for one in scope["resource"]["attributes"]))
            + b"".join(
                field(
                    2,
                    field(1, field(1, "s"))
                    + b"".join(field(2, encoded(one)) for one in spans["spans"])
                    + field(3, "url"),
                )
                for spans in scope["scopeSpans"]
            ),
        )
        for scope in scopes
    )


@pytest.mark.parametrize("row", ROWS[:-1], ids=str)
def test_protobuf_is_equivalent_to_json(row: Row):
    """
    One request, and several of them, each preceded by its size, as the Collector writes them.
    """
    requests = [in_protobuf(record) for record in row.records]
    framed = b"".join(struct.pack(">I", len(request)) + request for request in requests)

    assert (
        facts(read(OTLP, row.records).events)
        == facts(read(OTLP, requests).events)
        == facts(read(OTLP, [framed]).events)
    )
    for raw in (*requests, framed):
        assert "otlp" == detect(first_bytes(plain(io.BytesIO(raw))))


def test_a_large_request_is_recognised_by_its_beginning():
    """
    It is longer than the part that is examined.
    """
    raw = in_protobuf(exported(*(tool(number, None, "t" * 200) for number in range(1, 1_000))))

    assert len(raw) > 2 * 64 * 1024
    assert "otlp" == detect(first_bytes(plain(io.BytesIO(raw))))
    assert 999 == len(read(OTLP, [raw]).events)


def test_text_is_not_taken_for_protobuf():
    """
    A file may begin with empty lines: protobuf begins with the same byte.
    """
    line = json.dumps(exported(CHAT)).encode()

    for empty in range(1, 40):
        assert "otlp" == detect(b"\n" * empty + line)
        assert 1 == len(read(OTLP, [b"\n" * empty + line]).events)


def test_a_truncated_or_broken_request_is_quarantined():
    """
    Truncation at any byte yields a fault with a reason, or fewer spans, and never a crash.
    """
    raw = in_protobuf(exported(CHAT, tool(2, 1, "t")))

    for end in range(1, len(raw)):
        with pytest.raises(BadRecordError):
            decoded(raw[:end])
    cut = read(OTLP, [raw[:-3]])
    assert ([], ["protobuf"]) == (cut.events, cut.faults)
    framed = read(OTLP, [struct.pack(">I", len(raw)) + raw + struct.pack(">I", len(raw)) + raw[:-3]])
    assert ["truncated"] == framed.faults
    assert 3 == len(framed.events)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_fault(raw):
    """
    No other exception is raised.
    """
    with contextlib.suppress(BadRecordError):
        assert isinstance(decoded(raw), dict)


# Real traces


def told_by(folder, desk: Desk) -> list[tuple[str, str, list[str], str | None]]:
    answers = list(desk.ask("who", desk.found("otlp#", "action")))
    return sorted((answer["tool"], answer["outcome"], principals(answer), answer["human"]) for answer in answers)


@pytest.mark.parametrize("pack", ["json", "protobuf"])
def test_in_the_real_traces_every_tool_call_has_person_and_agents(tmp_path, pack):
    """
    Three instrumentations of two frameworks, one of which stamps another agent's name on all its spans.
    """
    folder, desk = data("otel"), Desk(tmp_path)
    known = truth(folder)
    files = sorted(folder.glob("*.otlp.json"))
    if pack == "protobuf":
        requests = [json.loads(file.read_text()) for file in files]
        files = [tmp_path / f"{number}.pb" for number in range(len(files))]
        for file, request in zip(files, requests, strict=True):
            file.write_bytes(in_protobuf(simplified(request)))

    desk.ingest(*files)

    person, first, second = (
        f"otlp:user:{known['human']}",
        f"otlp:agent:{known['root_agent']}",
        f"otlp:agent:{known['second_agent']}",
    )
    calls = [(name, "succeeded", [person, first, second], person) for name in known["tools_called_by_second"]] * 3
    calls.append((f"ask_{known['second_agent']}", "succeeded", [person, first], person))
    assert sorted(calls) == told_by(folder, desk)
    again = desk.ingest(*files)
    assert (again["read"], 0) == (again["duplicates"], again["accepted"])


def simplified(request: dict[str, Any]) -> dict[str, Any]:
    """Keep only attributes of two types, and remove what spans of these files leave out."""
    for scope in itertools.chain.from_iterable(one["scopeSpans"] for one in request["resourceSpans"]):
        for one in scope["spans"]:
            lines = [item for item in one.get("attributes", []) if {"stringValue", "boolValue"} & item["value"].keys()]
            one["attributes"] = lines
            one["status"] = one["status"] if one["status"].get("code") == "STATUS_CODE_ERROR" else {}
    return request
