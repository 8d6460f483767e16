"""Google Cloud's audit logs: who acted through whom, and which credentials were created and ended."""

import json

import pytest

from ingest.sources.adapters import FORMATS
from tests.support.adapter_tables import Row, assert_rules, check
from tests.support.desk import Desk

GCP = FORMATS["gcp"]
KEY = "projects/p/serviceAccounts/ci@p.iam.gserviceaccount.com/keys/k1"


@pytest.fixture
def desk(tmp_path):
    """Create an empty folder."""
    return Desk(tmp_path)


def entry(id_="i1", method="beta.compute.instances.insert", *, who="ann@example.com", by=(), minute=0, **payload):
    authentication = {"principalEmail": who} | payload.pop("authentication", {})
    if by:
        authentication["serviceAccountDelegationInfo"] = list(by)
    return {
        "insertId": id_,
        "logName": "projects/p/logs/cloudaudit.googleapis.com%2Factivity",
        "timestamp": f"2026-03-01T10:{minute:02}:00.123456789Z",
        "resource": {"type": "gce_instance"},
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "authenticationInfo": authentication,
            "methodName": method,
            "serviceName": "compute.googleapis.com",
            "resourceName": "projects/p/zones/z/instances/i",
        }
        | payload,
    }


def party(mail):
    return {"firstPartyPrincipal": {"principalEmail": mail}}


ACTION = {"type": "action.performed"}
ISSUE = {"type": "token.issued"}

ROWS = [
    Row(
        "an entry is an action of the named party",
        [entry()],
        [
            ACTION
            | {
                "event_id": "gcp#i1/action",
                "source": "urn:gcp:gcp",
                "action": "gcp#i1",
                "operation": "beta.compute.instances.insert",
                "outcome": "succeeded",
                "tool": "compute.googleapis.com",
                "resource": {"type": "gce_instance", "id": "projects/p/zones/z/instances/i"},
                "actor": "gcp#ann@example.com",
                "on_behalf_of": None,
                "prior_actors": None,
            }
        ],
    ),
    Row(
        "delegators are listed nearest first: the last one is the root",
        [entry(by=[party("near@x"), party("middle@x"), party("ann@x")])],
        [ACTION | {"on_behalf_of": "gcp#ann@x", "prior_actors": ["gcp#middle@x", "gcp#near@x"]}],
    ),
    Row(
        "a redacted delegator keeps its place",
        [entry("i1", by=[{}]), entry("i2", by=[party("near@x"), {}, party("ann@x")])],
        [
            ACTION | {"on_behalf_of": "gcp:redacted:i1/0", "actor": "gcp#ann@example.com"},
            ACTION | {"on_behalf_of": "gcp#ann@x", "prior_actors": ["gcp:redacted:i2/1", "gcp#near@x"]},
        ],
    ),
    Row(
        "an external party is identified by the subject",
        [entry(by=[{"principalSubject": "principal://iam.googleapis.com/x/subject/ann"}])],
        [ACTION | {"on_behalf_of": "gcp#principal://iam.googleapis.com/x/subject/ann"}],
    ),
    Row(
        "refused, not authenticated, wrong",
        [entry(f"i{code}", status={"code": code}) for code in (7, 16, 5, 0)],
        [ACTION | {"outcome": outcome} for outcome in ("denied", "denied", "failed", "succeeded")],
    ),
    Row(
        "people and service accounts",
        [
            entry("i1", authentication={"principalSubject": "user:ann@example.com"}),
            entry("i2", who="ci@p.iam.gserviceaccount.com"),
        ],
        [
            ACTION,
            {"type": "principal.registered", "principal": "gcp#ann@example.com", "kind": "human"},
            ACTION,
            {"type": "principal.registered", "principal": "gcp#ci@p.iam.gserviceaccount.com", "kind": "service"},
        ],
    ),
    Row(
        "a requested token of a service account",
        [
            entry(
                method="google.iam.credentials.v1.GenerateAccessToken",
                by=[party("middle@x"), party("ann@x")],
                request={
                    "name": "projects/-/serviceAccounts/ci@p.iam.gserviceaccount.com",
                    "scope": ["cloud-platform"],
                    "lifetime": "600s",
                },
            )
        ],
        [
            ACTION,
            ISSUE
            | {
                "token": "gcp#i1/token",
                "subject": "gcp#ann@x",
                "prior_actors": ["gcp#middle@x", "gcp#ann@example.com"],
                "actor": "gcp#ci@p.iam.gserviceaccount.com",
                "scopes": ["cloud-platform"],
                "expires_at": "2026-03-01T10:10:00.123456Z",
            },
        ],
    ),
    Row(
        "a key of a service account is created, used and deleted",
        [
            entry(method="google.iam.admin.v1.CreateServiceAccountKey", response={"name": KEY}),
            entry(
                "i2",
                who="ci@p.iam.gserviceaccount.com",
                authentication={"serviceAccountKeyName": f"//iam.googleapis.com/{KEY}"},
                minute=1,
            ),
            entry("i3", "google.iam.admin.v1.DeleteServiceAccountKey", request={"name": KEY}, minute=2),
        ],
        [
            ACTION,
            ISSUE | {"token": f"gcp#{KEY}", "subject": "gcp#ann@example.com", "expires_at": None},
            ACTION | {"token": f"gcp#{KEY}"},
            {"type": "principal.registered"},
            ACTION,
            {
                "type": "revocation.ordered",
                "target": {"kind": "token", "id": f"gcp#{KEY}"},
                "cascade": False,
                "ordered_by": "gcp#ann@example.com",
            },
        ],
    ),
    Row(
        "an entry of another log is not an audit entry",
        [
            {
                "insertId": "i1",
                "logName": "projects/p/logs/testlog",
                "textPayload": "x",
                "timestamp": "2026-03-01T10:00:00Z",
            }
        ],
        skipped=["no-audit-entry"],
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_rules(row):
    """
    The events of a few entries, in any order, twice, and with restarts in between.
    """
    check(GCP, row)


def test_all_rules_together():
    """
    The entries of all rows in one log; the ids of each row are distinct.
    """
    entries = [
        record | {"insertId": f"{record['insertId']}-{number}"}
        for number, row in enumerate(ROWS)
        for record in row.records
    ]

    assert_rules(GCP, entries)


def test_the_first_delegator_is_the_root(desk):
    """
    If its name was redacted, its place is a gap.
    """
    file = desk.folder / "audit.jsonl"
    records = [entry("i1", by=[party("near@x"), party("ann@x")]), entry("i2", by=[party("near@x"), {}])]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    desk.one("ingest", str(file))

    known, redacted = desk.ask("who", "gcp#i1", "gcp#i2")

    assert ["gcp#ann@x", "gcp#near@x", "gcp#ann@example.com"] == [hop["principal"] for hop in known["chain"]]
    assert "gcp:redacted:i2/1" == redacted["root"] == redacted["gaps"][0]["id"]
