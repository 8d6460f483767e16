"""The tables. The projection is append-only except for positions; states are never stored but computed from facts.

Ids are looked up by a 64-bit hash that is keyed with a secret of the store (``Keys``). The hash is only an index, never
an identity: the facts found are decoded, and their real ids are compared.
"""

import hashlib
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    func,
    literal_column,
    text,
)

from lineage.core.model.references import RefRole
from lineage.core.model.times import NEVER, Instant

metadata = MetaData()
_Big = BigInteger().with_variant(Integer, "sqlite")  # makes the column SQLite's rowid

meta = Table(
    "meta", metadata, Column("name", String(64), primary_key=True), Column("value", LargeBinary, nullable=False)
)

position = Table(
    "position",
    metadata,
    Column("topic", String(32), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),  # of the last record projected
)

fact = Table(
    "fact",
    metadata,
    Column("n", _Big, primary_key=True, autoincrement=False),  # Position.number of its first record
    Column("ident", BigInteger, nullable=False),  # hash of (source, event_id)
    Column("about", BigInteger, nullable=False),  # hash of its subject's key
    Column("outcome", SmallInteger, nullable=False),
    Column("misrouted", SmallInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("until", Integer, nullable=False),  # when the element that it grants ends, in Spans; 0 if it grants none
    Column("source", BigInteger, nullable=False),  # hash of the source
    Column("sequence", BigInteger),
    Column("value", LargeBinary, nullable=False),  # the event in Avro single-object encoding
    # By identity and by subject facts are found in sorted runs, see ``sorted_runs``.
)

# Everything that a fact mentions. A row with `until` > 0 says that `about` depends on `key`, or names it (or asserts it
# as a prior actor), and that everything at or below `about` ends before that Span. When a late child raises the bound
# of its ancestors, further rows with the higher bound are added. It is a view, see ``sorted_runs``.
ref = Table(
    "ref",
    metadata,
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("until", Integer, primary_key=True, autoincrement=False),
    Column("role", SmallInteger, primary_key=True, autoincrement=False),
    Column("about", BigInteger, primary_key=True, autoincrement=False),
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
UPWARD: Final = (RefRole.DEPENDS, RefRole.ALIAS)

# The facts about actions, tokens and delegations by the time at which they occurred, in parts of up to some thousands.
# Each column has one 64-bit integer for each fact, sorted by ``at`` and ``n``; tools and the like are hashed.
act = Table(
    "act",
    metadata,
    Column("part", _Big, primary_key=True, autoincrement=False),  # Position.number of one of its facts
    Column("lane", BigInteger, nullable=False),  # Position.number of the first record of their partition
    Column("sort", SmallInteger, nullable=False),  # the subject of its facts: see ``acts_in_time.Sort``
    Column("size", SmallInteger, nullable=False),  # a part of a greater size replaces many small ones
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("at", LargeBinary, nullable=False),
    Column("n", LargeBinary, nullable=False),
    Column("about", LargeBinary, nullable=False),
    Column("operation", LargeBinary, nullable=False),
    Column("tool", LargeBinary, nullable=False),
    Column("resource", LargeBinary, nullable=False),
    Column("outcome", LargeBinary, nullable=False),
    Index("act_lane", "lane", "sort", "size"),
)

sighting = Table(
    "sighting",
    metadata,
    Column("n", _Big, primary_key=True, autoincrement=False),  # Position.number of the duplicate
    Column("fact", BigInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Index("sighting_fact", "fact"),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", _Big, primary_key=True),
    Column("n", BigInteger),  # Position.number, if it is a record of the log
    Column("origin", Text, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("reason", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("value", LargeBinary),
    Column("headers", LargeBinary),  # headers of the record, as JSON
    Column("sources", Text),  # for a record received over HTTP, the sources that its sender may use, as JSON
    Column("charged_to", Text),  # the quota that it counts against; null once it was released
    Column("kept", BigInteger),  # bytes that it takes of that quota; null if only its digest and position are kept
    Index("quarantine_once", "origin", "place", "sha256", unique=True),
    Index("quarantine_n", "n"),
    Index("quarantine_quota", "charged_to", "kept"),
)

# The records that were released from quarantine later.
release = Table(
    "release",
    metadata,
    Column("quarantine", _Big, primary_key=True, autoincrement=False),
    Column("released_at", BigInteger, nullable=False),
)

# Every id that a fact mentions, as KIND:ID, for searching: a bag that is scanned as a whole. An index would cost every
# event more than it saves a search; duplicates are removed when searching.
name = Table("name", metadata, Column("id", _Big, primary_key=True), Column("key", Text, nullable=False))
# A name in lower case, on PostgreSQL only: its column ``folded`` is null if the name has no capital letter.
folded_name = func.coalesce(literal_column("folded", Text), name.c.key)
# The exception: receivers, which every plan and every closure needs.
_receivers = text("key >= 'receiver:' AND key < 'receiver;'")
Index("name_receiver", name.c.key, sqlite_where=_receivers, postgresql_where=_receivers)
# And principals, which are few among many ids, for the inventory.
_principals = text("key >= 'principal:' AND key < 'principal;'")
Index("name_principal", name.c.key, sqlite_where=_principals, postgresql_where=_principals)
# And the display names of principals, for the suggestions of a search.
_called = text("key >= 'called:' AND key < 'called;'")
Index("name_called", name.c.key, sqlite_where=_called, postgresql_where=_called)

# And cases, for the list of them.
_cases = text("key >= 'case:' AND key < 'case;'")
Index("name_case", name.c.key, sqlite_where=_cases, postgresql_where=_cases)

# And holds.
_holds = text("key >= 'hold:' AND key < 'hold;'")
Index("name_hold", name.c.key, sqlite_where=_holds, postgresql_where=_holds)

plan = Table(
    "plan",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("made_at", BigInteger, nullable=False),
    Column("document", LargeBinary, nullable=False),  # canonical JSON, zlib
)

# The approvals of plans over HTTP: who and when.
approval = Table(
    "approval",
    metadata,
    Column("id", _Big, primary_key=True),
    Column("plan", String(64), nullable=False),
    Column("approved_by", Text, nullable=False),
    Column("approved_at", BigInteger, nullable=False),
    Index("approval_plan", "plan", "approved_at"),
)

# Idempotency: the revocation for which an id chosen by its caller (``Idempotency-Key``) was claimed, written before the
# event is appended to the log.
claim = Table(
    "claim",
    metadata,
    Column("revocation", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),  # the event in Avro single-object encoding
)

# Tokens of the HTTP API, by the SHA-256 of the token; the token itself is not stored.
api_token = Table(
    "api_token",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("roles", Text, nullable=False),  # separated by spaces
    Column("sources", Text, nullable=False),  # a JSON array
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

# The revocations of tokens of the HTTP API.
api_token_end = Table(
    "api_token_end",
    metadata,
    Column("token", String(32), primary_key=True),
    Column("revoked_at", BigInteger, nullable=False),
)

# The changes by the latest transactions, for concurrent writers (``optimistic_commit``). Empty on SQLite, which has a
# single writer. The columns hold arrays of 64-bit integers in native byte order.
turn = Table(
    "turn",
    metadata,
    Column("n", _Big, primary_key=True, autoincrement=False),
    Column("idents", LargeBinary, nullable=False),
    Column("granted", LargeBinary, nullable=False),
    Column("bounds", LargeBinary, nullable=False),  # pairs of key and bound
)

# The outbox: the states of elements affected by revocations, as published to receivers; one row for each change, in the
# order of publication.
spread = Table(
    "spread",
    metadata,
    Column("seq", _Big, primary_key=True, autoincrement=False),
    Column("key", Text, nullable=False),  # KIND:ID
    Column("version", Integer, nullable=False),  # 1, 2, ... for each element
    Column("state", String(16), nullable=False),
    Column("revocation", Text),
    Column("effective_at", BigInteger),
    Column("expires_at", BigInteger),
    Column("recorded_at", BigInteger, nullable=False),
    Index("spread_key", "key"),
)

# The rows of ``spread`` that a receiver has accepted, and when.
accepted = Table(
    "accepted",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("receiver", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# How far the outbox has been written (the row ``spread``: up to which time, and by which facts of which edition of the
# store), and how far it has been delivered to each receiver.
delivered = Table(
    "delivered",
    metadata,
    Column("receiver", String(64), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("turn", BigInteger, nullable=False),  # incremented with every write
    Column("place", LargeBinary),
)

# The Shared Signals streams, at most one for each receiver; ``turn`` is incremented with every change.
stream = Table(
    "stream",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("receiver", Text, nullable=False),
    Column("said", Text, nullable=False),  # the configuration set by its receiver, as JSON
    Column("secret", LargeBinary),  # the authorization header, encrypted
    Column("status", String(16), nullable=False),
    Column("reason", Text),
    Column("fault", Text),  # why pushes fail
    Column("seq", BigInteger, nullable=False),  # the rows of `spread` up to here are settled
    Column("horizon", BigInteger, nullable=False),  # up to here only the latest row of each element is delivered
    Column("settled", Text, nullable=False),  # rows after `seq` that are settled too, as JSON
    Column("covers", Text, nullable=False),  # the receiver's coverage when delivery started from the beginning
    Column("turn", BigInteger, nullable=False),
    Index("stream_receiver", "receiver", unique=True),
)

# Events about a stream itself; deleted once they are settled.
notice = Table(
    "notice",
    metadata,
    Column("id", _Big, primary_key=True),
    Column("stream", String(64), nullable=False),
    Column("event", Text, nullable=False),  # type and payload, as JSON
    Column("made_at", BigInteger, nullable=False),
    Index("notice_stream", "stream", "id"),
)

# Events that receivers have permanently refused. They are kept when the stream is deleted.
dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", _Big, primary_key=True),
    Column("receiver", Text, nullable=False),
    Column("stream", String(64), nullable=False),
    Column("jti", String(64), nullable=False),
    Column("seq", BigInteger),  # of `spread`; none for a notice
    Column("error", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("refused_at", BigInteger, nullable=False),
    Index("dead_letter_once", "stream", "jti", unique=True),
    Index("dead_letter_receiver", "receiver", "id"),
)

# The memory of an adapter of a foreign log between records; in the order of ``id`` within a topic.
source_memory = Table(
    "source_memory",
    metadata,
    Column("id", _Big, primary_key=True),
    Column("source", Text, nullable=False),
    Column("topic", String(64), nullable=False),
    Column("key", Text, nullable=False),
    Column("value", Text, nullable=False),  # as JSON
    Index("source_memory_once", "source", "topic", "key", unique=True),
)

# The number of records of a source with each outcome, and when the last of them arrived.
source_count = Table(
    "source_count",
    metadata,
    Column("source", Text, primary_key=True),
    Column("format", String(64), primary_key=True),
    Column("outcome", String(32), primary_key=True),
    Column("reason", String(64), primary_key=True),
    Column("records", BigInteger, nullable=False),
    Column("came_at", BigInteger, nullable=False),
    Column("latest", BigInteger),  # by the clock of the foreign log
)

# The index of findings: every version of each, in the order in which they were written. A replaced version has
# the turn that replaced it and is deleted some time later. Ids of any length are looked up by their hashes.
finding = Table(
    "finding",
    metadata,
    Column("seq", _Big, primary_key=True, autoincrement=False),
    Column("id", String(24), nullable=False),
    Column("turn", BigInteger, nullable=False),
    Column("until", BigInteger),  # null for the latest version
    Column("until_at", BigInteger),  # when it was replaced
    Column("change", String(16), nullable=False),  # opened, changed, refreshed or resolved
    Column("kind", String(64), nullable=False),
    Column("of", Text, nullable=False),
    Column("about", Text),
    Column("of_key", BigInteger, nullable=False),
    Column("about_key", BigInteger),
    Column("rank", SmallInteger, nullable=False),  # the severity, negated: the worst come first
    Column("seen", BigInteger, nullable=False),  # when it was last seen, negated
    Column("status", String(16), nullable=False),
    Column("recorded_at", BigInteger, nullable=False),  # of the last of its facts
    Column("written_at", BigInteger, nullable=False),
    Column("digest", BigInteger, nullable=False),  # of the document
    Column("document", LargeBinary, nullable=False),  # JSON, zlib
    Index("finding_versions", "id", "seq"),
    Index("finding_over", "until_at"),
)
_latest = text("until IS NULL")
Index("finding_current", finding.c.id, unique=True, sqlite_where=_latest, postgresql_where=_latest)
Index(
    "finding_worst",
    *(finding.c[name] for name in ("rank", "seen", "id", "status", "kind", "turn")),
    sqlite_where=_latest,
    postgresql_where=_latest,
)
Index(
    "finding_kind",
    *(finding.c[name] for name in ("kind", "rank", "seen", "id", "status", "turn")),
    sqlite_where=_latest,
    postgresql_where=_latest,
)
_judged = text("until IS NULL AND status <> 'new'")
Index(
    "finding_judged",
    *(finding.c[name] for name in ("status", "rank", "seen", "id", "kind", "turn")),
    sqlite_where=_judged,
    postgresql_where=_judged,
)
Index("finding_of", finding.c.of_key, sqlite_where=_latest, postgresql_where=_latest)
Index("finding_about", finding.c.about_key, sqlite_where=_latest, postgresql_where=_latest)

# In ``tree.covered``: the stored tiles contradict the tree, which is not extended any more until a rebuild.
BROKEN: Final = -1

# The Merkle tree over the records of each partition, whose ``lane`` is the Position.number of its first offset.
tree = Table(
    "tree",
    metadata,
    Column("lane", BigInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),  # leaves
    Column("covered", BigInteger, nullable=False),  # the tree has every record before this offset; or BROKEN
    Column("after", BigInteger, nullable=False),  # the offset after its last record
)

# The tiles of the trees (``core.evidence.record_tree``): on level 0 up to 256 entries of records, above that hashes.
tile = Table(
    "tile",
    metadata,
    Column("lane", BigInteger, primary_key=True, autoincrement=False),
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("place", BigInteger, primary_key=True, autoincrement=False),  # the index within the level
    Column("data", LargeBinary, nullable=False),
)

# The checkpoints that were signed. A rebuild keeps them.
checkpoint = Table(
    "checkpoint",
    metadata,
    Column("id", _Big, primary_key=True),
    Column("origin", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),  # the signed note, with the cosignatures of witnesses
    Column("signed_at", BigInteger, nullable=False),
    Column("witnessed_at", BigInteger),  # when enough witnesses had cosigned it
    Index("checkpoint_origin", "origin", "size"),
)

# What retention deleted, one row for each partition of a run. A rebuild keeps these four tables.
deletion = Table(
    "deletion",
    metadata,
    Column("id", Text, primary_key=True),
    Column("lane", BigInteger, nullable=False),  # Position.number of the first offset of the partition
    Column("first_tile", BigInteger, nullable=False),
    Column("last_tile", BigInteger, nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("rule", Text, nullable=False),
    Column("recorded_before", BigInteger, nullable=False),
    Column("deleted_at", BigInteger, nullable=False),
    Column("deleted_by", Text, nullable=False),
    Column("list_sha256", String(64), nullable=False),
    Column("certificate", Text, nullable=False),  # a signed note
)

# Which records of a tile a deletion deleted: a bit for each of its 256 leaves, the first leaf in the lowest bit.
deleted_tile = Table(
    "deleted_tile",
    metadata,
    Column("deletion", Text, primary_key=True),
    Column("place", BigInteger, primary_key=True, autoincrement=False),
    Column("records", LargeBinary, nullable=False),
)

# The hashes of what deleted records mentioned, so that an answer says that it was deleted.
deleted_key = Table(
    "deleted_key",
    metadata,
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("deleted_at", BigInteger, nullable=False),
)

# The sequence numbers of deleted events, so that they are not reported as missing.
deleted_sequence = Table(
    "deleted_sequence",
    metadata,
    Column("source", BigInteger, primary_key=True, autoincrement=False),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
)


# A Span is 2**32 microseconds (72 minutes). Bounds are kept in Spans, so that a series of children, each of which
# expires a little later, raises the bound of their ancestors once for each Span instead of once for each child.
_SPAN_BITS: Final = 32
ENDLESS: Final = (NEVER >> _SPAN_BITS) + 1


def span_after(ends_at: Instant) -> int:
    """Return the bound for something that ends at an instant: it has ended once ``span_of(at) >= bound``."""
    return (ends_at >> _SPAN_BITS) + 1


def span_of(at: Instant) -> int:
    """Return the Span that contains an instant. Anything that ends after ``at`` has a greater bound."""
    return at >> _SPAN_BITS


class Hashes(dict[str, int]):
    """The signed 64-bit hashes of the ids of one kind, computed on first use and cached.

    An id takes some 150 bytes here, and a process has two caches for each of fifteen kinds. Most ids recur within some
    thousand records, or hardly ever.
    """

    __slots__ = ("_blank",)
    _CACHED: Final = 32_768

    def __init__(self, blank: "hashlib.blake2b", kind: str) -> None:
        """Start from a keyed hash state without input.

        Args:
            blank: The hash state, keyed with the store's secret.
            kind: The kind of the ids.
        """
        super().__init__()
        self._blank = blank.copy()
        self._blank.update(f"{kind}:".encode())

    def once(self, id_: str) -> int:
        """Hash an id without caching it, because it will hardly occur again."""
        state = self._blank.copy()
        state.update(id_.encode())
        return int.from_bytes(state.digest(), "little", signed=True)

    def __missing__(self, id_: str) -> int:
        """Compute and cache the hash of an id."""
        found = self.once(id_)
        if len(self) >= self._CACHED:
            self.clear()
        self[id_] = found
        return found


class Keys(dict[str, Hashes]):
    """Hashes of keys by kind, keyed with the store's secret, so that an attacker cannot choose ids that collide."""

    def __init__(self, secret: bytes) -> None:
        """Key the hashes with the store's secret."""
        super().__init__()
        self.blank = hashlib.blake2b(digest_size=8, key=secret)

    def __call__(self, key: str) -> int:
        """Hash a key, ``KIND:ID``, to a signed 64-bit integer."""
        kind, _, id_ = key.partition(":")
        return self[kind][id_]

    def __missing__(self, kind: str) -> Hashes:
        """Create the hashes of a kind."""
        found = self[kind] = Hashes(self.blank, kind)
        return found
