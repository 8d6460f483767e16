"""The parent of an exchanged token, which Keycloak does not log, and the clients it passed through.

The event names the client of the subject token, not the token. The parent is that client's token in that session, if
only one candidate exists: issued before, not expired, and, where its audience is known, intended for the exchanging
client, as Keycloak requires. It must also be certain that all candidates are known: the login of the session was
seen, and the log contains token refreshes. Otherwise the parent is a gap: a token that no event granted.

Even then the preceding clients may be certain: a refreshed token came the same way as the token it replaced, so the
login and the exchanges, which every log contains, are enough. Pure.
"""

from collections.abc import Iterator
from operator import attrgetter
from typing import Any, Final, NamedTuple

from ingest.sources.adapters.kit import Memory, Source, Translation
from lineage.core.model.times import Instant

# Topics: access tokens by group; exchanges whose parent has not been determined yet; sessions whose login was seen, and
# # those whose login is in a log with events of every type; whether the REST API reports refreshed tokens; exchanges
# # whose parent was reported as missing, and those of them whose login was read later.
_TOKENS, _EXCHANGES, _LOGINS, _WHOLE_LOGINS, _REFRESHES = "token", "exchange", "login", "whole-login", "refresh"
_UNCERTAIN, _LATE = "exchange-uncertain", "exchange-late"
# In a session with more tokens than this, no parent is certain.
_MOST_TOKENS: Final = 512
_SEVERAL: Final = 2
_MOMENT: Final = attrgetter("moment")
# Lines of several servers, or of a busy one, may be out of order by some seconds.
_PATIENCE: Final = 60_000_000


class Issue(NamedTuple):
    """A remembered access token, which may be the parent of another.

    Attributes:
        token, subject, holder: Ids; the holder is the client it was issued to.
        group: ``session:ID``; for a token without a session ``client:ID``.
        at, moment: When it was issued, as logged and as an instant.
        audience: The clients it is intended for; None if not logged.
        expires_at: An instant; None if not logged.
        subject_client: The holder of the token it was exchanged for; None if it was not exchanged, or not logged.
        is_refreshed: Whether it replaced another one of the holder.
    """

    token: str
    subject: str
    holder: str
    group: str
    at: str
    moment: Instant
    audience: list[str] | None = None
    expires_at: Instant | None = None
    subject_client: str | None = None
    is_refreshed: bool = False


def remember(issue: Issue, memory: Memory) -> None:
    """Remember an access token; of a client's tokens without a session only the earliest, which cannot be a parent."""
    known = memory.get(_TOKENS, issue.group, [])
    if issue.group.startswith("client:"):
        if not known or [issue.moment, issue.token] < [Issue(*known[0]).moment, Issue(*known[0]).token]:
            memory.put(_TOKENS, issue.group, [list(issue)])
    elif list(issue) not in known and len(known) <= _MOST_TOKENS:
        memory.put(_TOKENS, issue.group, [*known, list(issue)])


def issued_in(group: str, memory: Memory) -> list[Issue]:
    """Return the access tokens of a session, or of a client without a session."""
    return [Issue(*found) for found in memory.get(_TOKENS, group, [])]


def groups(memory: Memory) -> Iterator[str]:
    """Yield the groups with remembered tokens."""
    return (group for group, _ in memory.entries(_TOKENS))


def note_login(group: str, memory: Memory, *, tells_all: bool) -> None:
    """Remember the login of a session, after which its tokens are logged: all, if the log has every type of event.

    Exchanges that were read before, and whose parent was not certain without the login, are examined again.
    """
    is_new = memory.is_new(_LOGINS, group)
    if (tells_all and memory.is_new(_WHOLE_LOGINS, group)) or is_new:
        for exchange in memory.drop(_UNCERTAIN, group) or []:
            memory.put(_LATE, exchange[0][0], exchange)


def note_refreshes_are_logged(memory: Memory) -> None:
    """Remember that the REST API reports refreshed tokens, which it omits by default."""
    if memory.get(_REFRESHES, "") is None:
        memory.put(_REFRESHES, "", 1)


def exchanged(issue: Issue, tokens: list[str], id_: str, memory: Memory) -> None:
    """Remember an exchange whose subject token is known only by its client.

    Two logs may report it with different ids and times: the earlier one counts, whatever their order.
    """
    known = memory.get(_EXCHANGES, issue.token)
    if known is None or (issue.moment, id_) < (Issue(*known[0]).moment, known[2]):
        memory.put(_EXCHANGES, issue.token, [list(issue), tokens, id_])


def parents(source: Source, memory: Memory, *, end: bool) -> Iterator[Translation]:
    """Yield the parents of exchanged tokens, known or missing, once the log has advanced by a minute or has ended."""
    for key, exchange in memory.entries(_EXCHANGES):
        issue = Issue(*exchange[0])
        if not end and issue.moment + _PATIENCE > memory.latest:
            continue
        memory.drop(_EXCHANGES, key)
        if not _knows_all(issue.group, memory):
            waiting = memory.get(_UNCERTAIN, issue.group, [])
            if len(waiting) < _MOST_TOKENS:
                memory.put(_UNCERTAIN, issue.group, [*waiting, exchange])
        yield _derived(exchange, _parent(issue, memory), source, memory)
    for key, exchange in memory.entries(_LATE) if end else ():
        memory.drop(_LATE, key)
        if parent := _parent(Issue(*exchange[0]), memory):
            yield _derived(exchange, parent, source, memory)


def _derived(exchange: list[Any], parent: str | None, source: Source, memory: Memory) -> Translation:
    """Build the link from tokens to their parent; a missing parent gets an event with a separate id, sorted last."""
    made, tokens, id_ = exchange
    issue = Issue(*made)
    part = "parent" if parent is not None else "parent/missing"  # sorts last: known links count first
    fields: dict[str, Any] = {"prior_actors": _before(issue, memory), "subject": issue.subject}
    fields |= {"derived_from": [{"token": parent or f"{issue.token}/subject-token", "role": "subject"}]}
    return Translation(
        events=tuple(
            source.event("token.issued", f"{id_}/{part}/{n}", issue.at, token=token, **fields)
            for n, token in enumerate(tokens)
        )
    )


def _parent(issue: Issue, memory: Memory) -> str | None:
    known = issued_in(issue.group, memory)
    if issue.subject_client is None or not _knows_all(issue.group, memory) or len(known) > _MOST_TOKENS:
        return None
    earliest = dict[str, Issue]()
    for other in sorted(known, key=_MOMENT):
        earliest.setdefault(other.token, other)
    candidates = [
        other
        for other in earliest.values()
        if other.holder == issue.subject_client
        and other.token != issue.token
        and other.moment <= issue.moment
        and (other.expires_at is None or issue.moment < other.expires_at)
        and (other.audience is None or issue.holder in other.audience or issue.holder == other.holder)
    ]
    return candidates[0].token if len(candidates) == 1 else None


def _knows_all(group: str, memory: Memory) -> bool:
    """Whether every token of a session has been reported."""
    in_rest = memory.get(_LOGINS, group) and memory.get(_REFRESHES, "")
    return bool(memory.get(_WHOLE_LOGINS, group) or in_rest)


def _before(issue: Issue, memory: Memory) -> list[str]:
    """Return the clients that a token passed through, root to leaf, as far as they are certain."""
    if issue.subject_client is None:
        return []
    nearest = [issue.subject_client] if issue.subject_client != issue.holder else []
    known = issued_in(issue.group, memory)
    if memory.get(_LOGINS, issue.group) is None or len(known) > _MOST_TOKENS:
        return nearest
    ways = dict[str, set[tuple[str, ...]]]()  # client -> the sequences of clients through which its tokens came
    for other in sorted(known, key=_MOMENT):
        if other.moment > issue.moment:
            break
        if other.token == issue.token or other.is_refreshed or other.subject_client == other.holder:
            continue
        own = ways.setdefault(other.holder, set())
        if other.subject_client is None:
            own.add(())
        else:
            own.update((*way, other.subject_client) for way in ways.get(other.subject_client, set()))
        while len(own) > _SEVERAL:  # beyond this the number does not matter
            own.remove(max(own))
    found = ways.get(issue.subject_client, set())
    return [*next(iter(found)), *nearest] if len(found) == 1 else nearest
