"""The index of findings equals an evaluation of all facts, whatever happens."""

import errno
import json
import os
import random
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ingest.codec import api as codec
from ingest.log.port import entry_of
from ingest.opening import open_log
from ingest.trust_file import Trust
from lineage.core.authority.verdict import State
from lineage.core.findings.keeping import movable
from lineage.core.findings.keeping.live import LiveFindings
from lineage.core.findings.options import DEFAULT, Exempted, Options
from lineage.core.findings.rules.catalogue import RULES
from lineage.core.findings.scene.scene import Scene
from lineage.core.model.errors import UnavailableError
from lineage.core.model.events import Fact
from lineage.core.model.times import parse_instant
from lineage.core.revocation.closure import Closure
from lineage.serve.commands import live_index
from lineage.serve.commands.finding_keeper import FindingKeeper, index_differences
from lineage.serve.commands.judgements import judge
from lineage.serve.commands.kept_form import kept_report
from lineage.serve.queries.findings import finding_basis, kept_list, one_finding
from lineage.serve.queries.findings import findings as found_by
from lineage.serve.queries.findings import posture as posture_module
from lineage.serve.queries.findings.findings import FindingFilter, exported, findings, gate, survey
from lineage.serve.queries.findings.posture import posture
from lineage.serve.queries.service import Service
from lineage.store import kept_findings
from lineage.store.store import Store, open_store
from tests.support.desk import Desk
from tests.support.finding_cases import AL, CASES, A, Event, done, granted, issued, moment, ordered
from tests.support.honest_worlds import Honest
from tests.support.mutated_worlds import MUTATIONS
from tests.support.stores import KINDS, Fresh, fresh_places

LATER = parse_instant(moment(24 * 60))


@pytest.fixture(params=KINDS)
def places(request: pytest.FixtureRequest) -> Iterator[Fresh]:
    yield from fresh_places(request)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


class World:
    """A store with its log and its own clock, and a keeper of its findings."""

    def __init__(self, store: Store, folder: Path, options: Options) -> None:
        self.now = parse_instant(moment(-120))
        self.log = open_log(f"sqlite:///{folder}/log.db", create=True, clock=lambda: self.now)
        self.service = Service(store, self.log, Trust(), lambda: self.now, source="urn:test", options=options)
        self.seconds = 0.0
        self.keeper = FindingKeeper(store, None, options, monotonic=lambda: self.seconds)

    def take(self, events: list[Event]) -> None:
        """Add facts as they happen; the clock of the log advances with them."""
        for event in events:
            self.now = max(self.now, parse_instant(event["occurred_at"]))
            self.log.append([entry_of(codec.decode_line(json.dumps(event).encode()))])
        self.service.catch_up()

    def kept(self) -> dict[str, Any]:
        """Return what the index contains."""
        store = self.service.store
        ids = [id_ for id_, one in kept_findings.current(store).items() if one.change != kept_findings.RESOLVED]
        return {id_: one.document for id_, one in kept_findings.kept_of(store, ids).items()}

    def computed(self) -> dict[str, Any]:
        """Return what an evaluation of everything finds now."""
        found = survey(self.service, self.now)
        rows = kept_report(found.report, found.world, self.service.options, self.now)
        return {id_: one.document for id_, one in rows.items()}


@contextmanager
def world(place: Fresh, folder: Path, options: Options = DEFAULT) -> Iterator[World]:
    with place() as url:
        store = open_store(url, codec.read, create=True)
        made = World(store, folder, options)
        try:
            yield made
        finally:
            made.log.close()
            store.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_the_index_equals_an_evaluation_after_every_batch(
    seed: int, places: Fresh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """
    Facts arrive in any order, some twice, in batches of any size, with one keeper or two, passing time, judgements and
    restarted keepers: after each look the index contains what an evaluation finds; where sentences lag, the findings
    still have the same severity, status and times.
    """
    rng = random.Random(seed)
    monkeypatch.setattr(live_index, "TOGETHER", rng.choice([1, 3, 2_000]))
    monkeypatch.setattr(live_index, "AT_ONCE", rng.choice([2, 7, 5_000]))
    monkeypatch.setattr(live_index, "READ", rng.choice([3, 50, 20_000]))
    keep_in_memory(rng.choice([0, 3, 65_536]), monkeypatch)
    events = [dict(one) for one in Honest(seed).make()]
    for mutation in rng.sample(MUTATIONS, 4):
        mutation(events, rng)
    events += [one for kind in rng.sample(sorted(CASES), 5) for one in CASES[kind].fires]
    events += rng.sample(events, len(events) // 5)
    rng.shuffle(events)
    with world(places, tmp_path) as made:
        keepers = [made.keeper]
        made.keeper.sweep(made.now)
        while events:
            size = rng.choice([1, 3, 20, 50])
            made.take(events[:size])
            events = events[size:]
            if rng.random() < 0.1 and (kept := made.kept()):
                until = made.now + rng.choice([1, 3_600_000_000])
                judge(made.service, rng.choice(sorted(kept)), "suppressed", by="human:ir", reason="x", until=until)
            if rng.random() < 0.1:
                keepers = [FindingKeeper(made.service.store, None, DEFAULT) for _ in range(rng.choice([1, 2]))]
                for keeper in keepers:
                    keeper.sweep(made.now)
            made.now += rng.choice([0, 1, 3_000_000, 86_400_000_000])
            for keeper in rng.sample(keepers, len(keepers)):
                keeper.look(made.now)
                while keeper.is_behind:
                    keeper.look(made.now)
            expected, kept = made.computed(), made.kept()
            assert same(expected) == same(kept)
            assert kept_findings.counts(made.service.store) == kept_findings.state_of(made.service.store).numbers
            if not kept_findings.state_of(made.service.store).lagging:
                assert expected == kept
        made.now += 3_000_000
        keepers[0].look(made.now)

        assert made.computed() == made.kept()
        assert [] == list(index_differences(made.service.store, None, DEFAULT))
        assert made.kept()


def same(documents: dict[str, Any]) -> dict[str, Any]:
    """Return what is exact after every batch; the rest of a finding may lag by two seconds."""
    fields = ("kind", "of", "about", "severity", "status", "first_seen", "last_seen")
    return {id_: [one[field] for field in fields] for id_, one in documents.items()}


NARROW = sorted(kind for kind in CASES if not RULES[kind].wide and kind != "exception-expired")


@pytest.mark.slow
@pytest.mark.parametrize("kind", NARROW)
def test_a_look_finds_what_surroundings_show_while_facts_are_read(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """
    Each rule that needs only its surroundings finds its case within a look, before all facts have been read.
    """
    case = CASES[kind]
    if any(value is not None for value in case.recorded.values()):
        pytest.skip("the case tells when facts were recorded, which a log decides by itself")
    with world(in_file(tmp_path), tmp_path, case.options) as made:
        made.keeper.sweep(made.now)
        reading = FindingKeeper(made.service.store, None, case.options)
        for event in case.fires:
            made.take([event])
            reading.look(made.now)

        expected = {id_ for id_, one in made.computed().items() if one["kind"] == kind}
        assert expected <= made.kept().keys()


def test_nothing_is_written_while_nothing_is_new(places: Fresh, tmp_path: Path):
    """
    Turns after which nothing has changed write nothing, although on SQLite each write looks like a change.
    """
    with world(places, tmp_path) as made:
        made.keeper.sweep(made.now)
        made.take([dict(one) for one in CASES["client-shared"].fires])
        made.keeper.look(made.now)
        made.keeper.look(made.now)
        written = kept_findings.state_of(made.service.store).turn
        for _ in range(5):
            made.now += 100_000
            made.keeper.look(made.now)
        assert kept_findings.state_of(made.service.store).turn == written


def test_an_idle_look_is_one_check_of_the_store(places: Fresh, tmp_path: Path):
    """
    A keeper looks some thirty times a second, so an idle look must be cheap: at most one statement, for the positions.
    """
    with world(places, tmp_path) as made:
        made.take([dict(one) for one in CASES["client-shared"].fires])
        made.keeper.sweep(made.now)
        made.keeper.look(made.now)
        with statements(made.service.store) as asked:
            made.keeper.look(made.now)

        assert [] == [one for one in asked if "position" not in one]
        assert len(asked) <= 1


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """Record the statements that a store runs within the block."""
    asked: list[str] = []

    def note(*arguments: Any) -> None:
        asked.append(arguments[2])

    sa.event.listen(store.engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        sa.event.remove(store.engine, "before_cursor_execute", note)


def test_a_keeper_is_not_behind_once_another_thread_has_read_the_rest(
    places: Fresh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """
    A look that leaves something unread says so; after a sweep has read the rest, the next look, which finds nothing
    new, reports that nothing is left. Otherwise its thread would look again without a pause.
    """
    monkeypatch.setattr(live_index, "AT_ONCE", 1)
    with world(places, tmp_path) as made:
        made.keeper.sweep(made.now)
        made.take([dict(one) for one in CASES["client-shared"].fires])
        made.keeper.look(made.now)
        assert made.keeper.is_behind
        made.keeper.sweep(made.now)
        for _ in range(2):
            made.keeper.look(made.now)

        assert not made.keeper.is_behind


def test_no_partition_waits_until_another_is_read_to_its_end():
    """
    Each turn takes a share of every partition, at least one record of those that are behind, and in the end all.
    """
    known = {("decisions", 0): 100}
    ends = {("decisions", 0): 1_100, ("decisions", 1): 3_000, ("decisions", 2): 7, ("orders", 0): 1}
    first = live_index.shared_out(known, ends, 400)
    assert first == {("decisions", 0): 200, ("decisions", 1): 300, ("decisions", 2): 1, ("orders", 0): 1}
    turns = 1
    while first != ends:
        before, first = first, live_index.shared_out(first, ends, 400)
        assert all(before[place] <= first[place] <= ends[place] for place in ends)
        turns += 1
    assert turns <= 11
    assert live_index.shared_out(ends, ends, 400) == ends


def in_file(folder: Path) -> Fresh:
    @contextmanager
    def place() -> Iterator[str]:
        yield f"sqlite:///{folder}/store.db"

    return place


STOLEN = [
    granted("d1", AL, A, expires_at=moment(600)),
    issued("t1", actor=A, delegation="d1", expires_at=moment(600)),
    ordered("r1", "token:t1"),
    done("a1", at=11, token="t1", actor=A),
]


@pytest.mark.slow
def test_a_late_fact_resolves_a_finding(tmp_path: Path):
    """
    A token that nobody granted is reported at once; when its grant arrives, the finding is resolved and reported as
    such.
    """
    with world(in_file(tmp_path), tmp_path) as made:
        made.keeper.sweep(made.now)
        made.take([done("a1", actor=A, token="ghost")])
        made.keeper.look(made.now)
        [first] = [one for one in made.kept().values() if one["kind"] == "unattributed-action"]
        made.take([issued("ghost", actor=A)])
        made.keeper.look(made.now)

        changes = [
            one.change
            for one in kept_findings.versions(made.service.store, after=0, limit=99)
            if one.kept.id == first["id"]
        ]
        assert ["opened", "resolved"] == changes
        assert first["id"] not in made.kept()


@pytest.mark.slow
def test_pages_of_the_index_are_of_one_state(tmp_path: Path):
    """
    Changes while someone reads page by page move nothing from one page to another: each id occurs exactly once.
    """
    with world(in_file(tmp_path), tmp_path) as made:
        made.take(
            [one for kind in ("agent-ownerless", "credential-shared", "decision-mismatch") for one in CASES[kind].fires]
        )
        made.keeper.sweep(made.now)
        expected = list(made.kept())
        seen, after = [], None
        while True:
            page = findings(made.service, at=made.now, limit=2, after=after)
            seen += [one["id"] for one in page["items"]]
            assert len(expected) == page["total"]
            after = page["next"]
            if after is None:
                break
            made.take([{**one, "event_id": f"{one['event_id']} {len(seen)}"} for one in STOLEN])
            made.keeper.look(made.now)
            made.keeper.sweep(made.now)

        assert sorted(expected) == sorted(seen)
        assert len(expected) > 4


def test_the_list_from_the_index_equals_the_evaluated_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    The items, their order and the filters are the same; the answer says how current the index is.
    """
    with world(in_file(tmp_path), tmp_path) as made:
        made.take([*Honest(3).make(), *STOLEN, *CASES["credential-shared"].fires])
        until = made.now + 3_600_000_000
        [first, *_] = findings(made.service, at=made.now)["items"]
        judge(made.service, first["id"], "suppressed", by="human:ir", reason="a test", until=until)
        made.now += 1
        made.keeper.sweep(made.now)
        for filters in (
            FindingFilter(),
            FindingFilter(of="token:t1"),
            FindingFilter(severities=("critical", "medium")),
            FindingFilter(kinds=("credential-shared", "used-after-revocation")),
            FindingFilter(since=parse_instant(moment(10))),
            FindingFilter(statuses=("new",)),
        ):
            kept = findings(made.service, at=made.now, filters=filters)
            worked_out = findings(made.service, at=made.now, filters=filters, options=made.service.options)

            assert "kept" in kept
            assert worked_out["items"] == kept["items"]
            assert worked_out["total"] == kept["total"]
            assert worked_out["not_evaluated"] == kept["not_evaluated"]
            assert worked_out["as_of"] == kept["as_of"]
            assert worked_out["by_severity"] == kept["by_severity"]
            assert worked_out["suppressed"] == kept["suppressed"]


def test_gates_and_exports_read_the_index_only_where_it_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    Ids and lines equal the evaluated ones; if the index is behind, or with ``fresh``, everything is evaluated.
    """
    with world(in_file(tmp_path), tmp_path) as made:
        made.take([*Honest(3).make(), *STOLEN, *CASES["credential-shared"].fires])
        until = made.now + 3_600_000_000
        [first, *_] = findings(made.service, at=made.now)["items"]
        judge(made.service, first["id"], "suppressed", by="human:ir", reason="a test", until=until)
        made.keeper.sweep(made.now)
        monkeypatch.setattr(kept_list, "_AT_ONCE", 2)
        monkeypatch.setattr(found_by, "_CHAINS", 2)
        worked_out = [
            gate(made.service, at=made.now, fresh=True),
            *(exported(made.service, form, at=made.now, fresh=True) for form in ("jsonl", "csv", "sarif", "ocsf")),
        ]
        with monkeypatch.context() as patched:
            patched.setattr(found_by, "survey", None)
            read = [
                gate(made.service, at=made.now),
                *(exported(made.service, form, at=made.now) for form in ("jsonl", "csv", "sarif", "ocsf")),
            ]
        assert worked_out == read
        assert first["id"] not in {one.id for one in worked_out[0]}

        monkeypatch.setattr(kept_list, "COMPUTED", 3)
        made.take([done("a9", at=12, token="t1", actor=A)])
        assert gate(made.service, at=made.now) == gate(made.service, at=made.now, fresh=True) != worked_out[0]
        assert exported(made.service, "jsonl", at=made.now) != worked_out[1]


EXEMPTED = Exempted(
    rule="tainted-use",
    principal=A,
    reason="known",
    by="human:ir@example.com",
    until=parse_instant(moment(600)),
)


def test_the_posture_from_the_index_equals_the_evaluated_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    The checks have the same counts, examples and suppressions (by a person, and by an exception whose pattern only the
    cited facts can answer), without an evaluation. In a large store an index that is behind says so.
    """
    options = Options(exempted=(EXEMPTED,))
    with world(in_file(tmp_path), tmp_path, options) as made:
        made.take([*Honest(3).make(), *STOLEN, *CASES["credential-shared"].fires])
        until = made.now + 3_600_000_000
        [first, *_] = findings(made.service, at=made.now, filters=FindingFilter(kinds=("credential-shared",)))["items"]
        judge(made.service, first["id"], "suppressed", by="human:ir", reason="a test", until=until)
        made.now += 1
        made.keeper.sweep(made.now)
        worked_out = [posture(made.service, at=made.now, framework=name, fresh=True) for name in (None, "NHI")]
        with monkeypatch.context() as patched:
            patched.setattr(posture_module, "survey", None)
            read = [posture(made.service, at=made.now, framework=name) for name in (None, "NHI")]
        assert worked_out == [{name: value for name, value in one.items() if name != "kept"} for one in read]
        assert 0 == read[0]["kept"]["not_looked_at"]
        by = {one["kind"]: one["suppressed_by"] for one in read[0]["items"] if one["suppressed_by"]}
        assert {"tainted-use": ["known"], "credential-shared": ["a test"]} == {
            kind: [one["reason"] for one in decided] for kind, decided in by.items()
        }

        made.take([done("a9", at=12, token="t1", actor=A)])
        assert "kept" not in posture(made.service, at=made.now)
        monkeypatch.setattr(kept_list, "COMPUTED", 3)
        assert 1 == posture(made.service, at=made.now)["kept"]["not_looked_at"]


def test_a_finding_of_a_large_store_is_read_from_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    It has the same evidence and causes as if evaluated, and is judged as quickly; what is not looked up is named. A
    resolved finding stays readable, and cannot be judged.
    """
    with world(in_file(tmp_path), tmp_path) as made:
        made.take([*Honest(3).make(), *STOLEN, *CASES["credential-shared"].fires])
        made.keeper.sweep(made.now)
        ids = [one["id"] for one in findings(made.service, at=made.now)["items"]]
        worked_out = [one_finding.finding(made.service, id_, at=made.now) for id_ in ids]
        monkeypatch.setattr(kept_list, "COMPUTED", 3)
        monkeypatch.setattr(one_finding, "survey", None)
        read = [one_finding.finding(made.service, id_, at=made.now) for id_ in ids]
        apart = {"consequences", "related"}

        assert len(ids) > 5
        for one, other in zip(worked_out, read, strict=True):
            assert one is not None
            assert other is not None
            assert {**one, **dict.fromkeys(apart)} == {**other, **dict.fromkeys(apart)}
            assert other["consequences"] == {"items": [], "total": None, "complete": False}
        assert one_finding.finding(made.service, "F-00000000000000000000", at=made.now) is None

        until = made.now + 3_600_000_000
        judged = judge(made.service, ids[0], "suppressed", by="human:ir", reason="a test", until=until)
        made.now += 1
        shown = one_finding.finding(made.service, ids[0], at=made.now)
        assert judged is not None
        assert shown is not None
        assert ("suppressed", "suppressed") == (judged["status"], shown["status"])
        assert "a test" == shown["judgement"]["reason"]
        assert judge(made.service, "F-0", "acknowledged", by="human:ir", reason="x") is None


@pytest.mark.slow
def test_stored_sentences_keep_their_tags(places: Fresh, tmp_path: Path):
    """
    A sentence read from the index has the tags with which it was written. The tags are not part of the document, so an
    index stored without them by an earlier version answers as before, with plain sentences, and is not rewritten.
    """
    with world(places, tmp_path) as made:
        made.take([*STOLEN, *CASES["credential-shared"].fires])
        made.keeper.sweep(made.now)
        store, kept = made.service.store, made.kept()

        assert len(kept) > 2
        assert tags_of(made.computed()) == tags_of(kept)
        assert all(tags_of(kept).values())
        assert not any("why_tags" in document for document in kept.values())

        without_tags(store)
        plain = made.kept()
        before = kept_findings.state_of(store).seq
        made.keeper.sweep(made.now)

        assert kept == plain
        assert not any(tags_of(plain).values())
        assert before == kept_findings.state_of(store).seq
        assert [] == list(index_differences(store, None, DEFAULT))


def tags_of(documents: dict[str, Any]) -> dict[str, Any]:
    """Return the tags in the sentences of findings, by finding."""
    return {id_: getattr(one["why"], "tags", ()) for id_, one in documents.items()}


def without_tags(store: Store) -> None:
    """Store the findings as earlier versions did."""
    table = kept_findings.finding
    with store.engine.begin() as connection:
        for seq, stored in connection.execute(sa.select(table.c.seq, table.c.document)).all():
            document = json.loads(zlib.decompress(stored))
            del document["why_tags"]
            packed = zlib.compress(json.dumps(document, ensure_ascii=False).encode())
            connection.execute(table.update().where(table.c.seq == seq).values(document=packed))


def test_a_small_store_is_evaluated_unless_the_index_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    In a small store, facts that the index does not know yet are in the answer; in a large one the answer says what is
    not.
    """
    with world(in_file(tmp_path), tmp_path) as made:
        made.take(STOLEN[:3])
        made.keeper.sweep(made.now)
        made.take(STOLEN[3:])

        assert "used-after-revocation" in {one["kind"] for one in findings(made.service, at=made.now)["items"]}
        monkeypatch.setattr(kept_list, "COMPUTED", 3)
        behind = findings(made.service, at=made.now)
        assert "used-after-revocation" not in {one["kind"] for one in behind["items"]}
        assert (1, 1) == (behind["as_of"]["behind"], behind["kept"]["not_looked_at"])
        made.keeper.look(made.now)
        looked = findings(made.service, at=made.now)
        assert "used-after-revocation" in {one["kind"] for one in looked["items"]}
        assert (0, 0) == (looked["as_of"]["behind"], looked["kept"]["not_looked_at"])


def test_other_settings_invalidate_the_index(tmp_path: Path):
    """
    An index kept under other settings answers nothing, and is evaluated again at once.
    """
    with world(in_file(tmp_path), tmp_path) as made:
        made.take(STOLEN)
        made.keeper.sweep(made.now)
        assert "kept" in findings(made.service, at=made.now)
        made.service.options = Options(leeway=0)
        assert "kept" not in findings(made.service, at=made.now)

        assert FindingKeeper(made.service.store, None, Options(leeway=0)).is_due()


def test_rules_of_another_version_make_the_index_of_no_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    An index that an earlier release kept answers nothing, and is evaluated again by the rules of this one.
    """
    with world(in_file(tmp_path), tmp_path) as made, monkeypatch.context() as earlier:
        earlier.setattr(finding_basis, "rules_version", lambda: "earlier")
        made.take(STOLEN)
        made.keeper.sweep(made.now)
        assert "kept" in findings(made.service, at=made.now)
        earlier.undo()
        assert "kept" not in findings(made.service, at=made.now)

        keeper = FindingKeeper(made.service.store, None, DEFAULT)
        assert keeper.is_due()
        keeper.sweep(made.now)
        assert "kept" in findings(made.service, at=made.now)


@pytest.mark.parametrize("change", ["edited", "moved", "added"])
def test_a_change_of_the_code_is_another_version_of_the_rules(tmp_path: Path, change: str):
    """
    Whatever is changed in the rules, no release has to remember to say so.
    """
    folders = [tmp_path / "core" / package for package in ("findings", "model")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "one.py").write_text("A = 1\n", encoding="utf-8")
    before = finding_basis.digest_of_code(folders)
    assert before == finding_basis.digest_of_code(folders)
    match change:
        case "edited":
            (folders[1] / "one.py").write_text("A = 2\n", encoding="utf-8")
        case "moved":
            (folders[0] / "one.py").rename(folders[0] / "two.py")
        case "added":
            (folders[0] / "rules").mkdir()
            (folders[0] / "rules" / "one.py").write_text("", encoding="utf-8")

    assert before != finding_basis.digest_of_code(folders)


def test_the_version_is_that_of_all_rules():
    """
    The code of every rule, and of what it is given, is part of the version.
    """
    folders = [folder for package in finding_basis.PACKAGES for folder in package.__path__]
    code = {Path(str(sys.modules[rule.check.__module__].__file__)) for rule in RULES.values()}
    code |= {Path(str(sys.modules[made.__module__].__file__)) for made in (Fact, Scene, State, Closure)}

    assert set() == {file for file in code if not any(file.is_relative_to(folder) for folder in folders)}


def keep_in_memory(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let keepers move all but some elements, decisions and actions to a file."""
    monkeypatch.setitem(LiveFindings.__init__.__kwdefaults__, "inside", most)


def test_what_moves_to_a_file_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    The file is in the folder of the store, and has no name there, so nothing is left of it when the keeper is killed.
    """
    keep_in_memory(0, monkeypatch)
    with world(lambda: nullcontext(f"sqlite:///{tmp_path}/store.db"), tmp_path) as made:
        made.take(STOLEN)
        before = sorted(tmp_path.iterdir())
        opened = open_files()
        made.keeper.sweep(made.now)

        scratch = [file for file in open_files() if file not in opened and file.startswith(f"{tmp_path}/")]
        assert [file.endswith(" (deleted)") or "/#" in file for file in scratch] == [True]
        assert sorted(tmp_path.iterdir()) == before
        assert made.computed() == made.kept()


def open_files() -> list[str]:
    """Return the files that this process has open."""
    return [str(file.readlink()) for file in Path("/proc/self/fd").iterdir() if file.is_symlink()]


@pytest.mark.parametrize("fault", ["full", "lost", "damaged"])
def test_the_index_is_exact_whatever_happens_to_the_file(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """
    If the disk is full, memory is used; if the file cannot be read, the keeper says so and reads all facts again.
    """
    keep_in_memory(0, monkeypatch)
    monkeypatch.setattr(movable, "_IN_BLOCK", 1)
    monkeypatch.setattr(movable, "_DECODED", 0)
    with world(lambda: nullcontext(f"sqlite:///{tmp_path}/store.db"), tmp_path) as made:
        made.take(STOLEN[:-1])
        made.keeper.sweep(made.now)
        again = [{**one, "event_id": f"again-{number}"} for number, one in enumerate(STOLEN[:-1])]
        made.take([*again, STOLEN[-1]])
        if fault == "full":
            with monkeypatch.context() as during:
                during.setattr(os, "pwrite", no_space)
                made.keeper.look(made.now)
            assert "No space left on device" in caplog.text
        else:
            with monkeypatch.context() as during:
                during.setattr(os, "pread", lambda _, size, __: bytes(size if fault == "damaged" else 0))
                with pytest.raises(UnavailableError, match="all facts are read"):
                    made.keeper.look(made.now)
            assert made.keeper.is_due()
            made.keeper.sweep(made.now)
        made.keeper.look(made.now + 3_000_000)
        made.now += 3_000_000
        made.keeper.look(made.now)
        assert made.computed() == made.kept()


def no_space(*_: object) -> int:
    """Fail as a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.slow
def test_several_keepers_of_one_index_agree(places: Fresh, tmp_path: Path):
    """
    A result evaluated from an older state of the index is not written; each finding has one latest version.
    """
    with world(places, tmp_path) as made:
        other = FindingKeeper(made.service.store, None, DEFAULT)
        made.keeper.sweep(made.now)
        for event in STOLEN:
            made.take([event])
            made.keeper.look(made.now)
            other.look(made.now)
            other.sweep(made.now)

        opened = [
            one for one in kept_findings.versions(made.service.store, after=0, limit=999) if one.change == "opened"
        ]
        assert len({one.kept.id for one in opened}) == len(opened)
        made.keeper.sweep(made.now)
        assert made.computed() == made.kept()


@pytest.mark.slow
def test_the_command_keeps_an_index_that_fsck_compares(desk: Desk):
    """
    After ``findings keep --once`` the list comes from the index; ``fsck`` finds changes made to it by hand, and
    ``rebuild`` creates it again.
    """
    desk.take(*STOLEN)
    worked_out = desk.one("findings")
    total = worked_out["total"]
    assert {"written": total, "findings": total} == desk.one("findings", "keep", "--once")
    kept = desk.one("findings")
    assert "kept" not in worked_out
    assert 0 == kept["kept"]["not_looked_at"]
    assert worked_out["items"] == kept["items"]
    assert desk.one("fsck")["ok"]
    desk.sql("DELETE FROM finding WHERE kind = 'tainted-use'", "UPDATE finding SET digest = 7 WHERE kind = 'late-fact'")

    found = desk.one("fsck", exit=6)["differences"]
    assert sum(one["kind"] in ("tainted-use", "late-fact") for one in worked_out["items"]) == len(found)
    assert all(one.startswith("findings: F-") for one in found)
    desk.run("rebuild")
    assert desk.one("fsck")["ok"]
    assert total == desk.one("findings")["total"]


def test_too_many_facts_are_evaluated_only_on_request(desk: Desk):
    """
    An evaluation that would exhaust the memory is refused, and the refusal says how to allow it.
    """
    desk.take(*STOLEN)

    text = desk.run("findings", "keep", "--once", "--most", "3", exit=2).stderr
    assert "say --most 4" in text
    desk.run("findings", "keep", "--once", "--most", "4")
