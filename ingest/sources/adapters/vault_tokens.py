"""Vault: the tokens that lines report, and the facts about them that other lines require. Pure.

Two facts require a second line: which token a digest belongs to (the line that issued or used the token says so; a line
about a dead token has only the digest), and whether a token created by a role is a child (the line that wrote the role
says so).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ingest.sources.adapters.kit import Document, Memory, Source, instant, member, text, texts
from ingest.sources.adapters.vault_hops import shown
from ingest.sources.adapters.vault_line import VaultLine, made_by
from ingest.sources.adapters.vault_names import digest, native_token, session_id, subject, token_id, wielder
from lineage.core.model.times import LATEST, SECOND, Instant, format_instant

TOKEN: Final = "token"  # digest of a token -> its native id
_HOLDER: Final = "holder"  # native id -> its holder
_ROLE: Final = "role"  # role -> its writes: [time, whether it creates orphans, or null for unknown]
_BY_ROLE: Final = "made-by-role"  # request -> the token that a role created, until the role is known
_MOST_WRITES: Final = 64
_MOST_WAITING: Final = 20_000

# The methods by which people log in; others are used by machines. The identity map may override this.
_PEOPLE: Final = frozenset({"userpass", "ldap", "oidc", "okta", "github", "radius", "kerberos", "saml"})
# Metadata that an auth method provides about a login; the first one present is used.
_NAMES: Final = ("username", "role_name", "service_account_name", "common_name", "role", "name")
_CREATE: Final = "auth/token/create"
_ROLES: Final = "auth/token/roles/"


def learn(line: VaultLine, memory: Memory) -> tuple[list[Any], list[Document]]:
    """Remember which token a digest belongs to, and its holder.

    Returns:
        The entries that waited for a digest, each with the native id of the token; and events that waited for a holder.
    """
    waiting: list[Any] = []
    events: list[Document] = []
    caller, given_out = line.caller, member(line.value, "response", "auth")
    made = made_by(line)
    known = [caller, made or {}]
    if isinstance(wrapping := member(line.value, "response", "wrap_info"), Mapping):
        known.append({"accessor": wrapping.get("accessor"), "client_token": wrapping.get("token")})
    if line.path.startswith("sys/wrapping/") and isinstance(given_out, Mapping):
        known.append(given_out)
    for auth in known:
        native, hashed = native_token(auth), digest(text(auth, "client_token"))
        if native is not None and hashed is not None and memory.get(TOKEN, hashed) is None:
            waiting += [(question, native) for question in memory.learn(TOKEN, hashed, native)]
    held_by, native = wielder(line.source, caller), native_token(caller)
    if native is not None and held_by is not None and memory.get(_HOLDER, native) is None:
        events += [_held(line.source, question, held_by) for question in memory.learn(_HOLDER, native, held_by)]
    return waiting, events


def registered(line: VaultLine, memory: Memory) -> Iterator[Document]:
    """Yield the registration of the party that has just logged in, if the line names it unhashed."""
    made = made_by(line)
    entity = text(made, "entity_id")
    if made is None or entity is None or line.path.startswith("auth/token/"):
        return
    metadata = member(made, "metadata") or member(line.value, "auth", "metadata")
    method, username = text(line.value, "request", "mount_type"), text(metadata, "username")
    # Older versions do not log the method; only methods for people log a user name.
    kind = "human" if method in _PEOPLE or (method is None and username is not None) else "service"
    name = next(filter(None, (text(metadata, name) for name in _NAMES)), None) or text(made, "display_name")
    if memory.is_new("registered", f"{entity}\n{kind}\n{name}"):
        principal = line.source.principal("entity", entity)
        yield line.source.event(
            "principal.registered", f"{line.id}/principal", line.time, principal=principal, kind=kind, display_name=name
        )


def issued(line: VaultLine, memory: Memory) -> list[Document]:
    """Return the token that the response created or renewed, and the one it is wrapped in.

    Raises:
        BadRecordError: ``bad-time``: its issue time cannot be parsed.
    """
    events = [_wrapping(line)] if isinstance(member(line.value, "response", "wrap_info"), Mapping) else []
    made = made_by(line)
    if made is None:
        return [event for event in events if event]
    renewed = line.path.startswith("auth/token/renew")
    issued_at = text(made, "token_issue_time")
    start = instant(issued_at, "token_issue_time") if issued_at and not renewed else line.at
    expires_at = _after(start, member(made, "token_ttl"))
    if renewed and expires_at is None:
        return []  # it states nothing new
    source, native = line.source, native_token(made) or ""
    owner, held_by = subject(source, made), wielder(source, made)
    parent = token_id(source, native_token(line.caller)) if line.path.startswith(_CREATE) else None
    by_role = line.path.removeprefix(f"{_CREATE}/") if line.path.startswith(f"{_CREATE}/") else None
    orphan = line.path.startswith(f"{_CREATE}-orphan") or member(line.value, "request", "data", "no_parent") is True
    events.append(
        source.event(
            "token.issued",
            f"{line.id}/token",
            line.time,
            token=token_id(source, native),
            token_type=text(made, "token_type"),
            subject=owner,
            actor=held_by,
            client=client_of(line),
            session=session_id(source, text(made, "client_token")),
            derived_from=[{"token": parent, "role": "subject"}]
            if parent and not orphan and by_role is None
            else shown(line, made),
            scopes=texts(made, "policies"),
            issued_at=issued_at,
            expires_at=expires_at,
        )
    )
    question = {"id": line.id, "time": line.time, "at": line.at, "token": token_id(source, native), "subject": owner}
    if by_role is not None and parent is not None and not orphan:
        memory.put(_BY_ROLE, line.id, question | {"parent": parent, "role": f"{line.namespace}{by_role}"})
    if held_by is None and not renewed and (known := memory.ask(_HOLDER, native, question)) is not None:
        events.append(_held(source, question, known))
    return [event for event in events if event]


def client_of(line: VaultLine) -> str | None:
    """Return the mount through which a token was issued; the root's own token store cannot be ended as a whole."""
    mount = (text(line.value, "request", "mount_point") or "").removeprefix(line.namespace)
    if not mount:
        mount = "/".join(line.path.split("/")[:2]) + "/"
    return None if mount == "auth/token/" and not line.namespace else line.source.id(f"{line.namespace}{mount}")


def remember_role(line: VaultLine, memory: Memory) -> None:
    """Remember whether a role creates orphans. A write that does not mention this leaves it unchanged."""
    if not line.path.startswith(_ROLES) or line.operation not in {"create", "update", "delete"}:
        return
    role = f"{line.namespace}{line.path.removeprefix(_ROLES)}"
    is_orphan = member(line.value, "request", "data", "orphan")
    orphan = is_orphan if isinstance(is_orphan, bool) else False if line.operation == "create" else None
    if line.operation == "update" and orphan is None:
        return
    writes = [write for write in memory.get(_ROLE, role, []) if write != [line.at, orphan]]
    memory.put(_ROLE, role, sorted([*writes, [line.at, orphan]], key=lambda write: write[0])[-_MOST_WRITES:])


def children_by_role(source: Source, memory: Memory, *, all_of_them: bool) -> Iterator[Document]:
    """Yield the parents of tokens created by roles. If the role is unknown, its tokens count as children.

    So a reach names too many rather than too few. Called at the end of a batch, so that the order of lines within it
    does not matter; and for the oldest tokens if too many wait.
    """
    while (oldest := memory.oldest(_BY_ROLE)) is not None and (all_of_them or memory.size(_BY_ROLE) > _MOST_WAITING):
        request, made = oldest
        memory.drop(_BY_ROLE, request)
        before = [orphan for at, orphan in memory.get(_ROLE, made["role"], []) if at <= made["at"]]
        if not before or before[-1] is not True:
            parents = [{"token": made["parent"], "role": "subject"}]
            yield _more(source, made, "parent", derived_from=parents)


def _held(source: Source, made: Mapping[str, Any], held_by: str) -> Document:
    return _more(source, made, "holder", actor=held_by)


def _more(source: Source, made: Mapping[str, Any], part: str, **fields: Any) -> Document:
    """Build the event that another line adds to the issue of a token."""
    id_, at = f"{made['id']}/{part}", made["time"]
    return source.event("token.issued", id_, at, token=made["token"], subject=made["subject"], **fields)


def _wrapping(line: VaultLine) -> Document | None:
    """Return the wrapping token, which allows its holder to read the response once, for a short time."""
    info = member(line.value, "response", "wrap_info")
    accessor, auth = text(info, "accessor"), line.value.get("auth")
    if accessor is None:
        return None
    source = line.source
    owner = wielder(source, auth) if isinstance(auth, Mapping) else None
    return source.event(
        "token.issued",
        f"{line.id}/wrapping",
        line.time,
        token=source.id(accessor),
        token_type="wrapping",
        subject=owner or source.principal("holder", accessor),
        session=session_id(source, text(info, "token")),
        expires_at=_after(line.at, member(info, "ttl")),
    )


def _after(start: Instant, seconds: Any) -> str | None:
    if type(seconds) is not int or not 0 < seconds <= (LATEST - start) // SECOND:
        return None
    return format_instant(start + seconds * SECOND)
