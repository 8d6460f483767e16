"""Keys are ``KIND:ID``; receipts and verdicts are sorted by id, then by kind."""

from hypothesis import given
from hypothesis import strategies as st

from lineage.core.model.keys import by_id, sorted_by_id

IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)
TOKENS = st.lists(IDS.map("token:{}".format))
ELEMENTS = st.lists(st.builds("{}:{}".format, st.sampled_from(["token", "delegation"]), IDS))


@given(keys=TOKENS | ELEMENTS)
def test_things_are_sorted_by_id_and_then_by_kind(keys: list[str]):
    """
    This holds whether all of them are tokens or not.
    """
    things = list(enumerate(keys))

    assert sorted(things, key=lambda thing: by_id(thing[1])) == sorted_by_id(things, lambda thing: thing[1])
