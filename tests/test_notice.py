"""NOTICE names every package that a deployment installs, and every vendored file."""

import re

from tests.support.places import ROOT

NOTICE = (ROOT / "NOTICE").read_text(encoding="utf-8")


def test_notice_names_every_locked_package():
    """NOTICE has every locked dependency with its licence."""
    lock = (ROOT / "requirements-extras.lock").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.MULTILINE))
    named = {line.split()[0] for line in NOTICE.splitlines() if line.startswith("  ") and len(line.split()) > 1}

    assert set() == pinned - named
    assert {"htmx", "cytoscape"} == named - pinned


def test_every_vendored_script_has_its_licence_next_to_it():
    """Files that are shipped unmodified come with their licence."""
    vendor = ROOT / "lineage/serve/web/static/vendor"

    scripts = {path.name.partition(".")[0] for path in vendor.glob("*.js")}
    assert scripts == {path.stem for path in vendor.glob("*.LICENSE")}
