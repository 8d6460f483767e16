"""The reference of the public Python modules, generated from their signatures and docstrings."""

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any, Final, get_args

from lineage.core.model.events import Body

# The public modules according to CONTRIBUTING, each with its guide.
MODULES: Final = {
    "ingest.producer": "../producing.md",
    "ingest.revocations": "../delivery.md",
    "lineage.serve.client": "../http-api.md#from-python",
}
_HEAD: Final = """\
# Python API

<!-- Generated from the modules by `make reference`; a test fails when this page is stale. -->

These modules and the names below are public. Everything else may change without notice.
"""
_SECTION: Final = re.compile(r"^(Args|Attributes|Returns|Raises|Yields|Note|Cost|Source|Examples):\s*$")
_LISTS: Final = {"Args", "Attributes", "Raises"}  # sections whose entries are names with their meaning
_WIDTH: Final = 90


def reference() -> str:
    """Return the text of ``docs/reference/python.md``."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    for name, guide in MODULES.items():
        module = import_module(name)
        yield from (f"## `{name}`", "", *_text(module), "", f"How to use it: [guide]({guide}).", "")
        for public in module.__all__:
            yield from _member(public, getattr(module, public), "###")


def _member(name: str, member: Any, level: str) -> Iterator[str]:
    kind = "class " if inspect.isclass(member) else ""
    yield from (
        f"{level} `{name}`",
        "",
        "```python",
        f"{kind}{name}{_signature(member)}",
        "```",
        "",
        *_text(member),
        "",
    )
    if inspect.isclass(member):
        for method, function in _methods(member):
            yield from _member(method, function, f"{level}#")


def _methods(owner: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties that a class adds, in source order."""
    for name, member in vars(owner).items():
        if not name.startswith("_") and isinstance(member, FunctionType | property | classmethod | staticmethod):
            yield f"{owner.__name__}.{name}", getattr(member, "__func__", member)


def _signature(member: Any) -> str:
    if isinstance(member, property):
        return f": {_annotation(inspect.signature(member.fget).return_annotation)}" if member.fget else ""
    signature = inspect.signature(member)
    shown = [_shown(name, given) for name, given in signature.parameters.items() if _is_public(name)]
    returns = signature.return_annotation
    after = "" if returns is signature.empty or inspect.isclass(member) else f" -> {_annotation(returns)}"
    parts = list(_with_star(shown))
    text = f"({', '.join(parts)}){after}"
    return text if len(text) <= _WIDTH else "(\n" + "".join(f"    {part},\n" for part in parts) + f"){after}"


def _is_public(parameter: str) -> bool:
    return parameter not in {"self", "cls"} and not parameter.startswith("_")


def _shown(name: str, parameter: inspect.Parameter) -> tuple[bool, str]:
    """Return whether a parameter is keyword-only, and its text."""
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    annotation = "" if parameter.annotation is parameter.empty else f": {_annotation(parameter.annotation)}"
    default = parameter.default
    given = "" if default is parameter.empty else f" = {getattr(default, '__name__', None) or repr(default)}"
    return parameter.kind is parameter.KEYWORD_ONLY, f"{stars}{name}{annotation}{given}"


def _with_star(parameters: list[tuple[bool, str]]) -> Iterator[str]:
    star = False
    for by_name_only, text in parameters:
        if by_name_only and not star:
            yield "*"
        star = star or by_name_only
        yield text


def _annotation(annotation: Any) -> str:
    """Format an annotation for readers: without modules, and with the name of the union of all events."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text).replace("NoneType", "None").replace("~_", "")
    return text.replace(" | ".join(body.__name__ for body in get_args(Body)), "Body")


def _text(member: Any) -> Iterator[str]:
    """Convert a docstring to Markdown: section titles become bold, their entries a list."""
    doc = inspect.cleandoc((member.__doc__ if isinstance(member, ModuleType) else inspect.getdoc(member)) or "")
    section = ""
    for line in doc.replace("``", "`").splitlines():
        if started := _SECTION.match(line):
            section = started.group(1)
            yield from (f"**{section}**", "") if section != "Examples" else ("```python",)
        elif section in _LISTS and (entry := re.match(r"    (\w[\w.* ]*?)(?: \([^)]*\))?: (.*)", line)):
            yield f"- `{entry.group(1)}`: {entry.group(2)}"
        else:
            yield f"  {line.strip()}" if section in _LISTS and line.strip() else line.strip()
    if section == "Examples":
        yield "```"
