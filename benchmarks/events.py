"""Synthetic events for the benchmarks: on a typical day humans log in, planners delegate, agents exchange and act."""

import hashlib
import random
import uuid
from collections.abc import Iterator

from lineage.core.model.events import (
    ActionPerformed,
    Body,
    DelegationGranted,
    Derivation,
    Event,
    ReceiverRegistered,
    RevocationOrdered,
    Target,
    TokenIssued,
)
from lineage.core.model.times import Instant

START: Instant = 1_790_000_000_000_000
HOUR = 3_600_000_000
SOURCE = "https://idp.example"


def numbered(body: Body, number: int, at: Instant, txn: str | None = None, sequence: int | None = None) -> Event:
    """Build an event with a unique id, as random as that of a producer."""
    digest = hashlib.blake2b(number.to_bytes(8, "big"), digest_size=16).digest()
    identity = str(uuid.UUID(bytes=digest, version=4))
    return Event(event_id=identity, source=SOURCE, occurred_at=at, body=body, txn=txn, sequence=sequence)


def a_day(count: int, seed: int = 1, start: Instant = START) -> Iterator[Event]:
    """Generate ``count`` events: of every eleven, a delegation, a login, three exchanges below it, six actions."""
    rng = random.Random(seed)
    number, at, session = 0, start, 0
    while True:
        session += 1
        human = f"human:user{rng.randrange(5_000)}@example.com"
        planner = f"agent:planner-{rng.randrange(500)}"
        granted = f"https://idp.example#grant-{session}"
        tokens = [_jti(rng)]
        bodies: list[Body] = [
            DelegationGranted(
                delegation=granted,
                delegator=human,
                delegatee=planner,
                scopes=("mail", "crm"),
                expires_at=at + 24 * HOUR,
            ),
            TokenIssued(
                token=tokens[0],
                subject=human,
                client="https://idp.example#web",
                session=f"https://idp.example#session-{session}",
                scopes=("openid", "mail", "crm"),
                expires_at=at + HOUR,
            ),
        ]
        for step in range(3):
            tokens.append(_jti(rng))
            worker = f"worker-{rng.randrange(2_000)}"
            holder = worker if step else planner.removeprefix("agent:")
            bodies.append(
                TokenIssued(
                    token=tokens[-1],
                    subject=human,
                    actor=f"agent:{holder}",
                    delegation=None if step else granted,  # it was issued to the planner, which lets the workers act
                    derived_from=(Derivation(tokens[-2], "subject"),),
                    client="https://idp.example#agents",
                    session=f"https://idp.example#session-{session}",
                    scopes=("mail",),
                    audience=("https://mail.example",),
                    expires_at=at + HOUR,
                    workload=f"spiffe://example.com/{holder}",
                )
            )
            bodies += [
                ActionPerformed(
                    action=f"https://gateway.example#{session}-{step}-{turn}",
                    operation="mail.send",
                    outcome="succeeded",
                    tool="mail",
                    token=tokens[-1],
                    actor=f"agent:{holder}",
                )
                for turn in range(2)
            ]
        for body in bodies:
            number += 1
            at += rng.randrange(1_000, 200_000)
            yield numbered(body, number, at, f"txn-{session}", number)
            if number == count:
                return


def _jti(rng: random.Random) -> str:
    return f"https://idp.example#{uuid.UUID(int=rng.getrandbits(128), version=4)}"


def a_tree(children: int, *, root: str = "root", first: int = 1 << 40, start: Instant = START) -> Iterator[Event]:
    """A root token with a number of descendants: ten children, and the rest spread among them as grandchildren."""
    ends_at = start + 100 * HOUR
    yield numbered(TokenIssued(token=root, subject="human:root", expires_at=ends_at), first, start)
    branches = [f"{root}/{branch}" for branch in range(min(10, children))]
    for number, token in enumerate(branches):
        yield numbered(_exchanged(token, root, f"agent:branch-{number}", ends_at), first + 1 + number, start)
    for number in range(len(branches), children):
        parent = branches[number % len(branches)]
        token = f"{parent}/{number}"
        leaf = _exchanged(token, parent, f"agent:leaf-{number % 1_000}", ends_at)
        yield numbered(leaf, first + 1 + number, start)


def a_chain(hops: int, *, name: str, first: int = 1 << 41) -> Iterator[Event]:
    """A chain of ``hops`` tokens, each exchanged from the previous one, and an action at its end (``NAME-act``)."""
    yield numbered(TokenIssued(token=f"{name}-0", subject="human:root", expires_at=START + 100 * HOUR), first, START)
    for hop in range(1, hops):
        body = _exchanged(f"{name}-{hop}", f"{name}-{hop - 1}", f"agent:hop-{hop}")
        yield numbered(body, first + hop, START + hop)
    act = ActionPerformed(action=f"{name}-act", operation="op", outcome="succeeded", token=f"{name}-{hops - 1}")
    yield numbered(act, first + hops, START + HOUR)


def a_crowd(count: int, alive: int, *, first: int = 1 << 42) -> Iterator[Event]:
    """Yield tokens of one agent; a year later all but ``alive`` of them have expired."""
    for number in range(count):
        end = START + 24 * 365 * HOUR * (2 if number < alive else 0) + HOUR
        body = TokenIssued(token=f"crowd-{number}", subject="agent:busy", expires_at=end)
        yield numbered(body, first + number, START)


def a_busy_root(count: int, *, token: str = "busy", first: int = 1 << 44) -> Iterator[Event]:
    """A token with its own client, and ``count - 1`` actions that use it."""
    ends_at = START + 1_000_000 * HOUR
    yield numbered(TokenIssued(token=token, subject="agent:busy", client="busy", expires_at=ends_at), first, START)
    for number in range(1, count):
        act = ActionPerformed(
            action=f"{token}-{number}",
            operation="mail.send",
            outcome="succeeded",
            tool="mail",
            token=token,
            actor="agent:busy",
        )
        yield numbered(act, first + number, START + number * 1_000_000)


def a_revocation(elements: int, at: Instant, *, revocation: str = "revoked") -> Iterator[Event]:
    """A tree of ``elements`` long-lived tokens, two receivers that have not answered, and a revocation of its root."""
    yield from a_tree(elements - 1, start=at - HOUR)
    for number, receiver in enumerate(("https://gateway.example", "https://mail.example")):
        yield numbered(ReceiverRegistered(receiver=receiver, deadline_seconds=60), (1 << 45) + number, at - HOUR)
    target = Target("token", "root")
    order = RevocationOrdered(revocation=revocation, target=target, reason="test", ordered_by="human:ir")
    yield numbered(order, 1 << 46, at)


def _exchanged(token: str, parent: str, actor: str, ends_at: Instant = START + 100 * HOUR) -> TokenIssued:
    return TokenIssued(
        token=token,
        subject="human:root",
        actor=actor,
        derived_from=(Derivation(parent, "subject"),),
        expires_at=ends_at,
    )
