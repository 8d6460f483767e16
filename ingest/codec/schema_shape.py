"""The structure of the events, read from the schema: the source of codec, generated code and documentation."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final, NamedTuple

import schemas
from lineage.core.model import events

_PARTS = (events.Resource, events.Derivation, events.Policy, events.StatusList, events.Target, events.CaseItem)
# The NamedTuple for each record of the schema, by name: `TokenIssued` is read into `TokenIssued`.
RECORDS: Final[dict[str, type[Any]]] = {record.__name__: record for record in (*events.BODIES.values(), *_PARTS)}


class Field(NamedTuple):
    """One field of a record.

    ``kind`` is id, text, time, integer, boolean, enum or record; ``many`` is "" (one value), list or map.
    """

    name: str
    kind: str
    doc: str
    optional: bool = False  # the schema writes it as a union with null
    many: str = ""
    default: Any = None
    has_default: bool = False
    symbols: tuple[str, ...] = ()  # of an enum
    record: "RecordShape | None" = None

    @property
    def required(self) -> bool:
        """Whether the field must be present."""
        return not self.has_default


class RecordShape(NamedTuple):
    """One record of the schema; its fields are in the order in which they are encoded."""

    name: str
    doc: str
    fields: tuple[Field, ...]


class FieldShape(NamedTuple):
    """The fields of the envelope without ``type`` and ``body``, and the bodies by event type."""

    doc: str
    order: tuple[str, ...]  # every field of the envelope in the order of encoding, including `type` and `body`
    envelope: dict[str, Field]
    bodies: dict[str, RecordShape]


def shape_of(definition: dict[str, Any]) -> FieldShape:
    """Read the shape of a schema (the parsed JSON of an ``.avsc`` file)."""
    names: dict[str, dict[str, Any]] = dict(_named(definition))
    envelope = {field["name"]: field for field in definition["fields"]}
    order = tuple(envelope)
    bodies = [_record(body, names) for body in envelope.pop("body")["type"]]
    envelope.pop("type")
    return FieldShape(
        doc=definition["doc"],
        order=order,
        envelope={name: _field(field, names) for name, field in envelope.items()},
        bodies={events.TYPES[RECORDS[body.name]]: body for body in bodies},
    )


@cache
def latest_shape() -> FieldShape:
    """The shape of the latest schema version, in which events are written."""
    return shape_of(schemas.latest().definition)


def _named(node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if "fields" in node or "symbols" in node:
            yield node["name"], node
        for child in node.values():
            yield from _named(child)
    elif isinstance(node, list):
        for child in node:
            yield from _named(child)


def _record(definition: dict[str, Any], names: dict[str, dict[str, Any]]) -> RecordShape:
    fields = tuple(_field(field, names) for field in definition["fields"])
    return RecordShape(definition["name"], definition["doc"], fields)


def _field(definition: dict[str, Any], names: dict[str, dict[str, Any]]) -> Field:
    written = definition["type"]
    optional = isinstance(written, list)
    if optional:
        null, written = written
        if null != "null":
            raise ValueError(f"the union of {definition['name']} is not null and one other type")
    many = ""
    if isinstance(written, dict) and written["type"] in {"array", "map"}:
        many = "list" if written["type"] == "array" else "map"
        written = written["items" if many == "list" else "values"]
    if isinstance(written, str) and written in names:
        written = names[written]
    kind = written if isinstance(written, str) else written["type"]
    symbols: tuple[str, ...] = ()
    record = None
    if kind == "string":
        kind = definition["is"]
    elif kind == "long":
        kind = "time" if isinstance(written, dict) else "integer"
    elif kind == "enum":
        symbols = tuple(written["symbols"])
    elif kind == "record":
        record = _record(written, names)
    return Field(
        name=definition["name"],
        kind=kind,
        doc=definition["doc"],
        optional=optional,
        many=many,
        default=() if many else definition.get("default"),
        has_default="default" in definition,
        symbols=symbols,
        record=record,
    )
