"""The wire contract: shipped schemas never change, and the latest one agrees with the values of the core."""

import copy
import hashlib
import json
from importlib.resources import files

import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse

import schemas
from ingest.codec import avro_fastavro
from ingest.codec import conformance_vectors as vectors
from ingest.codec.api import decode, encode, event_from_document, read
from ingest.codec.event_reference import reference
from ingest.codec.schema_shape import RECORDS, RecordShape, latest_shape, shape_of
from lineage.core.model import events

VERSIONS = schemas.versions()
LATEST = schemas.latest()


def test_the_lock_names_every_schema_file_once_with_its_digest():
    """
    A schema file that the lock does not name, or that changed after it was shipped, breaks the contract.
    """
    entries = [
        {
            "name": f"{version.definition['namespace']}.{version.definition['name']}",
            "version": number,
            "file": f"decision_event.v{number}.avsc",
            "fingerprint": avro_fastavro.fingerprint(version.definition).hex(),
            "sha256": hashlib.sha256(files(schemas).joinpath(version.file).read_bytes()).hexdigest(),
        }
        for number, version in enumerate(VERSIONS, 1)
    ]
    shipped = sorted(path.name for path in files(schemas).iterdir() if path.name.endswith(".avsc"))

    assert entries == json.loads(files(schemas).joinpath("lock.json").read_text("utf-8"))
    assert sorted(entry["file"] for entry in entries) == shipped


def test_a_changed_file_is_refused_when_it_is_loaded():
    """
    The loader compares each file with the SHA-256 in the lock, because the fingerprint covers no defaults.
    """
    entry = json.loads(files(schemas).joinpath("lock.json").read_text("utf-8"))[0]

    with pytest.raises(ValueError, match=r"decision_event\.v1\.avsc is not the file"):
        schemas._load(entry | {"sha256": "0" * 64})


def test_a_version_is_found_by_the_bytes_on_the_wire():
    """
    The fingerprint is looked up as it is in a value: eight bytes, little-endian.
    """
    value = encode(event_from_document(vectors.documents()["token.issued"]))

    assert LATEST == schemas.by_fingerprint(value[2:10])
    assert schemas.by_fingerprint(b"unknown!") is None


def test_the_values_of_the_core_mirror_the_schema_field_for_field():
    """
    The NamedTuples have the fields of the latest schema, in its order, with its defaults.
    """
    shape = latest_shape()
    assert ("type", *events.Event._fields) == shape.order
    assert list(events.BODIES) == list(shape.bodies)
    for record in _records(LATEST.definition).values():
        value = RECORDS[record.name]
        assert [field.name for field in record.fields] == list(value._fields)
        assert {
            field.name: () if field.many else field.default for field in record.fields if field.has_default
        } == value._field_defaults


def test_times_are_the_fields_that_the_core_writes_as_times():
    """
    The fields that the JSON form shows as RFC 3339 are exactly the timestamps of the schema.
    """
    times = {
        field.name
        for record in [
            *_records(LATEST.definition).values(),
            RecordShape("", "", tuple(latest_shape().envelope.values())),
        ]
        for field in record.fields
        if field.kind == "time"
    }

    assert times == events.TIME_FIELDS


def test_no_body_has_a_field_of_the_envelope():
    """
    In JSON they are in the same object, so their names must differ.
    """
    for body in latest_shape().bodies.values():
        assert not {field.name for field in body.fields} & set(latest_shape().order)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.file)
def test_every_field_and_record_is_documented(version):
    """
    docs/events.md is generated from the documentation.
    """
    for path, node in _nodes(version.definition):
        if "name" in node:
            assert node.get("doc", "").endswith("."), path


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.file)
def test_every_string_is_declared_as_id_or_text(version):
    """
    Ids and texts have different limits, and only the schema distinguishes them.
    """
    for path, node in _nodes(version.definition):
        if "name" in node and '"string"' in json.dumps(node.get("type")) and "fields" not in json.dumps(node):
            assert node.get("is") in {"id", "text"}, path


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.file)
def test_every_optional_field_has_a_default(version):
    """
    A nullable field defaults to null, a list to the empty list, a map to the empty map.
    """
    for path, node in _nodes(version.definition):
        written = node.get("type")
        if "name" not in node or path.endswith(".body"):
            continue
        if isinstance(written, list):
            assert written[0] == "null", path
            assert node["default"] is None, path
        elif isinstance(written, dict) and written["type"] in {"array", "map"}:
            assert node["default"] == ([] if written["type"] == "array" else {}), path


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.file)
def test_no_type_contains_itself(version):
    """
    With a recursive schema a few hostile bytes could crash a reader written in C.
    """

    def walk(record, above):
        assert record.name not in above
        for field in record.fields:
            if field.record:
                walk(field.record, {*above, record.name})

    for body in shape_of(version.definition).bodies.values():
        walk(body, set())


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.file)
def test_no_list_has_entries_of_zero_bytes(version):
    """
    A block of a billion empty entries is nine bytes long and takes minutes.
    """
    for path, node in _nodes(version.definition):
        if node.get("type") == "array":
            items = node["items"]
            assert items != "null", path
            assert not isinstance(items, dict) or items.get("fields") or items["type"] == "enum", path


@pytest.mark.parametrize("writer", VERSIONS, ids=lambda version: f"written by {version.version}")
@pytest.mark.parametrize("reader", VERSIONS, ids=lambda version: f"read by {version.version}")
def test_every_version_reads_every_other_within_a_type(reader, writer):
    """
    Full-transitive: a consumer of any version reads what a producer of any other writes, type by type.
    """
    for name in set(shape_of(reader.definition).bodies) & set(shape_of(writer.definition).bodies):
        assert [] == _faults(_only(reader.definition, name), _only(writer.definition, name))


@pytest.mark.parametrize(
    ("field", "reads"),
    [
        ({"name": "ticket", "type": ["null", "string"], "default": None}, True),
        ({"name": "ticket", "type": "string"}, False),
    ],
)
def test_the_check_detects_a_change_that_breaks_readers(field, reads):
    """
    The check itself must be able to fail: a new required field is refused.
    """
    old = _only(LATEST.definition, "revocation.lifted")
    new = copy.deepcopy(old)
    body = next(field for field in new["fields"] if field["name"] == "body")
    body["type"][0]["fields"].append(field)

    assert reads is (_faults(new, old) == [])
    assert [] == _faults(old, new)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.file)
def test_no_symbol_of_an_enumeration_is_ever_removed(version):
    """
    A symbol may be added (consumers upgrade first), but existing records stay readable.
    """
    for earlier in VERSIONS[: version.version - 1]:
        now, then = _words(version.definition), _words(earlier.definition)
        assert {name: words for name, words in then.items() if not words <= now[name]} == {}


@pytest.mark.parametrize("name", vectors.documents())
def test_each_vector_matches_its_event(name):
    """
    Event, Avro bytes and digest of every vector agree, and the file is up to date.
    """
    text = (vectors.FOLDER / f"{name}.json").read_text("utf-8")
    stored = json.loads(text)
    event = event_from_document(stored["event"])
    value = bytes.fromhex(stored["bytes"])

    assert vectors.text_of(vectors.documents()[name]) == text
    assert value == encode(event) == value[:10] + avro_fastavro.write_body(LATEST, event)
    assert event == decode(value) == read(value) == avro_fastavro.read_body(LATEST, value[10:])
    assert stored["digest"] == events.digest(event)


def test_there_is_a_vector_with_every_field_of_every_type():
    """
    A producer that passes the vectors has written every field once, and every type with only the required ones.
    """
    documents = vectors.documents()
    for name, body in latest_shape().bodies.items():
        envelope = latest_shape().envelope.values()
        required = {field.name for field in [*envelope, *body.fields] if field.required}
        assert required | {"type"} == set(documents[name]) - {"actor"}
        every = {field.name for field in [*envelope, *body.fields]}
        assert every | {"type"} == set(documents[f"{name}.every_field"])
    assert {f"{name}.json" for name in documents} == {path.name for path in vectors.FOLDER.glob("*.json")}


@pytest.mark.parametrize(
    "file", sorted(vectors.FOLDER.glob("v*/*.json")), ids=lambda file: f"{file.parent.name}-{file.stem}"
)
def test_vectors_of_an_earlier_version_are_still_read(file):
    """
    A value by a producer of an earlier version is the same event with the same digest.
    """
    stored = json.loads(file.read_text("utf-8"))
    value = bytes.fromhex(stored["bytes"])
    version = schemas.by_fingerprint(value[2:10])

    assert file.parent.name == f"v{version.version}"
    assert event_from_document(stored["event"]) == decode(value) == read(value)
    assert read(value) == avro_fastavro.read_body(version, value[10:])
    assert stored["digest"] == events.digest(decode(value))


def test_vectors_of_every_earlier_version_are_kept():
    """
    There is a folder of vectors for each version that is no longer written.
    """
    kept = {path.name for path in vectors.FOLDER.iterdir() if path.is_dir()}

    assert {f"v{version.version}" for version in VERSIONS[:-1]} == kept


def test_stated_defaults_do_not_change_the_digest():
    """
    Absent, null, and the default are one content, and so are two spellings of one instant.
    """
    documents = vectors.documents()
    plain, stated = documents["revocation.ordered"], documents["revocation.ordered.stated_defaults"]

    assert vectors.vector(plain)["digest"] == vectors.vector(stated)["digest"]


def test_the_reference_of_the_events_is_current():
    """
    docs/events.md agrees with the schema; regenerate it with `python -m ingest.codec.event_reference > docs/events.md`.
    """
    written = vectors.FOLDER.parent.parent / "docs" / "events.md"

    assert reference() == written.read_text("utf-8")


def _records(definition):
    found = {}

    def collect(record):
        found[record.name] = record
        for field in record.fields:
            if field.record:
                collect(field.record)

    for body in shape_of(definition).bodies.values():
        collect(body)
    return found


def _nodes(node, path=""):
    if isinstance(node, dict):
        path = f"{path}.{node['name']}" if "name" in node else path
        yield path, node
        for child in node.values():
            yield from _nodes(child, path)
    elif isinstance(node, list):
        for child in node:
            yield from _nodes(child, path)


def _only(definition, name):
    # The schema with one body; types that other bodies name first are written out where used. The words of
    # enumerations are compared elsewhere: a new one is no change of the type.
    named = {node["name"]: node for _, node in _nodes(definition) if "fields" in node or "symbols" in node}
    seen = set()

    def written_out(node):
        if isinstance(node, str) and node in named and node not in seen:
            return written_out(named[node])
        if isinstance(node, dict):
            if "fields" in node or "symbols" in node:
                if node["name"] in seen:
                    return node["name"]
                seen.add(node["name"])
                if "symbols" in node:
                    return {"type": "enum", "name": node["name"], "symbols": ["word"]}
            return {
                key: written_out(child) if key in {"type", "items", "fields"} else child
                for key, child in node.items()
                if key not in {"doc", "is", "logicalType"}
            }
        return [written_out(child) for child in node] if isinstance(node, list) else node

    body = next(body for body in shape_of(definition).bodies.values() if events.TYPES[RECORDS[body.name]] == name)
    alone = copy.deepcopy(definition)
    for field in alone["fields"]:
        if field["name"] == "body":
            field["type"] = [named[body.name]]
    return written_out(alone)


def _words(definition):
    return {node["name"]: set(node["symbols"]) for _, node in _nodes(definition) if "symbols" in node}


def _faults(reader, writer):
    checker = ReaderWriterCompatibilityChecker()
    answer = checker.get_compatibility(parse(json.dumps(reader)), parse(json.dumps(writer)))
    if answer.compatibility is SchemaCompatibilityType.compatible:
        return []
    return [str(fault) for fault in [*answer.incompatibilities, *answer.messages]]
