"""Hops between systems: a log that names a token of another system proves the hop, and nothing else does."""

import json

import pytest

from ingest.sources.adapters import FORMATS
from lineage.serve.cli import demo_everywhere
from tests.support.adapter_tables import Row, check, read
from tests.support.configured_sources import Configured
from tests.support.desk import invoke
from tests.support.vault_records import ALICE, response_line

SHOWN = {"iss": "https://k8s.example", "jti": "j1"}


def login(mount, metadata, id_="r1"):
    auth = ALICE | {"metadata": metadata, "display_name": "jwt-reporter"}
    request = {"mount_type": mount, "mount_point": f"auth/{mount}/"}
    return response_line(id_, f"auth/{mount}/login", auth=None, request=request, response={"auth": auth}) | {
        "auth": auth
    }


def key_given(access_key, mount="aws"):
    request = {"mount_type": mount, "operation": "read"}
    return response_line("r2", "aws/sts/reports", request=request, response={"data": {"access_key": access_key}})


def tokens(*records):
    return {
        event["token"]: event for event in read(FORMATS["vault"], records).events if event["type"] == "token.issued"
    }


@pytest.mark.parametrize(
    ("mount", "metadata", "derived"),
    [
        ("jwt", SHOWN, ["https://k8s.example#j1"]),
        ("oidc", SHOWN, ["https://k8s.example#j1"]),
        ("jwt", {"jti": "j1"}, []),
        ("jwt", {"iss": "https://k8s.example"}, []),
        ("jwt", {"iss": "https://k8s.example", "jti": ["j1"]}, []),
        ("approle", SHOWN, []),
    ],
)
def test_the_jwt_presented_at_a_login_is_the_parent(mount, metadata, derived):
    """
    This requires a method that verifies JWTs and logs both issuer and id.
    """
    [token] = tokens(login(mount, metadata)).values()

    assert derived == [parent["token"] for parent in token.get("derived_from", ())]


@pytest.mark.parametrize(
    ("record", "given"),
    [
        (key_given("ASIAQEXAMPLEREPORT01"), True),
        (key_given("AKIAQEXAMPLEREPORT01"), True),
        (key_given("hmac-sha256:7f9b1d3c"), False),
        (key_given("ASIAQEXAMPLEREPORT01", mount="kv"), False),
        (key_given(7), False),
    ],
)
def test_a_key_issued_by_the_secrets_engine_is_derived_from_the_request(record, given):
    """
    Unhashed it is the token of AWS, derived from the token of the request; hashed it names nothing.
    """
    found = {id_: token for id_, token in tokens(record).items() if id_.startswith("aws#")}

    assert given == bool(found)
    for token in found.values():
        assert [{"token": "vault#hmac-sha256:a", "role": "subject"}] == token["derived_from"]
        assert "vault:entity:e-alice" == token["subject"]


def test_hops_follow_the_rules_of_adapters():
    """
    In any order, twice, and with a restart between any two records: the same events.
    """
    records = [login("jwt", SHOWN), key_given("ASIAQEXAMPLEREPORT01")]

    check(FORMATS["vault"], Row("a login and a key", records, read(FORMATS["vault"], records).events))


def test_one_incident_through_five_systems():
    """
    The last effect leads to the human, through every agent and every token, and a link that no log proves is a gap.
    """
    result = invoke("demo", "--everywhere", "--json")
    assert 0 == result.exit_code, result.output
    answer = json.loads(result.stdout)
    who, named = answer["who"], {one["token"]: set(one["named_by"]) for one in answer["tokens"]}

    assert [0] * 5 == [one["quarantined"] for one in answer["read"]]
    assert ("human:alice@example.com", "human") == (who["chain"][0]["known_as"], who["chain"][0]["kind"])
    assert ["service:portal", "agent:planner", "agent:reporter", "service:aws-role-reports"] == [
        hop["known_as"] for hop in who["chain"][1:]
    ]
    assert 5 == len(who["tokens"])
    assert {"urn:keycloak:sso", "urn:mcp:tools", "urn:kubernetes:prod"} <= named[who["tokens"][1]]
    assert {"urn:kubernetes:prod", "urn:vault:bao"} <= named[who["tokens"][2]]
    assert {"urn:vault:bao", "urn:cloudtrail:aws"} <= named[who["tokens"][4]]
    assert [("token", "aws#AKIAQEXAMPLEOPENBAO1")] == [(gap["kind"], gap["id"]) for gap in who["gaps"]]


def test_the_incident_is_described_for_people():
    """
    The story names the five logs, the person and the gap.
    """
    result = invoke("demo", "--everywhere")

    assert 0 == result.exit_code, result.output
    for value in ("keycloak.jsonl", "mcp.jsonl", "kubernetes.jsonl", "openbao.jsonl", "cloudtrail.jsonl"):
        assert value in result.stdout
    assert "human:alice@example.com" in result.stdout
    assert "aws#AKIAQEXAMPLEOPENBAO1" in result.stdout
    assert 2 == invoke("demo", "--everywhere", "--serve").exit_code


@pytest.mark.parametrize("without", ["keycloak", "kubernetes", "openbao"])
def test_a_missing_log_is_a_gap(tmp_path, without):
    """
    Without one of the logs the chain is shorter, and names what it lacks; nothing is joined by guessing.
    """
    folder = demo_everywhere.folder()
    desk = Configured(tmp_path)
    desk.settings((folder / "delegraph.toml").read_text(encoding="utf-8"))
    for source, name in (
        ("sso", "keycloak"), ("tools", "mcp"), ("prod", "kubernetes"), ("bao", "openbao"), ("aws", "cloudtrail"),
    ):  # fmt: skip
        if name != without:
            desk.one("ingest", "--source", source, str(folder / f"{name}.jsonl"))

    who = desk.one("who", demo_everywhere.EFFECT, "--at", "2026-11-03T08:10:00Z")

    assert who["human"] is None
    assert len(who["tokens"]) < 5
    lacking = {"keycloak": "https://sso.example", "kubernetes": "https://k8s.example", "openbao": "aws#AKIA"}[without]
    assert any(gap["id"].startswith(lacking) for gap in who["gaps"]), who["gaps"]
