"""CloudTrail records in the forms that AWS documents, with made-up ids."""

ACCOUNT = "210987654321"


USER = {
    "type": "IAMUser",
    "principalId": "AIDA1",
    "arn": f"arn:aws:iam::{ACCOUNT}:user/ann",
    "accountId": ACCOUNT,
    "accessKeyId": "AKIAANN",
}


ROLE = f"arn:aws:iam::{ACCOUNT}:role/path/deploy"


SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/ann"


ASSUMED = {
    "type": "AssumedRole",
    "principalId": "AROA1:ann",
    "arn": SESSION,
    "accountId": ACCOUNT,
    "accessKeyId": "ASIADEPLOY",
    "sessionContext": {"sessionIssuer": {"type": "Role", "arn": ROLE}},
}


SESSION_TOKEN = "IQoJb3JpZ2luX2VjE" + "x" * 300


def event(name="ListThings", id_="e1", *, identity=USER, **extra):
    """Build a CloudTrail event."""
    made = {
        "eventVersion": "1.08",
        "userIdentity": identity,
        "eventTime": "2026-03-01T10:00:00Z",
        "eventSource": "things.amazonaws.com",
        "eventName": name,
        "eventID": id_,
        "eventType": "AwsApiCall",
        "recipientAccountId": ACCOUNT,
        "requestParameters": None,
        "responseElements": None,
    }
    return made | extra


def sts(name="AssumeRole", *, key="ASIANEW", expiration="Mar 1, 2026, 11:00:00 AM", **extra):
    """Build a response of STS that issues a key."""
    answer = {
        "credentials": {"accessKeyId": key, "sessionToken": SESSION_TOKEN, "expiration": expiration},
        "assumedRoleUser": {"assumedRoleId": "AROA1:ann", "arn": SESSION},
    }
    asked = {"roleArn": ROLE, "roleSessionName": "ann"}
    answer |= extra.pop("answer", {})
    asked |= extra.pop("asked", {})
    return event(name, eventSource="sts.amazonaws.com", requestParameters=asked, responseElements=answer, **extra)
