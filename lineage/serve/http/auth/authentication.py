"""Authentication of callers as configured: bearer token, trusted proxy, or both; by default the sign-in link."""

from collections.abc import Callable

from starlette.requests import HTTPConnection

from lineage.core.model.times import Instant
from lineage.deliver.http.callers import Authenticate, Authentication, Caller
from lineage.serve.config.http_settings import HttpSettings
from lineage.serve.http.auth.bearer import Bearers
from lineage.serve.http.auth.jwks import IssuerKeys, fetching
from lineage.serve.http.auth.trusted_proxy import TrustedProxy


def authenticating(settings: HttpSettings, clock: Callable[[], Instant]) -> Authentication | None:
    """Build the configured authentication; None if nothing is configured."""
    bearers = None
    if settings.issuer is not None and settings.jwks is not None:
        bearers = Bearers(settings, IssuerKeys(fetching(settings.jwks)), clock)
    proxy = TrustedProxy(settings) if settings.proxy_user_header is not None else None
    if bearers is None:
        return None if proxy is None else Authentication(proxy.authenticate, proxy.authenticate)
    if proxy is None:
        return Authentication(bearers.authenticate, bearers.recognise)
    return Authentication(
        _by_either(bearers.authenticate, proxy.authenticate), _by_either(bearers.recognise, proxy.authenticate)
    )


def _by_either(by_token: Authenticate, by_proxy: Authenticate) -> Authenticate:
    def authenticate(connection: HTTPConnection) -> Caller:
        """Authenticate by a token if there is one, otherwise by the proxy's headers."""
        return (by_token if "authorization" in connection.headers else by_proxy)(connection)

    return authenticate
