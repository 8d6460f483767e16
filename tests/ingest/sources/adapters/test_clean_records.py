"""The fast path for foreign logs finds the same as the slow path."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from ingest.codec.credentials import door, find, packed, scrubbed, scrubbed_value
from ingest.sources.adapters.untrusted_json import Clean, member
from tests.support.secrets import JWT

SECRETS = st.sampled_from(
    [
        JWT,
        f"see {JWT}.",
        "password=hunter2",
        "https://app:hunter2@db/prod",
        "Bearer abcdef0123456789abcdef",
        base64.b64encode(f"token={JWT}".encode()).decode(),
        base64.b64encode(b'{"password":"hunter2"}').decode(),
        f"auth/token/revoke/{'s.' + 'A' * 24}",
    ]
)
HEADS = st.sampled_from(["", "aws#", "https://idp.example#", "password:", "Bearer ", "run-", "s.", "token=", "a@"])
TAILS = st.text("0123456789abcdef-", max_size=48)
TEXTS = st.one_of(
    SECRETS, st.builds(str.__add__, HEADS, TAILS), st.text(max_size=40), st.builds(str.__add__, SECRETS, TAILS)
)
NAMES = st.sampled_from(["user", "password", "sessionToken", "token", "jwt", "arn", "accessKeyId", "x" * 200, "secret"])
VALUES = st.recursive(
    st.one_of(TEXTS, st.none(), st.booleans(), st.integers(0, 99_999_999)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)


def plain(value):
    if isinstance(value, Clean):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_a_lazily_scrubbed_record_equals_a_fully_scrubbed_one(record):
    """
    Any members, read in any order and any number of times, equal those of the fully scrubbed record.
    """
    clean, whole = Clean(record), scrubbed_value(record)

    assert whole == plain(clean)
    assert whole == plain(clean)
    assert (set(whole), len(whole)) == (set(clean), len(clean))
    for name in record:
        assert whole[name] == plain(member(clean, name))
        assert name in clean
    assert clean.get("absent", 1) == 1


@given(st.lists(TEXTS, max_size=6))
def test_a_text_cached_as_clean_is_judged_the_same(texts):
    """
    A text that is remembered as clean is judged like one that is seen for the first time.
    """
    door.CLEAN.clear()
    first = [scrubbed_value(text) for text in texts]
    found = [find(text) for text in texts]
    again = [scrubbed_value(text) for text in texts]
    door.CLEAN.clear()

    assert [scrubbed(text) for text in texts] == first == again
    assert [find(text) for text in texts] == found


@given(
    st.one_of(
        TEXTS,
        st.text("ACDHIQaegwx0123456789+/_- \n=", max_size=80),
        st.binary(max_size=40).map(lambda raw: base64.b64encode(raw).decode()),
    )
)
def test_readable_base64_is_detected(text):
    """
    The fast check never says no if the thorough one says yes.
    """
    thorough = packed.LONG_RUN.search(text) is not None and any(
        packed._is_readable(run) or any(packed._is_readable(part) for part in run.split("/"))
        for run in (match.group() for match in packed._RUN.finditer(text))
    )

    assert thorough == (packed.LONG_RUN.search(text) is not None and packed.holds_base64(text))
    assert door.may_hold(text) or not thorough
