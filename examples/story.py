"""A leaked token, from the plan to proof of enforcement, with a real Kafka and PostgreSQL and two gateways.

    make story

An agent of Alice has leaked its token. A responder previews a revocation, is stopped because something has changed
since, revokes, and follows the revocation until every gateway has confirmed that it refuses the token:

- the *mail gateway* follows the feed on Kafka, and calls ``is_dead`` on every call;
- the *archive gateway* uses OpenID Shared Signals: it polls for signed events, and acknowledges over HTTP.

Every command shown can be typed. Every statement is checked, and the exit code is 1 if one does not hold. To use a
running stack, name its folder: ``python examples/story.py build/stack``.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ingest.revocations import Revocations
from lineage.core.model.times import format_instant
from lineage.serve.config.settings import Settings
from lineage.serve.config.wiring import now, opened_service

IDP = "https://login.example"  # the issuer of the API's bearer tokens; the tokens of the story have another issuer
MAIL, ARCHIVE = "https://mail-gateway.example", "https://archive-gateway.example"
HOUR = 3_600_000_000
PATIENCE_SECONDS = 90

Json = dict[str, Any]


class Story:
    """One run of the story: its participants, and the number of failed checks."""

    def __init__(self, stack: Path, folder: Path, exits: ExitStack) -> None:
        self.stack = stack
        self.desk = exits.enter_context(opened_service(Settings.of(env=self.environment("investigator"))))
        self.folder = folder
        self.run = uuid.uuid4().hex[:8]  # the stack keeps its data, so every run uses new ids
        self.revocation = f"rev-{self.run}"
        self.issuer = f"https://idp-{self.run}.example"
        self.login, self.planner, self.mailer, self.sub_agent, self.bystander = (
            f"{self.issuer}#{name}" for name in ("login", "planner", "mailer", "sub-agent", "bystander")
        )
        self.wrong = 0
        self.serving: dict[str, str] = {}

    # Narration

    def chapter(self, title: str) -> None:
        """Print the title of a chapter."""
        print(f"\n== {title}\n")

    def check(self, sentence: str, *, expected: object, seen: object) -> None:
        """Check a statement and print it; if it does not hold, print what was seen, and count it."""
        if expected == seen:
            print(f"   ok: {sentence}")
        else:
            self.wrong += 1
            print(f"   FAILED: {sentence}\n     expected {expected!r}\n     seen     {seen!r}")

    def wait(self, is_so: Callable[[], Any]) -> Any:
        """Wait until a condition holds that depends on another process (projection, feed or server)."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := is_so()):
            if time.monotonic() > deadline:
                return found
            time.sleep(0.1)
        return found

    # Commands

    def environment(self, user: str) -> Mapping[str, str]:
        """The environment of a role of the stack, without the caller's own delegraph settings."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("DELEGRAPH_")}
        return {**ours, "DELEGRAPH_CONFIG": str(self.stack / f"{user}.toml")}

    def delegraph(self, user: str, *words: str, shown: bool = True, ends: int = 0) -> Json:
        """Run a command as a role of the stack, and return its JSON document."""
        if shown:
            print(f"$ delegraph {' '.join(words)}   (as {user})")
        command = [str(Path(sys.executable).with_name("delegraph")), *words, "--json"]
        done = subprocess.run(command, env=self.environment(user), capture_output=True, text=True, check=False)
        if done.returncode != ends:
            self.check(f"it ends with exit code {ends}", expected=ends, seen=(done.returncode, done.stderr.strip()))
        document: Json = json.loads((done.stdout or "{}").splitlines()[0] if done.stdout else "{}")
        return document

    def emit(self, user: str, *events: Json) -> None:
        """Send events to the log, and wait until they are projected."""
        file = self.folder / "events.jsonl"
        with file.open("w", encoding="utf-8") as lines:
            for event in events:
                envelope = {"event_id": str(uuid.uuid4()), "source": self.issuer, "occurred_at": format_instant(now())}
                lines.write(json.dumps({**envelope, **event}) + "\n")
        self.delegraph(user, "emit", str(file), shown=False)
        self.wait(lambda: self.desk.as_of()["behind"] == 0)

    def closure(self) -> Json:
        """Query the closure of the revocation, and print it."""
        found = self.delegraph("investigator", "closure", self.revocation)
        print(f"   {found['verdict']}: {found['elements']} elements, {len(found['open'])} open")
        for one in found["open"]:
            print(f"     {one['id']} at {one.get('receiver', 'nobody')}: {one['reason']}")
        return found

    # Events of an issuer and of a gateway

    def token(self, token: str, *parents: str, **more: Any) -> Json:
        """The event that a token was issued, in exchange for others if there are parents."""
        derived = [{"token": parent, "role": "subject"} for parent in parents]
        issued = {"type": "token.issued", "token": token, "subject": "human:alice@example.com", **more}
        return {**issued, "derived_from": derived, "expires_at": format_instant(now() + HOUR)}

    def use(self, token: str) -> Json:
        """The event that a mail was sent with a token."""
        action = {"action": f"mail-{uuid.uuid4().hex[:8]}", "operation": "mail.send", "outcome": "succeeded"}
        return {"type": "action.performed", "source": MAIL, **action, "tool": "mail", "token": token}

    def acknowledged(self, receiver: str, token: str) -> Json:
        """The event that a gateway refuses a token."""
        stated = {"revocation": self.revocation, "receiver": receiver, "outcome": "enforced", "token": token}
        return {"type": "revocation.acknowledged", "source": receiver, **stated}


def tell(story: Story, mail_gateway: Revocations) -> None:
    """Tell the story."""
    story.chapter("The situation: Alice's login, her planner, its mailer; and an unrelated token")
    story.emit(
        "producer",
        story.token(story.login),
        story.token(story.planner, story.login, actor="agent:planner"),
        story.token(story.mailer, story.planner, actor="agent:mailer"),
        story.token(story.bystander),
        story.use(story.mailer),
    )
    target = f"token:{story.mailer}"
    seen = story.delegraph("investigator", "status", target)["state"]
    story.check("the mailer's token is alive", expected="active", seen=seen)
    story.wait(lambda: mail_gateway.is_dead(story.mailer) is False)
    story.check("the mail gateway honours it", expected=False, seen=mail_gateway.is_dead(story.mailer))

    story.chapter("The token has leaked. What would a revocation end?")
    plan = story.delegraph("responder", "reach", target)
    print(f"   {plan['uncovered']['count']} covered by no receiver; expires by itself at {plan['last_expiry']}")
    story.check("the plan lists the mailer's token", expected=[story.mailer], seen=plan["kills"]["tokens"])
    story.check("one action was done with it in the hour before", expected=1, seen=plan["recent_hour"]["count"])

    story.chapter("Meanwhile the mailer delegates. The revocation would end more than the plan lists, and is refused")
    story.emit("producer", story.token(story.sub_agent, story.mailer, actor="agent:sub"))
    order = ["revoke", target, "--reason", "credential_leak", "--by", "human:ruth@example.com", "--execute"]
    drift = story.delegraph("responder", *order, "--plan-digest", plan["plan_digest"], ends=4)
    story.check("the difference is shown", expected=[f"token:{story.sub_agent}"], seen=drift.get("unlisted"))

    story.chapter("The responder makes a new plan, and revokes")
    plan = story.delegraph("responder", "reach", target)
    order += ["--id", story.revocation, "--plan-digest", plan["plan_digest"]]
    given = story.delegraph("responder", *order)
    both = sorted([story.mailer, story.sub_agent])
    story.check("both tokens are dead", expected=both, seen=given["kills"]["tokens"])
    print(f"   in force after {given['seconds']:.3f} s")
    story.wait(lambda: all(mail_gateway.is_dead(token) for token in both))
    story.check("the mail gateway refuses both", expected=[True] * 2, seen=[mail_gateway.is_dead(one) for one in both])
    others = [mail_gateway.is_dead(one) for one in (story.login, story.planner, story.bystander)]
    story.check("and nothing else", expected=[False] * 3, seen=others)
    again = story.delegraph("responder", *order)
    story.check("repeating the command does not revoke twice", expected=True, seen=again["repeated"])

    story.chapter("Is it enforced? No enforcement point is registered yet")
    story.check("the verdict is UNKNOWN", expected="UNKNOWN", seen=story.closure()["verdict"])

    story.chapter("Both gateways are registered: now it is known who has not confirmed")
    story.emit(
        "producer",
        *({"type": "receiver.registered", "receiver": name, "issuers": [story.issuer]} for name in (MAIL, ARCHIVE)),
    )
    story.check("the verdict is PARTIAL", expected="PARTIAL", seen=story.closure()["verdict"])

    story.chapter(
        "The archive gateway receives Shared Signals and acknowledges over HTTP; the mail gateway sends events"
    )
    archive_gateway(story, both)
    story.check("one of two has confirmed", expected="PARTIAL", seen=story.closure()["verdict"])
    story.emit("producer", *(story.acknowledged(MAIL, token) for token in both))
    story.check("the verdict is CLOSED", expected="CLOSED", seen=story.closure()["verdict"])

    story.chapter("Somewhere a call with the dead token succeeds")
    late = story.use(story.mailer)
    story.emit("producer", late)
    found = story.closure()
    story.check(
        "the revocation is reopened",
        expected=("PARTIAL", [late["action"]]),
        seen=(found["verdict"], found["reopened_by"]),
    )

    story.chapter("The gateways fix the error, and confirm again")
    story.emit("producer", *(story.acknowledged(gateway, story.mailer) for gateway in (MAIL, ARCHIVE)))
    story.check("the verdict is CLOSED again", expected="CLOSED", seen=story.closure()["verdict"])


def archive_gateway(story: Story, tokens: list[str]) -> None:
    """Act as a Shared Signals receiver: create a stream, poll, verify the events, and acknowledge."""
    claims = {"iss": IDP, "aud": "delegraph", "sub": ARCHIVE, "roles": ["receiver"], "exp": int(time.time()) + 600}
    bearer = jwt.encode(claims, story.serving["idp_key"], "RS256", headers={"kid": "idp"})
    api = story.serving["url"]
    with httpx.Client(headers={"Authorization": f"Bearer {bearer}"}, timeout=60, trust_env=False) as http:
        configuration = http.get(f"{api}/.well-known/ssf-configuration").raise_for_status().json()
        keys = jwt.PyJWKSet.from_dict(http.get(configuration["jwks_uri"]).raise_for_status().json())
        endpoint = configuration["configuration_endpoint"]
        for stream in http.get(endpoint).raise_for_status().json():  # left by an earlier run
            http.delete(endpoint, params={"stream_id": stream["stream_id"]}).raise_for_status()
        body = {"delivery": {"method": "urn:ietf:rfc:8936"}}
        stream = http.post(endpoint, json=body).raise_for_status().json()
        told: dict[str, str] = {}
        received: list[str] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not told.keys() >= set(tokens) and time.monotonic() < deadline:
            polled = http.post(stream["delivery"]["endpoint_url"], json={"ack": received}).raise_for_status().json()
            received = list(polled["sets"])
            for event in map(polled["sets"].get, received):
                kid = jwt.get_unverified_header(event)["kid"]
                verified = jwt.decode(
                    event, keys[kid], ["RS256"], audience=stream["aud"], issuer=configuration["issuer"],
                    options={"require": ["iat", "jti"]},
                )  # fmt: skip
                subject, [kind] = verified["sub_id"], verified["events"]
                if subject["format"] == "jwt_id":
                    told[f"{subject['iss']}#{subject['jti']}"] = kind.rpartition("/")[2]
        expected = dict.fromkeys(tokens, "session-revoked")
        seen = {token: told.get(token) for token in tokens}
        story.check("the archive gateway has received signed events about both", expected=expected, seen=seen)
        http.post(stream["delivery"]["endpoint_url"], json={"ack": received, "maxEvents": 0}).raise_for_status()
        for token in tokens:
            answer = http.post(
                f"{api}/v1/revocations/{story.revocation}/acknowledgements",
                json={"outcome": "enforced", "token": token},
            )
            story.check(f"it acknowledges {token}", expected=True, seen=answer.is_success or answer.text)


@contextmanager
def running(story: Story, user: str, *words: str, **more: str) -> Iterator[None]:
    """Run a command of delegraph in a process for the duration of the story."""
    print(f"$ delegraph {' '.join(words)} &   (as {user})")
    with (story.folder / f"{words[0]}.log").open("wb") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("delegraph")), *words],
            env={**story.environment(user), **more},
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait()
        if story.wrong:
            print(f"\nThe log of delegraph {words[0]}:\n{(story.folder / f'{words[0]}.log').read_text()}")


def prepare_api(story: Story) -> dict[str, str]:
    """Create keys for the API, and return its settings."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    pem = []
    for name in ("idp", "ours"):
        key = rsa.generate_private_key(65_537, 2_048)
        pem.append(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
        if name == "idp":
            public = {**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "idp", "use": "sig"}
            (story.folder / "idp.jwks.json").write_text(json.dumps({"keys": [public]}), encoding="utf-8")
    ours = story.folder / "keys.pem"
    ours.touch(mode=0o600)
    ours.write_text(pem[1], encoding="utf-8")
    story.serving = {"url": f"http://127.0.0.1:{port}", "idp_key": pem[0]}
    return {
        "DELEGRAPH_HTTP_LISTEN": f"127.0.0.1:{port}",
        "DELEGRAPH_HTTP_ISSUER": IDP,
        "DELEGRAPH_HTTP_AUDIENCE": "delegraph",
        "DELEGRAPH_HTTP_JWKS": str(story.folder / "idp.jwks.json"),
        "DELEGRAPH_SSF_ISSUER": story.serving["url"],
        "DELEGRAPH_SSF_LOOPBACK": "yes",
        "DELEGRAPH_SIGNING_KEY_FILE": str(ours),
    }


def is_up(url: str) -> bool:
    """Whether the API answers."""
    try:
        return httpx.get(f"{url}/readyz", timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


def main(stack: Path) -> int:
    """Tell the story on a running stack."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as exits:
        story = Story(stack.absolute(), Path(folder), exits)
        api = prepare_api(story)
        exits.enter_context(running(story, "responder", "serve", **api))
        story.wait(lambda: is_up(story.serving["url"]))
        settings = Settings.of(env=story.environment("consumer"))
        mail_gateway = exits.enter_context(Revocations(settings.log_url, settings.kafka))
        mail_gateway.wait_until_current(timeout=PATIENCE_SECONDS)
        tell(story, mail_gateway)
    print(f"\nFailed checks: {story.wrong}" if story.wrong else "\nAll checks passed.")
    return min(story.wrong, 1)


if __name__ == "__main__":
    sys.exit(main(Path(*sys.argv[1:] or ["build/stack"])))
