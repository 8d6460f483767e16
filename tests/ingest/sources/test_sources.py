"""Named sources: their settings, their identity maps, their memory, and `delegraph sources`."""

import json
import tomllib
from pathlib import Path

import pytest

from ingest.sources.adapters import FORMATS, Memory, MemoryRow
from ingest.sources.identity import IdentityMap, rule
from lineage.core.authority.principals import declared_kind
from lineage.core.model.errors import RefusedError
from lineage.serve.config.settings import Settings
from lineage.serve.queries.records.sources import suggestion
from tests.support.configured_sources import Configured

LOGIN = {
    "time": "2026-03-01T10:00:00Z",
    "type": "response",
    "auth": {"accessor": "hmac-sha256:a", "client_token": "hmac-sha256:at", "entity_id": "e-1", "policies": ["p"]},
    "request": {"id": "r1", "operation": "update", "path": "auth/oidc/oidc/callback", "mount_type": "oidc"},
    "response": {"auth": {"accessor": "hmac-sha256:a", "client_token": "hmac-sha256:at", "entity_id": "e-1"}},
}
READ = {
    "time": "2026-03-01T10:01:00Z",
    "type": "response",
    "auth": {"accessor": "hmac-sha256:a", "client_token": "hmac-sha256:at", "entity_id": "e-1"},
    "request": {
        "id": "r2",
        "operation": "read",
        "path": "kv/x",
        "client_token": "hmac-sha256:at",
        "client_token_accessor": "hmac-sha256:a",
    },
    "response": {},
}
EU = """
[[source]]
name = "vault-eu"
format = "vault"

[[source.identity]]
match = "vault-eu:entity:(?P<who>e-[0-9]+)"
id = "human:{who}@example.com"
kind = "human"
"""


@pytest.fixture
def desk(tmp_path):
    """Create an empty folder."""
    return Configured(tmp_path)


def settings_of(tmp_path: Path, text: str) -> Settings:
    (tmp_path / "delegraph.toml").write_text(text, encoding="utf-8")
    return Settings.of(env={"DELEGRAPH_CONFIG": str(tmp_path / "delegraph.toml")})


# Settings


def test_a_source_of_the_settings(tmp_path):
    """
    All its settings; the source of one's own events is still a text, from elsewhere.
    """
    text = """
        [[source]]
        name = "vault-eu"
        format = "vault"
        issuer = "https://vault.example"
        follow = "/var/log/vault/audit.log"
        tcp = "127.0.0.1:9700"
        http = true

        [[source]]
        name = "aws"
        format = "cloudtrail"
    """

    one, other = settings_of(tmp_path, text).sources

    assert ("vault-eu", "vault", "https://vault.example") == (one.name, one.format, one.issuer)
    assert {"follow": ("/var/log/vault/audit.log",), "tcp": "127.0.0.1:9700", "http": True} == one.inputs
    assert ("urn:vault:vault-eu", "vault-eu#a") == (one.source.urn, one.source.id("a"))
    assert ("urn:cloudtrail:aws", {}) == (other.source.urn, other.inputs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[source]\nname='x'", "must be a list of tables"),
        ("[[source]]\nformat='vault'", "number 1 .* needs a 'name'"),
        ("[[source]]\nname='a b'\nformat='vault'", "needs a 'name'"),
        ("[[source]]\nname='x'", "'format' of the source 'x' .* is None; give one of .*vault"),
        ("[[source]]\nname='x'\nformat='nonsense'", "is 'nonsense'; give one of"),
        ("[[source]]\nname='human'\nformat='vault'", "cannot be called that"),
        ("[[source]]\nname='cloudtrail'\nformat='vault'", "cannot be called that"),
        ("[[source]]\nname='aws'\nformat='vault'", "cannot be called that"),
        ("[[source]]\nname='x'\nformat='vault'\n" * 2, "the source 'x' is used twice"),
        ("[[source]]\nname='x'\nformat='vault'\nfolow='y'", "has 'folow', which is no setting"),
        ("[[source]]\nname='x'\nformat='vault'\nfollow=[]", "'follow' .* must name files"),
        ("[[source]]\nname='x'\nformat='vault'\ntcp=1", "write host:port"),
        ("[[source]]\nname='x'\nformat='vault'\nissuer=''", "'issuer' .* must be a text"),
        ("[[source]]\nname='x'\nformat='vault'\nlifetimes={access=300}", "has 'access'; a vault source has none"),
    ],
)
def test_an_invalid_source_is_refused_by_name(tmp_path, text, message):
    """
    The message says what is wrong, where, and what to write instead.
    """
    with pytest.raises(RefusedError, match=message):
        settings_of(tmp_path, text)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"match": ".*"}, "matches every id, so all principals would be one"),
        ({"match": "(?P<x>.+)", "id": "human:{x}"}, "matches every id"),
        ({"match": r"\S*"}, "matches every id"),
        ({"match": "("}, "not a regular expression"),
        ({"kind": "person"}, "'person'; give one of human, agent"),
        ({"id": "human:{who}"}, r"\{who\}, which 'match' has no group for"),
        ({"id": "agent:x"}, "begins with the prefix of kind agent, and 'kind' is human"),
        ({"id": " x"}, "white space"),
        ({"id": None}, "needs all of match, id, kind"),
        ({"name": "x"}, "has 'name'; there are match, id, kind"),
    ],
)
def test_an_invalid_identity_rule_is_refused(tmp_path, entry, message):
    """
    Especially one that would make all principals the same person.
    """
    fields = {"match": "vault:entity:e-1", "id": "human:alice", "kind": "human"} | entry
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in fields.items() if value is not None)

    with pytest.raises(RefusedError, match=message):
        settings_of(tmp_path, f"[[source]]\nname='vault'\nformat='vault'\n[[source.identity]]\n{lines}")


# Reading


def test_ids_and_people_of_a_named_source(desk):
    """
    Ids contain the source's name, facts keep the native id, and the chain names the person.
    """
    desk.settings(EU)

    counts = desk.one("ingest", "--source", "vault-eu", desk.log(LOGIN, READ))
    who = desk.one("who", "vault-eu#r2")

    assert (0, 0) == (counts["quarantined"], counts["conflicts"])
    assert ["vault-eu#hmac-sha256:a"] == who["tokens"]
    [root] = [hop for hop in who["chain"] if hop["kind"] == "human"]
    assert ("vault-eu:entity:e-1", "human:e-1@example.com") == (root["principal"], root["known_as"])
    assert "urn:vault:vault-eu" == root["source"]
    assert "human" == desk.one("chain", "token:vault-eu#hmac-sha256:a")["chain"][0]["kind"]


def test_two_sources_of_one_format_stay_separate(desk):
    """
    Two Vaults may use the same accessor: they are two tokens, of two entities.
    """
    desk.settings(EU + '[[source]]\nname = "vault-us"\nformat = "vault"\n')
    file = desk.log(LOGIN, READ)

    desk.one("ingest", "--source", "vault-eu", file)
    counts = desk.one("ingest", "--source", "vault-us", file)

    assert (0, 0) == (counts["duplicates"], counts["conflicts"])
    assert "vault-us:entity:e-1" == desk.one("who", "vault-us#r2")["root"]
    assert "vault-us:entity:e-1" == desk.one("who", "vault-us#r2")["chain"][0]["known_as"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--source", "nobody"), "there is no source 'nobody'; the settings name 'vault-eu'"),
        (("--source", "vault-eu", "--format", "cloudtrail"), "has the format vault, not cloudtrail"),
    ],
)
def test_an_unknown_source_is_refused(desk, words, message):
    """
    Before anything is read.
    """
    desk.settings(EU)

    assert message in desk.run("ingest", *words, desk.log(LOGIN), exit=2).output


def test_a_file_of_another_format_is_refused(desk):
    """
    A log under the wrong source would yield only quarantined records.
    """
    desk.settings(EU)
    file = desk.log({"eventID": "e", "eventName": "x", "eventSource": "y", "eventTime": "2026-03-01T10:00:00Z"})

    result = desk.run("ingest", "--source", "vault-eu", file, exit=2).output

    assert "holds cloudtrail records, and the source 'vault-eu' has the format vault" in result


def test_reading_again_adds_nothing(desk):
    """
    It yields only duplicates, and no person is registered twice.
    """
    desk.settings(EU)
    file = desk.log(LOGIN, READ)
    first = desk.one("ingest", "--source", "vault-eu", file)

    again = desk.one("ingest", "--source", "vault-eu", file)

    assert (0, 0) == (again["accepted"], again["conflicts"])
    assert 2 == first["accepted"] - again["duplicates"]  # who e-1 is was said, and is remembered


def test_the_memory_outlives_the_process(desk):
    """
    A request that was open at the end of one file finds its response in the next one: it is counted once.
    """
    request = READ | {"type": "request"}
    request.pop("response")

    first = desk.one("ingest", desk.log(LOGIN, request))
    second = desk.one("ingest", desk.log(READ, name="next.log"))

    assert ({"request-still-open": 1}, {}) == (first["skipped"], second["skipped"])
    assert 1 == desk.one("ingest", desk.log(request))["skipped"]["request-still-open"]


def test_a_rule_added_later_applies_to_ids_seen_before(desk):
    """
    It takes effect the next time anything of the source is read.
    """
    desk.settings(EU.split("[[source.identity]]", maxsplit=1)[0])
    desk.one("ingest", "--source", "vault-eu", desk.log(LOGIN))
    assert "vault-eu:entity:e-1" == desk.one("chain", "token:vault-eu#hmac-sha256:a")["chain"][0]["known_as"]

    desk.settings(EU)
    desk.one("ingest", "--source", "vault-eu", desk.log(READ))

    assert "human:e-1@example.com" == desk.one("chain", "token:vault-eu#hmac-sha256:a")["chain"][0]["known_as"]


# delegraph sources


def test_sources_lists_records_and_ids_without_an_identity(desk):
    """
    Records, events, reasons, the last time, and the rule to add for the most frequent id.
    """
    desk.settings(EU.split("[[source.identity]]", maxsplit=1)[0])
    desk.one("ingest", "--source", "vault-eu", desk.log(LOGIN, READ, {"type": "request", "request": {}}))

    found = desk.one("sources")
    [item] = found["items"]

    assert (1, True, None) == (found["total"], found["complete"], found["next"])
    assert ("vault-eu", "vault", True, 3) == tuple(item[key] for key in ("name", "format", "configured", "records"))
    assert {"missing-field": 1} == item["quarantined"]
    assert "2026-03-01T10:01:00.000000Z" == item["latest"]
    assert item["came_at"] is not None
    first = item["unmapped"][0]
    assert ("vault-eu:entity:e-1", 2) == (first["id"], first["seen"])
    assert first["line"] in desk.run("sources").stdout.replace("\n    ", "\n")
    desk.settings(EU.split("[[source.identity]]", maxsplit=1)[0] + first["line"].replace("NAME", "zoe"))
    desk.one("ingest", "--source", "vault-eu", desk.log(READ))
    assert "human:zoe" == desk.one("chain", "token:vault-eu#hmac-sha256:a")["chain"][0]["known_as"]
    assert all(one["id"] != "vault-eu:entity:e-1" for one in desk.one("sources")["items"][0]["unmapped"])


@pytest.mark.parametrize(
    ("native", "line"),
    [
        ("k8s:pod:agents/worker-1", "spiffe://prod/agents/worker-1"),
        ("https://k8s.example#system:serviceaccount:agents:worker", "service:agents-worker"),
        ("https://k8s.example#system:node:n-1", "spiffe://prod/n-1"),
        ("bao:display-name:token-planner", "agent:planner"),
        ("bao:display-name:approle-ci", "service:approle-ci"),
        ("bao:display-name:userpass-ann", "human:ann"),
        ("https://sso/realms/acme#planner", "service:planner"),
        ("https://sso/realms/acme#5f0c6a52-2f0e-4c0f-9d0e-6b1f6f6f2a10", "human:NAME"),
        ("arn:aws:iam::111122223333:role/agents/ci", "service:ci"),
        ("ec2.amazonaws.com", "service:ec2"),
        ("aws:111122223333:source-identity:ann", "human:NAME"),
        ("x@p.iam.gserviceaccount.com", "service:x"),
    ],
)
def test_the_proposed_rule_has_the_kind_that_the_id_implies(native, line):
    """
    A pod is not a person; a name chosen by its caller is not proposed.
    """
    suggested = suggestion(native, kind="unknown", name=None, source="prod")

    kind = "workload" if line.startswith("spiffe:") else line.partition(":")[0]
    assert [f'id = "{line}"', f'kind = "{kind}"'] == suggested.splitlines()[2:]
    assert declared_kind(line) == kind
    read = tomllib.loads(suggested)["source"]["identity"][0]
    assert line == rule(read["match"], read["id"], read["kind"], "it").of(native)


def test_overlapping_rules_and_joined_ids_are_reported(desk):
    """
    The first rule counts; both are reported after reading, and in `sources`.
    """
    desk.settings(
        EU
        + """
[[source.identity]]
match = "vault-eu:entity:.*"
id = "human:somebody"
kind = "human"
"""
    )
    line = json.dumps(LOGIN)
    others = [
        json.loads(line.replace("e-1", f"x-{n}").replace("r1", f"l{n}").replace("hmac-sha256:a", f"hmac-sha256:{n}"))
        for n in (1, 2)
    ]

    result = desk.run("ingest", "--source", "vault-eu", desk.log(LOGIN, *others)).output
    [item] = desk.one("sources")["items"]

    assert [{"id": "vault-eu:entity:e-1", "rules": [1, 2]}] == item["ambiguous"]
    natives = ["vault-eu:entity:x-1", "vault-eu:entity:x-2"]
    assert [{"id": "human:somebody", "from": natives}] == item["joined"]
    assert "vault-eu:entity:e-1 fits the identity rules 1 and 2, which say different things; the first" in result
    assert "human:e-1@example.com" == desk.one("chain", "token:vault-eu#hmac-sha256:a")["chain"][0]["known_as"]


def test_a_source_of_the_settings_that_sent_nothing_is_listed(desk):
    """
    Silence is an answer.
    """
    desk.settings(EU)
    desk.run("init")

    [item] = desk.one("sources")["items"]

    assert ("vault-eu", 0, None) == (item["name"], item["records"], item["came_at"])
    assert "none yet" in desk.run("sources").stdout


# The identity map


def test_a_rule_must_match_the_whole_id():
    """
    Neither a beginning nor an end is enough.
    """
    one = rule("vault:entity:e-1", "human:alice", "human", "x")

    assert ("human:alice", None, None) == tuple(
        map(one.of, ("vault:entity:e-1", "vault:entity:e-12", "xvault:entity:e-1"))
    )


def test_a_registration_depends_only_on_the_id_and_the_time():
    """
    So the same log in another order, or read again without a memory, contradicts nothing.
    """
    source = FORMATS["vault"].source("vault-eu")
    rules = [rule("vault-eu:entity:(?P<x>[a-z]+)", "human:{x}", "human", "x")]
    events = [
        source.event("action.performed", f"{n}", "2026-03-01T10:00:00Z", actor="vault-eu:entity:zoe") for n in "ab"
    ]

    forth = IdentityMap(rules, source, Memory()).registrations(events)
    back = IdentityMap(rules, source, Memory()).registrations(reversed(events))

    assert forth == back
    assert [("human:zoe", ["vault-eu:entity:zoe"], "human")] == [
        (one["principal"], one["aliases"], one["kind"]) for one in forth
    ]


def test_an_id_that_would_become_invalid_is_not_mapped():
    """
    No invalid id is created.
    """
    source = FORMATS["vault"].source("vault-eu")
    memory = Memory([MemoryRow("other", "x", "1")])
    rules = [rule("vault-eu:entity:(?P<x>.*)", "{x}", "human", "x")]
    event = source.event("action.performed", "1", "2026-03-01T10:00:00Z", actor="vault-eu:entity:  ")

    assert [] == IdentityMap(rules, source, memory).registrations([event])
