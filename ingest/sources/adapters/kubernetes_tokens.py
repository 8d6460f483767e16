"""Kubernetes: requested tokens, and tokens that end with a pod or a service account. Pure.

A token that a service account mints for another is not a child of its own token: it survives that one. So the
delegated authority is a grant separate from the token, and the grants depend on one another.
"""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from ingest.sources.adapters.kit import Document, Memory, Source, instant, member, stated, text, texts
from ingest.sources.adapters.kubernetes_parties import Call, account_id, pod_id, token_id
from lineage.core.model.times import LATEST, SECOND, format_instant

_ISSUED: Final = "authentication.kubernetes.io/issued-credential-id"
_BOUND: Final = "bound"  # token -> the pod that it is bound to
_KNOWN: Final = "known"  # kind, namespace and name of a pod or account that may be deleted -> 1
_ENDED: Final = "ended"  # audit id -> a deleted collection
_KINDS: Final = {"pods": "workload", "serviceaccounts": "principal"}


def tokens(call: Call, memory: Memory) -> Iterator[Document]:
    """Yield what a successful call does to tokens."""
    yield from _bound(call, memory)
    if is_dry_run(call):
        return
    resource, namespace, name = call.target
    verb = text(call.value, "verb")
    if resource == "serviceaccounts/token" and verb == "create" and namespace and name:
        yield from _requested(call, memory, namespace, name)
    elif resource in _KINDS and verb == "delete" and namespace and name:
        yield _ended(call.source, _brief(call), resource, namespace, name)
    elif resource in _KINDS and verb == "deletecollection" and namespace and not _is_selective(call):
        ending = _brief(call) | {"resource": resource, "namespace": namespace}
        memory.put(_ENDED, call.id, ending)
        for known, _ in memory.entries(_KNOWN):
            yield from _in_collection(call.source, ending, known)


def is_dry_run(call: Call) -> bool:
    """Whether the call was a dry run."""
    return "dryRun" in _query(call)


def _requested(call: Call, memory: Memory, namespace: str, name: str) -> Iterator[Document]:
    """Yield the events of a TokenRequest, as far as its audit level shows it: at Metadata only the new token's id."""
    source, value = call.source, call.value
    token = token_id(source, text(value, "annotations", _ISSUED))
    if token is None:  # before 1.30 the log has the token itself, and only its digest is kept
        given = text(value, "responseObject", "status", "token")
        token = given if given is not None and given.startswith("sha256:") else None
    if token is None:
        return
    account, caller = account_id(source, namespace, name), call.impersonated or call.user
    spec = member(value, "responseObject", "spec") or member(value, "requestObject", "spec")
    bound = member(spec, "boundObjectRef")
    pod = pod_id(source, namespace, text(bound, "name")) if text(bound, "kind") == "Pod" else None
    foreign = call.token if call.oidc_issuer is not None and call.impersonated is None else None
    own_grant = f"{call.token}/grant" if call.token is not None and call.oidc_issuer is None else None
    if call.impersonated is not None and call.user is not None:
        as_other = source.id(f"{call.id}/impersonation")
        yield source.event(
            "delegation.granted",
            f"{call.id}/impersonation",
            call.time,
            delegation=as_other,
            delegator=call.user,
            delegatee=call.impersonated,
            parents=[own_grant] if own_grant else [],
            purpose="impersonation",
        )
        own_grant = as_other
    shared = stated(audience=texts(spec, "audiences"), expires_at=_end(call))
    yield source.event(
        "delegation.granted",
        f"{call.id}/grant",
        call.time,
        delegation=f"{token}/grant",
        delegator=caller or source.issued("unknown"),
        delegatee=account,
        parents=[own_grant] if own_grant else [],
        purpose="TokenRequest",
        **shared,
    )
    yield source.event(
        "token.issued",
        f"{call.id}/token",
        call.time,
        token=token,
        subject=account,
        delegation=f"{token}/grant",
        derived_from=[{"token": foreign, "role": "subject"}] if foreign is not None else [],
        workload=pod,
        **shared,
    )
    yield from _known(call, memory, "serviceaccounts", namespace, name)
    if pod is not None:
        yield from _known(call, memory, "pods", namespace, text(bound, "name") or "")
    else:
        question = {"id": call.id, "time": call.time, "token": token, "subject": account}
        if (known := memory.ask(_BOUND, token, question)) is not None:
            yield _is_bound(source, question, known)


def _bound(call: Call, memory: Memory) -> Iterator[Document]:
    """Yield the pod of a token, which the record of its use states but that of its issue does not."""
    token, pod = call.token, call.pod
    if token is not None and pod is not None and memory.get(_BOUND, token) is None:
        for question in memory.learn(_BOUND, token, pod):
            yield _is_bound(call.source, question, pod)
        namespace, _, name = pod.rpartition(":pod:")[2].partition("/")
        yield from _known(call, memory, "pods", namespace, name)


def _is_bound(source: Source, question: dict[str, Any], pod: str) -> Document:
    id_, fields = f"{question['id']}/bound", {"token": question["token"], "subject": question["subject"]}
    return source.event("token.issued", id_, question["time"], workload=pod, **fields)


def _end(call: Call) -> str | None:
    stated_end = text(call.value, "responseObject", "status", "expirationTimestamp")
    if stated_end is not None:
        instant(stated_end, "expirationTimestamp")
        return stated_end
    lives = call.source.lifetimes.get("token")
    end = instant(call.time, "stageTimestamp") + (lives or 0) * SECOND
    return format_instant(end) if lives is not None and end <= LATEST else None


def _known(call: Call, memory: Memory, resource: str, namespace: str, name: str) -> Iterator[Document]:
    """Remember a deleted collection, and yield the end of every known pod or account in it."""
    known = f"{resource}\n{namespace}\n{name}"
    if memory.is_new(_KNOWN, known):
        for _, ending in memory.entries(_ENDED):
            yield from _in_collection(call.source, ending, known)


def _in_collection(source: Source, ending: dict[str, Any], known: str) -> Iterator[Document]:
    resource, namespace, name = known.split("\n")
    if (resource, namespace) == (ending["resource"], ending["namespace"]):
        yield _ended(source, ending, resource, namespace, name, part=f"order/{name}")


def _ended(
    source: Source, origin: dict[str, Any], resource: str, namespace: str, name: str, *, part: str = "order"
) -> Document:
    """Build the end of a pod or an account and its tokens.

    Tokens that it had minted survive, and a later namesake is a different one.
    """
    target = pod_id(source, namespace, name) if resource == "pods" else account_id(source, namespace, name)
    return source.order(
        f"{origin['id']}/{part}",
        origin["time"],
        (_KINDS[resource], target or ""),
        by=origin["by"],
        cascade=False,
        issued_before=origin["time"],
        note=f"{resource} {namespace}/{name} deleted",
    )


def _brief(call: Call) -> dict[str, Any]:
    by = call.impersonated or call.user or call.source.issued("unknown")
    return {"id": call.id, "time": call.time, "by": by}


def _is_selective(call: Call) -> bool:
    return bool({"labelSelector", "fieldSelector"} & _query(call).keys())


def _query(call: Call) -> dict[str, list[str]]:
    return parse_qs(urlsplit(text(call.value, "requestURI") or "").query, keep_blank_values=True)
