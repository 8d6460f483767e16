"""Find out, step by step, why a server is unusable: name, port, TLS, SASL, advertised addresses.

A client of the library only reports "Unable to bootstrap" and writes the cause to its log. So the probe sends the few
necessary requests itself, one at a time, within a time limit. It changes nothing.
"""

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any, Final

from kafka.protocol.metadata import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    MetadataRequest,
    MetadataResponse,
)
from kafka.protocol.sasl import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)

from ingest.kafka.settings import KafkaSettings, host_and_port
from ingest.kafka.wire import CauseFound, ConnectionClosedError, KafkaWire, left
from lineage.core.model.errors import DelegraphError

# The version of each request; every broker since 1.0 supports it.
_API_VERSIONS, _METADATA, _SASL_HANDSHAKE, _SASL_AUTHENTICATE = 0, 1, 1, 0
_ILLEGAL_SASL_STATE: Final = 34
_UNSUPPORTED_SASL_MECHANISM: Final = 33

_SHOWN_CHARACTERS: Final = 200  # of a broker's message about a failed login
_MOST_ROUNDS: Final = 5  # of a login; SCRAM takes two

# OpenSSL's error codes of certificate verification.
_EXPIRED, _NOT_YET_VALID, _HOSTNAME, _IP_ADDRESS = 10, 9, 62, 64
_UNKNOWN_SIGNER: Final = (18, 19, 20, 21)


def cause_at(server: str, settings: KafkaSettings, *, within_seconds: float) -> str | None:
    """Find why a server cannot be used.

    Args:
        server: ``host:port``.
        settings: How to connect.
        within_seconds: Time limit; a step that has not answered by then is the cause. A name lookup may take longer.

    Returns:
        A sentence; None if the server, and the addresses that it advertises, can be used.
    """
    deadline = time.monotonic() + within_seconds
    try:
        with _connected(server, deadline) as plain, _secured(plain, server, settings, deadline) as wire:
            _ask_kafka(wire, server, settings, deadline)
            if settings.authenticated:
                _log_in(wire, server, settings)
            brokers = _brokers(wire, settings)
        _ask_brokers(brokers, server, deadline)
    except CauseFound as found:
        return str(found)
    except DelegraphError as fault:  # a file or token that existed when the settings were read and is gone
        return str(fault)
    return None


# Name and port


@contextlib.contextmanager
def _connected(server: str, deadline: float) -> Iterator[socket.socket]:
    host, port = host_and_port(server)
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise CauseFound(
            f"the name {host!r} cannot be resolved ({error.strerror or error}); check the name and DNS"
        ) from error
    connection = _open(host, port, deadline)
    with connection:
        yield connection


def _open(host: str, port: int, deadline: float) -> socket.socket:
    try:
        return socket.create_connection((host, port), timeout=left(deadline))
    except ConnectionRefusedError as error:
        raise CauseFound(
            f"nothing listens on port {port} (connection refused); check the port, and that the broker is up"
        ) from error
    except TimeoutError as error:
        raise CauseFound("no answer to a TCP connection in time; check the address and the firewall") from error
    except OSError as error:
        raise CauseFound(f"cannot be reached ({error.strerror or error})") from error


# Encryption


@contextlib.contextmanager
def _secured(plain: socket.socket, server: str, settings: KafkaSettings, deadline: float) -> Iterator["KafkaWire"]:
    if not settings.encrypted:
        yield KafkaWire(plain, deadline)
        return
    host, _ = host_and_port(server)
    plain.settimeout(left(deadline))
    try:
        wrapped = settings.tls().wrap_socket(plain, server_hostname=host)
    except (OSError, ssl.SSLError) as error:
        raise CauseFound(_why_no_tls(error, server, settings, deadline)) from error
    with wrapped:
        yield KafkaWire(wrapped, deadline)


def _why_no_tls(error: OSError, server: str, settings: KafkaSettings, deadline: float) -> str:
    host, _ = host_and_port(server)
    if isinstance(error, ssl.SSLCertVerificationError):
        code, signed_by = error.verify_code, settings.ca_file or "a CA that the system trusts"
        if code in (_HOSTNAME, _IP_ADDRESS):
            return f"its certificate is for another name than {host!r}; connect by the name that is in the certificate"
        if code == _EXPIRED:
            return "its certificate has expired (or the clock of this machine is ahead)"
        if code == _NOT_YET_VALID:
            return "its certificate is not valid yet (or the clock of this machine is behind)"
        if code in _UNKNOWN_SIGNER:
            return f"its certificate is not signed by {signed_by}; set ca_file to the CA of the brokers"
        return f"its certificate is refused: {error.verify_message}"
    if _answers_in_the_clear(server, deadline):
        other = "SASL_PLAINTEXT" if settings.authenticated else "PLAINTEXT"
        return f"the port speaks Kafka without TLS; use another port, or security_protocol {other}"
    if alert := _alert(error, settings):
        return alert
    if isinstance(error, TimeoutError):
        return "the port is open, but there is no answer to TLS in time"
    return f"the port does not speak TLS ({_message_of(error)})"


def _alert(error: OSError, settings: KafkaSettings) -> str | None:
    """Explain a TLS alert that the server sent; None if there was none."""
    message = _message_of(error)
    if "certificate required" in message or ("handshake failure" in message and settings.cert_file is None):
        return "the broker asks for a client certificate; set cert_file and key_file"
    if "alert" in message and any(word in message for word in ("unknown ca", "bad certificate", "certificate unknown")):
        if settings.cert_file is None:
            return "the broker asks for a client certificate; set cert_file and key_file"
        return f"the broker does not accept the certificate {settings.cert_file} ({message})"
    return f"the broker refuses the connection in TLS: {message}" if "alert" in message else None


def _late_alert(error: Exception, server: str, settings: KafkaSettings, deadline: float) -> str | None:
    """Explain why the server refused a TLS handshake that had succeeded on our side; None if it did not.

    In TLS 1.3 the server's alert comes after the client has finished, and may be lost when the connection closes. So
    the handshake is repeated with TLS 1.2, where the alert is part of it.
    """
    if isinstance(error, ssl.SSLError) and (alert := _alert(error, settings)):
        return alert
    host, port = host_and_port(server)
    context = settings.tls()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        with _open(host, port, deadline) as plain, context.wrap_socket(plain, server_hostname=host):
            return None
    except ssl.SSLError as refused:
        return _alert(refused, settings)
    except (CauseFound, OSError):
        return None


def _message_of(error: OSError) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return (reason or str(error) or type(error).__name__).lower().replace("_", " ")


def _answers_in_the_clear(server: str, deadline: float) -> bool:
    """Whether the port speaks Kafka without TLS."""
    try:
        with _open(*host_and_port(server), deadline) as plain:
            return _speaks_kafka(KafkaWire(plain, deadline))
    except CauseFound:
        return False


def _answers_in_tls(server: str, deadline: float) -> bool:
    """Whether the port speaks TLS, with any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent
    try:
        with _open(*host_and_port(server), deadline) as plain, context.wrap_socket(plain):
            return True
    except ssl.SSLError as error:
        return "alert" in _message_of(error)
    except (CauseFound, OSError):
        return False


# Kafka


def _speaks_kafka(wire: KafkaWire) -> bool:
    try:
        wire.ask(ApiVersionsRequest(), ApiVersionsResponse, _API_VERSIONS)
    except (CauseFound, ConnectionClosedError, OSError):
        return False
    return True


def _ask_kafka(wire: KafkaWire, server: str, settings: KafkaSettings, deadline: float) -> None:
    try:
        answer = wire.ask(ApiVersionsRequest(), ApiVersionsResponse, _API_VERSIONS)
    except CauseFound:
        if not settings.encrypted and _answers_in_tls(server, deadline):
            raise CauseFound(_wants_tls(settings)) from None
        raise
    except (ConnectionClosedError, OSError) as error:
        if settings.encrypted and (alert := _late_alert(error, server, settings, deadline)):
            raise CauseFound(alert) from error
        if not settings.encrypted and _answers_in_tls(server, deadline):
            raise CauseFound(_wants_tls(settings)) from error
        if isinstance(error, TimeoutError):
            raise CauseFound("the port is open, but does not answer like a Kafka broker") from error
        if settings.encrypted and settings.cert_file is None:
            raise CauseFound(
                "it closes the connection after TLS; it may require a client certificate (cert_file)"
            ) from error
        raise CauseFound("the server closes the connection; check that it is a Kafka broker") from error
    supported = {one.api_key for one in answer.api_keys or ()}
    if answer.error_code or MetadataRequest.API_KEY not in supported:
        raise CauseFound("it is a controller, not a broker; use the port of a broker")


def _wants_tls(settings: KafkaSettings) -> str:
    return f"the port speaks TLS; use security_protocol {'SASL_SSL' if settings.authenticated else 'SSL or SASL_SSL'}"


# Login


def _log_in(wire: KafkaWire, server: str, settings: KafkaSettings) -> None:
    mechanism = settings.sasl_mechanism or ""
    try:
        answer = wire.ask(SaslHandshakeRequest(mechanism=mechanism), SaslHandshakeResponse, _SASL_HANDSHAKE)
        fault, enabled = answer.error_code, answer.mechanisms or []
        if fault == _ILLEGAL_SASL_STATE:
            other = "SSL" if settings.encrypted else "PLAINTEXT"
            raise CauseFound(f"the port does not use SASL logins; use another port, or security_protocol {other}")
        if fault == _UNSUPPORTED_SASL_MECHANISM or mechanism not in enabled:
            raise CauseFound(
                f"the broker does not support {mechanism}, only {', '.join(enabled) or 'none'}; set sasl_mechanism"
            )
        if fault:
            raise CauseFound(f"the broker refuses the login (error {fault})")
        _prove(wire, server, settings)
    except (ConnectionClosedError, OSError) as error:
        raise CauseFound(f"the broker aborts the login ({error})") from error


def _prove(wire: KafkaWire, server: str, settings: KafkaSettings) -> None:
    """Log in, with the library's implementation of the mechanism."""
    from kafka.net.sasl import get_sasl_mechanism  # noqa: PLC0415 (the library may be absent until a login is tried)

    host, _ = host_and_port(server)
    login: Any = get_sasl_mechanism(settings.sasl_mechanism)(host=host, **settings.client((server,)))
    for _ in range(_MOST_ROUNDS):
        if login.is_done():
            break
        token = login.auth_bytes()
        answer = wire.ask(SaslAuthenticateRequest(auth_bytes=token), SaslAuthenticateResponse, _SASL_AUTHENTICATE)
        if answer.error_code:
            raise CauseFound(_why_no_login(answer.error_message or "", settings))
        try:
            login.receive(answer.auth_bytes or b"")
        except (ValueError, KeyError) as error:  # the broker's signature is wrong or missing
            raise CauseFound(f"the broker does not prove that it knows the password ({error})") from error
    if not login.is_authenticated():
        raise CauseFound(_why_no_login("", settings))


def _why_no_login(message: str, settings: KafkaSettings) -> str:
    detail = f" (it says: {message[:_SHOWN_CHARACTERS]})" if message else ""
    if settings.sasl_mechanism == "OAUTHBEARER":
        return f"the broker does not accept the token{detail}"
    return f"wrong user or password for {settings.username!r} by {settings.sasl_mechanism}{detail}"


# Advertised addresses


def _brokers(wire: KafkaWire, settings: KafkaSettings) -> list[str]:
    """The addresses that the brokers advertise (``advertised.listeners``)."""
    try:
        answer = wire.ask(MetadataRequest(topics=[]), MetadataResponse, _METADATA)
        brokers = [(str(broker.host), broker.port) for broker in answer.brokers or ()]
        found = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in brokers]
    except (ConnectionClosedError, OSError) as error:
        if not settings.authenticated:
            raise CauseFound(
                "it closes the connection after the first request; it may require a login (security_protocol SASL_...)"
            ) from error
        raise CauseFound(f"it accepts the connection but does not answer ({error})") from error
    if not found:
        raise CauseFound("it lists no brokers; it may be a controller, or still starting")
    return found


def _ask_brokers(brokers: list[str], server: str, deadline: float) -> None:
    """Check that the advertised addresses can be reached: often they are only valid inside another network."""
    for broker in brokers:
        if broker == server:
            continue
        try:
            with _connected(broker, deadline):
                pass
        except CauseFound as found:
            raise CauseFound(
                f"it answers, but sends clients to {broker} (advertised.listeners), which fails: {found}"
            ) from found
