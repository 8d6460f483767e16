"""The index of findings on PostgreSQL: several consumers project two partitions, several keepers keep it, some die."""

import json
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ingest.codec import api as codec
from ingest.log.port import Entry, entry_of
from lineage.core.findings.options import DEFAULT
from lineage.serve.commands.finding_keeper import index_differences
from lineage.serve.config.wiring import now
from lineage.store import kept_findings
from lineage.store.store import Store
from tests.support.finding_cases import CASES, Event
from tests.support.honest_worlds import Honest
from tests.support.kafka_worlds import consuming, lag_of, made_log, opened, producing, started, wait_until
from tests.support.mutated_worlds import MUTATIONS

pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.postgres]


def wrong_days(rng: random.Random) -> list[Event]:
    """Generate honest days with some faults, and facts for which some rules find something."""
    events: list[Event] = []
    for seed in range(4):
        day = [dict(one) for one in Honest(seed).make()]
        for mutation in rng.sample(MUTATIONS, 4):
            mutation(day, rng)
        events += [{**one, "event_id": f"{one['event_id']} {seed}"} for one in day]
    return events + [one for kind in rng.sample(sorted(CASES), 12) for one in CASES[kind].fires]


def entries(events: list[Event]) -> list[Entry]:
    return [entry_of(codec.decode_line(json.dumps(one).encode())) for one in events]


@contextmanager
def keeping(store: str, log: str, file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a keeper; kill it in the end if it is still running."""
    with file.open("ab") as result:
        run = started("findings", "keep", "--store", store, "--log", log, stderr=result)
        try:
            yield run
        finally:
            run.kill()
            run.communicate()


def is_exact(store: Store) -> bool:
    """Whether the index includes every record, and nothing about it is outstanding."""
    state = kept_findings.state_of(store)
    return dict(state.swept or {}) == store.positions() and not state.lagging


@pytest.mark.parametrize("seed", range(2))
def test_the_index_equals_an_evaluation_after_consumers_and_keepers_were_killed(
    kafka_url: str, postgres_url: str, tmp_path: Path, seed: int
):
    """
    Two consumers of two partitions and two keepers of one index run on a real broker and PostgreSQL; one of each is
    killed while records arrive, and restarted. In the end the index equals an evaluation of every fact.
    """
    rng = random.Random(seed)
    given = entries(wrong_days(rng))
    given += rng.sample(given, len(given) // 5)
    rng.shuffle(given)
    third = len(given) // 3
    result = tmp_path / "keepers.log"

    with (
        opened(postgres_url, create=True) as store,
        made_log(kafka_url, partitions=2) as log,
        producing(log.servers) as producer,
        consuming(postgres_url, kafka_url),
        keeping(postgres_url, kafka_url, result),
    ):

        def send(some: list[Entry]) -> None:
            for entry in some:
                producer.send(log.topic_name(entry.topic), entry.value, partition=rng.randrange(2))
            producer.flush(30)

        with consuming(postgres_url, kafka_url) as killed, keeping(postgres_url, kafka_url, result) as other:
            send(given[:third])
            wait_until(lambda: bool(kept_findings.counts(store)))
            send(given[third : 2 * third])
            killed.run.send_signal(signal.SIGKILL)
            other.send_signal(signal.SIGKILL)
        with consuming(postgres_url, kafka_url), keeping(postgres_url, kafka_url, result):
            send(given[2 * third :])
            wait_until(lambda: lag_of(postgres_url, log) == 0, 120)
            wait_until(lambda: is_exact(store), 120)

    with opened(postgres_url) as store:
        found = kept_findings.counts(store)
        assert [] == list(index_differences(store, None, DEFAULT)), result.read_text()
        assert is_exact(store)
        assert len({kind for kind, _, _ in found}) > 10
        assert kept_findings.state_of(store).swept_at <= now()
