"""JSON Schemas of the types of documents: typed dictionaries of texts, numbers, lists, and each other."""

from collections.abc import Iterable
from inspect import getdoc
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from lineage.serve.http.openapi.fragments import Described, ref

_SIMPLE: Final = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}


def schemas_of(shapes: Iterable[Any]) -> dict[str, Described]:
    """Return the schemas of typed dictionaries, and of those that they refer to, by name.

    Raises:
        TypeError: Two of them have one name, or a field is of a type that has no schema.
    """
    types: dict[str, Any] = {}
    found: dict[str, Described] = {}
    waiting = list(shapes)
    while waiting:
        shape = waiting.pop()
        name = shape.__name__
        if name not in types:
            types[name] = shape
            found[name] = _object(shape, waiting)
        elif types[name] is not shape:
            raise TypeError(f"two types are named {name}")
    return found


def _object(shape: Any, others: list[Any]) -> Described:
    """Build the schema of a typed dictionary; those that it refers to are added to ``others``."""
    hints = get_type_hints(shape, include_extras=True)
    required = [name for name in hints if name in shape.__required_keys__]
    found = {
        "title": shape.__name__,
        "type": "object",
        "properties": {name: _schema(hint, others) for name, hint in hints.items()},
        **({"required": required} if required else {}),
    }
    return {"description": getdoc(shape), **found} if shape.__doc__ else found


def _schema(hint: Any, others: list[Any]) -> Described:
    if is_typeddict(hint):
        others.append(hint)
        return ref(hint.__name__)
    kind, of = get_origin(hint), get_args(hint)
    if hint is Any:
        return {}
    if hint in _SIMPLE:
        return {"type": _SIMPLE[hint]}
    if kind is NotRequired:
        return _schema(of[0], others)
    if kind is Annotated:  # a text, and its format
        return {**_schema(of[0], others), "format": of[1]}
    if kind is Literal:
        return {"type": "string", **({"const": of[0]} if len(of) == 1 else {"enum": list(of)})}
    if kind is list:
        return {"type": "array", "items": _schema(of[0], others)}
    if kind is dict:
        return {"type": "object", "additionalProperties": _schema(of[1], others) or True}
    if kind in {Union, UnionType}:
        return {"anyOf": [_schema(one, others) for one in of]}
    raise TypeError(f"no schema is known for {hint}")
