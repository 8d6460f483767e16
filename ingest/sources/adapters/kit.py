r"""The adapter kit: how a log of another system becomes events. docs/foreign-logs.md walks through an example.

**An adapter is one module** in this folder, at most 200 lines, that ends in one value, its ``FORMAT``; a line in
``formats.py`` puts it into the table that ``--format``, ``--format auto`` and ``[[source]]`` read. Nothing else has
to be written. It is made of pure functions (no clock, no I/O, no module state):

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

**What comes in.** ``record.value`` is one record: wrappings (arrays, ``Records``, EventLists, Elastic, Splunk,
CloudWatch, docker, syslog, gzip) are taken off, and raw credentials are replaced by ``sha256:<hex>``, before any
adapter sees it. ``record.headers`` are those of the Kafka record or HTTP request around it. A wrapping that only one
format has is taken off by that format's ``unwrap``. Read untrusted JSON with ``member``, ``text``, ``texts`` and
``required``, which never trip over a wrong type.

**What goes out.** A ``Translation``: at least one event; or ``skipped("reason")``, a short stable word that
docs/foreign-logs.md explains; or raise ``BadRecordError``, and the record goes to quarantine. ``HELD`` says that the
record is accounted for later: by ``also_skipped`` of a later record, or by ``settle``.

**The rules** (each adapter is tested against them by ``tests/support/adapter_tables.py``):

1. *The events of a record follow from that record alone*, ids included: never from what the memory happens to hold.
   What two records say only together is an event of its own, with an id made of both, that comes when the second of
   them is read, whichever that is (``Memory.learn`` and ``Memory.ask``). So order changes nothing, a record read
   twice is a duplicate, and a restart repeats nothing. What needs a default if the other record never comes
   belongs in ``settle``, which is called at the end of each batch and of each ``ingest``.
2. *Claim what the record says, and nothing else.* A token that is used is not thereby issued: it is a gap. A party
   that only the application names is stated by its action; a grant between such parties needs a source of
   its own, so that the trust file decides what it may say (docs/adr/0040).
3. *Ids*: ``source.id(...)`` and ``source.principal(...)`` where the log names no issuer, so that two clusters stay
   apart; ``<issuer>#<id>`` where it does, or where the settings give one (``source.issuer``). Native ids stay as
   logged: the identity map joins them to people.
4. *An order that reports what a system did* (``source.order``) is ``cascade=False`` where that system did not
   cascade.
5. *No credential*: speak of one by ``handle``; never put a raw value that may hold one into an event.
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


class Record(NamedTuple):
    """One record, unwrapped, without raw credentials.

    Attributes:
        value: The object.
        headers: Of the Kafka record or HTTP request that it came in, names in small letters.
    """

    value: Mapping[str, Any]
    headers: Mapping[str, str] = {}


class Translation(NamedTuple):
    """The outcome of a record: exactly one of the first three is given, or none if the record is held back.

    Attributes:
        events: At least one event, as JSONL documents.
        skipped: Why it gives none: a short stable word, such as ``request-of-a-response``.
        fault: Why it belongs in quarantine.
        also_skipped: A reason for each record that was held earlier and is accounted for now.
    """

    events: tuple[Document, ...] = ()
    skipped: str | None = None
    fault: BadRecordError | None = None
    also_skipped: tuple[str, ...] = ()


HELD: Final = Translation()
"""The record is accounted for later."""


def skipped(reason: str) -> Translation:
    """The record says nothing of authority or action."""
    return Translation(skipped=reason)


@dataclass(frozen=True, slots=True)
class Source:
    """Whose log it is: how its ids begin, and what the settings say that the log does not.

    Attributes:
        name: Of the source; the format's own where no settings name one.
        format: The name of its format.
        prefix: How ids begin that the log does not qualify.
        urn: The ``source`` of its events.
        issuer: Who issues the tokens that it tells of, where the log does not say.
        lifetimes: Seconds that a kind of token lives, where the log does not say; by kind.
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
        """An id of a token, an action or a delegation: ``vault-eu#<native>``."""
        return f"{self.prefix}#{native}"

    def principal(self, kind: str, native: str) -> str:
        """An id of a party: ``vault-eu:entity:<native>``."""
        return f"{self.prefix}:{kind}:{native}"

    def issued(self, native: str) -> str:
        """An id within the issuer that the settings name, else within this source."""
        return f"{self.issuer}#{native}" if self.issuer else self.id(native)

    def event(self, type_: str, id_: str, at: str, *, source: str | None = None, **body: Any) -> Document:
        """An event of a record.

        Args:
            type_: Such as ``token.issued``.
            id_: What follows the prefix in the event's id: made of the record's own id, and of the part it plays.
            at: When it happened, in RFC 3339.
            source: The event's source, if it is not that of the log as a whole.
            body: Fields of the type; None and the empty list are left out.
        """
        envelope = {"type": type_, "event_id": self.id(id_), "source": source or self.urn, "occurred_at": at}
        return envelope | stated(**body)

    def order(self, id_: str, at: str, target: tuple[str, str], *, by: str, cascade: bool, **body: Any) -> Document:
        """A revocation that the system has carried out, told as an order: no log says why, so its reason is other.

        Args:
            id_: As for ``event``; the order has the same, if ``body`` states no ``revocation``.
            at: When it was carried out.
            target: Kind and id.
            by: Who asked for it.
            cascade: Whether the system ended what depended on the target as well.
            body: Such as ``mode``, ``issued_before``, ``note``.
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
        """The end of the order ``self.id(revocation)``."""
        return self.event("revocation.lifted", id_, at, revocation=self.id(revocation), lifted_by=by, **body)


class Settle(Protocol):
    """What is due at the end of a batch, such as a default for what never came."""

    def __call__(self, source: Source, memory: Memory, *, end: bool) -> Iterable[Translation]:
        """Yield what is due; ``end`` says that no more records are coming for now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """An adapter: a line of the table in ``formats.py``.

    Attributes:
        name: What ``--format`` calls it.
        known_by: What a record has that no other format has, in words, for people.
        marks: Whether an object is a record of this format, by what no other format has.
        signs: The same for the bytes of a record that is longer than what is looked at.
        translate: What becomes of a record.
        settle: Emits what is due at the end of a batch; None if nothing ever is.
        unwrap: Returns the records in a wrapper specific to this format; None if an object is not one.
        other_lines: Returns the reason for skipping a line that is no JSON, where the system mixes its log with
            other text, such as stack traces; None if the line is a fault.
        prefix: How ids begin in a source without settings; by default the format's name.
        urn: The event source of such a source; by default ``urn:<format>:<format>``.
        unique_ids: Whether the ids of the log are unique in the world: then no source's name stands in them.
        options: Further settings of a source of this format.
        lifetimes: The kinds of token for which settings may give a lifetime.
    """

    name: str
    known_by: str
    marks: Callable[[Mapping[str, Any]], bool]
    signs: re.Pattern[bytes]
    translate: Callable[[Record, Source, Memory], Translation]
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
        """A source of this format; without a name the one that is meant where no settings speak of any."""
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
    "Record",
    "Source",
    "Translation",
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
