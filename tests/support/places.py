"""Files that tests read: those of the repository, and real logs outside of it."""

import os
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "examples"
INCIDENT: Final = EXAMPLES / "incident.jsonl"  # the incident of the demo
CASES: Final = ROOT / "tests" / "cases"
DATA: Final = Path(os.environ.get("DELEGRAPH_TEST_DATA") or ROOT.parent / "shared" / "data")  # may be absent
