"""Vault's audit log read as events: hand-made lines for every rule, and the real log if available."""

import gzip
import io
import json
from collections import Counter

import pytest

from ingest.codec import credentials
from ingest.codec.api import event_from_document
from ingest.codec.credentials import handle
from ingest.sources.adapters import (
    FORMATS,
    Memory,
    RawRecord,
    Reading,
    detect,
    first_bytes,
    plain,
    read_records,
    translations,
)
from ingest.sources.adapters.json_documents import RECORD_BYTES
from ingest.sources.adapters.vault_request_pairs import MAX_WAITING
from tests.support.places import DATA
from tests.support.vault_records import ALICE, CHILD, request_line, response_line


def run(*lines):
    """Return the outcome of each line, in the order in which it is known: its number and its translation."""
    raw = b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
    found = translations(read_records(io.BytesIO(raw)), FORMATS["vault"])
    return [(record and record.position, translation) for record, translation in found]


def events_of(line):
    """Return the events of one line, by type; each passes the codec."""
    ((_, translation),) = run(line)
    assert translation.fault is None
    for document in translation.events:
        event_from_document(document)
    return {document["type"]: document for document in translation.events}


def token_of(line):
    return events_of(line).get("token.issued")


def order_of(line):
    return events_of(line).get("revocation.ordered")


def test_a_response_is_an_action_by_the_token_that_the_request_carried():
    """
    The accessor is the token, the request's id the action, and nothing else is claimed.
    """
    line = response_line(request={"mount_type": "kv"})

    expected = {
        "action.performed": {
            "type": "action.performed",
            "event_id": "vault#r1/action",
            "source": "urn:vault:audit",
            "occurred_at": "2026-03-01T10:00:00Z",
            "action": "vault#r1",
            "operation": "update",
            "outcome": "succeeded",
            "tool": "vault",
            "resource": {"id": "kv/x", "type": "kv"},
            "token": "vault#hmac-sha256:a",
            "actor": "vault:display-name:userpass-alice",
            "session": "vault#hmac-sha256:a-token",
        }
    }
    assert expected == events_of(line)


def test_an_older_version_names_the_token_in_one_place_only():
    """
    Either the line's auth or the request is enough.
    """
    in_auth, in_request = response_line(), response_line()
    del in_auth["request"]["client_token"], in_auth["request"]["client_token_accessor"], in_request["auth"]

    assert "vault#hmac-sha256:a" == events_of(in_auth)["action.performed"]["token"]
    assert "vault#hmac-sha256:a" == events_of(in_request)["action.performed"]["token"]


def test_of_a_request_and_its_response_only_the_response_counts():
    """
    The request line is counted under its reason once its response is read, whichever comes first.
    """
    request, response = request_line(), response_line()

    there = [(position, len(t.events), t.skipped, t.also_skipped) for position, t in run(request, response)]
    back = [(position, len(t.events), t.skipped, t.also_skipped) for position, t in run(response, request)]

    assert [(1, 0, None, ()), (2, 1, None, ("request-of-a-response",))] == there
    assert [(1, 1, None, ()), (2, 0, "request-of-a-response", ())] == back


def test_a_request_that_is_never_answered_is_an_action_that_failed():
    """
    The log continued for an hour without a response, and Vault answers only after it has logged the response.
    """
    late = response_line("r2", time="2026-03-01T11:00:01Z")

    found = run(request_line("r1"), late)

    _, (position, translation) = found
    document = translation.events[-1]
    assert (2, "vault#r1/request", "failed") == (position, document["event_id"], document["outcome"])
    event_from_document(document)


def test_a_request_open_at_the_end_of_the_log_claims_nothing():
    """
    Its response may be in the next file; until then it is counted by name.
    """
    assert [(), ("request-still-open",)] == [t.also_skipped for _, t in run(request_line())]


def test_a_request_that_failed_by_itself_needs_no_response():
    """
    A request line with an error states its own outcome.
    """
    _, (_, translation) = run(request_line(error="permission denied"))

    assert ["denied"] == [document["outcome"] for document in translation.events]


def test_waiting_requests_are_bounded():
    """
    A log without responses does not fill the memory, and nothing is claimed about evicted requests.
    """
    records = (RawRecord(number, b"", request_line(f"r{number}")) for number in range(MAX_WAITING + 10))
    memory = Memory()
    reading = Reading(FORMATS["vault"], memory=memory)

    while_read = Counter(reason for record in records for _, t in reading.outcomes(record) for reason in t.also_skipped)
    at_the_end = Counter(reason for _, t in reading.settled(end=True) for reason in t.also_skipped)

    assert Counter({"request-still-open": 10}) == while_read
    assert Counter({"request-still-open": MAX_WAITING}) == at_the_end


def test_a_repeated_request_is_reported():
    """
    No line disappears: the second one has a separate reason.
    """
    found = run(request_line(), request_line(), response_line())

    expected = [(1, None, ()), (2, "repeated-request", ()), (3, None, ("request-of-a-response",))]
    assert expected == [(position, t.skipped, t.also_skipped) for position, t in found]


def test_the_probe_of_a_new_audit_device_is_not_an_action():
    """
    Vault writes it to see whether the device can be written to; nobody requested it.
    """
    probe = {
        "time": "2026-03-01T10:00:00Z",
        "type": "request",
        "request": {"id": "p", "operation": "update", "path": "sys/audit/test"},
    }

    assert ["audit-test"] == [translation.skipped for _, translation in run(probe)]


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, "succeeded"),
        ({"error": ""}, "succeeded"),
        ({"error": "permission denied"}, "denied"),
        ({"error": "1 error occurred:\n\t* permission denied\n\n"}, "denied"),
        ({"error": "missing client token"}, "denied"),
        ({"error": "1 error occurred:\n\t* unsupported path\n\n"}, "failed"),
        ({"response": {"data": {"error": "hmac-sha256:e"}}}, "failed"),
        ({"response": {"data": {"error": "hmac-sha256:e", "other": 1}}}, "succeeded"),
    ],
)
def test_outcomes(extra, expected):
    """
    An error is a failure, a refusal is a denial, and a response whose data has only an error is an error.
    """
    assert expected == events_of(response_line(**extra))["action.performed"]["outcome"]


def test_a_created_token_is_derived_from_the_one_that_created_it():
    """
    The creating token has the role of the subject token; the new one is a separate party, as Vault states.
    """
    line = response_line(path="auth/token/create", response={"auth": CHILD})

    expected = {
        "type": "token.issued",
        "event_id": "vault#r1/token",
        "source": "urn:vault:audit",
        "occurred_at": "2026-03-01T10:00:00Z",
        "token": "vault#hmac-sha256:c",
        "token_type": "service",
        "subject": "vault:display-name:token-ci",
        "actor": "vault:display-name:token-ci",
        "session": "vault#hmac-sha256:c-token",
        "derived_from": [{"token": "vault#hmac-sha256:a", "role": "subject"}],
        "scopes": ["ci"],
    }
    assert expected == token_of(line)


@pytest.mark.parametrize(
    ("path", "data", "orphan"),
    [
        ("auth/token/create", {}, False),
        ("auth/token/create", {"no_parent": False}, False),
        ("auth/token/create", {"no_parent": True}, True),
        ("auth/token/create", {"no_parent": "hmac-sha256:x"}, False),
        ("auth/token/create-orphan", {}, True),
    ],
)
def test_a_token_is_an_orphan_only_if_the_line_says_so(path, data, orphan):
    """
    A value that the log hides by an HMAC makes no orphan.
    """
    token = token_of(response_line(path=path, response={"auth": CHILD}, request={"data": data}))

    assert orphan == ("derived_from" not in token)


def test_a_login_is_an_orphan():
    """
    Fresh authentication has no parent. The actor is the party that has just authenticated.
    """
    line = response_line(path="auth/userpass/login/alice", response={"auth": ALICE}, auth=None)
    line["auth"] = ALICE  # Vault repeats the new token's auth on the line

    events = events_of(line)

    assert "derived_from" not in events["token.issued"]
    issued, done = events["token.issued"], events["action.performed"]
    assert ("vault:entity:e-alice", "vault:display-name:userpass-alice") == (issued["subject"], issued["actor"])
    assert "vault:display-name:userpass-alice" == done["actor"]
    assert "token" not in done


def test_a_token_sent_with_a_login_is_named_but_not_a_parent():
    """
    The line names the party that logged in, not the holder of the sent token: the action has a token and no actor.
    """
    line = response_line(path="auth/approle/login", response={"auth": ALICE}, auth=CHILD)
    line["auth"] = ALICE

    events = events_of(line)

    assert "derived_from" not in events["token.issued"]
    assert "vault#hmac-sha256:a" == events["token.issued"]["token"]
    assert "vault#hmac-sha256:c" == events["action.performed"]["token"]
    assert "actor" not in events["action.performed"]


def test_a_failed_creation_issues_nothing():
    """
    Only a response without an error issues a token.
    """
    line = response_line(path="auth/token/create", response={"auth": CHILD}, error="permission denied")

    assert ["action.performed"] == list(events_of(line))


@pytest.mark.parametrize(
    ("auth", "subject"),
    [
        ({"entity_id": "e9", "display_name": "ldap-bob"}, "vault:entity:e9"),
        ({"display_name": "ldap-bob"}, "vault:display-name:ldap-bob"),
        ({"display_name": "token"}, "vault:holder:hmac-sha256:c"),
        ({}, "vault:holder:hmac-sha256:c"),
    ],
)
def test_the_holder_of_a_token(auth, subject):
    """
    The entity, else the display name, else an unnamed holder: ``token`` is Vault's default name.
    """
    made = {"accessor": "hmac-sha256:c", **auth}

    token = token_of(response_line(path="auth/token/create-orphan", response={"auth": made}))

    assert subject == token["subject"]


def test_an_expiry_is_stated_only_if_the_log_has_it_unhashed():
    """
    Issue time and time to live, as newer versions log them; a ttl of 0 means that the token never expires.
    """
    stated = CHILD | {"token_ttl": 3600, "token_issue_time": "2026-03-01T09:59:59Z"}
    endless = CHILD | {"token_ttl": 0}

    token = token_of(response_line(path="auth/token/create", response={"auth": stated}))

    assert ("2026-03-01T09:59:59Z", "2026-03-01T10:59:59.000000Z") == (
        token["issued_at"],
        token["expires_at"],
    )
    assert "expires_at" not in token_of(response_line(path="auth/token/create", response={"auth": endless}))


@pytest.mark.parametrize("path", ["auth/token/renew", "auth/token/renew-self", "auth/token/renew-accessor"])
def test_a_renewal_states_the_new_expiry(path):
    """
    It counts from the renewal, whatever the token's age; without an unhashed ttl nothing is stated.
    """
    renewed = CHILD | {"token_ttl": 600, "token_issue_time": "2026-02-01T00:00:00Z"}

    token = token_of(response_line(path=path, response={"auth": renewed}))

    assert "2026-03-01T10:10:00.000000Z" == token["expires_at"]
    assert "derived_from" not in token
    assert token_of(response_line(path=path, response={"auth": CHILD})) is None


def test_a_batch_token_is_identified_by_its_digest():
    """
    It has no accessor.
    """
    batch = {"client_token": "hmac-sha256:b-token", "token_type": "batch", "entity_id": "e-alice"}

    token = token_of(response_line(path="auth/token/create", response={"auth": batch}))

    assert "vault#hmac-sha256:b-token" == token["token"]


def test_a_wrapped_token_is_issued_when_it_is_wrapped():
    """
    The log has only the accessor of a wrapped creation; unwrapping returns the token and creates none.
    """
    wrapped = {"wrap_info": {"accessor": "hmac-sha256:w", "wrapped_accessor": "hmac-sha256:c", "ttl": 60}}

    token = token_of(response_line(path="auth/token/create", response=wrapped))

    assert ("vault#hmac-sha256:c", "vault:entity:e-alice") == (token["token"], token["subject"])
    assert [{"token": "vault#hmac-sha256:a", "role": "subject"}] == token["derived_from"]
    assert token_of(response_line(path="sys/wrapping/unwrap", response={"auth": CHILD})) is None


def test_a_wrapped_login_states_who_logged_in():
    """
    The line's own auth is that of the wrapped token.
    """
    wrapped = {"wrap_info": {"wrapped_accessor": "hmac-sha256:a"}}
    line = response_line(path="auth/oidc/oidc/callback", response=wrapped, auth=None)
    line["auth"] = ALICE

    token = token_of(line)

    assert ("vault#hmac-sha256:a", "vault:entity:e-alice") == (token["token"], token["subject"])
    assert "derived_from" not in token


@pytest.mark.parametrize(
    ("path", "data", "target", "cascade"),
    [
        ("revoke-self", {}, {"kind": "token", "id": "vault#hmac-sha256:a"}, True),
        (
            "revoke-accessor",
            {"accessor": "hmac-sha256:c"},
            {"kind": "token", "id": "vault#hmac-sha256:c"},
            True,
        ),
        ("revoke", {"token": "hmac-sha256:a-token"}, {"kind": "token", "id": "vault#hmac-sha256:a"}, True),
        ("revoke-orphan", {"token": "hmac-sha256:a-token"}, {"kind": "token", "id": "vault#hmac-sha256:a"}, False),
        # Accessors are unhashed elsewhere in the line: the action is reported, but the target is unknown.
        ("revoke-accessor", {"accessor": "clear"}, {"kind": "token", "id": "vault#clear"}, True),
    ],
)
def test_a_revocation_that_succeeded_is_an_order(path, data, target, cascade):
    """
    Its target is the accessor, or the token of the request itself.
    """
    order = order_of(response_line(path=f"auth/token/{path}", request={"data": data}))

    expected = {"target": target, "cascade": cascade, "mode": "revoke", "reason": "other", "revocation": "vault#r1"}
    expected |= {"ordered_by": "vault:display-name:userpass-alice", "event_id": "vault#r1/order"}
    assert expected == {name: order[name] for name in expected}


@pytest.mark.parametrize(
    ("path", "data", "extra"),
    [
        ("revoke-accessor", {}, {}),
        ("revoke", {"token": True}, {}),
        ("revoke-accessor", {"accessor": "hmac-sha256:c"}, {"error": "permission denied"}),
        ("tidy", {}, {}),
    ],
)
def test_no_order_without_success_and_an_id(path, data, extra):
    """
    A failed revocation ended nothing.
    """
    assert order_of(response_line(path=f"auth/token/{path}", request={"data": data}, **extra)) is None


def test_an_unhashed_log_reveals_no_credential():
    """
    With ``log_raw`` tokens are unhashed: an event has a digest at most.
    """
    secret = "hvs." + "Q" * 40
    auth = {"client_token": secret, "accessor": "acc1", "display_name": "root"}
    made = {"client_token": secret + "2", "accessor": "acc2", "display_name": "token"}
    create = response_line(path="auth/token/create", auth=auth, response={"auth": made})
    revoke = response_line(path="auth/token/revoke", auth=auth, request={"data": {"token": secret + "2"}})
    old = response_line(path=f"auth/token/lookup/{secret}", auth=auth)
    batch = response_line(path="kv/x", auth={"client_token": secret, "token_type": "batch"})

    documents = [document for _, t in run(create, revoke, old, batch) for document in t.events]

    (order,) = [document for document in documents if document["type"] == "revocation.ordered"]
    assert secret not in json.dumps(documents)
    assert f"vault#{handle(secret + '2')}" == token_of(create)["session"]
    assert {"kind": "token", "id": "vault#acc2"} == order["target"]
    assert handle(secret) == events_of(batch)["action.performed"]["token"]


def test_quarantine_contains_no_secret():
    """
    Tokens become digests, secrets chosen by people are removed, values hashed by Vault stay, and so does the rest.
    """
    secret = "s.notAnyKnownShape"
    line = response_line(
        path=f"auth/token/lookup/{secret}",
        auth={"client_token": secret, "accessor": "acc1"},
        request={"data": {"password": "hunter2", "options": ["swordfish", 271828], "role": "hmac-sha256:r"}},
        response={"data": {"data": {"key": "opensesame"}}, "headers": {"X-Any": ["opensesame"]}},
    )
    record = RawRecord(1, json.dumps(line).encode())

    kept = credentials.kept(record.raw)

    for word in (secret, "hunter2", "swordfish", "271828", "opensesame"):
        assert word.encode() not in kept
    assert handle(secret).encode() in kept
    assert b"hmac-sha256:r" in kept
    assert b"acc1" in kept


def test_a_line_without_a_secret_is_kept_byte_for_byte():
    """
    Vault itself hashes the usual line.
    """
    raw = json.dumps(request_line(request={"data": {"password": "hmac-sha256:p"}}), indent=1).encode()

    assert raw == credentials.kept(raw)


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (b"hello, world", b"hello, world"),
        (b'{"time":"2026-03-01T10:00:00Z","type":"requ', b'{"time":"2026-03-01T10:00:00Z","type":"requ'),
        (HASHED := b'{"auth":{"client_token":"hmac-sha256:' + b"0" * 64 + b'","acc', HASHED),
        (b'{"auth":{"client_token":"anything', b'{"auth":{"client_token":"%s' % handle("anything").encode()),
        (
            b'{"auth":{"client\\u005ftoken":"anything"',
            b'{"auth":{"client\\u005ftoken":"%s"' % handle("anything").encode(),
        ),
        (b"password=hunter2", b"password=***"),
        (b'{"type":"request","request":{"data":{"x":"1234"', b'{"type":"request","request":{"data":{"x":"***"'),
        (
            b'{"secret_id":"x1","secret_id":"y1"}',
            b'{"secret_id":"%s","secret_id":"%s"}' % (handle("x1").encode(), handle("y1").encode()),
        ),
    ],
)
def test_an_unreadable_line_is_kept_except_its_secrets(raw, kept):
    """
    Broken JSON is searched as far as possible, and so is text that is not JSON.
    """
    assert kept == credentials.kept(raw)


def test_a_bad_line_is_a_fault_and_does_not_affect_the_others():
    """
    Positions are line numbers; blank lines are counted and not read.
    """
    found = run(b"\n", b"not json\n", b"[1]\n", b'{"type":"request"}\n', {"type": "other"}, response_line())

    expected = [
        (2, "json"),
        (3, "not-an-object"),
        (4, "missing-field"),
        (5, "unknown-type"),
        (6, None),
    ]
    assert expected == [(position, t.fault and t.fault.reason) for position, t in found]


def test_an_unreadable_time_is_a_fault():
    """
    A response with such a time still answers its request.
    """
    bad = response_line(path="auth/token/create", response={"auth": CHILD | {"token_issue_time": "yesterday"}})

    found = run(request_line(time="2026-03-01 10:00"), request_line(), bad)

    expected = [(1, (), "bad-time"), (2, (), None), (3, ("request-of-a-response",), "bad-time")]
    assert expected == [(position, t.also_skipped, t.fault and t.fault.reason) for position, t in found]


def test_a_long_line_is_skipped():
    """
    Its beginning is kept, and reading continues after it.
    """
    long = b'{"time":"' + b"x" * RECORD_BYTES + b'"}\n'

    records = list(read_records(io.BytesIO(b"{}\n" + long + b"{}\n")))

    expected = [(1, None), (2, "too-large"), (3, None)]
    assert expected == [(record.position, record.fault and record.fault.reason) for record in records]
    assert long[:1024] == records[1].raw


def test_a_path_that_is_too_long_is_replaced_by_its_digest():
    """
    The action is not lost because of the length of its resource.
    """
    path = "kv/" + "x" * 5000

    assert {"id": handle(path)} == events_of(response_line(path=path))["action.performed"]["resource"]


def test_the_path_begins_with_its_namespace():
    """
    The same path in two namespaces denotes two things.
    """
    line = response_line(request={"namespace": {"id": "n1", "path": "team/"}})

    assert {"id": "team/kv/x"} == events_of(line)["action.performed"]["resource"]


@pytest.mark.parametrize(
    "written",
    [
        lambda lines: b"\n".join(json.dumps(line).encode() for line in lines),
        lambda lines: b"\xef\xbb\xbf" + b"\r\n".join(json.dumps(line).encode() for line in lines),
        lambda lines: gzip.compress(b"\n".join(json.dumps(line).encode() for line in lines)),
        lambda lines: "".join(json.dumps(line, indent=2) for line in lines).encode(),
        lambda lines: b'{"torn\n' + b"\n".join(json.dumps(line).encode() for line in lines),
    ],
    ids=["lines", "byte order mark", "gzip", "pretty", "torn beginning"],
)
def test_formats_are_recognised_and_read(written):
    """
    JSON lines and documents, gzipped or not, by the first record with a known format.
    """
    stream = io.BytesIO(written([request_line(), response_line()]))
    reader = plain(stream)

    assert "vault" == detect(first_bytes(reader))
    found = list(translations(read_records(reader), FORMATS["vault"]))
    assert 1 == sum(bool(translation.events) for _, translation in found)
    assert not stream.closed


def test_the_format_of_a_first_line_longer_than_the_examined_part():
    """
    The names in that part decide.
    """
    head = json.dumps(request_line(path="x" * 70_000)).encode()[: 64 * 1024]

    assert "vault" == detect(json.dumps(request_line()).encode()[:-2])
    assert "vault" == detect(b'{"type":"request",' + head[1:])


@pytest.fixture(name="log")
def _log():
    path = DATA / "vault_audit.log"
    if not path.exists():
        pytest.skip("vault_audit.log is not there: set DELEGRAPH_TEST_DATA to the folder of real logs")
    return path


def documents_of(path):
    with path.open("rb") as stream:
        found = list(translations(read_records(stream), FORMATS["vault"]))
    found = [(record, t) for record, t in found if record is not None]
    return found, [(record.position, document) for record, t in found for document in t.events]


def test_no_line_of_the_real_log_disappears(log):
    """
    1,397 lines: 699 responses, and 698 requests that belong to them. (The first response turned the log on.)
    """
    found, documents = documents_of(log)

    assert list(range(1, 1398)) == sorted(record.position for record, _ in found)
    reasons = Counter(reason for _, t in found for reason in (t.skipped, *t.also_skipped) if reason)
    assert Counter({"request-of-a-response": 698}) == reasons
    assert 699 == sum(1 for _, t in found if t.events)
    types = Counter(d["type"] for _, d in documents if d["type"] != "principal.registered")
    assert Counter({"action.performed": 699, "token.issued": 231}) == types
    for _, document in documents:
        event_from_document(document)
    assert len(documents) == len({document["event_id"] for _, document in documents})


def test_two_tokens_of_the_real_log_have_a_parent(log):
    """
    The responses of lines 8 and 930, both from the root token; the 229 logins are orphans.
    """
    with log.open("rb") as stream:
        documents = [d for _, t in translations(read_records(stream), FORMATS["vault"]) for d in t.events]
    root = "vault#hmac-sha256:a01c4d69aa0bc6ea78d41ab81f0780cccbb2594e820c5823214327fa1b8d1802"

    parents = [d["derived_from"] for d in documents if "derived_from" in d]

    assert [[{"token": root, "role": "subject"}]] * 2 == parents
    assert root not in {d["token"] for d in documents if d["type"] == "token.issued"}


def test_the_failures_in_the_real_log(log):
    """
    Lines 1371 and 1373 were refused by the handler, 1391 and 1393 by the policy; 1379 to 1389 are errors.
    """
    _, documents = documents_of(log)

    outcomes = {position: d["outcome"] for position, d in documents if "outcome" in d}

    expected = dict.fromkeys((1371, 1373, 1391, 1393), "denied") | dict.fromkeys((1379, 1387, 1389), "failed")
    assert expected == {position: outcome for position, outcome in outcomes.items() if outcome != "succeeded"}


def test_quarantine_would_keep_every_line_of_the_real_log_whole(log):
    """
    Vault hashed the secrets, so that little is removed except unhashed values under data.
    """
    found, _ = documents_of(log)

    kept = [credentials.kept(record.raw) for record, _ in found]

    assert all(b'"request"' in raw for raw in kept)
    assert all(record.raw == raw for (record, _), raw in zip(found, kept, strict=True) if b'"data"' not in record.raw)
