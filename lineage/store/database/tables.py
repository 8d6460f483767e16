"""The tables. Append-only but for positions: a state is never stored, it is worked out from facts.

Ids are looked up by a 64-bit hash that is keyed with a secret of the store (``Keys``). The hash is an index and never
the identity: what is found is decoded, and the real ids are compared.
"""

import hashlib
from typing import Final

import sqlalchemy as sa
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
    text,
)

from lineage.core.model.references import Role
from lineage.core.model.times import NEVER, Instant

metadata = MetaData()
_Big = BigInteger().with_variant(Integer, "sqlite")  # so that SQLite's rowid serves as the key

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
    Column("about", BigInteger, nullable=False),  # hash of what it is about
    Column("outcome", SmallInteger, nullable=False),
    Column("misrouted", SmallInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("until", Integer, nullable=False),  # when what it grants ends, in Spans; 0 if it grants nothing
    Column("source", BigInteger, nullable=False),  # hash of the source
    Column("sequence", BigInteger),
    Column("value", LargeBinary, nullable=False),  # the event in Avro single-object encoding
    Index("fact_ident", "ident"),
    Index("fact_about", "about"),
)

# Everything that a fact mentions. A row with `until` > 0 says that `about` depends on `key`, or names it (or asserts it
# as a prior actor), and that everything at or below `about` ends before that Span: when a late child raises the bound
# of what it hangs on, one more row with the higher bound is added.
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
UPWARD: Final = (Role.DEPENDS, Role.ALIAS)
_upward = text(f"role IN ({', '.join(str(role) for role in UPWARD)})")
Index("ref_upward", ref.c.about, ref.c.key, ref.c.role, sqlite_where=_upward, postgresql_where=_upward)


def in_role_upward(role: int) -> tuple[sa.ColumnElement[bool], ...]:
    """That a row of ``ref`` has a role of UPWARD, in the words of the partial index: only then does it serve."""
    upward = ref.c.role.in_([sa.literal_column(str(each)) for each in UPWARD])
    return upward, ref.c.role == sa.literal_column(str(role))


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
    Column("n", BigInteger),  # Position.number, if the log took it
    Column("origin", Text, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("reason", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("value", LargeBinary),
    Column("headers", LargeBinary),  # those of the record, as JSON
    Column("sources", Text),  # that the sender may use, as JSON, if it came over HTTP
    Index("quarantine_once", "origin", "place", "sha256", unique=True),
    Index("quarantine_n", "n"),
)

# What was taken up from quarantine later.
release = Table(
    "release",
    metadata,
    Column("quarantine", _Big, primary_key=True, autoincrement=False),
    Column("released_at", BigInteger, nullable=False),
)

# Every id that a fact mentions, as KIND:ID, for searching: a bag that is only read whole. An index would cost every
# event more than it saves anyone; what stands twice is shown once.
name = Table("name", metadata, Column("id", _Big, primary_key=True), Column("key", Text, nullable=False))
# But for the few that every plan and verdict looks for.
_receivers = text("key >= 'receiver:' AND key < 'receiver;'")
Index("name_receiver", name.c.key, sqlite_where=_receivers, postgresql_where=_receivers)

plan = Table(
    "plan",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("made_at", BigInteger, nullable=False),
    Column("document", LargeBinary, nullable=False),  # canonical JSON, zlib
)

# Who has approved a plan over HTTP, and when.
approval = Table(
    "approval",
    metadata,
    Column("id", _Big, primary_key=True),
    Column("plan", String(64), nullable=False),
    Column("approved_by", Text, nullable=False),
    Column("approved_at", BigInteger, nullable=False),
    Index("approval_plan", "plan", "approved_at"),
)

# Under an id that its caller chose (an ``Idempotency-Key``) the one order that is given, from before the log has it.
claim = Table(
    "claim",
    metadata,
    Column("revocation", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),  # the event in Avro single-object encoding
)

# What the last writers changed, for those who write at the same time
# (``optimistic_commit``). Empty on SQLite, which has one writer. The columns hold 64-bit integers of the machine.
turn = Table(
    "turn",
    metadata,
    Column("n", _Big, primary_key=True, autoincrement=False),
    Column("idents", LargeBinary, nullable=False),
    Column("granted", LargeBinary, nullable=False),
    Column("bounds", LargeBinary, nullable=False),  # key and bound in turn
)

# What became of elements by orders, as it is told to receivers; a row a change, in the order in which it is told.
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

# The rows of ``spread`` that a receiver took, and when.
accepted = Table(
    "accepted",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("receiver", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# How far the spread is (one row, ``spread``: up to which moment, by which facts of which edition of the store), and how
# far each receiver has been told.
delivered = Table(
    "delivered",
    metadata,
    Column("receiver", String(64), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("turn", BigInteger, nullable=False),  # one more with every time that it is written
    Column("place", LargeBinary),
)

# Of each receiver that asked for it the stream of Shared Signals; ``turn`` is one more with every change.
stream = Table(
    "stream",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("receiver", Text, nullable=False),
    Column("said", Text, nullable=False),  # what its receiver said of it, as JSON
    Column("secret", LargeBinary),  # the authorization header, sealed
    Column("status", String(16), nullable=False),
    Column("reason", Text),
    Column("fault", Text),  # why what is to be pushed is not accepted
    Column("seq", BigInteger, nullable=False),  # the rows of `spread` up to here are settled
    Column("horizon", BigInteger, nullable=False),  # of those up to here only the last of each element is told
    Column("settled", Text, nullable=False),  # rows behind `seq` that are settled as well, as JSON
    Column("covers", Text, nullable=False),  # what its receiver covered when it was told from the beginning
    Column("turn", BigInteger, nullable=False),
    Index("stream_receiver", "receiver", unique=True),
)

# What is told of a stream itself; gone once it is settled.
notice = Table(
    "notice",
    metadata,
    Column("id", _Big, primary_key=True),
    Column("stream", String(64), nullable=False),
    Column("event", Text, nullable=False),  # type and payload, as JSON
    Column("made_at", BigInteger, nullable=False),
    Index("notice_stream", "stream", "id"),
)

# What receivers refused for good. It stays when the stream is gone.
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

# What the reader of another system's log remembers between records; in the order of ``id`` within a topic.
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

# How many records of a source came to what, and when the last one did.
source_count = Table(
    "source_count",
    metadata,
    Column("source", Text, primary_key=True),
    Column("format", String(64), primary_key=True),
    Column("outcome", String(32), primary_key=True),
    Column("reason", String(64), primary_key=True),
    Column("records", BigInteger, nullable=False),
    Column("came_at", BigInteger, nullable=False),
    Column("latest", BigInteger),  # by the log's own clock
)

# A Span is 2**32 microseconds (72 minutes) of time. Bounds are kept in Spans, so that children that each outlive the
# one before raise the bound of what they hang on once a Span and not once each.
_SPAN_BITS: Final = 32
ENDLESS: Final = (NEVER >> _SPAN_BITS) + 1


def span_after(ends_at: Instant) -> int:
    """The bound for something that ends at an instant: it is over once ``span_of(at) >= bound``."""
    return (ends_at >> _SPAN_BITS) + 1


def span_of(at: Instant) -> int:
    """The Span that an instant lies in. What ends after ``at`` has a bound above it."""
    return at >> _SPAN_BITS


class Hashes(dict[str, int]):
    """The signed 64-bit hashes of the ids of one kind, each worked out when it is first asked for."""

    __slots__ = ("_blank",)
    _CACHED: Final = 100_000

    def __init__(self, blank: "hashlib.blake2b", kind: str) -> None:
        """Take a hash that nothing but the secret went into."""
        super().__init__()
        self._blank = blank.copy()
        self._blank.update(f"{kind}:".encode())

    def once(self, id_: str) -> int:
        """The hash of an id that will hardly come again."""
        state = self._blank.copy()
        state.update(id_.encode())
        return int.from_bytes(state.digest(), "little", signed=True)

    def __missing__(self, id_: str) -> int:
        """Work it out, and remember it."""
        found = self.once(id_)
        if len(self) >= self._CACHED:
            self.clear()
        self[id_] = found
        return found


class Keys(dict[str, Hashes]):
    """Hashes of keys by kind, keyed with the secret of the store so that nobody can choose two ids with one hash."""

    def __init__(self, secret: bytes) -> None:
        """Take the store's secret."""
        super().__init__()
        self.blank = hashlib.blake2b(digest_size=8, key=secret)

    def __call__(self, key: str) -> int:
        """The signed 64-bit hash of a key, ``KIND:ID``."""
        kind, _, id_ = key.partition(":")
        return self[kind][id_]

    def __missing__(self, kind: str) -> Hashes:
        """Begin with a kind."""
        found = self[kind] = Hashes(self.blank, kind)
        return found
