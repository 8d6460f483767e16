"""The audit log of Vault and OpenBao: tokens, actions and revocations that a line reports.

docs/foreign-logs.md has the table. ``vault_request_pairs`` decides which lines are read; tokens and orders are in
separate modules. Pure.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ingest.sources.adapters.kit import (
    BadRecordError,
    Document,
    Format,
    Memory,
    Source,
    Translation,
    UnwrappedRecord,
    resource,
    skipped,
    text,
)
from ingest.sources.adapters.vault_hops import given_key
from ingest.sources.adapters.vault_line import VaultLine, line_of, outcome
from ingest.sources.adapters.vault_names import digest, native_token, session_id, token_id, wielder, without_token
from ingest.sources.adapters.vault_orders import order_of, order_without_token, orders
from ingest.sources.adapters.vault_request_pairs import given_up, paired, partner_of, still_open
from ingest.sources.adapters.vault_tokens import TOKEN, children_by_role, issued, learn, registered, remember_role


def _translate(record: UnwrappedRecord, source: Source, memory: Memory) -> Translation:
    line = line_of(record.value, source)
    memory.advance(line.at)
    if line.path == "sys/audit/test":
        return skipped("audit-test")
    translation = paired(line, memory)
    if translation is None:
        also_skipped = partner_of(line, memory)  # an unreadable response is still a response
        try:
            translation = Translation(events=tuple(_answered(line, memory)), also_skipped=also_skipped)
        except BadRecordError as fault:
            translation = Translation(fault=fault, also_skipped=also_skipped)
    events, reasons = given_up(source, memory, _unanswered)
    events += tuple(children_by_role(source, memory, all_of_them=False))
    return translation._replace(events=translation.events + events, also_skipped=translation.also_skipped + reasons)


def _settle(source: Source, memory: Memory, *, end: bool) -> Iterator[Translation]:
    events = [*children_by_role(source, memory, all_of_them=True), *_unknown_digests(source, memory)]
    if events:
        yield Translation(events=tuple(events))
    found = still_open(source, memory, _unanswered) if end else None
    if found is not None:
        yield found


def _answered(line: VaultLine, memory: Memory) -> Iterator[Document]:
    """Yield the events of a response line."""
    result = outcome(line.value) or "succeeded"
    action = _action(line, "action", result)
    yield action
    waiting, held = learn(line, memory)
    yield from (_joined(line.source, question, native) for question, native in waiting)
    yield from held
    if "token" not in action and (hashed := digest(text(line.caller, "client_token"))) is not None:
        # The line is about a token that Vault no longer knows: other lines identify it.
        question = {"as": "action", "id": line.id, "time": line.time, "operation": line.operation, "outcome": result}
        if (native := memory.ask(TOKEN, hashed, question)) is not None:
            yield _joined(line.source, question, native)
    if result == "succeeded":
        yield from registered(line, memory)
        yield from issued(line, memory)
        yield from given_key(line)
        remember_role(line, memory)
    yield from orders(line, memory)


def _unanswered(line: VaultLine) -> tuple[Document, ...]:
    """Return the events of a request line to which no response will follow: the caller received nothing."""
    return (_action(line, "request", outcome(line.value) or "failed"),)


def _action(line: VaultLine, part: str, result: str) -> Document:
    caller, source = line.caller, line.source
    return source.event(
        "action.performed",
        f"{line.id}/{part}",
        line.time,
        action=source.id(line.id),
        operation=line.operation,
        outcome=result,
        tool=source.prefix,
        resource=resource(line.namespace + without_token(line.path), text(line.value, "request", "mount_type")),
        token=token_id(source, native_token(caller)),
        actor=wielder(source, caller),
        session=session_id(source, text(caller, "client_token")),
    )


def _joined(source: Source, question: dict[str, Any], native: str) -> Document:
    """Build the events of a line whose token is known from another line."""
    if question["as"] == "order":
        return order_of(source, question, native)
    return _of_token(source, question, "joined", token_id(source, native))


def _unknown_digests(source: Source, memory: Memory) -> Iterator[Document]:
    """Yield the events of lines that name a token by a digest that no other line resolves, once for each."""
    for hashed, question in memory.waiting(TOKEN):
        if memory.is_new("told", f"{question['id']}/{question['as']}"):
            if question["as"] == "order":
                yield order_without_token(source, question, hashed)
            else:
                yield _of_token(source, question, "unjoined", token_id(source, hashed))


def _of_token(source: Source, question: dict[str, Any], part: str, token: str | None) -> Document:
    return source.event(
        "action.performed",
        f"{question['id']}/{part}",
        question["time"],
        action=source.id(question["id"]),
        operation=question["operation"],
        outcome=question["outcome"],
        token=token,
    )


FORMAT: Final = Format(
    name="vault",
    known_by="type request or response, with request",
    marks=lambda value: value.get("type") in ("request", "response") and isinstance(value.get("request"), Mapping),
    signs=re.compile(rb'"type"\s*:\s*"re(?:quest|sponse)"'),
    translate=_translate,
    settle=_settle,
    urn="urn:vault:audit",
)
