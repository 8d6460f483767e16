"""Properties of every event, and of arbitrary bytes."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import schemas
from ingest.codec import avro_fastavro, limits
from ingest.codec.api import decode, decode_line, encode, encode_line, event_from_document, read, read_parts
from ingest.codec.avro_form import _coders
from ingest.codec.credentials import find, is_secret_of_ours, kept
from ingest.codec.schema_shape import RECORDS, latest_shape
from ingest.codec.validation import check
from lineage.core.model.errors import BadRecordError, CredentialError
from lineage.core.model.events import Event, canonical_json, digest, document
from lineage.core.model.grants import GrantParts
from lineage.core.model.times import LATEST

HEADER = b"\xc3\x01" + schemas.latest().fingerprint
CODER = _coders()[HEADER]

CHARACTERS = st.characters(codec="utf-8")
# Mostly what ids look like, now and then anything that is allowed.
IDS = st.one_of(
    st.from_regex(r"(human:|agent:|spiffe://|https://idp\.example\.com#|sha256:)?[a-z0-9./-]{1,80}", fullmatch=True),
    st.text(CHARACTERS, min_size=1, max_size=128),
).filter(lambda text: not limits.fault_of_id(text) and not find(text))
TEXTS = st.text(CHARACTERS, max_size=200).filter(lambda text: not find(text))
INTEGERS = st.integers(0, limits.LARGEST_INTEGER) | st.integers(0, 200)
TIMES = st.integers(0, LATEST) | st.integers(1_700_000_000_000_000, 1_900_000_000_000_000) | st.integers(0, 300)


def _values(field, *, nullable=True):
    if field.many == "map":
        pairs = st.tuples(TEXTS, TEXTS).filter(lambda pair: not is_secret_of_ours(*pair))
        return st.lists(pairs, max_size=4).map(lambda stated: tuple(sorted(dict(stated).items())))
    one = {
        "id": IDS,
        "text": TEXTS if not field.required else TEXTS.filter(bool),
        "integer": INTEGERS,
        "time": TIMES,
        "boolean": st.booleans(),
        "enum": st.sampled_from(field.symbols or ("",)),
        "record": _records(field.record) if field.record else st.nothing(),
    }[field.kind]
    if field.many:
        return st.lists(one, max_size=4).map(tuple)
    return st.none() | one if field.optional and nullable else one


def _records(record):
    return st.builds(RECORDS[record.name], **{field.name: _values(field) for field in record.fields})


def _events(bodies):
    return st.sampled_from(bodies).flatmap(
        lambda body: st.builds(
            Event,
            body=_records(body),
            **{name: _values(field) for name, field in latest_shape().envelope.items()},
        )
    )


EVENTS = _events(list(latest_shape().bodies.values()))
GRANTS = _events([latest_shape().bodies[kind] for kind in ("token.issued", "delegation.granted")])


@given(EVENTS)
def test_every_event_survives_both_encodings(event):
    """
    Line, document and Avro are equivalent, and reading returns what was written.
    """
    value = encode(event)

    assert event == decode_line(encode_line(event)) == event_from_document(document(event))
    assert event == decode(value) == read(value)
    assert digest(event) == digest(decode_line(encode_line(event)))
    check(event)


@pytest.mark.slow
@given(EVENTS)
def test_the_generated_code_equals_fastavro_on_every_event(event):
    """
    It writes the same bytes, and reads the same event from them, without taking the slow path.
    """
    body = avro_fastavro.write_body(schemas.latest(), event)

    assert HEADER + body == CODER.encode(event)
    assert event == avro_fastavro.read_body(schemas.latest(), body)
    assert event == CODER.read(HEADER + body) == CODER.decode(HEADER + body)


OWN = ("token", "delegation", "issued_at", "not_before", "expires_at", "workload", "task", "approved_by")


@settings(max_examples=50)
@given(st.lists(GRANTS, min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_each_grant_is_read_as_it_was_written_whatever_it_shares_with_others(grants, rng):
    """
    What a grant shares with one that was read before is not read again: this changes nothing, in any order, whether the
    grant stays in parts or not, and neither does a value that was cut somewhere.
    """
    events = []
    for one, other in itertools.product(grants, repeat=2):
        own = {name: getattr(other.body, name) for name in OWN if name in other.body._fields}
        same = type(one.body) is type(other.body)
        body = one.body._replace(**{name: value for name, value in own.items() if same and rng.random() < 0.5})
        events.append(rng.choice([one, other])._replace(body=body))
    for event in rng.choices(events, k=3 * len(events)):
        value = encode(event)
        cut = value[: rng.randint(11, len(value))]
        assert _decoded(read, cut) == _decoded(_read_parts, cut)
        for reader in rng.sample([read, _read_parts], k=2):
            assert event == reader(value)


def _read_parts(value):
    [found] = read_parts([value])
    return found.event if isinstance(found, GrantParts) else found


def _decoded(decoder, raw):
    try:
        return decoder(raw)
    except BadRecordError:
        return None


@st.composite
def broken_values(draw):
    """Generate a value with some bytes changed, removed, inserted or repeated."""
    value = bytearray(encode(draw(EVENTS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0 if draw(st.integers(0, 9)) == 0 else 10, len(value) - 1))
        size = draw(st.integers(0, 3))
        new = draw(
            st.binary(max_size=3) | st.sampled_from([b"\0", b"\1", b"\2", b"\x7f", b"\x80", b"\xff" * 9 + b"\1"])
        )
        value[at : at + size] = new
    return bytes(value)


@pytest.mark.slow
@settings(max_examples=400)
@given(broken_values() | st.binary(max_size=300).map(lambda tail: HEADER + tail) | st.binary(max_size=50))
@example(HEADER + b"\x18token.issued" + b"\xff" * 10)
@example(HEADER + b"\x01" * 50)
@example(HEADER + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01" * 5)
def test_any_bytes_yield_an_event_or_a_bad_record_error(value):
    """
    Only a BadRecordError is raised; an accepted event is valid, and fastavro reads the same.
    """
    seen = _decoded(read, value)
    checked = _decoded(decode, value)
    if checked is not None:
        assert checked == seen
        check(checked)
        assert checked == decode(encode(checked)) == avro_fastavro.read_body(schemas.latest(), value[10:])


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["2026-11-01T09:00:00Z"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)


@st.composite
def broken_documents(draw):
    """Generate an event's document in which some fields have arbitrary values or another name."""
    stated = document(draw(EVENTS))
    names = [
        *latest_shape().envelope,
        *(field.name for body in latest_shape().bodies.values() for field in body.fields),
    ]
    for _ in range(draw(st.integers(1, 3))):
        stated[draw(st.sampled_from([*names, "type"]) | st.text(max_size=10))] = draw(JSON_VALUES)
    return stated


@given(broken_documents())
def test_any_document_yields_an_event_or_a_bad_record_error(stated):
    """
    A line and a document are judged alike, and an accepted event can be written to the log.
    """
    from_document = _decoded(event_from_document, stated)
    from_line = _decoded(decode_line, json.dumps(stated).encode())

    assert from_document == from_line
    if from_line is not None:
        assert from_line == decode(encode(from_line))


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")))
def test_any_line_yields_an_event_or_a_bad_record_error(raw):
    """
    Bytes that are not a line raise only a BadRecordError.
    """
    assert _decoded(decode_line, raw) is None


@st.composite
def almost_events(draw):
    """Generate an event in which some slots have values of the wrong kind."""
    event = draw(EVENTS)
    strange = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-5, 2**64),
        st.floats(),
        st.text(st.characters(), max_size=5),
        st.just(()),
        st.just(("",)),
        st.just([]),
        st.just((1,)),
        st.binary(max_size=3),
        st.just((("b", "a"), ("a", "b"))),
    )
    for _ in range(draw(st.integers(1, 2))):
        if draw(st.booleans()):
            event = event._replace(
                body=event.body._replace(**{draw(st.sampled_from(event.body._fields)): draw(strange)})
            )
        else:
            name = draw(st.sampled_from([name for name in Event._fields if name != "body"]))
            event = event._replace(**{name: draw(strange)})
    return event


@pytest.mark.slow
@settings(max_examples=300)
@given(almost_events())
def test_the_generated_writer_accepts_exactly_what_validation_accepts(event):
    """
    It does so without calling the validation.
    """
    accepted = _decoded(lambda made: check(made) or True, event)

    assert bool(accepted) is (_decoded(encode, event) is not None)
    if accepted:
        assert event == decode(encode(event))


SECRETS = st.sampled_from(
    [
        "eyJhbGciOiJFUzI1NiJ9.eyJqdGkiOiIxIn0.c2lnbmF0dXJl",
        "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
        "sk-ant-api03-0123456789abcdefghijklmnopqrstuvwxyz",
        "hvs.CAESIJ0123456789abcdefghijklmnopqrstuvwxyz",
        "glpat-0123456789abcdefghij",
        "xoxb-123456789012-1234567890123-abcdefghijklmnop",
    ]
)


@given(EVENTS, SECRETS, st.sampled_from(["", "https://idp.example.com#", "x-", "é", " "]), st.data())
def test_a_record_with_a_credential_is_refused_and_redacted(event, secret, before, data):
    """
    Wherever a credential is in a record, the record is refused, and redaction removes the credential.
    """
    fields = [field for field in latest_shape().bodies[event.type].fields if field.kind in {"id", "text"}]
    field = data.draw(st.sampled_from(fields))
    text = before + secret
    held = {"": text, "list": (text,), "map": (("key", text),)}[field.many]
    leaking = event._replace(body=event.body._replace(**{field.name: held}))

    line = encode_line(leaking)
    value = HEADER + avro_fastavro.write_body(schemas.latest(), leaking)
    for decoder, raw in ((decode_line, line), (decode, value), (encode, leaking)):
        with pytest.raises(CredentialError) as caught:
            decoder(raw)
        assert secret not in str(caught.value)
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in secret).encode()
    for raw in (line, value, line.replace(secret.encode(), escaped)):
        assert secret.encode() not in kept(raw)
        assert escaped not in kept(raw)


def by_utf_16(value: object) -> object:
    """Return the same value, with the keys of every object in the order of RFC 8785, section 3.2.3."""
    if isinstance(value, dict):
        return {key: by_utf_16(value[key]) for key in sorted(value, key=lambda text: text.encode("utf-16-be"))}
    return [by_utf_16(item) for item in value] if isinstance(value, list) else value


KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(TREES)
@example({"\U0001f600": 1, "\ufb33": 2, "a": {"\U0001f600": 1, "\ufb33": 2}})
def test_canonical_json_is_sorted_by_code_units_of_utf_16(value: Any):
    """Characters beyond the BMP sort before those at its end, at every depth; nothing else changes."""
    expected = json.dumps(by_utf_16(value), ensure_ascii=False, separators=(",", ":")).encode()
    assert expected == canonical_json(value)
