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
