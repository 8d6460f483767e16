"""Unreadable records received over HTTP: imported after an upgrade, within the permissions of their sender."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.codec import api as codec
from ingest.projector import unreadable
from lineage.core.model.errors import UnknownSchemaError
from lineage.core.model.events import Event
from lineage.deliver.http.callers import Role
from lineage.serve.commands import maintenance
from lineage.store.quarantine import quarantined
from tests.support.http_worlds import ASKED, LEAKED, World, api_over
from tests.support.http_writes import EVENT, NOT_EVENTS, avro, event, zigzag
from tests.support.stores import KINDS, fresh_places

AVRO = {"Content-Type": "application/avro"}
ENVELOPE = {name: EVENT[name] for name in ("event_id", "source", "occurred_at")}
RELEASED, KEPT = {"read": 1, "taken_up": 1, "waiting": 0}, {"read": 1, "taken_up": 0, "waiting": 1}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    """Return the API over the incident in a file, for what need not be tested on both databases."""
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        yield world


def older(_value: bytes) -> Event:
    """Return the reader of a version that does not know the schema."""
    raise UnknownSchemaError("unknown-schema", "a later version may know it")


def sent_to_an_older_version(
    monkeypatch: pytest.MonkeyPatch, world: World, *events: dict[str, Any], **claims: Any
) -> list[int]:
    """Send Avro events to a version that cannot read them, and return how many it read and quarantined."""
    raws = avro(*events)
    body = zigzag(len(raws)) + b"".join(zigzag(len(raw)) + raw for raw in raws) + b"\0"
    with monkeypatch.context() as before:
        before.setattr(codec, "decode", older)
        response = world.as_("producer", **claims).post("/v1/events", content=body, headers=AVRO)
    assert 200 == response.status_code, response.text
    return [response.json()["read"], response.json()["quarantined"]]


def retried(world: World) -> dict[str, Any]:
    return {name: count for name, count in maintenance.retry(world.service).items() if name != "as_of"}


@pytest.fixture(params=KINDS)
def api(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Return the API over the incident, on either database."""
    for place in fresh_places(request):
        with place() as url, api_over(url, tmp_path) as world:
            yield world


def test_avro_of_a_later_version_is_imported_after_the_upgrade(api: World, monkeypatch: pytest.MonkeyPatch):
    """
    The record is quarantined; the version that can read it appends it once, and its fact is in the answers.
    """
    counted = sent_to_an_older_version(monkeypatch, api, event(1))
    before = api.get("/v1/status?of=token:t1").status_code
    document, again = retried(api), retried(api)
    state = api.get("/v1/status?of=token:t1").json()["state"]

    assert ([1, 1], 404, "active") == (counted, before, state)
    assert (RELEASED, {"read": 0, "taken_up": 0, "waiting": 0}) == (document, again)


@pytest.mark.parametrize("roles", [["producer"], [role.value for role in Role]], ids=["producer", "every role"])
@pytest.mark.parametrize("body", NOT_EVENTS, ids=lambda body: body["type"])
def test_events_with_their_own_endpoint_are_never_imported(
    here: World, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any], roles: list[str]
):
    """
    An order, lift, acknowledgement or judgement that an older version could not recognise stays in quarantine, no
    matter who sent it.
    """
    sent_to_an_older_version(monkeypatch, here, ENVELOPE | body, roles=roles)

    assert KEPT == retried(here)
    assert "active" == here.get("/v1/status", params={"of": LEAKED}).json()["state"]
    assert [] == here.get("/v1/revocations").json()["items"]


@pytest.mark.parametrize("roles", [["producer"], [role.value for role in Role]], ids=["producer", "every role"])
@pytest.mark.parametrize("source", ["urn:other", "https://gateway.example/more", "urn:tes", "https://idp.example"])
def test_events_of_a_foreign_source_are_never_imported(
    here: World, monkeypatch: pytest.MonkeyPatch, source: str, roles: list[str]
):
    """
    An event whose source was not allowed to its sender when it was sent stays; one of an allowed source is imported.
    """
    sent_to_an_older_version(monkeypatch, here, event(1, source=source), event(2), roles=roles)

    assert {"read": 2, "taken_up": 1, "waiting": 1} == retried(here)
    assert (404, 200) == tuple(here.get(f"/v1/status?of=token:{id_}").status_code for id_ in ("t1", "t2"))


@pytest.mark.parametrize("role", ["investigator", "responder", "receiver", "nobody"])
def test_only_producers_can_fill_the_quarantine(here: World, role: str):
    """
    A caller who may not send events leaves nothing in quarantine.
    """
    response = here.post("/v1/events", role, content=b"\xc3\x01unknown", headers=AVRO)

    assert (403, []) == (response.status_code, quarantined(here.service.store))


@pytest.mark.parametrize(
    "sources",
    [["urn:test:*", "x" * 600], ["urn:test:*", "ghp_" + "a1B2" * 9], "urn:test:*"],
    ids=["no id", "a credential", "one word"],
)
def test_only_valid_sources_of_a_sender_are_kept(here: World, monkeypatch: pytest.MonkeyPatch, sources: Any):
    """
    Other values in a token's list, credentials above all, are not kept with the record.
    """
    sent_to_an_older_version(monkeypatch, here, event(1), sources=sources)
    [waiting] = quarantined(here.service.store)

    assert ("urn:test:*",) == waiting.record.sources
    assert RELEASED == retried(here)


def test_a_sender_with_too_many_sources_has_to_send_again(here: World, monkeypatch: pytest.MonkeyPatch):
    """
    If the list is too long to be kept with every record, nothing is imported.
    """
    sources = ["urn:test:*", *(f"urn:{number:x>400}" for number in range(20))]
    sent_to_an_older_version(monkeypatch, here, event(1), sources=sources)

    assert KEPT == retried(here)


@pytest.mark.parametrize("body", [*NOT_EVENTS, event(1, source="urn:other")], ids=lambda body: body["type"])
def test_the_same_checks_apply_to_json(here: World, body: dict[str, Any]):
    """
    What an older version could not check is checked once it can be read.
    """
    raw = json.dumps(ENVELOPE | body).encode()
    fault = UnknownSchemaError("unknown-schema", "a later version may know it")
    rejected = unreadable(raw, fault, number=None, origin="http x", place=1, recorded_at=ASKED, sources=("urn:test:*",))
    here.service.store.quarantine([rejected])

    assert KEPT == retried(here)
