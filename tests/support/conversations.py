"""The conversation of the OpenAPI document's examples, repeated with a real server; ``python -m`` records it.

The requests are those of the file. Values that differ each time (the id of a stream, and values derived from it) are
replaced by those of the file, so that everything else can be compared exactly.
"""

import base64
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lineage.core.evidence.notes import KeyKind
from lineage.core.model.errors import UnavailableError
from lineage.core.model.times import parse_instant
from lineage.deliver.http.problems import MEDIA_TYPE as PROBLEM
from lineage.deliver.outbox.outbox_writer import OutboxWriter
from lineage.deliver.ssf.settings import SsfSettings
from lineage.deliver.tlog.checkpointing import sign_checkpoints
from lineage.deliver.tlog.note_keys import note_keys
from lineage.serve.cache.loader import WorldLoader
from lineage.serve.config.http_settings import HttpSettings
from lineage.serve.config.limits import Limits
from lineage.serve.config.settings import Settings
from lineage.serve.http.api.enforcement_routes import endpoints
from lineage.serve.http.asgi.app import create_app
from lineage.serve.http.openapi import examples
from lineage.serve.http.openapi.examples import Exchange
from lineage.serve.http.openapi.fragments import JSON
from tests.support.http_worlds import World, api_over, served

PUBLIC = "https://delegraph.example"
ORIGIN = "audit.example/agents"
FILE = Path(examples.__file__).parents[1] / examples.CONVERSATION
CALLERS: dict[str, dict[str, Any]] = {
    "producer": {"sub": "service:gateway", "sources": ["https://gateway.example", "https://idp.example"]},
    "investigator": {"sub": "human:ida@example.com"},
    "responder": {"sub": "human:dana@example.com"},
    "approver": {"sub": "human:ruth@example.com", "roles": ["responder"]},
    "receiver": {"sub": "https://gateway.example"},
}
TIMED = "seconds"  # a field with a duration
LINKS = ("stream_id", "plan_digest")  # fields in requests that depend on earlier responses
# What changes of cases get from the ids of their events, which the server draws.
OF_CHANGES = ("version", "event_id", "digest")
_DRAWN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}|[0-9a-f]{12,}")


# A short wait for a body saves time; the response states the usual limit instead.
HASTY = Limits(body_seconds=1)
CROWDED = Limits(questions_by_caller=0)
SHORTLY, BY_DEFAULT = (f"within {limits.body_seconds:.0f} s" for limits in (HASTY, Limits()))


class Away:
    """A log, or a store, that does not answer."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __getattr__(self, name: str) -> Any:
        raise UnavailableError(f"{self._what} does not answer")


@contextmanager
def one_server(
    folder: Path, *, away: str = "", configured: bool = True, limits: Limits | None = None
) -> Iterator[tuple[World, str]]:
    """Serve the incident with everything that ``delegraph serve`` mounts, and yield its address."""
    folder.mkdir()
    keys = folder / "key.pem"
    keys.touch(mode=0o600)
    private = Ed25519PrivateKey.from_private_bytes(sha256(b"of the examples alone").digest())
    keys.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    settings = Settings(
        signing_key_file=keys, ssf=SsfSettings(issuer=PUBLIC), http=HttpSettings(public_url=PUBLIC)
    ) if configured else Settings()  # fmt: skip
    with api_over(f"sqlite:///{folder}/store.db", folder, limits=limits) as world:
        if away == "log":
            world.service.log = Away("the log at kafka.example:9092")  # type: ignore[assignment]
        if away == "store":
            world.service.store = Away("the store db.example/delegraph")  # type: ignore[assignment]
        if away:
            world.service.worlds = WorldLoader(world.service.store, world.service.log, None)
        if not away:
            signing = note_keys(ORIGIN, KeyKind.ED25519, private, [private.public_key()])
            sign_checkpoints(world.service.store, signing, world.clock.now)
        site = replace(
            world.site,
            hosts=world.site.hosts | {"delegraph.example"},
            keys=settings.read_keys(),
            evidence_origin=ORIGIN,
        )
        app = create_app(site, parts=endpoints(settings, site))
        with served(app) as url:
            yield replace(world, app=app), url


@dataclass
class Held:
    """A conversation in progress."""

    servers: dict[str, tuple[World, str]]
    links: dict[str, str] = field(default_factory=dict)  # value in the file -> current value

    def ask(self, exchange: Exchange) -> Exchange:
        """Send the request of a line of the file; return the line with the current response."""
        world, url = self.servers[exchange.get("server", "")]
        world.clock.now = parse_instant(exchange["at"])
        if not exchange.get("server"):
            OutboxWriter(world.service.store, None).round(lambda: world.clock.now)
        role, (method, path) = exchange["by"], exchange["ask"].split(" ", 1)
        headers = {"Host": "delegraph.example", **exchange.get("headers", {})}
        if role is not None:
            headers["Authorization"] = f"Bearer {world.token(role, **CALLERS[role])}"
        if "media_type" in exchange:
            headers["Content-Type"] = exchange["media_type"]
        content = self._content(exchange)
        if content is None:  # otherwise the body is the one that is too large
            path = path.ljust(exchange.get("padded_to", 0), "a")
        if "announced_bytes" in exchange:
            return self._announce(exchange, url, headers)
        for _ in range(exchange.get("times", 1)):
            with httpx.stream(method, url + self._now(path), headers=headers, content=content, timeout=60) as response:
                text = _as_conversation(response, exchange.get("events"))
        media_type = response.headers.get("content-type", "").partition(";")[0]
        answered = self._as_then(exchange, media_type, text)
        return {**exchange, "status": response.status_code, "answered_as": media_type, "answer": answered}

    def _announce(self, exchange: Exchange, url: str, headers: dict[str, str]) -> Exchange:
        """Announce the length of a body, and get refused before any of it is sent, or because none is."""
        with closing(HTTPConnection(url.removeprefix("http://"), timeout=60)) as connection:
            connection.putrequest(*exchange["ask"].split(" ", 1), skip_host=True)
            for name, value in {**headers, "Content-Length": str(exchange["announced_bytes"])}.items():
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            media_type = response.getheader("Content-Type", "")
            answer = json.load(response)
            answer["detail"] = answer["detail"].replace(SHORTLY, BY_DEFAULT)
            return {**exchange, "status": response.status, "answered_as": media_type, "answer": answer}

    def _content(self, exchange: Exchange) -> bytes | None:
        match exchange.get("media_type"), exchange.get("body"):
            case _, None:
                return None
            case "application/avro", said:
                return base64.b64decode(said)
            case "application/x-www-form-urlencoded", said:
                return httpx.Request("POST", PUBLIC, data=said).read()
            case _, str() as said:
                return said.encode()
            case _, said:
                return self._now(json.dumps(said)).ljust(exchange.get("padded_to", 0)).encode()

    def _now(self, text: str) -> str:
        for then, now in self.links.items():
            text = text.replace(then, now)
        return text

    def _as_then(self, exchange: Exchange, media_type: str, text: str) -> Any:
        if media_type not in (JSON, PROBLEM):
            return text
        found, before = json.loads(text), exchange.get("answer")
        self._link(before, found)
        for then, now in self.links.items():
            text = text.replace(now, then)
        return _timed_as(before, json.loads(text))

    def _link(self, then: Any, now: Any) -> None:
        match then, now:
            case {"sets": dict(before)}, {"sets": dict(found)}:
                self.links |= zip(before, found, strict=False)
            case dict(), dict():
                of_case = bool({"case", "given_at"} & then.keys())
                for name in then.keys() & now.keys():
                    if (name in LINKS or (of_case and name in OF_CHANGES)) and then[name] != now[name]:
                        self.links[then[name]] = now[name]
                    self._link(then[name], now[name])
            case list(), list():
                for one, other in zip(then, now, strict=False):
                    self._link(one, other)


def _as_conversation(response: httpx.Response, events: int | None) -> str:
    """Return the whole body; of an endless stream, a number of events."""
    if events is None:
        return response.read().decode()
    text = ""
    for part in response.iter_text():
        text += part
        if text.count("\n\n") >= events:
            break
    return "".join(f"{event}\n\n" for event in text.split("\n\n")[:events])


def _timed_as(then: Any, now: Any) -> Any:
    """Return the current value, except for durations, which are those of the file."""
    match then, now:
        case dict(), dict():
            return {
                name: then[name]
                if name == TIMED and isinstance(then.get(name), float)
                else _timed_as(then.get(name), value)
                for name, value in now.items()
            }
        case _:
            return now


OUR_SOURCE = "urn:delegraph:http"


def comparable(exchange: Exchange) -> Exchange:
    """Return an exchange without values that differ each time: signed events decoded, metrics by name only."""
    match exchange["answered_as"], exchange["answer"]:
        case _, {"sets": dict(sets), **more}:
            return {**exchange, "answer": {"sets": [_opened(one) for one in sets.values()], **more}}
        case "text/plain", str() as text:
            return {**exchange, "answer": [line for line in text.splitlines() if line.startswith("#")]}
        case _, {"export": dict(export), **more}:
            same = {
                name: value for name, value in export.items() if name not in ("events", "changes", "items", "version")
            }
            if "evidence" in more:  # the events that the server itself sends have other digests each time
                more["evidence"] = {**more["evidence"], "not_covered": len(more["evidence"]["not_covered"])}
            return {**exchange, "answer": {"export": same, **more, "sha256": None, "jws": None}}
        case "text/csv" | "text/html", str() as text:  # the events that the server itself sends have random ids
            lines = [_DRAWN.sub("...", line) for line in text.splitlines()]
            return {**exchange, "answer": sorted(lines) if "<html" in text else lines}
        case _, {"findings": list(findings), **more}:
            return {**exchange, "answer": {"findings": [_cited(one) for one in findings], **more}}
        case _:
            return exchange


def _cited(finding: Any) -> Any:
    """Return a finding without the ids of events that the server itself has sent, which differ each time."""
    ours = {"source": OUR_SOURCE, "event_id": None, "digest": None}
    return {**finding, "facts": [ours if fact["source"] == OUR_SOURCE else fact for fact in finding["facts"]]}


def _opened(signed: str) -> Any:
    """Return the content of a signed event, except the id of the stream and its own id, which is derived from that."""
    claims = jwt.decode(signed, options={"verify_signature": False})
    is_of_stream = claims["sub_id"]["format"] == "opaque"
    return {**claims, "jti": None, "sub_id": None if is_of_stream else claims["sub_id"]}


@contextmanager
def servers(folder: Path) -> Iterator[dict[str, tuple[World, str]]]:
    """Start the servers of the conversation, by the names that it uses for them."""
    with ExitStack() as stack:
        yield {
            "": stack.enter_context(one_server(folder / "all")),
            "log-away": stack.enter_context(one_server(folder / "log-away", away="log")),
            "store-away": stack.enter_context(one_server(folder / "store-away", away="store")),
            # Nothing is configured here; and its tail has no other listener, which would be counted in the greeting.
            "crowded": stack.enter_context(one_server(folder / "crowded", limits=CROWDED)),
            "hasty": stack.enter_context(one_server(folder / "hasty", limits=HASTY)),
            "bare": stack.enter_context(one_server(folder / "bare", configured=False)),
        }


def hold(lines: list[Exchange]) -> list[Exchange]:
    """Repeat a conversation from its first line to its last."""
    with tempfile.TemporaryDirectory(prefix="delegraph-examples-") as folder, servers(Path(folder)) as found:
        held = Held(found)
        return [held.ask(exchange) for exchange in lines]


def written() -> list[Exchange]:
    """Return the conversation of the file."""
    return [json.loads(line) for line in FILE.read_text("utf-8").splitlines()]


if __name__ == "__main__":
    kept = written()
    changed = [
        then if "answer" in then and comparable(then) == comparable(now) else now
        for then, now in zip(kept, hold(kept), strict=True)
    ]
    FILE.write_text("".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in changed), "utf-8")
