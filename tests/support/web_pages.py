"""Pages of a world as a browser would get them, and their text."""

import html
import re
from urllib.parse import quote, urlencode

import httpx

from lineage.serve.http.asgi.app import create_app
from lineage.serve.web import pages, show_fault
from tests.support.asgi import Asking
from tests.support.http_worlds import HOST, LEAKED, World

OF = quote(LEAKED, safe="")


ACTION = "/who?action=mail-7"


EVERY = (
    "/",
    ACTION,
    f"{ACTION}&at=2026-11-02T09:47:30Z&known_at=2026-11-02T10:20:00Z",
    f"/chain?of={OF}",
    "/chain?of=token:https%3A%2F%2Fidp.example%23relay-2",
    "/status?of=principal:agent:mailer",
    "/status?of=principal:okta%7C00u7alice",
    "/status?of=session:https%3A%2F%2Fidp.example%23session-alice-0830",
    f"/reach?of={OF}",
    "/reach?of=principal:agent:planner&mode=suspend&cascade=false",
    f"/uses?of={OF}",
    "/actions?of=principal:agent:mailer",
    "/usage?tool=mail",
    "/usage?resource=press%40rival.example",
    f"/timeline?of={OF}",
    f"/graph?of={OF}",
    "/graph?view=principals",
    f"/graph?view=principals&of=principal:agent:mailer&target={OF}&over=true",
    "/graph?view=principals&of=principal:agent:mailer&expand=agent:planner",
    f"/diff?of={OF}",
    f"/diff?of={OF}&from=2026-11-02T09:00:00Z&to=now",
    "/search?q=mail",
    "/search?q=nothing-has-this",
    "/findings",
    "/findings?severity=high&severity=medium&since=2026-11-02+09:00",
    "/findings/F-7ad89a5c2ebaf0cbebb4",
    "/posture",
    "/posture?framework=NHI",
    "/governance/active?from=2026-11-01",
    "/governance/allowed?agent=agent:mailer&at=2026-11-02T09:47:30Z",
    "/governance/held?agent=agent:mailer",
    "/governance/done?agent=agent:scraper",
    "/quarantine",
    "/conflicts",
    "/health",
    "/evidence",
    "/retention",
    "/retention/plan?before=now",
    "/receivers",
    "/cases",
    "/add-to-case?of=action:mail-7&of=actions:tool%3Dmail",
    "/revocations",
    "/revocations/rev-1",
    "/revocations/rev-1/receipt",
    "/dossier?of=action:mail-7",
    f"/dossier?of={OF}",
    "/dossier?of=principal:agent:mailer",
)


HOSTILE = "\"><img src=x onerror=alert(1)>'{{987654*3}}<script>alert(1)</script>"


class Pages:
    """A person with a browser without scripts."""

    def __init__(self, world: World, role: str | None = "responder") -> None:
        self.service = world.service
        app = create_app(world.site, parts=pages(world.site), show_fault=show_fault)
        who = {} if role is None else {"Authorization": f"Bearer {world.token(role)}"}
        self._asking = Asking(app, {**who, "Accept": "text/html"})
        self.nobody = Asking(app, {"Accept": "text/html"})

    def get(self, path: str, **parameters: object) -> httpx.Response:
        return self._asking.get(path, **parameters)

    def send(self, path: str, origin: str | None = f"https://{HOST}", **form: str) -> httpx.Response:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if origin is not None:
            headers["Origin"] = origin
        return self._asking.post(path, content=urlencode(form), headers=headers)


def text_of(response: httpx.Response) -> str:
    """Return the text of a page, as words."""
    body = re.sub(r"<(style|head)\b.*?</\1>", " ", response.text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", body)).split())


def hidden(response: httpx.Response, form: str = "/revocations") -> dict[str, str]:
    """Return the hidden fields of a form on a page."""
    found = re.search(rf'<form method="post" action="{form}">(.*?)</form>', response.text, re.DOTALL)
    assert found
    fields = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', found[1])
    return {name: html.unescape(value) for name, value in fields}
