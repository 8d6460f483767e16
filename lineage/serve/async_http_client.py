"""The asynchronous client of the HTTP API: the same questions as ``Client``, awaited.

    async with AsyncClient("https://delegraph.example", token=token) as delegraph:
        answer = await delegraph.who("mail-7")
        async for action in delegraph.actions(human="human:alice@example.com"):
            print(action["action"])

Generated from ``http_client`` by ``make reference``; a test fails when this module is stale.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from urllib.parse import quote

import httpx

from lineage.core.model.errors import UnavailableError
from lineage.serve.client_items import AsyncItems
from lineage.serve.client_problems import MissingError, fault_of, wait_of
from lineage.serve.http.openapi import schemas
from lineage.serve.http_client import (
    PAGE,
    PAGE_OF_ITEMS,
    PAGE_OF_REVOCATIONS,
    TIMEOUT_SECONDS,
    TRIES,
    case_path,
    revocation_path,
    stated,
    target_of,
)

_Answer = TypeVar("_Answer")


class AsyncClient:
    """A client of one server. Not thread-safe."""

    def __init__(
        self,
        url: str,
        *,
        token: str | Callable[[], str] | None = None,
        http: httpx.AsyncClient | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        tries: int = TRIES,
    ) -> None:
        """Create a client.

        Args:
            url: Such as ``https://delegraph.example``.
            token: A bearer token, or a function that returns one for each request.
            http: A client to use instead of our own: with certificates, a proxy, a cookie.
            sleep: How to wait.
            tries: How often an unavailable server is tried.
        """
        self._url = url.rstrip("/")
        self._token = token
        self._http = http or httpx.AsyncClient(timeout=TIMEOUT_SECONDS)
        self._ours = http is None
        self._sleep = sleep
        self._tries = tries

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, if they are ours."""
        if self._ours:
            await self._http.aclose()

    async def who(self, action: str, *, at: str | None = None, known_at: str | None = None) -> schemas.Who | None:
        """Return who stood behind an action; None if no fact names it."""
        return await self._ask("/v1/who", schemas.Who, action=action, at=at, known_at=known_at)

    async def chain(self, of: str, *, at: str | None = None, known_at: str | None = None) -> schemas.Chain | None:
        """Return who stood behind ``token:ID`` or ``delegation:ID``; None if no fact names it."""
        return await self._ask("/v1/chain", schemas.Chain, of=of, at=at, known_at=known_at)

    async def status(self, of: str, *, at: str | None = None, known_at: str | None = None) -> schemas.Status | None:
        """Return the state of ``KIND:ID``; None if no fact names it."""
        return await self._ask("/v1/status", schemas.Status, of=of, at=at, known_at=known_at)

    async def reach(
        self,
        of: str,
        *,
        at: str | None = None,
        known_at: str | None = None,
        mode: str = "revoke",
        issued_before: str | None = None,
        cascade: bool = True,
        unseen: bool = False,
        stale: bool = False,
    ) -> schemas.Reach | None:
        """Return what a revocation would end; None if no fact names the target, unless ``unseen`` allows it.

        ``stale`` accepts a plan that may miss what the log has and the store does not.
        """
        how = {"mode": mode, "issued_before": issued_before, "cascade": "true" if cascade else "false"}
        how |= {"unseen": "true"} if unseen else {}
        how |= {"stale": "true"} if stale else {}
        return await self._ask("/v1/reach", schemas.Reach, of=of, at=at, known_at=known_at, **how)

    async def identity(self, of: str, *, at: str | None = None, known_at: str | None = None) -> schemas.Identity | None:
        """Return who ``principal:ID`` is, and which sources state it; None if no fact names it."""
        return await self._ask("/v1/identity", schemas.Identity, of=of, at=at, known_at=known_at)

    async def principals_graph(
        self,
        of: str | None = None,
        *,
        kind: str | None = None,
        state: str | None = None,
        tool: str | None = None,
        target: str | None = None,
        most: int | None = None,
        at: str | None = None,
        known_at: str | None = None,
    ) -> schemas.PrincipalGraph | None:
        """Return the graph of who handed what to whom; None if no fact names what is asked about.

        Args:
            of: Only what surrounds ``KIND:ID``.
            kind: Only parties of this kind.
            state: Only tokens and delegations in this state.
            tool: Only the authority under which this tool was used, and what that depends on.
            target: ``KIND:ID``; mark what revoking it would end.
            most: The greatest number of parties; by default as many as a graph may have.
            at: The instant asked about; by default now.
            known_at: Only what was recorded by then.
        """
        params = {"view": "principals", "of": of, "kind": kind, "state": state, "tool": tool, "target": target}
        params |= {"most": None if most is None else str(most), "at": at, "known_at": known_at}
        return await self._ask("/v1/graph", schemas.PrincipalGraph, **params)

    async def graph(
        self,
        of: str,
        *,
        most: int | None = None,
        findings: bool = True,
        at: str | None = None,
        known_at: str | None = None,
    ) -> schemas.Graph | None:
        """Return the tokens and delegations around ``KIND:ID``; None if no fact names it.

        Args:
            of: ``KIND:ID``.
            most: The greatest number of elements; by default as many as a graph may have.
            findings: Whether each element has its findings.
            at: The instant asked about; by default now.
            known_at: Only what was recorded by then.
        """
        params = {"of": of, "most": None if most is None else str(most), "at": at, "known_at": known_at}
        params |= {} if findings else {"findings": "false"}
        return await self._ask("/v1/graph", schemas.Graph, **params)

    async def dossier(self, of: str, *, at: str | None = None, known_at: str | None = None) -> schemas.Dossier | None:
        """Return everything about one thing; None if no fact names it."""
        return await self._ask("/v1/dossier", schemas.Dossier, of=of, at=at, known_at=known_at)

    async def health(self) -> schemas.ProjectionHealth:
        """Return how far the projection is: its lag, its positions, and the last event of each source."""
        found = await self._ask("/v1/health", schemas.ProjectionHealth)
        return cast("schemas.ProjectionHealth", found)

    async def overview(self, *, at: str | None = None, known_at: str | None = None) -> schemas.Overview:
        """Return what needs attention, and the amount of activity."""
        found = await self._ask("/v1/overview", schemas.Overview, at=at, known_at=known_at)
        return cast("schemas.Overview", found)

    async def usage(
        self,
        *,
        tool: str | None = None,
        resource: str | None = None,
        operation: str | None = None,
        at: str | None = None,
        known_at: str | None = None,
    ) -> schemas.Usage | None:
        """Return how a tool, a resource or an operation (give one) was used; None if no known action used it."""
        params = {"tool": tool, "resource": resource, "operation": operation, "at": at, "known_at": known_at}
        return await self._ask("/v1/usage", schemas.Usage, **params)

    def search(self, text: str, *, at: str | None = None, known_at: str | None = None) -> AsyncItems[schemas.Match]:
        """Find the ids, names, tools, operations and resources that contain every word of a text.

        With ``at`` or ``known_at`` only what an authorised fact names that occurred, or was recorded, by then.
        """
        return self._items("/v1/search", schemas.Match, q=text, at=at, known_at=known_at)

    def actions(
        self,
        of: str | None = None,
        *,
        human: str | None = None,
        agent: str | None = None,
        actor: str | None = None,
        token: str | None = None,
        delegation: str | None = None,
        session: str | None = None,
        client: str | None = None,
        tool: str | None = None,
        operation: str | None = None,
        resource: str | None = None,
        outcome: str | None = None,
        start: str | None = None,
        end: str | None = None,
        text: str | None = None,
        at: str | None = None,
        known_at: str | None = None,
    ) -> AsyncItems[schemas.ListedAction]:
        """List the actions that match every filter, latest first.

        Args:
            of: Only actions that mention ``KIND:ID``.
            human: The party at the root of the chain.
            agent: A party anywhere on the chain.
            actor: The party that acted, according to the action, or else to its decision.
            token: The token used, according to the action or its decision.
            delegation: A delegation that the action names, or that is on its chain.
            session: A session that the action, its decision or a token on its chain names.
            client: A client that a token on its chain names.
            tool: The tool used.
            operation: The operation.
            resource: What it was done to.
            outcome: The outcome.
            start: The earliest time at which it occurred.
            end: The latest time at which it occurred, inclusive.
            text: Words; each must occur in one of these, or in a display name.
            at: The time at which the state of each authority is evaluated.
            known_at: Only what was recorded by then.
        """
        params = {"of": of, "human": human, "agent": agent, "actor": actor, "token": token, "delegation": delegation}
        params |= {"session": session, "client": client, "tool": tool, "operation": operation, "resource": resource}
        params |= {"outcome": outcome, "from": start, "to": end, "text": text}
        return self._items("/v1/actions", schemas.ListedAction, **params, at=at, known_at=known_at)

    def principals(
        self,
        *,
        kind: str | None = None,
        owner: str | None = None,
        state: str | None = None,
        text: str | None = None,
        at: str | None = None,
        known_at: str | None = None,
    ) -> AsyncItems[schemas.ListedPrincipal]:
        """List people, agents, services and workloads, each party once."""
        params = {"kind": kind, "owner": owner, "state": state, "text": text}
        return self._items("/v1/principals", schemas.ListedPrincipal, **params, at=at, known_at=known_at)

    def tokens(
        self,
        *,
        holder: str | None = None,
        issuer: str | None = None,
        kind: str | None = None,
        owner: str | None = None,
        state: str | None = None,
        text: str | None = None,
        at: str | None = None,
        known_at: str | None = None,
    ) -> AsyncItems[schemas.ListedToken]:
        """List tokens, latest first."""
        params = {"holder": holder, "issuer": issuer, "kind": kind, "owner": owner, "state": state, "text": text}
        return self._items("/v1/tokens", schemas.ListedToken, **params, at=at, known_at=known_at)

    def delegations(
        self,
        *,
        holder: str | None = None,
        issuer: str | None = None,
        owner: str | None = None,
        state: str | None = None,
        text: str | None = None,
        at: str | None = None,
        known_at: str | None = None,
    ) -> AsyncItems[schemas.ListedDelegation]:
        """List delegations, latest first."""
        params = {"holder": holder, "issuer": issuer, "owner": owner, "state": state, "text": text}
        return self._items("/v1/delegations", schemas.ListedDelegation, **params, at=at, known_at=known_at)

    def timeline(self, of: str, *, known_at: str | None = None) -> AsyncItems[schemas.Mention]:
        """List every fact that mentions ``KIND:ID``, earliest first."""
        return self._items("/v1/timeline", schemas.Mention, of=of, known_at=known_at)

    def uses(self, of: str, *, at: str | None = None, known_at: str | None = None) -> AsyncItems[schemas.Use]:
        """List where a token was used, earliest first."""
        return self._items("/v1/uses", schemas.Use, of=of, at=at, known_at=known_at)

    def diff(self, of: str, *, start: str, end: str, known_at: str | None = None) -> AsyncItems[schemas.Change]:
        """List what changed its state between two instants."""
        return self._items("/v1/diff", schemas.Change, of=of, known_at=known_at, **{"from": start, "to": end})

    def findings(
        self,
        *,
        of: str | None = None,
        kind: str | None = None,
        severity: str | None = None,
        status: str | None = None,
        since: str | None = None,
        everything: bool = False,
        fresh: bool = False,
        at: str | None = None,
        known_at: str | None = None,
    ) -> AsyncItems[schemas.Finding]:
        """List what is wrong, worst first; suppressed findings only with ``everything`` or their ``status``.

        With ``fresh`` every rule is evaluated now, even if an index of findings is kept; a large store refuses.
        """
        which = {"of": of, "kind": kind, "severity": severity, "status": status, "since": since}
        flags = {"all": "true" if everything else None, "fresh": "true" if fresh else None}
        return self._items("/v1/findings", schemas.Finding, **which, **flags, at=at, known_at=known_at)

    async def finding(
        self, id: str, *, at: str | None = None, known_at: str | None = None
    ) -> schemas.FindingDetails | None:
        """Return a finding with its evidence and what it is connected with; None if there is none with this id."""
        return await self._ask(f"/v1/findings/{quote(id, safe='')}", schemas.FindingDetails, at=at, known_at=known_at)

    async def posture(
        self, *, framework: str | None = None, at: str | None = None, known_at: str | None = None
    ) -> schemas.Posture:
        """Return every check with its outcome; with a ``framework`` (ASI, NHI or RMF) those that map to it."""
        response = await self._sent("GET", "/v1/posture", params=stated(framework=framework, at=at, known_at=known_at))
        return cast("schemas.Posture", response.json())

    def active_agents(
        self, *, start: str | None = None, end: str | None = None, known_at: str | None = None
    ) -> AsyncItems[schemas.ActiveAgent]:
        """List the agents that acted or were granted anything between two instants, the most active first."""
        between = {"from": start, "to": end}
        return self._items("/v1/governance/active", schemas.ActiveAgent, known_at=known_at, **between)

    async def allowed(
        self, agent: str, *, at: str | None = None, known_at: str | None = None
    ) -> schemas.Allowed | None:
        """Return what an agent could do at an instant, in a list that may be incomplete; None if no fact names it."""
        params = {"agent": agent, "at": at, "known_at": known_at, "limit": str(PAGE)}
        return await self._ask("/v1/governance/allowed", schemas.Allowed, **params)

    def held(
        self, agent: str, *, start: str | None = None, end: str | None = None, known_at: str | None = None
    ) -> AsyncItems[schemas.HeldGrant]:
        """List the delegations and tokens that an agent held between two instants, and what ended each."""
        between = {"from": start, "to": end}
        return self._items("/v1/governance/held", schemas.HeldGrant, agent=agent, known_at=known_at, **between)

    def done(
        self, agent: str, *, start: str | None = None, end: str | None = None, known_at: str | None = None
    ) -> AsyncItems[schemas.DoneAction]:
        """List what an agent did between two instants, latest first, each action with its chain."""
        between = {"from": start, "to": end}
        return self._items("/v1/governance/done", schemas.DoneAction, agent=agent, known_at=known_at, **between)

    def quarantine(self, *, everything: bool = False) -> AsyncItems[schemas.Quarantined]:
        """List the records that could not be read."""
        return self._items("/v1/quarantine", schemas.Quarantined, all="true" if everything else "false")

    def conflicts(self) -> AsyncItems[schemas.Conflict]:
        """List the identities under which different contents were sent."""
        return self._items("/v1/conflicts", schemas.Conflict)

    def revocations(self, *, at: str | None = None, known_at: str | None = None) -> AsyncItems[schemas.BoardEntry]:
        """List all revocations, latest first, each with a summary of its verdict."""
        limit = str(min(PAGE, PAGE_OF_REVOCATIONS))
        return self._items("/v1/revocations", schemas.BoardEntry, limit=limit, at=at, known_at=known_at)

    async def revocation(
        self, id: str, *, at: str | None = None, known_at: str | None = None
    ) -> schemas.Revocation | None:
        """Return the orders of a revocation, and whether it is enforced; None if there are none."""
        return await self._ask(revocation_path(id), schemas.Revocation, at=at, known_at=known_at)

    async def receipt(
        self, id: str, *, at: str | None = None, known_at: str | None = None
    ) -> list[schemas.ReceiptLine]:
        """List what a revocation ended, element by element."""
        params = stated(at=at, known_at=known_at)
        response = await self._sent("GET", f"{revocation_path(id)}/receipt", params=params)
        return [json.loads(line) for line in response.content.splitlines()]

    async def signed_receipt(self, id: str) -> schemas.SignedReceipt:
        """Return a signed statement that a revocation is enforced everywhere.

        Raises:
            NotOverError: The revocation is not CLOSED.
        """
        return cast("schemas.SignedReceipt", (await self._sent("GET", f"{revocation_path(id)}/signed-receipt")).json())

    async def prove(self, id: str, *, nonce: str | None = None, sample: int | None = None) -> schemas.SignedProof:
        """Ask the enforcement points whether they still accept what a revocation has ended."""
        body: dict[str, Any] = {**stated(nonce=nonce), **({} if sample is None else {"sample": sample})}
        return cast(
            "schemas.SignedProof", (await self._sent("POST", f"{revocation_path(id)}/proofs", json=body)).json()
        )

    async def revoke(
        self,
        target: str | Mapping[str, str],
        *,
        reason: str,
        mode: str = "revoke",
        cascade: bool = True,
        issued_before: str | None = None,
        note: str | None = None,
        plan_digest: str | None = None,
        unseen: bool = False,
        key: str | None = None,
    ) -> schemas.Ordered:
        """Revoke a target. With the digest of a plan nothing is ended that the plan does not list.

        Args:
            target: ``KIND:ID``, or the ``target`` of a plan.
            reason: Such as ``credential_leak``.
            mode: ``revoke`` or ``suspend``.
            cascade: Whether everything that depends on the target ends as well.
            issued_before: Spare what was issued at this time or later.
            note: A remark for people.
            plan_digest: The digest of the plan that was reviewed.
            unseen: Whether to revoke even if no fact names the target yet.
            key: Identifies repetitions of one order; None for a new key.

        Raises:
            DriftError: The order differs from that of the plan, or would end more.
            OtherOrderError: A different order was given with this key.
        """
        body = {
            "target": target_of(target),
            "reason": reason,
            "mode": mode,
            "cascade": cascade,
            **stated(issued_before=issued_before, note=note, plan_digest=plan_digest),
            **({"unseen": True} if unseen else {}),
        }
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        return cast("schemas.Ordered", (await self._sent("POST", "/v1/revocations", json=body, headers=headers)).json())

    async def reach_of_several(
        self,
        targets: Sequence[str | Mapping[str, str]],
        *,
        mode: str = "revoke",
        cascade: bool = True,
        issued_before: str | None = None,
        effective_at: str | None = None,
        unseen: bool = False,
    ) -> schemas.BatchReach:
        """Return what revoking several targets would end: one plan with one digest.

        Raises:
            MissingError: No fact names some of the targets, unless ``unseen`` allows it.
        """
        body = {
            "targets": [target_of(one) for one in targets],
            "mode": mode,
            "cascade": cascade,
            **stated(issued_before=issued_before, effective_at=effective_at),
            **({"unseen": True} if unseen else {}),
        }
        return cast("schemas.BatchReach", (await self._sent("POST", "/v1/reach:batch", json=body)).json())

    async def revoke_several(
        self,
        targets: Sequence[str | Mapping[str, str]],
        *,
        reason: str,
        mode: str = "revoke",
        cascade: bool = True,
        issued_before: str | None = None,
        note: str | None = None,
        plan_digest: str | None = None,
        unseen: bool = False,
        incident: str | None = None,
        key: str | None = None,
    ) -> schemas.BatchOrdered:
        """Revoke several targets under one incident, all or none.

        Args:
            targets: Each ``KIND:ID``, or the ``target`` of a plan.
            reason: Such as ``credential_leak``.
            mode: ``revoke`` or ``suspend``.
            cascade: Whether everything that depends on a target ends as well.
            issued_before: Spare what was issued at this time or later.
            note: A remark for people.
            plan_digest: The digest of the plan over all targets that was reviewed.
            unseen: Whether to revoke even if no fact names a target yet.
            incident: The id of the incident; None to derive it from the key.
            key: Identifies repetitions; None for a new key.

        Raises:
            DriftError: The orders differ from those of the plan, or would end more; nothing was revoked.
            MissingError: No fact names some of the targets; nothing was revoked.
            OtherOrderError: Other orders were given with this key or for this incident.
        """
        body = {
            "targets": [target_of(one) for one in targets],
            "reason": reason,
            "mode": mode,
            "cascade": cascade,
            **stated(issued_before=issued_before, note=note, plan_digest=plan_digest, incident=incident),
            **({"unseen": True} if unseen else {}),
        }
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        sent = await self._sent("POST", "/v1/revocations:batch", json=body, headers=headers)
        return cast("schemas.BatchOrdered", sent.json())

    async def approve(self, plan_digest: str) -> schemas.Approved:
        """Approve a plan, so that another person can revoke by its digest within the hour."""
        path = f"/v1/plans/{quote(plan_digest, safe='')}/approvals"
        return cast("schemas.Approved", (await self._sent("POST", path, json={})).json())

    async def judge(self, finding: str, judgement: str, *, reason: str, until: str | None = None) -> schemas.Judged:
        """Judge a finding: ``acknowledged``, ``suppressed`` (which needs an end) or ``reopened``."""
        path = f"/v1/findings/{quote(finding, safe='')}/judgements"
        body = {"judgement": judgement, "reason": reason, **stated(until=until)}
        return cast("schemas.Judged", (await self._sent("POST", path, json=body)).json())

    async def lift(self, id: str, *, note: str | None = None) -> schemas.Lifted:
        """Lift a revocation."""
        return cast(
            "schemas.Lifted", (await self._sent("POST", f"{revocation_path(id)}/lift", json=stated(note=note))).json()
        )

    async def acknowledge(
        self, id: str, *, outcome: str = "enforced", token: str | None = None, note: str | None = None
    ) -> schemas.Acknowledged:
        """Acknowledge a revocation, as a receiver."""
        body = {"outcome": outcome, **stated(token=token, note=note)}
        return cast(
            "schemas.Acknowledged",
            (await self._sent("POST", f"{revocation_path(id)}/acknowledgements", json=body)).json(),
        )

    async def receivers(self, *, known_at: str | None = None) -> list[schemas.ListedReceiver]:
        """List the registered enforcement points, and what each covers."""
        response = await self._sent("GET", "/v1/receivers", params=stated(known_at=known_at))
        return list(response.json()["items"])

    async def register(
        self,
        receiver: str,
        *,
        issuers: Sequence[str] = (),
        audiences: Sequence[str] = (),
        kinds: Sequence[str] = (),
        deadline_seconds: int | None = None,
        narrow: bool = False,
    ) -> schemas.RegisteredReceiver:
        """Register an enforcement point; an empty list covers everything, and ``narrow`` allows it to cover less."""
        body: dict[str, Any] = {"receiver": receiver, "issuers": list(issuers), "audiences": list(audiences)}
        body |= {"kinds": list(kinds), "deadline_seconds": deadline_seconds, "narrow": narrow}
        return cast("schemas.RegisteredReceiver", (await self._sent("POST", "/v1/receivers", json=body)).json())

    async def mark_by_hand(self, id: str, receiver: str, *, reason: str) -> schemas.Marked:
        """Record that, by your own knowledge, an enforcement point has enforced a revocation."""
        body = {"receiver": receiver, "reason": reason}
        return cast("schemas.Marked", (await self._sent("POST", f"{revocation_path(id)}/marks", json=body)).json())

    async def deliver_again(self, id: str, *, receiver: str | None = None) -> schemas.DeliveredAgain:
        """Deliver again what is open, at every enforcement point or at one, to all that receive deliveries."""
        body = {} if receiver is None else {"receiver": receiver}
        return cast(
            "schemas.DeliveredAgain", (await self._sent("POST", f"{revocation_path(id)}/deliveries", json=body)).json()
        )

    def cases(
        self,
        *,
        status: str | None = None,
        assignee: str | None = None,
        of: str | None = None,
        known_at: str | None = None,
    ) -> AsyncItems[schemas.CaseInBrief]:
        """The cases, the last id first: ids that are generated begin with the day."""
        params = {"status": status, "assignee": assignee, "of": of, "known_at": known_at}
        return self._items("/v1/cases", schemas.CaseInBrief, **params)

    async def case(self, id: str, *, at: str | None = None, known_at: str | None = None) -> schemas.Case | None:
        """A case with its first items; None if there is none with this id."""
        return await self._ask(case_path(id), schemas.Case, at=at, known_at=known_at)

    def case_items(
        self, id: str, *, at: str | None = None, known_at: str | None = None
    ) -> AsyncItems[schemas.CaseItem]:
        """The items of a case, each with its present state."""
        limit = str(min(PAGE, PAGE_OF_ITEMS))
        return self._items(case_path(id), schemas.CaseItem, limit=limit, at=at, known_at=known_at)

    def case_changes(self, id: str, *, known_at: str | None = None) -> AsyncItems[schemas.CaseChange]:
        """List the changes of a case, earliest first."""
        return self._items(f"{case_path(id)}/changes", schemas.CaseChange, known_at=known_at)

    async def case_export(
        self, id: str, *, at: str | None = None, known_at: str | None = None
    ) -> schemas.CaseExport | None:
        """A case with every event that its statements rest on; None if there is none with this id."""
        return await self._ask(f"{case_path(id)}/export", schemas.CaseExport, at=at, known_at=known_at)

    async def open_case(
        self,
        title: str,
        *,
        items: Sequence[str | Mapping[str, str]] = (),
        assignee: str | None = None,
        note: str | None = None,
        case: str | None = None,
        key: str | None = None,
    ) -> schemas.OpenedCase:
        """Open a case.

        Args:
            title: What it is about, in a line.
            items: What it contains from the start: ``KIND:ID`` or ``{"kind": ..., "id": ...}``.
            assignee: The assignee.
            note: A first note.
            case: Its id; None to generate one.
            key: Identifies repetitions; None for a new key.

        Raises:
            MissingError: No fact names some of the items; nothing was opened.
            OtherOrderError: A different case was opened with this key or id.
        """
        body = {
            "title": title,
            "items": [target_of(one) for one in items],
            **stated(assignee=assignee, note=note, case=case),
        }
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        return cast("schemas.OpenedCase", (await self._sent("POST", "/v1/cases", json=body, headers=headers)).json())

    async def change_case(
        self,
        id: str,
        change: str,
        *,
        items: Sequence[str | Mapping[str, str]] = (),
        assignee: str | None = None,
        note: str | None = None,
        version: str | None = None,
    ) -> schemas.ChangedCase:
        """Change a case: ``added``, ``removed``, ``noted``, ``assigned``, ``closed`` or ``reopened``.

        Args:
            id: The case.
            change: What is done.
            items: What is added or removed, as for ``open_case``.
            assignee: The new assignee, for ``assigned``; None to remove the assignee.
            note: The note, or why.
            version: Only if the case still has this version; None for any.

        Raises:
            MissingError: There is no such case, or no fact names some of the items; nothing was changed.
            RefusedError: It was changed meanwhile, or there is nothing to change.
        """
        body: dict[str, Any] = {"change": change, **stated(assignee=assignee, note=note, version=version)}
        if targets := [target_of(one) for one in items]:
            body["items"] = targets
        return cast("schemas.ChangedCase", (await self._sent("POST", f"{case_path(id)}/changes", json=body)).json())

    async def send(self, events: Sequence[Mapping[str, Any]]) -> schemas.Counts:
        """Append events to the log, and return the counts of outcomes."""
        return cast("schemas.Counts", (await self._sent("POST", "/v1/events", json=list(events))).json())

    async def retention(self) -> schemas.Retention:
        """Return how long records are kept, when old ones were last deleted, and when they will be."""
        return cast("schemas.Retention", await self._ask("/v1/retention", schemas.Retention))

    async def retention_plan(self, before: str | None = None) -> schemas.RetentionPlan:
        """Return what retention would delete, and what each hold and open case keeps.

        Args:
            before: Only what was recorded and has ended before; None for the age in the settings.
        """
        return cast(
            "schemas.RetentionPlan", await self._ask("/v1/retention/plan", schemas.RetentionPlan, before=before)
        )

    async def holds(self) -> schemas.Holds:
        """Return the legal holds, those in force first."""
        return cast("schemas.Holds", await self._ask("/v1/holds", schemas.Holds))

    async def deletions(self) -> schemas.Deletions:
        """Return what retention deleted, the latest first."""
        return cast("schemas.Deletions", await self._ask("/v1/deletions", schemas.Deletions))

    async def place_hold(
        self,
        reason: str,
        *,
        principal: str | None = None,
        case: str | None = None,
        starts_at: str | None = None,
        ends_at: str | None = None,
        everything: bool = False,
        unseen: bool = False,
        hold: str | None = None,
        key: str | None = None,
    ) -> schemas.ChangedHold:
        """Place a legal hold on the records that match every given condition.

        Args:
            reason: Why.
            principal: A party: all that names it, and what rests on that.
            case: The items of a case.
            starts_at: What occurred from then on.
            ends_at: What occurred before.
            everything: Every record, if nothing else is named.
            unseen: Also a party that no event names yet.
            hold: The id of the hold; None to generate one.
            key: Identifies repetitions; None for a new key.

        Raises:
            OtherOrderError: Something else was placed with this key.
            RefusedError: It names nothing, or a value is invalid.
        """
        named = stated(principal=principal, case=case, starts_at=starts_at, ends_at=ends_at, hold=hold)
        flags = {name: True for name, value in (("everything", everything), ("unseen", unseen)) if value}
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        sent = await self._sent("POST", "/v1/holds", json={"reason": reason, **named, **flags}, headers=headers)
        return cast("schemas.ChangedHold", sent.json())

    async def release_hold(self, id: str, reason: str, *, key: str | None = None) -> schemas.ChangedHold:
        """Release a legal hold.

        Args:
            id: The hold.
            reason: Why.
            key: Identifies repetitions; None for a new key.

        Raises:
            MissingError: There is no such hold.
            OtherOrderError: Something else was released with this key.
            RefusedError: It is not in force.
        """
        path = f"/v1/holds/{quote(id, safe='')}/release"
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        return cast(
            "schemas.ChangedHold", (await self._sent("POST", path, json={"reason": reason}, headers=headers)).json()
        )

    async def evidence(self) -> schemas.Evidence:
        """Return how old and large the last checkpoints are, what they do not cover, and what witnesses cosigned."""
        found = await self._ask("/v1/evidence", schemas.Evidence)
        return cast("schemas.Evidence", found)

    async def checkpoints(self) -> schemas.Checkpoints:
        """Return the latest checkpoint of each partition of the log, and of all together."""
        found = await self._ask("/v1/evidence/checkpoints", schemas.Checkpoints)
        return cast("schemas.Checkpoints", found)

    async def record_proofs(
        self, fact: str, *, source: str | None = None, following: bool = False
    ) -> schemas.RecordProofs | None:
        """Prove that the records of a fact are under signed checkpoints; None if the log has no such record.

        Args:
            fact: The position of a record, ``TOPIC/PARTITION/OFFSET``; with a source the id of an event.
            source: The source of the event.
            following: Whether to prove the next record as well, so that none is between them.
        """
        params = {"source": source, "following": "true" if following else None}
        return await self._ask("/v1/evidence/record", schemas.RecordProofs, fact=fact, **params)

    async def consistency(self, tree: str, old: int, new: int | None = None) -> schemas.ConsistencyProof:
        """Prove that the first ``old`` records of ``TOPIC/PARTITION`` are the beginning of the first ``new``."""
        params = {"old": str(old), "new": None if new is None else str(new)}
        found = await self._ask("/v1/evidence/consistency", schemas.ConsistencyProof, tree=tree, **params)
        return cast("schemas.ConsistencyProof", found)

    async def absence(self, source: str, sequence: int) -> schemas.AbsenceProof:
        """Prove what a source sent around a sequence number that never arrived."""
        found = await self._ask("/v1/evidence/absence", schemas.AbsenceProof, source=source, sequence=str(sequence))
        return cast("schemas.AbsenceProof", found)

    async def _ask(self, path: str, _shape: type[_Answer], **params: str | None) -> _Answer | None:
        response = await self._sent("GET", path, params=stated(**params), missing=True)
        return None if response.status_code == HTTPStatus.NOT_FOUND else cast("_Answer", response.json())

    def _items(self, path: str, _shape: type[_Answer], **params: str | None) -> AsyncItems[_Answer]:
        return AsyncItems(self._pages(path, **params))

    async def _pages(self, path: str, **fields: str | None) -> AsyncIterator[Any]:
        params: dict[str, str] = {"limit": str(PAGE), **stated(**fields)}
        while True:
            response = await self._sent("GET", path, params=params, missing=True)
            if response.status_code == HTTPStatus.NOT_FOUND:
                return
            document = response.json()
            for item in document["items"]:
                yield item
            if document["next"] is None:
                return
            params["after"] = document["next"]

    async def _sent(self, method: str, path: str, *, missing: bool = False, **params: Any) -> httpx.Response:
        """Send a request, and retry it if the server is unavailable.

        Raises:
            DelegraphError: What the problem document reports.
        """
        headers = {"Accept": "application/json", **params.pop("headers", {})}
        for left in reversed(range(self._tries)):
            token = self._token() if callable(self._token) else self._token
            if token is not None:
                headers["Authorization"] = f"Bearer {token}"
            try:
                response = await self._http.request(method, f"{self._url}{path}", headers=headers, **params)
            except httpx.TransportError as error:
                if not left:
                    raise UnavailableError(f"{self._url} does not answer: {error}") from error
                await self._sleep(1.0)
                continue
            if response.is_success:
                return response
            fault = fault_of(response)
            if isinstance(fault, MissingError) and missing:
                return response
            if not (left and fault.retriable):
                raise fault
            await self._sleep(wait_of(response))
        raise AssertionError
