"""Generated requests: what the OpenAPI document allows is answered as it says, everything else is refused."""

from collections.abc import Iterator
from contextlib import nullcontext, suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.conversations import one_server
from tests.support.http_worlds import World

EXAMPLES = 5  # of each operation, and of each mode
# Except `positive_data_acceptance`: a schema cannot express all rules for ids.
CHECKS = [
    *(not_a_server_error, status_code_conformance, content_type_conformance),
    *(response_schema_conformance, negative_data_rejection),
]
# Any documented status is a refusal.
CONFIG = SchemathesisConfig.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": ["4xx", "5xx"]}}})
ROLES = ["producer", "investigator", "responder", "receiver"]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str]]:
    """Return a real server with everything over the incident; generated writes change it."""
    with one_server(tmp_path_factory.mktemp("http") / "all") as found:
        yield found


@pytest.mark.slow
@pytest.mark.timeout(600)  # a few hundred requests, on whatever machine
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_requests_are_answered_as_published(api: tuple[World, str], mode: GenerationMode):
    """
    For valid and invalid requests, statuses, media types and documents are those of the OpenAPI document.
    """
    world, url = api
    document = world.as_(None).get("/openapi.json").json()
    del document["paths"]["/v1/live"]  # has no end
    del document["paths"]["/ssf/poll/{stream_id}"]  # waits for something to tell
    headers = {"Authorization": f"Bearer {world.token(roles=ROLES)}"}
    tried = set()

    for found in schemathesis.openapi.from_dict(document, config=CONFIG).get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        def ask(case: Case) -> None:
            tried.add(case.operation.label)
            case.call_and_validate(base_url=url, headers=headers, checks=CHECKS)

        with suppress(Unsatisfiable) if mode is GenerationMode.NEGATIVE else nullcontext():  # nothing can be wrong
            ask()

    operations = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert tried == operations if mode is GenerationMode.POSITIVE else tried <= operations
