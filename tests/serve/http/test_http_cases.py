"""The two faces side by side: over random worlds HTTP answers, byte for byte, what the command line prints."""

import json
import random
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from lineage.core.model.times import format_instant
from lineage.serve.cli.main import main
from tests.support import worlds
from tests.support.http_worlds import World, api_over

SEEDS = range(6)
QUESTIONS = {
    "who": [],
    "chain": ["token", "delegation"],
    "status": ["token", "delegation", "principal", "workload", "session", "client"],
    "reach": ["token", "delegation", "principal", "workload", "session", "client"],
}
NOT_FOUND = 3  # the exit code where one of the ids is named by no fact


def printed(*words: str, exit_code: int = 0) -> list[str]:
    result = CliRunner().invoke(main, [*words, "--json"], catch_exceptions=False)
    assert exit_code == result.exit_code, result.output
    return result.stdout.splitlines()


def served(api: World, question: str, asked: list[str], more: str) -> list[str]:
    """The documents of an answer, as lines; of one id it is the document, of several a list of them."""
    parameter = "action" if question == "who" else "of"
    ids = "&".join(f"{parameter}={quote(of, safe='')}" for of in asked)
    response = api.get(f"/v1/{question}?{ids}&{more}")
    if len(asked) == 1 and response.status_code == HTTPStatus.NOT_FOUND:
        items = [{"error": "not_found", "id": response.json()["id"]}]
    else:
        assert 200 == response.status_code, response.text
        items = response.json()["items"] if len(asked) > 1 else [response.json()]
    return [json.dumps(item, ensure_ascii=False, separators=(",", ":")) for item in items]


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_http_answers_what_the_command_line_prints(tmp_path: Path, seed: int):
    """
    Whatever has happened, each of the four questions has one answer: same keys in the same order, same values.
    """
    rng = random.Random(seed)
    items = worlds.world(rng)
    at = format_instant(rng.choice(worlds.grid))
    places = ["--store", f"sqlite:///{tmp_path}/store.db", "--log", f"sqlite:///{tmp_path}/log.db"]
    file = tmp_path / "events.jsonl"
    file.write_text("".join(json.dumps(item["event"]) + "\n" for item in items))
    printed("ingest", str(file), *places)

    with api_over(places[1], tmp_path) as api:
        for question, kinds in QUESTIONS.items():
            asked = [f"{kind}:{id_}" for kind, id_ in worlds.questions(items) if kind in kinds]
            asked = asked if kinds else worlds.actions(items)  # one in each list is named by nobody
            lines = printed(question, *asked, "--at", at, *places, exit_code=NOT_FOUND)
            assert lines == served(api, question, asked, f"at={at}")


OPTIONS: list[tuple[list[str], str]] = [
    (["--mode", "suspend"], "mode=suspend"),
    (["--no-cascade"], "cascade=false"),
    (["--issued-before", "2026-11-01T11:30:00+02:00"], "issued_before=2026-11-01T11:30:00%2B02:00"),
]


@pytest.mark.parametrize(("words", "query"), OPTIONS, ids=str)
def test_an_option_of_reach_is_a_parameter(tmp_path: Path, words: list[str], query: str):
    """
    The plan of the same order has the same digest, no matter who asks for it.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as api:
        of, at = "principal:agent:mailer", "2026-11-02T10:00:00.000000Z"
        places = ["--store", f"sqlite:///{tmp_path}/store.db", "--log", f"sqlite:///{tmp_path}/log.db"]
        plain = served(api, "reach", [of], f"at={at}")
        found = served(api, "reach", [of], f"at={at}&{query}")

        assert printed("reach", of, "--at", at, *words, *places) == found != plain


def test_a_case_that_is_wrong_in_one_place_names_it(tmp_path: Path):
    """
    Of several ids one that is none refuses the whole request, and is the one that is repeated.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as api:
        said: dict[str, Any] = api.get("/v1/status?of=token:a&of=thing:b&of=token:c").json()

    assert ("of", True, False) == (said["parameter"], "thing" in said["detail"], "token:c" in said["detail"])
