"""Vault's and OpenBao's audit log: what a line says of tokens and actions.

docs/foreign-logs.md has the table. Pure: no clock, no I/O, no memory: every event follows from its own line
alone, so that reading a file twice, or in parts, gives the same events. Which lines are worth reading is
decided in ``vault_pairs``.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from ingest.sources.adapters.kit import (
    BadRecordError,
    Document,
    Format,
    Memory,
    Record,
    Source,
    Translation,
    instant,
    member,
    resource,
    skipped,
    stated,
    text,
    texts,
)
from ingest.sources.adapters.vault_line import Line, caller_of, line_of, made_by
from ingest.sources.adapters.vault_names import HASHED, holder_of, principal_of, session_of, token_of, without_token
from ingest.sources.adapters.vault_request_pairs import given_up, paired, partner_of, still_open
from lineage.core.model.times import LATEST, Instant, format_instant

SOURCE: Final = "urn:vault:audit"

_DENIALS: Final = ("permission denied", "missing client token")
_ORDERS: Final = {
    "auth/token/revoke": True,
    "auth/token/revoke-accessor": True,
    "auth/token/revoke-self": True,
    "auth/token/revoke-orphan": False,  # the children live on
}


def _translate(record: Record, source: Source, memory: Memory) -> Translation:
    line = line_of(record.value)
    memory.advance(line.at)
    if line.path == "sys/audit/test":
        return skipped("audit-test")
    translation = paired(line, memory)
    if translation is None:
        also_skipped = partner_of(line, memory)  # an answer that cannot be read is an answer
        try:
            translation = Translation(events=answered(line), also_skipped=also_skipped)
        except BadRecordError as fault:
            translation = Translation(fault=fault, also_skipped=also_skipped)
    events, reasons = given_up(memory, unanswered)
    return translation._replace(events=translation.events + events, also_skipped=translation.also_skipped + reasons)


def _settle(source: Source, memory: Memory, *, end: bool) -> Iterator[Translation]:
    found = still_open(memory, unanswered) if end else None
    if found is not None:
        yield found


def answered(line: Line) -> tuple[Document, ...]:
    """What a response line says: the action, the token it made or renewed, the revocation it carried out.

    Raises:
        BadRecordError: ``bad-time``: the issue time of a token cannot be read.
    """
    outcome = _outcome(line.value) or "succeeded"
    events = [_action(line, "action", outcome)]
    if outcome == "succeeded":
        events += [event for event in (_issue(line), _order(line)) if event]
    return tuple(events)


def unanswered(line: Line) -> tuple[Document, ...]:
    """What a request line says that no response will ever follow: the caller was given nothing."""
    return (_action(line, "request", _outcome(line.value) or "failed"),)


def _action(line: Line, part: str, outcome: str) -> Document:
    caller = caller_of(line)
    path = (text(line.value, "request", "namespace", "path") or "") + without_token(line.path)
    return _event(
        line,
        "action.performed",
        part,
        action=f"vault#{line.id}",
        operation=line.operation,
        outcome=outcome,
        tool="vault",
        resource=resource(path, text(line.value, "request", "mount_type")),
        token=token_of(caller),
        actor=principal_of(caller),
        session=session_of(text(caller, "client_token")),
    )


def _issue(line: Line) -> Document | None:
    made = made_by(line)
    if made is None:
        return None
    renewed = line.path.startswith("auth/token/renew")
    issued_at = text(made, "token_issue_time")
    start = instant(issued_at, "token_issue_time") if issued_at and not renewed else line.at
    expires_at = _after(start, member(made, "token_ttl"))
    if renewed and expires_at is None:
        return None  # it states nothing new
    return _event(
        line,
        "token.issued",
        "token",
        token=token_of(made),
        token_type=text(made, "token_type"),
        subject=principal_of(made) or holder_of(made),
        session=session_of(text(made, "client_token")),
        derived_from=_derivation(line),
        scopes=texts(made, "policies"),
        issued_at=issued_at,
        expires_at=expires_at,
    )


def _derivation(line: Line) -> list[Document]:
    """The creating token, for what ``auth/token/create`` made: a login has no parent, nor has an orphan.

    Whether a role makes orphans is said where the role was written and not here: its tokens are taken as
    children.
    """
    no_parent = member(line.value, "request", "data", "no_parent") is True
    orphan = no_parent or line.path.startswith("auth/token/create-orphan")
    parent = token_of(caller_of(line))
    if orphan or parent is None or not line.path.startswith("auth/token/create"):
        return []
    return [{"token": parent, "role": "subject"}]


def _order(line: Line) -> Document | None:
    cascade = _ORDERS.get(line.path)
    caller = caller_of(line)
    by, target = principal_of(caller) or holder_of(caller), _target(line, caller)
    if cascade is None or by is None or target is None:
        return None
    return _event(
        line,
        "revocation.ordered",
        "order",
        revocation=f"vault#{line.id}",
        target=target,
        mode="revoke",
        cascade=cascade,
        reason="other",  # no audit log says why
        ordered_by=by,
    )


def _target(line: Line, caller: dict[str, Any]) -> Document | None:
    """What a revocation names, if it names it in the form in which the log names tokens elsewhere."""
    if line.path == "auth/token/revoke-self":
        return {"kind": "token", "id": token_of(caller)}
    by_accessor = line.path == "auth/token/revoke-accessor"
    named = text(line.value, "request", "data", "accessor" if by_accessor else "token")
    own = text(caller, "accessor" if by_accessor else "client_token")
    if named is None or own is None or named.startswith(HASHED) != own.startswith(HASHED):
        return None
    if by_accessor:
        return {"kind": "token", "id": f"vault#{named}"}
    if named == own:
        return {"kind": "token", "id": token_of(caller)}
    return {"kind": "session", "id": session_of(named)}


def _outcome(value: dict[str, Any]) -> str | None:
    """How it failed, if it did."""
    error = text(value, "error")
    if error is not None:
        return "denied" if any(denial in error for denial in _DENIALS) else "failed"
    # How Vault marks an error that a plugin answered with: nothing but an error in the data.
    data = member(value, "response", "data")
    return "failed" if isinstance(data, dict) and list(data) == ["error"] else None


def _after(start: Instant, seconds: Any) -> str | None:
    if type(seconds) is not int or not 0 < seconds <= (LATEST - start) // 1_000_000:
        return None
    return format_instant(start + seconds * 1_000_000)


def _event(line: Line, type_: str, part: str, **body: Any) -> Document:
    id_ = f"vault#{line.id}/{part}"
    return stated(type=type_, event_id=id_, source=SOURCE, occurred_at=line.time, **body)


FORMAT: Final = Format(
    name="vault",
    marks=lambda value: value.get("type") in {"request", "response"} and isinstance(value.get("request"), dict),
    signs=re.compile(rb'"type"\s*:\s*"re(?:quest|sponse)"'),
    translate=_translate,
    settle=_settle,
    urn=SOURCE,
)
