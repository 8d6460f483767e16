"""Tamper with a log and all that is kept of it, at random, and report what finds each change and where.

``python -m tests.support.tampering --count 100000`` prints the table in docs/evidence.md. Every change is made to one
small history in memory or on a file system in memory, and is found by the code that finds it in production: ``fsck``
(the comparison of stores, trees and checkpoints), a witness, a reader of checkpoints, or the verifier of bundles.
"""

import argparse
import base64
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Container, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingest.codec import api as codec
from ingest.log.port import Entry, Log
from ingest.opening import open_log
from ingest.projector import project
from ingest.trust_file import Trust
from lineage.core.evidence import merkle
from lineage.core.evidence.checkpoints import Checkpoint, parse_checkpoint
from lineage.core.evidence.merkle import consistency_proof
from lineage.core.evidence.notes import KeyKind, Note, NoteError, VerifierKey, parse_note, verified
from lineage.core.evidence.record_tree import WIDTH, Committed, digest_of, encode_entries, grown, subtrees
from lineage.core.evidence.rotation import Rotation, signed_rotation
from lineage.core.evidence.witnessing import Submission, refusal
from lineage.core.model.events import (
    ActionPerformed,
    CheckpointKeyRotated,
    Derivation,
    Event,
    RevocationOrdered,
    Target,
    TokenIssued,
)
from lineage.core.model.records import DECISIONS, ORDERS, Position, Record, position_of
from lineage.deliver.tlog.checkpointing import sign_checkpoints
from lineage.deliver.tlog.note_keys import NoteKeys, is_valid, note_keys
from lineage.serve.queries.evidence.key_rotations import checkpoints_by_retired_keys
from lineage.serve.queries.evidence_bundle import who_statement
from lineage.serve.queries.service import Service
from lineage.store import evidence_trees
from lineage.store.database.engine import connect
from lineage.store.database.tables import checkpoint, fact, tile, tree
from lineage.store.evidence_trees import Lane
from lineage.store.rebuild.diff import differences, like
from lineage.store.rebuild.tree_check import broken_checkpoints, tree_differences
from lineage.store.store import Store, open_store
from lineage.store.writing.trees import extend_lane
from tests.support.bundles import resigned
from tests.support.verifier import load_verifier

START: Final = 1_790_000_000_000_000
ORIGIN: Final = "audit.example/log"
SECOND: Final = 1_000_000
FSCK, WITNESS, READER, VERIFIER = "fsck", "the witness", "a reader of checkpoints", "the verifier"
LANES: Final[tuple[Lane, ...]] = ((DECISIONS, 0), (ORDERS, 0))
Records = dict[Lane, list[Record]]


class Found(NamedTuple):
    """What found a change, its message, and the place that it reports."""

    by: str
    sentence: str
    where: str


class Missed(Exception):  # noqa: N818 (it is what happened)
    """Nothing found a change."""


class SameError(Exception):
    """A change made no difference, such as a bit of base64 that encodes nothing; another one is drawn."""


def events() -> Iterator[tuple[str, Event]]:
    """Generate six hundred decisions, so that their tree has three tiles, and thirty orders."""
    for number in range(300):
        above = (Derivation(f"idp#{number - 1}", "subject"),) if number % 5 else ()
        issued = TokenIssued(f"idp#{number}", "human:alice", derived_from=above)
        yield DECISIONS, Event(f"t{number}", "urn:idp", START + number * SECOND, issued)
        acted = ActionPerformed(f"a{number}", "mail.send", "succeeded", token=f"idp#{number}", actor=f"agent:{number}")
        yield DECISIONS, Event(f"a{number}", "urn:gw", START + number * SECOND + 1, acted)
    for number in range(30):
        body = RevocationOrdered(f"r{number}", Target("token", f"idp#{number * 7}"), "test", "human:dana")
        yield ORDERS, Event(f"r{number}", "urn:soc", START + 400 * SECOND, body)


class Site:
    """A log, its store, a fresh projection of it, a witness, and a bundle, all of which agree."""

    def __init__(self, folder: Path, log: Log, store: Store) -> None:
        self.folder, self.log, self.stored = folder, log, store
        old, new, other = (Ed25519PrivateKey.generate() for _ in range(3))
        self.old = note_keys(ORIGIN, KeyKind.ED25519, old, [old.public_key()])
        self.keys = note_keys(ORIGIN, KeyKind.ED25519, new, [new.public_key(), old.public_key()])
        self.witness = note_keys("witness.example", KeyKind.COSIGNATURE, other, [other.public_key()])
        self._grow()
        self.fresh, self.scratch = self._like("fresh.db"), self._like("scratch.db")
        project(log, self.fresh, None)
        self.records = {lane: list(log.read(*lane, 0, limit=10_000)[0]) for lane in LANES}
        self.checkpoints = list(evidence_trees.checkpoints(store))
        latest = evidence_trees.latest_checkpoints(store)
        self.heads = {lane: latest["/".join((ORIGIN, lane[0], str(lane[1])))] for lane in LANES}
        service = Service(store, log, Trust(), lambda: START + 500 * SECOND, source="urn:test")
        statement = who_statement(service, ORIGIN, "a299", at=START + 500 * SECOND)
        assert statement is not None
        self.statement = json.dumps(statement)
        self.verifier: ModuleType = load_verifier()
        self.trusted = [[self.verifier.parse_key(keys.verifiers[0].text)] for keys in (self.keys, self.witness)]
        self.once_trusted = [self.verifier.parse_key(key.text) for key in self.keys.verifiers]

    def _like(self, name: str) -> Store:
        return like(self.stored, connect(f"sqlite:///{self.folder}/{name}", create=True))

    def _grow(self) -> None:
        """Record the events in two parts, each under a checkpoint, with a rotation in between; the witness cosigns."""
        everything = list(events())
        size = -(-len(everything) // 2)
        for number in range(2):
            part = everything[number * size : (number + 1) * size]
            if number:
                part.append((ORDERS, self._rotation()))
            self.log.append([Entry(topic, codec.encode(event)) for topic, event in part])
            project(self.log, self.stored, None)
            sign_checkpoints(self.stored, self.keys if number else self.old, START + (500 + number) * SECOND)
        for one in evidence_trees.latest_checkpoints(self.stored).values():
            note = parse_note(one.note)
            cosigned = self.witness.cosign(note.text, START // SECOND)
            text = str(Note(note.text, (*note.signatures, cosigned)))
            with self.stored.engine.begin() as connection:
                connection.execute(checkpoint.update().where(checkpoint.c.id == one.id).values(note=text))

    def _rotation(self) -> Event:
        """Replace the old key after its last checkpoint."""
        sizes = [
            (f"{topic}/{number}", head.size) for (topic, number), head in evidence_trees.heads(self.stored).items()
        ]
        rotation = Rotation(ORIGIN, self.old.verifiers[0], self.keys.verifiers[0], tuple(sizes))
        note = signed_rotation(rotation, *(keys.sign(rotation.text).line for keys in (self.keys, self.old)))
        body = CheckpointKeyRotated(ORIGIN, "human:dana", "Once a year", note)
        return Event("rotated", "urn:soc", START + 450 * SECOND, body)

    def faults(self) -> list[str]:
        """Return what each checker reports about the unchanged site."""
        found = [*differences(self.stored, self.fresh), *tree_differences(self.stored, self.fresh)]
        found += checkpoints_by_retired_keys(self.stored, self.fresh, None)
        found += tree_differences(self.stored, self.rebuilt(self.records))
        trusted = [self.keys.verifiers[0], self.witness.verifiers[0]]
        for one in self.heads.values():
            signers = verified(parse_note(one.note), trusted, is_valid)
            found += [f"{key.name} did not sign" for key in trusted if key not in signers]
        self.verifier.verify(json.dumps(resigned(self.keys, json.loads(self.statement))), *self.trusted, 1)
        return found

    def rebuilt(self, records: Records) -> Store:
        """Return the trees of another log, as a projection builds them."""
        with self.scratch.engine.begin() as connection:
            connection.execute(tile.delete())
            connection.execute(tree.delete())
            for lane, found in records.items():
                following = position_of(found[-1].number).offset + 1 if found else 0
                extend_lane(connection, lane, 0, following, committed(found))
        return self.scratch

    def refused(self, lane: Lane, records: list[Record], keys: NoteKeys) -> Found:
        """Let the witness decide about the head of another history of a partition, signed with a key of the log."""
        known = self.heads[lane].head
        tiles = grown(0, {}, encode_entries(committed(records), Position(*lane, 0).number))
        subtree = subtrees(lambda level, place: tiles[level, place])
        head = Checkpoint(known.origin, len(records), merkle.root(len(records), subtree))
        if head == known:
            raise SameError
        proof = tuple(consistency_proof(known.size, head.size, subtree)) if known.size <= head.size else ()
        submission = Submission(known.size, proof, Note(head.text, (keys.sign(head.text),)), head)
        found = refusal(submission, {known.origin: self.keys.verifiers}, known, is_valid)
        if found is None:
            raise Missed
        return Found(WITNESS, f"{head.origin} is not cosigned: {found.detail}", known.origin)


def committed(records: Sequence[Record]) -> list[Committed]:
    """Return what a tree contains of records."""
    return [(record.number, record.recorded_at, digest_of(record.value)) for record in records]


def flipped(rng: random.Random, data: bytes) -> bytes:
    """Return the data with one bit changed."""
    found = bytearray(data)
    found[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(found)


# Changes of the log. Each returns the offset from which the records differ.


def _bit(rng: random.Random, records: list[Record], at: int) -> int:
    record = records[at]
    records[at] = record._replace(value=flipped(rng, record.value or b"x"))
    return at


def _dropped(rng: random.Random, records: list[Record], at: int) -> int:
    del records[at]
    if rng.random() < 0.5:  # with the offset reused, or left as a gap
        _renumber(records, at)
    return at


def _inserted(_rng: random.Random, records: list[Record], at: int) -> int:
    records.insert(at, records[at - 1])
    _renumber(records, at)
    return at


def _swapped(rng: random.Random, records: list[Record], at: int) -> int:
    other = rng.randrange(len(records))
    first, second = sorted((at, other))
    if records[first].value == records[second].value:
        raise SameError
    one, two = records[first], records[second]
    records[first], records[second] = one._replace(value=two.value), two._replace(value=one.value)
    return first


def _backdated(rng: random.Random, records: list[Record], at: int) -> int:
    records[at] = records[at]._replace(recorded_at=records[at].recorded_at - rng.randrange(1, 86_400 * SECOND))
    return at


def _truncated(_rng: random.Random, records: list[Record], at: int) -> int:
    del records[at:]
    return at


def _renumber(records: list[Record], start: int) -> None:
    first = records[0].number & ~((1 << 40) - 1)
    records[start:] = [record._replace(number=first + start + at) for at, record in enumerate(records[start:])]


LOG_CHANGES: Final[dict[str, Callable[[random.Random, list[Record], int], int]]] = {
    "a bit of a value": _bit,
    "a record dropped": _dropped,
    "a record inserted": _inserted,
    "two records swapped": _swapped,
    "a record back-dated": _backdated,
    "a partition truncated": _truncated,
}


def _another_log(site: Site, rng: random.Random, change: str) -> tuple[Lane, Records, int]:
    lane = rng.choice(LANES)
    records = list(site.records[lane])
    at = LOG_CHANGES[change](rng, records, rng.randrange(1, len(records) - 1))
    return lane, {**site.records, lane: records}, at


def _first(sentences: Generator[str], filters: Container[str] | None = None) -> str:
    """Return the first sentence, or the first of those wanted; the rest is not computed."""
    with closing(sentences):
        return next((one for one in sentences if filters is None or one in filters), "")


def tampered_log(site: Site, rng: random.Random, change: str) -> Found:
    """Change the log alone: the stored tree shows the offset."""
    lane, records, at = _another_log(site, rng, change)
    name = f"tree: {lane[0]}/{lane[1]} differs"
    places = [f"{name} from offset {offset:,} on" for offset in (at, at + 1)]  # after a gap, from the next record on
    places.append(f"{name} in tile {at // WIDTH} of level 0")  # which is missing
    return Found(FSCK, _first(tree_differences(site.stored, site.rebuilt(records)), places), name)


def tampered_log_and_store(site: Site, rng: random.Random, change: str) -> Found:
    """Change the log, and rebuild the store from it: the first checkpoint that covers the record contradicts it."""
    lane, records, at = _another_log(site, rng, change)
    origin = f"{ORIGIN}/{lane[0]}/{lane[1]}"
    own = [one for one in site.checkpoints if one.head.origin == origin]
    size = min(one.head.size for one in own if one.head.size > at)
    result = _first(broken_checkpoints(own, site.rebuilt(records)))
    return Found(FSCK, result, f"the checkpoint of {origin} with {size:,} records")


def old_key(site: Site, rng: random.Random, change: str) -> Found:
    """Change the log and the store, and sign a checkpoint of them with a stolen old key."""
    lane, records, _ = _another_log(site, rng, change)
    return site.refused(lane, records[lane], site.old)


def two_histories(site: Site, rng: random.Random, change: str) -> Found:
    """Show one reader another history than the others, signed with the present key."""
    lane, records, _ = _another_log(site, rng, change)
    return site.refused(lane, records[lane], site.keys)


# Changes of the store, its tiles, and notes


@contextmanager
def changed_rows(store: Store, table: sa.Table, keys: Sequence[Any], rows: Sequence[dict[str, Any]]) -> Iterator[None]:
    """Replace the rows with some primary keys by others for the time of the block."""
    [primary, *more] = table.primary_key.columns
    selected = sa.tuple_(primary, *more).in_(keys) if more else primary.in_([key[0] for key in keys])
    with store.engine.begin() as connection:
        before = [row._asdict() for row in connection.execute(sa.select(table).where(selected))]
        connection.execute(table.delete().where(selected))
        if rows:
            connection.execute(table.insert(), list(rows))
    added = [tuple(row[column.name] for column in table.primary_key.columns) for row in rows]
    try:
        yield
    finally:
        now = sa.tuple_(primary, *more).in_(added) if more else primary.in_([key[0] for key in added])
        with store.engine.begin() as connection:
            connection.execute(table.delete().where(now))
            connection.execute(table.insert(), before)


def _rows(store: Store, table: sa.Table) -> list[dict[str, Any]]:
    with store.connection() as connection:
        return [row._asdict() for row in connection.execute(sa.select(table).order_by(*table.primary_key.columns))]


def tampered_store(site: Site, rng: random.Random, change: str) -> Found:
    """Change facts in the store, which is compared with a fresh projection."""
    rows = _rows(site.stored, fact)
    one, two = rng.sample(rows, 2)
    changes: dict[str, list[dict[str, Any]]] = {
        "a bit of a value": [{**one, "value": flipped(rng, one["value"])}],
        "a record dropped": [],
        "a record inserted": [one, {**one, "n": rows[-1]["n"] + 1 + rng.randrange(1_000)}],
        "two records swapped": [{**one, "value": two["value"]}, {**two, "value": one["value"]}],
        "a record back-dated": [{**one, "recorded_at": one["recorded_at"] - rng.randrange(1, 86_400 * SECOND)}],
    }
    keys = [(one["n"],), (two["n"],)] if change == "two records swapped" else [(one["n"],)]
    with changed_rows(site.stored, fact, keys, changes[change]):
        result = _first(differences(site.stored, site.fresh))
    return Found(FSCK, result, "fact: stored ")


def tampered_tiles(site: Site, rng: random.Random, change: str) -> Found:
    """Change the stored tree, which is compared with that of a fresh projection."""
    rows = _rows(site.stored, tile)
    one, two = rng.sample(rows, 2)
    key, other = ((row["lane"], row["level"], row["place"]) for row in (one, two))
    changes: dict[str, list[dict[str, Any]]] = {
        "a bit of a tile": [{**one, "data": flipped(rng, one["data"])}],
        "a tile dropped": [],
        "a tile inserted": [one, {**one, "level": 5, "place": rng.randrange(1 << 20)}],
        "two tiles swapped": [{**one, "data": two["data"]}, {**two, "data": one["data"]}],
        "a tile truncated": [{**one, "data": one["data"][: rng.randrange(len(one["data"]))]}],
    }
    keys = [key, other] if change == "two tiles swapped" else [key]
    with changed_rows(site.stored, tile, keys, changes[change]):
        result = _first(tree_differences(site.stored, site.fresh))
    return Found(FSCK, result, " differs ")


def resigned_checkpoint(site: Site, rng: random.Random, _change: str) -> Found:
    """Sign a stored checkpoint again with a stolen old key, although its records are genuine."""
    own = [one for one in site.checkpoints if parse_note(one.note).signatures[0].key_id == site.keys.verifiers[0].id]
    one = rng.choice(own)
    rows = {row["id"]: row for row in _rows(site.stored, checkpoint)}
    note = _signed_again(site, rows[one.id]["note"])
    with changed_rows(site.stored, checkpoint, [(one.id,)], [{**rows[one.id], "note": note}]):
        result = _first(checkpoints_by_retired_keys(site.stored, site.fresh, None))
    return Found(FSCK, result, f"the checkpoint of {one.head.origin} with {one.head.size:,} records")


def _signed_again(site: Site, note: str) -> str:
    """Return a note with the signature of a stolen old key instead of the present one; cosignatures stay valid."""
    text, (_, *cosignatures) = parse_note(note)
    return str(Note(text, (site.old.sign(text), *cosignatures)))


def tampered_checkpoint(site: Site, rng: random.Random, change: str) -> Found:
    """Change a signed checkpoint on the way to a reader who has the present key and that of the witness."""
    lane = rng.choice(LANES)
    genuine = site.heads[lane]
    text, _, lines = genuine.note.rpartition("\n\n")
    first, second = lines.splitlines(keepends=True)
    head = genuine.head
    if change == "a bit":
        raw = flipped(rng, genuine.note.encode()).decode(errors="replace")
    elif change == "the signature dropped":
        raw = f"{text}\n\n{rng.choice((first, second))}"
    elif change == "another size or root, signed with an old key":
        size = max(1, head.size + rng.choice((-1, 0, 1)))
        other = Checkpoint(head.origin, size, rng.randbytes(32))
        raw = str(Note(other.text, (site.old.sign(other.text),))) + second
    elif change == "the time of the witness":
        name, payload = second[2:].split(" ")
        data = bytearray(base64.b64decode(payload))
        data[4 + rng.randrange(8)] ^= 1 << rng.randrange(8)
        raw = f"{text}\n\n{first}\u2014 {name} {base64.b64encode(data).decode()}\n"
    else:  # truncated
        raw = genuine.note[: rng.randrange(len(genuine.note))]
    trusted = [site.keys.verifiers[0], site.witness.verifiers[0]]
    return Found(READER, _reader_says(raw, head, trusted), "")


def _reader_says(raw: str, head: Checkpoint, trusted: Sequence[VerifierKey]) -> str:
    """Return what a reader of a checkpoint finds wrong with it."""
    try:
        note = parse_note(raw)
        signers = verified(note, trusted, is_valid)
        found = parse_checkpoint(note)
    except NoteError as fault:
        return str(fault)
    if missing := [key.name for key in trusted if key not in signers]:
        return f"{', '.join(missing)} did not sign it"
    if found == head:
        raise SameError
    raise Missed(raw)


# Changes of a bundle


def tampered_bundle(site: Site, rng: random.Random, change: str) -> Found:
    """Change a bundle; all but the first are signed again with the present key, as its owner could."""
    statement = json.loads(site.statement)
    trees = {tree_["checkpoint"].split("\n")[0].split("/")[-2]: tree_ for tree_ in statement["predicate"]["trees"]}
    records = trees["orders"]["records"]
    at = rng.randrange(len(records) - 1)
    one = rng.choice([each for tree_ in trees.values() for each in tree_["records"]])
    if change == "a record dropped":
        del records[at]
    elif change == "a record inserted":
        records.insert(at, dict(records[at]))
        _reindex(records)
    elif change == "two records swapped":
        records[at], records[at + 1] = records[at + 1], records[at]
        _reindex(records)
    elif change == "a partition truncated":
        del records[at:]
    elif change == "a record back-dated":
        raw = bytearray(base64.b64decode(one["entry"]))
        moment = int.from_bytes(raw[14:22], "big") - rng.randrange(1, 86_400 * SECOND)
        one["entry"] = base64.b64encode(raw[:14] + moment.to_bytes(8, "big") + raw[22:]).decode()
    elif change == "a bit of a record":
        name = rng.choice([name for name in ("entry", "value", "path") if name in one])
        before = one[name]
        if name == "path":
            one[name] = [base64.b64encode(flipped(rng, base64.b64decode(each))).decode() for each in before]
        else:
            one[name] = base64.b64encode(flipped(rng, base64.b64decode(before))).decode()
    elif change in ("another checkpoint, signed with an old key", "two histories for two readers"):
        lane = rng.choice(LANES)
        keys = site.old if "old" in change else site.keys
        other = site.heads[lane].head._replace(root=rng.randbytes(32))
        trees[lane[0]]["checkpoint"] = str(Note(other.text, (keys.sign(other.text),)))
    trusted, place = site.trusted[0], "/0"
    if "stolen old key" in change:  # by somebody who still trusts it
        trusted, place = site.once_trusted, "that had been replaced before"
        if change == "a checkpoint of a partition, signed again with a stolen old key":
            one = rng.choice(list(trees.values()))
            one["checkpoint"] = _signed_again(site, one["checkpoint"])
        elif change == "the combined checkpoint, signed again with a stolen old key":
            statement["predicate"]["combined"] = _signed_again(site, statement["predicate"]["combined"])
    envelope = resigned(site.old if change == "signed again with a stolen old key" else site.keys, statement)
    if change == "a bit":
        payload = base64.b64decode(envelope["payload"])
        envelope["payload"] = base64.b64encode(flipped(rng, payload)).decode()
    try:
        site.verifier.verify(json.dumps(envelope), trusted, site.trusted[1], 1)
    except site.verifier.Wrong as fault:
        return Found(VERIFIER, str(fault), "the bundle is not signed" if change == "a bit" else place)
    raise Missed(change)


def _reindex(records: list[dict[str, Any]]) -> None:
    for index, record in enumerate(records):
        record["index"] = index


TILE_CHANGES: Final = ("a bit of a tile", "a tile dropped", "a tile inserted", "two tiles swapped", "a tile truncated")
NOTE_CHANGES: Final = (
    "a bit",
    "the signature dropped",
    "another size or root, signed with an old key",
    "the time of the witness",
    "truncated",
)
BUNDLE_CHANGES: Final = (
    "a bit",
    "a bit of a record",
    "a record dropped",
    "a record inserted",
    "two records swapped",
    "a record back-dated",
    "a partition truncated",
    "another checkpoint, signed with an old key",
    "two histories for two readers",
    "signed again with a stolen old key",
    "a checkpoint of a partition, signed again with a stolen old key",
    "the combined checkpoint, signed again with a stolen old key",
)
# What is changed, by whom it is found, the changes, and how many of a hundred.
PARTS: Final[dict[str, tuple[Callable[[Site, random.Random, str], Found], Sequence[str], int]]] = {
    "the log": (tampered_log, tuple(LOG_CHANGES), 24),
    "the log, and the store rebuilt from it": (tampered_log_and_store, tuple(LOG_CHANGES), 16),
    "log and store, under a checkpoint signed with a stolen old key": (old_key, tuple(LOG_CHANGES), 16),
    "two histories for two readers, both signed": (two_histories, tuple(LOG_CHANGES), 16),
    "the store": (tampered_store, tuple(LOG_CHANGES)[:5], 8),
    "the tiles": (tampered_tiles, TILE_CHANGES, 8),
    "a checkpoint": (tampered_checkpoint, NOTE_CHANGES, 7),
    "a stored checkpoint of genuine records": (resigned_checkpoint, ("signed again with a stolen old key",), 1),
    "a bundle": (tampered_bundle, BUNDLE_CHANGES, 4),
}


@contextmanager
def opened_site() -> Iterator[Site]:
    """Build a site in a temporary folder, in memory where that exists."""
    memory = Path("/dev/shm")
    with ExitStack() as stack:
        place = memory if memory.is_dir() else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=place)))
        url = f"sqlite:///{folder}/store.db"
        store = open_store(url, codec.read, create=True)
        stack.callback(store.close)
        times = iter(range(START + 450 * SECOND, START + 500 * SECOND))
        log = open_log(url, create=True, clock=lambda: next(times))
        stack.callback(log.close)
        site = Site(folder, log, store)
        stack.callback(site.fresh.close)
        stack.callback(site.scratch.close)
        yield site


def tamper(site: Site, rng: random.Random, count: int) -> Counter[tuple[str, str, str]]:
    """Make changes, and count them by part, change and what found them.

    Raises:
        Missed: One was not found, or not where it is.
    """
    found: Counter[tuple[str, str, str]] = Counter()
    for part, (work, changes, share) in PARTS.items():
        for number in range(max(len(changes), count * share // 100)):
            change = changes[number % len(changes)]
            while True:
                try:
                    one = work(site, rng, change)
                except SameError:
                    continue
                break
            if not one.sentence or one.where not in one.sentence:
                raise Missed(part, change, one)
            found[part, change, one.by] += 1
    return found


def main() -> None:
    """Make changes and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.tampering", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=18)
    options = parser.parse_args()
    began = time.process_time()
    with opened_site() as site:
        found = tamper(site, random.Random(options.seed), options.count)
    write = sys.stdout.write
    write("| what was changed | how | times | found by |\n|---|---|---|---|\n")
    for (part, change, by), times in found.items():
        write(f"| {part} | {change} | {times:,} | {by} |\n")
    write(f"\n{sum(found.values()):,} changes, all found, in {time.process_time() - began:.0f} s of a core\n")


if __name__ == "__main__":
    main()
