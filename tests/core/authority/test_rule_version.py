"""The version of the rule of authority: it is raised when the meaning of a clause changes."""

import hashlib
import re

from lineage.core.authority.rule import RULE_VERSION
from tests.support.places import ROOT
from tests.support.verifier import load_verifier

RULE = ROOT / "docs" / "rule-of-authority.md"
# The SHA-256 of the clauses of each version. Wording that changes no answer keeps the version: set its digest again.
CLAUSES = {1: "be63d23b5759cf0409358c23311153368c81d5389ce782495fbb3e7ed00c0367"}


def clauses(text: str) -> str:
    """The numbered clauses with single spaces, without the examples and the targets of links."""
    prose = re.sub(r"^```.*?^```$|(?<=\])\([^)]*\)", "", text, flags=re.MULTILINE | re.DOTALL)
    return " ".join(prose[prose.index("**1.1**") :].split())


def test_the_version_is_that_of_the_clauses():
    """
    If a clause has another meaning, raise RULE_VERSION and RULE in verify_evidence.py, and add a digest here.
    """
    digest = hashlib.sha256(clauses(RULE.read_text(encoding="utf-8")).encode()).hexdigest()

    assert digest == CLAUSES[RULE_VERSION]
    assert max(CLAUSES) == RULE_VERSION == load_verifier().RULE
