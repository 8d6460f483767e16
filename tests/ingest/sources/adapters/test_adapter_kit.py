"""The adapter kit: wrappers, scrubbing, format detection and memory, once for all adapters."""

import gzip
import io
import json

import pytest

from ingest.codec.credentials import handle, scrubbed_value
from ingest.sources.adapters import FORMATS, Memory, detect, first_bytes, plain
from ingest.sources.adapters.memory import MOST_WAITING
from tests.support.adapter_tables import read

EVENT = {
    "eventID": "e1",
    "eventName": "GetObject",
    "eventSource": "s3.amazonaws.com",
    "eventTime": "2026-03-01T10:00:00Z",
    "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/alice"},
}
LINE = json.dumps(EVENT)
WRAPPED = {
    "alone": EVENT,
    "an array": [EVENT],
    "Records": {"Records": [EVENT]},
    "records deeper": {"Body": "x", "value": {"records": [EVENT]}},
    "EventBridge": {"source": "aws.s3", "detail-type": "AWS API Call via CloudTrail", "detail": EVENT},
    "CloudWatch": {"messageType": "DATA_MESSAGE", "logEvents": [{"id": "1", "timestamp": 1, "message": LINE}]},
    "lookup-events": {"Events": [{"EventId": "e1", "CloudTrailEvent": LINE}]},
    "Elastic": {"_index": "x", "_source": {"event": {"original": LINE}, "message": LINE}},
    "Elastic, flat": {"_source": {"event.original": LINE}},
    "Elastic, a search": {"hits": {"total": 1, "hits": [{"_source": EVENT}]}},
    "Splunk": {"preview": False, "result": {"_raw": LINE, "source": "x"}},
    "docker": {"log": LINE + "\n", "stream": "stdout", "time": "2026-03-01T10:00:01Z"},
    "syslog in a string": {"message": f"<134>1 2026-03-01T10:00:01Z host app - - - {LINE}"},
    "a name in front": {"message": f"event={LINE}"},
    "a request": {"path": "/x", "headers": {"Host": "h"}, "body": [EVENT]},
    "AWS's documentation": {"title": "An event", "event": EVENT},
    "SQS and SNS": {"Records": [{"messageId": "m", "body": json.dumps({"Type": "Notification", "Message": LINE})}]},
}


@pytest.mark.parametrize("wrapped", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_record_is_read_in_every_wrapper(wrapped, pack):
    """
    The format is recognised, and the record yields the same single event as without a wrapper.
    """
    raw = pack(json.dumps(wrapped).encode())

    assert "cloudtrail" == detect(first_bytes(plain(io.BytesIO(raw))))
    assert ["aws#e1/action", "aws#e1/principal"] == [
        event["event_id"] for event in read(FORMATS["cloudtrail"], [raw]).events
    ]


@pytest.mark.parametrize(
    "front",
    [
        "<134>1 2026-03-01T10:00:01Z host app 7 - - ",
        '<134>1 2026-03-01T10:00:01Z host app 7 id [origin ip="192.0.2.1"] ',
        "Mar  1 10:00:01 host vault[7]: ",
        "bao-audit: {eu} ",
        "event=",
    ],
)
def test_a_prefix_before_a_record_on_its_line_is_skipped(front):
    """
    Syslog, and audit devices with a prefix, write one; it is skipped on the first line and on every other.
    """
    raw = "".join(f"{front}{json.dumps(EVENT | {'eventID': id_})}\n" for id_ in ("e1", "e2", "e3")).encode()

    assert "cloudtrail" == detect(raw)
    found = read(FORMATS["cloudtrail"], [raw])
    assert ["aws#e1/action", "aws#e2/action", "aws#e3/action"] == [
        event["event_id"] for event in found.events if event["type"] == "action.performed"
    ]
    assert [] == found.faults


@pytest.mark.parametrize("line", [f"see {LINE} for more", 'say "{}" to it', "braces { } and {}", f"{{{LINE}"])
def test_a_line_that_only_quotes_a_record_is_not_a_record(line):
    """
    Nothing may follow the record on its line.
    """
    found = read(FORMATS["cloudtrail"], [line.encode()])

    assert (0, 1) == (len(found.events), len(found.faults))


def test_a_large_document_of_lines_in_strings_is_recognised():
    """
    It is longer than the part examined, so only its byte marks tell, and within a string its quotes are escaped.
    """
    listed = [{"id": "1", "timestamp": 1, "message": LINE} for _ in range(1_000)]
    raw = json.dumps({"messageType": "DATA_MESSAGE", "logEvents": listed}).encode()

    assert "cloudtrail" == detect(first_bytes(plain(io.BytesIO(raw))))


def test_a_record_quoted_in_a_field_is_not_read():
    """
    Anyone may write anything into a field of their own request: it is not read as an event.
    """
    quoting = EVENT | {"userAgent": LINE, "requestParameters": {"Records": [EVENT | {"eventID": "forged"}]}}

    found = [event["event_id"] for event in read(FORMATS["cloudtrail"], [quoting]).events]

    assert ["aws#e1/action", "aws#e1/principal"] == found


def test_each_non_record_is_quarantined_separately():
    """
    A wrapper with a bad record does not affect the others, and all of them are counted.
    """
    found = read(FORMATS["cloudtrail"], [{"logEvents": [{"message": LINE}, {"message": "no JSON"}, {"message": "{}"}]}])

    assert (3, 2, 2) == (found.records, len(found.events), len(found.faults))


JWT = "eyJhbGciOiJub25lIn0.eyJqdGkiOiIxIn0.c2ln"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"sessionToken": "s3cr3t"}, {"sessionToken": handle("s3cr3t")}),
        ({"note": f"with {JWT} in it"}, {"note": f"with {handle(JWT)} in it"}),
        ({"password": "hunter2"}, {"password": "***"}),
        ({"client_token": "hmac-sha256:ab"}, {"client_token": "hmac-sha256:ab"}),
        ({"token": handle("x")}, {"token": handle("x")}),
        ({"jwt": {"sub": "alice", "id_token": "t"}}, {"jwt": {"sub": "alice", "id_token": handle("t")}}),
        (
            {"accessKeyId": "ASIAEXAMPLE", "token_id": "onrtro:1"},
            {"accessKeyId": "ASIAEXAMPLE", "token_id": "onrtro:1"},
        ),
    ],
)
def test_adapters_see_no_raw_credential(value, expected):
    """
    Credentials are found by name and by shape; hashed values stay, and so do digests of credentials.
    """
    assert expected == scrubbed_value(value)


def test_two_records_are_joined_whichever_comes_first():
    """
    The question waits for the answer, or finds it.
    """
    first, second = Memory(), Memory()

    assert (None, ["q"]) == (first.ask("t", "k", "q"), first.learn("t", "k", "a"))
    assert ([], "a") == (second.learn("t", "k", "a"), second.ask("t", "k", "q"))


def test_a_memory_is_bounded():
    """
    The oldest entry is evicted, and only a limited number of questions wait for one answer.
    """
    memory = Memory(most=3)
    for number in range(10):
        memory.put("t", f"k{number}", number)
        memory.ask("u", "k", number)
    for number in range(10, 2 * MOST_WAITING):
        memory.ask("u", "k", number)

    assert [7, 8, 9] == [value for _, value in memory.entries("t")]
    assert MOST_WAITING == len(list(memory.waiting("u")))


def test_a_memory_is_the_same_after_a_restart():
    """
    Each change is returned once; an entry that was added and dropped in between is not stored.
    """
    memory = Memory()
    memory.put("t", "gone", 1)
    memory.drop("t", "gone")
    memory.put("t", "stays", {"n": 2})
    memory.ask("t", "open", ["q"])
    rows = memory.changes()
    again = Memory(rows)

    assert {"stays", "open"} == {row.key for row in rows}
    assert [] == memory.changes()
    assert ({"n": 2}, [["q"]]) == (again.get("t", "stays"), again.learn("t", "open", "a"))
    again.drop("t", "stays")
    assert ("t", "stays", None) in again.changes()
