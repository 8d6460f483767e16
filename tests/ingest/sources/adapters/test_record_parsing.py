"""The JSON of foreign records is read like by the standard decoder, and repeated names are refused."""

import json

import pytest

from ingest.sources.adapters.raw_records import parse
from lineage.core.model.errors import BadRecordError


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"b":{"c":[1,2]}}',
        '{ "a" : 1 ,\n\t"b": [ ] }',
        '{"a":"\\u003cb\\u003e","\\u0065":"\\u00e9"}',
        '{"a":"b c","d":1e3,"e":-0,"f":1.50,"g":12345678901234567890123}',
        '{"a":"\\ud800"}',
        "[" * 300 + "]" * 300,
        '{"é":"ü\u2028"}',
    ],
)
def test_a_record_is_read_as_the_standard_decoder_reads_it(text):
    """Whatever its spacing, escapes and numbers."""
    assert json.loads(text) == parse(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":1,"b":2,"a":3}',
        '{"a":1,"\\u0061":2}',
        '{"a b":1, "a b" :2}',
        '{"x":[{"a":1,"a":1}]}',
        '{"a":1,"a":1e5,"b":"\\u0022:"}',
        '{"a":1000000000000000000000,"a":1}',
    ],
)
def test_a_repeated_name_is_refused(text):
    """However it is spelt, and whatever else makes the text longer or shorter when it is written again."""
    with pytest.raises(BadRecordError) as refused:
        parse(text.encode())

    assert "duplicate-key" == refused.value.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"a":NaN}', "json"),
        (b'{"a":1} {"b":2}', "json"),
        (b'{"a":"\xff"}', "utf-8"),
        (b"[" * 100_000 + b"]" * 100_000, "too-deep"),
        (b'{"a":' + b"9" * 5_000 + b"}", "json"),
    ],
)
def test_text_that_is_not_json_is_reported(text, reason):
    """The reason is that of the standard decoder, with its position."""
    with pytest.raises(BadRecordError) as refused:
        parse(text)

    assert reason == refused.value.reason
