"""The OpenAPI document is complete, and its examples are real requests and answers."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest
from jsonschema import Draft202012Validator
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from lineage.deliver.http.problems import MEDIA_TYPE as PROBLEM
from lineage.serve.http.openapi.examples import conversation
from lineage.serve.http.openapi.field_glossary import EVERYWHERE, glossary
from lineage.serve.http.openapi.fragments import LINES
from tests.support.conversations import PUBLIC, Held, comparable, one_server, servers

Json = dict[str, Any]
LINES_HELD = conversation()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Json, str]:
    """Return the document of a server with everything, and its page."""
    with one_server(tmp_path_factory.mktemp("published") / "all") as (_, url):
        return httpx.get(f"{url}/openapi.json").json(), httpx.get(f"{url}/docs").text


@pytest.fixture(scope="module")
def document(published: tuple[Json, str]) -> Json:
    return published[0]


def operations(document: Json) -> Iterator[Json]:
    for methods in document["paths"].values():
        yield from methods.values()


def contents(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Yield every media type of a request or an answer: where it is, its name and its description."""
    for operation in operations(document):
        id_ = operation["operationId"]
        for media_type, value in operation.get("requestBody", {}).get("content", {}).items():
            yield f"{id_} takes", media_type, value
        for status, response in operation["responses"].items():
            for media_type, value in response.get("content", {}).items():
                yield f"{id_} {status}", media_type, value


def values(document: Json, value: Json) -> Iterator[tuple[str, Any]]:
    for name, example in value.get("examples", {}).items():
        shared = document["components"]["examples"]
        yield name, (shared[name] if "$ref" in example else example)["value"]


def fields_in(value: Any) -> Iterator[tuple[str, Json]]:
    """Yield the fields of all schemas in a part of the document."""
    match value:
        case {"type": "object", "properties": dict(properties)}:
            yield from properties.items()
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from fields_in(one)


# What the document says


def test_it_is_an_openapi_document(document: Json):
    """
    It is valid by the meta-schema of OpenAPI 3.1.
    """
    assert [] == [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(document)]


def test_every_operation_says_what_it_is(document: Json):
    """
    Each has a unique id, a summary, a description, a documented tag and its roles.
    """
    tags = {tag["name"] for tag in document["tags"]}
    ids = [operation["operationId"] for operation in operations(document)]
    lacking = [
        operation["operationId"]
        for operation in operations(document)
        if not (operation["summary"] and operation["description"] and "security" in operation)
        or not {*operation["tags"]} <= tags
    ]

    assert (sorted(set(ids)), []) == (sorted(ids), lacking)


def test_every_parameter_is_described(document: Json):
    """
    Each has a description, and each required one has an example.
    """
    lines = [(one["operationId"], parameter) for one in operations(document) for parameter in one.get("parameters", ())]

    assert [] == [(id_, one["name"]) for id_, one in lines if not one.get("description")]
    assert [] == [(id_, one["name"]) for id_, one in lines if one["required"] and "example" not in one]


def test_every_field_is_described(document: Json):
    """
    Each field of each document has a description, and the glossary has no unused entry.
    """
    schemas = document["components"]["schemas"]
    fields = [(name, field, value) for name, schema in schemas.items() for field, value in fields_in(schema)]
    fields += [("", field, value) for field, value in fields_in(document["paths"])]
    own = {(name, field) for name, words in glossary().items() if name != EVERYWHERE for field in words}

    assert [] == [(name, field) for name, field, value in fields if not value.get("description")]
    assert set() == {*glossary()[EVERYWHERE]} - {field for _, field, _ in fields}
    assert set() == own - {(name, field) for name, field, _ in fields}


# Its examples


def test_every_media_type_has_an_example(document: Json):
    """
    Every request and answer of an operation has an example in every media type, including problems of each status.
    """
    assert [] == [(where, media_type) for where, media_type, value in contents(document) if not value.get("examples")]


def test_every_example_is_valid_by_its_schema(document: Json):
    """
    Each example is valid by its schema; in a text of lines, each line is.
    """
    wrong = []
    for where, media_type, item in contents(document):
        schema = item["schema"]
        for name, value in values(document, item):
            found = [value]
            if media_type == LINES and "contentSchema" in schema:
                schema, found = schema["contentSchema"], [json.loads(line) for line in value.splitlines()]
            validator = Draft202012Validator({**schema, "components": document["components"]})
            wrong += [(where, name, error.message) for one in found for error in validator.iter_errors(one)]

    assert [] == wrong


def test_the_example_of_a_problem_has_its_status(document: Json):
    """
    The status of an example, its own or a shared one, is that of the answer.
    """
    statuses = {
        (where.rpartition(" ")[2], str(value["status"]))
        for where, media_type, item in contents(document)
        if media_type == PROBLEM
        for _, value in values(document, item)
    }

    assert {(status, status) for status, _ in statuses} == statuses


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[Json]:
    """Replay the recorded conversation."""
    with servers(tmp_path_factory.mktemp("held")) as found:
        going_on = Held(found)
        return [going_on.ask(exchange) for exchange in LINES_HELD]


@pytest.mark.slow
@pytest.mark.parametrize(
    "line", range(len(LINES_HELD)), ids=[f"{one['operation']}-{one['name']}" for one in LINES_HELD]
)
def test_examples_are_real_answers(examples: list[Json], line: int):
    """
    A server over the incident answers the request of each example exactly as shown. (After an intended change of the
    answers, `make examples` records them again.)
    """
    assert comparable(LINES_HELD[line]) == comparable(examples[line])


def test_the_example_of_a_refused_request_says_so():
    """
    Examples of requests that are refused name the status; all others succeed.
    """
    sent = [one for one in LINES_HELD if "body" in one]
    values = {(one["operation"], one["name"]): one["summary"].partition("Refused, ")[2][:3] for one in sent}
    refused = {(one["operation"], one["name"]): str(one["status"]) if one["status"] >= 400 else "" for one in sent}

    assert refused == values


def test_the_names_of_examples_are_unique():
    """
    Names are unique within an operation, so no example hides another.
    """
    names = [(one["operation"], one["name"]) for one in LINES_HELD]

    assert sorted(set(names)) == sorted(names)


def test_signed_examples_verify_with_the_shown_key():
    """
    Anyone who follows the examples can verify each signed event and status list with the key in the example of keys.
    """
    answers = {(one["operation"], one["name"]): one["answer"] for one in LINES_HELD}
    key = jwt.PyJWK(answers["jwks", "ed25519"]["keys"][0])
    signed = [one for name in ("greeted", "revoked") for one in answers["poll", name]["sets"].values()]
    signed += [answers["status_list", name] for name in ("now", "then")]
    options = {"verify_exp": False, "verify_aud": False, "verify_iat": False}
    issuers = {jwt.decode(one, key, algorithms=["EdDSA"], options=options).get("iss") for one in signed}

    assert {PUBLIC, None} == issuers  # a status list names none


# Its page


def test_the_page_shows_every_example(published: tuple[Json, str]):
    """
    Each is shown on /docs, which has no script and loads nothing from elsewhere.
    """
    document, page = published
    shown = re.findall(r"<details><summary>(.*?)</summary>", page)
    own = [one for _, _, value in contents(document) for one in value["examples"].values() if "$ref" not in one]

    assert len(own) + len(document["components"]["examples"]) == len(shown)
    assert [] == re.findall(r'<script|style=|(?:src|href)="(?!/|#)', page)
