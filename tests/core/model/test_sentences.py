"""Sentences tag the ids and times in them, and so do the sentences of every rule."""

import copy
import json
import pickle
import re
from collections.abc import Iterator
from functools import reduce
from operator import add

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage.core.findings.evaluation import evaluate
from lineage.core.model.events import Fact
from lineage.core.model.references import mentions, subject_of
from lineage.core.model.sentences import TIME, Sentence, keyed, listed, moment, sentence, thing
from lineage.core.model.times import parse_instant
from tests.support import finding_cases
from tests.support.finding_cases import CASES, Event
from tests.support.findings_views import facts_of, intake_of, options_of

IDS = st.text(min_size=1, max_size=8)
PARTS = st.lists(
    st.one_of(
        st.tuples(IDS, st.none()),
        st.builds(lambda id_: (id_, f"token:{id_}"), IDS),
        st.builds(lambda id_: (f"action:{id_}", f"action:{id_}"), IDS),
    ),
    max_size=6,
)
NO_ID = {"exception-expired"}  # its sentence repeats patterns of the settings
A_TIME = re.compile(r"\d{4}-\d\d-\d\dT")


def part(text: str, names: str | None) -> str:
    """Generate a part of a sentence, with or without a tag."""
    if names is None:
        return text
    return keyed(names) if text == names else thing(names.partition(":")[0], text)


@given(PARTS, st.text(alphabet="ab {", max_size=4))
def test_a_sentence_keeps_the_words_and_tags_of_its_parts(parts: list[tuple[str, str | None]], word: str):
    """
    However the parts are combined and whatever they contain, the words are those of the parts, and each tag stays with
    its part.
    """
    given_parts = [part(*each) for each in parts]
    words = "".join(text for text, _ in parts)
    template = "{}" * len(parts)

    for made in (sentence(template, *given_parts), listed(given_parts, ""), reduce(add, given_parts, Sentence(""))):
        assert words == made
        assert words == "".join(text for text, _ in made.pieces())
        assert [each for each in parts if each[1] is not None] == [
            each for each in made.pieces() if each[1] is not None
        ]
    around = word + sentence(template, *given_parts) + word
    assert word + words + word == around
    assert [names for _, names in parts if names is not None] == [names for _, names in around.pieces() if names]


def test_a_sentence_is_an_ordinary_string_elsewhere():
    """
    It equals its words and is written to JSON as a string; copies and pickles keep the tags.
    """
    made = sentence("{} ended at {}", keyed("token:t1"), moment(0))

    assert "token:t1 ended at 1970-01-01T00:00:00.000000Z" == made
    assert hash(str(made)) == hash(made)
    assert '"token:t1 ended at 1970-01-01T00:00:00.000000Z"' == json.dumps(made)
    assert ["token:t1", TIME] == [names for _, names in made.pieces() if names is not None]
    for again in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert made.tags == again.tags


def test_a_template_has_as_many_places_as_parts():
    """
    One part too many or too few is an error, not a sentence with a gap.
    """
    for parts in ((), ("a", "b")):
        with pytest.raises(ValueError, match="1 places"):
            sentence("{} ended", *parts)


def worlds(kind: str) -> Iterator[list[Event]]:
    """Return every world in which a rule finds something."""
    case = CASES[kind]
    yield case.fires
    yield from (world for world, _ in case.more)


def ids_of(facts: list[Fact]) -> set[str]:
    """Return every id that facts are about, mention, or were sent by, with and without its kind."""
    things = {subject_of(fact.event) for fact in facts}
    things |= {(kind, id_) for fact in facts for _, kind, id_ in mentions(fact.event)}
    things |= {("source", fact.event.source) for fact in facts}
    return {value for kind, id_ in things for value in (id_, f"{kind}:{id_}")}


@pytest.mark.parametrize("kind", sorted(CASES))
def test_the_sentence_of_every_rule_tags_each_id_and_time(kind: str):
    """
    The pieces add up to the sentence, and every id of a fact and every time in it has the right tag.
    """
    case = CASES[kind]
    result = 0
    for world in worlds(kind):
        facts = facts_of(world, case.recorded)
        ids = ids_of(facts)
        at = parse_instant(finding_cases.moment(case.at))
        for one in evaluate(facts, options_of(case, kind), at, intake=intake_of(facts)).findings.values():
            assert isinstance(one.why, Sentence), (one.kind, one.why)
            pieces = list(one.why.pieces())
            result += 1

            assert one.why == "".join(text for text, _ in pieces)
            for text, names in pieces:
                if names is None:
                    words = {word.strip(around) for word in text.split() for around in (",;()", ",;:()")}
                    assert one.kind in NO_ID or set() == words & ids, (one.kind, one.why, words & ids)
                    assert A_TIME.search(text) is None, one.why
                elif names == TIME:
                    assert A_TIME.match(text), one.why
                else:
                    assert text in (names, names.partition(":")[2]), one.why
    assert result > 0
