"""The memory of live findings: what can be derived again is not kept, and what facts state alike is kept once."""

from benchmarks.events import START
from ingest.codec import api as codec
from lineage.core.findings.keeping.sharing import sharing_texts
from lineage.core.findings.scene.derived import Upward
from lineage.core.findings.scene.tally import Used, UsedElements, moments
from lineage.core.model.events import ActionPerformed, Derivation, Event, Fact, TokenIssued


def decoded(body: ActionPerformed | TokenIssued, number: int) -> Fact:
    """Return a fact as it is read from a store: with its own copy of each text."""
    event = Event(str(number), "https://idp.example", START, body, txn="txn-1")
    return Fact(codec.read(codec.encode(event)), START)


def test_facts_share_what_they_state_alike():
    """
    A fact that shares its texts equals the original, and each text that two facts state is one object.
    """
    parent = (Derivation("https://idp.example#login", "subject"),)
    token = TokenIssued("https://idp.example#t", "human:ann", derived_from=parent, scopes=("mail", "crm"))
    acts = [ActionPerformed(f"a{number}", "send", "succeeded", tool="mail", token=token.token) for number in range(2)]
    facts = [decoded(token, 0), decoded(token._replace(token="other"), 1), *map(decoded, acts, (2, 3))]
    shared = [sharing_texts(fact) for fact in facts]
    assert shared == facts
    assert all(type(one.event.body) is type(fact.event.body) for one, fact in zip(shared, facts, strict=True))
    first, second, one, other = (fact.event.body for fact in shared)
    assert isinstance(first, TokenIssued)
    assert isinstance(second, TokenIssued)
    assert isinstance(one, ActionPerformed)
    assert isinstance(other, ActionPerformed)
    assert first.scopes is second.scopes
    assert first.derived_from is second.derived_from
    assert one.token is other.token is first.token
    assert one.operation is other.operation
    assert shared[0].event.txn is shared[3].event.txn


def test_trimmed_values_are_computed_again():
    """
    Of more values than may be kept, half of that number are, those computed last; the others are computed again.
    """
    computed: list[str] = []

    def fold(key: str, above: dict[str, int]) -> int:
        computed.append(key)
        return 1 + max(above.values(), default=0)

    depth = Upward[int](lambda key: [key[:-1]] if len(key) > 1 else [], fold)  # type: ignore[arg-type]
    assert depth.of("abcdefgh") == 8
    depth.trim(8)
    assert depth.known("a") == 1
    depth.trim(6)
    assert [key for key in ("a", "abcde", "abcdef", "abcdefgh") if depth.known(key)] == ["abcdef", "abcdefgh"]
    computed.clear()
    assert depth.of("abcde") == 5
    assert computed == ["a", "ab", "abc", "abcd", "abcde"]


def test_uses_of_busy_elements_are_kept():
    """
    Uses that were discarded are counted again, but those of a busy element are kept.
    """
    counts = {"busy": 100, "calm": 2, "other": 1}
    counted: list[str] = []

    def again(key: str) -> Used | None:
        counted.append(key)
        return Used(times=moments(range(counts[key]))) if key in counts else None

    used = UsedElements(again, lambda: counts)
    assert sorted(used) == ["busy", "calm", "other"]
    assert "nothing" not in used
    used.trim(0)
    counted.clear()
    assert [len(one.times) for key in counts if (one := used.get(key)) is not None] == [100, 2, 1]
    assert counted == ["calm", "other"]
