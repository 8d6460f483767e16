"""Take screenshots of every page of the demo incident, light, dark and phone-sized, into build/screenshots/."""

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import Final
from urllib.parse import quote

from playwright.sync_api import Browser, Page, sync_playwright

from compose.native.chromium import ARGUMENTS, chromium

ROOT: Final = Path(__file__).parents[1]
ID: Final = "https://idp.example#mailer-1"
OF: Final = quote(f"token:{ID}", safe="")
THEN: Final = "2026-11-02T09:47:30Z"
BEFORE: Final = {
    "start": "/",
    "search": "/search?q=mail",
    "action": "/who?action=mail-7",
    "action-then": f"/who?action=mail-7&at={THEN}&known_at=2026-11-02T10:20:00Z",
    "gap": "/who?action=mail-8",
    "token": f"/chain?of={OF}",
    "delegation": "/chain?of=delegation:grant-mail",
    "principal": "/status?of=principal:agent:planner",
    "agent": "/status?of=principal:agent:mailer",
    "person": "/status?of=principal:okta%7C00u7alice",
    "session": f"/status?of={quote('session:https://idp.example#session-alice-0830', safe='')}",
    "uses": f"/uses?of={OF}",
    "timeline": f"/timeline?of={OF}",
    "principals": "/graph?view=principals",
    "radius": f"/graph?view=principals&target={OF}",
    "alice": "/status?of=principal:human:alice%40example.com",
    "tool": "/usage?tool=mail",
    "resource": "/usage?resource=press%40rival.example",
    "graph": "/graph?of=principal:human:alice%40example.com",
    "reach": "/reach?of=principal:agent:planner",
    "findings": "/findings",
    "finding": "/findings/F-7ad89a5c2ebaf0cbebb4",
    "quarantine": "/quarantine",
    "conflicts": "/conflicts",
    "health": "/health",
    "not-found": "/who?action=nothing",
    "wrong-time": "/who?action=mail-7&at=noonish",
    "words": "/words",
    "actions": "/actions?of=principal:agent:mailer",
    "actions-found": "/actions?human=alice&tool=mail&from=2026-11-02",
    "actions-none": "/actions?human=alice&tool=nothing",
    "people": "/principals",
    "agents-of-alice": "/principals?kind=agent&owner=alice",
    "tokens": "/tokens",
    "tokens-held": "/tokens?holder=mailer&state=active",
    "delegations": "/delegations?issuer=alice",
    "search-missed": "/search?q=alcie",
    "diff-form": f"/diff?of={OF}",
}
AFTER: Final = {
    "revocations": "/revocations",
    "token-revoked": f"/chain?of={OF}",
    "action-revoked": "/who?action=mail-7",
    "graph-revoked": f"/graph?of={OF}",
    "diff": f"/diff?of={OF}&from=2026-11-02T10:00:00Z&to=now",
}
# Screenshots for the documentation, before the revocation of the leaked token: name -> page.
MANUAL: Final = {
    "action": BEFORE["action"],
    "blast-radius": f"/reach?of={OF}",
    "graph": BEFORE["graph"],
    "principals": BEFORE["principals"],
    "tool": BEFORE["tool"],
}
CLIP: Final = (1100, 680)
LOOKS: Final = {"light": (1280, "light"), "dark": (1280, "dark"), "narrow": (390, "light")}


def main() -> None:
    """Take all screenshots, or only those named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.screenshots", description=__doc__)
    parser.add_argument("--into", type=Path, default=ROOT / "build" / "screenshots")
    parser.add_argument("--only", nargs="*", help="names of pages")
    parser.add_argument("--docs", action="store_true", help="only those of the documentation, into docs/images/")
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    command = [Path(sys.executable).with_name("delegraph"), "demo", "--serve", "--http", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
        try:
            assert demo.stdout is not None
            link = next(found[0] for line in demo.stdout if (found := re.search(r"http://\S+token=\S+", line)))
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
                if options.docs:
                    _take_for_the_docs(browser, link)
                else:
                    _take(browser, link, options.into, options.only)
                browser.close()
        finally:
            demo.terminate()


def _take(browser: Browser, link: str, into: Path, only: list[str] | None) -> None:
    base = link.partition("/sign-in")[0]
    first = browser.new_context(base_url=base, viewport={"width": 1280, "height": 800})
    page = first.new_page()
    page.goto(link)
    cookies = first.storage_state()
    every = {
        name: browser.new_context(
            base_url=base, storage_state=cookies, viewport={"width": wide, "height": 800}, color_scheme=scheme
        ).new_page()
        for name, (wide, scheme) in LOOKS.items()
    }

    def shoot(pages: dict[str, str]) -> None:
        for name, path in pages.items():
            if only and name not in only:
                continue
            for look, where in every.items():
                where.goto(path)
                if "graph" in name:  # drawn by a script
                    where.wait_for_selector("#drawing[data-drawn]")
                where.screenshot(path=into / f"{name}-{look}.png", full_page=True)

    shoot(BEFORE)
    page.goto(f"/reach?of={OF}")
    first.clear_cookies()
    _confirm(page)
    page.get_by_role("button", name="Send it again").wait_for()
    page.screenshot(path=into / "session-ended-light.png", full_page=True)
    first.add_cookies(cookies["cookies"])
    page.goto(f"/reach?of={OF}")
    beside = first.new_page()
    beside.goto("/")
    beside.locator("form[action='/story/missing'] button").click()
    _confirm(page)
    page.get_by_role("alert").wait_for()
    page.screenshot(path=into / "drift-light.png", full_page=True)
    _confirm(page)
    page.wait_for_url("**/revocations/rev-*")
    order = page.url.removeprefix(base)
    shoot({"revocation-open": order, "receipt": f"{order}/receipt"})
    beside.goto("/")
    beside.locator("form[action='/story/enforced'] button").click()
    beside.wait_for_url("**/#story")
    shoot({"revocation-closed": order, **AFTER})
    with beside.expect_download() as waiting:
        beside.get_by_role("link", name="the API").wait_for()
        beside.evaluate("path => { location.href = path }", "/dossier?of=action:mail-7")
    case = into / "case.html"
    waiting.value.save_as(case)
    page.goto(case.as_uri())
    page.screenshot(path=into / "case-light.png", full_page=True)
    page.pdf(path=into / "case.pdf", prefer_css_page_size=True)
    page.goto(f"{base}/who?action=mail-7")
    page.pdf(path=into / "action.pdf", prefer_css_page_size=True)


def _take_for_the_docs(browser: Browser, link: str) -> None:
    width, height = CLIP
    page = browser.new_context(
        base_url=link.partition("/sign-in")[0], viewport={"width": width, "height": height}
    ).new_page()
    page.goto(link)

    def shoot(name: str) -> None:
        page.screenshot(path=ROOT / "docs" / "images" / f"{name}.png")

    for name, path in MANUAL.items():
        page.goto(path)
        if name == "graph":
            page.wait_for_selector("#drawing[data-drawn]")
        shoot(name)
    page.goto(MANUAL["blast-radius"])
    _confirm(page)
    page.wait_for_url("**/revocations/rev-*")
    shoot("revocation")


def _confirm(page: Page) -> None:
    page.get_by_label("Reason").select_option("credential_leak")
    page.get_by_label("Type the id of the target").fill(ID)
    page.get_by_role("button", name="Revoke").click()


if __name__ == "__main__":
    main()
