"""Kubernetes: the parties that audit records name, and their credentials. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from ingest.sources.adapters.kit import Document, Memory, Source, UnwrappedRecord, member, moment, required, text
from ingest.sources.adapters.parties import is_mailbox

OIDC_ISSUER: Final = "oidc_issuer"
_CREDENTIAL: Final = "authentication.kubernetes.io/credential-id"
_POD: Final = "authentication.kubernetes.io/pod-name"
_ACCOUNT: Final = "system:serviceaccount:"
_JTI: Final = "JTI="
_CERTIFICATE: Final = "X509SHA256="
_ANONYMOUS: Final = "system:anonymous"


class Call(NamedTuple):
    """A record of a finished call, the basis of everything else.

    Attributes:
        value: The record.
        source: The source of the log.
        id: The audit id, shared by all records of a call.
        time: When the response was complete.
    """

    value: Mapping[str, Any]
    source: Source
    id: str
    time: str

    @property
    def user(self) -> str | None:
        """The authenticated user."""
        return user_id(self.source, text(self.value, "user", "username"))

    @property
    def impersonated(self) -> str | None:
        """The impersonated user, if any."""
        return user_id(self.source, text(self.value, "impersonatedUser", "username"))

    @property
    def token(self) -> str | None:
        """The token of the call, by the id that its issuer gave it."""
        credential = _extra(self.value, _CREDENTIAL)
        if self.oidc_issuer is not None and credential is not None and credential.startswith(_JTI):
            return f"{self.oidc_issuer}#{credential.removeprefix(_JTI)}"
        return token_id(self.source, credential)

    @property
    def oidc_issuer(self) -> str | None:
        """The configured issuer of users' tokens; service account tokens are issued by the cluster."""
        issuer = self.source.options.get(OIDC_ISSUER)
        return None if (text(self.value, "user", "username") or "").startswith("system:") else issuer

    @property
    def certificate(self) -> str | None:
        """The SHA-256 of the call's client certificate."""
        found = _extra(self.value, _CREDENTIAL) or ""
        return found.removeprefix(_CERTIFICATE) if found.startswith(_CERTIFICATE) else None

    @property
    def pod(self) -> str | None:
        """The pod that the token is bound to."""
        account, name = text(self.value, "user", "username") or "", _extra(self.value, _POD)
        namespace = account.removeprefix(_ACCOUNT).partition(":")[0] if account.startswith(_ACCOUNT) else None
        return pod_id(self.source, namespace, name)

    @property
    def target(self) -> tuple[str | None, str | None, str | None]:
        """The target of the call: resource with its subresource, namespace, name."""
        about = self.value.get("objectRef")
        named, part = text(about, "resource"), text(about, "subresource")
        return f"{named}/{part}" if named and part else named, text(about, "namespace"), text(about, "name")


def call_of(record: UnwrappedRecord, source: Source) -> Call:
    """Parse a record.

    Raises:
        BadRecordError: A required field is missing.
    """
    value = record.value
    time = moment(value, "stageTimestamp" if text(value, "stageTimestamp") else "requestReceivedTimestamp")
    return Call(value, source, required(value, "auditID"), time)


def user_id(source: Source, name: str | None) -> str | None:
    """Return the id of a user: within the issuer, like the subject of a service account's token."""
    return None if name is None or name == _ANONYMOUS else source.issued(name)


def account_id(source: Source, namespace: str, name: str) -> str:
    """Return the id of a service account: the subject of its tokens."""
    return source.issued(f"{_ACCOUNT}{namespace}:{name}")


def token_id(source: Source, credential: str | None) -> str | None:
    """Return the id of a token, from the credential id that the server logs."""
    return source.issued(credential.removeprefix(_JTI)) if credential and credential.startswith(_JTI) else None


def pod_id(source: Source, namespace: str | None, name: str | None) -> str | None:
    """Return the id of a pod, which is the workload that a token is bound to."""
    return source.principal("pod", f"{namespace}/{name}") if namespace and name else None


def registered(call: Call, memory: Memory) -> Iterator[Document]:
    """Yield registrations of the accounts, components of the cluster and users with a mailbox that a record names."""
    for part in ("user", "impersonatedUser"):
        name = text(call.value, part, "username") or ""
        kind = "service" if name.startswith("system:") else "human" if is_mailbox(name) else None
        if kind is not None and name != _ANONYMOUS and memory.is_new("registered", name):
            principal, shown = call.source.issued(name), name.removeprefix(_ACCOUNT).removeprefix("system:")
            shown = shown.replace(":", "/") if kind == "service" else name
            fields = {"principal": principal, "kind": kind, "display_name": shown}
            yield call.source.event("principal.registered", f"{call.id}/{part}", call.time, **fields)


def _extra(value: Mapping[str, Any], name: str) -> str | None:
    found = member(value, "user", "extra", name)
    return next((item for item in found if isinstance(item, str)), None) if isinstance(found, list) else None
