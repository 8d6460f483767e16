"""The report of a delivery process with everything switched on, for tests of its metrics."""

from typing import Any


def delivered() -> dict[str, Any]:
    """Return a document with every part."""
    called = {"receiver": "r", **dict.fromkeys(("enforced", "rejected", "failed"), 0)}
    covered = {"at": "2026-11-02T09:41:00.000000Z", "age_seconds": 60, "size": 44, "records_after": 3, "old": False}
    run = {"succeeded_at": covered["at"], "fault": "the broker is gone", "records": 3, "held": 2, "unwitnessed": 1}
    witness = {"name": "second-site", "lacking": [], "cosigned_at": None, "silent": True, "refuses": False}
    return {
        **dict.fromkeys(("spread", "fed", "pushed", "refused", "checkpoints"), 0),
        "called": [called],
        "checkpoint_faults": [],
        "evidence": {"checkpoint": covered, "witnessed": None, "broken": 1, "witnesses": [witness]},
        "retention": {"overdue": True, "last_run": run},
    }
