"""The cost of evidence: of trees at ingestion, of verifying a bundle of 10,000 records, of the line under an answer.

``python -m benchmarks.evidence [--events N] [--turns N] [--python PATH ...]`` prints processor time. What is compared
is measured in turns within this run, so the ratios also count on a machine with other work.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks import events
from benchmarks.measures import NOW, a_service, append, put
from ingest.codec import api as codec
from ingest.projector import project
from lineage.core.evidence.notes import KeyKind
from lineage.core.model.events import ActionPerformed, Body, Derivation, RevocationOrdered, Target, TokenIssued
from lineage.deliver.tlog.checkpointing import sign_checkpoints
from lineage.deliver.tlog.note_keys import NoteKeys, note_keys
from lineage.serve.commands.evidence_bundle import PAYLOAD_TYPE
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.evidence.evidence_line import EvidenceLine
from lineage.serve.queries.evidence_bundle import receipt_statement, who_statement
from lineage.serve.queries.service import Service
from lineage.store.store import open_store
from lineage.store.writing import trees

ORIGIN: Final = "audit.example/bench"
RECORDS: Final = 10_000  # of a bundle
VERIFIER: Final = Path(__file__).parents[1] / "schemas" / "verify_evidence.py"
REPEATS: Final = 1_000  # of the line under an answer


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence", description=__doc__)
    parser.add_argument("--events", type=int, default=60_000, help="events of the intake")
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--python", action="append", default=[], help="another Python that runs the verifier")
    options = parser.parse_args()
    _intake(options.events, options.turns)
    _verifying([sys.executable, *options.python], options.turns)
    _line()


def _intake(count: int, turns: int) -> None:
    """Project the same log into new stores, with trees and without them, in the order with, without, without, with."""
    ratios, shares = [], []
    with a_service() as (service, _):
        append(service, events.a_day(count))
        for _ in range(turns):
            first, share = _projection(service, with_trees=True)
            without = _projection(service, with_trees=False)[0] + _projection(service, with_trees=False)[0]
            second, other = _projection(service, with_trees=True)
            ratios.append((first + second) / without)
            shares += [share, other]
    print(f"intake with trees, against without: {_spread(ratios)} ({turns} turns of {count:,} events)")
    print(f"the part of the intake that extends trees: {_spread(shares)}")


def _projection(service: Service, *, with_trees: bool) -> tuple[float, float]:
    """Project the log into a new store; return the processor time, and the part of it that the trees took."""
    took = 0.0

    def timed(real: Callable[..., Any]) -> Callable[..., Any]:
        def replaced(*arguments: Any) -> Any:
            nonlocal took
            began = time.process_time()
            # Without trees, nothing is digested: the positions still need the time of one record.
            found = real(*arguments) if with_trees else [(0, events.START, b"")]
            took += time.process_time() - began
            return found

        return replaced

    with ExitStack() as restored:
        for name in ("committed_of", "extend"):
            real = getattr(trees, name)
            restored.callback(setattr, trees, name, real)
            setattr(trees, name, timed(real))
        with tempfile.TemporaryDirectory() as folder:
            store = open_store(f"sqlite:///{folder}/store.db", codec.read, create=True)
            began = time.process_time()
            project(service.require_log(), store, None)
            whole = time.process_time() - began
            store.close()
    return whole, took / whole


def _verifying(pythons: list[str], turns: int) -> None:
    for name, build in (("an answer with all orders", _many_orders), ("a receipt, a proof each", _many_tokens)):
        with build() as (statement, keys), tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "bundle.json"
            raw = json.dumps(statement, ensure_ascii=False).encode()
            file.write_text(json.dumps(keys.sign_envelope(PAYLOAD_TYPE, raw)), encoding="utf-8")
            records = sum(len(tree["records"]) for tree in statement["predicate"]["trees"])
            for python in pythons:
                taken = [_verified(python, file, keys.verifiers[0].text) for _ in range(turns)]
                print(f"verifying {name}, {records:,} records, by {python}: {_spread(taken)} s")


def _verified(python: str, file: Path, key: str) -> float:
    """Run the verifier; return the processor time in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([python, "-I", "-S", VERIFIER, file, "--key", key], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@contextmanager
def _many_orders() -> Iterator[tuple[Document, NoteKeys]]:
    bodies: list[Body] = [TokenIssued("t0", "human:alice"), ActionPerformed("a0", "send", "succeeded", token="t0")]
    bodies += [
        RevocationOrdered(f"r{number}", Target("token", f"other-{number}"), "test", "human:dana")
        for number in range(RECORDS - len(bodies))
    ]
    with _signed(bodies) as (service, keys):
        statement = who_statement(service, ORIGIN, "a0", at=NOW)
        assert statement is not None
        yield statement, keys


@contextmanager
def _many_tokens() -> Iterator[tuple[Document, NoteKeys]]:
    bodies: list[Body] = [TokenIssued("t0", "human:alice")]
    bodies += [
        TokenIssued(f"t{number}", "human:alice", derived_from=(Derivation(f"t{number // 10}", "subject"),))
        for number in range(1, RECORDS - 1)
    ]
    bodies.append(RevocationOrdered("r0", Target("token", "t0"), "test", "human:dana"))
    with _signed(bodies) as (service, keys):
        statement = receipt_statement(service, ORIGIN, "r0", at=NOW)
        assert statement is not None
        yield statement, keys


@contextmanager
def _signed(bodies: list[Body]) -> Iterator[tuple[Service, NoteKeys]]:
    """A service whose log has some events, all under a checkpoint."""
    private = Ed25519PrivateKey.generate()
    keys = note_keys(ORIGIN, KeyKind.ED25519, private, [private.public_key()])
    with a_service() as (service, _):
        put(service, (events.numbered(body, number, events.START + number) for number, body in enumerate(bodies)))
        sign_checkpoints(service.store, keys, NOW)
        yield service, keys


def _line() -> None:
    """The line under an answer: of an unchanged store, of a changed one, and how long the answer itself takes."""
    bodies: list[Body] = [TokenIssued("t0", "human:alice"), ActionPerformed("a0", "send", "succeeded", token="t0")]
    with _signed(bodies) as (service, _):
        kept = EvidenceLine(service, ORIGIN)
        unchanged = _each(kept.sentence)
        changed = _each(lambda: EvidenceLine(service, ORIGIN).sentence())
        answer = _each(lambda: service.who("a0", at=NOW))
    print(f"the line under an answer: {unchanged:.0f} µs; {changed:.0f} after a change; a small answer {answer:.0f}")


def _each(work: Callable[[], object]) -> float:
    """The processor time of one call in microseconds."""
    began = time.process_time()
    for _ in range(REPEATS):
        work()
    return (time.process_time() - began) / REPEATS * 1e6


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()
