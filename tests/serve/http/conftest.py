"""The HTTP API over the incident, for tests that need no other data."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http_worlds import World, api_over
from tests.support.stores import KINDS, fresh_places


@pytest.fixture(params=KINDS)
def api(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Return the API over the incident, on either database."""
    for place in fresh_places(request):
        with place() as url, api_over(url, tmp_path) as world:
            yield world


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    """Return the API over the incident in a file, for what need not be tested on both databases."""
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        yield world
