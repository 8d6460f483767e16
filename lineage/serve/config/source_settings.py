r"""``[[source]]``: foreign systems whose logs are read, what these logs lack, and the identities of their ids.

Example::

    [[source]]
    name = "keycloak-eu"
    format = "keycloak"
    issuer = "https://idp.example/realms/acme"
    follow = ["/var/log/keycloak/*.jsonl"]
    lifetimes = { access = "5m", refresh = 1800 }

    [[source.identity]]
    match = 'https://idp\.example/realms/acme#(?P<user>[a-z]+)'
    id = "human:{user}@example.com"
    kind = "human"
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ingest.codec import limits
from ingest.secrets import Secret, read_secret
from ingest.sources.adapters import FORMATS
from ingest.sources.adapters.kit import Format
from ingest.sources.identity import IdentityRule, rule
from ingest.sources.named import NamedSource
from lineage.core.model.errors import RefusedError

_INPUTS: Final = ("follow", "kafka_topic", "http", "tcp", "otlp")
_TOKENS: Final = ("token", "token_file")
_NAMES: Final = ("name", "format", "issuer", *_INPUTS, *_TOKENS, "lifetimes", "identity")
# A shorter token could be guessed.
_TOKEN_CHARACTERS: Final = 16
_RULE: Final = ("match", "id", "kind")
# It becomes part of ids: `vault-eu#...`, `vault-eu:entity:...`, `urn:vault:vault-eu`.
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
# Names that would make ids declare a kind of principal, or begin like other ids.
_RESERVED: Final = frozenset({"human", "agent", "service", "workload", "spiffe", "sha256", "arn", "urn"})
_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")
_TIME: Final = re.compile(r"([0-9]{1,9})(s|m|h|d)?")
_SECONDS: Final = {None: 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST_SECONDS: Final = 100 * 366 * 86_400


def sources_of(value: object, *, file: Path) -> tuple[NamedSource, ...]:
    """Parse the sources of a settings file, in order.

    Raises:
        RefusedError: Something is missing, unknown, or invalid; the message names the source and the remedy.
    """
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise RefusedError(f"'source' in {file} must be a list of tables: [[source]]")
    found: dict[str, NamedSource] = {}
    for number, entry in enumerate(value, start=1):
        one = _source(entry, number, file)
        if one.name in found:
            raise RefusedError(
                f"the source {one.name!r} is used twice in {file}; give each [[source]] a different name"
            )
        found[one.name] = one
    return tuple(found.values())


def _source(entry: Mapping[str, Any], number: int, file: Path) -> NamedSource:
    name = entry.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RefusedError(
            f"[[source]] number {number} in {file} needs a 'name', such as vault-eu: letters, digits, '.', '_', '-'"
        )
    where = f"the source {name!r} in {file}"
    format_ = FORMATS.get(str(entry.get("format")))
    if format_ is None:
        raise RefusedError(f"'format' of {where} is {entry.get('format')!r}; give one of {', '.join(FORMATS)}")
    reserved = {word for other in FORMATS.values() if other is not format_ for word in (other.name, other.prefix)}
    if name in _RESERVED or name in reserved:
        raise RefusedError(f"{where} cannot be called that: ids that begin with it mean something else; choose another")
    known = (*_NAMES, *format_.options)
    if unknown := sorted(entry.keys() - set(known)):
        raise RefusedError(f"{where} has {unknown[0]!r}, which is no setting; there are {', '.join(known)}")
    issuer = _text(entry, "issuer", where)
    if issuer is not None and (fault := limits.fault_of_id(issuer)):
        raise RefusedError(f"'issuer' of {where} {fault}")
    inputs = {
        key: value for key in _INPUTS if key in entry and (value := _input(entry[key], key, where, file)) is not False
    }
    token, token_file = _token(entry, inputs, where, file)
    options = {option: text for option in format_.options if (text := _text(entry, option, where)) is not None}
    return NamedSource(
        name=name,
        format=format_.name,
        issuer=issuer,
        inputs=inputs,
        token=token,
        token_file=token_file,
        lifetimes=_lifetimes(entry.get("lifetimes", {}), format_, where),
        options=options,
        identity=_rules(entry.get("identity", []), where),
    )


def _text(entry: Mapping[str, Any], name: str, where: str) -> str | None:
    value = entry.get(name)
    if value is not None and not (isinstance(value, str) and value and value.isprintable()):
        raise RefusedError(f"{name!r} of {where} must be a text that can be printed")
    return value


def _input(value: Any, name: str, where: str, file: Path) -> Any:
    """Normalise an input: paths as a tuple, relative to the file's folder; anything else unchanged."""
    paths = [value] if isinstance(value, str) else value
    if name == "follow":
        if not isinstance(paths, list) or not paths or not all(isinstance(path, str) and path for path in paths):
            raise RefusedError(f"'follow' of {where} must name files or folders: a text or a list of texts")
        return tuple(str(file.parent / path) for path in paths)
    types = (bool, str) if name in {"http", "otlp"} else (str,)
    is_address = name in {"http", "otlp", "tcp"} and isinstance(value, str)
    if not isinstance(value, types) or value == "" or (is_address and not _ADDRESS.fullmatch(str(value))):
        example = {
            "kafka_topic": "the name of a topic",
            "tcp": "host:port",
            "http": "true, or host:port",
            "otlp": "true, or host:port",
        }[name]
        raise RefusedError(f"{name!r} of {where} is {value!r}; write {example}")
    return value


def _token(
    entry: Mapping[str, Any], inputs: Mapping[str, Any], where: str, file: Path
) -> tuple[Secret | None, Path | None]:
    """Return the token of a source, or the file that contains it."""
    token, token_file = _text(entry, "token", where), _text(entry, "token_file", where)
    if token is None and token_file is None:
        return None, None
    if token is not None and token_file is not None:
        raise RefusedError(f"'token' and 'token_file' of {where} are both given; give one of them")
    if not inputs.keys() & {"http", "otlp"}:
        raise RefusedError(f"the token of {where} has no effect without 'http' or 'otlp'")
    path = None if token_file is None else file.parent / token_file
    secret = Secret(token) if token is not None else read_secret(path or file, f"'token_file' of {where}")
    for one in filter(None, (line.strip() for line in secret.splitlines())):
        if len(one) < _TOKEN_CHARACTERS:
            raise RefusedError(f"the token of {where} is short enough to be guessed; take {_TOKEN_CHARACTERS} or more")
    return (secret if token is not None else None), path


def _lifetimes(parsed: Any, format_: Format, where: str) -> dict[str, int]:
    if not isinstance(parsed, dict):
        raise RefusedError(f"'lifetimes' of {where} must be a table, such as {{ access = \"5m\" }}")
    if unknown := sorted(parsed.keys() - set(format_.lifetimes)):
        known = ", ".join(format_.lifetimes) or "none: the log states them"
        raise RefusedError(f"'lifetimes' of {where} has {unknown[0]!r}; a {format_.name} source has {known}")
    return {kind: _seconds(value, kind, where) for kind, value in parsed.items()}


def _seconds(value: Any, kind: str, where: str) -> int:
    parts = _TIME.fullmatch(str(value)) if isinstance(value, int | str) and not isinstance(value, bool) else None
    seconds = int(parts[1]) * _SECONDS[parts[2]] if parts is not None else 0
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise RefusedError(f"the lifetime {kind!r} of {where} is {value!r}; write seconds, or such as 5m, 12h, 30d")
    return seconds


def _rules(value: Any, where: str) -> tuple[IdentityRule, ...]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise RefusedError(f"'identity' of {where} must be a list of tables: [[source.identity]]")
    found: list[IdentityRule] = []
    for number, entry in enumerate(value, start=1):
        one = f"[[source.identity]] number {number} of {where}"
        if unknown := sorted(entry.keys() - set(_RULE)):
            raise RefusedError(f"{one} has {unknown[0]!r}; there are {', '.join(_RULE)}")
        match, id_, kind = (_text(entry, name, one) for name in _RULE)
        if match is None or id_ is None or kind is None:
            raise RefusedError(f"{one} needs all of {', '.join(_RULE)}")
        found.append(rule(match, id_, kind, one))
    return tuple(found)
