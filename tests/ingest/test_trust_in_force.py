"""A change of the trust file applies to everything that a running process keeps, in both directions."""

import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.codec import api as codec
from ingest.opening import open_log
from ingest.projector import project
from ingest.sources.file_import import ingest_files
from ingest.trust_file import LOOK_SECONDS, Trust, TrustFile
from lineage.core.authority.rule import verdict_of
from lineage.core.model.errors import RefusedError
from lineage.core.model.trust import SourceGrant, TrustTable
from lineage.deliver.outbox.outbox_writer import OutboxWriter
from lineage.serve.cache.question_cache import QuestionCache
from lineage.serve.cli.demo import ASKED, INGESTED, incident_path
from lineage.serve.cli.main import main
from lineage.serve.processes.live_graph import LiveGraph
from lineage.serve.queries.revocations import revocations
from lineage.serve.queries.service import Service
from lineage.store.authority_replica import AuthorityReplica
from lineage.store.delivery import outbox
from lineage.store.store import Store, open_store
from tests.support.http_worlds import LEAKED, api_over

A, B = (f'[sources."urn:{name}"]\ntypes = ["*"]\nprefixes = [""]\n' for name in "ab")
BROKEN = (
    "[sources", '[sources."urn:a"]\n', "[other]\n", "", '[sources."urn:a"]\ntypes = ["none.such"]\n', "\udcff",
)  # fmt: skip


class Clock:
    """A clock that is advanced explicitly."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def written(file: Path, text: str | None) -> None:
    """Write a file as an editor does, by renaming a new one; None removes it."""
    if text is None:
        file.unlink(missing_ok=True)
        return
    new = file.with_name("new")
    new.write_bytes(text.encode(errors="surrogateescape"))
    new.rename(file)


def after_looks(trust: TrustFile, clock: Clock, looks: int = 2) -> set[str]:
    for _ in range(looks):
        clock.now += LOOK_SECONDS
        found = set(trust.table.sources)
    return found


# The file


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(states=st.lists(st.sampled_from([A, B, A + B, None, *BROKEN]), max_size=8))
def test_the_last_valid_file_stays_in_force_and_an_invalid_one_is_reported(tmp_path: Path, states: list[str | None]):
    """
    Whatever happens to the file, the last valid version is in force, and a fault is reported while the current one is
    invalid.
    """
    file, clock = tmp_path / "trust.toml", Clock()
    written(file, A)
    trust = TrustFile(file, lambda: 0, clock)
    expected = {"urn:a"}
    for text in states:
        written(file, text)
        found = after_looks(trust, clock)
        is_good = text in (A, B, A + B)
        if is_good:
            expected = {f"urn:{name}" for name in "ab" if f"urn:{name}" in str(text)}

        assert expected == found
        assert is_good == (trust.fault is None)


def test_a_partly_written_file_is_never_in_force(tmp_path: Path):
    """
    A file that differs between two checks is not used, although each version is valid.
    """
    file, clock = tmp_path / "trust.toml", Clock()
    written(file, A + B)
    trust = TrustFile(file, lambda: 0, clock)
    for number in range(5):
        written(file, A + "\n" * number)

        assert {"urn:a", "urn:b"} == after_looks(trust, clock, looks=1)
    assert {"urn:a"} == after_looks(trust, clock, looks=1)


def test_an_older_change_counts_at_the_first_query(tmp_path: Path):
    """
    If nobody has asked since, nobody has checked: the answer still uses the current file.
    """
    import time

    file, clock = tmp_path / "trust.toml", Clock()
    written(file, A + B)
    trust = TrustFile(file, lambda: time.time_ns() // 1_000 + 2_000_000, clock)  # two seconds later
    written(file, A)

    assert {"urn:a"} == after_looks(trust, clock, looks=1)


def test_a_change_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """
    A valid and an invalid file are one line each, however often somebody asks in between.
    """
    file, clock = tmp_path / "trust.toml", Clock()
    written(file, A)
    trust = TrustFile(file, lambda: 0, clock)
    with caplog.at_level(logging.INFO):
        for text in (A + B, "[broken"):
            written(file, text)
            after_looks(trust, clock, looks=5)

    assert [True, True] == [word in line for word, line in zip(("2 sources", "not TOML"), caplog.messages, strict=True)]


def test_nothing_starts_without_a_valid_file(tmp_path: Path):
    """
    There is no earlier valid version then.
    """
    for text in (None, *BROKEN):
        written(tmp_path / "trust.toml", text)
        with pytest.raises(RefusedError):
            TrustFile(tmp_path / "trust.toml", lambda: 0)


# The caches of a process

SOURCES = ("https://idp.example", "https://directory.example", "https://gateway.example", "https://pdp.example")
SOC, HOSTILE = "urn:soc", "urn:hostile"
ID = LEAKED.removeprefix("token:")
ORDERED = {
    "type": "revocation.ordered", "event_id": "o1", "source": SOC, "occurred_at": "2026-11-02T10:21:00Z",
    "revocation": "r1", "target": {"kind": "token", "id": ID}, "mode": "suspend", "reason": "test",
    "ordered_by": "human:soc",
}  # fmt: skip
LIFTED = {
    "type": "revocation.lifted", "event_id": "l1", "source": HOSTILE, "occurred_at": "2026-11-02T10:22:00Z",
    "revocation": "r1", "lifted_by": "human:x",
}  # fmt: skip
AT = ASKED


class Turning:
    """A trust table that is changed by the test."""

    file, fault = "trust.toml", None

    def __init__(self, table: TrustTable) -> None:
        self.table = table


def table_of(sources: set[str]) -> TrustTable:
    return TrustTable({source: SourceGrant(frozenset({"*"}), ("",)) for source in sources})


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Any, Path]]:
    """Build the incident, an order by one source and its lift by another."""
    folder = tmp_path_factory.mktemp("trust")
    url = f"sqlite:///{folder}/store.db"
    more = folder / "more.jsonl"
    more.write_text(f"{json.dumps(ORDERED)}\n{json.dumps(LIFTED)}\n", encoding="utf-8")
    with ExitStack() as stack:
        store = stack.enter_context(_closing(open_store(url, codec.read, create=True)))
        log = stack.enter_context(_closing(open_log(url, create=True, clock=lambda: INGESTED)))
        ingest_files([str(incident_path()), str(more)], log, store, format="jsonl", clock=lambda: INGESTED)
        project(log, store, None)
        yield store, log, folder


class _closing(ExitStack):  # noqa: N801 (as contextlib names it)
    def __init__(self, thing: Any) -> None:
        super().__init__()
        self._thing = thing
        self.callback(thing.close)

    def __enter__(self) -> Any:
        return self._thing


KEYS = (LEAKED, "token:https://idp.example#relay-1", "token:https://idp.example#archive-1", "delegation:grant-mail")


def answers(service: Service, non_blocking: Service | None = None) -> dict[str, Any]:
    """Return the answers of a service: cached questions, and what a revocation ended."""
    found: dict[str, Any] = {"who": service.who("mail-7", at=AT), "r1": revocations.revocation(service, "r1", at=AT)}
    for key in KEYS:
        kind, _, id_ = key.partition(":")
        found[f"status {key}"] = service.status(kind, id_, at=AT)
        found[f"chain {key}"] = service.chain(kind, id_, at=AT)
    return found


def judged(current: AuthorityReplica) -> dict[str, Any]:
    with current.world() as world:
        return {key: verdict_of(world, key, AT) for key in KEYS}


def last_states(store: Store) -> dict[str, str]:
    """Return the last row of the outbox for each element."""
    return {row.change.key: str(row.change.version.outcome.state) for row in outbox.rows(store, after=0, limit=10_000)}


@pytest.mark.slow
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns=st.lists(st.sets(st.sampled_from([*SOURCES, SOC, HOSTILE])), min_size=1, max_size=6))
def test_everything_cached_answers_as_if_built_now(kept: tuple[Store, Any, Path], turns: list[set[str]]):
    """
    Over any sequence of trust tables: the question cache, the revocation cache, the replica for introspection and
    status lists, the live graph and the outbox agree with new ones that start with the current table.
    """
    store, log, _ = kept
    everything = table_of({*SOURCES, SOC, HOSTILE})
    turning = Turning(everything)
    service = Service(
        store, log, turning, lambda: AT, source="urn:t", worlds=QuestionCache(store, log, turning, log_inside=True)
    )
    current, spread = AuthorityReplica(store, turning), OutboxWriter(store, turning)
    live = LiveGraph(store, turning, lambda: AT)
    for sources in [{*SOURCES, SOC, HOSTILE}, *turns]:
        turning.table = table_of(sources)
        fresh = Service(store, log, Trust(table=turning.table), lambda: AT, source="urn:t")
        spread.round(lambda: AT)

        expected = answers(fresh)
        assert expected == answers(service)
        assert expected == answers(service)  # now from the caches
        verdicts = judged(AuthorityReplica(store, turning.table))
        assert verdicts == judged(current)
        fresh_live = LiveGraph(store, turning.table, lambda: AT)
        fresh_live.follow()
        live.follow()
        assert fresh_live.digest()["digest"] == live.digest()["digest"]
        for key, state in last_states(store).items():
            verdict = verdicts.get(key)
            if verdict is not None and state != "active":
                assert state == str(verdict.state)
        assert 0 == OutboxWriter(store, turning.table).round(lambda: AT)  # a new writer has nothing to add


def test_a_hostile_lift_is_undone_and_a_good_one_counts_again(kept: tuple[Store, Any, Path]):
    """
    Removing the source of a lift from the file suspends its victims again; adding it back frees them.
    """
    store, log, _ = kept
    turning = Turning(table_of({*SOURCES, SOC, HOSTILE}))
    worlds = QuestionCache(store, log, turning, log_inside=True)
    service = Service(store, log, turning, lambda: AT, source="urn:t", worlds=worlds)
    states = []
    for sources in ({SOC, HOSTILE}, {SOC}, {SOC, HOSTILE}, {HOSTILE}):
        turning.table = table_of({*SOURCES, *sources})
        document = service.status("token", ID, at=AT)
        assert document is not None
        states.append(document["state"])

    assert ["active", "suspended", "active", "active"] == states


# Reports


@pytest.mark.parametrize("bad", ["[broken", None])
def test_an_unreadable_file_is_reported_where_people_look(tmp_path: Path, bad: str | None):
    """
    `/readyz` (without the file's path), every plan and order, and `doctor` say that an earlier version is in force.
    """
    file, clock = tmp_path / "trust.toml", Clock()
    grants = "".join(f'[sources."{source}"]\ntypes = ["*"]\nprefixes = [""]\n' for source in SOURCES)
    written(file, grants + '[sources."urn:delegraph:http"]\ntypes = ["*"]\nprefixes = [""]\n')
    trust = TrustFile(file, lambda: 0, clock)
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, trust=trust) as world:
        before = (
            world.get("/readyz").json()["warnings"],
            world.get("/v1/reach", params={"of": LEAKED}).json()["warnings"],
        )
        written(file, bad)
        after_looks(trust, clock)
        ready = world.get("/readyz").json()["warnings"]
        plan = world.get("/v1/reach", params={"of": LEAKED}).json()
        order = world.post("/v1/revocations", json={"target": {"kind": "token", "id": ID}, "reason": "test"}).json()
    doctor = CliRunner().invoke(
        main, ["doctor", "--json", "--trust", str(file)], env={"DELEGRAPH_STORE": "sqlite:///x"}
    )
    [check] = [check for check in json.loads(doctor.stdout)["checks"] if check["check"] == "trust"]

    assert ([], []) == before
    assert ("stays in force" in ready[0], str(tmp_path) in ready[0]) == (True, False)
    assert [True] * 2 == [any("stays in force" in warning for warning in one["warnings"]) for one in (plan, order)]
    assert (False, True) == (check["ok"], "keep the last valid one" in check["says"])
