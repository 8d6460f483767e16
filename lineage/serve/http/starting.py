"""``delegraph serve``: opens what is served, says who may, and runs uvicorn until stopped."""

import getpass
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import uvicorn
from fastapi import APIRouter

from lineage.core.errors import RefusedError
from lineage.serve.health import address_of
from lineage.serve.http.app import create_app
from lineage.serve.http.signing_in import SigningIn
from lineage.serve.http.site import Limits, Site, Workers
from lineage.serve.service import Service
from lineage.serve.web import pages, show_fault

DEFAULT_LISTEN: Final = "127.0.0.1:8480"
_BACKLOG: Final = 2_048

Say = Callable[[str], None]
Parts = Callable[[Site], Sequence[APIRouter]]


def serve(service: Service, listen: str, *, say: Say, name: str | None = None) -> None:
    """Serve until stopped by SIGINT or SIGTERM.

    Args:
        service: What is asked; any thread may ask it.
        listen: ``host:port``; port 0 takes a free one.
        say: Told the link by which one signs in.
        name: Who signs in by it; None: the user of this machine.

    Raises:
        RefusedError: The address is none, is taken, or is not on loopback.
    """
    with bound(listen) as listening, workers(Limits()) as pool:
        host, port = listening.getsockname()[:2]
        signing_in = SigningIn(name or this_user(), service.clock, port=port)
        site = Site(service=service, authenticate=signing_in.authenticate, workers=pool)
        app = create_app(site, parts=[signing_in.router(), pages(site)], show_fault=show_fault)
        shown = f"[{host}]" if ":" in host else host
        say(f"http://{shown}:{port}/sign-in?token={signing_in.token}")
        config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, lifespan="off")
        uvicorn.Server(config).run(sockets=[listening])


def this_user() -> str:
    """Who runs this, as an id."""
    try:
        return f"human:{getpass.getuser()}"
    except OSError:  # a user id without a name
        return "human:somebody"


@contextmanager
def bound(listen: str) -> Iterator[socket.socket]:
    """A socket that listens on loopback.

    Raises:
        RefusedError: The address is none, is taken, or is not on loopback.
    """
    import ipaddress

    host, port = address_of(listen)
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if not ipaddress.ip_address(str(place[0]).partition("%")[0]).is_loopback:
            raise RefusedError(
                f"nobody could sign in at {listen}: without an issuer delegraph serves on loopback only, "
                f"such as {DEFAULT_LISTEN}; configure one with DELEGRAPH_HTTP_ISSUER"
            )
        listening = socket.socket(family, kind)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen(_BACKLOG)
        except BaseException:
            listening.close()
            raise
    except (OSError, UnicodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "no name of a host"
        raise RefusedError(f"cannot listen on {listen}: {said}; name another with --listen") from error
    with listening:
        yield listening


@contextmanager
def workers(limits: Limits) -> Iterator[Workers]:
    """Threads, given back afterwards."""
    pool = Workers(limits)
    try:
        yield pool
    finally:
        pool.close()
