"""The files of the pages: vendored ones are as published, and ours load nothing from other hosts."""

import hashlib
import re

import pytest

from lineage.serve.web.templating import HERE, STATIC

VENDOR = STATIC / "vendor"
OURS = sorted(
    path for path in HERE.rglob("*") if path.suffix in {".html", ".css", ".js"} and VENDOR not in path.parents
)


def test_what_is_vendored_is_what_was_published():
    """
    Every vendored file has its recorded checksum, and none is without one.
    """
    listed = dict(line.split("  ")[::-1] for line in (VENDOR / "SHA256SUMS").read_text("utf-8").splitlines())
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.iterdir()
        if path.name not in {"SHA256SUMS", "README.md"}
    }

    assert listed == found


def test_each_vendored_library_has_its_licence_next_to_it():
    """
    Every library has a licence, and the README names both.
    """
    licences = (VENDOR / "README.md").read_text("utf-8")
    libraries = {path.name.removesuffix(".min.js") for path in VENDOR.glob("*.min.js")}

    assert libraries == {path.name.removesuffix(".LICENSE") for path in VENDOR.glob("*.LICENSE")}
    assert all(f"`{name}.min.js`" in licences and f"`{name}.LICENSE`" in licences for name in libraries)


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_nothing_is_inline_and_nothing_is_from_elsewhere(path):
    """
    A template has no style attribute, no handler and no inline script, and none of our files names another host; the
    dossier, a file by itself, contains its styles.
    """
    text = path.read_text("utf-8")
    inline = re.findall(r"<[^>]+\s(?:style|on[a-z]+)=|<script(?![^>]*\ssrc=)|javascript:", text)
    if path.name != "dossier.html":
        inline += re.findall(r"<style", text)
    elsewhere = [
        url for url in re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*", text) if "www.w3.org/2000/svg" not in url
    ]

    assert ([], []) == (inline, elsewhere)
