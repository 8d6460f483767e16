"""Vault: its revocations, reported as orders.

The targets are tokens, everything under a lease prefix, a mount or a namespace, and entities. An order cascades if
Vault's own revocation did. A revocation by prefix and the end of a namespace name no token: the log states the mount
and path through which each was issued, so an order is reported for each mount, or token, as soon as both lines are
known. Pure.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, Final

from ingest.sources.adapters.kit import Document, Memory, Source, member, text
from ingest.sources.adapters.vault_line import VaultLine, made_by
from ingest.sources.adapters.vault_names import digest, native_token, session_id, token_id
from ingest.sources.adapters.vault_tokens import TOKEN, client_of
from lineage.core.model.times import format_instant

_MOUNT: Final = "mount"  # full path of a mount -> 1
_ISSUED: Final = "issued"  # native id of a token -> [full path of the request, mount or null, time]
_ENDING: Final = "ending"  # request -> the revocation by prefix that it made
_ENTITY: Final = "entity"  # entity -> its {"off": [...], "on": [...]}, each [request, time]
_MOST_SWITCHES: Final = 64

_BY_DIGEST: Final = {"auth/token/revoke": True, "auth/token/revoke-orphan": False}
_UNWRAP: Final = ("sys/wrapping/unwrap", "sys/wrapping/rewrap")
_PREFIXES: Final = ("sys/leases/revoke-prefix/", "sys/leases/revoke-force/", "sys/revoke-prefix/", "sys/revoke-force/")
_AUTH_METHODS: Final = "sys/auth/"
_NAMESPACES: Final = "sys/namespaces/"
_ENTITIES: Final = "identity/entity/id/"


def orders(line: VaultLine, memory: Memory) -> Iterator[Document]:
    """Yield the orders for everything that Vault has ended according to a response."""
    yield from _last_use(line)
    if not line.succeeded:
        return
    yield from _remembered(line, memory)
    path, named = line.path, member(line.value, "request", "data")
    if path == "auth/token/revoke-self":
        yield from _own(line, cascade=True)
    elif path == "auth/token/revoke-accessor" and (accessor := text(named, "accessor")):
        # Even if accessors are unhashed, the one in the data is hashed: then the target is unknown.
        yield _order(line, "order", ("token", line.source.id(accessor)), cascade=True)
    elif path in _BY_DIGEST and (hashed := digest(text(named, "token"))):
        if hashed == digest(text(line.caller, "client_token")):
            yield from _own(line, cascade=_BY_DIGEST[path])
        else:
            yield from _by_digest(line, memory, hashed, cascade=_BY_DIGEST[path])
    elif path in _UNWRAP and (hashed := digest(text(named, "token"))):
        yield from _by_digest(line, memory, hashed, cascade=False)
    elif prefix := next((prefix for prefix in _PREFIXES if path.startswith(prefix)), None):
        yield from _ended(line, memory, f"{line.namespace}{path.removeprefix(prefix).strip('/')}/")
    elif line.operation == "delete" and path.startswith(_AUTH_METHODS) and not path.endswith("/tune"):
        mount = line.source.id(f"{line.namespace}auth/{path.removeprefix(_AUTH_METHODS).strip('/')}/")
        yield _order(line, "order", ("client", mount), cascade=True, issued_before=line.time)
    elif line.operation == "delete" and path.startswith(_NAMESPACES):
        yield from _ended(line, memory, f"{line.namespace}{path.removeprefix(_NAMESPACES).strip('/')}/")
    elif path.startswith(_ENTITIES) and isinstance(disabled := member(named, "disabled"), bool):
        yield from _switched(line, memory, path.removeprefix(_ENTITIES), disabled=disabled)


def order_of(source: Source, question: dict[str, Any], native: str) -> Document:
    """Build the order of a revocation that named a token by its digest, once the token is known."""
    return _order_of(
        source, question, "order", ("token", token_id(source, native) or native), cascade=question["cascade"]
    )


def order_without_token(source: Source, question: dict[str, Any], hashed: str) -> Document:
    """Build the order while the token is unknown: on the session, to which every token with the digest belongs."""
    session = session_id(source, hashed) or hashed
    return _order_of(source, question, "session-order", ("session", session), cascade=question["cascade"])


def _last_use(line: VaultLine) -> Iterator[Document]:
    """Yield the end of a token with its last use, whatever the outcome of that use."""
    auth = line.value.get("auth")
    if member(auth, "remaining_uses") == 1 and native_token(line.caller) == native_token(auth or {}):
        target = token_id(line.source, native_token(line.caller))
        if target is not None:
            yield _order(
                line, "last-use", ("token", target), cascade=True, effective_at=_just_after(line), note="its last use"
            )


def _own(line: VaultLine, *, cascade: bool) -> Iterator[Document]:
    target = token_id(line.source, native_token(line.caller))
    if target is not None:
        yield _order(line, "order", ("token", target), cascade=cascade, effective_at=_just_after(line))


def _by_digest(line: VaultLine, memory: Memory, hashed: str, *, cascade: bool) -> Iterator[Document]:
    question = {"as": "order", **_brief(line), "cascade": cascade}
    native = memory.ask(TOKEN, hashed, question)
    if native is not None:
        yield order_of(line.source, question, native)


def _ended(line: VaultLine, memory: Memory, prefix: str) -> Iterator[Document]:
    ending = _brief(line) | {"at": line.at, "prefix": prefix}
    memory.put(_ENDING, line.id, ending)
    for mount, _ in memory.entries(_MOUNT):
        yield from _mount_ended(line.source, ending, mount)
    for native, issue in memory.entries(_ISSUED):
        yield from _token_ended(line.source, ending, native, issue)


def _remembered(line: VaultLine, memory: Memory) -> Iterator[Document]:
    """Yield the orders that revocations by prefix in other lines imply for the token that this line issued."""
    made = made_by(line)
    native = native_token(made) if made is not None and not line.path.startswith("auth/token/renew") else None
    if native is None:
        return
    client = client_of(line)
    mount = None if client is None else client.removeprefix(line.source.id(""))
    issue = [f"{line.namespace}{line.path}", mount, line.at]
    memory.put(_ISSUED, native, issue)
    new = mount is not None and memory.is_new(_MOUNT, mount)
    for _, ending in memory.entries(_ENDING):
        if new and mount is not None:
            yield from _mount_ended(line.source, ending, mount)
        yield from _token_ended(line.source, ending, native, issue)


def _mount_ended(source: Source, ending: dict[str, Any], mount: str) -> Iterator[Document]:
    if mount.startswith(ending["prefix"]):
        part = f"order/{hashlib.sha256(mount.encode()).hexdigest()[:12]}"
        target = ("client", source.id(mount))
        yield _order_of(source, ending, part, target, cascade=True, issued_before=ending["time"])


def _token_ended(source: Source, ending: dict[str, Any], native: str, issue: list[Any]) -> Iterator[Document]:
    path, mount, at = issue
    covered = mount is not None and mount.startswith(ending["prefix"])
    if at < ending["at"] and f"{path}/".startswith(ending["prefix"]) and not covered:
        part = f"order/{hashlib.sha256(native.encode()).hexdigest()[:12]}"
        yield _order_of(source, ending, part, ("token", token_id(source, native) or native), cascade=True)


def _switched(line: VaultLine, memory: Memory, entity: str, *, disabled: bool) -> Iterator[Document]:
    """Yield the disabling or enabling of an entity: each enabling lifts every earlier disabling."""
    switches = memory.get(_ENTITY, entity, {"off": [], "on": []})
    own: list[Any] = [line.id, line.time, line.at, line.by]
    side, other = ("off", "on") if disabled else ("on", "off")
    if own not in switches[side]:
        switches = switches | {side: [*switches[side], own][-_MOST_SWITCHES:]}
        memory.put(_ENTITY, entity, switches)
    if disabled:
        yield _order(
            line, "order", ("principal", line.source.principal("entity", entity)), cascade=False, mode="suspend"
        )
    for those in switches[other]:
        off, on = (own, those) if disabled else (those, own)
        if off[2] <= on[2]:
            yield line.source.lift(off[0], f"{on[0]}/lift/{off[0]}", on[1], by=on[3])


def _just_after(line: VaultLine) -> str:
    """Return the next microsecond, because the request that ended the token was still made with it."""
    return format_instant(line.at + 1)


def _brief(line: VaultLine) -> dict[str, Any]:
    return {"id": line.id, "time": line.time, "by": line.by, "path": f"{line.namespace}{line.path}"}


def _order(line: VaultLine, part: str, target: tuple[str, str], *, cascade: bool, **fields: Any) -> Document:
    return _order_of(line.source, _brief(line), part, target, cascade=cascade, **fields)


def _order_of(
    source: Source, given: dict[str, Any], part: str, target: tuple[str, str], *, cascade: bool, **fields: Any
) -> Document:
    note = {"note": f"{given['path']}" + (f": {fields.pop('note')}" if "note" in fields else "")}
    if part == "order":  # the only order of its request
        fields["revocation"] = source.id(given["id"])
    return source.order(
        f"{given['id']}/{part}", given["time"], target, by=given["by"], cascade=cascade, **note, **fields
    )
