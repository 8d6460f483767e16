"""Avro by code generated from the schema: plain Python, twice as fast as fastavro, which builds the NamedTuples.

Four functions are generated from a schema and compiled once: ``read``, ``read_parts`` (leaves those grants in parts
that share their fields with others), ``decode`` (validates while reading) and ``encode`` (validates while writing).
They do not explain what is wrong: they raise ``SlowPathError``, or whatever Python raises on malformed bytes, and
``avro_form`` calls ``check`` for the message.

Hostile bytes are safe: a slice is never longer than the value, a list is refused at its limit before it is read,
every iteration of a loop consumes a byte, nothing recurses, and the position at the end must be the end of the value.
Stricter than fastavro in one respect: the branch of a union and the symbol of an enum must be encoded in one byte, as
every writer does.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import schemas
from ingest.codec import avro_primitives as avro_parts
from ingest.codec import limits
from ingest.codec.avro_primitives import Coder, Memo
from ingest.codec.schema_shape import RECORDS, Field, FieldShape, RecordShape, shape_of
from lineage.core.model.events import Event
from lineage.core.model.grants import GrantParts, GrantTemplate
from lineage.core.model.keys import shared_text

_HEADER: Final = 10
_ONE_BYTE: Final = 63  # the largest index of a branch or a symbol that zigzag writes in one byte
# The last fields of a record are the newest and rarely set: one comparison finds that all of them are absent.
_TAIL: Final = 3
# Many grants differ only in their id and their times: what is between these is read once, up to a limit, which is 8 MB.
_LEAST_SHARED: Final = 4  # fields
_SHARED: Final = 1 << 13
_SHARED_BYTES: Final = 500
_GRANTS: Final = {"TokenIssued": "token:", "DelegationGranted": "delegation:"}
_TIMES: Final = frozenset({"issued_at", "not_before", "expires_at"})
# Unique in every event, so not worth caching.
_UNIQUE: Final = frozenset({"event_id", "traceparent", "action"})


def coder(version: schemas.SchemaVersion) -> Coder:
    """Generate and compile the coder of a schema version.

    Raises:
        ValueError: The schema uses a construct that the generator does not support.
    """
    shape = shape_of(version.definition)
    made: dict[str, Any] = {}
    for source, *functions in (
        (reader_source(shape, checked=False) + parts_source(shape), "read", "read_parts"),
        (reader_source(shape, checked=True), "decode"),
        (writer_source(shape, b"\xc3\x01" + version.fingerprint), "encode"),
    ):
        names = _names(shape)
        file = f"<{functions[0]} of {version.file}>"
        exec(compile(source, file, "exec"), names)  # noqa: S102  (generated from our schema)
        made.update((name, names[name]) for name in functions)
    return Coder(**made)


def _names(shape: FieldShape) -> dict[str, Any]:
    """The global names of the generated code, including its own caches."""
    names: dict[str, Any] = {name: value for name, value in vars(avro_parts).items() if not name.startswith("__")}
    names |= RECORDS | {"Event": Event, "new": tuple.__new__}
    names |= {"GrantParts": GrantParts, "GrantTemplate": GrantTemplate, "shared_text": shared_text}
    for number in range(len(shape.bodies)):
        names |= {f"shared_{number}": {}, f"rest_{number}": [0], f"templates_{number}": {}}
    names["sources"] = Memo(bytes.decode)
    names["ids"], names["texts"] = Memo(avro_parts.checked_id), Memo(avro_parts.checked_text)
    for kind in ("id", "text", "stated"):
        names[f"{kind}_memo"] = Memo(names[f"{kind}_bytes"])
        names[f"{kind}_memo_or_none"] = Memo(avro_parts.or_none(names[f"{kind}_bytes"]))
    names["upper_halves"] = Memo(avro_parts.upper_half)
    for field in _fields(shape):
        if field.kind == "enum":
            if len(field.symbols) > _ONE_BYTE:
                raise ValueError(f"{field.name} has more than {_ONE_BYTE} symbols")
            names[_symbols(field)] = field.symbols
            written = {symbol: avro_parts.zigzag(at) for at, symbol in enumerate(field.symbols)}
            names[_written(field)] = written
            names[f"{_written(field)}_or_none"] = {None: b"\0"} | {key: b"\2" + raw for key, raw in written.items()}
    return names


def _fields(shape: FieldShape) -> Iterator[Field]:
    waiting = [*shape.envelope.values(), *(field for body in shape.bodies.values() for field in body.fields)]
    while waiting:
        field = waiting.pop()
        waiting += field.record.fields if field.record else ()
        yield field


def _symbols(field: Field) -> str:
    return "symbols_" + "_".join(field.symbols)


def _written(field: Field) -> str:
    return "written_" + "_".join(field.symbols)


class _PythonLines:
    """Lines of Python, indented."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._depth = 0

    def __call__(self, *lines: str) -> None:
        self.lines += ("    " * self._depth + line for line in lines)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Indent the lines written inside the block under ``head``."""
        self(head)
        self._depth += 1
        yield
        self._depth -= 1


# Reading. In generated code `v` is the value and `p` the position in it. The variable of a field ends in `_`, so
# that no field of a schema shadows a name of the code.


def reader_source(shape: FieldShape, *, checked: bool) -> str:
    """Generate the source of ``read`` (or of ``decode``, if ``checked``) and of one function for each body."""
    out = _PythonLines()
    order = shape.order
    head, tail = order[1 : order.index("body")], order[order.index("body") + 1 :]
    name = "decode" if checked else "read"
    if order[0] != "type":
        raise ValueError("the envelope does not begin with the type")
    for number, (kind, body) in enumerate(shape.bodies.items()):
        with out.block(f"def body_{number}({', '.join(('v', 'p', 'last', 'kind', *map(_variable, head)))}):"):
            if checked:
                with out.block(f"if kind != {kind.encode()!r}:"):
                    out("raise SlowPathError")
            _read_body(out, body, number, checked=checked)
            out(f"body_ = {_built(body, '')}")
            _read_rarely_set(out, [shape.envelope[field] for field in tail], checked=checked)
            with out.block("if p != len(v):"):
                out("raise ValueError('the value does not end where the record ends')")
            out(f"return new(Event, ({', '.join(_slot(slot, order) for slot in Event._fields)},))")
    out(f"bodies = ({', '.join(f'body_{number}' for number in range(len(shape.bodies)))},)")
    with out.block(f"def {name}(v):"):
        _read_head(out, shape, head, checked=checked)
        out(f"return bodies[n >> 1]({', '.join(('v', 'p', 'last', 'kind', *map(_variable, head)))})")
    return "\n".join(out.lines) + "\n"


def _read_head(out: _PythonLines, shape: FieldShape, head: Sequence[str], *, checked: bool) -> None:
    """Generate code that reads what precedes the body: the type, fields of the envelope, and the branch in ``n``."""
    out(f"p = {_HEADER}", "last = len(v) - 8")
    _read_string(out, "kind = {}")
    for field in head:
        _read_field(out, shape.envelope[field], _variable(field), checked=checked)
    _read_small(out)


def parts_source(shape: FieldShape) -> str:
    """Generate the source of ``read_parts`` and of one function for each body of a grant; ``read`` precedes it."""
    out = _PythonLines()
    order = shape.order
    head, tail = order[1 : order.index("body")], order[order.index("body") + 1 :]
    arguments = ", ".join(("v", "p", "last", *map(_variable, head)))
    functions = {}
    for number, body in enumerate(shape.bodies.values()):
        _, shared, times, rest = _parts(body)
        absent = [*rest, *(shape.envelope[name] for name in tail)]
        if body.name in _GRANTS and shared and _TIMES.issuperset(_names_in(times)) and all(map(_may_be_absent, absent)):
            functions[number] = f"parts_{number}"
            with out.block(f"def parts_{number}({arguments}):"):
                _read_parts(out, body, number, len(absent))
    out(f"parts = {{{', '.join(f'{number}: {name}' for number, name in functions.items())}}}")
    with out.block("def read_parts(v):"):
        _read_head(out, shape, head, checked=False)
        out("body = parts.get(n >> 1)")
        out(f"return read(v) if body is None else body({arguments})")
    return "\n".join(out.lines) + "\n"


def _read_parts(out: _PythonLines, body: RecordShape, number: int, absent: int) -> None:
    """Generate code that leaves a grant in parts if its fields are known; the first with them is read as a whole."""
    (first, *_), shared, times, rest = _parts(body)
    _read_string(out, f"key = shared_text({_GRANTS[body.name]!r} + {{}}.decode())")
    out(f"end = len(v) - rest_{number}[0]")
    out(f"template = templates_{number}.get(v[p:end]) if end > p else None")
    with out.block("if template is None:"):
        out("event = read(v)", f"alike = v[p:len(v) - rest_{number}[0]]", f"known = shared_{number}.get(alike)")
        with out.block("if known is not None:"):
            with out.block(f"if len(templates_{number}) >= {_SHARED}:"):
                out(f"templates_{number}.clear()")
            out(f"({', '.join(_variable(field.name) for field in shared)},) = known")
            out(f"{_variable(first.name)} = ''")
            out(*(f"{_variable(field.name)} = {'()' if field.many else None}" for field in (*times, *rest)))
            out(f"templates_{number}[alike] = GrantTemplate({_built(body, '')})")
        out("return event")
    out("p = end")
    _read_fields(out, times, "", checked=False)
    with out.block(f"if v[p:] != {bytes(absent)!r}:"):
        out("return read(v)")
    slots = (_slot_of(slot, _names_in(times)) for slot in GrantParts._fields[2:])
    out(f"return new(GrantParts, (key, template, {', '.join(slots)}))")


def _names_in(fields: Sequence[Field]) -> list[str]:
    return [field.name for field in fields]


def _slot_of(name: str, times: Sequence[str]) -> str:
    return "None" if name in _TIMES and name not in times else _variable(name)


def _variable(name: str) -> str:
    return f"{name}_"


def _slot(name: str, known: tuple[str, ...]) -> str:
    return _variable(name) if name in known else repr(Event._field_defaults[name])


def _read_body(out: _PythonLines, record: RecordShape, number: int, *, checked: bool) -> None:
    first, shared, times, rest = _parts(record)
    _read_fields(out, first, "", checked=checked)
    if shared and not checked:  # a stored grant: intake meets fewer that are alike, and validates each
        _read_shared(out, shared, number)
        _read_fields(out, times, "", checked=False)
        _read_rarely_set(out, rest, checked=False)
        return
    head, tail = _split(record)
    _read_fields(out, head.fields[1:], "", checked=checked)
    _read_rarely_set(out, tail.fields, checked=checked)


def _parts(record: RecordShape) -> tuple[Sequence[Field], ...]:
    """Divide the fields of a grant: its id; what it may share with others; its times; what follows them."""
    fields = record.fields
    timed = [place for place, field in enumerate(fields) if field.kind == "time"]
    if not timed or timed[0] <= _LEAST_SHARED or not all(_may_be_absent(field) for field in fields[timed[-1] + 1 :]):
        return fields[:1], (), (), fields[1:]
    return fields[:1], fields[1 : timed[0]], fields[timed[0] : timed[-1] + 1], fields[timed[-1] + 1 :]


def _read_shared(out: _PythonLines, fields: Sequence[Field], number: int) -> None:
    """Generate code that reads fields at once if the same bytes were read before.

    Where they end is not known before they are read, but the last value with such a body tells how much followed. If
    the bytes up to there are exactly those of these fields in an earlier value, they are these fields: no encoding of a
    record is the beginning of another one.
    """
    values = f"({', '.join(_variable(field.name) for field in fields)},)"
    out("start = p", f"end = len(v) - rest_{number}[0]")
    out(f"known = shared_{number}.get(v[p:end]) if end > p else None")
    with out.block("if known is not None:"):
        out(f"{values} = known", "p = end")
    with out.block("else:"):
        _read_fields(out, fields, "", checked=False)
        out(f"rest_{number}[0] = len(v) - p")
        # Beyond the end of the value, a string would be too short.
        with out.block(f"if p <= len(v) and p - start <= {_SHARED_BYTES}:"):
            with out.block(f"if len(shared_{number}) >= {_SHARED}:"):
                out(f"shared_{number}.clear()")
            out(f"shared_{number}[v[start:p]] = {values}")


def _read_rarely_set(out: _PythonLines, fields: Sequence[Field], *, checked: bool) -> None:
    """Generate code that reads the last fields; one comparison finds that all of them are absent."""
    if not all(map(_may_be_absent, fields)):
        _read_fields(out, fields, "", checked=checked)
    elif fields:
        with out.block(f"if v[p:p + {len(fields)}] == {bytes(len(fields))!r}:"):
            out(f"p += {len(fields)}")
            out(*(f"{_variable(field.name)} = {'()' if field.many else None}" for field in fields))
        with out.block("else:"):
            _read_fields(out, fields, "", checked=checked)


def _may_be_absent(field: Field) -> bool:
    """Whether the encoding of a field is one zero byte if it is absent."""
    return field.optional or bool(field.many)


def _split(record: RecordShape) -> tuple[RecordShape, RecordShape]:
    """Split off up to ``_TAIL`` trailing fields that may be absent; each is one zero byte when it is."""
    start = len(record.fields)
    while start > max(1, len(record.fields) - _TAIL) and _may_be_absent(record.fields[start - 1]):
        start -= 1
    return record._replace(fields=record.fields[:start]), record._replace(fields=record.fields[start:])


def _read_fields(out: _PythonLines, fields: Sequence[Field], prefix: str, *, checked: bool) -> None:
    for field in fields:
        _read_field(out, field, prefix + _variable(field.name), checked=checked)


def _built(record: RecordShape, prefix: str) -> str:
    target = RECORDS[record.name]
    stated = {field.name for field in record.fields}
    slots = (
        prefix + _variable(slot) if slot in stated else repr(target._field_defaults[slot]) for slot in target._fields
    )
    return f"new({record.name}, ({', '.join(slots)},))"


def _read_field(out: _PythonLines, field: Field, to: str, *, checked: bool) -> None:
    if field.many:
        _read_blocks(out, field, to, checked=checked)
    elif field.optional:
        out("n = v[p]", "p += 1")
        with out.block("if n == 2:"):
            _read_one(out, field, to, checked=checked)
        with out.block("elif n:"):
            out("raise ValueError('no such branch')")
        with out.block("else:"):
            out(f"{to} = None")
    else:
        _read_one(out, field, to, checked=checked)
        if checked and field.kind == "text" and field.required:
            with out.block(f"if not {to}:"):
                out("raise SlowPathError")


def _read_one(out: _PythonLines, field: Field, to: str, *, checked: bool) -> None:
    if field.record is not None:
        _read_fields(out, field.record.fields, f"{to}_", checked=checked)
        out(f"{to} = {_built(field.record, f'{to}_')}")
    elif field.kind in {"id", "text"}:
        _read_string(out, f"{to} = {_string_expression(field, checked=checked)}")
    elif field.kind == "enum":
        _read_small(out)
        out(f"{to} = {_symbols(field)}[n >> 1]")
    elif field.kind == "boolean":
        out("n = v[p]", "p += 1")
        with out.block("if n > 1:"):
            out("raise ValueError('not a boolean')")
        out(f"{to} = n == 1")
    elif field.kind == "time":
        _read_time(out, to, checked=checked)
    elif field.kind == "integer":
        out(f"{to}, p = long(v, p)")
        _refuse_outside(out, to, "limits.LARGEST_INTEGER", checked=checked)
    else:
        raise ValueError(f"no code for {field.kind}")


def _string_expression(field: Field, *, checked: bool) -> str:
    if not checked:
        return "sources[{}]" if field.name == "source" else "{}.decode()"
    if field.name in _UNIQUE:
        return f"checked_{field.kind}({{}})"
    return f"{field.kind}s[{{}}]"


def _read_string(out: _PythonLines, assignment: str) -> None:
    out("n = v[p]")
    with out.block("if n & 129 == 0:"):
        out("p += 1")
    with out.block("elif n & 1 or v[p + 1] > 127:"):  # negative, or more than two bytes
        out("n, p = length(v, p)")
    with out.block("else:"):
        out("n += v[p + 1] - 1 << 7", "p += 2")
    out(assignment.format("v[p:(p := p + (n >> 1))]"))


def _read_small(out: _PythonLines) -> None:
    out("n = v[p]", "p += 1")
    with out.block("if n & 129:"):
        out("raise ValueError('no such branch or symbol')")


def _read_time(out: _PythonLines, to: str, *, checked: bool) -> None:
    out("n = None")
    with out.block("if p <= last:"):
        out("a, b, c, d, h = halves(v, p)")
        with out.block("if a & 129 == 128 and b & c & d & 128:"):
            out("n = upper_halves[h]")
    with out.block("if n is None:"):
        out(f"{to}, p = long(v, p)")
        _refuse_outside(out, to, "LATEST", checked=checked)
    with out.block("else:"):
        out(f"{to} = n + (a + (b << 7) + (c << 14) + (d << 21) >> 1)", "p += 8")


def _refuse_outside(out: _PythonLines, name: str, largest: str, *, checked: bool) -> None:
    if checked:
        with out.block(f"if not 0 <= {name} <= {largest}:"):
            out("raise SlowPathError")


def _read_blocks(out: _PythonLines, field: Field, to: str, *, checked: bool) -> None:
    is_map = field.many == "map"
    limit = limits.MAP_ENTRIES if is_map else limits.LIST_ENTRIES
    out("n = v[p]", "p += 1")
    if is_map:
        out(f"{to} = ()")
    else:
        with out.block("if n == 2:"):  # most lists that are not empty have one entry
            _read_one(out, field, "_item", checked=checked)
            out(f"{to} = (_item,)", "n = v[p]", "p += 1")
        with out.block("else:"):
            out(f"{to} = ()")
    with out.block("if n:"):
        out(f"entries = [*{to}]")
        with out.block("while n:"):
            with out.block("if n & 129:"):
                out("n, p = count(v, p - 1)")
                with out.block("if not n:"):
                    out("break")
            with out.block(f"if (n >> 1) + len(entries) > {limit}:"):
                out(f"raise too_many({field.name!r}, {field.many!r}, {limit})")
            with out.block("for _ in range(n >> 1):"):
                if is_map:
                    _read_string(out, f"key = {_string_expression(field, checked=checked)}")
                _read_one(out, field, "_item", checked=checked)
                out("entries.append((key, _item))" if is_map else "entries.append(_item)")
            out("n = v[p]", "p += 1")
        if is_map:
            with out.block("if len(dict(entries)) < len(entries):"):
                out(f"raise duplicate_key({field.name!r})")
            out("entries.sort()")
            if checked:
                out("refuse_secrets(entries)")
        out(f"{to} = tuple(entries)")


# Writing. One expression for each body: the encoded fields in order, joined.


def writer_source(shape: FieldShape, header: bytes) -> str:
    """Generate the source of ``encode`` and of one function for each body."""
    out = _PythonLines()
    for part in {field.record.name: field.record for field in _fields(shape) if field.record}.values():
        _part_source(out, part)
    for number, (kind, body) in enumerate(shape.bodies.items()):
        begin = header + avro_parts.zigzag(len(kind)) + kind.encode()
        with out.block(f"def body_{number}(e):"):
            out(f"({', '.join(map(_variable, Event._fields))},) = e")
            out(f"({', '.join(f'body__{slot}_' for slot in RECORDS[body.name]._fields)},) = body_")
            with out.block("return b''.join(("):
                out(f"{begin!r},")
                for name in shape.order[1:]:
                    if name == "body":
                        out(f"{avro_parts.zigzag(number)!r},")
                        head, tail = _split(body)
                        out(*(f"{_write(field, f'body__{field.name}_')}," for field in head.fields))
                        out(*_write_tail(tail))
                    else:
                        out(f"{_write(shape.envelope[name], _variable(name))},")
            out("))")
    pairs = (f"{body.name}: body_{number}" for number, body in enumerate(shape.bodies.values()))
    out(f"bodies = {{{', '.join(pairs)}}}")
    with out.block("def encode(e):"):
        out("return bodies[type(e.body)](e)")
    return "\n".join(out.lines) + "\n"


def _write_tail(tail: RecordShape) -> list[str]:
    if not tail.fields:
        return []
    names = {field: f"body__{field.name}_" for field in tail.fields}
    absent = " and ".join(f"{name} == ()" if field.many else f"{name} is None" for field, name in names.items())
    written = ", ".join(_write(field, name) for field, name in names.items())
    return [f"{bytes(len(names))!r} if {absent} else b''.join(({written},)),"]


def _write(field: Field, name: str) -> str:
    if field.many == "map":
        return f"b'\\0' if {name} == () else map_bytes({name}, text_memo.__getitem__)"
    if field.many:
        return f"b'\\0' if {name} == () else list_bytes({name}, {_writer(field)})"
    if field.kind == "enum":
        return f"{_written(field)}{'_or_none' if field.optional else ''}[{name}]"
    if field.kind in {"id", "text"} and field.name not in _UNIQUE:
        memo = "stated" if field.kind == "text" and field.required else field.kind
        return f"{memo}_memo{'_or_none' if field.optional else ''}[{name}]"
    written = f"{_writer(field)}({name})"
    return f"b'\\0' if {name} is None else b'\\2' + {written}" if field.optional else written


def _writer(field: Field) -> str:
    if field.record is not None:
        return f"{field.record.name}_bytes"
    if field.kind == "enum":
        return f"{_written(field)}.__getitem__"
    return f"{field.kind}_memo.__getitem__" if field.many else f"{field.kind}_bytes"


def _part_source(out: _PythonLines, record: RecordShape) -> None:
    slots = RECORDS[record.name]._fields
    with out.block(f"def {record.name}_bytes(part):"):
        with out.block(f"if type(part) is not {record.name}:"):
            out("raise SlowPathError")
        out(f"({', '.join(map(_variable, slots))},) = part")
        pieces = ", ".join(_write(field, _variable(field.name)) for field in record.fields)
        out(f"return b''.join(({pieces},))")
