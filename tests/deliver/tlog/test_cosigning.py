"""How many witnesses must cosign; witnesses that are slow, lie, replay, or have a wrong clock."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lineage.core.evidence.checkpoints import Checkpoint
from lineage.core.evidence.merkle import EMPTY_ROOT
from lineage.core.evidence.notes import KeyKind, parse_note, verified
from lineage.core.evidence.witnessing import Submission, parse_submission
from lineage.deliver.tlog.checkpointing import sign_checkpoints
from lineage.deliver.tlog.cosigning import Quorum, request_cosignatures
from lineage.deliver.tlog.note_keys import NoteKeys, is_valid, note_keys
from lineage.deliver.tlog.witness import Witness
from lineage.deliver.tlog.witness_settings import WitnessEndpoint
from lineage.store import evidence_trees
from lineage.store.store import Store
from tests.support.growing_trees import KEYS, LANES, ORIGIN, START, grow, new_store

SECOND = 1_000_000
LANE = LANES[0]
TREE = f"{ORIGIN}/{LANE[0]}/{LANE[1]}"
Answer = Callable[[str], tuple[int, str, str]]  # the body of a request: status, media type, body


class Start(Protocol):
    """Start a witness; without an answer, one that is unavailable."""

    def __call__(self, name: str, answer: Answer | None, keys: NoteKeys | None = None) -> "Site": ...


class Site:
    """A witness over HTTP whose answers come from a function."""

    def __init__(self, answer: Answer, keys: NoteKeys) -> None:
        self.keys = keys
        outer = answer

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = self.rfile.read(int(self.headers["content-length"])).decode()
                status, media_type, body = outer(asked)
                try:
                    self.send_response(status)
                    self.send_header("content-type", media_type)
                    self.end_headers()
                    self.wfile.write(body.encode())
                except OSError:  # the client did not wait
                    pass

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        port = self._server.server_address[1]
        self.endpoint = WitnessEndpoint(
            name=keys.name, url=f"http://127.0.0.1:{port}", key=keys.verifiers[0], timeout_seconds=0.5
        )

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def keys_of(name: str) -> NoteKeys:
    private = Ed25519PrivateKey.generate()
    return note_keys(name, KeyKind.COSIGNATURE, private, [private.public_key()])


def honest(keys: NoteKeys, state: Path, clock: Callable[[], int] = lambda: START) -> Answer:
    """Answer as our own witness does."""
    logs = {f"{ORIGIN}/{topic}/{partition}": KEYS.verifiers for topic, partition in LANES}
    witness = Witness(keys, logs, state, clock)

    def answer(raw: str) -> tuple[int, str, str]:
        response = witness.cosign(parse_submission(raw))
        if isinstance(response, str):
            return 200, "text/plain", response
        if response.size is not None:
            return int(response.status), "text/x.tlog.size", f"{response.size}\n"
        return int(response.status), "text/plain", response.detail

    return answer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = new_store(f"sqlite:///{tmp_path}/store.db")
    grow(opened, LANE, 300)
    sign_checkpoints(opened, KEYS, START)
    yield opened
    opened.close()


@pytest.fixture
def sites() -> Iterator[Start]:
    """Start witnesses."""
    with ExitStack() as stack:

        def start(name: str, answer: Answer | None, keys: NoteKeys | None = None) -> Site:
            site = Site(answer or (lambda _: (503, "text/plain", "away")), keys or keys_of(name))
            stack.callback(site.close)
            return site

        yield start


def ask(store: Store, needed: int, *sites: Site) -> dict[tuple[str, str], str]:
    quorum = Quorum(tuple(site.endpoint for site in sites), needed)
    return request_cosignatures(store, ORIGIN, quorum, lambda: START)


def latest(store: Store) -> evidence_trees.SignedCheckpoint:
    found = evidence_trees.latest_checkpoint(store, TREE)
    assert found is not None
    return found


@pytest.mark.parametrize(("needed", "witnessed"), [(1, True), (2, True), (3, False)])
def test_the_required_number_of_witnesses_must_have_cosigned(
    store: Store, sites: Start, tmp_path: Path, needed: int, witnessed: bool
):
    """Two of three have cosigned; the third is asked again, and only for what it lacks."""
    keys = [keys_of(f"w{number}.example") for number in range(2)]
    found = [sites(one.name, honest(one, tmp_path / f"{one.name}.db"), one) for one in keys]
    away = sites("away.example", None)
    faults = ask(store, needed, *found, away)

    assert {("away.example", TREE)} == faults.keys()
    assert witnessed == (latest(store).witnessed_at is not None)
    signed = verified(parse_note(latest(store).note), [one.verifiers[0] for one in keys], is_valid)
    assert {one.verifiers[0] for one in keys} == signed.keys()
    assert latest(store).note.count("\n— ") == 3  # the log's own signature too
    ask(store, needed, *found, away)
    assert latest(store).note.count("\n— ") == 3


def test_one_witness_under_two_names_counts_once(store: Store, sites: Start, tmp_path: Path):
    keys = keys_of("w.example")
    one = sites("one", honest(keys, tmp_path / "state.db"), keys)
    other = sites("two", honest(keys, tmp_path / "state.db"), keys)
    ask(store, 2, one, other)

    assert latest(store).witnessed_at is None


def test_a_slow_witness_is_not_waited_for(store: Store, sites: Start):
    def slowly(_: str) -> tuple[int, str, str]:
        time.sleep(3)
        return 200, "text/plain", "late"

    began = time.monotonic()
    faults = ask(store, 1, sites("slow.example", slowly))

    assert time.monotonic() - began < 2.5
    assert "it does not answer: ReadTimeout" in faults["slow.example", TREE]
    assert latest(store).witnessed_at is None


def lies(keys: NoteKeys, other: NoteKeys) -> dict[str, Answer]:
    """Return answers that are not a cosignature of the submitted checkpoint."""

    def text_of(raw: str) -> str:
        return parse_submission(raw).note.text

    def replayed(_: str) -> tuple[int, str, str]:
        head = Checkpoint(TREE, 299, EMPTY_ROOT)
        return 200, "text/plain", keys.cosign(head.text, START // SECOND).line

    return {
        "an older cosignature": replayed,
        "the key of another": lambda raw: (200, "text/plain", other.cosign(text_of(raw), START // SECOND).line),
        "the log's own kind": lambda raw: (200, "text/plain", keys.sign(text_of(raw)).line),
        "nothing": lambda _: (200, "text/plain", ""),
        "a page": lambda _: (200, "text/html", "<html>\n" * 9),
        "a huge page": lambda _: (200, "text/html", "x" * 200_000),
        "a size from the future": lambda _: (409, "text/x.tlog.size", "400\n"),
        "the same conflict for ever": lambda _: (409, "text/x.tlog.size", "7\n"),
        "a size that is none": lambda _: (409, "text/x.tlog.size", "-1\n"),
        "a control character": lambda _: (403, "text/plain", "\x1b[2J"),
        "a clock an hour ahead": lambda raw: (
            200, "text/plain", keys.cosign(text_of(raw), START // SECOND + 3_601).line,
        ),
        "a clock at zero": lambda raw: (200, "text/plain", keys.cosign(text_of(raw), 0).line),
        "a clock beyond all times": lambda raw: (200, "text/plain", keys.cosign(text_of(raw), 2**64 - 1).line),
    }  # fmt: skip


@pytest.mark.parametrize("lie", lies(keys_of("w.example"), keys_of("x.example")))
def test_a_lying_witness_is_not_counted(store: Store, sites: Start, lie: str):
    """One line says why, and the note is unchanged."""
    keys = keys_of("liar.example")
    before = latest(store).note
    faults = ask(store, 1, sites("liar.example", lies(keys, keys_of("other.example"))[lie], keys))

    (fault,) = faults.values()
    assert fault
    assert fault.isprintable()
    assert (before, None) == (latest(store).note, latest(store).witnessed_at)


@pytest.mark.parametrize("seconds", [-3_600, 3_600])
def test_a_clock_that_differs_a_little_is_accepted(store: Store, sites: Start, tmp_path: Path, seconds: int):
    keys = keys_of("w.example")
    answer = honest(keys, tmp_path / "state.db", lambda: START + seconds * SECOND)
    assert {} == ask(store, 1, sites("w.example", answer, keys))
    assert latest(store).witnessed_at is not None


def test_a_replayed_submission_moves_no_witness_back(store: Store, tmp_path: Path):
    """An old checkpoint is not cosigned again after a newer one, no matter who sends it."""
    keys = keys_of("w.example")
    answer = honest(keys, tmp_path / "state.db")
    old = latest(store)
    first = str(Submission(0, (), parse_note(old.note), old.head))
    assert 200 == answer(first)[0]
    grow(store, LANE, 5)
    sign_checkpoints(store, KEYS, START)
    site = Site(answer, keys)
    try:
        assert {} == ask(store, 1, site)
    finally:
        site.close()

    assert (409, "text/x.tlog.size", "305\n") == answer(first)


def test_cosignatures_of_two_processes_are_both_kept(store: Store):
    """Each process asks another witness at the same time, and adds to the stored note."""
    one, other = keys_of("w1.example"), keys_of("w2.example")
    stored = latest(store)
    lines = [keys.cosign(stored.head.text, START // SECOND).line for keys in (one, other)]
    threads = [
        threading.Thread(
            target=evidence_trees.add_cosignature, args=(store, stored.id, line, lambda note: note.count("— ") > 2, 7)
        )
        for line in lines
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(line in latest(store).note for line in lines)
    assert 7 == latest(store).witnessed_at
