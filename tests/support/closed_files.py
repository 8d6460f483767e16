"""Files and folders that may not be read, and a command that may not read them, even if the tests run as root."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

_DROP: Final = 24  # PR_CAPBSET_DROP of prctl(2)
_OVERRIDE: Final = (1, 2)  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, by which root reads everything
_NOBODY: Final = 65534


def close(path: Path) -> None:
    """Remove the permission to read it from everybody except its owner, who is another user."""
    path.chmod(0)
    if os.geteuid() == 0:
        os.chown(path, _NOBODY, _NOBODY)


def run(*words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user to whom permissions apply."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from lineage.serve.cli.main import main; main(prog_name='delegraph')",
            *map(str, words),
        ],
        env=os.environ | env,
        preexec_fn=_without_override if os.geteuid() == 0 else None,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _without_override() -> None:
    for capability in _OVERRIDE:
        if ctypes.CDLL(None).prctl(_DROP, capability, 0, 0, 0) != 0:
            os._exit(97)
