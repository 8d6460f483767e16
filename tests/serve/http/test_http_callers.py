"""Authentication and authorisation over HTTP: roles at every path, invalid tokens, proxies, the link, forged writes."""

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from compose.native.processes import free_port
from lineage.core.model.errors import RefusedError
from lineage.deliver.http.callers import Authentication, BadTokenError, Caller, LacksRoleError, Role
from lineage.deliver.http.problems import problem_of
from lineage.serve.config.http_settings import HttpSettings
from lineage.serve.http.asgi.app import create_app
from lineage.serve.http.auth.authentication import authenticating
from lineage.serve.http.auth.bearer import Bearers
from lineage.serve.http.auth.jwks import COOLDOWN_SECONDS, FRESH_SECONDS, RETRY_SECONDS, IssuerKeys
from lineage.serve.http.auth.login_link import LINK_SECONDS, SESSION_SECONDS, SigningIn
from tests.support.asgi import Asking
from tests.support.http_worlds import AUDIENCE, HOST, ISSUER, KEYS, LEAKED, SETTINGS, World, api_over, problem_type
from tests.support.kafka_worlds import wait_until

WHO = "/v1/who?action=mail-7"
SECRET = "correct-horse-battery-staple"
WRITE = {"Delegraph-Request": "1"}
ORDER = {"target": {"kind": "token", "id": LEAKED.removeprefix("token:")}, "reason": "test"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Return the API over the incident; what tests write to it does not affect other tests."""
    folder = tmp_path_factory.mktemp("http")
    with api_over(f"sqlite:///{folder}/store.db", folder) as world:
        yield world


# Roles

ROLES = ("producer", "investigator", "responder", "receiver")
OF = quote(LEAKED)
ASK = ("investigator", "responder")
TABLE: dict[tuple[str, str], tuple[str, ...]] = {
    ("GET", WHO): ASK,
    ("GET", f"/v1/chain?of={OF}"): ASK,
    ("GET", f"/v1/status?of={OF}"): ASK,
    ("GET", f"/v1/reach?of={OF}"): ASK,
    ("GET", "/v1/search?q=mail"): ASK,
    ("GET", f"/v1/actions?of={OF}"): ASK,
    ("GET", "/v1/overview"): ASK,
    ("GET", "/v1/usage?tool=mail"): ASK,
    ("GET", "/v1/principals"): ASK,
    ("GET", "/v1/tokens"): ASK,
    ("GET", "/v1/delegations"): ASK,
    ("GET", f"/v1/timeline?of={OF}"): ASK,
    ("GET", f"/v1/diff?of={OF}&from=now&to=now"): ASK,
    ("GET", f"/v1/uses?of={OF}"): ASK,
    ("GET", f"/v1/graph?of={OF}"): ASK,
    ("GET", "/v1/identity?of=principal:agent:mailer"): ASK,
    ("GET", "/v1/health"): ASK,
    ("GET", f"/v1/dossier?of={OF}"): ASK,
    ("GET", "/v1/posture"): ASK,
    ("GET", "/v1/governance/active"): ASK,
    ("GET", "/v1/governance/allowed?agent=agent:mailer"): ASK,
    ("GET", "/v1/governance/held?agent=agent:mailer"): ASK,
    ("GET", "/v1/governance/done?agent=agent:mailer"): ASK,
    ("GET", "/v1/findings"): ASK,
    ("GET", "/v1/findings/none"): ASK,
    ("GET", "/v1/quarantine"): ASK,
    ("GET", "/v1/conflicts"): ASK,
    ("GET", "/v1/live?nothing=such"): ASK,  # refused because of its parameter, since the tail never ends
    ("GET", "/v1/revocations"): ASK,
    ("GET", "/v1/revocations/none"): ASK,
    ("GET", "/v1/revocations/none/receipt"): ASK,
    ("GET", "/v1/revocations/none/signed-receipt"): ASK,
    ("POST", "/v1/revocations/none/proofs"): ASK,
    ("POST", "/v1/events"): ("producer",),
    ("POST", "/v1/revocations"): ("responder",),
    ("POST", "/v1/revocations:batch"): ("responder",),
    ("POST", "/v1/reach:batch"): ASK,
    ("GET", "/v1/receivers"): ASK,
    ("GET", "/v1/holds"): ASK,
    ("GET", "/v1/deletions"): ASK,
    ("GET", "/v1/retention"): ASK,
    ("GET", "/v1/retention/plan?before=now"): ASK,
    ("POST", "/v1/holds"): ("responder",),
    ("POST", "/v1/holds/none/release"): ("responder",),
    ("GET", "/v1/evidence"): ASK,
    ("GET", "/v1/evidence/checkpoints"): ASK,
    ("GET", "/v1/evidence/record?fact=decisions/0/7"): ASK,
    ("GET", "/v1/evidence/consistency?tree=decisions/0&old=1"): ASK,
    ("GET", "/v1/evidence/absence?source=urn:x&sequence=1"): ASK,
    ("GET", "/v1/cases"): ASK,
    ("GET", "/v1/cases/none"): ASK,
    ("GET", "/v1/cases/none/changes"): ASK,
    ("GET", "/v1/cases/none/export"): ASK,
    ("POST", "/v1/cases"): ("responder",),
    ("POST", "/v1/cases/none/changes"): ("responder",),
    ("POST", "/v1/receivers"): ("responder", "receiver"),
    ("POST", "/v1/revocations/none/marks"): ("responder",),
    ("POST", "/v1/revocations/none/deliveries"): ("responder",),
    ("POST", "/v1/plans/none/approvals"): ("responder",),
    ("POST", "/v1/revocations/none/lift"): ("responder",),
    ("POST", "/v1/findings/none/judgements"): ("responder",),
    ("POST", "/v1/revocations/none/acknowledgements"): ("receiver",),
}
EVERYBODY = ("/healthz", "/readyz", "/openapi.json", "/docs", "/docs.css", "/metrics")


@pytest.mark.parametrize(("method", "path"), TABLE)
def test_each_role_has_its_permissions_only(api: World, method: str, path: str):
    """
    Every path is called with every role, without a role, and anonymously: only callers with the role are answered.
    """
    answers = {role: api.as_(role).request(method, path) for role in (*ROLES, "nobody")}
    refused = {role for role, response in answers.items() if response.status_code == 403}
    unknown = api.as_(None).request(method, path)

    lacking = 'Bearer error="insufficient_scope", error_description="it takes the role '

    assert {*ROLES, "nobody"} - set(TABLE[method, path]) == refused
    assert all(problem_type(answers[role]) == "forbidden" for role in refused)
    assert all(answers[role].headers["www-authenticate"].startswith(lacking) for role in refused)
    assert (401, "unauthenticated", "Bearer") == (
        unknown.status_code, problem_type(unknown), unknown.headers["www-authenticate"],
    )  # fmt: skip


def test_the_table_of_roles_has_every_path(api: World):
    """
    A new path needs a row in the table above. Those of the trees are tried in ``test_tlog``.
    """
    paths = api.as_(None).get("/openapi.json").json()["paths"]
    tried = {(method, path.partition("?")[0].replace("/none", "/{id}")) for method, path in TABLE}
    tried |= {("GET", path) for path in EVERYBODY}
    tried |= {("GET", path) for path in api.as_(None).get("/openapi.json").json()["paths"] if path.startswith("/tlog/")}

    assert {(method.upper(), path) for path, methods in paths.items() for method in methods} <= tried


@pytest.mark.parametrize("path", EVERYBODY)
def test_public_paths_need_no_authentication(api: World, path: str):
    """
    Health and documentation are public; so are the metrics, on this machine.
    """
    assert 200 == api.as_(None).get(path).status_code


def test_metrics_are_private_to_this_machine(api: World):
    """
    A request that a proxy forwards does not count as local, wherever the proxy is.
    """
    passed_on = {"X-Forwarded-For": "203.0.113.7"}

    assert 401 == api.as_(None).get("/metrics", headers=passed_on).status_code
    assert 200 == api.get("/metrics", headers=passed_on).status_code
    assert 403 == api.get("/metrics", "receiver", headers=passed_on).status_code


def test_metrics_are_counted_by_existing_paths(api: World):
    """
    A flood of unknown paths adds one line and not a thousand.
    """
    for number in range(20):
        api.get(f"/v1/none/{number}")
    lines = api.as_(None).get("/metrics").text.splitlines()
    counters = [line for line in lines if line.startswith("delegraph_http_requests_total")]

    assert 1 == sum('status="404"' in line and 'path="none"' in line for line in counters)
    assert not any("/v1/none" in line for line in lines)


# Tokens


def signed(claims: dict[str, Any], key: Any = None, algorithm: str = "ES256", **header: Any) -> str:
    return jwt.encode(claims, key or KEYS.ec, algorithm=algorithm, headers={"kid": "ec"} | header)


def claims_of(api: World, **changed: Any) -> dict[str, Any]:
    claims = jwt.decode(api.token(), options={"verify_signature": False}) | changed
    return {name: value for name, value in claims.items() if value is not None}


def unsigned(claims: dict[str, Any], header: dict[str, Any]) -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims))
    return ".".join((*parts, ""))


def changed(token: str) -> str:
    """Return the token with the same signature and other claims."""
    header, claims, signature = token.split(".")
    payload = json.loads(base64.urlsafe_b64decode(claims + "=="))
    claims = base64.urlsafe_b64encode(json.dumps(payload | {"sub": "human:eve"}).encode()).decode().rstrip("=")
    return f"{header}.{claims}.{signature}"


def public_pem() -> bytes:
    format_ = serialization.PublicFormat.SubjectPublicKeyInfo
    return KEYS.rsa.public_key().public_bytes(serialization.Encoding.PEM, format_)


def with_the_public_key_as_a_secret(claims: dict[str, Any]) -> str:
    """Build the token that a library would accept if it let a token choose its algorithm."""
    import hashlib
    import hmac

    header = {"alg": "HS256", "typ": "JWT", "kid": "rsa"}
    body = unsigned(claims, header).rstrip(".")
    digest = hmac.new(public_pem(), body.encode(), hashlib.sha256).digest()
    return f"{body}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def test_a_token_of_the_issuer_is_accepted(api: World):
    """
    Signed with any key that the issuer publishes, with our audience and valid now, it identifies the caller.
    """
    claims = claims_of(api)

    assert 200 == api.bearing(signed(claims)).get(WHO).status_code
    assert 200 == api.bearing(signed(claims, KEYS.rsa, "RS256", kid="rsa")).get(WHO).status_code
    for type_ in ("JWT", "at+jwt", "application/at+JWT"):
        assert 200 == api.bearing(signed(claims, typ=type_)).get(WHO).status_code


@pytest.mark.parametrize(
    "attack",
    [
        "no algorithm",
        "public key as a secret",
        "another key",
        "another key under an unknown id",
        "the key of another algorithm",
        "an algorithm that is not listed",
        "expired",
        "not yet",
        "issued later",
        "another audience",
        "no audience",
        "another issuer",
        "no issuer",
        "no end",
        "an end that never comes",
        "a beginning that never comes",
        "an end that is no number",
        "no name",
        "a name that is none",
        "a credential as a name",
        "changed",
        "no token",
        "rubbish",
        "too long",
        "a key in the header",
        "an address of keys in the header",
        "a logout token",
        "a security event",
        "a type that is no word",
    ],
)
def test_an_invalid_token_is_refused(api: World, attack: str):
    """
    Whatever is wrong with a token, it authenticates nobody, and the answer repeats nothing of it. A header says that
    the token is at fault, where client libraries look for it (RFC 6750 section 3).
    """
    now = api.clock.now // 1_000_000
    tokens = {
        "no algorithm": lambda: unsigned(claims_of(api), {"alg": "none", "typ": "JWT"}),
        "public key as a secret": lambda: with_the_public_key_as_a_secret(claims_of(api)),
        "another key": lambda: signed(claims_of(api), KEYS.other),
        "another key under an unknown id": lambda: signed(claims_of(api), KEYS.other, kid="other"),
        "the key of another algorithm": lambda: signed(claims_of(api), kid="rsa"),
        "an algorithm that is not listed": lambda: signed(claims_of(api), KEYS.rsa, "PS256", kid="rsa"),
        "expired": lambda: signed(claims_of(api, exp=now - 31)),
        "not yet": lambda: signed(claims_of(api, nbf=now + 31)),
        "issued later": lambda: signed(claims_of(api, iat=now + 31)),
        "another audience": lambda: signed(claims_of(api, aud="https://other.example")),
        "no audience": lambda: signed(claims_of(api, aud=None)),
        "another issuer": lambda: signed(claims_of(api, iss="https://evil.example")),
        "no issuer": lambda: signed(claims_of(api, iss=None)),
        "no end": lambda: signed(claims_of(api, exp=None)),
        "an end that is no number": lambda: signed(claims_of(api, exp="tomorrow")),
        "an end that never comes": lambda: signed(claims_of(api, exp=float("nan"))),
        "a beginning that never comes": lambda: signed(claims_of(api, nbf=float("nan"))),
        "no name": lambda: signed(claims_of(api, sub=None)),
        "a name that is none": lambda: signed(claims_of(api, sub=" x\n")),
        "a credential as a name": lambda: signed(claims_of(api, sub="ghp_" + "a1B2" * 9)),
        "changed": lambda: changed(signed(claims_of(api))),
        "no token": lambda: "",
        "rubbish": lambda: "a.b.c",
        "too long": lambda: signed(claims_of(api, pad="x" * 20_000)),
        "a key in the header": lambda: signed(
            claims_of(api), KEYS.other, kid="none", jwk=jwt.algorithms.ECAlgorithm.to_jwk(KEYS.other.public_key())
        ),
        "an address of keys in the header": lambda: signed(
            claims_of(api), KEYS.other, kid="none", jku="https://evil.example/keys"
        ),
        "a logout token": lambda: signed(claims_of(api), typ="logout+jwt"),
        "a security event": lambda: signed(claims_of(api), typ="application/secevent+jwt"),
        "a type that is no word": lambda: signed(claims_of(api), typ=["JWT"]),
    }
    token = tokens[attack]()
    response = api.bearing(token).get(WHO)

    challenge = response.headers["www-authenticate"]
    described = f'Bearer error="invalid_token", error_description="{response.json()["detail"]}"'

    assert (401, "unauthenticated") == (response.status_code, problem_type(response))
    assert (described if token else "Bearer") == challenge
    assert not token or token not in response.text + challenge


def test_a_challenge_reflects_nothing_of_the_request():
    """
    The description contains only permitted characters, so it cannot end the header early, and it does not name the
    caller.
    """
    eve = Caller(name='human:eve", scope="all\r\nX-Injected: 1', roles=frozenset(), by_token=True)
    bad = BadTokenError('the claim "näme\\" is\r\nX-Injected: 1')
    challenges = [
        problem_of(fault).headers["www-authenticate"] for fault in (bad, LacksRoleError(eve, [Role.RESPONDER]))
    ]

    assert [
        'Bearer error="invalid_token", error_description="the claim ?n?me?? is??X-Injected: 1"',
        'Bearer error="insufficient_scope", error_description="it takes the role responder"',
    ] == challenges


def test_the_clock_of_the_issuer_may_differ_a_little(api: World):
    """
    Within the leeway a token that has just expired, or is not yet valid, is accepted.
    """
    now = api.clock.now // 1_000_000

    assert 200 == api.bearing(signed(claims_of(api, exp=now - 29))).get(WHO).status_code
    assert 200 == api.bearing(signed(claims_of(api, nbf=now + 29, iat=now + 29))).get(WHO).status_code


def test_an_accepted_token_is_refused_after_its_expiry(api: World):
    """
    A verification is cached briefly, and never beyond the expiry.
    """
    token, began = signed(claims_of(api)), api.clock.now
    try:
        before = api.bearing(token).get(WHO).status_code
        api.clock.now += 329 * 1_000_000
        shortly = api.bearing(token).get(WHO).status_code
        api.clock.now += 1 * 1_000_000
        after = api.bearing(token).get(WHO).status_code
    finally:
        api.clock.now = began

    assert (200, 200, 401) == (before, shortly, after)


def test_a_flood_of_unknown_keys_causes_few_requests(api: World):
    """
    The issuer is asked rarely, however many key ids are invented and however many requests are concurrent.
    """
    moment, fetched = [1_000.0], []

    def fetch() -> Any:
        fetched.append(1)
        return KEYS.document()

    bearers = Bearers(SETTINGS, IssuerKeys(fetch, lambda: moment[0]), api.clock)

    def ask(number: int) -> None:
        with pytest.raises(RefusedError):
            bearers.caller_of(signed(claims_of(api), KEYS.other, kid=f"made-up-{number}"))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    flooded = len(fetched)
    moment[0] += COOLDOWN_SECONDS
    ask(17)
    ask(18)

    assert (1, 2) == (flooded, len(fetched))


def test_a_new_key_is_found_and_a_withdrawn_one_is_forgotten(api: World):
    """
    An unknown id causes the keys to be fetched again; they are also fetched again after some time.
    """
    moment, published = [1_000.0], [KEYS.document()]
    bearers = Bearers(SETTINGS, IssuerKeys(lambda: published[0], lambda: moment[0]), api.clock)
    by_ec, by_rsa = signed(claims_of(api)), signed(claims_of(api), KEYS.rsa, "RS256", kid="rsa")
    published[0] = {"keys": published[0]["keys"][:1]}
    bearers.caller_of(by_ec)
    with pytest.raises(RefusedError):
        bearers.caller_of(by_rsa)
    published[0] = {"keys": KEYS.document()["keys"][1:]}
    moment[0] += COOLDOWN_SECONDS
    bearers.caller_of(by_rsa)
    with pytest.raises(RefusedError):
        bearers.caller_of(by_ec)
    published[0] = {"keys": []}
    moment[0] += FRESH_SECONDS

    with pytest.raises(RefusedError, match="does not publish"):
        bearers.caller_of(by_rsa)


def test_an_unavailable_issuer_is_503_and_not_an_invalid_token(api: World):
    """
    Without its keys a token cannot be verified; once they are available it is accepted.
    """
    moment, away = [1_000.0], [True]

    def fetch() -> Any:
        if away[0]:
            raise httpx.ConnectError("nobody there")
        return KEYS.document()

    keys = IssuerKeys(fetch, lambda: moment[0])
    site = replace(api.site, authentication=Authentication(Bearers(SETTINGS, keys, api.clock).authenticate))
    asking = Asking(create_app(site), {"Authorization": f"Bearer {api.token()}"})
    first = asking.get(WHO)
    away[0] = False
    moment[0] += RETRY_SECONDS

    assert (503, "unavailable", 200) == (first.status_code, problem_type(first), asking.get(WHO).status_code)


@pytest.mark.parametrize(
    "document", [None, [], {}, {"keys": {}}, {"keys": ["x", {"kty": "oct", "k": "YQ", "kid": "ec"}]}]
)
def test_an_invalid_key_list_authenticates_nobody(api: World, document: Any):
    """
    An invalid document has no keys, and a shared secret in it is not used as one.
    """
    bearers = Bearers(SETTINGS, IssuerKeys(lambda: document), api.clock)
    site = replace(api.site, authentication=Authentication(bearers.authenticate))

    assert Asking(create_app(site), {"Authorization": f"Bearer {api.token()}"}).get(WHO).status_code in {401, 503}


@pytest.mark.parametrize(
    ("claim", "claimed"),
    [
        ("roles", ["other", "investigator"]),
        ("roles", "openid investigator"),
        ("realm_access.roles", ["investigator"]),
        ("https://acme.example/roles", ["investigator"]),
    ],
)
def test_roles_are_where_the_settings_say(api: World, claim: str, claimed: Any):
    """
    Roles are a list or words, in a claim or in nested objects; unknown roles are ignored.
    """
    claims = claims_of(api, roles=None)
    claims |= {"realm_access": {"roles": claimed}} if claim.startswith("realm") else {claim: claimed}
    bearers = Bearers(replace(SETTINGS, roles_claim=claim), IssuerKeys(KEYS.document), api.clock)

    assert {"investigator"} == set(bearers.caller_of(signed(claims)).roles)


@pytest.mark.parametrize("roles", [None, 7, {"investigator": True}, [["investigator"]], "Investigator", []])
def test_invalid_roles_are_ignored(api: World, roles: Any):
    """
    A claim that is neither a list of strings nor words gives no role.
    """
    response = api.bearing(signed(claims_of(api, roles=roles))).get(WHO)

    assert (403, "forbidden") == (response.status_code, problem_type(response))


@contextmanager
def provider() -> Iterator[str]:
    """Return a real OpenID provider in a separate process."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        assert process.poll() is None
        try:
            return httpx.get(f"http://127.0.0.1:{port}/.well-known/openid-configuration").is_success
        except httpx.TransportError:
            return False

    try:
        wait_until(answers)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def test_a_real_provider_signs_us_in(api: World):
    """
    A token of an OpenID provider is accepted with the keys that it serves; one for another audience is not.
    """
    with provider() as issuer:
        discovered = httpx.get(f"{issuer}/.well-known/openid-configuration").json()
        httpx.put(f"{issuer}/users/ida", json={"roles": ["investigator"]}).raise_for_status()
        redirect = "https://client.example/callback"
        asked = {
            "client_id": "client-1",
            "redirect_uri": redirect,
            "response_type": "code",
            "scope": "openid",
            "nonce": "n",
        }
        consent = httpx.post(discovered["authorization_endpoint"], params=asked, data={"sub": "ida"})
        code = httpx.URL(consent.headers["location"]).params["code"]
        granted = httpx.post(
            discovered["token_endpoint"],
            data={"grant_type": "authorization_code", "code": code, "redirect_uri": redirect},
            auth=("client-1", "secret"),
        ).json()
        claims = jwt.decode(granted["id_token"], options={"verify_signature": False})
        table = {"issuer": claims["iss"], "audience": "client-1", "jwks": discovered["jwks_uri"]}
        settings = HttpSettings.from_mapping(table)
        answers = []
        for one in (settings, replace(settings, audience="client-2")):
            authentication = authenticating(one, lambda: (claims["iat"] + 1) * 1_000_000)
            assert authentication is not None
            site = replace(api.site, authentication=authentication)
            asking = Asking(create_app(site), {"Authorization": f"Bearer {granted['id_token']}"})
            answers.append(asking.get(WHO).status_code)

    assert [200, 401] == answers


# Trusted proxies

PROXIED = {"proxy_user_header": "X-User", "proxy_roles_header": "X-Roles", "proxy_secret": SECRET}
PROXY_HEADERS = {
    "X-User": "human:ida@example.com",
    "X-Roles": "investigator, responder",
    "Delegraph-Proxy-Secret": SECRET,
}


def behind_proxy(api: World, **settings: str) -> Asking:
    authentication = authenticating(HttpSettings.from_mapping(settings or PROXIED), api.clock)
    assert authentication is not None
    return Asking(create_app(replace(api.site, authentication=authentication)))


def test_a_trusted_proxy_names_the_caller(api: World):
    """
    The proxy states the caller and the roles, if its secret is right.
    """
    asking = behind_proxy(api)
    without = {name: value for name, value in PROXY_HEADERS.items() if name != "Delegraph-Proxy-Secret"}

    assert 200 == asking.get(WHO, headers=PROXY_HEADERS).status_code
    assert 401 == asking.get(WHO, headers=without).status_code
    assert 401 == asking.get(WHO, headers=PROXY_HEADERS | {"Delegraph-Proxy-Secret": "x"}).status_code
    assert 401 == asking.get(WHO, headers=PROXY_HEADERS | {"X-User": ""}).status_code
    lacking = asking.get(WHO, headers=PROXY_HEADERS | {"X-Roles": "admin"})
    assert (403, None) == (lacking.status_code, lacking.headers.get("www-authenticate"))  # no token would be better


def test_a_repeated_identity_header_is_refused(api: World):
    """
    A proxy that appends its header to the caller's does not authenticate the caller.
    """
    headers = [*PROXY_HEADERS.items(), ("X-User", "human:eve@example.com")]
    asking = behind_proxy(api)
    asking.headers = httpx.Headers(headers)  # a mapping cannot contain a name twice

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(asking._app)
        async with httpx.AsyncClient(transport=transport, base_url=f"https://{HOST}") as client:
            return await client.get(WHO, headers=headers)

    import asyncio

    assert 401 == asyncio.run(asked()).status_code


@pytest.mark.parametrize(("peers", "status"), [("127.0.0.1", 200), ("10.0.0.0/8, 127.0.0.0/8", 200), ("10.0.0.1", 401)])
def test_a_proxy_is_known_by_its_address(api: World, peers: str, status: int):
    """
    The headers are used only if they come from a listed address.
    """
    asking = behind_proxy(api, proxy_user_header="X-User", proxy_roles_header="X-Roles", proxy_peers=peers)

    assert status == asking.get(WHO, headers=PROXY_HEADERS | {"X-Forwarded-For": "10.0.0.1"}).status_code


def test_a_token_and_a_proxy_may_both_be_configured(api: World, tmp_path: Path):
    """
    Programs use tokens, people come through the proxy; an invalid token is refused despite the proxy's headers.
    """
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(KEYS.document()), encoding="utf-8")
    asking = behind_proxy(api, **PROXIED, issuer=ISSUER, audience=AUDIENCE, jwks=str(file))

    assert 200 == asking.get(WHO, headers=PROXY_HEADERS).status_code
    assert 200 == asking.get(WHO, headers={"Authorization": f"Bearer {api.token()}"}).status_code
    assert 401 == asking.get(WHO, headers=PROXY_HEADERS | {"Authorization": "Bearer x"}).status_code


# Forged writes

FORGED = [
    ({}, 403),
    (WRITE, 404),
    (WRITE | {"Origin": f"https://{HOST}"}, 404),
    (WRITE | {"Sec-Fetch-Site": "same-origin"}, 404),
    (WRITE | {"Origin": "https://evil.example"}, 403),
    (WRITE | {"Origin": "null"}, 403),
    (WRITE | {"Sec-Fetch-Site": "cross-site"}, 403),
    (WRITE | {"Sec-Fetch-Site": "same-site"}, 403),
]


@pytest.mark.parametrize(("headers", "status"), FORGED)
def test_a_write_of_another_site_is_refused(api: World, headers: dict[str, str], status: int):
    """
    A caller authenticated by a proxy or a cookie can write only from one of our pages.
    """
    response = behind_proxy(api).post("/v1/revocations/none/lift", headers=PROXY_HEADERS | headers)

    assert status == response.status_code


def test_a_bearer_token_needs_no_such_header(api: World):
    """
    A browser never adds a bearer token by itself, so such a write cannot be forged.
    """
    assert 404 == api.post("/v1/revocations/none/lift").status_code


# The link


def signed_in(api: World, *, tls: bool = False) -> tuple[SigningIn, Asking]:
    signing_in = SigningIn("human:me", api.clock, port=8_480, tls=tls)
    site = replace(api.site, authentication=Authentication(signing_in.authenticate))
    app = create_app(site, parts=[signing_in.route()])
    return signing_in, Asking(app)


def test_the_link_is_valid_once(api: World):
    """
    The first request with the link gets a cookie, unreadable for scripts and not sent by other sites; later ones fail.
    """
    signing_in, asking = signed_in(api)
    assert 405 == asking.request("HEAD", f"/sign-in?token={signing_in.token}").status_code  # HEAD does not use it up
    first, second = (asking.get("/sign-in", params={"token": signing_in.token}) for _ in range(2))
    cookie = first.headers["set-cookie"]
    with_cookie = {"Cookie": cookie.partition(";")[0]}

    assert (303, "/", 401) == (first.status_code, first.headers["location"], second.status_code)
    assert {"HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={SESSION_SECONDS}"} <= set(cookie.split("; "))
    assert 200 == asking.get(WHO, headers=with_cookie).status_code
    assert 401 == asking.get(WHO, headers={"Cookie": "delegraph-8480=x"}).status_code
    assert 401 == asking.get(WHO).status_code


@pytest.mark.parametrize("shown", ["Bearer ", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x", "Basic YTpi", "dgt_0"])
def test_a_script_without_a_valid_token_is_told_to_create_one(api: World, shown: str):
    """
    It cannot follow a sign-in link; a cookie that is valid is accepted beside such a header.
    """
    signing_in, asking = signed_in(api)
    cookie = asking.get("/sign-in", params={"token": signing_in.token}).headers["set-cookie"].partition(";")[0]
    refused, empty = asking.get(WHO, headers={"Authorization": shown}), asking.get(WHO)

    assert (401, 401) == (refused.status_code, empty.status_code)
    assert all("delegraph token create" in answer.json()["detail"] for answer in (refused, empty))
    assert "link" not in refused.json()["detail"]
    assert 200 == asking.get(WHO, headers={"Authorization": shown, "Cookie": cookie}).status_code


def test_a_cookie_over_tls_is_bound_to_the_host(api: World):
    """
    Over TLS, the cookie is sent over TLS only, and no other host of the domain can set it.
    """
    signing_in, asking = signed_in(api, tls=True)
    cookie = asking.get("/sign-in", params={"token": signing_in.token}).headers["set-cookie"]

    assert cookie.startswith("__Host-")
    assert "Secure" in cookie.split("; ")


@pytest.mark.parametrize("token", ["", "x", "é", "a" * 5_000])
def test_an_invalid_link_is_refused_and_the_valid_one_kept(api: World, token: str):
    """
    Guessing does not invalidate the link.
    """
    signing_in, asking = signed_in(api)
    guessed = asking.get("/sign-in", params={"token": token})
    good = asking.get("/sign-in", params={"token": signing_in.token})

    assert (401, 303) == (guessed.status_code, good.status_code)


def test_a_link_and_a_session_expire(api: World):
    """
    The link is valid for 15 minutes, the session for a shift.
    """
    began = api.clock.now
    try:
        signing_in, asking = signed_in(api)
        api.clock.now += LINK_SECONDS * 1_000_000
        too_late = asking.get("/sign-in", params={"token": signing_in.token})
        signing_in, asking = signed_in(api)
        cookie = asking.get("/sign-in", params={"token": signing_in.token}).headers["set-cookie"].partition(";")[0]
        api.clock.now += SESSION_SECONDS * 1_000_000 - 1
        before = asking.get(WHO, headers={"Cookie": cookie})
        api.clock.now += 1
        after = asking.get(WHO, headers={"Cookie": cookie})
    finally:
        api.clock.now = began

    assert (401, 200, 401) == (too_late.status_code, before.status_code, after.status_code)


def test_who_signed_in_by_the_link_orders_in_that_name(tmp_path: Path):
    """
    The link belongs to the user who started the process, and an order names that person.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as api:
        signing_in, asking = signed_in(api)
        cookie = asking.get("/sign-in", params={"token": signing_in.token}).headers["set-cookie"].partition(";")[0]
        response = asking.post("/v1/revocations", json=ORDER, headers=WRITE | {"Cookie": cookie})

    assert (201, "human:me") == (response.status_code, response.json()["ordered_by"])


# Settings


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"issuer": ISSUER}, "http.audience"),
        ({"issuer": ISSUER, "audience": "x"}, "http.jwks"),
        ({"audience": "x"}, "http.issuer"),
        ({"issuer": "idp", "audience": "x", "jwks": "y"}, "http.issuer"),
        ({"issuer": ISSUER, "audience": "x", "jwks": "ftp://x"}, "http.jwks"),
        ({"issuer": ISSUER, "audience": "x", "jwks": "y", "algorithms": "HS256"}, "http.algorithms"),
        ({"issuer": ISSUER, "audience": "x", "jwks": "y", "algorithms": "none"}, "http.algorithms"),
        ({"issuer": ISSUER, "audience": "x", "jwks": "y", "algorithms": ","}, "http.algorithms"),
        ({"issuer": ISSUER, "audience": "x", "jwks": "y", "leeway_seconds": "301"}, "http.leeway_seconds"),
        ({"issuer": ISSUER, "audience": "x", "jwks": "y", "leeway_seconds": "-1"}, "http.leeway_seconds"),
        ({"proxy_user_header": "X-User"}, "http.proxy_peers"),
        ({"proxy_secret": "x"}, "http.proxy_user_header"),
        ({"proxy_user_header": "X-User", "proxy_peers": "here"}, "http.proxy_peers"),
        ({"proxy_user_header": "X-User", "proxy_secret": "x", "proxy_secret_file": "y"}, "http.proxy_secret"),
        ({"public_url": "delegraph.example"}, "http.public_url"),
        ({"hosts": "a\nb"}, "http.hosts"),
        ({"lisen": "x"}, "lisen"),
    ],
)
def test_invalid_settings_are_refused_by_name(settings: dict[str, str], word: str):
    """
    A setting that is missing, has no effect or would admit everyone is reported before serving.
    """
    with pytest.raises(RefusedError) as fault:
        HttpSettings.from_mapping(settings)

    assert word in str(fault.value)


def test_a_secret_of_the_proxy_is_never_shown():
    """
    The settings show that there is a secret, but not its value.
    """
    settings = HttpSettings.from_mapping(PROXIED)

    assert "set" == settings.shown()["proxy_secret"]
    assert SECRET not in repr(settings) + str(settings.shown())


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({}, True),
        ({"use": "sig", "key_ops": ["verify"]}, True),
        ({"key_ops": ["sign", "verify"]}, True),
        ({"use": "enc"}, False),
        ({"key_ops": ["sign"]}, False),
        ({"key_ops": []}, False),
        ({"key_ops": "verify"}, False),
        ({"use": 7}, False),
    ],
)
def test_a_key_for_another_use_verifies_nothing(api: World, fields: dict[str, Any], fits: bool):
    """
    The uses are in ``use`` and ``key_ops`` (RFC 7517 section 4).
    """
    key = {name: value for name, value in KEYS.document()["keys"][0].items() if name != "use"}
    keys = IssuerKeys(lambda: {"keys": [key | fields]})
    if fits:
        assert keys.key("ec", "ES256")
    else:
        with pytest.raises(BadTokenError):
            keys.key("ec", "ES256")
