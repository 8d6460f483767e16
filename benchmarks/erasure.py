"""The experiment of decision 0066: the cost for each event of making single persons erasable, in two ways.

``python -m benchmarks.erasure`` encodes a synthetic day of events three times: as they are; with the ids of persons
encrypted under a key for each person (AES-SIV, so that equal ids stay equal); and with a random pseudonym for each
person. It prints processor time and bytes for each event, and checks on random worlds that every state and chain is the
same after pseudonyms are put in and taken out again.
"""

import argparse
import random
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from benchmarks import events
from ingest.codec import api as codec
from lineage.core.authority.chain import chain_of
from lineage.core.authority.rule import verdict_of
from lineage.core.authority.world import World
from lineage.core.model.events import Event, Fact
from tests.support import compare, worlds

KIND: Final = "human:"
KEY_ID_BYTES: Final = 8
REPEATS: Final = 3
_TEXTS: Final = ("display_name", "owner", "by", "assignee", "ordered_by", "lifted_by", "approved_by", "principal")
FIELDS: Final = (*_TEXTS, "agent", "workload", "subject", "actor", "on_behalf_of", "delegator", "delegatee")
LISTS: Final = ("prior_actors", "aliases")


class Encrypting:
    """Replaces the id of a person by ``human:KEY.CIPHERTEXT``; destroying the key erases the person."""

    def __init__(self) -> None:
        self._ciphers: dict[str, tuple[str, AESSIV]] = {}
        self.keys: dict[str, bytes] = {}

    def __call__(self, id_: str) -> str:
        """Return what replaces an id."""
        found = self._ciphers.get(id_)
        if found is None:
            name, key = secrets.token_hex(KEY_ID_BYTES), AESSIV.generate_key(256)
            self.keys[name] = key
            found = self._ciphers[id_] = name, AESSIV(key)
        name, cipher = found
        return f"{KIND}{name}.{cipher.encrypt(id_.encode(), None).hex()}"  # base64 may look like a credential


class Naming:
    """Replaces the id of a person by a random pseudonym; deleting the row of the table erases the person."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.ids: dict[str, str] = {}

    def __call__(self, id_: str) -> str:
        """Return what replaces an id."""
        found = self.names.get(id_)
        if found is None:
            found = self.names[id_] = f"{KIND}{secrets.token_hex(KEY_ID_BYTES)}"
            self.ids[found] = id_
        return found


def replaced(event: Event, of: Callable[[str], str]) -> Event:
    """Replace the ids of persons in an event."""
    body, changed = event.body, {}
    for name in FIELDS:
        value = getattr(body, name, None)
        if isinstance(value, str) and value.startswith(KIND):
            changed[name] = of(value)
    for name in LISTS:
        values = getattr(body, name, ())
        if any(value.startswith(KIND) for value in values):
            changed[name] = tuple(of(value) if value.startswith(KIND) else value for value in values)
    target = getattr(body, "target", None)
    if target is not None and target.id.startswith(KIND):
        changed["target"] = target._replace(id=of(target.id))
    return event._replace(body=body._replace(**changed)) if changed else event


def measured(day: list[Event], of: Callable[[str], str] | None) -> tuple[float, float]:
    """Return the microseconds of processor time and the bytes of an event, the best of several runs."""
    best, size = float("inf"), 0
    for _ in range(REPEATS):
        began = time.process_time()
        size = sum(len(codec.encode(event if of is None else replaced(event, of))) for event in day)
        best = min(best, time.process_time() - began)
    return best * 1e6 / len(day), size / len(day)


def answers_to(facts: Iterable[Fact], questions: list[tuple[str, str]], back: Callable[[str], str]) -> list[Any]:
    """Return the states and the chains of tokens and delegations, with the original ids."""
    world = World(facts)
    found: list[Any] = []
    for kind, id_ in questions:
        if kind in ("token", "delegation"):
            verdict = verdict_of(world, f"{kind}:{id_}", worlds.grid[-1])
            because = None if verdict.because is None else verdict.because.order.body.revocation
            hops = [back(hop.principal) for hop in chain_of(world, f"{kind}:{id_}").hops]
            found.append((kind, id_, verdict.state, because, hops))
    return found


def differing(count: int) -> tuple[int, int]:
    """Count the random worlds in which an answer is different with pseudonyms.

    Returns:
        Those in which no event has two contents, and the others: the digest of the content decides which counts first
        (clause 3.4), and a pseudonym changes the digest.
    """
    wrong = [0, 0]
    for seed in range(count):
        records = worlds.world(random.Random(seed))
        facts = compare.facts_of(records)
        naming = Naming()
        hidden = [fact._replace(event=replaced(fact.event, naming)) for fact in facts]
        questions = worlds.questions(records)
        plain = answers_to(facts, questions, lambda id_: id_)
        contents = {fact.event for fact in facts}
        conflicting = len({(event.source, event.event_id) for event in contents}) < len(contents)
        wrong[conflicting] += plain != answers_to(hidden, questions, lambda id_, ids=naming.ids: ids.get(id_, id_))  # type: ignore[misc]
    return wrong[0], wrong[1]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--worlds", type=int, default=1_000)
    asked = parser.parse_args()
    day = [event for event, _ in zip(events.a_day(asked.events), range(asked.events), strict=False)]
    encrypting, naming = Encrypting(), Naming()
    rows = [("as they are", *measured(day, None))]
    rows += [
        ("a key for each person", *measured(day, encrypting)),
        ("a pseudonym for each person", *measured(day, naming)),
    ]
    for name, micros, size in rows:
        print(f"{name:28} {micros:6.1f} µs {size:6.0f} bytes")
    print(f"{len(encrypting.keys):,} persons")
    single, conflicting = differing(asked.worlds)
    print(f"{single:,} of {asked.worlds:,} random worlds answer differently with pseudonyms,")
    print(f"and {conflicting:,} more in which one event has two contents")


if __name__ == "__main__":
    main()
