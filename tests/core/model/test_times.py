"""Parsing times: the fast path of the usual form, compared with the general one."""

from hypothesis import example, given
from hypothesis import strategies as st

from lineage.core.model import times

TIMES = st.one_of(
    st.datetimes().map(lambda moment: f"{moment:%Y-%m-%dT%H:%M:%S}Z"),
    st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}[:.][0-9]{2}[:.][0-9]{2}(\.[0-9]+)?(Z|z|\+0[0-9]:[0-9]{2})"),
    st.text("0123456789-:TZ.", max_size=24),
)


@given(TIMES)
@example("2026-03-01T00:07:09Z")
@example("2016-12-31T23:59:60Z")
@example("1969-12-31T23:59:59Z")
@example("2026-02-30T00:00:00Z")
@example("2026-03-01T00:07.09Z")
@example("09Z")
@example("")
def test_the_fast_path_agrees_with_the_general_parser(text):
    """
    Any text is the same instant, or refused with the same message.
    """
    assert outcome(times._parsed, text) == outcome(times.parse_instant, text)


def outcome(read, text):
    try:
        return read(text)
    except ValueError as refusal:
        return str(refusal)
