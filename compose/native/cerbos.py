"""Cerbos, a policy decision point for the tests, which npm downloads once into ``build/``."""

import hashlib
import platform
import shutil
import subprocess
import tarfile
import tempfile
from base64 import b64encode
from pathlib import Path
from typing import Final

from lineage.core.model.errors import UnavailableError

from .jars import ROOT

PROGRAM: Final = ROOT / "build" / "cerbos-0.51.0" / "cerbos"
_PACKAGE: Final = "@cerbos/cerbos-linux-x64@0.51.0"
_MEMBER: Final = "package/cerbos-linux-x64"
_SHA512: Final = "LYxcSk2qTygEinl6r6X0TeQmFfDKLiS9TWkS4ugJMI59JfrVmJN/mHPs1G7mGa2DGYjGmU1rsFzCYVUS7oh3iQ=="


def fetch() -> Path:
    """Download the program unless it exists, and return its path.

    Raises:
        UnavailableError: It cannot be downloaded here, or its digest is wrong.
    """
    if PROGRAM.is_file():
        return PROGRAM
    npm = shutil.which("npm")
    if npm is None or (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise UnavailableError("Cerbos is downloaded by npm for Linux on x86-64: install Node.js to test with it")
    PROGRAM.parent.parent.mkdir(exist_ok=True)
    # Unpack into a temporary folder and rename it, so that a folder of the final name is always complete.
    with tempfile.TemporaryDirectory(dir=PROGRAM.parent.parent, prefix="cerbos-") as room:
        words = [npm, "pack", "--silent", "--pack-destination", room, _PACKAGE]
        done = subprocess.run(words, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        packed = next(Path(room).glob("*.tgz"), None)
        if done.returncode or packed is None:
            raise UnavailableError(f"npm could not download {_PACKAGE}: {done.stderr.strip()[-500:]}")
        if b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode() != _SHA512:
            raise UnavailableError(f"what npm downloaded as {_PACKAGE} has an unexpected digest")
        folder = Path(room) / "unpacked"
        folder.mkdir()
        with tarfile.open(packed) as archive, (folder / PROGRAM.name).open("wb") as program:
            member = archive.extractfile(_MEMBER)
            assert member is not None  # noqa: S101 (the digest says so)
            shutil.copyfileobj(member, program)
        (folder / PROGRAM.name).chmod(0o755)
        if not PROGRAM.is_file():
            folder.rename(PROGRAM.parent)
    return PROGRAM
