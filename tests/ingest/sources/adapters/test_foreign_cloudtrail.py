"""CloudTrail read as events: hand-made records for every rule, and real ones if they are available."""

import gzip
import io
import json
from collections import Counter

import pytest

from ingest.codec import credentials
from ingest.codec.api import event_from_document
from ingest.sources.adapters import (
    FORMATS,
    detect,
    first_bytes,
    plain,
    read_records,
    translations,
)
from ingest.sources.adapters.json_documents import RECORD_BYTES
from lineage.core.model.events import Fact
from lineage.core.model.times import parse_instant
from tests.support.cloudtrail_records import (
    ACCOUNT,
    ASSUMED,
    ROLE,
    SESSION,
    SESSION_TOKEN,
    USER,
    event,
    sts,
)
from tests.support.places import DATA


def run(*records):
    raw = b"\n".join(json.dumps(record).encode() for record in records)
    return list(translations(read_records(io.BytesIO(raw)), FORMATS["cloudtrail"]))


def events_of(record):
    """Return the events of one record, by type; each passes the codec."""
    ((_, translation),) = run(record)
    assert translation.fault is None
    for document in translation.events:
        event_from_document(document)
    return {document["type"]: document for document in translation.events}


def action_of(record):
    return events_of(record)["action.performed"]


def token_of(record):
    return events_of(record).get("token.issued")


def test_an_event_is_an_action_under_the_callers_key():
    """
    The actor of an IAM user is the user; nothing is claimed about whom it acts for.
    """
    expected = {
        "type": "action.performed",
        "event_id": "aws#e1/action",
        "source": f"urn:aws:cloudtrail:{ACCOUNT}",
        "occurred_at": "2026-03-01T10:00:00Z",
        "action": "aws#e1",
        "operation": "ListThings",
        "outcome": "succeeded",
        "tool": "things.amazonaws.com",
        "token": "aws#AKIAANN",
        "actor": USER["arn"],
    }
    assert expected == action_of(event())


def test_an_assumed_role_acts_as_the_role_in_its_session():
    """
    The event that issues the key states the same actor, so that use of the key by another party is detected.
    """
    action = action_of(event(identity=ASSUMED))

    assert (ROLE, SESSION, "aws#ASIADEPLOY") == (action["actor"], action["session"], action["token"])
    assert "on_behalf_of" not in action


def test_a_source_identity_is_not_stated_by_the_log():
    """
    The caller chose it: an action does not claim to be done for that party.
    """
    context = ASSUMED["sessionContext"] | {"sourceIdentity": "ann@example.com"}

    assert "ann@example.com" not in json.dumps(action_of(event(identity=ASSUMED | {"sessionContext": context})))


def test_an_assumed_role_issues_a_key_derived_from_the_callers():
    """
    The subject is the caller, the actor the role, the session the assumed role.
    """
    expected = {
        "type": "token.issued",
        "event_id": "aws#e1/token",
        "source": f"urn:aws:cloudtrail:{ACCOUNT}",
        "occurred_at": "2026-03-01T10:00:00Z",
        "token": "aws#ASIANEW",
        "subject": USER["arn"],
        "actor": ROLE,
        "session": SESSION,
        "derived_from": [{"token": "aws#AKIAANN", "role": "subject"}],
        "expires_at": "2026-03-01T11:00:00Z",
    }
    assert expected == token_of(sts())


@pytest.mark.parametrize(
    ("extra", "subject"),
    [
        ({"identity": ASSUMED}, ROLE),
        ({"identity": {"type": "AWSAccount", "principalId": "AIDA9", "accountId": "1"}}, "AIDA9"),
        ({"identity": {"type": "AWSAccount", "accountId": "999988887777"}}, "999988887777"),
        ({"identity": {"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}}, "ec2.amazonaws.com"),
        ({"identity": {"type": "IdentityCenterUser", "onBehalfOf": {"userId": "u-1"}}}, "u-1"),
    ],
)
def test_the_subject_is_the_caller(extra, subject):
    """
    A role acts for the role before it.
    """
    assert subject == token_of(sts(**extra))["subject"]


@pytest.mark.parametrize(
    "extra",
    [
        {"answer": {"sourceIdentity": "ann"}},
        {"asked": {"sourceIdentity": "ann"}},
        {"identity": USER | {"sessionContext": {"sourceIdentity": "ann"}}},
    ],
)
def test_a_source_identity_is_asserted_within_its_account(extra):
    """
    It is stated in addition to the caller, never instead: anyone who assumes a role chooses it.
    """
    token = token_of(sts(**extra))

    assert (USER["arn"], [f"aws:{ACCOUNT}:source-identity:ann"]) == (token["subject"], token["prior_actors"])


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("AssumeRoleWithSAML", {"type": "SAMLUser", "principalId": "idp=:ann", "userName": "ann"}),
        ("AssumeRoleWithWebIdentity", {"type": "WebIdentityUser", "principalId": "idp:app:ann"}),
        ("AssumeRole", {"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}),
    ],
)
def test_fresh_authentication_is_not_a_derivation(name, identity):
    """
    A caller with an assertion, or a service, has no key.
    """
    token = token_of(sts(name, identity=identity))

    assert "derived_from" not in token
    assert identity.get("principalId", "ec2.amazonaws.com") == token["subject"]


def test_a_session_token_stays_with_its_user():
    """
    GetSessionToken gives the same user another key, which no role uses.
    """
    answer = {"credentials": {"accessKeyId": "ASIANEW", "expiration": "2026-03-01T22:00:00Z"}}
    record = event("GetSessionToken", eventSource="sts.amazonaws.com", responseElements=answer)

    token = token_of(record)

    assert (USER["arn"], None, "2026-03-01T22:00:00Z") == (
        token["subject"],
        token.get("actor"),
        token["expires_at"],
    )
    assert [{"token": "aws#AKIAANN", "role": "subject"}] == token["derived_from"]


def test_a_federated_user_uses_the_key_issued_to_it():
    """
    GetFederationToken: the user lends its authority to a name, which is the actor of everything done with the key.
    """
    arn = f"arn:aws:sts::{ACCOUNT}:federated-user/bob"
    answer = {"credentials": {"accessKeyId": "ASIANEW"}, "federatedUser": {"arn": arn}}
    record = event("GetFederationToken", eventSource="sts.amazonaws.com", responseElements=answer)
    identity = {"type": "FederatedUser", "arn": arn, "accessKeyId": "ASIANEW"}

    token, action = token_of(record), action_of(event(identity=identity))

    assert (USER["arn"], arn) == (token["subject"], token["actor"])
    assert (token["token"], arn) == (action["token"], action["actor"])


def test_a_key_derived_from_itself_is_emitted_as_logged():
    """
    This is impossible, and the core reports it (``cycle``); leaving it out would hide that the log states it.
    """
    assert [{"token": "aws#AKIAANN", "role": "subject"}] == token_of(sts(key="AKIAANN"))["derived_from"]


def test_a_key_that_is_merely_used_is_not_issued():
    """
    A key that the log never issues stays a gap, and a refused call issues none.
    """
    refused = event("AssumeRole", eventSource="sts.amazonaws.com", errorCode="AccessDenied")
    other = sts() | {"eventSource": "things.amazonaws.com"}

    assert [None, None, None] == [token_of(record) for record in (event(), refused, other)]


def test_a_key_without_a_known_recipient_is_a_fault():
    """
    A token must have a subject, and none is invented.
    """
    ((_, translation),) = run(sts(identity={"type": "Unknown"}))

    assert "missing-field" == translation.fault.reason


@pytest.mark.parametrize(
    ("logged", "expected"),
    [
        ("2026-03-01T11:00:00Z", "2026-03-01T11:00:00Z"),
        ("2026-03-01T12:00:00+01:00", "2026-03-01T12:00:00+01:00"),
        ("2026-03-01 11:00:00", "2026-03-01T11:00:00Z"),
        (1772362800, "2026-03-01T11:00:00.000000Z"),
        ("Mar 1, 2026, 11:00:00 AM", "2026-03-01T11:00:00Z"),
        ("Mar 1, 2026 11:00:00 AM", "2026-03-01T11:00:00Z"),
        ("Dec 31, 2026, 12:08:19 PM", "2026-12-31T12:08:19Z"),
        ("Dec 31, 2026, 12:08:19\u202fAM", "2026-12-31T00:08:19Z"),
        ("Dec 31, 2026, 1:08:19 PM", "2026-12-31T13:08:19Z"),
        (None, None),
    ],
)
def test_an_expiration_is_read_in_both_forms(logged, expected):
    """
    The one for people names no zone and is in UTC, in any version of Java's punctuation.
    """
    assert expected == token_of(sts(expiration=logged)).get("expires_at")


@pytest.mark.parametrize("logged", ["soon", "Mar 32, 2026, 11:00:00 AM", "2026-13-01T11:00:00", "1 mars 2026"])
def test_an_expiration_in_another_form_is_a_fault(logged):
    """
    A key with an unreadable expiry must not seem to live for ever.
    """
    ((_, translation),) = run(sts(expiration=logged))

    assert "bad-time" == translation.fault.reason


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, "succeeded"),
        ({"errorCode": "AccessDenied"}, "denied"),
        ({"errorCode": "AccessDeniedException"}, "denied"),
        ({"errorCode": "Client.UnauthorizedOperation"}, "denied"),
        ({"errorCode": "VpceAccessDenied"}, "denied"),
        ({"errorCode": "NotAuthorizedException"}, "denied"),
        ({"errorCode": "NoSuchBucket"}, "failed"),
        ({"errorMessage": "Failed authentication"}, "failed"),
        ({"responseElements": {"ConsoleLogin": "Failure"}}, "failed"),
        ({"responseElements": {"ConsoleLogin": "Success"}}, "succeeded"),
    ],
)
def test_outcomes(extra, expected):
    """
    A refusal is a denial in every spelling of the services; any other error is a failure.
    """
    assert expected == action_of(event(**extra))["outcome"]


@pytest.mark.parametrize(
    ("identity", "actor"),
    [
        ({"type": "AWSService", "invokedBy": "config.amazonaws.com"}, "config.amazonaws.com"),
        ({"type": "Root", "arn": f"arn:aws:iam::{ACCOUNT}:root"}, f"arn:aws:iam::{ACCOUNT}:root"),
        ({"type": "AssumedRole", "arn": SESSION}, SESSION),
        ({"type": "IAMUser", "accountId": ACCOUNT, "accessKeyId": ""}, None),
        ({"type": "AWSAccount", "principalId": "", "accountId": "ANONYMOUS_PRINCIPAL"}, None),
        (None, None),
    ],
)
def test_an_action_without_a_key_has_no_token(identity, actor):
    """
    The actor is the one that the log names, if any.
    """
    action = action_of(event(identity=identity))

    assert (None, actor) == (action.get("token"), action.get("actor"))


def test_the_resource_is_the_first_in_the_list():
    """
    With its type as logged; for an assumed role without a list it is the role.
    """
    thing = {"ARN": "arn:aws:s3:::b/k", "type": "AWS::S3::Object"}
    listed = event(resources=[thing, {"ARN": "arn:aws:s3:::b"}])

    assert {"id": "arn:aws:s3:::b/k", "type": "AWS::S3::Object"} == action_of(listed)["resource"]
    assert {"id": ROLE} == action_of(sts())["resource"]


def test_a_timestamp_replaces_a_missing_event_time():
    """
    Exporters write it; without either the record is a fault.
    """
    exported = event() | {"@timestamp": "2026-03-01T10:00:00.000Z"}
    del exported["eventTime"]
    neither = {name: value for name, value in exported.items() if name != "@timestamp"}

    assert "2026-03-01T10:00:00.000Z" == action_of(exported)["occurred_at"]
    assert "missing-field" == run(neither)[0][1].fault.reason


@pytest.mark.parametrize(
    ("extra", "source"),
    [
        ({}, f"urn:aws:cloudtrail:{ACCOUNT}"),
        ({"recipientAccountId": None}, f"urn:aws:cloudtrail:{ACCOUNT}"),
        ({"recipientAccountId": "me too"}, "urn:aws:cloudtrail"),
        ({"recipientAccountId": None, "userIdentity": {"type": "AWSService"}}, "urn:aws:cloudtrail"),
    ],
)
def test_each_account_is_a_source(extra, source):
    """
    The account is that of the trail; a value that is not an account number never becomes part of the name.
    """
    assert source == action_of(event() | extra)["source"]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (event(eventCategory="Insight"), "insight"),
        (event(eventType="AwsCloudTrailInsight"), "insight"),
        ({"awsAccountId": ACCOUNT, "digestStartTime": "2026-03-01T10:00:00Z"}, "digest-file"),
    ],
)
def test_a_record_without_authority_or_action_is_skipped(record, reason):
    """
    The reason is counted.
    """
    assert [reason] == [translation.skipped for _, translation in run(record)]


@pytest.mark.parametrize("field", ["eventID", "eventName"])
def test_a_record_that_is_not_an_event_is_a_fault(field):
    """
    It is quarantined.
    """
    record = event()
    del record[field]

    assert "missing-field" == run(record)[0][1].fault.reason


def test_no_credential_gets_into_an_event_or_into_quarantine():
    """
    The session token, the secret key and the assertion are replaced by digests; the rest of the record stays.
    """
    asked = {"sAMLAssertion": "PHNhbWw+" * 20, "webIdentityToken": "anything"}
    record = sts(asked=asked)
    record["responseElements"]["credentials"]["secretAccessKey"] = "wJalrXUtnFEMI"
    raw = json.dumps(record).encode()

    kept = credentials.kept(raw)

    for secret in (SESSION_TOKEN, "PHNhbWw+", "anything", "wJalrXUtnFEMI"):
        assert secret not in json.dumps(list(events_of(record).values()))
        assert secret.encode() not in kept
    assert {"accessKeyId": "ASIANEW", "expiration": "Mar 1, 2026, 11:00:00 AM"}.items() <= (
        json.loads(kept)["responseElements"]["credentials"].items()
    )
    cut_off = credentials.kept(raw[:-300])
    assert cut_off.startswith(raw[:200])
    assert SESSION_TOKEN[:12].encode() not in cut_off


WRITTEN = {
    "lines": lambda events: b"\n".join(json.dumps(each).encode() for each in events),
    "array": lambda events: json.dumps(events).encode(),
    "pretty array": lambda events: json.dumps(events, indent=1).encode(),
    "delivered": lambda events: json.dumps({"Records": events}).encode(),
    "delivered, gzipped": lambda events: gzip.compress(json.dumps({"Records": events}).encode()),
    "delivered, one after the other": lambda events: b"".join(
        json.dumps({"Records": [each], "n": {"]": 1}}, indent=1).encode() for each in events
    ),
    "samples": lambda events: json.dumps([{"title": "a sample", "event": each} for each in events]).encode(),
    "objects without a newline": lambda events: b"".join(json.dumps(each).encode() for each in events),
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN.keys())
def test_formats_are_recognised_and_read(written):
    """
    The events and their positions are the same in every way of writing them.
    """
    events = [event(id_="e1"), sts(id_="e2"), event(id_='e3 "}],{[\\')]
    reader = plain(io.BytesIO(written(events)))

    assert "cloudtrail" == detect(first_bytes(reader))
    found = list(translations(read_records(reader), FORMATS["cloudtrail"]))
    assert [(1, 2), (2, 2), (3, 1)] == [(record.position, len(t.events)) for record, t in found]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b'{"type":"action.performed","event_id":"e","source":"urn:x","eventName":"x"}\n', "jsonl"),
        (b'{"type":"token.issued","source":"urn:x","event_id":"e', "jsonl"),
        (b'{"Records":[{"eventVersion":"1.08","userIdentity":{"type":"IAMU', "cloudtrail"),
        (b"\xc3\x01anything", "avro"),
        (b"Obj\x01anything", "avro"),
        (b'{"type":"token.issued","sub":"x"}', "jsonl"),
        (b'{"event_id":"e","occurred_at":"now"}', "jsonl"),
        (b'{"event_id":"e","message":"of another system"}', None),
        (b"not json\n", None),
        (b"", None),
    ],
)
def test_the_format_of_a_file(head, expected):
    """
    The first record decides; a record that is nearly ours counts as ours, and its bad lines are quarantined.
    """
    assert expected == detect(head)
    assert expected in {*FORMATS, "jsonl", "avro", None}


def test_a_bad_record_in_an_array_does_not_affect_the_others():
    """
    This holds if its brackets close; if the file is truncated, that is reported once.
    """
    good = json.dumps(event()).encode()
    pieces = [good, b'{"a":NaN}', b'{"a":1,"a":2}', b"5", b"{'a':1}", good, good[:50]]

    found = list(translations(read_records(io.BytesIO(b"[" + b", ".join(pieces))), FORMATS["cloudtrail"]))

    expected = [None, "json", "duplicate-key", "not-an-object", "json", None, "truncated"]
    assert expected == [translation.fault and translation.fault.reason for _, translation in found]
    assert list(range(1, 8)) == [record.position for record, _ in found]


@pytest.mark.parametrize(
    ("raw", "reasons"),
    [
        (b"", []),
        (b" \n\n", []),
        (b"[]", []),
        (b"[{}]nonsense", [None, "json"]),
        (b'[{"a":"\\', ["truncated"]),
        (b"[}{}]", [None]),
        (b"[1}", ["not-an-object", "truncated"]),
        (b"\xff\xfe{}", ["utf-8"]),
        (b"[" * 100_000, ["truncated"]),
        (b"[" + b"[" * 5000 + b"]" * 5000 + b",{}]", ["too-deep", None]),
        (b'{"a":' + b"1" * 5000 + b"}", ["json"]),
    ],
)
def test_hostile_bytes_are_faults(raw, reasons):
    """
    Reading any file ends without an exception.
    """
    records = list(read_records(io.BytesIO(raw)))

    assert reasons == [record.fault and record.fault.reason for record in records]
    assert all(isinstance(credentials.kept(record.raw), bytes) for record in records)
    assert detect(raw) is None


def test_a_list_truncated_between_records_is_reported():
    """
    The lost part of the file was in the list.
    """
    records = list(read_records(io.BytesIO(b"[" + json.dumps(event()).encode() + b",")))

    assert [None, "truncated"] == [record.fault and record.fault.reason for record in records]


def test_a_record_that_is_too_large_is_skipped():
    """
    It is not kept in memory; its beginning is quarantined, and reading continues after it.
    """
    large = event(userAgent='x"\\]}' * (RECORD_BYTES // 5))

    records = list(read_records(io.BytesIO(json.dumps([large, event(id_="e2")]).encode())))

    assert ["too-large", None] == [record.fault and record.fault.reason for record in records]
    assert 1024 == len(records[0].raw)
    assert "e2" == records[1].value["eventID"]


@pytest.mark.parametrize("where", [12, 200, -9])
def test_a_truncated_gzip_is_reported(where):
    """
    Everything before the cut is read.
    """
    lines = b"\n".join(json.dumps(event(id_=f"e{number}")).encode() for number in range(2000))

    records = list(read_records(io.BytesIO(gzip.compress(lines)[:where])))

    assert "broken-gzip" == records[-1].fault.reason
    assert all(record.fault is None for record in records[:-1])
    assert where != -9 or len(records) > 1500


def test_reading_twice_yields_only_duplicates():
    """
    The identity of an event comes from its record alone.
    """
    records = [event(id_="e1"), sts(id_="e2")]

    assert run(*records) == run(*records)


@pytest.fixture(name="folder")
def _folder():
    folder = DATA / "cloudtrail"
    if not folder.exists():
        pytest.skip("cloudtrail/ is not there: set DELEGRAPH_TEST_DATA to the folder of real logs")
    return folder


def documents_of(folder, name):
    (path,) = folder.glob(name)
    with path.open("rb") as stream:
        reader = plain(stream)
        assert "cloudtrail" == detect(first_bytes(reader))
        found = list(translations(read_records(reader), FORMATS["cloudtrail"]))
    return [(record and record.position, document) for record, t in found for document in t.events]


def test_in_the_real_trail_the_stolen_key_leads_to_its_role(folder):
    """
    103 events; record 44 issues the key to the web server's role, and all its actions are under that key.
    """
    documents = documents_of(folder, "ec2_proxy*.json")
    role = "arn:aws:iam::123456789123:role/MordorNginxStack-BankingWAFRole-9S3E0UAE1MM0"
    key = "aws#ASIA5FLZVX4OPVKKVBMX"

    types = Counter(d["type"] for _, d in documents)
    assert Counter({"action.performed": 103, "token.issued": 5, "principal.registered": 1}) == types
    for _, document in documents:
        event_from_document(document)
    ((position, issue),) = [(p, d) for p, d in documents if d["type"] == "token.issued" and d["token"] == key]
    assert (44, "ec2.amazonaws.com", role) == (position, issue["subject"], issue["actor"])
    assert ("2020-09-14T07:10:27Z", None) == (issue["expires_at"], issue.get("derived_from"))
    done = [d for _, d in documents if d.get("token") == key and d["type"] == "action.performed"]
    assert {(role, "succeeded")} == {(d["actor"], d["outcome"]) for d in done}
    assert Counter({"ListObjects": 7, "GetObject": 2, "ListBuckets": 2}) == Counter(d["operation"] for d in done)


def test_in_the_documentation_the_chain_of_roles_keeps_its_source_identity(folder):
    """
    Sample 4: JohnRole1 assumes JohnRole2 for JohnDoe, for exactly 3,600 s.
    """
    documents = {(p, d["type"]): d for p, d in documents_of(folder, "aws_docs_sts.json")}

    token = documents[4, "token.issued"]

    roles = tuple(f"arn:aws:iam::111111111111:role/JohnRole{number}" for number in (1, 2))
    assert roles == (token["subject"], token["actor"])
    assert ["aws:111111111111:source-identity:JohnDoe"] == token["prior_actors"]
    assert [{"token": "aws#AKIAI44QH8DHBEXAMPLE", "role": "subject"}] == token["derived_from"]
    assert parse_instant("2019-10-02T22:12:29Z") + 3600 * 1_000_000 == parse_instant(token["expires_at"])


def test_in_the_documentation_the_false_link_is_a_cycle(folder):
    """
    Sample 5 uses, as the role AssumeNothing, the key that sample 2 issues to EC2-dev and derives from itself.
    """
    from lineage.core.authority.chain import chain_of_action
    from lineage.core.authority.world import World
    from lineage.core.findings.rules.mismatches import action_findings

    events = [event_from_document(document) for _, document in documents_of(folder, "aws_docs_sts.json")]
    world = World(Fact(each, each.occurred_at) for each in events)
    action = "aws#dEXAMPLE-265a-41e0-9352-4401bEXAMPLE"

    found = action_findings(world, action, chain_of_action(world, action), parse_instant("2026-01-01T00:00:00Z"))

    assert ["cycle", "wielder-mismatch"] == sorted(finding.kind for finding in found)
