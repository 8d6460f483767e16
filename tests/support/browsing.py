"""Pages in a real Chromium: starting a server, signing in, and examining pages."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.support.serving import process

SECONDS = 30  # until a condition is given up; a machine with other work to do takes its time
ID = "https://idp.example#mailer-1"
OF = quote(f"token:{ID}", safe="")
OTHER = quote("token:https://idp.example#reporter-1", safe="")
PAGES = (
    "/findings?severity=high",
    "/findings/F-7ad89a5c2ebaf0cbebb4",
    "/posture",
    "/governance/active",
    "/governance/allowed?agent=agent:mailer",
    "/governance/held?agent=agent:mailer",
    "/governance/done?agent=agent:scraper",
    "/",
    "/who?action=mail-7&at=2026-11-02T09:47:30Z",
    "/who?action=mail-7",
    "/who?action=mail-8",
    f"/chain?of={OF}",
    "/status?of=principal:agent:mailer",
    f"/reach?of={OF}",
    f"/revoke?of={OF}&of={OTHER}",
    f"/uses?of={OF}",
    "/usage?tool=mail",
    "/usage?resource=press%40rival.example",
    "/principals",
    "/tokens",
    "/delegations",
    "/actions",
    "/actions?human=alice",
    f"/timeline?of={OF}",
    f"/graph?of={OF}",
    "/graph?view=principals",
    f"/graph?view=principals&target={OF}",
    "/graph?view=principals&of=principal:agent:mailer&expand=agent:planner",
    "/status?of=principal:human:alice@example.com",
    f"/diff?of={OF}&from=2026-11-02T09:00:00Z&to=now",
    "/search?q=mail",
    "/search?q=alcie",
    "/findings",
    "/quarantine",
    "/conflicts",
    "/health",
    "/evidence",
    "/retention",
    "/retention/plan?before=now",
    "/receivers",
    "/cases",
    "/add-to-case?of=action:mail-7",
    "/revocations",
    "/who?action=nothing",
    "/words",
)


@contextmanager
def site(folder: Path, *words: str) -> Iterator[str]:
    """Start a command that serves pages, and return the sign-in link that it prints."""
    with process(folder, *words) as (server, first):
        assert server.stdout is not None
        output = first
        while "token=" not in output:
            line = server.stdout.readline()
            assert line, f"it ended: {output}"
            output += line
        found = re.search(r"http://\S+token=\S+", output)
        assert found is not None
        yield found[0]


def sign_in(browser: Browser, link: str, folder: Path) -> Path:
    """Follow the link; return the file with the cookies."""
    kept = folder / "cookies.json"
    context = browser.new_context()
    context.new_page().goto(link)
    context.storage_state(path=kept)
    context.close()
    return kept


def eventually(page: Page, selector: str, text: str | re.Pattern[str]) -> None:
    expect(page.locator(selector)).to_contain_text(text, timeout=SECONDS * 1_000)


def serious(page: Page, how: dict[str, object]) -> list[tuple[str, str, str]]:
    """Return the serious violations that axe reports for a page."""
    return [
        (page.url, violation["id"], node["html"][:200])
        for violation in Axe().run(page, options=how).response["violations"]
        if violation["impact"] in {"serious", "critical"}
        for node in violation["nodes"]
    ]
