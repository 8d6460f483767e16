"""``delegraph serve``: open the service, set up authentication, and run uvicorn until stopped."""

import getpass
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from types import MappingProxyType
from typing import Final

from anyio import to_thread
from starlette.routing import BaseRoute

from lineage.core.model.errors import RefusedError
from lineage.deliver.http.callers import Authentication
from lineage.deliver.http.signing_keys import SigningKeys
from lineage.deliver.probes.probe_settings import Probe
from lineage.deliver.tlog.witness_settings import WitnessEndpoint
from lineage.plumbing.addresses import fault_of_listening, is_loopback
from lineage.plumbing.gc_pause import gc_rarely_whole
from lineage.serve.config.http_settings import DEFAULT_LISTEN, HttpSettings
from lineage.serve.config.limits import Limits
from lineage.serve.http.asgi.app import create_app
from lineage.serve.http.auth.api_tokens import ApiTokenCallers
from lineage.serve.http.auth.authentication import authenticating
from lineage.serve.http.auth.login_link import SigningIn
from lineage.serve.http.core.app_context import LOOPBACK_HOSTS, AppContext
from lineage.serve.http.core.workers import Pools
from lineage.serve.mcp.http_endpoint import route as mcp_route
from lineage.serve.processes.http_warmup import loaded_frozen, prepare, warmed
from lineage.serve.queries.preparation import connections_of, ends_of, steps_of
from lineage.serve.queries.retention.retention_status import KEPT, RetentionPolicy
from lineage.serve.queries.service import Service
from lineage.serve.server.connections import Connections
from lineage.serve.server.listening import address_of, fitting, http_server, listening_socket
from lineage.serve.web import Overviews, pages, show_fault
from lineage.serve.web.demo_path import Story
from lineage.serve.web.page_endpoint import load_shared_templates, templates

_RECEIVERS: Final = 4  # requests of receivers processed at once; each is short
_GOODBYE_SECONDS: Final = 3  # for answers in progress; the live tail has no natural end

Say = Callable[[str], None]
Parts = Callable[[AppContext], Sequence[BaseRoute]]


def no_parts(_site: AppContext) -> Sequence[BaseRoute]:
    """Mount nothing in addition to the API and the pages."""
    return ()


def serve(
    service: Service,
    settings: HttpSettings,
    *,
    say: Say,
    name: str | None = None,
    four_eyes: int | None = None,
    keys: SigningKeys | None = None,
    probes: Sequence[Probe] = (),
    contacts: Mapping[str, str] = MappingProxyType({}),
    evidence_origin: str | None = None,
    witnesses: Sequence[WitnessEndpoint] = (),
    retention: RetentionPolicy = KEPT,
    parts: Parts = no_parts,
    story: Story | None = None,
    start: str = "/",
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        service: The service, which must be thread-safe.
        settings: The settings of the HTTP API.
        say: Called with a message for the person who started it: the sign-in link, or the address.
        name: The person who signs in by the link; None for the user of this machine.
        four_eyes: The number of elements above which an order needs a second person.
        keys: The keys that sign receipts and proofs.
        probes: How to ask enforcement points what they do.
        contacts: How to reach who runs each enforcement point.
        evidence_origin: How checkpoints name the log; None for the default.
        witnesses: The witnesses that cosign its checkpoints.
        retention: How long records are kept.
        parts: Routers to mount in addition to the API and the pages.
        story: A guided tour for the start page.
        start: The address of the page that the link leads to.

    Raises:
        RefusedError: The address is invalid or in use, or no caller could be authenticated there.
    """
    authentication = authenticating(settings, service.clock)
    connections = Connections(fitting(settings.connection_limits), proxies=settings.proxy_peers)
    limits = Limits(body_seconds=settings.body_seconds, questions_by_caller=settings.questions_by_caller)
    with (
        bound(settings.listen, loopback_only=authentication is None) as listening,
        closing(Pools(limits)) as pools,
        gc_rarely_whole(),
    ):
        host, port = listening.getsockname()[:2]
        address = settings.public_url or f"http://{f'[{host}]' if ':' in host else host}:{port}"
        routes: list[BaseRoute] = []
        if authentication is None:
            signing_in = SigningIn(name or this_user(), service.clock, port=port, tls=settings.tls, start=start)
            authentication = Authentication(signing_in.authenticate, signing_in.authenticate)
            routes = [signing_in.route()]
            address = f"{address}/sign-in?token={signing_in.token}"
        elif start != "/":
            address = f"{address}{start}"
        scripts = ApiTokenCallers(service, tls=settings.tls)
        site = AppContext(
            service=service,
            authentication=scripts.combined_with(authentication),
            hosts=LOOPBACK_HOSTS | settings.names | {host},
            tls=settings.tls,
            four_eyes=four_eyes,
            keys=keys,
            probes={probe.receiver: probe for probe in probes},
            contacts=contacts,
            evidence_origin=evidence_origin,
            witnesses=witnesses,
            retention=retention,
            public_tlog=settings.public_tlog,
            limits=limits,
            pools=pools,
        )
        overviews = Overviews(site)
        shown = pages(site, story=story, overviews=overviews)
        mounted: list[BaseRoute] = [*routes, *parts(site), mcp_route(site), *shown]
        app = create_app(site, parts=mounted, show_fault=show_fault, connections=connections)
        load_shared_templates()
        prepare(steps_of(service))

        def begin() -> None:
            site.non_blocking.open()
            # Limits the threads of the delivery endpoints, which the framework runs, so that orders find connections.
            to_thread.current_default_thread_limiter().total_tokens = _RECEIVERS
            say(address)

        server = http_server(
            app, connections, goodbye_seconds=_GOODBYE_SECONDS, beginning=begin, ending=site.non_blocking.close
        )
        steps = chain(templates(), connections_of(service), ends_of(service), overviews.steps(), loaded_frozen())
        with warmed(steps):
            server.run(sockets=[listening])


def this_user() -> str:
    """Return the user of this process, as an id."""
    try:
        return f"human:{getpass.getuser()}"
    except OSError:  # a user id without a name
        return "human:somebody"


@contextmanager
def bound(listen: str, *, loopback_only: bool) -> Iterator[socket.socket]:
    """Open a listening socket.

    Raises:
        RefusedError: The address is invalid or in use, or is not on loopback although it must be.
    """
    host, port = address_of(listen)
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if loopback_only and not is_loopback(str(place[0])):
            raise RefusedError(
                f"nobody could sign in at {listen}: without an issuer delegraph serves on loopback only, "
                f"such as {DEFAULT_LISTEN}; configure one with DELEGRAPH_HTTP_ISSUER"
            )
        listening = listening_socket(family, place)
    except (OSError, UnicodeError) as error:
        raise RefusedError(
            f"cannot listen on {listen}: {fault_of_listening(error)}; name another with --http"
        ) from error
    with listening:
        yield listening
