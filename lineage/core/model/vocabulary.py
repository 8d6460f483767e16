"""The enumerations of the wire contract, in the order in which people read them.

``tests/test_vocabulary.py`` compares each of them with the newest schema.
"""

from typing import Final

REASONS: Final = (
    "compromise",
    "credential_leak",
    "key_compromise",
    "offboarding",
    "role_change",
    "task_completed",
    "policy_violation",
    "risk_elevated",
    "user_request",
    "inactivity",
    "superseded",
    "admin",
    "test",
    "other",
)
MODES: Final = ("revoke", "suspend")
TARGET_KINDS: Final = ("principal", "workload", "session", "client", "delegation", "token")
ACKNOWLEDGEMENT_OUTCOMES: Final = ("enforced", "rejected")
ACTION_OUTCOMES: Final = ("succeeded", "failed", "denied")
JUDGEMENTS: Final = ("acknowledged", "suppressed", "reopened")
HOLD_CHANGES: Final = ("placed", "released")
CASE_CHANGES: Final = ("opened", "added", "removed", "noted", "assigned", "closed", "reopened")
CASE_ITEM_KINDS: Final = (
    *("action", "token", "delegation", "decision", "principal", "session", "client", "finding", "revocation"),
    "actions",
)
