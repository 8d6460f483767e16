"""Importing CloudTrail compared with a bare loop of ``json.loads`` over the same file, and its memory use."""

import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measures import Figure, seconds
from ingest.codec import api as codec
from ingest.opening import open_log
from ingest.projector import project
from ingest.sources.file_import import ingest_files
from lineage.core.model.times import parse_instant
from lineage.store.source_records import SourceRecords
from lineage.store.store import open_store

_NOW = parse_instant("2026-04-01T00:00:00Z")
_CALLS = 200  # seconds of a session
_GOAL = 8.0
_GROWTH = 1.25  # the allowed growth of memory from a quarter of the file to all of it


def cloudtrail(file: Path, megabytes: float) -> int:
    """Write a trail of about ``megabytes``: people assume roles, and the sessions read objects.

    Returns the number of events.
    """
    chance, size, count = random.Random(7), 0, 0
    with file.open("w", encoding="utf-8") as out:
        while size < megabytes * 1e6:
            line = json.dumps(_event(count, chance), separators=(",", ":")) + "\n"
            out.write(line)
            size, count = size + len(line), count + 1
    return count


def _event(number: int, chance: random.Random) -> dict[str, Any]:
    session = number // _CALLS
    account, role, person = f"{111122223333 + session % 5}", f"worker-{session % 40}", f"ann{session % 9}"
    at = f"2026-03-{1 + number // 86400 % 28:02}T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z"
    key, arn = f"ASIA{session:016X}", f"arn:aws:sts::{account}:assumed-role/{role}/run-{session}"
    role_arn = f"arn:aws:iam::{account}:role/agents/{role}"
    common = {
        "eventVersion": "1.11", "eventTime": at, "awsRegion": "eu-west-1", "eventType": "AwsApiCall",
        "sourceIPAddress": f"10.1.{session % 250}.{number % 250}", "recipientAccountId": account,
        "userAgent": "aws-sdk-go-v2/1.30.3 os/linux lang/go#1.22.5 md/GOOS#linux md/GOARCH#amd64 api/s3#1.58.2",
        "requestID": f"{chance.getrandbits(128):032x}", "readOnly": True, "managementEvent": False,
        "eventID": f"{chance.getrandbits(32):08x}-0000-4000-8000-{number:012x}",
        "tlsDetails": {"tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256"},
    }  # fmt: skip
    if number % _CALLS == 0:
        return common | {
            "eventSource": "sts.amazonaws.com", "eventName": "AssumeRole",
            "userIdentity": {
                "type": "IAMUser", "principalId": f"AIDA{session % 9:016}", "userName": person, "accountId": account,
                "arn": f"arn:aws:iam::{account}:user/{person}", "accessKeyId": f"AKIA{session % 9:016}",
            },
            "requestParameters": {"roleArn": role_arn, "roleSessionName": f"run-{session}", "durationSeconds": 3600},
            "responseElements": {
                "credentials": {
                    "accessKeyId": key, "sessionToken": f"IQoJb3JpZ2luX2VjE{chance.getrandbits(1200):0300x}",
                    "expiration": "Mar 30, 2026, 4:07:39 PM",
                },
                "assumedRoleUser": {"assumedRoleId": f"AROA{session % 40:016}:run-{session}", "arn": arn},
            },
        }  # fmt: skip
    return common | {
        "eventSource": "s3.amazonaws.com", "eventName": "GetObject", "responseElements": None,
        "userIdentity": {
            "type": "AssumedRole", "principalId": f"AROA{session % 40:016}:run-{session}", "arn": arn,
            "accountId": account, "accessKeyId": key,
            "sessionContext": {
                "sessionIssuer": {"type": "Role", "principalId": f"AROA{session % 40:016}", "arn": role_arn,
                                  "accountId": account, "userName": role},
                "attributes": {"creationDate": at, "mfaAuthenticated": "false"},
            },
        },
        "requestParameters": {"bucketName": "reports", "key": f"2026/q1/part-{number:08}.parquet"},
        "additionalEventData": {"SignatureVersion": "SigV4", "x-amz-id-2": f"{chance.getrandbits(300):076x}",
                                "AuthenticationMethod": "AuthHeader", "bytesTransferredOut": number},
        "resources": [
            {"type": "AWS::S3::Object", "ARN": f"arn:aws:s3:::reports/2026/q1/part-{number:08}.parquet"},
            {"type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::reports", "accountId": account},
        ],
    }  # fmt: skip


def foreign(megabytes: float) -> Iterator[Figure]:
    """Measure importing and projecting a trail, and the memory at a quarter of the file and at all of it."""
    with tempfile.TemporaryDirectory() as folder:
        file, quarter = Path(folder) / "trail.json", Path(folder) / "quarter.json"
        cloudtrail(quarter, megabytes / 4)
        events = cloudtrail(file, megabytes)
        url = f"sqlite:///{Path(folder) / 'store.db'}"
        store = open_store(url, codec.read, create=True)
        log = open_log(url, create=True, clock=lambda: _NOW)

        def read(name: Path) -> None:
            ingest_files([str(name)], log, store, format="auto", clock=lambda: _NOW, keeper=SourceRecords(store))

        read(quarter)
        before, bare = _most_memory(), [_bare(file)]
        took = _spent(lambda: read(file))
        memory = _most_memory() / before
        bare.append(_bare(file))
        alone = Spent(*(sum(each) / len(each) for each in zip(*bare, strict=True)))
        for name, mine, theirs in (
            (f"CloudTrail, {megabytes:g} MB, into the log", took.clock, alone.clock),
            ("the same, in seconds of a core", took.core, alone.core),
        ):
            yield Figure(
                name=name, value=events / mine, unit="records/s", against="a bare loop of json.loads",
                ratio=mine / theirs, goal=f"<= {_GOAL:g} x", met=mine / theirs <= _GOAL,
            )  # fmt: skip
        yield Figure(
            name="its most memory", value=_most_memory() / 1e6, unit="MB", against="a quarter of the file",
            ratio=memory, goal=f"<= {_GROWTH:g} x", met=memory <= _GROWTH,
        )  # fmt: skip
        clock = seconds(lambda: project(log, store, None))
        yield Figure(
            name="its projection", value=events / clock, unit="records/s",
            against="the same loop", ratio=clock / alone.clock,
        )  # fmt: skip
        log.close()
        store.close()


class Spent(NamedTuple):
    """The time of some work: by the clock, and of a core, which other load on the machine affects less."""

    clock: float
    core: float


def _spent(work: Callable[[], None]) -> Spent:
    core = time.process_time()
    clock = seconds(work)
    return Spent(clock, time.process_time() - core)


def _bare(file: Path) -> Spent:
    def loop() -> None:
        with file.open("rb") as lines:
            for line in lines:
                json.loads(line)

    return _spent(loop)


def _most_memory() -> float:
    """Return the peak memory of this process, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most if sys.platform == "darwin" else most * 1024)
