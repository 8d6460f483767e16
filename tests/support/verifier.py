"""The verifier of evidence as a module, for tests of its functions."""

import importlib.util
from types import ModuleType
from typing import Final

from tests.support.places import ROOT

FILE: Final = ROOT / "schemas" / "verify_evidence.py"


def load_verifier() -> ModuleType:
    """Load the file alone, without the package around it."""
    spec = importlib.util.spec_from_file_location("verify_evidence", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
