"""Events built from the data of producers: the right fields, nothing verified, and never a token."""

import base64
import copy
import hashlib
import json
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.codec import api as codec
from ingest.codec.params_digest import canonical, digest_of
from ingest.producer.event_builders import (
    action_from_mcp,
    decision_from_authzen,
    token_id,
    token_issued_from_exchange,
    token_issued_from_jwt,
)
from lineage.core.model.errors import BadRecordError, CredentialError
from lineage.core.model.events import Event

KEY = "0123456789abcdef0123456789abcdef"
ISSUER = "https://idp.example"
CLAIMS = {
    "iss": ISSUER,
    "jti": "j1",
    "sub": "human:alice@example.com",
    "act": {"sub": "agent:reader", "act": {"sub": "agent:planner", "act": {"sub": "service:gateway"}}},
    "scope": "crm:read mail:send",
    "aud": ["https://crm.example", "https://mail.example"],
    "iat": 1_800_000_000,
    "nbf": 1_800_000_001.5,
    "exp": 1_800_003_600,
    "client_id": "c1",
    "sid": "s1",
    "txn": "call-1",
    "cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
    "status": {"status_list": {"uri": "https://idp.example/lists/1", "idx": 7}},
}


def signed(claims: Mapping[str, Any], **headers: Any) -> str:
    return jwt.encode(dict(claims), KEY, algorithm="HS256", headers=headers)


def made(document: Mapping[str, Any]) -> Event:
    """Return the event that a producer would emit from a document."""
    complete = {"event_id": "e1", "source": "urn:sts", "occurred_at": "2026-11-01T09:00:00Z"}
    return codec.event_from_document(complete | dict(document))


def sha256(token: str | bytes) -> str:
    raw = token.encode() if isinstance(token, str) else token
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


# Ids of tokens


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (signed(CLAIMS), f"{ISSUER}#j1"),
        (signed(CLAIMS).encode(), f"{ISSUER}#j1"),
        ("an opaque token", sha256("an opaque token")),
        (b"\xff\xfe opaque", sha256(b"\xff\xfe opaque")),
    ],
)
def test_a_token_has_one_id(token: str | bytes, expected: str):
    """A signed token with ``iss`` and ``jti`` is named by these, any other by its digest, whatever its type."""
    assert expected == token_id(token)


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": ISSUER},
        {"jti": "j1"},
        {"iss": "", "jti": "j1"},
        {"iss": 5, "jti": "j1"},
        {"iss": ISSUER, "jti": "x" * 600},
        {"iss": ISSUER, "jti": "line\nbreak"},
        {"iss": ISSUER, "jti": "Bearer abcdef0123456789abcdef"},
    ],
)
def test_a_token_without_a_valid_name_is_identified_by_its_digest(claims: dict[str, Any]):
    """If issuer and number are not both there, or do not form an id, the digest is used."""
    token = hand_made({"alg": "HS256"}, claims)
    assert sha256(token) == token_id(token)


def hand_made(header: Mapping[str, Any], claims: Any, signature: str = "c2ln") -> str:
    """Build a token with given claims and no signature."""
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims))
    return ".".join([*parts, signature])


def test_an_unsigned_token_is_identified_by_its_digest():
    """Without a signature anybody may have made it, so issuer and number mean nothing."""
    token = hand_made({"alg": "none"}, {"iss": ISSUER, "jti": "j1"}, "")
    assert sha256(token) == token_id(token)


# Tokens


def test_a_jwt_becomes_a_token_issued_event():
    """It has every claim that has a field; the actors are root to leaf, and the outermost is the actor."""
    document = token_issued_from_jwt(signed(CLAIMS, typ="at+jwt"), delegation="d-17")

    assert {
        "type": "token.issued",
        "token": f"{ISSUER}#j1",
        "token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject": "human:alice@example.com",
        "actor": "agent:reader",
        "prior_actors": ["service:gateway", "agent:planner"],
        "client": f"{ISSUER}#c1",
        "session": f"{ISSUER}#s1",
        "delegation": "d-17",
        "scopes": ["crm:read", "mail:send"],
        "audience": ["https://crm.example", "https://mail.example"],
        "issued_at": "2027-01-15T08:00:00.000000Z",
        "not_before": "2027-01-15T08:00:01.500000Z",
        "expires_at": "2027-01-15T09:00:00.000000Z",
        "txn": "call-1",
        "key_thumbprint": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
        "status_list": {"uri": "https://idp.example/lists/1", "idx": 7},
    } == document
    assert "token.issued" == made(document).type


def test_a_small_jwt_becomes_a_small_event():
    """The event has only what the token states."""
    token = signed({"sub": "agent:planner", "aud": "crm", "scp": ["a", "b"], "cnf": {"x5t#S256": "print"}})

    assert {
        "type": "token.issued",
        "token": sha256(token),
        "token_type": "urn:ietf:params:oauth:token-type:jwt",
        "subject": "agent:planner",
        "audience": ["crm"],
        "scopes": ["a", "b"],
        "key_thumbprint": "print",
    } == token_issued_from_jwt(token)


def test_a_principal_is_qualified_by_its_issuer():
    """A subject without a kind prefix is unique only at its issuer; an actor has its own or the enclosing issuer."""
    act = {"sub": "7", "iss": "https://other.example", "act": {"sub": "8", "act": {"sub": "agent:planner"}}}
    token = signed({"iss": ISSUER, "sub": "6", "act": act})
    document = token_issued_from_jwt(token)

    assert f"{ISSUER}#6" == document["subject"]
    assert "https://other.example#7" == document["actor"]
    assert ["agent:planner", "https://other.example#8"] == document["prior_actors"]
    assert (
        "6 of None"
        == token_issued_from_jwt(signed({"sub": "6"}), principal=lambda issuer, name: f"{name} of {issuer}")["subject"]
    )


@pytest.mark.parametrize(
    ("claims", "named"),
    [
        ({}, "sub is missing"),
        ({"sub": 5}, "sub is not a string"),
        ({"sub": "a", "act": "b"}, "act is not an object"),
        ({"sub": "a", "act": {}}, "sub is missing"),
        ({"sub": "a", "exp": "soon"}, "exp is not a number"),
        ({"sub": "a", "exp": True}, "exp is not a number"),
        ({"sub": "a", "exp": -1}, "exp is outside"),
        ({"sub": "a", "iat": 10**30}, "iat is outside"),
        ({"sub": "a", "iat": float("inf")}, "iat is not a number"),
        ({"sub": "a", "scope": {"x": 1}}, "scope is neither"),
        ({"sub": "a", "aud": [1]}, "aud is neither"),
        ({"sub": "a", "sid": ["x"]}, "sid is not a string"),
    ],
)
def test_an_invalid_claim_is_named(claims: dict[str, Any], named: str):
    """A claim that is missing or has the wrong type is named, and nothing is guessed instead."""
    with pytest.raises(BadRecordError, match=named):
        token_issued_from_jwt(hand_made({"alg": "HS256"}, claims))


def test_too_deeply_nested_actors_are_refused():
    """A bomb of nested actors is refused, and harms nothing."""
    act: dict[str, Any] = {"sub": "agent:root"}
    for _ in range(200):
        act = {"sub": "agent:other", "act": act}
    with pytest.raises(BadRecordError, match="act is nested deeper than 64"):
        token_issued_from_jwt(signed({"sub": "a", "act": act}))
    text = '{"sub":"a","act":' * 20_000 + "1" + "}" * 20_000
    bomb = ".".join(["eyJhbGciOiJIUzI1NiJ9", base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode(), "c2ln"])
    with pytest.raises(BadRecordError):
        token_issued_from_jwt(bomb)


# Exchanges


def test_an_exchange_with_an_actor_is_a_delegation():
    """The issued token's own claims name the actor; its inputs are named by their ids and roles."""
    subject, actor = signed({"iss": ISSUER, "jti": "user", "sub": "human:alice"}), "opaque actor token"
    issued = signed(
        {
            "iss": ISSUER,
            "jti": "out",
            "sub": "human:alice",
            "act": {"sub": "agent:a"},
            "scope": "all",
            "exp": 1_800_003_600,
        }
    )
    answer = {
        "access_token": issued,
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
        "expires_in": 60,
        "scope": "crm:read",
    }

    assert {
        "type": "token.issued",
        "token": f"{ISSUER}#out",
        "token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject": "human:alice",
        "actor": "agent:a",
        "scopes": ["crm:read"],
        "expires_at": "2027-01-15T09:00:00.000000Z",
        "derived_from": [{"token": f"{ISSUER}#user", "role": "subject"}, {"token": sha256(actor), "role": "actor"}],
        "exchange": "delegation",
    } == token_issued_from_exchange(answer, subject_token=subject, actor_token=actor, received_at=0)


def test_an_exchange_of_opaque_tokens_uses_the_claims_of_its_inputs():
    """Subject and actor are those of the inputs, and the expiry counts from the response."""
    subject, actor = signed({"sub": "human:alice"}), signed({"sub": "agent:a"})
    answer = {"access_token": "opaque output", "expires_in": "60"}
    document = token_issued_from_exchange(answer, subject_token=subject, actor_token=actor, received_at=1_000_000)
    alone = token_issued_from_exchange(answer, subject_token=subject, received_at=1_000_000)

    assert (sha256("opaque output"), "human:alice", "agent:a") == tuple(
        document[name] for name in ("token", "subject", "actor")
    )
    assert ("1970-01-01T00:01:01.000000Z", "delegation") == (document["expires_at"], document["exchange"])
    assert ("human:alice", "impersonation") == (alone["subject"], alone["exchange"])
    assert "actor" not in alone


def test_an_exchange_without_a_token_or_subject_is_refused():
    """Without a token in the response, or any subject, there is no event; a subject may be passed."""
    with pytest.raises(BadRecordError, match="access_token is missing"):
        token_issued_from_exchange({"error": "invalid_request"}, subject_token="x", received_at=0)
    with pytest.raises(BadRecordError, match="subject is missing"):
        token_issued_from_exchange({"access_token": "out"}, subject_token="in", received_at=0)
    with pytest.raises(BadRecordError, match="expires_in is not a number"):
        token_issued_from_exchange(
            {"access_token": "out", "expires_in": "soon"}, subject_token="in", received_at=0, subject="human:a"
        )
    stated = token_issued_from_exchange({"access_token": "out"}, subject_token="in", received_at=0, subject="human:a")
    assert "human:a" == stated["subject"]


# Decisions

REQUEST = {
    "subject": {"type": "user", "id": "alice@example.com"},
    "action": {"name": "can_read"},
    "resource": {"type": "account", "id": "42"},
    "context": {"ip": "192.0.2.1", "time": 5, "agent": "planner", "access_token": "opaque and secret"},
}


def test_an_authzen_answer_becomes_a_decision():
    """It has subject, action, resource, decision and reasons; of the context only the requested members."""
    answer = {"decision": False, "context": {"reason_user": {"en": "too late"}, "reason_admin": {"403": {"policy": 3}}}}
    document = decision_from_authzen(REQUEST, answer, keep=["ip", "time", "missing"], decision="d1", token="t1")

    assert {
        "type": "decision.made",
        "decision": "d1",
        "permitted": False,
        "operation": "can_read",
        "resource": {"type": "account", "id": "42"},
        "actor": "agent:planner",
        "on_behalf_of": "human:alice@example.com",
        "token": "t1",
        "reasons": ['403: {"policy":3}', "en: too late"],
        "context": {"ip": "192.0.2.1", "time": "5"},
    } == document
    assert "decision.made" == made(document).type


def test_permitted_and_performed_parameters_have_the_same_digest():
    """The digest of a decision's parameters is that of the same parameters of a tool call."""
    arguments = {"to": "bob", "n": 1}
    call = {"method": "tools/call", "params": {"name": "send", "arguments": arguments}}
    decision = decision_from_authzen(REQUEST, {"decision": True}, params=arguments)
    action = action_from_mcp(call, {"content": []})

    assert digest_of(arguments) == decision["params_digest"] == action["params_digest"]
    assert "params_digest" not in decision_from_authzen(REQUEST, {"decision": True})


@pytest.mark.parametrize(
    ("subject", "actor"),
    [
        ({"type": "user", "id": "alice"}, "human:alice"),
        ({"type": "agent", "id": "agent:planner"}, "agent:planner"),
        ({"type": "service", "id": "billing"}, "service:billing"),
        ({"type": "workload", "id": "spiffe://example.org/w"}, "spiffe://example.org/w"),
        ({"type": "identity", "id": "okta|7"}, "okta|7"),
    ],
)
def test_a_subject_becomes_a_principal(subject: dict[str, str], actor: str):
    """A subject type that is a kind of principal sets the kind; any other id stays unchanged."""
    document = decision_from_authzen(
        {"subject": subject, "action": {"name": "o"}, "resource": {"type": "r", "id": "1"}}, {"decision": True}
    )
    assert (actor, True, False) == (document["actor"], document["permitted"], "on_behalf_of" in document)
    assert made(document).body != made(decision_from_authzen(REQUEST, {"decision": True})).body


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({}, {"decision": "yes"}),
        ({}, {}),
        ({"subject": None}, {"decision": True}),
        ({"action": {}}, {"decision": True}),
        ({"resource": {"id": "1"}}, {"decision": True}),
        ({"context": "none"}, {"decision": True}),
    ],
)
def test_members_required_by_authzen_must_be_present(change: dict[str, Any], answer: dict[str, Any]):
    """A request or a response without them yields no event."""
    with pytest.raises(BadRecordError):
        decision_from_authzen(REQUEST | change, answer)


# Actions

PARAMS: dict[str, Any] = {"name": "send", "arguments": {"to": "bob", "n": 1.0}}
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": PARAMS}


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        ({"content": []}, "succeeded"),
        ({"content": [], "isError": False}, "succeeded"),
        ({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}, "succeeded"),
        ({"content": [], "isError": True}, "failed"),
        ({"jsonrpc": "2.0", "id": 1, "result": {"isError": True}}, "failed"),
        ({"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "no"}}, "failed"),
        (None, "failed"),
    ],
)
def test_an_mcp_call_becomes_an_action(result: dict[str, Any] | None, outcome: str):
    """It has the tool, the digest of its arguments and whether it failed, from the message or its inner part."""
    whole = action_from_mcp(CALL, result, tool="mail", token="t1", action="x1")

    assert {
        "type": "action.performed",
        "action": "x1",
        "operation": "tools/call",
        "tool": "mail/send",
        "outcome": outcome,
        "token": "t1",
        "params_digest": digest_of({"n": 1, "to": "bob"}),
    } == whole
    assert "send" == action_from_mcp(PARAMS, result)["tool"]
    assert "action.performed" == made(whole).type


def test_a_call_without_a_tool_is_refused():
    """A call without the name of a tool yields no action."""
    with pytest.raises(BadRecordError, match="name is missing"):
        action_from_mcp({"params": {}}, None)


# Digests


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (9007199254740992.0, "9007199254740992"),
        (295147905179352830000.0, "295147905179352830000"),
        (9.999999999999997e22, "9.999999999999997e+22"),
        (1e23, "1e+23"),
        (999999999999999700000.0, "999999999999999700000"),
        (1e21, "1e+21"),
        (0.000001, "0.000001"),
        (9.999999999999997e-7, "9.999999999999997e-7"),
        (333333333.33333329, "333333333.3333333"),
        (-0.0000033333333333333333, "-0.0000033333333333333333"),
        (123.456, "123.456"),
        (True, "true"),
        ({"\u20ac": 1, "\r": 2, "1": 3, "\U0001f600": 4, "\u0080": 5, "\ufb33": 6}, None),
    ],
)
def test_numbers_and_names_are_those_of_canonical_json(value: object, text: str | None):
    """Numbers are written as in RFC 8785 (appendix B), and members are sorted by UTF-16."""
    if text is None:
        assert ["\r", "1", "\u0080", "\u20ac", "\U0001f600", "\ufb33"] == list(json.loads(canonical(value) or b""))
    else:
        assert text.encode() == canonical(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_written_number_is_read_back_unchanged(value: float):
    """This holds in every form and for every JSON reader."""
    assert value == float(json.loads(canonical(value) or b""))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1: 2}, b"bytes", "\ud800", {"a": {1, 2}}])
def test_a_value_that_is_not_json_has_no_digest(value: object):
    """Nothing is digested that another reader could not digest as well."""
    assert None is digest_of(value)


def test_an_endlessly_nested_value_has_no_digest():
    """Parameters that are nested too deeply, or in themselves, cause no crash."""
    endless: list[Any] = []
    endless.append(endless)
    assert None is digest_of(endless)


# No token ever leaves

WORD = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~+/-", min_size=20, max_size=60)
SECRETS = WORD.map(lambda word: f"Zq{word}") | st.binary(min_size=30, max_size=60).map(
    lambda raw: hand_made({"alg": "HS256"}, {"sub": "agent:a", "iss": ISSUER}, raw.hex())
)
RUBBISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = ["sub", "iss", "jti", "act", "scope", "aud", "exp", "iat", "nbf", "client_id", "sid", "cnf", "status", "txn"]
HOSTILE = st.dictionaries(st.sampled_from(NAMES), RUBBISH)


def output_of(make: Callable[[], Mapping[str, Any]]) -> str:
    """Return all output: the document and the event, or the error with every exception in its chain."""
    try:
        document = make()
        return repr(document) + repr(made(document)) + codec.encode(made(document)).decode("latin-1")
    except BadRecordError as fault:
        return "".join(traceback.format_exception(fault)) + repr(fault.__context__) + repr(fault.__cause__)


@given(secret=SECRETS, other=SECRETS, third=SECRETS, claims=HOSTILE)
def test_no_helper_reveals_a_token(secret: str, other: str, third: str, claims: dict[str, Any]):
    """Whatever a token looks like and contains, it is in no event and in no error of any helper."""
    hostile = hand_made({"alg": "HS256", "typ": 5}, claims, "c2lnbmF0dXJlLW9mLXRoZS10b2tlbg")
    everything = output_of(lambda: token_issued_from_jwt(secret))
    everything += output_of(lambda: token_issued_from_jwt(hostile))
    for issued in (secret, hostile):
        answer = {"access_token": issued, "refresh_token": third, "scope": "a b", "expires_in": 5}
        everything += output_of(
            lambda answer=answer: token_issued_from_exchange(
                answer, subject_token=other, actor_token=third, received_at=0, subject="human:a"
            )
        )
    call = {"params": {"name": "send", "arguments": {"token": secret, "more": [other]}, "_meta": {"auth": third}}}
    everything += output_of(lambda: action_from_mcp(call, {"content": [{"text": other}], "isError": True}))
    request = copy.deepcopy(REQUEST) | {"context": {"token": secret, "authorization": f"Bearer {other}"}}
    everything += output_of(lambda: decision_from_authzen(request, {"decision": True, "context": {"token": third}}))

    for token in (secret, other, third, hostile):
        assert token not in everything


@pytest.mark.parametrize("field", ["sub", "sid", "client_id", "scope", "aud", "txn", "jti"])
def test_a_credential_within_a_claim_is_refused(field: str):
    """A claim that is itself a credential yields no event, and the error does not repeat it."""
    inner = signed({"sub": "agent:inner", "iss": ISSUER})
    claims = {"sub": "agent:a", "iss": ISSUER, "jti": "j1"} | {field: inner}

    if field == "jti":  # then the token is identified by its digest
        assert token_issued_from_jwt(signed(claims))["token"].startswith("sha256:")
        return
    with pytest.raises(CredentialError) as fault:
        token_issued_from_jwt(signed(claims))
    assert inner not in str(fault.value)


@pytest.mark.parametrize("keep", [["token"], ["deep"]])
def test_a_requested_member_with_a_credential_is_refused(keep: list[str]):
    """Requesting a member of a context that contains a credential is a mistake that is reported."""
    inner = signed({"sub": "agent:inner"})
    request = REQUEST | {"context": {"token": inner, "deep": {"er": [inner]}}}
    with pytest.raises(CredentialError) as fault:
        decision_from_authzen(request, {"decision": True}, keep=keep)
    assert inner not in str(fault.value)
