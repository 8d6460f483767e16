"""The content of a case, by examples and by properties: it is a function of the set of its changes."""

import random

from hypothesis import given
from hypothesis import strategies as st

from lineage.core.cases.case import Case, case_of
from lineage.core.model.events import CaseChanged, CaseItem, Event, Fact

TOKEN, ACTION = CaseItem("token", "t1"), CaseItem("action", "a1")
ITEMS = (TOKEN, ACTION, CaseItem("actions", "agent=agent%3Aq"))
PEOPLE = ("human:ann", "human:ben")


def changed(number: int, change: str, *, at: int | None = None, by: str = "human:ann", **more: object) -> Fact:
    """Build a change of the case c1, given at some time."""
    moment = number if at is None else at
    body = CaseChanged("c1", change, by, **more)  # type: ignore[arg-type]
    return Fact(Event(f"e{number}", "urn:ir", moment, body), moment)


def found(*facts: Fact) -> Case:
    """Return the case c1."""
    case = case_of("c1", facts)
    assert case is not None
    return case


def test_no_changes_make_no_case():
    """Facts about another case, or none, make no case."""
    other = Fact(Event("e", "urn:ir", 1, CaseChanged("c2", "opened", "human:ann")), 1)

    assert case_of("c1", []) is None
    assert case_of("c1", [other]) is None


def test_a_case_is_opened_with_a_title_an_assignee_and_items():
    """All of it in one change, so that nothing is incomplete."""
    case = found(changed(1, "opened", title="Leak", assignee="human:ben", items=(TOKEN, ACTION)))

    assert ("Leak", "open", "human:ben") == (case.title, case.status, case.assignee)
    assert [TOKEN, ACTION] == [one.item for one in case.items]


def test_an_item_added_twice_belongs_to_the_first_change():
    """It is contained once."""
    case = found(changed(1, "opened"), changed(2, "added", items=(TOKEN,)), changed(3, "added", items=(TOKEN, ACTION)))

    assert [(TOKEN, 2), (ACTION, 3)] == [(one.item, one.added.fact.recorded_at) for one in case.items]


def test_a_removed_item_can_be_added_again():
    """The last change of the item counts, by when it was given."""
    added, removed = changed(1, "added", items=(TOKEN,)), changed(2, "removed", items=(TOKEN,))
    again = changed(3, "added", items=(TOKEN,))

    assert not found(added, removed).contains(TOKEN)
    assert found(again, removed, added).contains(TOKEN)


def test_a_case_is_closed_and_reopened():
    """Closing hides nothing, and items added later are contained."""
    opened, closed = changed(1, "opened"), changed(2, "closed", note="false alarm")
    added, reopened = changed(3, "added", items=(TOKEN,)), changed(4, "reopened")

    assert "closed" == found(opened, closed, added).status
    assert found(opened, closed, added).contains(TOKEN)
    assert "open" == found(opened, closed, added, reopened).status
    assert ["false alarm"] == [note.body.note for note in found(opened, closed).notes]


def test_a_case_can_be_unassigned():
    """An assignment without an assignee ends the previous one; a second opening without one does not."""
    opened, again = changed(1, "opened", assignee="human:ben"), changed(2, "opened", title="Second")

    assert "human:ben" == found(opened, again).assignee
    assert found(opened, again, changed(3, "assigned")).assignee is None
    assert found(opened, again).title is None  # the first change that opens a case defines its title


def test_a_change_from_a_fast_clock_does_not_stay_the_last():
    """A change counts from the earlier of the two clocks."""
    fast = Fact(Event("e9", "urn:ir", 1_000, CaseChanged("c1", "closed", "human:ann")), 2)

    assert "open" == found(changed(1, "opened"), fast, changed(3, "reopened")).status


CHANGES = st.builds(
    changed,
    st.integers(1, 30),
    st.sampled_from(["opened", "added", "removed", "noted", "assigned", "closed", "reopened"]),
    at=st.integers(1, 5),
    by=st.sampled_from(PEOPLE),
    items=st.lists(st.sampled_from(ITEMS), max_size=3).map(tuple),
    title=st.none() | st.just("Leak"),
    assignee=st.none() | st.sampled_from(PEOPLE),
    note=st.none() | st.just("seen"),
)


@given(st.lists(CHANGES, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(facts: list[Fact], rng: random.Random):
    """A case is a function of the set of its changes."""
    other = [*facts, *rng.choices(facts, k=3)]
    rng.shuffle(other)

    assert case_of("c1", facts) == case_of("c1", other)


@given(st.lists(CHANGES, min_size=1, max_size=12))
def test_no_change_is_lost(facts: list[Fact]):
    """Each content is in the history once; every item was added by a change that is in it."""
    case = found(*facts)

    assert {fact.event for fact in facts} == {change.fact.event for change in case.changes}
    assert len(case.changes) == len({fact.event for fact in facts})
    for one in case.items:
        assert one.added in case.changes
        assert one.item in one.added.body.items


@given(st.lists(CHANGES, min_size=2, max_size=8, unique_by=lambda fact: fact.event.event_id))
def test_another_set_of_changes_is_another_version(facts: list[Fact]):
    """A version distinguishes two states of a case even if they look the same."""
    assert found(*facts).version != found(*facts[1:]).version
