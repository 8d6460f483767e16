"""The question cache: its answers equal those of a store that was just read, whatever happened in between."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from ingest.codec import api as codec
from ingest.trust_file import Trust
from lineage.core.model.errors import UnavailableError, WouldBlockError
from lineage.core.model.keys import ELEMENT_KINDS
from lineage.serve.cache import question_cache as keeping
from lineage.serve.cache.loader import Answer, Question, WorldPart
from lineage.serve.cache.question_cache import QuestionCache
from lineage.serve.queries.service import Service
from lineage.store.store import open_store
from tests.support import compare, stores, worlds
from tests.support.desk import Desk, day, derived, done, granted, ordered, raw_event, registered, token
from tests.support.http_worlds import api_over
from tests.support.kept_questions import AT, counted, in_order, keeping_at, service_of
from tests.support.store_histories import SEEDS, a_store, next_records, records_of, write


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def asked(
    service: Service, things: list[tuple[str, str]], actions: list[str], at: int
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Return every answer about some things; a non-blocking service gives only the cached ones."""
    for kind, id_ in things:
        with suppress(WouldBlockError):
            yield ("status", kind, id_, at), service.status(kind, id_, at=at)
        if kind in ELEMENT_KINDS:
            with suppress(WouldBlockError):
                yield ("chain", kind, id_, at), service.chain(kind, id_, at=at)
    for action in actions:
        with suppress(WouldBlockError):
            yield ("who", action, at), service.who(action, at=at)


@pytest.mark.slow
@settings(max_examples=10)
@given(seed=SEEDS)
def test_cached_answers_equal_those_of_a_fresh_read(fresh: stores.Fresh, seed: int):
    """
    After each batch, at any moment, every answer equals that of a fresh read: entries that might have changed were
    dropped.
    """
    rng = random.Random(seed)
    items = worlds.world(rng)
    trust = Trust(table=compare.table_of(worlds.trust(rng))) if rng.random() < 0.2 else None
    with a_store(fresh) as (store, url):
        kept = service_of(store, keeps=True, trust=trust)
        other = open_store(url, codec.read)  # as another process would
        rest = records_of(items, rng)
        things, actions = worlds.questions(items), worlds.actions(items)
        some = rng.sample(things, min(len(things), 12)), rng.sample(actions, min(len(actions), 6))
        while rest:
            size = rng.randint(1, max(len(items) // 2, 1))
            batch, rest = rest[:size], rest[size:]
            write(rng.choice([store, other]), batch)
            uncached = service_of(other, keeps=False, trust=trust)
            moment = rng.choice(worlds.grid)
            for at in (moment, moment + rng.choice([-1, 1])):
                expected = dict(asked(uncached, *some, at))
                assert expected == dict(asked(kept, *some, at))
                non_blocking = dict(asked(kept.non_blocking() or kept, *some, at))
                assert {question: expected[question] for question in non_blocking} == non_blocking
        other.close()


@pytest.mark.slow
@settings(max_examples=10)
@given(seed=SEEDS)
def test_answers_cached_without_facts_equal_those_of_a_fresh_read(fresh: stores.Fresh, seed: int):
    """
    The limits are so low that answers are cached alone, or with a large part as long as there is room, evicted, and
    compared with changes that were forgotten since.

    Some things are asked about rarely, and findings in answers are judged.
    """
    rng = random.Random(seed)
    items = worlds.world(rng)
    things, actions = worlds.questions(items), worlds.actions(items)
    offsets = {"decisions": 0, "orders": 0}
    rest, found = rng.sample(items, len(items)), list[str]()
    with pytest.MonkeyPatch.context() as bounds, a_store(fresh) as (store, url):
        bounds.setattr(keeping, "SMALL", rng.choice([0, 10, 200]))
        bounds.setattr(keeping, "LARGE", rng.choice([0, 0, 20, 2_000]))
        bounds.setattr(keeping, "CHANGES", rng.choice([0, 5, 20, 200]))
        bounds.setattr(keeping, "KEPT", rng.choice([30, 150, 50_000]))
        other = open_store(url, codec.read)
        kept, uncached = service_of(store, keeps=True), service_of(other, keeps=False)
        while rest:
            size = rng.randint(1, 4)
            batch, rest = rest[:size], rest[size:]
            batch += [judged(rng.choice(found), rng, len(rest))] if found and rng.random() < 0.7 else []
            write(rng.choice([store, other]), next_records(batch, offsets))
            for _ in range(rng.randint(1, 3)):
                some = rng.sample(things, min(len(things), 3)), rng.sample(actions, min(len(actions), 3))
                at = rng.choice(worlds.grid) + rng.choice([-1, 0, 0, 1])
                expected = dict(asked(uncached, *some, at))
                assert expected == dict(asked(kept, *some, at))
                non_blocking = dict(asked(kept.non_blocking() or kept, *some, at))
                assert {question: expected[question] for question in non_blocking} == non_blocking
                found += [one["id"] for answer in expected.values() if answer for one in answer["findings"]]
        other.close()


def judged(finding: str, rng: random.Random, number: int) -> dict[str, Any]:
    """Build a person's judgement of a finding."""
    judgement = {"finding": finding, "judgement": rng.choice(["acknowledged", "suppressed"]), "by": "human:judge"}
    until = {"until": worlds.written(rng, rng.choice(worlds.grid))} if rng.random() < 0.3 else {}
    recorded_at = rng.choice(worlds.grid)
    common = {"event_id": f"judged-{number}", "source": "urn:ir", "occurred_at": worlds.written(rng, recorded_at)}
    event = {"type": "finding.judged", **common, **judgement, "reason": "seen", **until}
    return {"event": event, "recorded_at": recorded_at, "via": "orders"}


def state(service: Service, of: str, when: str = "12:30") -> str:
    kind, _, id_ = of.partition(":")
    document = service.status(kind, id_, at=worlds.moment_of(day(when)))
    assert document is not None
    return str(document["state"])


def test_a_repeated_question_runs_no_statement(desk: Desk):
    """
    The second answer about a token runs no statement and does not block, whichever moment it is about.
    """
    desk.take(token("t1"), derived("t2", "t1", "subject"))
    with keeping_at(desk) as (store, service):
        states = [state(service, "token:t2")]
        with counted(store) as result:
            states += [state(service, "token:t2", when) for when in ("08:00", "12:30")]
            non_blocking = service.non_blocking()
            assert non_blocking is not None
            states.append(state(non_blocking, "token:t2"))

        assert (["active", "not_yet_valid", "active", "active"], []) == (states, result)


def test_a_large_answer_is_cached_without_its_facts(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """
    The second answer between the same two times of facts runs no statement; for another time the facts are read again.
    """
    monkeypatch.setattr(keeping, "SMALL", 3)
    desk.take(token("t1"), derived("t2", "t1"))
    with keeping_at(desk) as (store, service):
        states = [state(service, "token:t2")]
        with counted(store) as same:
            states.append(state(service, "token:t2", "12:31"))
            states.append(state(service.non_blocking() or service, "token:t2"))
        with counted(store) as other:
            states.append(state(service, "token:t2", "08:00"))

        assert (["active", "active", "active", "not_yet_valid"], [], True) == (states, same, bool(other))


def test_a_part_that_takes_long_to_load_answers_at_other_times(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """
    Another time runs no statement, but is not evaluated on the event loop; an order counts at once.
    """
    monkeypatch.setattr(keeping, "SMALL", 0)
    monkeypatch.setattr(keeping, "LARGE", 0)
    desk.take(token("t1"), derived("t2", "t1"))
    with keeping_at(desk) as (store, service):
        states = [state(service, "token:t2")]
        non_blocking = service.non_blocking()
        assert non_blocking is not None
        with counted(store) as asked:
            with pytest.raises(WouldBlockError):
                state(non_blocking, "token:t2", "08:00")
            states += [state(service, "token:t2", when) for when in ("08:00", "12:30", "08:00")]
            states.append(state(non_blocking, "token:t2", "08:00"))
        desk.take(ordered("rev", "token", "t1", "09:30"))
        states += [state(service, "token:t2", when) for when in ("12:30", "08:00")]

        assert ["active", "not_yet_valid", "active", "not_yet_valid", "not_yet_valid"] == states[:5]
        assert (["cascaded", "not_yet_valid"], []) == (states[5:], asked)


def test_a_large_part_takes_no_room_from_answers(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """
    If there is no room, the part that was loaded first is dropped, and its answer stays.
    """
    monkeypatch.setattr(keeping, "SMALL", 0)
    monkeypatch.setattr(keeping, "LARGE", 0)
    desk.take(*(token(f"t{number}") for number in range(6)))
    with keeping_at(desk) as (store, service):
        state(service, "token:t0")
        cache = service.worlds
        assert isinstance(cache, QuestionCache)
        monkeypatch.setattr(keeping, "KEPT", 3 * cache._size)
        for number in range(1, 6):
            state(service, f"token:t{number}")
        with counted(store) as answered:
            for number in range(6):
                state(service, f"token:t{number}")
        with counted(store) as latest:
            state(service, "token:t5", "08:00")
        with counted(store) as first:
            state(service, "token:t0", "08:00")

        assert ([], [], True) == (answered, latest, bool(first))
        assert cache._size == sum(kept.size for kept in cache._kept.values()) <= keeping.KEPT


def test_a_check_in_progress_delays_no_cached_answer(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """
    While one thread waits for a check of the store, a caller that knows the store's version gets a cached answer.
    """
    desk.take(token("t1"))
    with keeping_at(desk) as (store, service):
        version = store.change_token()
        first = state(service, "token:t1")
        begun, finished = threading.Event(), threading.Event()

        def slow() -> object:
            begun.set()
            assert finished.wait(60)
            return version

        monkeypatch.setattr(store, "change_token", slow)
        waiting = threading.Thread(target=state, args=(service, "token:t1"))
        waiting.start()
        assert begun.wait(60)
        try:
            non_blocking = service.non_blocking(version)
            assert non_blocking is not None
            second = state(non_blocking, "token:t1")
        finally:
            finished.set()
            waiting.join()

        assert ("active", "active") == (first, second)


def test_facts_of_another_process_count_at_once(desk: Desk):
    """
    An order on the client of a distant parent is in every answer as soon as it is projected, by whichever process.
    """
    desk.take(token("t1", client="urn:idp#app"), derived("t2", "t1"), derived("t3", "t2"), token("other"))
    with keeping_at(desk) as (_, service):
        before = [state(service, of) for of in ("token:t3", "token:other")]
        desk.take(ordered("rev", "client", "urn:idp#app"))
        non_blocking = service.non_blocking()
        assert non_blocking is not None
        with pytest.raises(WouldBlockError):
            state(non_blocking, "token:t3")

        assert ["active", "active"] == before
        assert ["cascaded", "active"] == [state(service, of) for of in ("token:t3", "token:other")]


def test_unrelated_facts_keep_a_cached_answer(desk: Desk):
    """
    A token that names the same people and depends on the same parent does not affect its sibling, which stays cached.
    """
    desk.take(token("t1"), derived("t2", "t1"))
    with keeping_at(desk) as (store, service):
        state(service, "token:t2")
        desk.take(derived("t3", "t1"), token("t4"))
        state(service, "token:t4")  # ingests what came
        with counted(store) as result:
            kept = state(service, "token:t2")

        assert ("active", []) == (kept, result)


def test_a_duplicate_that_was_recorded_first_counts(fresh: stores.Fresh):
    """
    With several partitions a duplicate may have been recorded first: answers as known then use its time.
    """
    events = [token("t1"), ordered("rev", "token", "t1", "09:30"), done("a1", "10:00", token="t1")]
    moments = [day("09:00"), day("10:30"), day("11:00"), day("10:10")]  # the last is the action's duplicate
    vias = ["decisions", "orders", "decisions", "decisions"]
    items = [
        {"event": event, "via": via, "recorded_at": worlds.moment_of(moment)}
        for event, via, moment in zip([*events, events[-1]], vias, moments, strict=True)
    ]
    with a_store(fresh) as (store, _):
        service = service_of(store, keeps=True)
        records = in_order(items)
        lines = []
        for batch in (records[:3], records[3:]):
            write(store, batch)
            document = service.who("a1", at=AT)
            assert document is not None
            lines.append(document["authority"]["then_as_known_then"]["state"])

    assert ["revoked", "active"] == lines


BOT, BOT_ALIAS, SUB = "agent:bot", "agent:bot-v1", "agent:sub"
BY_DOCUMENT = {"instruction_source": "document", "expires_at": day("18:00")}
# What is recorded after a delegation at 09:00 because of a document; the last makes it the second of its pair.
EARLIER = {
    "an earlier delegation": [granted("d0", "human:alice", BOT, "08:00")],
    "an alias, then an earlier delegation to it": [
        registered(BOT, "agent", aliases=[BOT_ALIAS]),
        granted("d0", "human:alice", BOT_ALIAS, "08:00"),
    ],
    "an earlier delegation, then the alias": [
        granted("d0", "human:alice", BOT_ALIAS, "08:00"),
        registered(BOT, "agent", aliases=[BOT_ALIAS]),
    ],
    "an earlier delegation by another id of the delegator": [
        granted("d0", "okta|alice", BOT, "08:00"),
        registered("human:alice", "human", aliases=["okta|alice"]),
    ],
    "aliases of an alias": [
        registered(BOT, "agent", aliases=["okta|bot"]),
        registered("okta|bot", "agent", aliases=[BOT_ALIAS]),
        granted("d0", "human:alice", BOT_ALIAS, "08:00"),
    ],
}


@pytest.mark.parametrize("facts", EARLIER.values(), ids=EARLIER)
def test_an_earlier_delegation_counts_in_every_cached_answer(desk: Desk, facts: list[dict[str, Any]]):
    """
    Whether a delegation is the first of its pair is the same in each cached answer as in the list, after each fact.
    """
    kind = "delegation-from-untrusted-instruction"
    desk.take(
        granted("d1", "human:alice", BOT, **BY_DOCUMENT),
        granted("d2", BOT, SUB, parents=["d1"], expires_at=day("18:00")),
        token("t1", actor=SUB, delegation="d2", expires_at=day("18:00")),
        done("a1", "09:30", token="t1", actor=SUB),
    )
    severities = []
    with keeping_at(desk) as (_, service):
        for fact in [None, *facts]:
            desk.take(*([] if fact is None else [fact]))
            listed = [(one["severity"], one["why"]) for one in desk.one("findings", "--kind", kind)["items"]]
            severities.append(listed[0][0])
            answers = {
                "status of it": service.status("delegation", "d1", at=AT),
                "status of a token": service.status("token", "t1", at=AT),
                "chain": service.chain("token", "t1", at=AT),
                "who": service.who("a1", at=AT),
                **{f"status of {id_}": service.status("principal", id_, at=AT) for id_ in (BOT, "human:alice")},
            }
            for question, answer in answers.items():
                assert answer is not None
                found = [(one["severity"], one["why"]) for one in answer["findings"] if one["kind"] == kind]
                assert (question, listed) == (question, found)

    assert ["high"] * len(facts) + ["informational"] == severities


@pytest.mark.parametrize("permitted", [True, False])
@pytest.mark.parametrize(
    "stated", [{}, {"outcome": "failed"}, {"actor": "agent:sub"}], ids=["least", "failed", "actor"]
)
def test_an_action_that_names_only_a_decision_counts_in_every_cached_answer(
    desk: Desk, stated: dict[str, Any], permitted: bool
):
    """
    Its authority and its actor are those of the decision, so answers about these change, and those about the decision's
    other actions may.
    """
    decided = {"decision": "q1", "permitted": permitted, "operation": "mail.send"}
    desk.take(
        token("t1", actor=BOT),
        raw_event("decision.made", "decide", "09:40", "urn:gateway", **decided, actor=BOT, token="t1"),
        done("a1", "09:50", decision="q1", operation="mail.read"),
    )
    with keeping_at(desk) as (store, kept):
        questions: dict[str, Callable[[Service], Any]] = {
            "status of the token": lambda service: service.status("token", "t1", at=AT),
            "chain": lambda service: service.chain("token", "t1", at=AT),
            "status of the actor": lambda service: service.status("principal", BOT, at=AT),
            "status of the person": lambda service: service.status("principal", "human:alice", at=AT),
            "who": lambda service: service.who("a1", at=AT),
        }
        for question in questions.values():
            question(kept)
        desk.take(done("a2", "10:00", decision="q1", **stated))
        fresh = service_of(store, keeps=False)

        assert {name: ask(fresh) for name, ask in questions.items()} == {n: ask(kept) for n, ask in questions.items()}


def test_a_rebuilt_store_is_read_again(desk: Desk):
    """
    A rebuild, or a release from quarantine, adds facts outside the positions: nothing cached before it is used.
    """
    desk.take(token("t1"))
    with keeping_at(desk) as (store, service):
        state(service, "token:t1")
        desk.run("rebuild")
        with counted(store) as result:
            after = state(service, "token:t1")

        assert ("active", True) == (after, bool(result))


def test_a_briefly_locked_file_refuses_no_question(desk: Desk):
    """
    If the cheap check cannot tell whether anything changed, the store itself is asked, which waits; no question is
    refused.
    """
    desk.take(token("t1"))
    with keeping_at(desk) as (store, service):
        state(service, "token:t1")
        assert store.change_probe is not None
        store.change_probe.close()  # type: ignore[attr-defined]
        non_blocking = service.non_blocking()
        assert non_blocking is not None
        with pytest.raises(WouldBlockError):
            state(non_blocking, "token:t1")

        assert "active" == state(service, "token:t1")


def test_a_removed_file_is_not_created_again(desk: Desk):
    """
    If its file was removed, the store is unavailable, and the check does not create a new one.
    """
    desk.take(token("t1"))
    with keeping_at(desk) as (_, service):
        desk.file.unlink()
        with pytest.raises(UnavailableError):
            state(service, "token:t1")

        assert not desk.file.exists()


def test_the_size_of_the_cache_is_limited(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """
    The least recently used entry is dropped first, a too large one is never cached, and answers are the same.
    """
    monkeypatch.setattr(keeping, "KEPT", 40)
    desk.take(*(token(f"t{number}") for number in range(30)), derived("t30", "t29"))
    with keeping_at(desk) as (store, service):
        states = {state(service, f"token:t{number}") for number in range(31)}
        with counted(store) as recent:
            state(service, "token:t28")
        with counted(store) as old:
            state(service, "token:t0")

        assert ({"active"}, 0, True) == (states, len(recent), bool(old))


def cache_of(service: Service) -> QuestionCache:
    assert isinstance(service.worlds, QuestionCache)
    return service.worlds


def assert_everything_is_counted(cache: QuestionCache) -> None:
    """Compare what the cache counts with the keys, the documents and the large parts that it keeps."""
    taken = {}
    for key, kept in cache._kept.items():
        documents = sum(keeping._size(answer.document) for answer in kept.answers.values())
        alone = 1 + len(kept.keys) // keeping._HASHES + documents // keeping._OBJECTS
        is_large = kept._part is not None and not kept._is_small
        taken[key] = len(kept.keys) if kept._is_small else alone + (len(kept.keys) if is_large else 0)
        assert is_large == (key in cache._large)
    assert taken == {key: kept.size for key, kept in cache._kept.items()}
    assert sum(taken.values()) == cache._size <= keeping.KEPT


@pytest.mark.slow
@settings(max_examples=10)
@given(seed=SEEDS)
def test_what_is_kept_is_counted_after_each_question(fresh: stores.Fresh, seed: int):
    """
    After any sequence of facts, judgements and questions, some answered from a part, the cache takes what it counts,
    and no more than its limit; so too after it had to release parts, or drop answers.
    """
    rng = random.Random(seed)
    items = worlds.world(rng)
    things, actions = worlds.questions(items), worlds.actions(items)
    offsets = {"decisions": 0, "orders": 0}
    rest, found = rng.sample(items, len(items)), list[str]()
    with pytest.MonkeyPatch.context() as bounds, a_store(fresh) as (store, _):
        bounds.setattr(keeping, "SMALL", rng.choice([0, 0, 10]))
        bounds.setattr(keeping, "LARGE", rng.choice([0, 0, 20]))
        service = service_of(store, keeps=True)
        cache = cache_of(service)
        while rest:
            bounds.setattr(keeping, "KEPT", rng.choice([60, 150, 400, 50_000]))
            cache._shrink()
            size = rng.randint(1, max(len(items) // 3, 1))
            batch, rest = rest[:size], rest[size:]
            batch += [judged(rng.choice(found), rng, len(rest))] if found else []
            write(store, next_records(batch, offsets))
            some = rng.sample(things, min(len(things), 4)), rng.sample(actions, min(len(actions), 2))
            for at in rng.choices(worlds.grid, k=2):
                for _, answer in asked(service, *some, at):
                    found += [one["id"] for one in answer["findings"]] if answer else []
                    assert_everything_is_counted(cache)


def delegated(depth: int) -> list[dict[str, Any]]:
    """Build tokens, each exchanged from the one before by another agent."""
    children = range(1, depth)
    return [token("t0"), *(derived(f"t{one}", f"t{one - 1}", actor=f"agent:{one}") for one in children)]


@pytest.mark.parametrize("room", [1, 3, 20])
def test_many_deep_chains_stay_within_the_limit(desk: Desk, monkeypatch: pytest.MonkeyPatch, room: int):
    """
    The second question about a deep chain is answered from its part, and that answer counts as well, also once the
    part is released.
    """
    monkeypatch.setattr(keeping, "SMALL", 0)
    monkeypatch.setattr(keeping, "LARGE", 0)
    depth = 12
    desk.take(*delegated(2 * depth))
    with keeping_at(desk) as (_, service):
        cache = cache_of(service)
        service.status("token", f"t{depth}", at=AT)
        service.chain("token", f"t{depth}", at=AT)
        monkeypatch.setattr(keeping, "KEPT", room * 2 * cache._size)
        for number in range(depth, 2 * depth):
            service.status("token", f"t{number}", at=AT)
            service.chain("token", f"t{number}", at=AT)
            assert_everything_is_counted(cache)

        assert 0 < len(cache._kept)


def test_a_second_answer_that_takes_too_much_is_not_kept(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """
    The answers about one thing take at most half of the limit, also if the last of them was found in a large part.
    """
    monkeypatch.setattr(keeping, "SMALL", 0)
    monkeypatch.setattr(keeping, "LARGE", 0)
    desk.take(*delegated(12))
    with keeping_at(desk) as (_, service):
        cache = cache_of(service)
        service.status("token", "t11", at=AT)
        (kept,) = cache._kept.values()
        alone = kept.size - kept.part_size
        service.chain("token", "t11", at=AT)
        monkeypatch.setattr(keeping, "KEPT", int(1.5 * (kept.size - kept.part_size)))
        cache._drop("token:t11")
        service.status("token", "t11", at=AT)
        first = [one.size - one.part_size for one in cache._kept.values()]
        service.chain("token", "t11", at=AT)

        assert ([alone], [], 0) == (first, list(cache._kept), cache._size)


def test_a_judgement_counts_in_every_cached_answer(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """
    Answers that are cached alone share the judgements that were loaded for the first of them.
    """
    monkeypatch.setattr(keeping, "SMALL", 0)
    desk.take(token("t1", expires_at=day("10:00")), derived("t2", "t1", expires_at=day("11:00")))
    with keeping_at(desk) as (_, service):

        def statuses() -> set[str]:
            asked = service.status("token", "t2", at=AT), service.chain("token", "t2", at=AT)
            return {one["status"] for document in asked if document for one in document["findings"]}

        before = statuses()
        found = service.status("token", "t2", at=AT)
        assert found is not None
        word = {"judgement": "acknowledged", "by": "human:judge", "reason": "seen"}
        ids = [one["id"] for one in found["findings"]]
        desk.take(*(raw_event("finding.judged", f"judge {id_}", finding=id_, **word) for id_ in ids))

        assert ({"new"}, {"acknowledged"}) == (before, statuses())


@pytest.mark.parametrize("changes", [0, 50_000])
def test_an_answer_overtaken_by_an_order_is_not_cached(desk: Desk, monkeypatch: pytest.MonkeyPatch, changes: int):
    """
    An answer that was begun before an order is not cached, even if the order was already noted for another question.
    """
    monkeypatch.setattr(keeping, "CHANGES", changes)
    desk.take(token("t1"), token("t2"))
    store = open_store(desk.url, codec.read)
    cache = QuestionCache(store, None, None, log_inside=True)

    def ask(of: str, answer: Answer) -> str:
        found = cache.ask(Question("state", of, AT, answer), None)
        assert found is not None
        return str(found.document["state"])

    def slowly(_part: WorldPart) -> dict[str, Any]:
        desk.take(ordered("rev", "token", "t1"))
        ask("token:t2", lambda _: {"state": "active"})
        return {"state": "active"}

    states = [ask("token:t1", slowly), ask("token:t1", lambda _: {"state": "revoked"})]
    store.close()

    assert ["active", "revoked"] == states


@pytest.mark.parametrize(("depth", "is_kept"), [(8, True), (30, False)])
def test_one_deep_chain_may_take_half_of_the_cache(
    depth: int, is_kept: bool, desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    """
    The second answer about a deep chain runs no statement, unless it has more keys than half of the cache.
    """
    monkeypatch.setattr(keeping, "KEPT", 40)
    desk.take(token("t0"), *(derived(f"t{number}", f"t{number - 1}") for number in range(1, depth)))
    with keeping_at(desk) as (store, service):
        first = state(service, f"token:t{depth - 1}")
        with counted(store) as asked:
            again = state(service, f"token:t{depth - 1}")

        assert ("active", "active", is_kept) == (first, again, not asked)


def test_no_thread_gets_an_outdated_answer(desk: Desk):
    """
    While many threads ask, orders arrive: a question that begins after an order was projected reports the token as
    dead.
    """
    desk.take(*(token(f"t{number}") for number in range(20)))
    wrong: list[str] = []
    with keeping_at(desk) as (_, service):
        dead = 0
        done = threading.Event()

        def keep_asking() -> None:
            while not done.is_set():
                for number in range(20):
                    known = dead
                    if state(service, f"token:t{number}") == "active" and number < known:
                        wrong.append(f"t{number} at {known}")

        threads = [threading.Thread(target=keep_asking) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in range(20):
            desk.take(ordered(f"rev{number}", "token", f"t{number}"))
            dead = number + 1
        done.set()
        for thread in threads:
            thread.join()

    assert [] == wrong


# Over HTTP


def test_a_cached_answer_waits_for_no_worker(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """
    It does not wait for slow questions, and follows the same rules: roles, and one line in the access log.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, log_inside=True) as api:
        path = "/v1/who?action=mail-7"
        asking, producer = api.as_("investigator"), api.as_("producer")
        first = asking.get(path)
        producer.get(path)
        api.site.pools.questions.close()  # anyone who needs one from here on is refused
        caplog.clear()
        with caplog.at_level("INFO", "lineage.deliver.http.access_log.access"):
            second = asking.get(path)
        lines = [record for record in caplog.records if record.name.endswith("access")]

        assert (200, first.json()) == (second.status_code, second.json())
        assert [("mail-7", True)] == [(line.action[0], bool(line.caller)) for line in lines]
        assert 403 == producer.get(path).status_code
