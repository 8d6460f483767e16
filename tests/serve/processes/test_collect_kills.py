"""`delegraph collect` is killed while all its inputs are being written: nothing is lost, and nothing counts twice.

``python -m benchmarks.collect_soak --kills 200`` does the same for any length of time.
"""

import random

import pytest

from benchmarks.collect_soak import SOURCES, Soak

pytestmark = pytest.mark.kafka


@pytest.mark.slow
def test_a_collector_that_is_killed_loses_nothing_and_doubles_nothing(tmp_path, kafka):
    """
    The inputs are a rotated file, requests, lines over TCP, a Kafka topic and spans, all at once.
    """
    soak = Soak(tmp_path, kafka, random.Random(11))
    books = soak.run(5)

    assert [] == soak.faults, books
    assert all(soak.written[name] > 10 for name in SOURCES), books
