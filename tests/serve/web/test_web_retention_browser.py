"""The pages of evidence and retention in a real Chromium, over a signed log from which records were deleted."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from ingest.log.port import entry_of
from ingest.opening import open_log
from lineage.core.model.events import ActionPerformed, Event
from lineage.serve.config.wiring import now
from tests.support.browsing import SECONDS, eventually, serious, sign_in, site
from tests.support.desk import Desk

OLD = now() - 48 * 3_600_000_000


@pytest.fixture
def person(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BrowserContext]:
    """Yield a page that is signed in to a server with a signed log from which records were deleted."""
    desk = Desk(tmp_path, (), {"DELEGRAPH_EVIDENCE_KEY_FILE": str(tmp_path / "key.pem")})
    log = open_log(desk.url, create=True, clock=lambda: OLD)
    acted = (ActionPerformed(f"a{number}", "noop", "succeeded", actor="agent:mailer") for number in range(700))
    log.append(entry_of(Event(body.action, "urn:gateway", OLD, body)) for body in acted)
    log.close()
    desk.run("evidence", "keygen", str(tmp_path / "key.pem"))
    desk.one("consume", "--drain")
    desk.one("retain", "--before", "now", "--by", "human:dpo@example.com")
    monkeypatch.setenv("DELEGRAPH_RETENTION_DAYS", "400")
    monkeypatch.setenv("DELEGRAPH_RETENTION_EVERY_HOURS", "24")
    monkeypatch.setenv("DELEGRAPH_STORE", desk.url)
    with site(tmp_path, "serve", "--by", "human:counsel@example.com") as link:
        kept = sign_in(browser, link, tmp_path_factory.mktemp("browser"))
        context = browser.new_context(base_url=link.partition("/sign-in")[0], storage_state=kept)
        context.set_default_timeout(SECONDS * 1_000)
        yield context
        context.close()


@pytest.mark.slow
def test_a_person_places_and_releases_a_hold_and_downloads_a_certificate(person: BrowserContext, tmp_path: Path):
    """It starts from the page of evidence, by clicking and typing only; then each page is examined."""
    page = person.new_page()
    page.goto("/evidence")
    page.get_by_role("link", name="retention and legal holds").click()
    page.get_by_label("Person, agent or service").fill("agent:mailer")
    page.get_by_label("Why").fill("Lawsuit 4711")
    page.get_by_role("button", name="Place the hold").click()
    eventually(page, "#holds", "Legal holds (1)")
    page.goto("/status?of=principal:agent:mailer")
    page.get_by_role("link", name="hold-").click()
    eventually(page, "main", "Lawsuit 4711")
    hold = page.locator("[id^=hold-]").first.get_attribute("id") or ""
    for address in ("/evidence", "/retention", "/retention/plan?before=now"):
        _looks_right(page, address)

    page.goto("/retention")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the certificate").click()
    download.value.save_as(tmp_path / "certificate.txt")
    page.get_by_text("Release hold").click()
    page.get_by_role("textbox", name="Why").first.fill("Settled")
    page.get_by_label("Type the id of the hold").fill(hold.removeprefix("hold-"))
    page.get_by_role("button", name="Release", exact=True).click()
    eventually(page, "#holds", "Legal holds")
    eventually(page, "main", "released")

    said = (tmp_path / "certificate.txt").read_text("utf-8")
    assert said.startswith("delegraph deletion certificate v1\n")
    assert "records 512\n" in said


def _looks_right(page: Page, address: str) -> None:
    """Check at several widths and in both themes that axe reports nothing serious and nothing overflows."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for width in (1_440, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(address)
            assert [] == serious(page, {}), (address, scheme, width)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (address, width)
