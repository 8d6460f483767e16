"""Tokens kept in the store, with which scripts call the HTTP API."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from lineage.core.model.errors import RefusedError
from lineage.core.model.times import SECOND
from lineage.deliver.http.callers import Role
from lineage.serve.cli import token_commands
from lineage.serve.commands.api_tokens import create_token, list_tokens, revoke_token
from lineage.serve.http.asgi.app import create_app
from lineage.serve.http.auth.api_tokens import ApiTokenCallers
from tests.support.asgi import Asking
from tests.support.desk import Desk
from tests.support.http_worlds import LEAKED, World, api_over, problem_type
from tests.support.stores import Fresh

WHO = "/v1/who?action=mail-7"
ORDER = {"target": {"kind": "token", "id": LEAKED.removeprefix("token:")}, "reason": "test"}


@pytest.fixture(scope="module")
def world(fresh: Fresh, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("tokens")
    with fresh() as url, api_over(url, folder) as world:
        yield world


def asking(world: World, token: str | None, *, tls: bool = True, **headers: str) -> Asking:
    """Return a client of a server that accepts tokens of the store and of its issuer."""
    site = world.site
    scripts = ApiTokenCallers(world.service, tls=tls).combined_with(site.authentication)
    app = create_app(replace(site, authentication=scripts), connections=world.connections)
    shown = {} if token is None else {"Authorization": f"Bearer {token}"}
    return Asking(app, {**shown, **headers})


def created(world: World, *roles: str, name: str = "ci", **more: object) -> dict[str, object]:
    return create_token(world.service, name=name, roles=roles or ("investigator",), **more)  # type: ignore[arg-type]


def status_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, problem_type(response) if response.is_error else ""


def test_a_token_allows_what_its_roles_allow_and_no_more(world: World):
    """
    An investigator reads and cannot revoke; the order of a responder names the token's caller, whatever the body says.
    """
    reader = str(created(world)["token"])
    responder = str(created(world, "responder", name="human:ann@example.com")["token"])

    assert (200, "") == status_of(asking(world, reader).get(WHO))
    assert (403, "forbidden") == status_of(asking(world, reader).post("/v1/revocations", json=ORDER))
    answer = asking(world, responder).post("/v1/revocations", json=ORDER)
    assert 201 == answer.status_code, answer.text
    assert "human:ann@example.com" == answer.json()["ordered_by"]


def test_a_token_is_valid_until_it_expires_or_is_revoked(world: World):
    """
    It is valid until the microsecond of its expiry; once revoked, it is refused from the next request on.
    """
    now = world.clock.now
    brief = created(world, expires_at=now + 60 * SECOND)
    lasting = created(world)
    assert "active" == lasting["state"]

    try:
        world.clock.now = now + 60 * SECOND - 1
        assert 200 == asking(world, str(brief["token"])).get(WHO).status_code
        world.clock.now = now + 60 * SECOND
        expired = asking(world, str(brief["token"])).get(WHO)
        assert (401, "unauthenticated") == status_of(expired)
        assert "is expired" in expired.text
    finally:
        world.clock.now = now

    client = asking(world, str(lasting["token"]))
    assert 200 == client.get(WHO).status_code
    first = revoke_token(world.service, str(lasting["id"]))
    world.clock.now += SECOND
    assert first == revoke_token(world.service, str(lasting["id"])), "it keeps the first time"
    assert (401, "unauthenticated") == status_of(client.get(WHO))
    world.clock.now = now


@pytest.mark.parametrize("other", ["dgt_" + "0" * 64, "dgt_", "dgt_\u00e9", "dgt_' OR 1=1 --"])
def test_a_token_of_another_store_is_refused(world: World, other: str):
    """
    A token that this store did not create gives no access, whatever it looks like.
    """
    headers = {"Authorization": f"Bearer {other}".encode()}
    client = asking(world, None)

    assert 401 == client.get(WHO, headers=headers).status_code  # type: ignore[arg-type]


def test_tokens_of_the_issuer_are_still_accepted(world: World):
    """
    Tokens of the store and of the issuer are accepted; without a token, a caller is not authenticated.
    """
    assert 200 == asking(world, world.token("investigator")).get(WHO).status_code
    assert (401, "unauthenticated") == status_of(asking(world, None).get(WHO))


def test_without_tls_a_token_is_accepted_from_this_machine_only(world: World):
    """
    A token that a proxy forwards without TLS is refused, and so is a token in a URL, with or without TLS.
    """
    token = str(created(world)["token"])

    assert 200 == asking(world, token, tls=False).get(WHO).status_code
    for header in ("X-Forwarded-For", "Forwarded", "Via"):
        refused = asking(world, token, tls=False, **{header: "203.0.113.7"}).get(WHO)
        assert (401, "unauthenticated") == status_of(refused)
        assert 200 == asking(world, token, tls=True, **{header: "203.0.113.7"}).get(WHO).status_code
    for tls in (True, False):
        in_url = asking(world, None, tls=tls).get(f"{WHO}&access_token={token}")
        assert (401, "unauthenticated") == status_of(in_url)
        assert "must not be in a URL" in in_url.text
        assert token not in in_url.text


def test_no_token_is_stored_or_logged(world: World, caplog: pytest.LogCaptureFixture):
    """
    Neither the list nor any log line contains a secret, and an event that mentions one is refused.
    """
    token = str(created(world)["token"])
    caplog.set_level(logging.DEBUG)
    asking(world, token).post("/v1/revocations", json={**ORDER, "note": token})
    asking(world, f"{token}0").post("/v1/revocations", json=ORDER)

    assert token not in json.dumps(list_tokens(world.service))
    assert not [record for record in caplog.records if token in f"{record.getMessage()} {vars(record)}"]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"roles": ("producer",)}, "name the sources of a producer"),
        ({"sources": ("urn:x",)}, "name the sources of a producer"),
        ({"expires_at": 0}, "is not in the future"),
        ({"name": "ghp_" + "a1" * 20}, "is a raw credential"),
        ({"name": "a" * 600}, "the name"),
        ({"name": ""}, "the name"),
        ({"name": "a\u200bb"}, "the name"),
    ],
)
def test_an_invalid_token_is_refused_and_creates_nothing(world: World, wrong: dict[str, object], why: str):
    """
    Each mistake is named, and no token is added.
    """
    before = list_tokens(world.service)["total"]

    with pytest.raises(RefusedError, match=why):
        create_token(world.service, **{"name": "ci", "roles": ("investigator",), **wrong})  # type: ignore[arg-type]
    assert before == list_tokens(world.service)["total"]


def test_tokens_on_the_command_line(tmp_path: Path):
    """
    They are created, listed and revoked; an unknown id exits with 3; a rebuild keeps them; the file contains no secret.
    """
    desk = Desk(tmp_path)
    desk.run("init")
    made = desk.one("token", "create", "--role", "investigator", "--role", "responder", "--name", "ci")
    desk.run("rebuild")
    [listed] = desk.one("token", "list")["items"]

    assert {**listed, "token": made["token"]} == made
    assert ("service:ci", ["investigator", "responder"], "active") == (
        listed["name"], listed["roles"], listed["state"],
    )  # fmt: skip
    assert "revoked" == desk.one("token", "revoke", listed["id"])["state"]
    assert "not_found" == desk.one("token", "revoke", "t-none", exit=3)["error"]
    assert "revoked" == desk.one("token", "list")["items"][0]["state"]
    assert made["token"].encode() not in desk.file.read_bytes()


def test_the_command_line_knows_every_role():
    """
    The choices of ``--role`` are the roles that callers have.
    """
    assert set(Role) == set(token_commands.ROLES)
