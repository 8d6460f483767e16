"""The OpenAPI document is whole, and its examples are what is said and answered."""

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
    """The document and its page, of a server with everything."""
    with one_server(tmp_path_factory.mktemp("published") / "all") as (_, url):
        return httpx.get(f"{url}/openapi.json").json(), httpx.get(f"{url}/docs").text


@pytest.fixture(scope="module")
def document(published: tuple[Json, str]) -> Json:
    return published[0]


def operations(document: Json) -> Iterator[Json]:
    for methods in document["paths"].values():
        yield from methods.values()


def contents(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Every media type that is taken or given: where, which, and what is said of it."""
    for operation in operations(document):
        id_ = operation["operationId"]
        for media_type, said in operation.get("requestBody", {}).get("content", {}).items():
            yield f"{id_} takes", media_type, said
        for status, response in operation["responses"].items():
            for media_type, said in response.get("content", {}).items():
                yield f"{id_} {status}", media_type, said


def values(document: Json, said: Json) -> Iterator[tuple[str, Any]]:
    for name, example in said.get("examples", {}).items():
        shared = document["components"]["examples"]
        yield name, (shared[name] if "$ref" in example else example)["value"]


def fields_in(value: Any) -> Iterator[tuple[str, Json]]:
    """The fields of all schemas in a part of the document."""
    match value:
        case {"type": "object", "properties": dict(properties)}:
            yield from properties.items()
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from fields_in(one)


# What the document says


def test_it_is_an_openapi_document(document: Json):
    """
    The meta-schema of OpenAPI 3.1 holds for it.
    """
    assert [] == [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(document)]


def test_every_operation_says_what_it_is(document: Json):
    """
    Each has an id of its own, a summary, a description, a tag that is explained, and says who may.
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
    Each says what it is, and each that is required shows how it looks.
    """
    said = [(one["operationId"], parameter) for one in operations(document) for parameter in one.get("parameters", ())]

    assert [] == [(id_, one["name"]) for id_, one in said if not one.get("description")]
    assert [] == [(id_, one["name"]) for id_, one in said if one["required"] and "example" not in one]


def test_every_field_is_described(document: Json):
    """
    Each field of each document says what it means, and the glossary has no word that nobody uses.
    """
    schemas = document["components"]["schemas"]
    fields = [(name, field, said) for name, schema in schemas.items() for field, said in fields_in(schema)]
    fields += [("", field, said) for field, said in fields_in(document["paths"])]
    own = {(name, field) for name, words in glossary().items() if name != EVERYWHERE for field in words}

    assert [] == [(name, field) for name, field, said in fields if not said.get("description")]
    assert set() == {*glossary()[EVERYWHERE]} - {field for _, field, _ in fields}
    assert set() == own - {(name, field) for name, field, _ in fields}


# Its examples


def test_every_media_type_has_an_example(document: Json):
    """
    Whatever an operation takes or gives, in whatever form, problems of each status too, is shown.
    """
    assert [] == [(where, media_type) for where, media_type, said in contents(document) if not said.get("examples")]


def test_every_example_is_as_its_schema_says(document: Json):
    """
    The schema beside an example holds for it; of a text of lines, for each line.
    """
    wrong = []
    for where, media_type, said in contents(document):
        schema = said["schema"]
        for name, value in values(document, said):
            found = [value]
            if media_type == LINES and "contentSchema" in schema:
                schema, found = schema["contentSchema"], [json.loads(line) for line in value.splitlines()]
            validator = Draft202012Validator({**schema, "components": document["components"]})
            wrong += [(where, name, error.message) for one in found for error in validator.iter_errors(one)]

    assert [] == wrong


def test_a_problem_has_the_status_that_it_stands_under(document: Json):
    """
    The example of a problem is one of that status, its own or a shared one.
    """
    statuses = {
        (where.rpartition(" ")[2], str(value["status"]))
        for where, media_type, said in contents(document)
        if media_type == PROBLEM
        for _, value in values(document, said)
    }

    assert {(status, status) for status, _ in statuses} == statuses


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> list[Json]:
    """The conversation, held again."""
    with servers(tmp_path_factory.mktemp("held")) as found:
        going_on = Held(found)
        return [going_on.ask(exchange) for exchange in LINES_HELD]


@pytest.mark.slow
@pytest.mark.parametrize(
    "line", range(len(LINES_HELD)), ids=[f"{one['operation']}-{one['name']}" for one in LINES_HELD]
)
def test_what_is_shown_is_what_is_answered(held: list[Json], line: int):
    """
    Asked as the example asks, a server over the incident answers as it shows, to the letter. (Where the answers have
    changed with good reason, `make examples` writes them down again.)
    """
    assert comparable(LINES_HELD[line]) == comparable(held[line])


def test_a_request_that_is_refused_says_so():
    """
    Among the examples of what may be sent those that are refused say with which status; all others succeed.
    """
    sent = [one for one in LINES_HELD if "body" in one]
    said = {(one["operation"], one["name"]): one["summary"].partition("Refused, ")[2][:3] for one in sent}
    refused = {(one["operation"], one["name"]): str(one["status"]) if one["status"] >= 400 else "" for one in sent}

    assert refused == said


def test_the_examples_have_names_of_their_own():
    """
    No example hides another: a name stands once at an operation.
    """
    names = [(one["operation"], one["name"]) for one in LINES_HELD]

    assert sorted(set(names)) == sorted(names)


def test_what_is_signed_is_signed_by_the_key_that_is_shown():
    """
    Anyone who follows the examples can verify each signed event and status list with the key of the example of keys.
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
    Each is to be read on /docs, which has no script and nothing of others.
    """
    document, page = published
    shown = re.findall(r"<details><summary>(.*?)</summary>", page)
    own = [one for _, _, said in contents(document) for one in said["examples"].values() if "$ref" not in one]

    assert len(own) + len(document["components"]["examples"]) == len(shown)
    assert [] == re.findall(r'<script|style=|(?:src|href)="(?!/|#)', page)
