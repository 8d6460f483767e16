"""Declared settings: each is a field of a frozen dataclass with its default, kind and description.

A ``SettingsTable`` reads the declarations of one class. The parser of files and variables, the checks of single values,
``doctor`` and the reference documentation all use the tables, so that a setting is defined in one place.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final, NamedTuple

from ingest.secrets import Secret, is_open_to_others, read_secret
from lineage.core.model.errors import RefusedError

PREFIX: Final = "DELEGRAPH_"
_YES_OR_NO: Final = {"yes": True, "no": False}
_LARGEST: Final = 10**9 - 1


class SettingKind(Enum):
    """The interpretation of the text of a setting."""

    TEXT = "a text"
    LIST = "texts separated by commas"
    NUMBER = "a number"
    YES_NO = "yes or no"
    PATH = "the name of a file, as it was written"
    URL_OR_PATH = "a URL, or the name of a file"
    FILE = "a file"
    READABLE_FILE = "a file that must be readable now"
    KEY_FILE = "a file with a secret, which is read where it is used"
    READABLE_KEY_FILE = "the same, and it must be readable now"
    SECRET = "a secret, which may be given as a file instead"


_FILES: Final = {SettingKind.FILE, SettingKind.READABLE_FILE, SettingKind.KEY_FILE, SettingKind.READABLE_KEY_FILE}
_READABLE: Final = {SettingKind.READABLE_FILE, SettingKind.READABLE_KEY_FILE}
_KEYS: Final = {SettingKind.KEY_FILE, SettingKind.READABLE_KEY_FILE}


class Setting(NamedTuple):
    """A declared setting.

    Attributes:
        name: The name of the field.
        default: The default value.
        help: A description in Markdown for the reference.
        kind: How its text is interpreted.
        least: The smallest number.
        most: The largest number.
        choices: The allowed texts; empty if any.
        example: A number to show in the error message instead of the bounds.
        default_text: The default as shown in the reference, if it is not the value itself.
    """

    name: str
    default: Any
    help: str
    kind: SettingKind
    least: int
    most: int
    choices: tuple[str, ...]
    example: str | None
    default_text: str | None


def setting(
    default: Any,
    help: str,
    *,
    kind: SettingKind | None = None,
    least: int = 0,
    most: int = _LARGEST,
    choices: tuple[str, ...] = (),
    example: str | None = None,
    default_text: str | None = None,
) -> Any:
    """Declare a field of a dataclass as a setting. The arguments are those of ``Setting``.

    Args:
        default: The default value; without a kind it determines whether it is a number, list or text.
        help: The description.
        kind: How its text is interpreted.
        least: The smallest number.
        most: The largest number.
        choices: The allowed texts.
        example: A number to show in the error message instead of the bounds.
        default_text: The default as shown in the reference.
    """
    if kind is None:
        kind = {int: SettingKind.NUMBER, bool: SettingKind.YES_NO, tuple: SettingKind.LIST}.get(
            type(default), SettingKind.TEXT
        )
    rest = (help, kind, least, most, choices, example, default_text)
    return dataclasses.field(default=default, metadata={"setting": rest})


class SettingsTable:
    """The settings declared by one class."""

    def __init__(self, declaring: type, *, prefix: str = "", word: str = "setting", table: str | None = None) -> None:
        """Read the declarations.

        Args:
            declaring: The dataclass.
            prefix: Precedes the name of a field in the name of its setting, such as ``ssf_``.
            word: The word that error messages use for a setting.
            table: Their table in the settings file; None for the top level.
        """
        self.settings = tuple(
            Setting(f"{prefix}{field.name}", field.default, *field.metadata["setting"])
            for field in dataclasses.fields(declaring)
            if "setting" in field.metadata
        )
        self.table = table
        self.names = tuple(name for one in self.settings for name in _names(one))
        self.prefix = PREFIX if table is None else f"{PREFIX}{table.upper()}_"
        self._own_prefix = prefix
        self._word = word

    def variable(self, name: str) -> str:
        """Return the environment variable of a setting."""
        return f"{self.prefix}{name.upper()}"

    def called(self, name: str) -> str:
        """Return how error messages name a setting."""
        dotted = f"{self.table}.{name}" if self.table is not None and self._word == "setting" else name
        return f"{self._word} {dotted!r}"

    def is_beside(self, name: str, value: str) -> bool:
        """Whether a value in a settings file is a file name, which may be relative to it."""
        for one in self.settings:
            if name == one.name:
                is_path = one.kind is SettingKind.PATH or one.kind in _FILES
                return is_path or (one.kind is SettingKind.URL_OR_PATH and "://" not in value)
        return name.endswith("_file")

    def read(self, table: Mapping[str, str]) -> dict[str, Any]:
        """Convert values given by name to arguments for the constructor of the class.

        Raises:
            RefusedError: A name is unknown, a value is invalid, or a file cannot be read.
        """
        if unknown := sorted(table.keys() - set(self.names)):
            raise RefusedError(f"there is no {self.called(unknown[0])}; there are {', '.join(self.names)}")
        values: dict[str, Any] = {}
        for one in self.settings:
            if one.name in table:
                values[one.name] = self._value(one, table[one.name])
        files = []
        for one in self.settings:
            file = f"{one.name}_file"
            if one.kind is not SettingKind.SECRET or file not in table:
                continue
            if one.name in table:
                both = f"{self._word}s {self.called(one.name).removeprefix(self._word + ' ')}"
                other = self.called(file).removeprefix(f"{self._word} ")
                raise RefusedError(f"the {both} and {other} are both given; give one of them")
            values[one.name] = read_secret(Path(table[file]), f"the {self.called(file)}")
            files.append(Path(table[file]))
        values = {name.removeprefix(self._own_prefix): value for name, value in values.items()}
        return values | ({"secret_files": tuple(files)} if files else {})

    def _value(self, one: Setting, text: str) -> Any:
        if one.kind is SettingKind.SECRET:
            if not text.isprintable():
                raise RefusedError(f"the {self.called(one.name)} is not printable UTF-8")
            return Secret(text)
        if not text.isprintable() and one.kind not in _FILES and one.kind is not SettingKind.PATH:
            raise RefusedError(f"the {self.called(one.name)} is {text!a}, which is not printable UTF-8")
        if one.kind is SettingKind.LIST:
            return tuple(filter(None, (part.strip() for part in text.split(","))))
        if one.kind is SettingKind.NUMBER:
            return self._number(one, text)
        if one.kind is SettingKind.YES_NO:
            if text not in _YES_OR_NO:
                raise RefusedError(f"the {self.called(one.name)} is {text!a}; write yes or no")
            return _YES_OR_NO[text]
        if one.kind in _FILES:
            return self._readable(one, Path(text)) if one.kind in _READABLE else Path(text)
        if one.choices and text not in one.choices:
            raise RefusedError(f"the {self.called(one.name)} is {text!r}; it can be {', '.join(one.choices)}")
        return text

    def _number(self, one: Setting, text: str) -> int:
        if not (text.isascii() and text.isdigit() and one.least <= int(text[:9]) <= one.most):
            form = f"from {one.least} to {one.most:,}" if one.example is None else f"such as {one.example}"
            comma = "," if one.example is not None else ""
            raise RefusedError(f"the {self.called(one.name)} is {text!a}; write a number{comma} {form}")
        return int(text)

    def _readable(self, one: Setting, path: Path) -> Path:
        try:
            with path.open("rb"):
                return path
        except OSError as error:
            raise RefusedError(f"the {self.called(one.name)}: {path} cannot be read: {error.strerror}") from error

    def shown(self, values: object, *, also: Collection[str] = ()) -> dict[str, str]:
        """Return the settings that differ from their defaults, by name, without secrets.

        Args:
            values: An object of the class.
            also: The names of settings that are shown even with their default.
        """
        return dict(self._shown(values, also))

    def _shown(self, values: object, also: Collection[str]) -> Iterator[tuple[str, str]]:
        for one in self.settings:
            value = self.value_of(values, one)
            if value is None or (value == one.default and one.name not in also):
                continue
            if one.kind is SettingKind.SECRET:
                yield one.name, "set"
            elif isinstance(value, bool):
                yield one.name, "yes" if value else "no"
            else:
                yield one.name, ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)

    def value_of(self, values: object, one: Setting) -> Any:
        """Return the value of a setting in an object of the class."""
        return getattr(values, one.name.removeprefix(self._own_prefix))

    def open_files(self, values: object) -> tuple[Path, ...]:
        """Return the files with secrets that every user of this machine can read."""
        keys = (self.value_of(values, one) for one in self.settings if one.kind in _KEYS)
        held = (*getattr(values, "secret_files", ()), *(file for file in keys if file is not None))
        return tuple(filter(is_open_to_others, held))


def _names(one: Setting) -> Iterator[str]:
    yield one.name
    if one.kind is SettingKind.SECRET:
        yield f"{one.name}_file"
