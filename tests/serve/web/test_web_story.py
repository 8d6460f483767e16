"""A responder in a real Chromium, by clicking and typing only: from a suspicion to a signed CLOSED.

Three enforcement points run on loopback: one confirms by itself, one is confirmed by hand, one is down and comes back.
``DELEGRAPH_TEST_PICTURES`` names a folder for a screenshot of every step.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from playwright.sync_api import Browser, Page

from compose.native.processes import free_port
from lineage.core.model.times import SECOND, format_instant
from lineage.serve.config.wiring import now
from tests.support import case_checker
from tests.support.browsing import SECONDS, eventually, serious, site
from tests.support.desk import Desk
from tests.support.gateways import Gateway
from tests.support.kafka_worlds import started
from tests.support.signing_keys import file_of, pem

IDP = "https://idp.example"
LEAKED = f"{IDP}#mail-session"
TARGETS = (LEAKED, f"{IDP}#calendar-session", f"{IDP}#files-session")
NAMES = {"edge": "urn:point:edge", "appliance": "urn:point:appliance", "branch": "urn:point:branch"}


@dataclass
class Incident:
    """A store with a server, a delivery process, and the enforcement points."""

    desk: Desk
    link: str
    gateways: dict[str, Gateway]
    starting: Callable[[str], None]

    def happens(self, *events: dict[str, Any]) -> None:
        self.desk.take(*events)


def event(type_: str, event_id: str, minutes_ago: int, source: str = IDP, **fields: Any) -> dict[str, Any]:
    at = format_instant(now() - minutes_ago * 60 * SECOND)
    return {"type": type_, "event_id": event_id, "source": source, "occurred_at": at, **fields}


def issued(id_: str, minutes_ago: int = 50, **fields: Any) -> dict[str, Any]:
    expires_at = format_instant(now() + 3_600 * SECOND)
    holder = {
        "subject": "human:alice",
        "actor": "agent:assistant",
        "workload": "spiffe://assistant",
        "expires_at": expires_at,
    }
    return event("token.issued", f"issue {id_}", minutes_ago, token=id_, **holder, **fields)


def history() -> list[dict[str, Any]]:
    """Build the events of an assistant with three sessions; somebody else used the token of one of them."""
    used = {"operation": "mail.send", "outcome": "succeeded", "tool": "mail", "token": LEAKED}
    return [
        event("principal.registered", "p1", 60, principal="human:alice", kind="human", display_name="Alice Ng"),
        event("principal.registered", "p2", 60, principal="agent:assistant", kind="agent", owner="human:alice"),
        event("principal.registered", "p3", 60, principal="agent:scraper", kind="agent", owner="human:alice"),
        *(issued(one) for one in TARGETS),
        issued(f"{IDP}#mail-child", derived_from=[{"token": LEAKED, "role": "subject"}]),
        issued(f"{IDP}#innocent"),
        event("action.performed", "a1", 20, "urn:gateway", action="mail-1", actor="agent:assistant", **used),
        event("action.performed", "a2", 10, "urn:gateway", action="mail-2", actor="agent:scraper", **used),
        *(event("receiver.registered", f"r {one}", 55, one, receiver=one, issuers=[IDP]) for one in NAMES.values()),
    ]


@pytest.fixture
def incident(tmp_path: Path) -> Iterator[Incident]:
    gateways = {name: Gateway(free_port()) for name in NAMES}
    file_of(tmp_path, pem(Ed25519PrivateKey.generate()))
    file_of(tmp_path, "correct-horse", name="word")
    desk = Desk(tmp_path, env={"DELEGRAPH_CONFIG": str(tmp_path / "delegraph.toml")})
    lines = ['signing_key_file = "keys.pem"', f'store = "{desk.url}"', "[contacts]"]
    lines += [f'"{receiver}" = "{name} team, +44 20 7946 0000"' for name, receiver in NAMES.items()]
    for name, receiver in NAMES.items():
        url = gateways[name].address
        lines += [
            f'[probes."{receiver}"]',
            'kind = "introspection"',
            f'url = "{url}/introspect"',
            "timeout_seconds = 2",
        ]
        if name != "appliance":
            lines += [f'[receivers."{receiver}"]', f'url = "{url}/revoke"', f'issuers = ["{IDP}"]']
            lines += ['auth = "basic"', 'client_id = "delegraph"', 'secret_file = "word"', "timeout_seconds = 2"]
    (tmp_path / "delegraph.toml").write_text("\n".join(lines), encoding="utf-8")
    desk.take(*history())
    with ExitStack() as stack:
        patched = pytest.MonkeyPatch()
        stack.callback(patched.undo)
        patched.setenv("DELEGRAPH_CONFIG", str(tmp_path / "delegraph.toml"))
        for name in ("edge", "appliance"):
            stack.enter_context(gateways[name].up())
        for command in ("consume", "deliver"):
            stack.enter_context(running_beside(tmp_path, command))
        link = stack.enter_context(site(tmp_path, "serve", "--by", "human:dana"))
        yield Incident(desk, link, gateways, lambda name: stack.enter_context(gateways[name].up()))


@contextmanager
def running_beside(folder: Path, command: str) -> Iterator[None]:
    with (folder / f"{command}.log").open("wb") as log:
        running = started(command, stderr=log)
        try:
            yield
        finally:
            running.kill()
            running.communicate()


class Walk:
    """The steps of a person; axe examines each page, and a screenshot is taken if a folder is named."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.found: list[tuple[str, str, str]] = []
        self._number = 0
        self._folder = os.environ.get("DELEGRAPH_TEST_PICTURES")

    def look(self, name: str, address: str | None = None) -> None:
        """Examine the page; first wait for one at this address (a pattern), since a click does not wait for it."""
        if address is not None:
            self.page.wait_for_url(address)
        self._number += 1
        for width, height in ((390, 800), (1440, 900)):
            self.page.set_viewport_size({"width": width, "height": height})
            wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            self.found += [(self.page.url, "scrolls sideways", str(wide))] if wide > 0 else []
            for scheme in ("dark", "light") if self._folder else ("light",):
                self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                if self._folder:
                    picture = f"{self._number:02}-{name}-{width}-{scheme}.png"
                    self.page.screenshot(path=Path(self._folder) / picture, full_page=True)
        self.found += serious(self.page, {"resultTypes": ["violations"]})


@pytest.mark.slow
def test_from_a_suspicion_to_a_signed_closed(incident: Incident, browser: Browser):  # noqa: PLR0915 (one story)
    """
    The steps are: start page, finding, a case, the tokens of the agent, three selected, a plan that drifts, the new
    plan confirmed, the board with one point that confirms by itself, one by hand and one that comes back, and the
    export of proof and case.
    """
    page = browser.new_context(accept_downloads=True).new_page()
    page.set_default_timeout(SECONDS * 1_000)
    walk = Walk(page)
    page.goto(incident.link)
    eventually(page, "main", "Possible token theft")
    walk.look("start")
    page.get_by_role("link", name="Why, and the evidence").first.click()
    eventually(page, "h1", "agent:scraper used a token issued to agent:assistant")
    walk.look("finding")
    page.get_by_role("link", name="Add to case").click()
    page.get_by_label("What it is about").fill("Stolen session of the assistant")
    page.get_by_role("button", name="Open the case").click()
    eventually(page, "#items", "Items (1)")
    walk.look("case")
    page.get_by_role("link", name=re.compile("^F-")).click()
    page.get_by_role("link", name="agent:assistant", exact=True).first.click()
    walk.look("agent", "**/status?of=principal*")
    for token in TARGETS:
        page.get_by_label(f"Choose token:{token}", exact=True).check()
    page.get_by_role("button", name="Revoke selected").click()
    eventually(page, "h1", "Revoking 3 targets together would end 4 elements")
    walk.look("plan")

    child = issued(f"{IDP}#late-child", 0, derived_from=[{"token": LEAKED, "role": "subject"}])
    incident.happens(child)
    page.get_by_label("Reason").select_option("credential_leak")
    page.get_by_label("Type 3 targets to confirm").fill("3 targets")
    page.get_by_role("button", name=re.compile("^Revoke ")).click()
    eventually(page, "p[role=alert]", "Nothing was revoked: the plan has drifted")
    eventually(page, "main", "late-child new since the plan")
    walk.look("drift")
    page.get_by_label("Type 3 targets to confirm").fill("3 targets")
    page.get_by_role("button", name=re.compile("^Revoke 5 elements")).click()

    page.wait_for_url("**/incidents/inc-*")
    eventually(page, "h1", "1 of 3 enforcement points has confirmed")  # by itself, and shown without being asked again
    walk.look("board")
    incident.gateways["appliance"].revoked |= incident.gateways["edge"].revoked  # by its operator, on the telephone
    page.get_by_role("link", name="Mark urn:point:appliance by hand").click()
    page.get_by_label("How do you know").fill("its operator read the list of refused tokens to me")
    walk.look("by-hand", "**/incidents/*?mark=*")
    page.get_by_role("button", name="Mark as enforced").click()
    eventually(page, "h1", "2 of 3 enforcement points have confirmed")
    page.get_by_role("button", name="Prove it now").click()
    eventually(page, "h1", "Not everything is shown to be denied")
    eventually(page, "main", "no clear answer")
    walk.look("proof-unknown")
    page.get_by_role("link", name="Status").click()
    incident.starting("branch")
    page.get_by_role("button", name="Deliver again to urn:point:branch").click()
    eventually(page, "h1", "3 of 3 revocations are over; 3 of 3 enforcement points have confirmed")
    walk.look("board-closed")

    page.get_by_role("button", name="Prove it now").click()
    eventually(page, "h1", "Every enforcement point denies all of it.")
    walk.look("proof-closed")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download, signed").click()
    proofs = json.loads(downloading.value.path().read_text(encoding="utf-8"))
    page.get_by_role("link", name="Status").click()
    page.get_by_role("button", name="Add to case").click()
    page.get_by_role("button", name="Add to case-").click()
    eventually(page, "#items", "Items (4)")
    page.get_by_role("link", name=re.compile("^inc-")).first.click()
    page.get_by_role("link", name="Signed receipt").first.click()
    eventually(page, "h1", "Enforced everywhere since")
    walk.look("receipt")
    page.get_by_role("link", name="Revocations", exact=True).click()
    page.get_by_role("link", name="Enforcement points").click()
    walk.look("receivers", "**/receivers")
    page.get_by_role("link", name="Cases", exact=True).first.click()
    page.get_by_role("link", name="Stolen session of the assistant").click()
    walk.look("case-closed", "**/cases/case-*")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Export as JSON").click()
    exported = json.loads(downloading.value.path().read_text(encoding="utf-8"))

    assert [] == list(case_checker.faults(exported))
    assert ["finding", *["revocation"] * 3] == sorted(one["kind"] for one in exported["export"]["items"])
    assert ["CLOSED"] * 3 == [_verified(proof) for proof in proofs]
    assert [] == walk.found
    assert "active" == incident.desk.state(f"token:{IDP}#innocent")


def _verified(signed: dict[str, Any]) -> str:
    """Return the verdict of a proof after verifying its signature."""
    payload = json.dumps(signed["proof"], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    key = jwt.PyJWK(signed["jwk"])
    jwt.PyJWS().decode(signed["jws"], key.key, algorithms=[key.algorithm_name], detached_payload=payload)
    return str(signed["proof"]["verdict"])
