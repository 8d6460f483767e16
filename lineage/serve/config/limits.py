"""How much one request, one caller and one peer may take of a server, so that none of them can lock the others out."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Limits on connections, for every server that is started.

    Attributes:
        head_seconds: From the first byte of a request, or from the connection, to the end of its head.
        body_seconds: From the end of the head to the end of the body.
        idle_seconds: That a connection is kept open between two requests.
        unread_seconds: That a client may leave an answer, or a part of a stream, unread.
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
    """How much one request, and one caller, may ask for.

    Attributes:
        body_bytes: Of a body; events come in many parts, an order in few bytes.
        body_seconds: From the request to the end of its body.
        events: In one body: as many as are projected at once.
        asked: Ids in one question.
        page: Items of a list, at most.
        first_page: Items of a list, if nothing is said.
        workers: Questions that are answered at the same time. Each may hold two connections of the store.
        waiting: Requests of one kind that wait for a thread; one more is refused with 503.
        questions_by_caller: Of one caller, answered or waiting at the same time; one more is refused with 429.
        seconds: From the request to the answer of a question, or to the beginning of a write.
        listeners: Of the live tail.
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
