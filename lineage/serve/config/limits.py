"""Limits on requests, callers and peers, so that none of them can lock out the others."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Limits on connections, for every server.

    Attributes:
        head_seconds: From the first byte of a request, or from the connection, to the end of its head.
        body_seconds: From the end of the head to the end of the body.
        idle_seconds: How long a connection is kept open between two requests.
        unread_seconds: How long a client may leave an answer, or a part of a stream, unread.
        connections: Open at once, from all peers.
        connections_by_peer: Open at once from one address (of IPv6: one /64 network).
    """

    head_seconds: float = 10
    body_seconds: float = 30
    idle_seconds: float = 5
    unread_seconds: float = 30.0
    connections: int = 4_096
    connections_by_peer: int = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits on requests and callers.

    Attributes:
        body_bytes: The size of a body; batches of events can be split, and an order is small.
        body_seconds: From the request to the end of its body.
        events: Events in one body: as many as are projected at once.
        asked: Ids in one question.
        page: The most items of a list.
        first_page: The default number of items of a list.
        workers: Questions answered at the same time. Each may hold two connections of the store.
        waiting: Requests of one kind that wait for a thread; one more is refused with 503.
        questions_by_caller: Questions of one caller, answered or waiting; one more is refused with 429.
        seconds: From the request to the answer of a question, or to the beginning of a write.
        listeners: Listeners of the live tail.
    """

    body_bytes: int = 16 * 1024 * 1024
    body_seconds: float = 30.0
    events: int = 50_000
    asked: int = 100
    page: int = 1_000
    first_page: int = 100
    workers: int = 6
    waiting: int = 256
    questions_by_caller: int = 32
    seconds: float = 30.0
    listeners: int = 2_000
