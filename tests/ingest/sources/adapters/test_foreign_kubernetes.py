"""Kubernetes' audit log: who acted as whom, what was delegated, and what ended with a pod or an account."""

import json

import pytest

from ingest.sources.adapters import FORMATS
from tests.support.adapter_tables import Row, assert_rules, check, read
from tests.support.desk import Desk

K8S = FORMATS["kubernetes"]
ISS = "https://kubernetes.default.svc"
PROD = K8S.source("prod", issuer=ISS)
PLANNER, WORKER = (f"system:serviceaccount:agents:{name}" for name in ("planner", "worker"))
ALICE = {"username": "alice"}


@pytest.fixture
def desk(tmp_path):
    """Create an empty folder."""
    return Desk(tmp_path)


def at(second):
    return f"2026-03-01T10:00:{second:02}.000000Z"


def account(name=PLANNER, jti="j1", pod=None):
    extra = {"authentication.kubernetes.io/credential-id": [f"JTI={jti}"]}
    if pod:
        extra["authentication.kubernetes.io/pod-name"] = [pod]
    return {"username": name, "extra": extra}


def call(id_="a1", verb="list", about="configmaps", *, user=ALICE, code=200, second=1, name=None, **extra):
    resource, _, subresource = about.partition("/")
    ref = {"resource": resource, "namespace": "agents", "name": name, "subresource": subresource or None}
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": id_,
        "stage": "ResponseComplete",
        "requestURI": f"/api/v1/namespaces/agents/{resource}",
        "verb": verb,
        "user": user,
        "objectRef": {field: value for field, value in ref.items() if value},
        "responseStatus": {"code": code},
        "stageTimestamp": at(second),
    } | extra


def minted(id_="m1", jti="j1", *, name="planner", user=ALICE, second=1, pod=None, whole=True, **extra):
    annotations = {"authentication.kubernetes.io/issued-credential-id": f"JTI={jti}"}
    record = call(id_, "create", "serviceaccounts/token", user=user, code=201, second=second, name=name)
    record |= {"annotations": annotations} | extra
    if not whole:
        return record
    spec = {"audiences": [ISS], "boundObjectRef": {"kind": "Pod", "name": pod} if pod else None}
    status = {"token": "eyJhbGciOiJub25lIn0.eyJqdGkiOiIxIn0.c2ln", "expirationTimestamp": at(59)}
    return record | {"level": "RequestResponse", "responseObject": {"spec": spec, "status": status}}


ACTION = {"type": "action.performed"}
GRANT = {"type": "delegation.granted"}
ISSUE = {"type": "token.issued"}
ORDER = {"type": "revocation.ordered"}
KNOWN = {"type": "principal.registered"}
TOKEN = f"{ISS}#j1"

ROWS = [
    Row(
        "a call is an action under its token",
        [call(user=account(pod="planner-pod"))],
        [
            ACTION
            | {
                "event_id": "prod#a1/action",
                "source": "urn:kubernetes:prod",
                "action": "prod#a1",
                "operation": "list",
                "outcome": "succeeded",
                "tool": "prod",
                "resource": {"type": "configmaps", "id": "agents"},
                "token": TOKEN,
                "actor": f"{ISS}#{PLANNER}",
                "workload": "prod:pod:agents/planner-pod",
                "on_behalf_of": None,
            },
            KNOWN | {"principal": f"{ISS}#{PLANNER}", "kind": "service", "display_name": "agents/planner"},
        ],
        source=PROD,
    ),
    Row(
        "without settings ids begin with that of the format",
        [call()],
        [ACTION | {"action": "k8s#a1", "actor": "k8s#alice", "token": None}],
    ),
    Row(
        "a user with a mailbox is a person, also when impersonating; the mailbox of a machine tells nothing",
        [
            call("a1", user={"username": "ann@example.org"}, impersonatedUser={"username": "carol@example.org"}),
            call("a2", user={"username": "ci@shop.iam.gserviceaccount.com"}),
        ],
        [
            ACTION | {"actor": f"{ISS}#carol@example.org", "on_behalf_of": f"{ISS}#ann@example.org"},
            KNOWN | {"principal": f"{ISS}#ann@example.org", "kind": "human", "display_name": "ann@example.org"},
            KNOWN | {"principal": f"{ISS}#carol@example.org", "kind": "human"},
            ACTION,
        ],
        source=PROD,
    ),
    Row(
        "the last stage of a call counts",
        [
            call(stage="RequestReceived") | {"responseStatus": None},
            call(stage="ResponseStarted"),
            call(),
        ],
        [ACTION],
        skipped=["request-received", "response-started"],
        source=PROD,
    ),
    Row(
        "an unauthenticated caller has only the beginning of a response, and no name",
        [call(user={}, code=401, stage="ResponseStarted")],
        [ACTION | {"outcome": "denied", "actor": None, "event_id": "prod#a1/started"}],
        source=PROD,
    ),
    Row(
        "refused, invalid, and failed",
        [call("a1", code=403), call("a2", code=422), call("a3", stage="Panic") | {"responseStatus": None}],
        [ACTION | {"outcome": outcome} for outcome in ("denied", "failed", "failed")],
        source=PROD,
    ),
    Row(
        "the impersonated user is the one on whose behalf it is done",
        [call(impersonatedUser={"username": "carol"})],
        [ACTION | {"actor": f"{ISS}#carol", "on_behalf_of": f"{ISS}#alice"}],
        source=PROD,
    ),
    Row(
        "a refused impersonation is an action of the impersonator",
        [
            call(
                code=403,
                responseStatus={
                    "code": 403,
                    "message": 'users "admin" is forbidden: User "x" cannot impersonate resource "users"',
                    "details": {"name": "admin", "kind": "users"},
                },
            )
        ],
        [
            ACTION
            | {
                "operation": "impersonate",
                "outcome": "denied",
                "resource": {"type": "users", "id": "admin"},
                "on_behalf_of": None,
            }
        ],
        source=PROD,
    ),
    Row(
        "a certificate is not a token",
        [call(user={"username": "bob", "extra": {"authentication.kubernetes.io/credential-id": ["X509SHA256=ab12"]}})],
        [ACTION | {"token": None, "key_thumbprint": "ab12", "actor": f"{ISS}#bob"}],
        source=PROD,
    ),
    Row(
        "a requested token depends on a grant of the requester",
        [minted()],
        [
            ACTION | {"resource": {"type": "serviceaccounts/token", "id": "agents/planner"}},
            GRANT
            | {
                "delegation": f"{TOKEN}/grant",
                "delegator": f"{ISS}#alice",
                "delegatee": f"{ISS}#{PLANNER}",
                "parents": None,
                "audience": [ISS],
                "expires_at": at(59),
            },
            ISSUE
            | {
                "token": TOKEN,
                "subject": f"{ISS}#{PLANNER}",
                "delegation": f"{TOKEN}/grant",
                "derived_from": None,
                "audience": [ISS],
                "expires_at": at(59),
                "workload": None,
            },
        ],
        source=PROD,
    ),
    Row(
        "the grant for a token requested by an account depends on the grant of its own token",
        [minted("m2", "j2", name="worker", user=account(), pod="worker-pod")],
        [
            ACTION,
            GRANT | {"delegation": f"{ISS}#j2/grant", "delegator": f"{ISS}#{PLANNER}", "parents": [f"{TOKEN}/grant"]},
            ISSUE | {"token": f"{ISS}#j2", "workload": "prod:pod:agents/worker-pod"},
            KNOWN,
        ],
        source=PROD,
    ),
    Row(
        "at Metadata the expiry is that of the settings, and the pod is stated when the token is used",
        [minted(whole=False), call(user=account(pod="planner-pod"), second=5)],
        [
            ACTION,
            GRANT | {"expires_at": "2026-03-01T11:00:01.000000Z", "audience": None},
            ISSUE | {"expires_at": "2026-03-01T11:00:01.000000Z", "workload": None},
            ACTION,
            ISSUE | {"event_id": "prod#m1/bound", "token": TOKEN, "workload": "prod:pod:agents/planner-pod"},
            KNOWN,
        ],
        source=K8S.source("prod", issuer=ISS, lifetimes={"token": 3600}),
    ),
    Row(
        "requested by impersonation: the person is above",
        [minted("m2", "j2", name="worker", impersonatedUser={"username": PLANNER})],
        [
            ACTION | {"actor": f"{ISS}#{PLANNER}", "on_behalf_of": f"{ISS}#alice"},
            GRANT
            | {
                "delegation": "prod#m2/impersonation",
                "delegator": f"{ISS}#alice",
                "delegatee": f"{ISS}#{PLANNER}",
            },
            GRANT | {"delegator": f"{ISS}#{PLANNER}", "parents": ["prod#m2/impersonation"]},
            ISSUE,
            KNOWN,
        ],
        source=PROD,
    ),
    Row(
        "a deleted pod ends the tokens bound to it, and nothing derived from them",
        [call("d1", "delete", "pods", name="worker-pod")],
        [
            ACTION,
            ORDER
            | {
                "target": {"kind": "workload", "id": "prod:pod:agents/worker-pod"},
                "cascade": False,
                "issued_before": at(1),
                "ordered_by": f"{ISS}#alice",
            },
        ],
        source=PROD,
    ),
    Row(
        "so does an account",
        [call("d1", "delete", "serviceaccounts", name="planner")],
        [ACTION, ORDER | {"target": {"kind": "principal", "id": f"{ISS}#{PLANNER}"}, "cascade": False}],
        source=PROD,
    ),
    Row(
        "a dry run, a refusal and a subresource end nothing",
        [
            call("d1", "delete", "pods", name="p", requestURI="/api/v1/namespaces/agents/pods/p?dryRun=All"),
            call("d2", "delete", "pods", name="p", code=403),
            call("d3", "delete", "pods/ephemeralcontainers", name="p"),
            minted("d4", requestURI="/x?dryRun=All"),
        ],
        [ACTION, ACTION | {"outcome": "denied"}, ACTION, ACTION],
        source=PROD,
    ),
    Row(
        "a deleted collection ends its known members",
        [
            minted("m1", "j1", pod="planner-pod"),
            call("d1", "deletecollection", "serviceaccounts", second=5),
            call("d2", "deletecollection", "pods", second=6, requestURI="/x?labelSelector=app%3Dx"),
        ],
        [
            *[ACTION, GRANT, ISSUE],
            ACTION,
            ORDER | {"target": {"kind": "principal", "id": f"{ISS}#{PLANNER}"}, "issued_before": at(5)},
            ACTION,
        ],
        source=PROD,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_rules(row):
    """
    The events of a few records, in any order, twice, and with restarts in between.
    """
    check(K8S, row)


def test_a_user_with_a_jwt_of_an_identity_provider():
    """
    Its token is the provider's, and the tokens it requests are derived from it; an account's token is the cluster's.
    """
    format_ = FORMATS["kubernetes"]
    source = format_.source("prod", issuer="https://k8s.example", options={"oidc_issuer": "https://idp.example"})
    user = {"username": "oidc:planner", "extra": account(jti="u1")["extra"]}
    rows = [minted("m1", "j1", user=user), minted("m2", "j2", user=account(jti="j1"))]

    found = [
        event
        for event in read(format_, rows, source=source).events
        if event["type"] in ("token.issued", "delegation.granted")
    ]

    first, second = ([event for event in found if event["event_id"].startswith(f"prod#m{n}/")] for n in (1, 2))
    assert [("https://idp.example#u1", "subject")] == [
        (parent["token"], parent["role"]) for event in first for parent in event.get("derived_from", ())
    ]
    assert [] == [parent for event in first for parent in event.get("parents", ())]
    assert [] == [parent for event in second for parent in event.get("derived_from", ())]
    assert ["https://k8s.example#j1/grant"] == [parent for event in second for parent in event.get("parents", ())]
    check(format_, Row("the same in any order", rows, read(format_, rows, source=source).events, source=source))


def test_all_rules_together():
    """
    The records of all rows in one log; the ids of each row are distinct.
    """
    records = []
    for number, row in enumerate(ROWS):
        text = json.dumps(row.records).replace("JTI=j", f"JTI={number}-j").replace("agents", f"agents{number}")
        records += [record | {"auditID": f"{record['auditID']}-{number}"} for record in json.loads(text)]

    assert_rules(K8S, records, PROD)


def test_a_token_in_the_log_becomes_its_digest():
    """
    Before 1.30 only the token itself identifies what was issued; in no version is the token itself stored.
    """
    old = minted(annotations={})

    events = read(K8S, [old], PROD).events

    assert old["responseObject"]["status"]["token"] not in json.dumps(events)
    assert [True] == [event["token"].startswith("sha256:") for event in events if event["type"] == "token.issued"]


def test_event_lists_are_read_as_they_are_posted():
    """
    Their items have neither kind nor version.
    """
    items = [{name: value for name, value in call().items() if name not in {"kind", "apiVersion"}}]
    posted = {"path": "/audit", "headers": {}, "body": {"kind": "EventList", "items": items}}

    assert read(K8S, [call()], PROD).events == read(K8S, [posted], PROD).events


def test_the_requester_is_the_root_and_minted_tokens_outlive_their_minter(desk):
    """
    A person, an account, and the account that it minted for; then the first account is deleted and created again.
    """
    records = [
        minted("m1", "j1", second=1),
        minted("m2", "j2", name="worker", user=account(), second=2),
        call("a1", user=account(WORKER, "j2"), second=3),
        call("d1", "delete", "serviceaccounts", name="planner", second=4),
        call("c1", "create", "serviceaccounts", name="planner", second=5),
        minted("m3", "j3", second=6),
    ]
    file = desk.folder / "audit.log"
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    desk.one("ingest", str(file))

    who = desk.one("who", "k8s#a1")

    assert ["k8s#alice", f"k8s#{PLANNER}", f"k8s#{WORKER}"] == [hop["principal"] for hop in who["chain"]]
    assert ["cascaded", "active", "active"] == [desk.state(f"token:k8s#j{n}", "--at", at(30)) for n in (1, 2, 3)]
    assert [] == who["gaps"]
