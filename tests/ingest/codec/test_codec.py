"""What the codec accepts and refuses, and its messages."""

import hashlib
import json
from pathlib import Path

import pytest

import schemas
from ingest.codec import (
    avro_fastavro as slow_avro,
)
from ingest.codec import (
    avro_form,
)
from ingest.codec import (
    avro_generated as fast_avro,
)
from ingest.codec import (
    conformance_vectors as vectors,
)
from ingest.codec import (
    limits as bounds,
)
from ingest.codec.api import decode, decode_line, encode, encode_line, event_from_document, read, read_parts
from ingest.codec.avro_primitives import SlowPathError
from ingest.codec.validation import check
from lineage.core.model.errors import BadRecordError, CredentialError, UnknownSchemaError
from lineage.core.model.events import DecisionMade, DelegationGranted, Event, Resource, TokenIssued
from lineage.core.model.grants import GrantParts

TOKEN = {
    "type": "token.issued",
    "event_id": "e1",
    "source": "urn:sts",
    "occurred_at": "2026-11-01T09:00:00Z",
    "token": "t1",
    "subject": "human:alice",
}
DECISION = TOKEN | {"type": "decision.made", "decision": "d1", "permitted": True, "operation": "read"}
DECISION = {key: value for key, value in DECISION.items() if key not in {"token", "subject"}}
ORDER = TOKEN | {
    "type": "revocation.ordered",
    "revocation": "r1",
    "target": {"kind": "token", "id": "t1"},
    "reason": "test",
    "ordered_by": "human:ir",
}
ORDER = {key: value for key, value in ORDER.items() if key not in {"token", "subject"}}
JWS = "eyJhbGciOiJFUzI1NiJ9.eyJqdGkiOiIxIn0.c2lnbmF0dXJl"

HEADER = b"\xc3\x01" + schemas.latest().fingerprint


def line(base=TOKEN, /, **changes):
    return json.dumps({**base, **changes}).encode()


def fault(decoder, raw):
    with pytest.raises(BadRecordError) as caught:
        decoder(raw)
    return caught.value


# Lines


@pytest.mark.parametrize(
    ("raw", "reason", "names"),
    [
        (b"", "json", "not JSON"),
        (b"{", "json", "character 1"),
        (b"{} {}", "json", "character 3"),
        (b"\xef\xbb\xbf{}", "json", "BOM"),
        (b'{"a": NaN}', "json", "NaN"),
        (b'{"a": -Infinity}', "json", "-Infinity"),
        (b'{"sequence": ' + b"1" * 5000 + b"}", "json", "too long"),
        (b"\xff{}", "utf-8", "byte 0"),
        (line().decode().encode("utf-16"), "utf-8", "byte 0"),
        (b"null", "not-an-object", "is null"),
        (b"[]", "not-an-object", "an array"),
        (b'"text"', "not-an-object", "a string"),
        (b"1.5", "not-an-object", "a number"),
        (b'{"type": "token.issued", "type": "token.issued"}', "duplicate-key", "'type'"),
        (line(status_list=1).replace(b"1}", b'{"idx": 1, "uri": "u", "idx": 1}}'), "duplicate-key", "'idx'"),
        (b"[" * 17 + b"]" * 17, "not-an-object", "an array"),
        (line(x=json.loads("[" * 15 + "]" * 15)), "unknown-field", "'x'"),
        (line(x=json.loads("[" * 16 + "]" * 16)), "too-deep", "16"),
        (b"[" * 100_000, "too-deep", "16"),
        (b'{"a":' * 40_000, "too-deep", "16"),
        (b" " * (bounds.RECORD_BYTES + 1), "too-large", "262144"),
        (b"{}", "missing-field", "type"),
        (line(type=None), "missing-field", "type"),
        (line(type=1), "wrong-kind", "type is a number"),
        (line(type="token.burnt"), "unknown-schema", "'token.burnt'"),
        (line(type=""), "unknown-schema", "''"),
        (line(colour="red"), "unknown-field", "'colour'"),
        (line(colour=None), "unknown-field", "'colour'"),
        (line(body={}), "unknown-field", "'body'"),
        (line(mode="revoke"), "unknown-field", "'mode' is not a field of token.issued"),
        (line(status_list={"uri": "u", "idx": 1, "n": 1}), "unknown-field", "'n' is not a field of status_list"),
        (line(event_id=None), "missing-field", "event_id"),
        (line(token=None), "missing-field", "token"),
        (line(status_list={"uri": "u"}), "missing-field", "status_list.idx"),
        (line(derived_from=[{"token": "t0"}]), "missing-field", "derived_from[0].role"),
        (line(DECISION, permitted=None), "missing-field", "permitted"),
        (line(token=7), "wrong-kind", "token is a number"),
        (line(token=["t1"]), "wrong-kind", "token is an array"),
        (line(scopes="a b"), "wrong-kind", "scopes is a string: make it an array"),
        (line(scopes=[None]), "wrong-kind", "scopes[0] is null"),
        (line(scopes=["a", 1]), "wrong-kind", "scopes[1] is a number"),
        (line(derived_from={"token": "t0"}), "wrong-kind", "derived_from is an object"),
        (line(derived_from=[None]), "wrong-kind", "derived_from[0] is null"),
        (line(status_list=[]), "wrong-kind", "status_list is an array"),
        (line(sequence=True), "wrong-kind", "sequence is a boolean"),
        (line(sequence=1.0), "wrong-kind", "sequence is a number with a fraction"),
        (line(sequence="1"), "wrong-kind", "sequence is a string"),
        (line().replace(b"{", b'{"sequence": 1e3, ', 1), "wrong-kind", "sequence is a number with"),
        (line().replace(b"{", b'{"sequence": 1e999, ', 1), "wrong-kind", "sequence is a number with"),
        (line(DECISION, permitted=1), "wrong-kind", "permitted is a number: make it true or false"),
        (line(DECISION, permitted="true"), "wrong-kind", "permitted is a string"),
        (line(DECISION, context=["a"]), "wrong-kind", "context is an array"),
        (line(DECISION, context={"a": 1}), "wrong-kind", "context.'a' is a number"),
        (line(DECISION, context={"a": None}), "wrong-kind", "context.'a' is null"),
        (line(issued_at=1_793_523_600), "wrong-kind", "issued_at is a number: make it a string, such as"),
        (line(issued_at="2026-11-01T09:00:00"), "bad-time", "issued_at"),
        (line(issued_at="2026-11-01"), "bad-time", "issued_at"),
        (line(issued_at="2026-02-30T09:00:00Z"), "bad-time", "issued_at"),
        (line(issued_at="1969-12-31T23:59:59.999999Z"), "bad-time", "1970 to 9999"),
        (line(issued_at="9999-12-31T23:59:59.999999-00:01"), "bad-time", "1970 to 9999"),
        (line(issued_at=""), "bad-time", "issued_at"),
        (line(sequence=-1), "out-of-range", "sequence is -1"),
        (line(sequence=2**53), "out-of-range", "sequence is 9007199254740992"),
        (line(sequence=10**400), "out-of-range", "sequence"),
        (line(status_list={"uri": "u", "idx": -1}), "out-of-range", "status_list.idx"),
        (
            line(exchange="barter"),
            "unknown-schema",
            "exchange is 'barter', which is unknown: use one of d",
        ),
        (line(derived_from=[{"token": "t0", "role": "x"}]), "unknown-schema", "derived_from[0].role"),
        (line(ORDER, reason="whim"), "unknown-schema", "reason is 'whim'"),
        (line(ORDER, mode=""), "unknown-schema", "mode is ''"),
        (line(ORDER, target={"kind": "planet", "id": "x"}), "unknown-schema", "target.kind"),
        (line(token=""), "bad-id", "token is empty"),
        (line(source=""), "bad-id", "source is empty"),
        (line(scopes=["a"], token="t" * 513), "bad-id", "token has 513 bytes"),
        (line(token="é" * 257), "bad-id", "token has 514 bytes"),
        (line(prior_actors=["a", ""]), "bad-id", "prior_actors[1] is empty"),
        (line(derived_from=[{"token": "", "role": "actor"}]), "bad-id", "derived_from[0].token is empty"),
        (line(ORDER, target={"kind": "token", "id": ""}), "bad-id", "target.id is empty"),
        (line(token="a\ud800"), "bad-id", "U+D800"),
        (line(token_type="\udc00"), "bad-text", "token_type contains an unpaired surrogate"),
        (line(token_type="é" * 2049), "bad-text", "token_type has 4098 bytes"),
        (line(scopes=["s" * 4097]), "bad-text", "scopes[0] has 4097 bytes"),
        (line(DECISION, context={"k" * 4097: "v"}), "bad-text", "a key of context has 4097 bytes"),
        (line(DECISION, context={"k": "v" * 4097}), "bad-text", "context.'k' has 4097 bytes"),
        (line(DECISION, operation=""), "bad-text", "operation is empty"),
        (line(DECISION, resource={"id": ""}), "bad-text", "resource.id is empty"),
        (line(DECISION, policy={"id": ""}), "bad-text", "policy.id is empty"),
        (line(status_list={"uri": "", "idx": 1}), "bad-text", "status_list.uri is empty"),
        (line(scopes=["s"] * 257), "too-many", "scopes has 257 entries, a list at most 256"),
        (line(DECISION, context={str(n): "v" for n in range(65)}), "too-many", "context has 65 entries"),
    ],
)
def test_a_bad_line_is_refused_with_a_reason_and_the_name_of_the_field(raw, reason, names):
    """
    The quarantine shows the producer what to change, and where.
    """
    refused = fault(decode_line, raw)

    assert reason == refused.reason
    assert names in refused.detail
    assert str(refused) == f"{refused.reason}: {refused.detail}"


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (line(type="token.burnt"), UnknownSchemaError),
        (line(colour="red"), UnknownSchemaError),
        (line(exchange="barter"), UnknownSchemaError),
        (line(actor=JWS), CredentialError),
        (line(token=None), BadRecordError),
    ],
)
def test_input_that_a_later_version_may_know_is_distinguished(raw, kind):
    """
    Only an unknown type, field or symbol is worth retrying after an upgrade.
    """
    assert type(fault(decode_line, raw)) is kind


@pytest.mark.parametrize("padding", sorted(bounds.WHITE_SPACE))
def test_an_id_padded_with_any_unicode_white_space_is_refused(padding):
    """
    Such padding is invisible, so it is refused whichever character it is.
    """
    for token in (f"{padding}t1", f"t1{padding}", padding):
        assert "bad-id" == fault(decode_line, line(token=token)).reason


@pytest.mark.parametrize("inside", [" ", "\xa0", "\u3000"])
def test_white_space_inside_an_id_is_accepted(inside):
    """
    Ids are opaque: only padding and invisible characters are refused.
    """
    assert decode_line(line(token=f"t{inside}1")).body.token == f"t{inside}1"


@pytest.mark.parametrize("code", [0x00, 0x1C, 0x1F, 0x7F, 0x85, 0xAD, 0x180E, 0x200B, 0x202E, 0x2028, 0x2029, 0xFEFF])
def test_an_id_with_an_invisible_character_is_refused(code):
    """
    Control and format characters and separators (Cc, Cf, Zl, Zp) are refused at any position.
    """
    for token in (f"{chr(code)}t", f"t{chr(code)}1", f"t{chr(code)}"):
        refused = fault(decode_line, line(token=token))
        assert "bad-id" == refused.reason
        assert f"U+{code:04X}" in refused.detail


@pytest.mark.parametrize(
    "raw",
    [
        line(token="t" * 512),
        line(token="é" * 256),
        line(token_type="t" * 4096),
        line(token_type="é" * 2048),
        line(token_type=""),
        line(scopes=["s"] * 256),
        line(scopes=["\n\0 padded "]),
        line(sequence=2**53 - 1),
        line(sequence=0),
        line(occurred_at="1970-01-01T00:00:00Z"),
        line(occurred_at="9999-12-31T23:59:59.999999Z"),
        line(occurred_at="2016-12-31T23:59:60Z"),
        line(DECISION, context={str(n): "v" for n in range(64)}),
        line() + b" " * (bounds.RECORD_BYTES - len(line())),
        line() + b"\r\n",
    ],
)
def test_values_at_the_limits_are_accepted_in_both_encodings(raw):
    """
    The last allowed value survives encoding as a line and as a value of the log.
    """
    event = decode_line(raw)

    assert event == decode(encode(event)) == read(encode(event)) == decode_line(encode_line(event))


def test_a_record_may_reach_the_size_limit_but_not_exceed_it():
    """
    256 KiB of Avro are accepted, one byte more is not, neither in writing nor in reading.
    """

    def of_scopes(size):
        body = TokenIssued("t1", "human:alice", scopes=("s" * 4096,) * 63 + ("s" * size,))
        return Event("e1", "urn:sts", 0, body)

    room = bounds.RECORD_BYTES - len(encode(of_scopes(100))) + 100
    value = encode(of_scopes(room))

    assert bounds.RECORD_BYTES == len(value)
    assert of_scopes(room) == decode(value)
    assert "too-large" == fault(encode, of_scopes(room + 1)).reason
    assert "too-large" == fault(decode, value + b"\0").reason


def test_absent_null_and_empty_are_equivalent():
    """
    Null means absent, in nested records and for lists too; a default need not be stated.
    """
    nothing = {"actor": None, "scopes": None, "derived_from": [], "status_list": None, "txn": None}
    assert decode_line(line()) == decode_line(line(**nothing))
    assert decode_line(line(DECISION)) == decode_line(line(DECISION, context=None, resource=None))
    assert decode_line(line(DECISION)) == decode_line(line(DECISION, context={}, reasons=[]))
    assert decode_line(line(ORDER)) == decode_line(line(ORDER, mode=None, cascade=None))
    assert decode_line(line(ORDER)) == decode_line(line(ORDER, mode="revoke", cascade=True))
    assert Resource("r") == decode_line(line(DECISION, resource={"id": "r", "type": None})).body.resource


def test_the_context_is_sorted_by_key_however_it_was_sent():
    """
    Keys of a map have no order, so two orders are the same content.
    """
    event = decode_line(line(DECISION, context={"b": "2", "a": "1"}))
    moved = encode(event).replace(b"\x02a\x021\x02b\x022", b"\x02b\x022\x02a\x021")

    assert (("a", "1"), ("b", "2")) == event.body.context
    assert event == decode(moved) == read(moved)
    assert moved != encode(event)


def test_a_line_is_written_without_absent_fields_and_without_a_newline():
    """
    The JSONL form is short: no absent fields, no unnecessary escapes.
    """
    written = encode_line(decode_line(line(token="tøken", scopes=[], sequence=None)))

    assert (
        b'{"type":"token.issued","event_id":"e1","source":"urn:sts",'
        b'"occurred_at":"2026-11-01T09:00:00.000000Z","token":"t\xc3\xb8ken","subject":"human:alice"}'
    ) == written


def test_a_document_may_contain_tuples_but_only_string_keys():
    """
    Adapters build documents in Python, which permits more mistakes than JSON.
    """
    assert ("a", "b") == event_from_document(TOKEN | {"scopes": ("a", "b")}).body.scopes
    for document in (
        {**DECISION, "context": {1: "a", "b": "c"}},
        {**TOKEN, 1: "a"},
        {**TOKEN, "scopes": {"a"}},
    ):
        assert fault(event_from_document, document).reason in {"wrong-kind", "unknown-field"}


# Values of the log


VALUE = encode(decode_line(line(actor="agent:a", scopes=["a", "b"], txn="x", sequence=300)))


@pytest.mark.parametrize(
    ("value", "kind", "reason", "names"),
    [
        (None, BadRecordError, "no-value", "tombstone"),
        (b"", UnknownSchemaError, "unknown-schema", "C3 01"),
        (b"\xc3", UnknownSchemaError, "unknown-schema", "C3 01"),
        (b"\xc3\x01", UnknownSchemaError, "unknown-schema", "fingerprint"),
        (line(), UnknownSchemaError, "unknown-schema", "single-object"),
        (b"\0\0\0\0\7" + VALUE[10:], UnknownSchemaError, "unknown-schema", "Confluent framing"),
        (VALUE[:2] + b"12345678" + VALUE[10:], UnknownSchemaError, "unknown-schema", "3132333435363738"),
        (VALUE[:10], BadRecordError, "avro", "IndexError"),
        (VALUE + b"\0", BadRecordError, "avro", "ValueError"),
        (VALUE.replace(b"token.issued", b"token.bought"), BadRecordError, "type-mismatch", "'token.bought'"),
        (VALUE.replace(b"token.issued", b"token.\x80ssued"), BadRecordError, "type-mismatch", "ufffd"),
        (VALUE.replace(b"human:alice", b"human:alic\n"), BadRecordError, "bad-id", "subject contains U+000A"),
        (
            VALUE.replace(b"\x02t1", b"\x04 t1").replace(b"\x04t1", b"\x04t "),
            BadRecordError,
            "bad-id",
            "token",
        ),
        (VALUE.replace(b"human:alice", b"human:al\xff\xfee"), BadRecordError, "avro", "UnicodeDecodeError"),
        (b"\0" * 300_000, BadRecordError, "too-large", "300000"),
    ],
)
def test_a_bad_value_is_refused_with_a_reason(value, kind, reason, names):
    """
    Each fault is named, and input that a later version may read is an unknown schema.
    """
    refused = fault(decode, value)

    assert (kind, reason) == (type(refused), refused.reason)
    assert names in refused.detail


@pytest.mark.parametrize("size", range(len(VALUE)))
def test_a_truncated_value_is_refused_wherever_it_was_cut(size):
    """
    An incomplete record is never mistaken for one that states less.
    """
    for decoder in (decode, read):
        assert fault(decoder, VALUE[:size]).reason in {"avro", "unknown-schema"}


@pytest.mark.parametrize(
    ("document", "old", "new", "reason"),
    [
        ({**TOKEN, "sequence": 300}, b"\xd8\x04", b"\x01", "out-of-range"),
        ({**TOKEN, "sequence": 300}, b"\xd8\x04", b"\x80\x80\x80\x80\x80\x80\x80\x20", "out-of-range"),
        ({**TOKEN, "sequence": 300}, b"\xd8\x04", b"\xff" * 11, "avro"),
        ({**TOKEN, "sequence": 300}, b"\xd8\x04", b"\xff" * 9 + b"\x7f", "avro"),
        ({**TOKEN, "sequence": 300}, b"\x02\xd8\x04", b"\x04\xd8\x04", "avro"),
        ({**TOKEN, "exchange": "refresh"}, b"\x02\x04\0", b"\x02\x08\0", "avro"),
        ({**TOKEN, "exchange": "refresh"}, b"\x02\x04\0", b"\x02\x01\0", "avro"),
        ({**TOKEN, "issued_at": "1970-01-01T00:00:00.000150Z"}, b"\xac\x02", b"\xab\x02", "bad-time"),
        (
            {**TOKEN, "scopes": ["a", "b"]},
            b"\x04\x02a\x02b\0",
            b"\xff\xff\xff\xff\x0f\x02a\x02b\0",
            "too-many",
        ),
        (
            {**TOKEN, "scopes": ["a", "b"]},
            b"\x04\x02a\x02b\0",
            b"\x82\x04" + b"\x02a" * 257 + b"\0",
            "too-many",
        ),
        ({**TOKEN, "scopes": ["a"]}, b"\x02\x02a\0", b"\x02\x02a" * 257 + b"\0", "too-many"),
        ({**TOKEN, "scopes": ["a"]}, b"\x02\x02a\0", b"\x02\x01a\0", "avro"),
        ({**TOKEN, "scopes": ["a"]}, b"\x02\x02a\0", b"\x02\xfe\xff\xff\xff\x0fa\0", "avro"),
        ({**DECISION, "context": {"a": "1", "b": "2"}}, b"\x02b\x022", b"\x02a\x022", "duplicate-key"),
        ({**DECISION}, b"\x04d1\x01", b"\x04d1\x02", "avro"),
        ({**DECISION}, b"\x04d1\x01\x08read", b"\x04d1\x01\0", "bad-text"),
    ],
)
def test_bytes_that_no_writer_writes_are_refused(document, old, new, reason):
    """
    Numbers, branches, symbols, blocks and keys out of range are detected in the bytes.
    """
    value = encode(event_from_document(document))
    assert old in value

    assert reason == fault(decode, value.replace(old, new)).reason


def test_lists_in_several_blocks_and_with_their_size_are_read():
    """
    Other writers may split a list into blocks, and write the size of each so that a reader may skip it.
    """
    event = decode_line(line(scopes=["a", "b", "c"]))
    value = encode(event)
    whole = b"\x06\x02a\x02b\x02c\0"
    assert whole in value

    for blocks in (
        b"\x02\x02a\x04\x02b\x02c\0",
        b"\x03\x08\x02a\x02b\x02\x02c\0",
        b"\x05\x0c\x02a\x02b\x02c\0",
    ):
        other = value.replace(whole, blocks)
        assert event == decode(other) == read(other) == slow_avro.read_body(schemas.latest(), other[10:])


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (Event("e1", "urn:sts", 0, TokenIssued("t1", None)), "missing-field"),
        (Event("e1", "urn:sts", 0, TokenIssued("t1", 5)), "wrong-kind"),
        (Event("e1", "urn:sts", 0, TokenIssued("t1", "s", scopes=["a"])), "wrong-kind"),
        (Event("e1", "urn:sts", 0, TokenIssued("t1", "s", scopes=None)), "wrong-kind"),
        (Event("e1", "urn:sts", 0, TokenIssued("t1", "s", derived_from=(("t", "actor"),))), "wrong-kind"),
        (Event("e1", "urn:sts", 0.0, TokenIssued("t1", "s")), "wrong-kind"),
        (Event("e1", "urn:sts", -1, TokenIssued("t1", "s")), "bad-time"),
        (Event("e1", "urn:sts", 0, TokenIssued("t1", "s"), sequence=True), "wrong-kind"),
        (Event("e1", "urn:sts", 0, TokenIssued("t1", "s"), sequence=2**53), "out-of-range"),
        (Event("e1", "urn:sts", 0, TokenIssued("t1", "s", exchange="barter")), "unknown-schema"),
        (Event("e1", "urn:sts", 0, DecisionMade("d1", 1, "read")), "wrong-kind"),
        (Event("e1", "urn:sts", 0, DecisionMade("d1", True, "")), "bad-text"),
        (
            Event("e1", "urn:sts", 0, DecisionMade("d1", True, "o", context=(("b", "1"), ("a", "2")))),
            "wrong-kind",
        ),
        (
            Event("e1", "urn:sts", 0, DecisionMade("d1", True, "o", context=(("a", "1"), ("a", "2")))),
            "wrong-kind",
        ),
        (Event("e1", "urn:sts", 0, ("t1", "s")), "wrong-kind"),
        (Event("e1", "urn:sts", 0, TokenIssued(JWS, "s", exchange="barter")), "credential"),
    ],
)
def test_an_event_is_validated_before_it_is_written(event, reason):
    """
    No event is written to the log that a consumer would quarantine.
    """
    assert reason == fault(encode, event).reason


# Credentials


def test_a_credential_is_refused_whatever_else_is_wrong_with_the_line():
    """
    The reason determines what is kept of a record, so another fault must not hide it.
    """
    for raw in (
        line(actor=JWS),
        line(scopes=[JWS]),
        line(colour=JWS),
        line(**{JWS: 1}),
        line(type=JWS),
        line(issued_at=JWS, token=None),
        line(exchange=JWS),
        line(DECISION, context={JWS: "v"}),
        line(DECISION, context={"authorization": f"Bearer {JWS}"}),
        line(x=[[[{"y": JWS}]]]),
        line(actor=JWS)[:-1],
        line(actor=JWS) + b"\xff",
        line(actor=JWS).decode().encode("utf-16"),
        line(actor=JWS).replace(b"eyJ", b"\\u0065yJ"),
        line(actor=JWS).replace(b"eyJ", b"\\u0065yJ")[:-1],
    ):
        refused = fault(decode_line, raw)
        assert type(refused) is CredentialError
        assert "credential" == refused.reason
        assert JWS not in str(refused)
        assert "eyJ" not in str(refused)


def test_a_credential_is_named_by_its_field_and_digest():
    """
    In the quarantine, the token can be found by the id that it should have had.
    """
    refused = fault(decode_line, line(prior_actors=["agent:a", f"https://idp#{JWS}"]))

    assert "prior_actors[1] holds a raw credential" in refused.detail
    assert f"sha256:{hashlib.sha256(JWS.encode()).hexdigest()}" in refused.detail


def test_a_credential_in_a_value_of_the_log_is_found():
    """
    The record of a producer that checks nothing is checked when it is read, even if its bytes are malformed.
    """
    value = VALUE.replace(b"\x0eagent:a", bytes([len(JWS) * 2]) + JWS.encode()) if len(JWS) < 64 else b""
    assert JWS.encode() in value

    for raw in (value, value[:-1], value.replace(b"token.issued", b"token.bought")):
        refused = fault(decode, raw)
        assert type(refused) is CredentialError
        assert JWS not in str(refused)
    assert "actor holds" in fault(decode, value).detail
    assert read(value).body.actor == JWS


# The generated code and its fallback


def test_the_generated_code_agrees_with_fastavro():
    """
    For every vector both write the same bytes and read the same event.
    """
    version = schemas.latest()
    coder = fast_avro.coder(version)
    for document in vectors.documents().values():
        event = event_from_document(document)
        value = coder.encode(event)
        assert HEADER + slow_avro.write_body(version, event) == value
        assert event == coder.read(value) == coder.decode(value) == slow_avro.coder(version).read(value)


def test_without_generated_code_everything_still_works(monkeypatch):
    """
    If no code can be generated, fastavro and the validation do the same more slowly.
    """
    version = schemas.latest()
    monkeypatch.setattr(avro_form, "_coders", lambda: {HEADER: slow_avro.coder(version)})

    for document in vectors.documents().values():
        event = event_from_document(document)
        assert event == decode(encode(event)) == read(encode(event))
    for value in (VALUE[:-1], VALUE + b"\0", VALUE.replace(b"human:alice", b"human:alic\n")):
        assert fault(decode, value).reason in {"avro", "bad-id"}
    assert "bad-id" == fault(encode, Event("", "urn:sts", 0, TokenIssued("t1", "s"))).reason


def test_a_schema_for_which_no_code_can_be_generated_is_read_by_fastavro(monkeypatch, caplog):
    """
    The fallback logs a warning and does not fail.
    """

    def refuse(version):
        raise ValueError(version.file)

    monkeypatch.setattr(fast_avro, "coder", refuse)
    coder = avro_form._coder(schemas.latest())

    assert decode(VALUE) == coder.read(VALUE)
    with pytest.raises(SlowPathError):
        coder.decode(VALUE)
    assert "falling back to fastavro" in caplog.text


def test_repeated_strings_are_one_object():
    """
    The same agents occur in every record: they are decoded and validated once.
    """
    first, second = decode(VALUE), decode(bytes(bytearray(VALUE)))

    assert first.body.actor is second.body.actor


def test_what_stored_grants_share_is_one_object():
    """
    Tokens that differ only in their id and their times are read at once between these, but not if anything differs.
    """
    alike = TokenIssued("t1", "human:alice", actor="agent:a", scopes=("read", "write"), expires_at=2**50)
    bodies = [alike, alike._replace(token="t2", expires_at=2**50 + 1), alike._replace(token="t3", scopes=("read",))]
    values = [encode(Event(event_id=body.token, source="s", occurred_at=1, body=body)) for body in bodies]
    first, second, third = (read(value).body for value in values)

    assert bodies == [first, second, third]
    assert first.scopes is second.scopes


def test_stored_grants_that_share_their_fields_stay_in_parts():
    """
    All but the first of those that differ only in their id and their times; one that states more is read as a whole,
    even if it is as long.
    """
    alike = TokenIssued("t1", "human:alice", actor="agent:a", scopes=("parts", "write"), issued_at=1, expires_at=2**50)
    longer = {"single_use": True, "expires_at": 2**47}  # a shorter time and a longer rest
    more = {"t2": {"expires_at": 2**50 + 1}, "t3": {"issued_at": 2}, "t4": longer}
    bodies = [alike, *(alike._replace(token=token, **fields) for token, fields in more.items())]
    events = [Event(event_id=body.token, source="s", occurred_at=1, body=body) for body in bodies]
    assert 1 == len({len(encode(event)) for event in events})
    granted = DelegationGranted("d1", "human:alice", "agent:a", scopes=("parts", "write"), not_before=7)
    events += [
        Event(event_id=id_, source="s", occurred_at=1, body=granted._replace(delegation=id_)) for id_ in ("d1", "d2")
    ]
    values = [encode(event) for event in events]
    found = read_parts(values)

    assert [2, 3, 6] == [number for number, one in enumerate(found, 1) if isinstance(one, GrantParts)]
    assert events == [one.event if isinstance(one, GrantParts) else one for one in found]
    assert found[1].template is found[2].template
    with pytest.raises(BadRecordError, match="cannot be read"):
        read_parts([values[0], values[1][:-1]])
    with pytest.raises(UnknownSchemaError):
        read_parts([b"\xc3\x01" + bytes(20)])


def test_the_cache_of_strings_is_bounded():
    """
    However many different strings occur, they take limited memory.
    """
    from ingest.codec.avro_primitives import Memo

    memo = Memo(lambda key: key.upper())
    for number in range(40_000):
        assert memo[str(number)] == str(number)
    assert memo["x" * 4096] == "X" * 4096

    assert len(memo) <= 32_768
    assert "x" * 4096 not in memo


def test_every_event_that_validation_accepts_is_written():
    """
    The generated code refuses nothing that the validation accepts.
    """
    for document in vectors.documents().values():
        event = event_from_document(document)
        check(event)
        assert fast_avro.coder(schemas.latest()).encode(event)


def test_a_line_and_a_document_are_read_alike():
    """
    The vectors' events are the same as a line and as a document.
    """
    for path in sorted(Path(vectors.FOLDER).glob("*.json")):
        stated = json.loads(path.read_text("utf-8"))["event"]
        assert event_from_document(stated) == decode_line(json.dumps(stated).encode())
