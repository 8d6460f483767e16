"""The open connections of a server: how many, from whom, and which must be closed.

A new connection is accepted if another can be closed for it: the oldest one that waits for its client. A connection
whose request is being answered is never closed for another.
"""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Collection
from typing import Final, Protocol

from lineage.serve.config.limits import ConnectionLimits

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

REASONS: Final = ("head", "body", "unread", "by_peer", "in_all")
"""Why a connection is closed: its client was too slow (the first three reasons), or there were too many."""

_SWEEP_SECONDS: Final = 1.0
_IPV6_PREFIX_BITS: Final = 64  # the network of one party, which can connect from any address in it


class Closable(Protocol):
    """A connection, as the registry sees it."""

    peer: str

    def overdue(self, now: float) -> str | None:
        """Explain why it must be closed now; None if it may stay."""

    def is_waiting(self) -> bool:
        """Whether it waits for its client, so that no answer is lost if it is closed."""

    def close_for(self, reason: str) -> None:
        """Close it for a reason."""


class Connections:
    """The connections of one server. Used only by its event loop, except for the counts.

    Attributes:
        limits: The limits in force.
        closed: The number of connections that were closed, by reason.
        refused: The number of connections that were refused because no other could be closed for them.
    """

    def __init__(self, limits: ConnectionLimits, *, proxies: Collection[Network] = ()) -> None:
        """Create an empty registry.

        Args:
            limits: The limits in force.
            proxies: Addresses shared by many clients, which are exempt from the limit per peer.
        """
        self.limits = limits
        self.closed: Counter[str] = Counter(dict.fromkeys(REASONS, 0))
        self.refused = 0
        self._proxies = tuple(proxies)
        self._by_peer: dict[str, dict[Closable, None]] = {}  # in order of arrival
        self._open = 0
        self._sweeping: asyncio.TimerHandle | None = None

    @property
    def open(self) -> int:
        """The number of open connections."""
        return self._open

    def admit(self, connection: Closable, loop: asyncio.AbstractEventLoop) -> bool:
        """Accept a connection, closing another if there are too many.

        Returns:
            Whether it is accepted.
        """
        of_peer = self._by_peer.setdefault(connection.peer, {})
        too_many_of_peer = len(of_peer) >= self.limits.connections_by_peer and not self._is_proxy(connection.peer)
        if (too_many_of_peer and not self._close_one(of_peer, "by_peer")) or (
            self._open >= self.limits.connections and not self._close_any()
        ):
            if not of_peer:
                self._by_peer.pop(connection.peer, None)
            self.refused += 1
            return False
        self._by_peer.setdefault(connection.peer, {})[connection] = None
        self._open += 1
        if self._sweeping is None:
            self._sweep_later(loop)
        return True

    def left(self, connection: Closable) -> None:
        """Forget a connection that is closed or being closed."""
        of_peer = self._by_peer.get(connection.peer, {})
        if connection in of_peer:
            del of_peer[connection]
            self._open -= 1
            if not of_peer:
                del self._by_peer[connection.peer]

    def close(self, connection: Closable, reason: str) -> None:
        """Close a connection for a reason."""
        self.closed[reason] += 1
        self.left(connection)
        connection.close_for(reason)

    def _close_any(self) -> bool:
        """Close a connection of the peer with the most connections, or else any other."""
        largest = max(self._by_peer.values(), key=len)
        return any(self._close_one(of_peer, "in_all") for of_peer in [largest, *self._by_peer.values()])

    def _close_one(self, of_peer: dict[Closable, None], reason: str) -> bool:
        oldest = next((connection for connection in of_peer if connection.is_waiting()), None)
        if oldest is not None:
            self.close(oldest, reason)
        return oldest is not None

    def _is_proxy(self, peer: str) -> bool:
        if not self._proxies:
            return False
        try:
            address = ipaddress.ip_address(peer.partition("/")[0])
        except ValueError:
            return False
        return any(address in network for network in self._proxies)

    def _sweep_later(self, loop: asyncio.AbstractEventLoop) -> None:
        shortest = min(self.limits.head_seconds, self.limits.body_seconds, self.limits.unread_seconds)
        self._sweeping = loop.call_later(min(_SWEEP_SECONDS, shortest / 4), self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweeping = None
        now = loop.time()
        for of_peer in list(self._by_peer.values()):
            for connection in list(of_peer):
                reason = connection.overdue(now)
                if reason is not None:
                    self.close(connection, reason)
        if self._open:
            self._sweep_later(loop)


def peer_of(address: str) -> str:
    """Return the peer that an address belongs to.

    Examples:
        >>> peer_of("203.0.113.7"), peer_of("2001:db8:1:2:3:4:5:6"), peer_of("::ffff:203.0.113.7")
        ('203.0.113.7', '2001:db8:1:2::/64', '203.0.113.7')
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, _IPV6_PREFIX_BITS), strict=False))
