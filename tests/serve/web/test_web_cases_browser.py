"""A case in a real Chromium, by clicking and typing only: from the finding on the start page to the export."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support import case_checker
from tests.support.browsing import SECONDS, eventually, serious, sign_in, site


@pytest.fixture(scope="module")
def person(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """Yield a page that is signed in to the demo; check afterwards that it used no other host and no error occurred."""
    complaints: list[str] = []
    with site(tmp_path_factory.mktemp("demo"), "demo", "--serve") as link:
        kept = sign_in(browser, link, tmp_path_factory.mktemp("browser"))
        base = link.partition("/sign-in")[0]
        context = browser.new_context(base_url=base, storage_state=kept)
        context.set_default_timeout(SECONDS * 1_000)
        context.on(
            "request", lambda asked: None if asked.url.startswith((base, "file:")) else complaints.append(asked.url)
        )
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        yield context
        context.close()
    assert [] == complaints


@pytest.mark.slow
def test_a_person_takes_a_finding_to_an_export(person: BrowserContext, tmp_path: Path):
    """
    The steps are start page, finding, case, a token, an action and a range, a note, a colleague, and the export.
    """
    page = person.new_page()
    page.goto("/")
    page.get_by_role("link", name="Evidence").first.click()
    page.get_by_role("link", name="Add to case").click()
    page.get_by_label("What it is about").fill("Leaked token of the mailer")
    page.get_by_role("button", name="Open the case").click()
    eventually(page, "h1", "Leaked token of the mailer")
    case = page.url

    page.keyboard.press("/")
    page.keyboard.type("mail-7")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="mail-7", exact=True).first.click()
    page.get_by_role("link", name="Add to case").click()
    page.get_by_role("button", name="Add to case-").click()
    eventually(page, "#items", "Items (2)")

    page.get_by_role("link", name="Tokens", exact=True).click()
    page.get_by_role("checkbox", name="Choose token:https://idp.example#mailer-1", exact=True).check()
    page.get_by_role("checkbox", name="Choose token:https://idp.example#relay-1", exact=True).check()
    page.get_by_role("button", name="Add selected to a case…").click()
    page.get_by_role("button", name="Add to case-").click()
    eventually(page, "#items", "Items (4)")

    page.get_by_role("link", name="Actions", exact=True).click()
    page.get_by_label("With which agent on the chain").fill("mailer")
    page.get_by_label("From, UTC").fill("2026-11-02 09:40")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("link", name="Add this range of actions to a case").click()
    page.get_by_role("button", name="Add to case-").click()
    eventually(page, "#items", "Items (5)")

    page.get_by_role("textbox", name="Note").fill("The bank called at 10:15.")
    page.get_by_role("button", name="Add note").click()
    eventually(page, "main", "The bank called at 10:15.")
    page.get_by_role("textbox", name="Assignee").fill("human:eve@example.com")
    page.get_by_role("button", name="Assign").click()
    eventually(page, "main", "Assigned to human:eve@example.com")
    assert page.url == case

    with page.expect_download() as download:
        page.get_by_role("link", name="Export as JSON").click()
    download.value.save_as(tmp_path / "case.json")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as HTML").click()
    download.value.save_as(tmp_path / "case.html")
    exported = json.loads((tmp_path / "case.json").read_text("utf-8"))
    page.get_by_role("textbox", name="Why").fill("handed over")
    page.get_by_role("button", name="Close the case").click()
    expect(page.get_by_role("button", name="Reopen the case")).to_be_visible()

    assert [] == list(case_checker.faults(exported))
    assert 5 == len(exported["export"]["items"])
    for address in (case, "/cases", "/add-to-case?of=action:mail-7", (tmp_path / "case.html").as_uri()):
        _looks_right(page, address)


def _looks_right(page: Page, address: str) -> None:
    """Check at several widths and in both themes that axe reports nothing serious and nothing overflows."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for width in (1_440, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(address)
            assert [] == serious(page, {}), (address, scheme, width)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (address, width)
