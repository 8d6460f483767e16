"""The browser for the tests: the machine's Chromium, installed by apt-get if that is possible."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from lineage.core.model.errors import UnavailableError

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
PACKAGES: Final = ("chromium", "fonts-dejavu-core")
# No background network traffic; no sandbox, since with it Chromium refuses to run as root.
ARGUMENTS: Final = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
_WAIT: Final = ("-o", "DPkg::Lock::Timeout=300")


def chromium() -> Path:
    """Find Chromium; ``DELEGRAPH_TEST_CHROMIUM`` overrides the search.

    Raises:
        UnavailableError: It is not installed.
    """
    named = os.environ.get("DELEGRAPH_TEST_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None or not Path(found).exists():
        raise UnavailableError(
            "the pages are tested in Chromium, which is not installed: install it (Debian, Ubuntu: apt-get install "
            "chromium), or set DELEGRAPH_TEST_CHROMIUM to its path"
        )
    return Path(found)


def fetch() -> Path:
    """Install Chromium by apt-get, as root, unless it is installed.

    Raises:
        UnavailableError: It cannot be installed.
    """
    try:
        return chromium()
    except UnavailableError:
        apt = shutil.which("apt-get")
        if apt is None or os.geteuid() != 0:
            raise
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(
            [apt, "-qq", *_WAIT, *words],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=quiet,
        )
        if done.returncode and words[0] == "install":
            raise UnavailableError(f"apt-get could not install Chromium: {done.stdout.strip()[-500:]}")
    return chromium()
