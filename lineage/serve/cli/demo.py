"""The demo: a worked incident in a temporary store, from the facts to the proof that the descendants are dead.

Everything uses the real import, log, projector and service; only the clock is the story's own, so that the output is
always the same. The final proof is in ``demo_proof``.
"""

import json
import shlex
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Final

from rich.console import Console

from lineage.core.model.events import Target
from lineage.core.model.times import Instant, format_instant, parse_instant
from lineage.core.revocation.reach import Proposal
from lineage.serve.cli.demo_proof import CheckedElement, DemoProof, prove
from lineage.serve.commands.intake import counts, read_files
from lineage.serve.commands.order_request import OrderRequest
from lineage.serve.commands.revoke import give_order
from lineage.serve.config.wiring import opened_embedded_service
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.service import Service
from lineage.serve.text import phrases, render_chain
from lineage.serve.text.text_page import Page, Words, many

PROVED: Final = 0
NOT_PROVED: Final = 6  # exit code for an integrity error

ACTION: Final = "mail-7"
LEAKED: Final = "https://idp.example#mailer-1"
ORDER: Final = "rev-mailer-leak"
RESPONDER: Final = "human:dana@example.com"
SOURCE: Final = "urn:delegraph:demo"

INGESTED: Final = parse_instant("2026-11-02T10:20:00Z")
ASKED: Final = parse_instant("2026-11-02T10:25:00Z")
ORDERED: Final = parse_instant("2026-11-02T10:30:00Z")
LATE: Final = parse_instant("2026-11-02T10:40:00Z")
PROVED_AT: Final = parse_instant("2026-11-02T10:45:00Z")

# Events that arrive after the order: the one that was missing, and a token issued by a token service that had not
# heard of the order yet.
LATE_EVENTS: Final[tuple[Document, ...]] = (
    {
        "type": "token.issued",
        "event_id": "idp-18",
        "source": "https://idp.example",
        "occurred_at": "2026-11-02T09:52:00Z",
        "txn": "txn-renewals-7c1f",
        "sequence": 18,
        "token": "https://idp.example#mailer-2",
        "token_type": "access_token",
        "subject": "human:alice@example.com",
        "actor": "agent:mailer",
        "derived_from": [{"token": LEAKED, "role": "replaced"}],
        "scopes": ["mail:archive", "mail:send"],
        "exchange": "replacement",
    },
    {
        "type": "token.issued",
        "event_id": "idp-21",
        "source": "https://idp.example",
        "occurred_at": "2026-11-02T10:33:00Z",
        "txn": "txn-renewals-7c1f",
        "sequence": 21,
        "token": "https://idp.example#relay-4",
        "token_type": "access_token",
        "subject": "human:alice@example.com",
        "derived_from": [
            {"token": LEAKED, "role": "subject"},
            {"token": "https://idp.example#smtp-relay-id", "role": "actor"},
        ],
        "scopes": ["mail:send"],
        "exchange": "impersonation",
        "expires_at": "2026-11-02T18:00:00Z",
    },
)

Give = Callable[[Service, OrderRequest], Document | None]


class StoryClock:
    """The story's clock, which only moves when it is set."""

    def __init__(self) -> None:
        """Start when the facts arrive."""
        self.now: Instant = INGESTED

    def __call__(self) -> Instant:
        """Return the current time of the story."""
        return self.now


def incident_path() -> Path:
    """Return the file of the incident: in the wheel next to this module, in a checkout among the examples."""
    packaged = files("lineage.serve").joinpath("incident.jsonl")
    return Path(str(packaged)) if packaged.is_file() else Path(__file__).parents[3] / "examples" / "incident.jsonl"


def run(console: Console, *, as_json: bool = False, give: Give = give_order) -> int:
    """Play the incident, and prove its outcome.

    Args:
        console: The console to print on.
        as_json: Print one document of the results instead of the story.
        give: How the order is given.

    Returns:
        The exit code: 0, or 6 if the proof fails.
    """
    with throw_away() as (service, clock, folder):
        results, proof = tell(service, clock, folder, give)
    if as_json:
        console.out(json.dumps(results, ensure_ascii=False, separators=(",", ":")), highlight=False)
    else:
        console.print(page(results, proof), soft_wrap=True)
    return PROVED if proof else NOT_PROVED


@contextmanager
def throw_away() -> Iterator[tuple[Service, StoryClock, Path]]:
    """Open a service over a temporary store and log, with its clock and folder."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="delegraph-demo-")))
        url, clock = f"sqlite:///{folder / 'delegraph.db'}", StoryClock()
        yield stack.enter_context(opened_embedded_service(url, clock, source=SOURCE, create=True)), clock, folder


def tell(service: Service, clock: StoryClock, folder: Path, give: Give = give_order) -> tuple[Document, DemoProof]:
    """Play the incident against a service; return the results and the proof."""
    incident, late = incident_path(), folder / "late.jsonl"
    late.write_text("".join(f"{json.dumps(event)}\n" for event in LATE_EVENTS), encoding="utf-8")

    counts, again = ingest(service, incident), ingest(service, incident)
    clock.now = ASKED
    who = service.who(ACTION, at=ASKED)
    gap = service.chain("token", "https://idp.example#relay-2", at=ASKED)
    reach = service.reach(Proposal(target=Target("token", LEAKED), at=ASKED))
    clock.now = ORDERED
    order = give(
        service,
        OrderRequest(
            target=Target("token", LEAKED),
            reason="credential_leak",
            ordered_by=RESPONDER,
            revocation=ORDER,
            plan_digest=reach["plan_digest"] if reach else None,
        ),
    )
    clock.now = LATE
    late_counts = ingest(service, late)
    clock.now = PROVED_AT
    events = [json.loads(line) for file in (incident, late) for line in file.read_text("utf-8").splitlines()]
    proof = prove(service, events, ended=f"token:{LEAKED}", ordered_at=ORDERED, at=PROVED_AT)
    results = {
        "counts": counts,
        "again": again,
        "who": who,
        "gap": gap,
        "reach": reach,
        "order": {key: value for key, value in order.items() if key != "seconds"} if order else None,
        "late": late_counts,
        "proof": {
            "holds": bool(proof),
            "dead": [one.of for one in proof.dead],
            "born_dead": [one.of for one in proof.born_dead],
            "alive": [one.of for one in proof.alive],
            "failures": [one.of for one in proof.failures],
        },
    }
    return results, proof


def ingest(service: Service, file: Path) -> Document:
    """Append the events of a file to the log, project them, and count the outcomes."""
    intake = read_files(service, [str(file)], format="jsonl")
    service.catch_up()
    return counts(service, intake)


# The story


def page(results: Document, proof: DemoProof) -> Page:
    """Render the story on one screen."""
    counts, again = results["counts"], results["again"]["duplicates"]
    text = Page().line(("A leaked agent token", "bold"), ": who used it, what its revocation ends, and the proof.")
    _step(text, "10:20  Events arrive", "ingest", "incident.jsonl")
    text.line(
        f"{counts['read']} events: {counts['accepted']} accepted, {many(counts['duplicates'], 'duplicate')}.",
        f" Once more: {many(again, 'duplicate')}, no change.",
        lead="  ",
    )
    if results["gap"]:
        for gap in results["gap"]["gaps"]:
            text.line(("Missing evidence", "bold yellow"), f": {gap['why']}: {gap['id']}.", lead="  ")
    _step(text, "10:25  Who mailed the price list to a rival?", "who", ACTION)
    if results["who"]:
        text.add(render_chain.who(results["who"], brief=True))
    _step(text, "10:25  The blast radius", "reach", f"token:{LEAKED}")
    if results["reach"]:
        text.add(render_chain.plan(results["reach"], brief=True))
    _step(text, "10:30  Revoke it", "revoke", f"token:{LEAKED}", "...")
    if results["order"]:
        text.add(render_chain.ordered(results["order"], brief=True))
    text.title("10:40  Two events arrive late")
    text.line("mailer-2, issued at 09:52: the missing link between mailer-1 and relay-2.", lead="  ")
    text.line("relay-4, issued at 10:33 by a service that had not heard of the revocation.", lead="  ")
    return _next(_proof(text, proof))


def _step(page: Page, title: str, *words: str) -> None:
    page.title(title, (f"  $ delegraph {' '.join(map(shlex.quote, words))}", ""))


def _proof(page: Page, proof: DemoProof) -> Page:
    page.title("10:45  The proof: the state of every token and delegation, asked one by one")
    born = {one.of for one in proof.born_dead}
    page.line(_of(proof.dead, proof.descendants), " descendants are revoked:", lead="  ")
    for one in proof.dead:
        page.line(f"{phrases.label(one.after):<19} {one.of}{', never valid' if one.of in born else ''}", lead="    ")
    page.line(_of(proof.alive, proof.siblings), " siblings are active, as before: ", _kinds(proof.alive), lead="  ")
    for one in proof.failures:
        states = f" {one.of}: {one.before} before the revocation, {one.after} after it"
        page.line(("WRONG", "bold red"), states, lead="    ")
    verdict: Words = ("PROVED", "bold green") if proof else ("NOT PROVED", "bold red")
    outcome = (
        "everything below it was revoked, and nothing else" if proof else "do not trust this build with a revocation"
    )
    return page.line(verdict, f": {outcome}.", lead="  ")


def _of(part: Sequence[CheckedElement], every: Sequence[CheckedElement]) -> str:
    return f"{len(part)} of {len(every)}"


def _kinds(elements: Sequence[CheckedElement]) -> str:
    tokens = sum(one.of.startswith("token:") for one in elements)
    return f"{many(tokens, 'token')}, {many(len(elements) - tokens, 'delegation')}"


def _next(page: Page) -> Page:
    page.title("Now you (nothing is revoked without --execute)")
    at = format_instant(ASKED).replace(".000000", "")
    for words in (
        ("ingest", str(_shortest(incident_path()))),
        ("who", ACTION, "mail-8", "--at", at),
        ("reach", "principal:agent:planner", "--at", at),
        ("uses", f"token:{LEAKED}"),
        ("revoke", "delegation:grant-mail", "--reason", "test", "--by", "human:you"),
    ):
        page.command(["delegraph", *words])
    return page


def _shortest(path: Path) -> Path:
    """Return a path as one would type it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
