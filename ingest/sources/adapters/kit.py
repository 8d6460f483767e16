r"""The adapter kit, which turns a log of another system into events. docs/foreign-logs.md walks through an example.

**An adapter is one module** in this folder, at most 200 lines, that ends in one value, its ``FORMAT``; a line in
``formats.py`` adds it to the table that ``--format``, ``--format auto`` and ``[[source]]`` read. Nothing else is
needed. It consists of pure functions (no clock, no I/O, no module state):

    def _translate(record: Record, source: Source, memory: Memory) -> Translation:
        value = record.value
        if text(value, "kind") != "login":
            return skipped("not-a-login")
        at = moment(value, "time")
        login = source.event(
            "token.issued", f"{required(value, 'id')}/token", at,
            token=source.id(required(value, "session")),
            subject=source.principal("user", required(value, "user")),
        )
        return Translation(events=(login,))

    FORMAT: Final = Format(
        name="acme",
        known_by="product acme",
        marks=lambda value: value.get("product") == "acme",
        signs=re.compile(rb'"product"\s*:\s*"acme"'),
        translate=_translate,
    )

**Input.** ``record.value`` is one record: wrappers (arrays, ``Records``, EventLists, Elastic, Splunk, CloudWatch,
docker, syslog, gzip) are removed, and raw credentials are replaced by ``sha256:<hex>``, before an adapter sees it.
``record.headers`` are those of the Kafka record or HTTP request that contained it. A wrapper that is specific to one
format is removed by that format's ``unwrap``. Read untrusted JSON with ``member``, ``text``, ``texts`` and
``required``, which tolerate values of the wrong type.

**Output.** A ``Translation``: at least one event, or ``skipped("reason")``, a short stable word that
docs/foreign-logs.md explains. If the adapter raises ``BadRecordError``, the record goes to quarantine. ``HELD`` says
that the record is accounted for later: by ``also_skipped`` of a later record, or by ``settle``.

**The rules** (each adapter is tested against them by ``tests/support/adapter_tables.py``):

1. *The events of a record follow from that record alone*, ids included, never from what the memory happens to
   contain. A fact that two records state only together is a separate event, with an id derived from both, emitted
   when the second of them is read, whichever it is (``Memory.learn`` and ``Memory.ask``). So order changes nothing,
   a record read twice is a duplicate, and a restart repeats nothing. A default for the case that the other record
   never arrives belongs in ``settle``, which is called at the end of each batch and of each ``ingest``.
2. *Claim what the record says, and nothing else.* The use of a token does not show that it was issued: it is a gap.
   A party that only the application names is stated by its action; a grant between such parties needs a separate
   source, so that the trust file decides what it may state (docs/adr/0040).
3. *Ids*: ``source.id(...)`` and ``source.principal(...)`` if the log names no issuer, so that the ids of two clusters
   stay distinct; ``<issuer>#<id>`` if it does, or if the settings name one (``source.issuer``). Native ids stay as
   logged: the identity map joins them to people.
4. *An order that reports what a system did* (``source.order``) has ``cascade=False`` if that system did not cascade.
5. *No credential*: refer to one by ``handle``; never put a raw value that may contain one into an event.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from ingest.codec.credentials import handle
from ingest.sources.adapters.memory import Memory
from ingest.sources.adapters.untrusted_json import (
    Document,
    instant,
    member,
    moment,
    required,
    resource,
    stated,
    text,
    texts,
)
from lineage.core.model.errors import BadRecordError


class UnwrappedRecord(NamedTuple):
    """One record, unwrapped, without raw credentials.

    Attributes:
        value: The object.
        headers: The headers of the Kafka record or HTTP request that contained it, with lower-case names.
    """

    value: Mapping[str, Any]
    headers: Mapping[str, str] = {}


class Translation(NamedTuple):
    """The outcome of a record: exactly one of the first three is given, or none if the record is accounted for later.

    Attributes:
        events: At least one event, as JSONL documents.
        skipped: Why it yields no event: a short stable word, such as ``request-of-a-response``.
        fault: Why it belongs in quarantine.
        also_skipped: A reason for each earlier record that was ``HELD`` and is accounted for now.
    """

    events: tuple[Document, ...] = ()
    skipped: str | None = None
    fault: BadRecordError | None = None
    also_skipped: tuple[str, ...] = ()


HELD: Final = Translation()
"""The record is accounted for later."""


def skipped(reason: str) -> Translation:
    """Skip a record that says nothing about authority or actions."""
    return Translation(skipped=reason)


@dataclass(frozen=True, slots=True)
class Source:
    """The origin of a log: the prefix of its ids, and the settings that supply what the log does not state.

    Attributes:
        name: The name of the source; that of the format if no settings name one.
        format: The name of its format.
        prefix: The prefix of ids that the log does not qualify.
        urn: The ``source`` of its events.
        issuer: The issuer of its tokens, if the log does not name one.
        lifetimes: The lifetime in seconds of each kind of token, if the log does not state it.
        options: Further settings that the format declares.
    """

    name: str
    format: str
    prefix: str
    urn: str
    issuer: str | None = None
    lifetimes: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)

    def id(self, native: str) -> str:
        """Qualify the id of a token, an action or a delegation: ``vault-eu#<native>``."""
        return f"{self.prefix}#{native}"

    def principal(self, kind: str, native: str) -> str:
        """Qualify the id of a party: ``vault-eu:entity:<native>``."""
        return f"{self.prefix}:{kind}:{native}"

    def issued(self, native: str) -> str:
        """Qualify an id by the issuer that the settings name, else by this source."""
        return f"{self.issuer}#{native}" if self.issuer else self.id(native)

    def event(self, type_: str, id_: str, at: str, *, source: str | None = None, **body: Any) -> Document:
        """Build an event of a record.

        Args:
            type_: The type, such as ``token.issued``.
            id_: The event's id without the prefix: the record's id, and the role of the event if there are several.
            at: When it happened, in RFC 3339.
            source: The event's source, if it is not that of the log as a whole.
            body: Fields of the type; None and empty lists are left out.
        """
        envelope = {"type": type_, "event_id": self.id(id_), "source": source or self.urn, "occurred_at": at}
        return envelope | stated(**body)

    def order(self, id_: str, at: str, target: tuple[str, str], *, by: str, cascade: bool, **body: Any) -> Document:
        """Build an order for a revocation that the system has carried out. No log says why, so its reason is ``other``.

        Args:
            id_: As for ``event``; also the id of the order, unless ``body`` has a ``revocation``.
            at: When it was carried out.
            target: Kind and id.
            by: Who requested it.
            cascade: Whether the system also ended everything that depended on the target.
            body: Further fields, such as ``mode``, ``issued_before``, ``note``.
        """
        kind, target_id = target
        usual = {"revocation": self.id(id_), "mode": "revoke", "reason": "other"}
        return self.event(
            "revocation.ordered",
            id_,
            at,
            target={"kind": kind, "id": target_id},
            cascade=cascade,
            ordered_by=by,
            **(usual | body),
        )

    def lift(self, revocation: str, id_: str, at: str, *, by: str, **body: Any) -> Document:
        """Build the event that lifts the order ``self.id(revocation)``."""
        return self.event("revocation.lifted", id_, at, revocation=self.id(revocation), lifted_by=by, **body)


class Settle(Protocol):
    """Yields the events due at the end of a batch, such as a default for a record that never arrived."""

    def __call__(self, source: Source, memory: Memory, *, end: bool) -> Iterable[Translation]:
        """Yield the events that are due; ``end`` is true if no more records are expected for now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """An adapter: one line of the table in ``formats.py``.

    Attributes:
        name: Its name for ``--format``.
        known_by: The marks of a record that no other format has, described for people.
        marks: Whether an object is a record of this format, by marks that no other format has.
        signs: The same for the bytes of a record that is longer than the part examined.
        translate: Translates a record.
        settle: Yields the events due at the end of a batch; None if there never are any.
        unwrap: Returns the records in a wrapper specific to this format; None if an object is not one.
        other_lines: Returns the reason for skipping a line that is not JSON, if the system mixes its log with other
            text, such as stack traces; None if the line is malformed.
        prefix: The prefix of ids in a source without settings; by default the format's name.
        urn: The event source of such a source; by default ``urn:<format>:<format>``.
        unique_ids: Whether the ids of the log are globally unique, so that the name of a source is not added to them.
        options: Further settings of a source of this format.
        lifetimes: The kinds of token for which settings may give a lifetime.
    """

    name: str
    known_by: str
    marks: Callable[[Mapping[str, Any]], bool]
    signs: re.Pattern[bytes]
    translate: Callable[[UnwrappedRecord, Source, Memory], Translation]
    settle: Settle | None = None
    unwrap: Callable[[Mapping[str, Any]], Iterable[Any] | None] | None = None
    other_lines: Callable[[bytes], str | None] | None = None
    prefix: str | None = None
    urn: str | None = None
    unique_ids: bool = False
    options: tuple[str, ...] = ()
    lifetimes: tuple[str, ...] = ()

    def source(
        self,
        name: str | None = None,
        *,
        issuer: str | None = None,
        lifetimes: Mapping[str, int] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Source:
        """Create a source of this format; without a name, the one used if no settings name a source."""
        own = self.unique_ids or name is None or name == self.name
        return Source(
            name=name or self.name,
            format=self.name,
            prefix=(self.prefix or self.name) if own else str(name),
            urn=(self.urn or f"urn:{self.name}:{self.name}") if name is None else f"urn:{self.name}:{name}",
            issuer=issuer,
            lifetimes=lifetimes or {},
            options=options or {},
        )


__all__ = [
    "HELD",
    "BadRecordError",
    "Document",
    "Format",
    "Memory",
    "Source",
    "Translation",
    "UnwrappedRecord",
    "handle",
    "instant",
    "member",
    "moment",
    "required",
    "resource",
    "skipped",
    "stated",
    "text",
    "texts",
]
