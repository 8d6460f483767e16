"""The known behaviour of real systems, and the queries about their logs whose answers follow from it.

Each function queries the command line about an imported log, and compares with ``truth.json``, recorded by the person
who operated the system. Nothing here depends on the ids, names or times of one run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.support.foreign_worlds import Desk, principals

Truth = dict[str, Any]
DEAD: Final = frozenset({"revoked", "cascaded", "expired"})
_ISSUER: Final = "https://idp.example.com"


def _keyed(desk: Desk, command: str, tokens: dict[str, str], *words: str) -> dict[str, Any]:
    """Map the answers about tokens by their names."""
    return dict(zip(tokens, desk.ask(command, [f"token:{id_}" for id_ in tokens.values()], *words), strict=True))


def openbao(desk: Desk, known: Truth) -> None:
    """Check state and parent of every token except the root, and the chain from the human through every agent.

    With unhashed accessors, the tokens ended by ``revoke-accessor`` are left out: there the log hides it.
    """
    clear = known["hmac_accessor"] == "false"
    tokens = {name: token for name, token in known["tokens"].items() if not (clear and name.startswith("r_acc"))}
    handle = "clear_accessor" if clear else "log_accessor"
    ids = {name: f"vault#{token[handle] or token['log_token']}" for name, token in tokens.items()}
    names = {id_: name for name, id_ in ids.items()}
    states = _keyed(desk, "status", ids, "--at", known["end"])
    chains = _keyed(desk, "chain", ids, "--at", known["end"])
    for name, token in tokens.items():
        if name == "root":
            continue
        expected = {"active"} if token["usable_at_end"] else {"suspended"} if token["alive_at_end"] else DEAD
        assert states[name]["state"] in expected, name
        above = [names.get(id_) for id_ in chains[name]["tokens"][:-1]]
        if token["parent"] == "root":
            assert ids["root"] in [gap["id"] for gap in chains[name]["gaps"]], name
        else:
            assert [token["parent"]] == (above[-1:] or [None]), name
    chain = chains["worker"]["chain"]
    assert ("human", _holder(known, "human1")) == (chain[0]["kind"], chain[0]["display_name"])
    assert ["planner", "researcher", "worker"] == [hop["principal"].rpartition("token-")[2] for hop in chain[-3:]]


def _holder(known: Truth, name: str) -> str:
    return str(known["tokens"][name]["holder"].rpartition(":")[2])


def kubernetes(desk: Desk, known: Truth) -> None:
    """Check who is responsible for every token, which ones died with a deletion, and who acted as another user."""
    human, end = f"human:{known['human']}", known["calls"][-1]["at"]
    issuer = next(iter(known["tokens"].values()))["iss"]
    chains = _keyed(desk, "chain", {name: token["id"] for name, token in known["tokens"].items()}, "--at", end)
    deleted = {name for order in known["orders"] for name in order.get("kills", ())}
    accounts = {order["target"] for order in known["orders"] if order["what"] == "service account deleted"}
    deleted |= {name for name, token in known["tokens"].items() if token["sub"] in accounts}
    for name, chain in chains.items():
        assert human == chain["chain"][0]["known_as"], name
        assert f"{issuer}#{known['tokens'][name]['sub']}" == chain["chain"][-1]["principal"], name
        assert (chain["state"] in DEAD) == (name in deleted), name
    acted_as = [call for call in known["calls"] if call["impersonate"] and call["status"] < 400]
    for call, answer in zip(acted_as, desk.ask("who", [f"prod#{call['auditID']}" for call in acted_as]), strict=True):
        other = f"{issuer}#{call['impersonate']['Impersonate_User']}"
        assert (human, other) == (answer["chain"][0]["known_as"], principals(answer)[-1])
    assert len(acted_as) >= 3


def keycloak(desk: Desk, known: Truth) -> None:
    """Check every access token's chain; never a wrong parent; alive and dead as introspection reported at each time."""
    tokens = {name: token for name, token in known["tokens"].items() if token["kind"] == "access"}
    chains = _keyed(desk, "chain", {name: token["id"] for name, token in tokens.items()})
    assert {name: _hands(known, name) for name in tokens} == {
        name: principals(answer) for name, answer in chains.items()
    }
    gaps = 0
    for name, token in tokens.items():
        parent = known["tokens"][token["derived_from"]]["id"] if token["derived_from"] else None
        told_parent = next(iter(chains[name]["tokens"][-2:-1]), None)
        if told_parent is None and parent is not None:
            assert f"{token['id']}/subject-token" in {gap["id"] for gap in chains[name]["gaps"]}
            gaps += 1
        else:
            assert parent == told_parent
    assert gaps <= 2  # for two of them the subject token may be either of two
    first = known["chain"][0]
    for act in known["acts"]:
        short = {"w": f"w.{first}", "z": f"z.{first}"}
        alive = {short.get(name, name): is_ for name, is_ in (act.get("alive") or {}).items() if name != "xchg"}
        answer = _keyed(desk, "status", {name: tokens[name]["id"] for name in alive}, "--at", act["at"])
        assert alive == {name: one["state"] == "active" for name, one in answer.items()}, act["what"]


def _hands(known: Truth, name: str) -> list[str]:
    """Return the clients that a Keycloak token passed through."""
    token, issuer = known["tokens"][name], known["issuer"]
    client = f"{issuer}#{token['client']}"
    before = _hands(known, token["derived_from"]) if token["derived_from"] else [f"{issuer}#{token['claims']['sub']}"]
    return before if before[-1] == client else [*before, client]


def opa(desk: Desk, known: Truth) -> None:
    """Check every permit and deny; one of them used the older API, which does not return an id to the caller."""
    calls = [call for call in known["calls"] if isinstance(call["result"], bool | dict)]
    answers = {call["decision_id"]: _permitted(call["result"]) for call in calls if call["decision_id"]}
    permits = {
        id_.removeprefix("opa#"): desk.stated(f"decision:{id_}", "decision.made")[0]["permitted"]
        for id_ in desk.found("opa#", "decision")
    }
    assert answers == {id_: permitted for id_, permitted in permits.items() if id_ in answers}
    assert len(calls) == len(permits)


def _permitted(result: Any) -> bool:
    if isinstance(result, bool):
        return result
    return bool(result["allow"] if "allow" in result else result["decision"])


def cerbos(desk: Desk, known: Truth) -> None:
    """Check each resource and action of each check, with its token; for AuthZEN, the requester and the decision."""
    whole: list[tuple[Any, ...]] = []
    short: list[tuple[str, bool]] = []
    for call in known["calls"]:
        token = f"{_ISSUER}#{call['token_jti']}" if call.get("token_jti") else None
        for result in call.get("results") or ():
            for action, effect in result["actions"].items():
                whole.append((call["principal"], result["resource"], action, effect == "EFFECT_ALLOW", token))
        answer = call.get("answer") or {}
        short += [(call["principal"], one["decision"]) for one in answer.get("evaluations", [answer] if answer else [])]
    decisions = [desk.stated(f"decision:{id_}", "decision.made")[0] for id_ in desk.found("cerbos#", "decision")]
    found = [
        (
            event["actor"].replace("#", ":").rpartition(":")[2],
            *(event["resource"]["id"], event["operation"], event["permitted"], event.get("token")),
        )
        for event in decisions
    ]
    for one in whole:
        assert one in found
        found.remove(one)
    assert sorted(short) == sorted((one[0], one[3]) for one in found)


def otlp(desk: Desk, known: Truth) -> None:
    """Check every tool call with the person and the agents above it, for each instrumentation and framework."""
    person, first, second = (
        f"otlp:user:{known['human']}",
        f"otlp:agent:{known['root_agent']}",
        f"otlp:agent:{known['second_agent']}",
    )
    calls = [(name, "succeeded", [person, first, second], person) for name in known["tools_called_by_second"]] * 4
    calls.append((f"ask_{known['second_agent']}", "succeeded", [person, first], person))
    answers = desk.ask("who", desk.found("otlp#", "action"))
    assert sorted(calls) == sorted((one["tool"], one["outcome"], principals(one), one["human"]) for one in answers)


def mcp(desk: Desk, known: Truth) -> None:
    """Check every tool call with the person and all agents, and that refused calls are denied."""
    parties = {name: f"{_ISSUER}#{name}" for name in (known["human"], *known["agents"])}
    answers = list(desk.ask("who", desk.found("mcp#", "action")))
    calls = [answer for answer in answers if answer["operation"] == "tools/call"]
    expected = [
        (
            call["tool"],
            "failed" if call["is_error"] else "succeeded",
            [parties[name] for name in (known["human"], *known["agents"][: known["agents"].index(call["agent"]) + 1])],
        )
        for call in known["calls"]
        if "tool" in call
    ]
    assert sorted(expected) == sorted((answer["tool"], answer["outcome"], principals(answer)) for answer in calls)
    assert {parties[known["human"]]} == {answer["human"] for answer in calls}
    assert all(answer["agents"] == principals(answer)[1:] for answer in calls)
    assert {"denied"} == {answer["outcome"] for answer in answers if answer not in calls}


_KUBERNETES: Final = """
[[source]]
name = "prod"
format = "kubernetes"
issuer = "https://kubernetes.default.svc"

[[source.identity]]
match = '.*#(?P<who>[^:]+@example\\.com)'
id = "human:{who}"
kind = "human"
"""


@dataclass(frozen=True)
class System:
    """A system whose log is read, and what is known about it.

    Attributes:
        folder: Its folder below that of real logs.
        files: The log, which may be several files.
        check: Checks the answers.
        words: The names of people and agents of the first run, which another run replaces.
        settings: The settings file, with ``{issuer}`` for the issuer of the truth.
        source: The named source of the files.
        is_whole: Whether part of the records states less than all of them, until all are there.
    """

    folder: str
    files: tuple[str, ...]
    check: Callable[[Desk, Truth], None]
    words: tuple[str, ...] = ()
    settings: str = ""
    source: str | None = None
    is_whole: bool = False

    def settings_for(self, known: Truth) -> str:
        """Return the settings file for a run."""
        return self.settings.format(issuer=known["issuer"]) if "{issuer}" in self.settings else self.settings


_KEYCLOAK: Final = '[[source]]\nname = "sso"\nformat = "keycloak"\nissuer = "{issuer}"\n'
_CLIENTS: Final = ("alice", "bob", "portal", "nightly", "planner", "researcher", "worker", "acme")
SYSTEMS: Final[dict[str, System]] = {
    "openbao": System("openbao", ("audit.log",), openbao, ("alice", "bob")),
    "openbao in clear": System("openbao/clear", ("audit.log",), openbao, ("alice", "bob")),
    "kubernetes": System(
        "kubernetes", ("audit.log", "webhook-bodies.jsonl"), kubernetes, ("planner", "worker", "scraper"),
        _KUBERNETES, "prod",
    ),
    "keycloak lines": System("keycloak", ("log-lines.jsonl",), keycloak, _CLIENTS, _KEYCLOAK, "sso"),
    "keycloak all": System(
        "keycloak", ("events.jsonl", "admin-events.jsonl", "log-lines.jsonl"), keycloak, _CLIENTS, _KEYCLOAK, "sso"
    ),
    "opa console": System("opa", ("console.jsonl",), opa, ("alice", "worker")),
    "opa bodies": System("opa", ("http-bodies.jsonl",), opa, ("alice", "worker")),
    "cerbos": System("cerbos", ("audit.jsonl",), cerbos, ("alice", "worker", "planner")),
    "cerbos on Kafka": System("cerbos", ("kafka-records.jsonl",), cerbos, ("alice", "worker", "planner")),
    "otlp": System(
        "otel",
        (
            *("pydantic-ai.otlp.json", "openai-agents.openai-v2.otlp.json"),
            *("openai-agents.openinference.otlp.json", "openai-agents.native.json"),
        ),
        otlp,
        ("triage", "booker"),
        is_whole=True,
    ),
    "mcp": System("mcp", ("gateway.jsonl",), mcp, ("alice", "planner", "reader")),
}  # fmt: skip
