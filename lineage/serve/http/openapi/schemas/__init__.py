"""The types of documents: the client's answers, and the schemas of the OpenAPI document.

They are not enforced when documents are served; a test compares them with actual answers.
"""

# ruff: noqa: F403, F405 (every module here lists types and nothing else)

from typing import Any

from lineage.serve.http.openapi.schemas.answers import *
from lineage.serve.http.openapi.schemas.cases import *
from lineage.serve.http.openapi.schemas.common import *
from lineage.serve.http.openapi.schemas.evidence import *
from lineage.serve.http.openapi.schemas.findings import *
from lineage.serve.http.openapi.schemas.governance import *
from lineage.serve.http.openapi.schemas.graphs import *
from lineage.serve.http.openapi.schemas.lists import *
from lineage.serve.http.openapi.schemas.operations import *
from lineage.serve.http.openapi.schemas.orders import *
from lineage.serve.http.openapi.schemas.overview import *
from lineage.serve.http.openapi.schemas.retention import *
from lineage.serve.http.openapi.schemas.revocations import *

ANSWERS: dict[str, Any] = {
    shape.__name__: shape
    for shape in (
        *(Who, Chain, Status, Reach, Search, Actions, Timeline, Diff, Uses, Quarantine, Conflicts),
        *(Findings, FindingDetails, Posture),
        *(Principals, Tokens, Delegations, Overview, Usage),
        *(
            RevocationBoard,
            Revocation,
            Ordered,
            BatchReach,
            BatchOrdered,
            Approved,
            Judged,
            OpenedCase,
            ChangedCase,
            Case,
            Cases,
            Holds,
            ChangedHold,
            Deletions,
            Retention,
            RetentionPlan,
            CaseChanges,
            CaseExport,
            Lifted,
            Acknowledged,
            RegisteredReceiver,
            Registered,
            Marked,
            DeliveredAgain,
            Counts,
            ReceiptLine,
            SignedReceipt,
            SignedProof,
            Missing,
            Problem,
        ),
        *(Graph, PrincipalGraph, Identity, ProjectionHealth, Dossier),
        *(ActiveAgents, Allowed, Held, Done),
        *(Evidence, Checkpoints, RecordProofs, ConsistencyProof, AbsenceProof),
    )
}
