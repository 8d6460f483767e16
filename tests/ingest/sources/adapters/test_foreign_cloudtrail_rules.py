"""CloudTrail: who is responsible for a key, what ended it, and what two events state together. Hand-made records."""

import json

import pytest

from ingest.sources.adapters import FORMATS
from tests.support.adapter_tables import Row, assert_rules, check
from tests.support.cloudtrail_records import ACCOUNT, ASSUMED, ROLE, SESSION, USER, event, sts
from tests.support.desk import Desk

TRAIL = FORMATS["cloudtrail"]
ANN = USER["arn"]
BOB = {
    "type": "IAMUser",
    "principalId": "AIDA2",
    "arn": f"arn:aws:iam::{ACCOUNT}:user/staff/bob",
    "accountId": ACCOUNT,
    "accessKeyId": "AKIABOB",
    "userName": "bob",
}
INSTANCE = "i-0317f6c6b66ae9c40"
EC2 = {"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}


@pytest.fixture
def desk(tmp_path):
    """Create an empty folder."""
    return Desk(tmp_path)


def at(minute):
    return f"2026-03-01T10:{minute:02}:00Z"


def iam(name, id_, *, minute=0, identity=USER, answer=None, **asked):
    record = event(name, id_, identity=identity, eventSource="iam.amazonaws.com", responseElements=answer)
    return record | {"requestParameters": asked, "eventTime": at(minute)}


def created(id_="k1", *, name="bob", minute=1, identity=USER):
    answer = {"accessKey": {"userName": name, "accessKeyId": "AKIABOB", "status": "Active"}}
    return iam("CreateAccessKey", id_, minute=minute, identity=identity, answer=answer, userName=name)


def launched(id_="run1", *, identity=USER, minute=0, instances=(INSTANCE,)):
    answer = {"instancesSet": {"items": [{"instanceId": instance} for instance in instances]}}
    record = event("RunInstances", id_, identity=identity, eventSource="ec2.amazonaws.com", responseElements=answer)
    return record | {"eventTime": at(minute)}


def of_instance(id_="as1", *, minute=2, key="ASIAINST", instance=INSTANCE):
    record = sts(id_=id_, identity=EC2, asked={"roleSessionName": instance}, key=key)
    return record | {"eventTime": at(minute)}


def copied(record, id_, *, identity=None, recipient="999988887777"):
    there = {"type": "AWSAccount", "principalId": "AIDA1", "accountId": ACCOUNT}
    own = record | {"sharedEventID": "shared-1"}
    return own, own | {"eventID": id_, "recipientAccountId": recipient, "userIdentity": identity or there}


def gateway(id_="g1", *, status=200, claims=None, **body):
    record = event(
        "InvokeGateway",
        id_,
        identity={"type": "AWSAccount", "principalId": "", "accountId": "anonymous"},
        eventSource="bedrock-agentcore.amazonaws.com",
    )
    called = {"method": "tools/call", "params": {"name": "Target___ListTables"}}
    record |= {"requestParameters": {"body": called}, "responseElements": {"statusCode": status, "body": body}}
    return record | ({"additionalEventData": {"jwt": {"claims": claims}}} if claims else {})


ACTION = {"type": "action.performed"}
ISSUE = {"type": "token.issued"}
ORDER = {"type": "revocation.ordered"}
LIFT = {"type": "revocation.lifted"}
ANN_KNOWN = {"type": "principal.registered", "principal": ANN}
LAUNCH = f"aws#{INSTANCE}/launch"
ROOT_KEY = {
    "eventSource": "sts.amazonaws.com",
    "requestParameters": {"targetPrincipal": "333333333333"},
    "responseElements": {"credentials": {"accessKeyId": "ASIAROOT"}},
}
ANYWHERE = {
    "eventSource": "rolesanywhere.amazonaws.com",
    "responseElements": {
        "subjectArn": "arn:aws:rolesanywhere:eu-west-1:1:subject/s",
        "credentialSet": [
            {
                "credentials": {"accessKeyId": "ASIARA", "expiration": "2026-03-01T11:00:00Z"},
                "roleArn": ROLE,
                "assumedRoleUser": {"arn": SESSION},
            }
        ],
    },
}
COGNITO = {
    "eventSource": "cognito-identity.amazonaws.com",
    "responseElements": {
        "identityId": "eu-west-1:abc",
        "credentials": {"accessKeyId": "ASIACOG", "expiration": 1772362800},
    },
}
COGNITO_ROLE = ASSUMED | {"accessKeyId": "ASIACOG", "arn": f"{SESSION.rpartition('/')[0]}/CognitoIdentityCredentials"}

ROWS = [
    Row(
        "a user is known by name, by unique id, and without a path",
        [event(identity=BOB)],
        [
            ACTION,
            {
                "type": "principal.registered",
                "principal": BOB["arn"],
                "kind": "human",
                "display_name": "bob",
                "aliases": ["AIDA2", f"arn:aws:iam::{ACCOUNT}:user/bob"],
            },
        ],
    ),
    Row(
        "a key created for another user is derived from the key that created it, and never ends",
        [created()],
        [
            ACTION,
            ISSUE
            | {
                "token": "aws#AKIABOB",
                "subject": ANN,
                "actor": f"arn:aws:iam::{ACCOUNT}:user/bob",
                "derived_from": [{"token": "aws#AKIAANN", "role": "subject"}],
                "expires_at": None,
            },
            ANN_KNOWN,
        ],
    ),
    Row(
        "a key that a user creates for themselves is their own",
        [created(name="bob", identity=BOB | {"accessKeyId": "AKIAOLD"})],
        [ACTION, ISSUE | {"subject": BOB["arn"], "actor": None}, {"type": "principal.registered"}],
    ),
    Row(
        "a deleted key is an order on it alone: its sessions stay alive",
        [iam("DeleteAccessKey", "d1", accessKeyId="AKIABOB", userName="bob")],
        [
            ACTION,
            ORDER
            | {
                "revocation": "aws#d1",
                "target": {"kind": "token", "id": "aws#AKIABOB"},
                "cascade": False,
                "mode": "revoke",
                "ordered_by": ANN,
                "source": f"urn:aws:cloudtrail:{ACCOUNT}",
            },
            ANN_KNOWN,
        ],
    ),
    Row(
        "an inactive key is suspended until it is active again",
        [
            iam("UpdateAccessKey", "u1", accessKeyId="AKIABOB", status="Inactive", minute=1),
            iam("UpdateAccessKey", "u2", accessKeyId="AKIABOB", status="Active", minute=2),
            iam("UpdateAccessKey", "u3", accessKeyId="AKIABOB", status="Inactive", minute=3),
        ],
        [
            ACTION,
            ORDER | {"revocation": "aws#u1", "mode": "suspend", "cascade": False},
            ANN_KNOWN,
            ACTION,
            LIFT | {"revocation": "aws#u1", "lifted_by": ANN},
            ACTION,
            ORDER | {"revocation": "aws#u3", "mode": "suspend"},
        ],
    ),
    Row(
        "a refused call neither creates nor ends a key",
        [
            created() | {"errorCode": "AccessDenied"},
            iam("DeleteAccessKey", "d1", accessKeyId="AKIABOB") | {"errorCode": "NoSuchEntityException"},
        ],
        [ACTION | {"outcome": "denied"}, ANN_KNOWN, ACTION | {"outcome": "failed"}],
    ),
    Row(
        "the session of an instance depends on its launcher",
        [launched(), of_instance()],
        [
            ACTION,
            {
                "type": "delegation.granted",
                "delegation": LAUNCH,
                "delegator": ANN,
                "delegatee": "ec2.amazonaws.com",
            },
            ANN_KNOWN,
            ACTION,
            ISSUE | {"subject": "ec2.amazonaws.com", "actor": ROLE, "delegation": LAUNCH, "derived_from": None},
            ISSUE
            | {
                "event_id": "aws#as1/launched-by",
                "derived_from": [{"token": "aws#AKIAANN", "role": "subject"}],
            },
        ],
    ),
    Row(
        "a session of a service under another name depends on nothing",
        [sts(id_="as1", identity=EC2, asked={"roleSessionName": "fleet"})],
        [ACTION, ISSUE | {"delegation": None}],
    ),
    Row(
        "root of another account",
        [event("AssumeRoot", "r1", **ROOT_KEY)],
        [ACTION, ISSUE | {"subject": ANN, "actor": "arn:aws:iam::333333333333:root"}, ANN_KNOWN],
    ),
    Row(
        "a certificate of Roles Anywhere",
        [event("CreateSession", "c1", identity={"type": "Unknown", "principalId": "", "arn": ""}, **ANYWHERE)],
        [
            ACTION | {"actor": None},
            ISSUE
            | {
                "token": "aws#ASIARA",
                "subject": "arn:aws:rolesanywhere:eu-west-1:1:subject/s",
                "actor": ROLE,
                "session": SESSION,
                "expires_at": "2026-03-01T11:00:00Z",
            },
        ],
    ),
    Row(
        "an identity of Cognito: its role is stated when the key is used",
        [
            event("GetCredentialsForIdentity", "c1", identity={"type": "Unknown"}, **COGNITO),
            event(id_="c2", identity=COGNITO_ROLE),
        ],
        [
            ACTION,
            ISSUE
            | {
                "token": "aws#ASIACOG",
                "subject": "cognito-identity.amazonaws.com#eu-west-1:abc",
                "actor": None,
                "expires_at": "2026-03-01T11:00:00.000000Z",
            },
            ACTION,
            ISSUE | {"event_id": "aws#c1/holder", "actor": ROLE},
        ],
    ),
    Row(
        "a web identity is a subject of its issuer, as in the issuer's log",
        [
            sts(
                "AssumeRoleWithWebIdentity",
                identity={"type": "WebIdentityUser", "principalId": "x:y:z"},
                answer={
                    "subjectFromWebIdentityToken": "system:serviceaccount:agents:planner",
                    "provider": "arn:aws:iam::1:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/AB",
                },
            )
        ],
        [
            ACTION,
            ISSUE | {"subject": "https://oidc.eks.eu-west-1.amazonaws.com/id/AB#system:serviceaccount:agents:planner"},
        ],
    ),
    Row(
        "a SAML assertion names a subject within its issuer",
        [
            sts(
                "AssumeRoleWithSAML",
                identity={"type": "SAMLUser", "principalId": "q:ann"},
                answer={"subject": "ann", "issuer": "https://idp.example/saml"},
            )
        ],
        [ACTION, ISSUE | {"subject": "https://idp.example/saml#ann"}],
    ),
    Row(
        "one event logged in two accounts is one action, and the caller's own log has the best information",
        copied(sts(), "e2"),
        [
            ACTION | {"action": "aws#e1"},
            ISSUE | {"subject": ANN},
            ANN_KNOWN,
            {"event_id": "aws#e2/copy", "action": "aws#e1", "actor": None, "operation": "AssumeRole"},
        ],
    ),
    Row(
        "a copy without its original is an event",
        copied(sts(), "e2")[1:],
        [ACTION | {"action": "aws#e2", "actor": "AIDA1"}, ISSUE | {"subject": "AIDA1"}],
    ),
    Row(
        "a gateway call is an action of the bearer, with the tool",
        [
            gateway(
                claims={"iss": "https://idp.example", "jti": "j1", "sub": "ann", "act": {"sub": "planner"}},
                result={"isError": False},
            )
        ],
        [
            ACTION
            | {
                "outcome": "succeeded",
                "tool": "Target___ListTables",
                "token": "https://idp.example#j1",
                "actor": "https://idp.example#planner",
                "on_behalf_of": "https://idp.example#ann",
            }
        ],
    ),
    Row(
        "the call of a refused bearer is denied, and has no actor",
        [gateway(status=401, error={"message": "Invalid Bearer token"})],
        [ACTION | {"outcome": "denied", "actor": None, "token": None}],
    ),
    Row(
        "an error may have status 200 as well",
        [gateway(result={"isError": True}), gateway("g2", error={"code": -32001})],
        [ACTION | {"outcome": "failed"}] * 2,
    ),
    Row(
        "times without a zone are in UTC",
        [event() | {"eventTime": "2026-03-01 10:00:00"}],
        [ACTION | {"occurred_at": "2026-03-01T10:00:00Z"}, ANN_KNOWN],
    ),
    Row(
        "a named source is one source, whatever accounts are in its log; its ids are those of AWS",
        [created()],
        [
            ACTION | {"source": "urn:cloudtrail:prod", "action": "aws#k1"},
            ISSUE | {"source": "urn:cloudtrail:prod", "token": "aws#AKIABOB"},
            ANN_KNOWN,
        ],
        source=TRAIL.source("prod"),
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_rules(row):
    """
    The events of a few records, in any order, twice, and with restarts in between.
    """
    check(TRAIL, row)


def test_all_rules_together():
    """
    The records of all rows in one log; the ids of each row are distinct.
    """
    records = []
    for number, row in enumerate(ROWS):
        text = json.dumps(row.records)
        for word in ("AKIA", "ASIA", "shared-1", "AIDA"):
            text = text.replace(word, f"{word}{number}X")
        text = text.replace(INSTANCE, f"i-{number:08x}")
        records += [record | {"eventID": f"{record['eventID']}-{number}"} for record in json.loads(text)]

    assert_rules(TRAIL, records)


def test_the_caller_is_the_root_whatever_identity_they_claim(desk):
    """
    Mallory claims to be alice: Mallory is the root, and alice is only asserted.
    """
    mallory = USER | {"arn": f"arn:aws:iam::{ACCOUNT}:user/mallory", "userName": "mallory"}
    records = [
        sts(identity=mallory, asked={"sourceIdentity": "alice"}, key="ASIADEPLOY"),
        event(id_="e2", identity=ASSUMED),
    ]
    file = desk.folder / "trail.json"
    file.write_text(json.dumps({"Records": records}))
    desk.one("ingest", str(file))

    who = desk.one("who", "aws#e2")

    assert (mallory["arn"], mallory["arn"]) == (who["root"], who["human"])
    assert [("token", mallory["arn"]), ("asserted", f"aws:{ACCOUNT}:source-identity:alice"), ("token", ROLE)] == [
        (hop["evidence"], hop["principal"]) for hop in who["chain"]
    ]


@pytest.mark.parametrize("launcher", [USER, ASSUMED], ids=["a user", "a role that a user assumed"])
def test_actions_of_an_instance_lead_to_its_launcher(desk, launcher):
    """
    Through the launch, and through the key used for it; if the launch is not in the log, there is a gap.
    """
    other = "i-00000000"
    by_role = ASSUMED | {"accessKeyId": "ASIAINST"}
    records = [
        sts(id_="first", key="ASIADEPLOY"),
        launched(identity=launcher, minute=1),
        of_instance(minute=2),
        of_instance("as2", instance=other, key="ASIAOTHER", minute=3),
        event(id_="e2", identity=by_role) | {"eventTime": at(4)},
        event(id_="e3", identity=by_role | {"accessKeyId": "ASIAOTHER"}) | {"eventTime": at(5)},
    ]
    file = desk.folder / "trail.json"
    file.write_text(json.dumps(records))
    desk.one("ingest", str(file))

    known, unknown = desk.ask("who", "aws#e2", "aws#e3")

    assert ANN == known["root"] == known["human"]
    assert "ec2.amazonaws.com" in [hop["principal"] for hop in known["chain"]]
    assert LAUNCH not in [gap["id"] for gap in known["gaps"]]
    assert ("ec2.amazonaws.com", f"aws#{other}/launch") == (unknown["root"], unknown["gaps"][0]["id"])
    assert [] == [found["kind"] for found in (*known["findings"], *unknown["findings"])]
