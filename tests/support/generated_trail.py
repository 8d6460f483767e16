"""A generated CloudTrail in the form that AWS documents, for which the responsible party of each action is known.

A ``Trail`` writes the records of what its methods do, and remembers for each action with an issued key who requested
the first key of its line. The special cases are those of real trails: roles assumed from roles, a source identity
chosen by the caller, calls by a service on behalf of somebody (``invokedBy``), one event logged in two accounts
(``sharedEventID``), federated users, MFA sessions, instances and functions.
"""

import random
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

_START: Final = datetime(2026, 3, 2, 8, tzinfo=UTC)
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


class Holder(NamedTuple):
    """The holder of a key: its ``userIdentity``, and the root of its actions, if known."""

    identity: dict[str, Any]
    root: str | None = None

    @property
    def key(self) -> str:
        """The public id of the key."""
        return str(self.identity["accessKeyId"])

    @property
    def caller(self) -> str:
        """The party responsible for the keys that it requests: the root of its own key, else itself."""
        return self.root or str(self.identity["arn"])


class Trail:
    """The records of a trail, and the truth about them."""

    def __init__(self, seed: int) -> None:
        """Begin with nothing."""
        self.records: list[dict[str, Any]] = []
        self.roots: dict[str, str] = {}  # action -> the requester of the first key of its line
        self.keys: list[str] = []  # of people, issued by CreateAccessKey
        self._chance = random.Random(seed)

    def user(self, name: str, account: str) -> Holder:
        """Create a user with a key that is older than the log."""
        arn = f"arn:aws:iam::{account}:user/{name}"
        identity = {"type": "IAMUser", "principalId": self._id("AIDA"), "arn": arn, "accountId": account}
        return Holder(identity | {"accessKeyId": self._id("AKIA"), "userName": name})

    def console(self, name: str, account: str) -> Holder:
        """Log in a user with a password, whose key no event issues."""
        held = self.user(name, account)
        login = {name: value for name, value in held.identity.items() if name != "accessKeyId"}
        self._record(login, "signin", "ConsoleLogin", {}, {"ConsoleLogin": "Success"}, eventType="AwsConsoleSignIn")
        made = {"creationDate": self._now(), "mfaAuthenticated": "true"}
        identity = login | {"accessKeyId": self._id("ASIA"), "sessionContext": {"attributes": made}}
        return Holder(identity)

    def role(self, by: Holder, name: str, *, account: str | None = None, source_identity: str | None = None) -> Holder:
        """Assume a role, perhaps in another account, which logs it too, and perhaps with a source identity."""
        home = by.identity["accountId"]
        to = account or home
        arn, session = f"arn:aws:iam::{to}:role/{name}", f"s-{self._chance.getrandbits(32):x}"
        asked = {"roleArn": arn, "roleSessionName": session, "durationSeconds": 3600}
        asked |= {"sourceIdentity": source_identity} if source_identity else {}
        given = self._given(to, name, session)
        answer = given | ({"sourceIdentity": source_identity} if source_identity else {})
        shared = {"sharedEventID": self._uuid()} if to != home else {}
        self._record(by.identity, "sts", "AssumeRole", asked, answer, root=by.root, recipientAccountId=home, **shared)
        if to != home:
            twin = {"type": "AWSAccount", "principalId": by.identity["principalId"], "accountId": home}
            self._record(twin, "sts", "AssumeRole", asked, answer, recipientAccountId=to, **shared)
        return self._session(given, arn, to, by.caller, source_identity=source_identity)

    def service_role(self, service: str, name: str, account: str, session: str, root: str | None) -> Holder:
        """Assume a role by a service, for the workload that it runs."""
        arn = f"arn:aws:iam::{account}:role/{name}"
        given = self._given(account, name, session)
        asked = {"roleArn": arn, "roleSessionName": session}
        invoked = {"type": "AWSService", "invokedBy": service}
        self._record(invoked, "sts", "AssumeRole", asked, given, recipientAccountId=account)
        return self._session(given, arn, account, root or service)

    def mfa(self, by: Holder) -> Holder:
        """Create the session that a user gets for a code."""
        given = {"credentials": self._credentials()}
        self._record(
            by.identity, "sts", "GetSessionToken", {"serialNumber": "arn:aws:iam::1:mfa/x"}, given, root=by.root
        )
        attributes = {"creationDate": self._now(), "mfaAuthenticated": "true"}
        key = given["credentials"]["accessKeyId"]
        return Holder(by.identity | {"accessKeyId": key, "sessionContext": {"attributes": attributes}}, by.caller)

    def federated(self, by: Holder, name: str) -> Holder:
        """Create a federated user."""
        account = by.identity["accountId"]
        arn = f"arn:aws:sts::{account}:federated-user/{name}"
        user = {"arn": arn, "federatedUserId": f"{account}:{name}"}
        given = {"credentials": self._credentials(), "federatedUser": user}
        self._record(by.identity, "sts", "GetFederationToken", {"name": name}, given, root=by.root)
        issuer = {"type": "IAMUser", "arn": by.identity["arn"], "accountId": account}
        identity = {"type": "FederatedUser", "principalId": f"{account}:{name}", "arn": arn, "accountId": account}
        key = given["credentials"]["accessKeyId"]
        return Holder(identity | {"accessKeyId": key, "sessionContext": {"sessionIssuer": issuer}}, by.caller)

    def access_key(self, by: Holder, name: str | None = None) -> Holder:
        """Create a key without an end, for the creator or for another user."""
        account = by.identity["accountId"]
        user = name or str(by.identity["userName"])
        made = {"accessKeyId": self._id("AKIA"), "userName": user, "status": "Active", "createDate": self._now()}
        asked = None if name is None else {"userName": name}
        self._record(by.identity, "iam", "CreateAccessKey", asked, {"accessKey": made}, root=by.root)
        self.keys.append(made["accessKeyId"])
        arn = f"arn:aws:iam::{account}:user/{user}"
        identity = {"type": "IAMUser", "principalId": self._id("AIDA"), "arn": arn, "accountId": account}
        return Holder(identity | {"accessKeyId": made["accessKeyId"], "userName": user}, by.caller)

    def instance(self, by: Holder, role: str) -> Holder:
        """Launch an instance, whose role EC2 assumes for it."""
        account, number = by.identity["accountId"], f"i-{self._chance.getrandbits(64):017x}"
        started = {"instancesSet": {"items": [{"instanceId": number, "imageId": "ami-1", "currentState": {"code": 0}}]}}
        profile = {"iamInstanceProfile": {"name": role}, "instancesSet": {"items": [{"minCount": 1, "maxCount": 1}]}}
        self._record(by.identity, "ec2", "RunInstances", profile, started, root=by.root)
        return self.service_role("ec2.amazonaws.com", role, account, number, by.caller)

    def call(self, by: Holder, service: str, name: str, **more: Any) -> str:
        """Perform an action, and return its id."""
        return self._record(by.identity, service, name, {"bucketName": "reports"}, None, root=by.root, **more)

    # Parts of records

    def _record(
        self,
        identity: dict[str, Any],
        service: str,
        name: str,
        asked: Any,
        answer: Any,
        *,
        root: str | None = None,
        **more: Any,
    ) -> str:
        number = self._uuid()
        record = {
            "eventVersion": "1.11", "userIdentity": identity, "eventTime": self._now(),
            "eventSource": f"{service}.amazonaws.com", "eventName": name, "awsRegion": "eu-west-1",
            "sourceIPAddress": identity.get("invokedBy", "192.0.2.7"), "userAgent": "aws-cli/2.31",
            "requestParameters": asked, "responseElements": answer, "requestID": self._uuid(), "eventID": number,
            "readOnly": False, "eventType": "AwsApiCall", "managementEvent": True, "eventCategory": "Management",
            "recipientAccountId": identity.get("accountId"),
        }  # fmt: skip
        self.records.append(record | more)
        if root is not None:
            self.roots[f"aws#{number}"] = root
        return number

    def _session(self, given: Any, role: str, account: str, root: str, source_identity: str | None = None) -> Holder:
        user, issuer = given["assumedRoleUser"], {"type": "Role", "arn": role, "accountId": account}
        name = role.rpartition("/")[2]
        context = {
            "sessionIssuer": issuer | {"principalId": user["assumedRoleId"].partition(":")[0], "userName": name},
            "attributes": {"creationDate": self._now(), "mfaAuthenticated": "false"},
        }
        identity = {
            "type": "AssumedRole", "principalId": user["assumedRoleId"], "arn": user["arn"], "accountId": account,
            "accessKeyId": given["credentials"]["accessKeyId"],
            "sessionContext": context | ({"sourceIdentity": source_identity} if source_identity else {}),
        }  # fmt: skip
        return Holder(identity, root)

    def _given(self, account: str, role: str, session: str) -> dict[str, Any]:
        arn = f"arn:aws:sts::{account}:assumed-role/{role}/{session}"
        user = {"assumedRoleId": f"{self._id('AROA')}:{session}", "arn": arn}
        return {"credentials": self._credentials(), "assumedRoleUser": user}

    def _credentials(self) -> dict[str, str]:
        end = (_START + timedelta(hours=9)).strftime("%b %d, %Y, %I:%M:%S %p")
        return {
            "accessKeyId": self._id("ASIA"),
            "sessionToken": f"sha256:{self._chance.getrandbits(256):064x}",
            "expiration": end,
        }

    def _id(self, head: str) -> str:
        return head + "".join(self._chance.choices(_LETTERS, k=16))

    def _uuid(self) -> str:
        digits = f"{self._chance.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"

    def _now(self) -> str:
        return (_START + timedelta(seconds=2 * len(self.records))).strftime("%Y-%m-%dT%H:%M:%SZ")


def incident(seed: int, *, linked: int = 118, launches: int = 23) -> Trail:
    """Generate a trail of a few people, with at least a number of linked actions and of launched instances."""
    trail, home, away = Trail(seed), "111122223333", "444455556666"
    ann, ben = trail.user("ann", home), trail.console("ben", home)
    eve = trail.user("eve", home)
    held = [
        trail.role(ann, "deploy"),
        trail.role(ben, "audit", account=away),
        trail.role(eve, "deploy", source_identity="ann"),  # who is not ann
        trail.mfa(ann),
        trail.federated(ben, "guest"),
        trail.access_key(eve, "backup"),
        trail.access_key(ann),
        trail.service_role("lambda.amazonaws.com", "nightly", home, "nightly", None),
    ]
    held += [trail.role(held[0], "reader"), trail.role(held[2], "admin", account=away), trail.role(held[3], "deploy")]
    held.append(trail.role(held[9], "far", account=home))
    held.append(trail.access_key(held[2], "ghost"))  # how an intruder keeps access
    held += [trail.instance([ann, ben, eve, held[0], held[5]][number % 5], "web") for number in range(launches)]
    number = 0
    while len(trail.roots) < linked:
        by = held[number % len(held)]
        forwarded = {"sourceIPAddress": "athena.amazonaws.com", "userAgent": "athena.amazonaws.com"}
        trail.call(by, ("s3", "dynamodb", "kms")[number % 3], "GetObject", **(forwarded if number % 7 == 0 else {}))
        number += 1
    return trail
