"""Ids of maximum length in many scripts: every page shows them completely and stays within its width."""

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser

from benchmarks.measures import put
from ingest.codec import api as codec
from ingest.opening import open_log
from ingest.trust_file import Trust
from lineage.core.model.events import (
    ActionPerformed,
    Body,
    DelegationGranted,
    Event,
    PrincipalRegistered,
    Resource,
    TokenIssued,
)
from lineage.serve.queries.service import Service
from lineage.store.store import open_store
from tests.support.browsing import sign_in, site

MOST_BYTES = 512
SCRIPTS = {
    "latin": "W",
    "hebrew": "שלום",
    "arabic": "مرحبا",
    "han": "委任状",
    "devanagari": "प्रतिनिधि",
    "thai": "มอบอำนาจ",
    "emoji": "🔑👩🏽‍💻"[:2],
    "cuneiform": "𒀀𒁀",
    "combining": "ế",
}
NOW = time.time_ns() // 1_000


def long_id(prefix: str, letters: str) -> str:
    """Return an id of the maximum number of bytes."""
    room = MOST_BYTES - len(prefix.encode())
    return prefix + (letters * MOST_BYTES).encode()[:room].decode(errors="ignore")


def story(letters: str) -> list[Body]:
    """Return a person, an agent, a grant, a token and an action, all with long ids in one script."""
    person, agent = long_id("human:", letters), long_id("agent:", letters)
    grant, token = long_id("grant-", letters), long_id("https://idp.example#", letters)
    return [
        PrincipalRegistered(principal=person, kind="human", display_name=letters * 20),
        DelegationGranted(delegation=grant, delegator=person, delegatee=agent, scopes=(letters,)),
        TokenIssued(token=token, subject=person, actor=agent, delegation=grant, scopes=(letters,)),
        ActionPerformed(
            action=long_id("act-", letters),
            operation=letters,
            outcome="succeeded",
            tool=long_id("tool-", letters),
            resource=Resource(long_id("box-", letters)),
            token=token,
            actor=agent,
        ),
    ]


def pages_of(letters: str) -> dict[str, str]:
    """Return the pages that show these, and the id that each is about."""
    ids = {
        "/who?action=": long_id("act-", letters),
        "/chain?of=token:": long_id("https://idp.example#", letters),
        "/chain?of=delegation:": long_id("grant-", letters),
        "/status?of=principal:": long_id("agent:", letters),
        "/reach?of=token:": long_id("https://idp.example#", letters),
        "/timeline?of=token:": long_id("https://idp.example#", letters),
        "/usage?tool=": long_id("tool-", letters),
        "/usage?resource=": long_id("box-", letters),
        "/search?q=": long_id("act-", letters),
        "/actions?human=": long_id("human:", letters),
        "/tokens?holder=": long_id("agent:", letters),
        "/graph?view=principals&of=principal:": long_id("agent:", letters),
    }
    return {path + quote(id_, safe=""): id_ for path, id_ in ids.items()}


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the pages over a store with one story in each script."""
    folder = tmp_path_factory.mktemp("scripts")
    url = f"sqlite:///{folder}/store.db"
    store, log = open_store(url, codec.read, create=True), open_log(url, create=True, clock=lambda: NOW)
    bodies = [body for letters in SCRIPTS.values() for body in story(letters)]
    events = [Event(f"e{n}", "urn:scripts", NOW - 1_000_000 + n, body) for n, body in enumerate(bodies)]
    put(Service(store, log, Trust(), lambda: NOW, source="urn:test"), events)
    log.close()
    store.close()
    with site(folder, "serve", "--store", url) as link:
        yield link


@pytest.mark.slow
def test_ids_of_any_script_stay_in_the_frame_and_are_shown_whole(browser: Browser, link: str, tmp_path: Path):
    """On a phone no page scrolls sideways; the id is legible, and does not reverse the text next to it."""
    kept = sign_in(browser, link, tmp_path)
    context = browser.new_context(
        base_url=link.partition("/sign-in")[0], storage_state=kept, viewport={"width": 390, "height": 844}
    )
    page, wrong = context.new_page(), []
    for name, letters in SCRIPTS.items():
        for path, id_ in pages_of(letters).items():
            answer = page.goto(path)
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            result = page.evaluate("document.querySelector('main').textContent")
            if answer is None or answer.status != 200 or wide > 0 or id_ not in result:
                wrong.append((name, path[:40], answer and answer.status, wide, id_ in result))
    context.close()

    assert [] == wrong
