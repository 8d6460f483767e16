"""The asynchronous client answers as the synchronous one; lists become data frames, and graphs those of networkx."""

import asyncio
import inspect
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import networkx as nx
import pytest

from docs.site import async_client
from lineage.core.model.errors import RefusedError
from lineage.serve import async_http_client
from lineage.serve import http_client as client_module
from lineage.serve.client import AsyncClient, Client, to_networkx
from lineage.serve.http.api.questions import QUESTIONS
from tests.support.desk import Desk
from tests.support.http_clients import URL, client_of
from tests.support.http_worlds import LEAKED, World, api_over
from tests.support.places import ROOT
from tests.support.serving import process

NOTEBOOK = ROOT / "docs" / "notebooks" / "investigate.ipynb"
# The answers that are pages of this project, and not something that a program asks.
NOT_ASKED = {"/v1/dossier", "/v1/health"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The incident."""
    folder = tmp_path_factory.mktemp("client")
    with api_over(f"sqlite:///{folder}/store.db", folder) as world:
        yield world


def awaited(api: World, ask: Callable[[AsyncClient], Awaitable[Any]]) -> Any:
    async def asked() -> Any:
        http = httpx.AsyncClient(transport=httpx.ASGITransport(api.app))
        async with http, AsyncClient(URL, token=lambda: api.token("investigator"), http=http) as client:
            return await ask(client)

    return asyncio.run(asked())


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("who", {"action": "mail-7"}),
        ("who", {"action": "none"}),
        ("chain", {"of": LEAKED}),
        ("status", {"of": LEAKED}),
        ("reach", {"of": LEAKED}),
        ("overview", {}),
        ("principals_graph", {"of": "principal:agent:mailer"}),
        ("posture", {"framework": "ASI"}),
    ],
)
def test_an_awaited_answer_is_the_same(api: World, name: str, arguments: dict[str, Any]):
    """
    Both clients return the document of the server, or None for an unknown id.
    """
    assert getattr(client_of(api), name)(**arguments) == awaited(api, lambda client: getattr(client, name)(**arguments))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("actions", {"tool": "mail"}),
        ("tokens", {}),
        ("timeline", {"of": LEAKED}),
        ("findings", {}),
        ("uses", {"of": "token:none"}),
    ],
)
def test_an_awaited_list_is_the_same(api: World, monkeypatch: pytest.MonkeyPatch, name: str, arguments: dict[str, Any]):
    """
    Every item comes once and in order, however small the pages.
    """
    expected = list(getattr(client_of(api), name)(**arguments))
    monkeypatch.setattr(client_module, "PAGE", 2)
    monkeypatch.setattr(async_http_client, "PAGE", 2)

    async def ask(client: AsyncClient) -> list[Any]:
        return [item async for item in getattr(client, name)(**arguments)]

    assert expected == awaited(api, ask)
    assert expected == list(getattr(client_of(api), name)(**arguments))


def test_both_clients_ask_the_same_questions():
    """
    The asynchronous client is generated from the other, with the same methods and parameters.
    """

    def methods(client: type) -> dict[str, list[str]]:
        found = inspect.getmembers(client, inspect.isfunction)
        return {name: list(inspect.signature(one).parameters) for name, one in found if not name.startswith("_")}

    assert methods(Client) == methods(AsyncClient)
    assert Path(async_http_client.__file__).read_text(encoding="utf-8") == async_client.reference()


def test_the_client_asks_every_question():
    """
    The client has a method for every question of the HTTP API.
    """
    source = Path(client_module.__file__).read_text(encoding="utf-8")

    missing = {f"/v1{one.path}" for one in QUESTIONS if f'"/v1{one.path.partition("/{")[0]}' not in source}
    assert missing <= NOT_ASKED


def test_a_list_becomes_a_data_frame(api: World):
    """
    A row for each item, a column for each field, and one for each member of an object.
    """
    items = list(client_of(api).actions())
    frame = client_of(api).actions().to_pandas()

    assert [one["action"] for one in items] == list(frame["action"])
    assert [one["resource"]["id"] for one in items if one["resource"]] == list(frame["resource.id"].dropna())

    async def ask(client: AsyncClient) -> Any:
        return await client.actions().to_pandas()

    assert frame.equals(awaited(api, ask))


def test_without_pandas_it_says_what_to_install(api: World, monkeypatch: pytest.MonkeyPatch):
    """
    The client works without it; only a data frame needs it.
    """
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(RefusedError, match="pip install pandas"):
        client_of(api).actions().to_pandas()


def test_the_graph_of_principals_becomes_a_graph_of_networkx(api: World):
    """
    It has the same nodes and edges with their fields; everyone who acted for Alice is reachable from her.
    """
    answer = client_of(api).principals_graph()
    assert answer is not None
    graph = to_networkx(answer)

    assert {node["id"] for node in answer["nodes"]} == set(graph)
    assert len(answer["edges"]) == graph.number_of_edges()
    assert "agent:mailer" in nx.descendants(graph, "human:alice@example.com")
    assert graph.nodes["agent:mailer"]["kind"] == "agent"


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    Every cell of docs/notebooks/investigate.ipynb, in order, against a server with the incident.
    """
    desk = Desk(tmp_path)
    desk.run("ingest", str(ROOT / "examples" / "incident.jsonl"))
    token = desk.one("token", "create", "--role", "investigator", "--name", "notebook")["token"]
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {}

    with process(tmp_path, "serve") as (_, link):
        monkeypatch.setenv("DELEGRAPH_URL", link.partition("/sign-in")[0])
        monkeypatch.setenv("DELEGRAPH_TOKEN", token)
        for cell in cells:
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]), names)
        names["delegraph"].close()

    assert "mail-7" in list(names["mails"]["action"])
    assert "human:alice@example.com" == names["answer"]["human"]
    assert names["plan"]["kills"]["tokens"]
