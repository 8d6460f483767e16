"""A stop-proof at many enforcement points, against a bare loop that sends the same number of requests.

``python -m benchmarks.proving`` asks 50 points about 10,000 elements: followers of the feed about all of them, and
introspection endpoints about a sample. The points run in a process of their own.
"""

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Final

import httpx

from benchmarks import events
from benchmarks.__main__ import show
from benchmarks.measures import Figure, a_service, put
from ingest.codec import api as codec
from ingest.kafka.revocation_answers import MOST_KEYS, answering, question_of
from ingest.log.port import Entry
from ingest.projector import project
from lineage.core.model.events import Derivation, Event, ReceiverRegistered, RevocationOrdered, Target, TokenIssued
from lineage.core.model.records import ORDERS
from lineage.deliver.http.signing_keys import new_keys
from lineage.deliver.probes.probe_settings import ANSWERS, INTROSPECTION, Probe
from lineage.serve.commands.stop_proof import prove_stopped
from lineage.serve.queries.service import Service

GOAL_SECONDS: Final = 10
SAMPLE: Final = 100
SECRET: Final = "correct-horse"
ROOT: Final = "https://idp.example#root"


class _Denying:
    """A follower that denies everything."""

    is_current = True

    def is_dead(self, _token: str) -> bool:
        return True

    def status_of(self, _kind: str, _id: str) -> None:
        return None


class _Introspection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "17")
        self.end_headers()
        self.wfile.write(b'{"active": false}')

    def log_message(self, *_args: object) -> None:
        pass


def points() -> None:
    """Serve a follower and an introspection endpoint until standard input ends, and print their addresses."""
    with answering(_Denying(), SECRET) as follower, ThreadingHTTPServer(("127.0.0.1", 0), _Introspection) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        print(follower, f"http://127.0.0.1:{server.server_address[1]}/", flush=True)
        sys.stdin.read()
        server.shutdown()


@contextmanager
def _points() -> Iterator[tuple[str, str]]:
    code = "from benchmarks.proving import points; points()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        follower, introspection = process.stdout.readline().split()
        yield follower, introspection
        process.stdin.close()


def _incident(elements: int, receivers: list[str]) -> Iterator[Event]:
    yield Event("root", "urn:bench", events.START, TokenIssued(ROOT, "human:alice"))
    for number in range(elements - 1):
        issued = TokenIssued(
            f"https://idp.example#{number}", "human:alice", derived_from=(Derivation(ROOT, "subject"),)
        )
        yield Event(f"t{number}", "urn:bench", events.START, issued)
    for receiver in receivers:
        yield Event(receiver, "urn:bench", events.START, ReceiverRegistered(receiver))


def _order(service: Service) -> None:
    body = RevocationOrdered(revocation="r1", target=Target("token", ROOT), reason="test", ordered_by="human:ir")
    service.require_log().append([Entry(ORDERS, codec.encode(Event("o", "urn:bench", service.clock(), body)))])
    project(service.require_log(), service.store, None)


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds by the clock, and those of the processor in this process."""
    began, worked = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - worked


def proving(elements: int, count: int) -> Iterator[Figure]:
    """Prove by followers and by introspection; the ratios are those of processor time in this run."""
    receivers = [f"urn:point:{number}" for number in range(count)]
    with _points() as (follower, introspection), a_service() as (service, _), tempfile.TemporaryDirectory() as folder:
        secret = Path(folder) / "secret"
        secret.touch(mode=0o600)
        secret.write_text(SECRET, encoding="ascii")
        put(service, _incident(elements, receivers))
        _order(service)
        keys = [f"token:https://idp.example#{number}" for number in range(elements)]
        parts = [keys[start : start + MOST_KEYS] for start in range(0, elements, MOST_KEYS)]
        bearer = {"Authorization": f"Bearer {SECRET}"}

        def ask_bare() -> None:
            with httpx.Client(headers=bearer, trust_env=False) as client:
                for _ in receivers:
                    for part in parts:
                        client.post(follower, content=question_of("n", part)).raise_for_status()

        def introspect_bare() -> None:
            with httpx.Client(trust_env=False) as client:
                for _ in range(count * SAMPLE):
                    client.post(introspection, data={"token": "t"}).raise_for_status()

        for name, url, kind, sample, bare in (
            (f"{elements:,} elements at {count} followers", follower, ANSWERS, None, ask_bare),
            (
                f"{SAMPLE} of {elements:,} at {count} introspections",
                introspection,
                INTROSPECTION,
                SAMPLE,
                introspect_bare,
            ),
        ):
            probes = {one: Probe(receiver=one, kind=kind, url=url, secret=secret) for one in receivers}
            clock, worked = _timed(lambda probes=probes, sample=sample: _prove(service, probes, sample))
            _, least = _timed(bare)
            yield Figure(
                name=name,
                value=clock,
                unit="s",
                against=f"{worked:.1f} s of a core; a bare loop of the same requests {least:.1f} s",
                ratio=worked / least,
                goal=f"<= {GOAL_SECONDS} s",
                met=clock <= GOAL_SECONDS,
            )


def _prove(service: Service, probes: Mapping[str, Probe], sample: int | None) -> None:
    document = prove_stopped(service, new_keys(), probes, "r1", sample=sample)
    assert document is not None
    assert document["proof"]["verdict"] == ("CLOSED" if sample is None else "UNKNOWN")


def main() -> None:
    """Run the measurement and print each figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proving", description=__doc__)
    parser.add_argument("--elements", type=int, default=10_000)
    parser.add_argument("--points", type=int, default=50)
    options = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}; ratios are of processor time, within this run")
    for figure in proving(options.elements, options.points):
        show(figure)


if __name__ == "__main__":
    main()
