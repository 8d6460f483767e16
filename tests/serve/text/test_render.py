"""Text pages: the answer comes first, content of events cannot deceive, and nothing is cut silently."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO, StringIO, TextIOWrapper
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from lineage.core.model.events import Target
from lineage.core.model.times import parse_instant
from lineage.core.revocation.reach import Proposal
from lineage.serve.cli import demo
from lineage.serve.commands.lift import lift_order
from lineage.serve.commands.order_request import OrderRequest
from lineage.serve.commands.revoke import give_order
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.activity.uses import uses
from lineage.serve.queries.findings.findings import FindingFilter
from lineage.serve.queries.findings.findings import findings as findings_of
from lineage.serve.queries.history.diff import diff as diff_of
from lineage.serve.queries.history.timeline import timeline
from lineage.serve.queries.inventory.search import search as search_of
from lineage.serve.queries.records import quarantine_and_conflicts
from lineage.serve.queries.service import Service
from lineage.serve.text import render_chain, render_evidence
from lineage.serve.text.text_page import Page, safe
from tests.support.text import flat, piped

Event = dict[str, Any]

AT = parse_instant("2026-11-02T10:25:00Z")
LEAKED = f"token:{demo.LEAKED}"


def command_of(page: RenderableType, start: str = "delegraph revoke") -> list[str]:
    """Return the words of a command on a page, of a plan unless told otherwise, as a shell parses them when pasted."""
    lines = iter(piped(page).splitlines())
    pasted = next(line for line in lines if line.startswith(f"  {start}"))
    while pasted.endswith("\\"):
        pasted += "\n" + next(lines)
    program = start.partition(" ")[0]
    script = f"{program}() {{ printf '%s\\0' {program} \"$@\"; }}\n{pasted}\n"
    result = subprocess.run(["sh", "-c", script], capture_output=True, check=True, text=True)
    assert "" == result.stderr
    return result.stdout.split("\0")[:-1]


def first_sentence(page: RenderableType) -> str:
    """Return the first paragraph."""
    return " ".join(piped(page).split("\n\n")[0].split())


@contextmanager
def incident() -> Iterator[Service]:
    """Return a service that knows the incident of the demo, before any order."""
    with demo.throw_away() as (service, clock, _):
        demo.ingest(service, demo.incident_path())
        clock.now = demo.ORDERED
        yield service


@contextmanager
def knowing(*events: Event) -> Iterator[Service]:
    """Return a service with some events, each given by its fields besides the envelope."""
    with demo.throw_away() as (service, clock, folder):
        file = folder / "events.jsonl"
        envelope = {"source": "urn:idp", "occurred_at": "2026-11-02T09:00:00Z"}
        lines = [json.dumps({"event_id": f"e{n}", **envelope, **event}) for n, event in enumerate(events)]
        file.write_text("\n".join(lines), encoding="utf-8")
        counts = demo.ingest(service, file)
        assert len(events) == counts["accepted"], quarantine_and_conflicts.quarantine(service)["items"]
        clock.now = demo.ORDERED
        yield service


def token(id_: str, subject: str = "human:alice", **stated: Any) -> Event:
    return {"type": "token.issued", "token": id_, "subject": subject, **stated}


def action(id_: str, **stated: Any) -> Event:
    return {"type": "action.performed", "action": id_, "operation": "mail.send", "outcome": "succeeded", **stated}


def order(target: str = LEAKED, **how: Any) -> OrderRequest:
    kind, _, id_ = target.partition(":")
    request = OrderRequest(
        target=Target(kind, id_), reason="credential_leak", ordered_by="human:dana", revocation="rev-1"
    )
    return replace(request, **how)


def reach(service: Service, target: str = LEAKED, **how: Any) -> Document:
    kind, _, id_ = target.partition(":")
    found = service.reach(Proposal(target=Target(kind, id_), at=AT, **how))
    assert found is not None
    return found


# The first sentence


def test_the_first_sentence_says_what_who_with_what_for_whom_then_and_now():
    """
    It names operation, actor, token, holder, human and path, and the state then and now.
    """
    with incident() as service:
        text = first_sentence(render_chain.who(service.who("mail-7", at=AT)))

    assert text.startswith(
        "mail.send was done by agent:scraper with token https://idp.example#mailer-1, which was issued to agent:mailer,"
        " for human:alice@example.com, who delegated to agent:planner, then agent:mailer; "
        "authority at the time: active; now: active."
    )


def test_after_an_order_the_first_sentence_says_who_revoked_it_and_why():
    """
    Then it was active; now it is revoked, by which order, for which reason, by whom and since when.
    """
    with incident() as service:
        give_order(service, order())
        text = first_sentence(render_chain.who(service.who("mail-4", at=demo.LATE)))
        below = first_sentence(render_chain.who(service.who("archive-5", at=demo.LATE)))

    because = "by rev-1 (credential_leak, by human:dana, on token:https://idp.example#mailer-1, from 2026-11-02T"
    assert "authority at the time: active; now: revoked " + because in text
    assert "authority at the time: active; now: revoked (inherited) " + because in below


def test_the_sentence_distinguishes_known_then_from_known_now():
    """
    The order took effect before the action and arrived later: active as known then, dead as known now.
    """
    with knowing(
        token("t1", actor="agent:mailer"),
        action("a1", token="t1", occurred_at="2026-11-02T10:29:00Z"),
    ) as service:
        service.clock.now = demo.LATE
        give_order(service, order("token:t1", effective_at=parse_instant("2026-11-02T10:28:00Z")))
        text = first_sentence(render_chain.who(service.who("a1", at=demo.LATE)))

    assert "authority at the time: active, in hindsight revoked by rev-1 (" in text
    assert "); now: revoked by rev-1 (" in text


def test_the_instant_asked_about_is_not_called_now():
    """
    If the instant is not now, the page says which it is.
    """
    with incident() as service:
        text = first_sentence(render_chain.who(service.who("mail-4", at=AT), at=AT))
        chain = first_sentence(render_chain.chain(service.chain("token", demo.LEAKED, at=AT), at=AT))

    assert "; at 2026-11-02T10:25:00Z: active." in text
    assert "is active at 2026-11-02T10:25:00Z; it is held by agent:mailer for human:alice@example.com" in chain


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        ("succeeded", "mail.send was done by agent:mailer with"),
        ("failed", "mail.send failed; it was tried by agent:mailer with"),
        ("denied", "mail.send was denied; it was tried by agent:mailer with"),
    ],
)
def test_an_action_that_did_not_happen_is_not_said_to_have_happened(outcome: str, sentence: str):
    """
    Done, failed and denied have different sentences.
    """
    with knowing(token("t1", actor="agent:mailer"), action("a1", token="t1", outcome=outcome)) as service:
        assert first_sentence(render_chain.who(service.who("a1", at=AT))).startswith(sentence)


def test_an_actor_further_up_the_chain_is_not_mistaken_for_the_holder():
    """
    When the planner uses the token of its mailer, the sentence does not say that the mailer did it.
    """
    with knowing(
        token("t1", actor="agent:planner"),
        token("t2", actor="agent:mailer", derived_from=[{"token": "t1", "role": "subject"}]),
        action("a1", token="t2", actor="agent:planner"),
        action("a2", token="t2", actor="agent:mailer", key_thumbprint="k1"),
    ) as service:
        text = first_sentence(render_chain.who(service.who("a1", at=AT)))

    assert (
        "was done by another party of its chain, named below, with token t2, which was issued to agent:mailer," in text
    )
    assert "6 findings (4 medium, 2 low), below." in text


def test_another_workload_is_not_another_actor():
    """
    The right agent on the wrong workload is still said to have done it; the finding is announced.
    """
    with knowing(
        token("t1", actor="agent:mailer", workload="spiffe://x/a"),
        action("a1", token="t1", actor="agent:mailer", workload="spiffe://x/b"),
    ) as service:
        text = first_sentence(render_chain.who(service.who("a1", at=AT)))

    assert text.startswith("mail.send was done by agent:mailer with token t1 for human:alice, who let it act;")
    assert "HIGH: Possible token theft: workload spiffe://x/b used a token bound to spiffe://x/a" in text
    assert "What to do: Revoke the token now" in text


def test_ungranted_authority_is_reported_first():
    """
    The first lines say that it is only asserted, unknown and incomplete.
    """
    with knowing(action("a1", token="t9", on_behalf_of="human:alice", actor="agent:mailer")) as service:
        text = first_sentence(render_chain.who(service.who("a1", at=AT)))

    assert (
        "by agent:mailer with token t9 for human:alice (unverified); authority at the time: unknown (nobody granted it)"
        in text
    )
    assert "INCOMPLETE: 2 pieces of evidence missing, see below." in text


def test_an_action_that_names_nothing_has_an_answer():
    """
    No actor, no token, no human.
    """
    with knowing(action("a1")) as service:
        text = first_sentence(render_chain.who(service.who("a1", at=AT)))

    assert text.startswith(
        "mail.send was done by an unknown party with no known token or delegation "
        "for an unknown party; authority at the time: unknown"
    )


def test_a_root_that_is_not_human_has_an_owner_or_none():
    """
    The page says who is accountable if the root is not a human.
    """
    registered = {
        "type": "principal.registered",
        "principal": "service:nightly",
        "kind": "service",
        "owner": "human:bob",
    }
    with knowing(
        token("t1", "service:nightly"), token("t2", "service:other", actor="agent:a"), registered,
        action("a1", token="t1"), action("a2", token="t2"),
    ) as service:  # fmt: skip
        owned = first_sentence(render_chain.who(service.who("a1", at=AT)))
        other = first_sentence(render_chain.who(service.who("a2", at=AT)))

    assert "by service:nightly with token t1 with no delegation (no human; accountable: its owner human:bob)" in owned
    assert "for service:other (no human; accountable: unknown), who let it act" in other


# Hop by hop


def test_scopes_kept_and_lost_are_shown_from_hop_to_hop():
    """
    It shows what a hop keeps of the one above, what it lost, and what it has beyond it.
    """
    with knowing(
        {"type": "delegation.granted", "delegation": "d1", "delegator": "human:alice", "delegatee": "agent:planner",
         "scopes": ["crm:read", "mail:send"]},
        {"type": "delegation.granted", "delegation": "d2", "delegator": "agent:planner", "delegatee": "agent:mailer",
         "parents": ["d1"], "scopes": ["mail:send", "admin:all"]},
    ) as service:  # fmt: skip
        text = flat(render_chain.chain(service.chain("delegation", "d2", at=AT)))

    assert "scopes crm:read mail:send └─" in text
    assert "scopes mail:send; lost crm:read; EXCEEDS PARENT admin:all" in text


def test_every_hop_names_its_evidence_its_source_its_time_and_its_state():
    """
    It names the delegation or token, the source, the validity, the state, and what is only asserted.
    """
    with incident() as service:
        text = flat(render_chain.who(service.who("mail-7", at=AT)))

    assert "agent:mailer agent by delegation grant-mail: active, source: https://idp.example" in text
    assert "from 2026-11-02T09:10:00Z, no expiry" in text
    assert "agent:scraper agent unverified (claimed by the action only), source: https://gateway.example" in text
    assert "PERMITTED by policy mail-send version 7" in text


def test_a_long_chain_says_what_it_does_not_show():
    """
    Of a thousand hops forty are shown; the tree stays within the line, and the rest is counted.
    """
    tokens = [token("t0", actor="agent:0")]
    tokens += [
        token(f"t{n}", actor=f"agent:{n}", derived_from=[{"token": f"t{n - 1}", "role": "subject"}])
        for n in range(1, 1000)
    ]
    with knowing(*tokens) as service:
        page = render_chain.chain(service.chain("token", "t999", at=AT))
    text = piped(page)

    assert "... 961 hops not shown here: --json has all 1,001" in text
    assert "then agent:3, and 996 more." in first_sentence(page)
    assert 80 >= max(map(cell_len, text.splitlines()))


def test_gaps_are_in_plain_words_and_in_the_first_lines():
    """
    If a token was derived from one that was never seen, the chain is reported as incomplete.
    """
    with incident() as service:
        page = render_chain.who(service.who("mail-8", at=AT))

    assert "INCOMPLETE: 1 piece of evidence missing, see below." in first_sentence(page)
    assert "- token https://idp.example#mailer-2: no event granted this token" in flat(page)


# The content of events is not trusted


HOSTILE = {
    "markup": "[bold red]x[/bold red][link=https://evil.example]y[/link]",
    "emoji code": ":smile: :warning:",
    "escape sequence": "\x1b[2J\x1b]0;title\x07\x9b31m",
    "bidi": "invoice\u202egpj.exe\u2066\u200f",
    "zero width": "pay\u200bpal\ufeff",
    "lines": "one\ntwo\r\x0b\u2028three\u2029",
    "wide spaces": "a\u00a0b\u3000c",
    "unassigned": "\ue000\U000f0000\u0378",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_shown_safely(text: str):
    """
    Markup stays text, no control or invisible character is printed, and no line is added or hidden.
    """
    hostile = {"operation": f"op {text}", "tool": text, "resource": {"type": "x", "id": "y"}}
    decision = {"type": "decision.made", "decision": "q1", "permitted": True, "operation": "x", "reasons": [text],
                "context": {"k": text}, "source": "urn:pdp"}  # fmt: skip
    events = (
        token("t1", actor="agent:mailer", scopes=[text]),
        {
            "type": "principal.registered",
            "principal": "human:alice",
            "kind": "human",
            "display_name": text,
            "purpose": text,
        },
        action("a1", token="t1", decision="q1", **hostile),
        action("a1", token="t1", event_id="again", tool="another"),
        decision,
    )
    with knowing(*events) as service:
        pages = [
            render_chain.who(service.who("a1", at=AT)),
            render_chain.chain(service.chain("token", "t1", at=AT)),
            render_chain.plan(reach(service, "token:t1")),
            render_chain.uses(uses(service, "token", "t1")),
            render_chain.timeline(timeline(service, "principal", "human:alice")),
            render_chain.findings(findings_of(service, at=AT)),
        ]
    shown = "".join(piped(page) for page in pages)

    assert set(filter(str.isprintable, shown)) | {"\n"} == set(shown)
    for char in text:
        if not char.isprintable() or char in "\u00a0\u3000":
            assert f"<U+{ord(char):04X}>" in shown
    if text.isprintable() and text.isascii():
        assert text in " ".join(shown.split())


def test_a_hostile_console_gets_no_escape_through_colour_either():
    """
    On a terminal with colours the only escapes are the styles of the page itself.
    """
    console = Console(file=StringIO(), width=80, force_terminal=True, color_system="standard")
    console.print(Page().line("a\x1b[31mb[red]c", ("d\x9b2J", "bold")))

    assert "a<U+001B>[31mb[red]c\x1b[1md<U+009B>2J\x1b[0m\n" == console.file.getvalue()


def test_the_command_of_a_plan_is_one_command_whatever_the_id():
    """
    An id with quotes, spaces and substitutions is quoted: the pasted command names the target and does nothing else.
    """
    odd = "t1'; rm -rf $(pwd) `id` #"
    with knowing(token(odd)) as service:
        plan = reach(service, f"token:{odd}")
        command = command_of(render_chain.plan(plan))

    assert [
        *("delegraph", "revoke", f"token:{odd}", "--reason", "REASON", "--by", "human:YOU"),
        *("--execute", "--plan-digest", plan["plan_digest"]),
    ] == command


def test_the_command_that_verifies_a_bundle_is_one_command_whatever_the_file_and_the_key():
    """
    It is longer than a row, and still one command when it is pasted, as every command on a page is.
    """
    file, key = (
        "the evidence of $(whoami)'s case.json",
        "delegraph/622a7dd81d8d5d95+62906e95+AUhY80oAVCX6Z9kZTvkYzY3CT7f8",
    )
    command = command_of(render_evidence.exported({"file": file, "key": key}), "python3")

    assert ["python3", "verify_evidence.py", file, "--key", key] == command


def test_a_command_is_only_continued_between_words():
    """
    A backslash continues the command only if a row ends between two words.
    """
    console = Console(file=StringIO(), width=40)
    console.print(Page().command(["delegraph", "status", f"token:{'x' * 60}", "token:a b"]))

    assert [
        "  delegraph status \\",
        f"    token:{'x' * 28}",
        f"    {'x' * 32} \\",
        "    'token:a b'",
    ] == console.file.getvalue().splitlines()


def test_safe_leaves_what_can_be_seen():
    """
    Letters of any script, marks, emoji and symbols stay as they are.
    """
    for text in ("human:zoë@example.com", "агент:планировщик", "代理:邮件", "e\u0301", "→ ✓ 🙂", "a b"):
        assert text == safe(text)


# Pipes, terminals, narrow consoles


LONG = "https://idp.example/realms/a-very-long-realm-name/protocol/openid-connect#" + "0123456789abcdef" * 8


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_a_long_id_stays_whole_in_a_pipe(width: int):
    """
    However narrow the page is taken to be, an id is never cut and never broken where lines wrap softly.
    """
    with knowing(token(LONG, actor="agent:mailer"), action("a1", token=LONG)) as service:
        pages = [render_chain.who(service.who("a1", at=AT)), render_chain.plan(reach(service, f"token:{LONG}"))]

    for page in pages:
        text = piped(page, width)
        assert LONG in text
        assert "…" not in text


@pytest.mark.parametrize("width", [30, 40, 80])
def test_a_long_id_continues_in_the_next_line_if_lines_are_cropped(width: int):
    """
    A console that crops gets rows that fit it: every character of the id is there.
    """
    console = Console(file=StringIO(), width=width)
    console.print(Page().line("token ", LONG, " is active.", lead="  - "))
    text = console.file.getvalue()

    assert width >= max(map(cell_len, text.splitlines()))
    assert LONG in text.replace("\n    ", "")


def test_a_pipe_has_no_colour_and_nothing_depends_on_colour():
    """
    A pipe gets no escape sequence; a terminal gets the same words.
    """
    with incident() as service:
        give_order(service, order())
        page = render_chain.who(service.who("archive-5", at=demo.LATE))
    plain = piped(page)
    console = Console(file=StringIO(), width=80, soft_wrap=True, force_terminal=True, color_system="truecolor")
    console.print(page)
    coloured = console.file.getvalue()

    assert "\x1b" not in plain
    assert "\x1b[" in coloured
    assert plain == re.sub(r"\x1b\[[0-9;]*m", "", coloured)


def test_a_console_without_unicode_gets_a_tree_of_ascii():
    """
    If the encoding has no line characters, the tree is drawn in ASCII.
    """
    stream = TextIOWrapper(BytesIO(), encoding="ascii")
    with incident() as service:
        Console(file=stream, width=80).print(render_chain.who(service.who("mail-7", at=AT)))
    stream.flush()

    assert b"`- agent:planner" in stream.buffer.getvalue()


def test_words_do_not_leave_a_page_of_80_columns():
    """
    Every page of the incident is at most 80 columns wide, except for a longer id.
    """
    with incident() as service:
        pages = [
            *(render_chain.who(service.who(name, at=AT)) for name in ("mail-7", "mail-8", "archive-5", "mail-3")),
            render_chain.plan(reach(service, "principal:agent:planner")),
            render_chain.timeline(timeline(service, "principal", "agent:mailer")),
            render_chain.findings(findings_of(service, at=AT)),
            render_chain.ordered(give_order(service, order())),
            render_chain.diff(diff_of(service, "token", demo.LEAKED, start=AT, end=demo.LATE)),
        ]

    for page in pages:
        for line in piped(page).splitlines():
            assert 80 >= cell_len(line), line


# Orders


@pytest.mark.parametrize(
    ("target", "how", "stands"),
    [
        (
            LEAKED,
            {},
            (
                "Permanent: a token that is revoked is never active again, and what is derived from it later is "
                "never valid."
            ),
        ),
        ("delegation:grant-mail", {}, "Permanent: a delegation that is revoked is never active again"),
        ("principal:agent:planner", {}, "Until reinstated: new authority for agent:planner is never valid."),
        (
            "session:https://idp.example#session-alice-0830",
            {},
            "Until reinstated: new authority for https://idp.example#session-alice-0830 is never valid.",
        ),
        ("principal:agent:planner", {"mode": "suspend"}, "Until reinstated: then all of it is active again."),
        (LEAKED, {"mode": "suspend"}, "Until reinstated: then all of it is active again."),
        (
            "principal:agent:planner",
            {"issued_before": AT},
            (
                "Permanent for what was issued before 2026-11-02T10:25:00Z; new authority for agent:planner is not "
                "touched."
            ),
        ),
        (LEAKED, {"cascade": False}, "is never active again. No cascade: what depends on it stays active."),
    ],
)
def test_a_plan_says_what_the_order_means(target: str, how: dict[str, Any], stands: str):
    """
    It says whether it is permanent or until lifted, whether new authority is never valid, and whether it cascades.
    """
    with incident() as service:
        page = render_chain.plan(reach(service, target, **how), **how)

    assert stands in flat(page)


def test_a_suspension_is_never_shown_as_a_revocation():
    """
    The document of `reach` omits the mode, but its digest covers it: a page with another mode is refused.
    """
    with incident() as service:
        suspension = reach(service, mode="suspend")

    assert first_sentence(render_chain.plan(suspension, mode="suspend")).startswith(
        f"Suspending {LEAKED} would suspend 3 tokens"
    )
    with pytest.raises(ValueError, match="not one of an order with"):
        render_chain.plan(suspension)


def test_a_plan_names_what_it_ends_its_holders_and_the_actions_under_it():
    """
    The first sentence counts; humans, agents, tokens, delegations and actions are named.
    """
    with incident() as service:
        page = render_chain.plan(reach(service, "principal:agent:mailer"))
    text = flat(page)

    assert first_sentence(page).startswith(
        "Revoking principal:agent:mailer would end 3 tokens and 1 delegation, of 1 human and 2 agents; "
        "4 actions were taken under it."
    )
    assert "human human:alice@example.com agent agent:mailer agent agent:planner" in text
    assert "delegation grant-mail token https://idp.example#archive-1 token https://idp.example#mailer-1" in text
    assert "2026-11-02T09:47:29.6Z mail.send succeeded, mail-7 by agent:scraper" in text
    assert "Expires by itself: never." in text


def test_a_plan_names_survivors_with_their_reason():
    """
    It names what is close to the target and stays active, with the reason, or says that there is nothing.
    """
    with incident() as service:
        bound = flat(render_chain.plan(reach(service, "principal:agent:mailer")))
        owned = flat(render_chain.plan(reach(service, "principal:human:bob@example.com")))
        none = flat(render_chain.plan(reach(service, "principal:agent:planner")))

    assert "Not affected (1)" in bound
    assert (
        "- workload spiffe://example.com/ns/agents/sa/mailer: bound to agent:mailer; bindings are not dependencies"
        in bound
    )
    assert "- principal agent:calendar: owned by human:bob@example.com; owners are not dependencies" in owned
    assert "Nothing that is bound to it" in none


def test_a_plan_says_whether_a_trust_file_is_in_force():
    """
    Without one every source may state anything, and the plan says so; with one it names the file.
    """
    with incident() as service:
        plan = reach(service)

    assert "No trust file is in force: every source may state anything" in flat(render_chain.plan(plan))
    assert "Trust file in force: /etc/delegraph/trust.toml" in flat(
        render_chain.plan({**plan, "trust": "/etc/delegraph/trust.toml"})
    )


def test_a_plan_says_what_is_dead_already_and_the_last_expiry():
    """
    What is dead is counted separately; if everything expires, the last expiry is shown.
    """
    end = "2026-11-02T17:00:00Z"
    with knowing(
        token("t1", expires_at=end),
        token("t2", derived_from=[{"token": "t1", "role": "subject"}], expires_at=end),
    ) as service:
        give_order(service, order("token:t2"))
        page = render_chain.plan(service.reach(Proposal(target=Target("token", "t1"), at=demo.LATE)))

    assert first_sentence(page).startswith("Revoking token:t1 would end 1 token, of 1 human.")
    assert "Not counted: 1 token at or below it, ended already." in flat(page)
    assert "Expires by itself: 2026-11-02T17:00:00Z." in flat(page)


def test_the_command_repeats_all_that_the_plan_was_asked_with():
    """
    The pasted command gives the same order: mode, cascade, `issued_before`, reason, person and session options.
    """
    how = {"mode": "suspend", "issued_before": AT, "cascade": False}
    with incident() as service:
        plan = {**reach(service, "principal:agent:planner", **how), "reason": "compromise", "ordered_by": "human:dana"}
        command = command_of(render_chain.plan(plan, **how, words=["--store", "sqlite:///x y.db"]))

    assert [
        *("delegraph", "revoke", "principal:agent:planner", "--store", "sqlite:///x y.db"),
        *("--reason", "compromise", "--by", "human:dana", "--mode", "suspend"),
        *("--issued-before", "2026-11-02T10:25:00Z", "--no-cascade", "--execute", "--plan-digest", plan["plan_digest"]),
    ] == command


def test_no_list_is_cut_without_saying_so():
    """
    Of many tokens the first are named, followed by the number of the others.
    """
    many = [token(f"t{n:02}", actor="agent:mailer") for n in range(50)]
    actions = [action(f"a{n:02}", token="t00", occurred_at=f"2026-11-02T09:{n:02}:00Z") for n in range(30)]
    with knowing(*many, *actions) as service:
        text = flat(render_chain.plan(reach(service, "principal:agent:mailer")))

    assert "token t19 ... and 30 more, not shown here: --json has all 50" in text
    assert "token t20" not in text
    assert "Actions taken (30), the latest 20, latest first" in text


def test_an_order_for_people_says_that_it_was_given_and_how_to_undo_it():
    """
    It says what is in force since when; a suspension and an order on a name can be lifted, one on a token cannot.
    """
    with incident() as service:
        given = give_order(service, order())
        suspended = give_order(service, order("principal:agent:reporter", mode="suspend", revocation="rev 2"))
    page = render_chain.ordered(given)

    assert first_sentence(page).startswith(
        "REVOKED: rev-1 (revoke token:https://idp.example#mailer-1, credential_leak, by human:dana) is in force from "
        "2026-11-02T10:30:00Z and ends 3 tokens."
    )
    assert "delegraph lift" not in flat(page)
    assert "delegraph status 'token:https://idp.example#mailer-1'" in flat(page)
    assert "and suspends 3 tokens and 2 delegations." in first_sentence(render_chain.ordered(suspended))
    assert "delegraph lift 'rev 2' --by human:dana" in flat(render_chain.ordered(suspended))


def test_an_order_for_people_says_when_there_was_nothing_to_end():
    """
    An order that ends nothing active is an order nevertheless.
    """
    with incident() as service:
        give_order(service, order())
        again = give_order(service, order(revocation="rev-2"))

    assert "and ends nothing that is alive." in first_sentence(render_chain.ordered(again))


def test_a_lift_says_what_it_changes_and_what_it_cannot():
    """
    The lift of an order on a token has no effect; after one on a principal new authority may be issued.
    """
    with incident() as service:
        give_order(service, order())
        give_order(service, order("principal:agent:reporter", revocation="rev-2"))
        service.clock.now = demo.LATE
        on_token = flat(render_chain.lifted(lift_order(service, "rev-1", lifted_by="human:dana")))
        on_name = flat(render_chain.lifted(lift_order(service, "rev-2", lifted_by="human:dana")))

    assert "REINSTATED: rev-1 (1 revocation) at 2026-11-02T10:40:00Z by human:dana." in on_token
    assert (
        "No effect: revoked permanently, or the trust file does not let this source reinstate it "
        "- token:https://idp.example#mailer-1" in on_token
    )
    assert "but new authority may be issued" not in on_token
    assert "what was revoked stays revoked, but new authority may be issued." in on_name


# States and lists


def test_a_status_names_the_order_and_the_path_down():
    """
    It shows the state, the order that causes it, and the path from its target.
    """
    with incident() as service:
        give_order(service, order())
        page = render_chain.status(service.status("token", "https://idp.example#archive-1", at=demo.LATE))

    assert (
        "token https://idp.example#archive-1 is revoked (inherited) by rev-1 (credential_leak, by human:dana, on"
        in flat(page)
    )
    assert (
        "down the path token:https://idp.example#mailer-1 > token:https://idp.example#relay-1 > "
        "token:https://idp.example#archive-1" in flat(page)
    )


@pytest.mark.parametrize(
    ("behind", "sentence"),
    [
        (0, "(as of 2026-11-02T10:20:00Z, the end of the log)"),
        (3, "; 3 records of the log not in this answer: run 'delegraph consume --drain'."),
        (None, "WARNING: as of 2026-11-02T10:20:00Z; the log cannot be asked for more, so this may be out of date."),
    ],
)
def test_an_answer_states_its_progress(behind: int | None, sentence: str):
    """
    There is a warning if the log has more than the answer, or if that is unknown.
    """
    with incident() as service:
        doc = service.status("token", demo.LEAKED, at=AT)
    doc["as_of"]["behind"] = behind

    assert flat(render_chain.status(doc)).endswith(sentence)


def test_uses_distinguish_the_actor_from_the_holder():
    """
    A use by another party is named in the first sentence and at the use.
    """
    with incident() as service:
        page = render_chain.uses(uses(service, "token", demo.LEAKED))

    assert first_sentence(page).endswith("was used 3 times, 1 of them by another party than the one it was issued to.")
    assert "by agent:scraper, but issued to agent:mailer" in flat(page)


def test_a_timeline_lists_every_fact_in_chronological_order():
    """
    Each fact has its time, content, source, and recording time.
    """
    with incident() as service:
        text = flat(render_chain.timeline(timeline(service, "token", "https://idp.example#relay-2")))

    assert text.startswith("token https://idp.example#relay-2 is mentioned by 2 facts, the earliest first.")
    assert "derived_from: token=https://idp.example#mailer-2 role=subject, token=" in text
    assert text.index("token.issued") < text.index("action.performed")
    assert "recorded 2026-11-02T10:20:00Z" in text


def test_a_difference_shows_both_states_and_the_cause():
    """
    It lists everything that changed, with both states, or says that nothing did.
    """
    with incident() as service:
        give_order(service, order())
        changed = flat(render_chain.diff(diff_of(service, "token", demo.LEAKED, start=AT, end=demo.LATE)))
        same = flat(render_chain.diff(diff_of(service, "token", demo.LEAKED, start=AT, end=AT)))

    assert "3 things changed at and below token https://idp.example#mailer-1" in changed
    assert "token https://idp.example#archive-1 active -> revoked (inherited) by rev-1 (" in changed
    assert "nothing changed" in same


def test_a_search_prints_ids_as_commands_accept_them():
    """
    It prints `KIND:ID`, one per line; an incomplete page says so.
    """
    with incident() as service:
        every = piped(render_chain.search(search_of(service, "mailer")))
        page = flat(render_chain.search(search_of(service, "mailer", limit=1)))
        nothing = flat(render_chain.search(search_of(service, "no such thing")))

    assert "token:https://idp.example#mailer-1" in every.splitlines()
    assert re.search(
        r"INCOMPLETE: showing 1; continue after \S+principal:spiffe://example.com/ns/agents/sa/mailer\.", page
    )
    assert nothing.startswith("Nothing contains that.")


def test_the_quarantine_shows_reason_position_and_a_safe_excerpt(tmp_path):
    """
    A long record is cut with a note; bytes that are not text are base64; no escape sequence is printed.
    """
    file = tmp_path / "bad.jsonl"
    bad = b'{"type":"\x1b[31m' + b"x" * 900 + b'"}'
    file.write_bytes(bad + b"\n\xff\xfe\n")
    with demo.throw_away() as (service, _, _):
        demo.ingest(service, file)
        doc = quarantine_and_conflicts.quarantine(service)
        text = flat(render_chain.quarantine(doc))
        empty = flat(render_chain.quarantine({**doc, "items": [], "total": 0}))

    assert text.startswith("2 records in quarantine: rejected, kept.")
    assert f"{file}, at 1; {len(bad)} bytes" in text
    assert "(the first 300 of " in text
    assert "<U+001B>[31m" in text
    assert "(base64): //4=" in text
    assert "\x1b" not in text
    assert empty.startswith("Nothing is in quarantine.")


def test_conflicts_show_every_content():
    """
    One identity has two contents, each with its digest.
    """
    with knowing(token("t1")) as service, demo.throw_away() as (other, _, folder):
        assert flat(render_chain.conflicts(quarantine_and_conflicts.conflicts(service))).startswith(
            "No source has sent different contents"
        )
        file = folder / "two.jsonl"
        envelope = {"event_id": "e1", "source": "urn:idp", "occurred_at": "2026-11-02T09:00:00Z"}
        lines = [json.dumps({**envelope, **token("t1", subject)}) for subject in ("human:alice", "human:mallory")]
        file.write_text("\n".join(lines), encoding="utf-8")
        counts = demo.ingest(other, file)
        text = flat(render_chain.conflicts(quarantine_and_conflicts.conflicts(other)))

    assert "1 identity with different contents; all of them are kept. e1 of urn:idp: 2 contents" in text
    assert "subject: human:alice" in text
    assert "subject: human:mallory" in text
    assert "1 conflict" in flat(render_chain.counts(counts))


def test_findings_are_counted_by_severity_and_cite_their_facts():
    """
    It shows the number of each severity, and each finding in one sentence with its facts.
    """
    with incident() as service:
        filters = FindingFilter(kinds=("sequence-hole", "wielder-mismatch"))
        page = render_chain.findings(findings_of(service, at=AT, filters=filters))
    with knowing(token("t1")) as service:
        none = render_chain.findings(findings_of(service, at=AT, filters=filters))

    assert flat(page).startswith("3 findings (2 high, 1 medium). - high wielder-mismatch: Possible token theft: ")
    assert "shown by idp-15 of https://idp.example; gw-7 of https://gateway.example" in flat(page)
    assert flat(none).startswith("No findings, as far as was evaluated.")


def test_counts_account_for_every_event():
    """
    Five words name the outcomes, and a hint follows if any was not accepted.
    """
    as_of = {"recorded_at": None, "behind": 0}
    counts = {
        "read": 9,
        "accepted": 4,
        "duplicates": 2,
        "conflicts": 1,
        "unauthorised": 1,
        "quarantined": 1,
        "as_of": as_of,
    }
    text = flat(render_chain.counts(counts))
    named = flat(render_chain.counts(counts | {"reasons": {"bad-time": 1}}))

    assert "1 could not be read (1 bad-time): see 'delegraph quarantine'." in named
    assert text.startswith("Read 9 events: 4 accepted, 2 duplicates, 1 conflict, 1 unauthorised, 1 quarantined.")
    assert "1 could not be read: see 'delegraph quarantine'." in text
    assert "(nothing is recorded yet, the end of the log)" in text


def test_counts_of_foreign_formats_say_what_was_skipped():
    """
    It counts the records of the files, and the skipped ones by reason.
    """
    counts = {"read": 2, "accepted": 2, "duplicates": 0, "conflicts": 0, "unauthorised": 0, "quarantined": 0}
    skipped = {"request": 2, "health check": 1}
    counts |= {"records": 5, "skipped": skipped, "as_of": {"recorded_at": None, "behind": 0}}
    text = flat(render_chain.counts(counts))

    assert text.startswith("5 records in the files, 3 of them skipped: they say nothing of authority or action.")
    assert "2 request 1 health check Read 2 events: 2 accepted" in text


def test_what_was_published_and_what_was_refused():
    """
    Each refused line is named with its file, line number and reason.
    """
    refused = {"file": "x.jsonl", "line": 3, "reason": "json", "detail": "the record is not JSON"}
    text = flat(render_chain.emitted({"read": 2, "published": 1, "refused": [refused]}))

    assert "Read 2 events: 1 published, 1 refused. - x.jsonl:3 json: the record is not JSON" == text


def test_maintenance_is_reported_in_words():
    """
    For consume, fsck, retry and doctor the outcome comes first, in words.
    """
    as_of = {"recorded_at": None, "behind": 0}
    outcomes = {"accepted": 3, "duplicates": 0, "conflicts": 0, "unauthorised": 0, "quarantined": 0}
    checked = {"ok": True, "records": 3, "outcomes": outcomes, "differences": [], "as_of": as_of}
    examined = {
        "ok": False, "store": "sqlite:///x.db", "log": "inside the store", "trust": None, "source": "urn:x",
        "versions": {"rich": "15", "click": None}, "checks": [
            {"check": "store", "ok": True, "says": "fine"}, {"check": "log", "ok": False, "says": "locked"}],
    }  # fmt: skip

    assert flat(render_chain.consumed({"records": 3, "outcomes": outcomes, "as_of": as_of})).startswith(
        "3 records projected."
    )
    assert flat(render_chain.checked(checked)).startswith("OK: the projection says what the log says; 3 records.")
    differing = flat(render_chain.checked({**checked, "ok": False, "differences": ["fact 7 is missing"]}))
    assert differing.startswith("DIFFERENT: 1 difference between the projection and the log. - fact 7 is missing")
    assert "Of 3 records in quarantine 1 were accepted on retry; 2 remain." in flat(
        render_chain.retried({"read": 3, "taken_up": 1, "waiting": 2, "as_of": as_of})
    )
    assert flat(render_chain.doctor(examined)).startswith("Something does not answer. ok store: fine FAULT log: locked")
