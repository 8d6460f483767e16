"""``delegraph serve``: opens what is served, says who may, and runs uvicorn until stopped."""

import getpass
import ipaddress
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Final

import uvicorn
from fastapi import APIRouter

from lineage.core.model.errors import RefusedError
from lineage.deliver.http.callers import Authentication
from lineage.serve.config.http_settings import DEFAULT_LISTEN, HttpSettings
from lineage.serve.http.asgi.app import create_app
from lineage.serve.http.asgi.h11_protocol import Wire
from lineage.serve.http.auth.authentication import authenticating
from lineage.serve.http.auth.login_link import SigningIn
from lineage.serve.http.core.app_context import LOOPBACK_HOSTS, Limits, Site, Workers
from lineage.serve.processes.health_server import address_of
from lineage.serve.queries.service import Service
from lineage.serve.server.warmup import ends_of, spared, steps_of, warmed
from lineage.serve.web import pages, show_fault
from lineage.serve.web.demo_path import Story
from lineage.serve.web.page_endpoint import templates

_BACKLOG: Final = 2_048
_GOODBYE_SECONDS: Final = 3  # for answers that are under way; the live tail has no end of its own
_HEAD_BYTES: Final = 64 * 1024

Say = Callable[[str], None]
Parts = Callable[[Site], Sequence[APIRouter]]


def no_parts(_site: Site) -> Sequence[APIRouter]:
    """Nothing beside the API and the pages."""
    return ()


def serve(
    service: Service,
    settings: HttpSettings,
    *,
    say: Say,
    name: str | None = None,
    four_eyes: int | None = None,
    parts: Parts = no_parts,
    story: Story | None = None,
) -> None:
    """Serve until stopped by SIGINT or SIGTERM.

    Args:
        service: What is asked; any thread may ask it.
        settings: Where to serve, and who may ask.
        say: Told where to go: the link by which one signs in, or the address.
        name: Who signs in by the link; None: the user of this machine.
        four_eyes: Above how many elements an order needs a second person.
        parts: What is mounted beside the API and the pages.
        story: A guided path, for the start page.

    Raises:
        RefusedError: The address is none, is taken, or nobody could be authenticated there.
    """
    authentication = authenticating(settings, service.clock)
    with (
        bound(settings.listen, loopback_only=authentication is None) as listening,
        workers(Limits()) as pool,
        workers(Limits(workers=2)) as writers,
    ):
        host, port = listening.getsockname()[:2]
        address = settings.public_url or f"http://{f'[{host}]' if ':' in host else host}:{port}"
        routers: list[APIRouter] = []
        if authentication is None:
            signing_in = SigningIn(name or this_user(), service.clock, port=port, tls=settings.tls)
            authentication = Authentication(signing_in.authenticate, signing_in.authenticate)
            routers = [signing_in.router()]
            address = f"{address}/sign-in?token={signing_in.token}"
        site = Site(
            service=service,
            authentication=authentication,
            hosts=LOOPBACK_HOSTS | settings.names | {host},
            tls=settings.tls,
            four_eyes=four_eyes,
            workers=pool,
            writers=writers,
        )
        app = create_app(site, parts=[*routers, *parts(site), pages(site, story=story)], show_fault=show_fault)
        say(address)
        config = uvicorn.Config(
            app,
            http=Wire,
            log_config=None,
            access_log=False,  # ours says more, and no query with a token in it
            server_header=False,
            proxy_headers=False,  # who connects is who connects: a proxy is trusted by settings of ours
            lifespan="off",
            timeout_graceful_shutdown=_GOODBYE_SECONDS,
            h11_max_incomplete_event_size=_HEAD_BYTES,
        )
        with warmed(chain(templates(), steps_of(service), ends_of(service), spared())):
            _Server(config).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Leaves well when it is told to: the library's own would end the process by the signal all the same."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """While this lasts SIGINT and SIGTERM end the server; told twice it does not wait for answers under way."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def this_user() -> str:
    """Who runs this, as an id."""
    try:
        return f"human:{getpass.getuser()}"
    except OSError:  # a user id without a name
        return "human:somebody"


@contextmanager
def bound(listen: str, *, loopback_only: bool) -> Iterator[socket.socket]:
    """A socket that listens.

    Raises:
        RefusedError: The address is none, is taken, or is not on loopback though it must be.
    """
    host, port = address_of(listen)
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if loopback_only and not ipaddress.ip_address(str(place[0]).partition("%")[0]).is_loopback:
            raise RefusedError(
                f"nobody could sign in at {listen}: without an issuer delegraph serves on loopback only, "
                f"such as {DEFAULT_LISTEN}; configure one with DELEGRAPH_HTTP_ISSUER"
            )
        # The protocol is said, since an answer in two parts waits for the client in between unless asyncio sees TCP.
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen(_BACKLOG)
        except BaseException:
            listening.close()
            raise
    except (OSError, UnicodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "no name of a host"
        raise RefusedError(f"cannot listen on {listen}: {said}; name another with --http") from error
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
