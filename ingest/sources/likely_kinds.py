"""Guess the kind and the name of a principal from the form of its id: for suggestions, never for facts. Pure.

An adapter registers a kind only if its log states it. For all other ids, the form still tells something: a pod is a
workload, and a role of AWS is not a person.
"""

import re
from typing import Final, NamedTuple


class Likely(NamedTuple):
    """The likely kind and name of a principal; None if the id does not tell."""

    kind: str | None = None
    name: str | None = None


_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_FORMS: Final = tuple(
    (re.compile(form), kind)
    for form, kind in (
        # Vault, OpenBao: `<method>-<name>`, and the name that the creator of a child token chose
        (r".+:display-name:(?:userpass|ldap|oidc|okta|github|radius|kerberos|saml)-(?P<name>.+)", "human"),
        (r".+:display-name:(?:token|jwt|spiffe)-(?P<name>.+)", "agent"),
        (r".+:display-name:(?P<name>(?:approle|kubernetes|cert|aws|gcp|azure|alicloud|cf|oci)(?:-.+)?)", "service"),
        (r".+:display-name:(?P<name>root)", "service"),
        # Kubernetes
        (r".+:pod:(?P<name>.+)", "workload"),
        (r"(?:.+[#:])?system:node:(?P<name>.+)", "workload"),
        (r"(?:.+[#:])?system:(?:serviceaccount:)?(?P<name>.+)", "service"),
        # Keycloak: people have internal ids, clients have chosen names
        (rf".+/realms/[^#]+#{_UUID}", "human"),
        (r".+/realms/[^#]+#(?:service-account-)?(?P<name>[^@]+)", "service"),
        # AWS; source identities are not listed here, because callers choose them
        (r"arn:[^:]+:iam::[0-9]*:user/(?:.+/)?(?P<name>[^/]+)", "human"),
        (r"arn:[^:]+:iam::[0-9]*:role/(?:.+/)?(?P<name>[^/]+)", "service"),
        (r"arn:[^:]+:sts::[0-9]*:assumed-role/(?P<name>[^/]+)/.+", "service"),
        (r"AROA[A-Z0-9]{12,}(?::(?P<name>.+))?", "service"),
        (r"(?P<name>[a-z0-9.-]+)\.amazonaws\.com", "service"),
        # Google Cloud
        (r"(?:.+[#:])?(?P<name>[^@#:]+)@[^@]*gserviceaccount\.com", "service"),
    )
)


def likely(native: str) -> Likely:
    """Return the likely kind and name of an id.

    Examples:
        >>> likely("k8s:pod:agents/worker-1")
        Likely(kind='workload', name='agents/worker-1')
        >>> likely("k8s#system:serviceaccount:agents:worker")
        Likely(kind='service', name='agents:worker')
        >>> likely("vault:display-name:token-planner")
        Likely(kind='agent', name='planner')
        >>> likely("acme:thing:7")
        Likely(kind=None, name=None)
    """
    for form, kind in _FORMS:
        if found := form.fullmatch(native):
            return Likely(kind, found.groupdict().get("name"))
    return Likely()
