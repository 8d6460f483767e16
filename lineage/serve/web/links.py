"""Links to the pages of things, at the time being viewed."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import quote, urlencode

from lineage.core.model.keys import split_key

_PAGES: Final = {
    "token": "/chain",
    "delegation": "/chain",
    "principal": "/status",
    "workload": "/status",
    "session": "/status",
    "client": "/status",
    "decision": "/timeline",
}
_USED: Final = ("tool", "resource", "operation")


@dataclass(frozen=True, slots=True)
class Links:
    """Builds links that keep the time being viewed.

    Attributes:
        at: The instant asked about, as given; None for now.
        known_at: The time up to which facts are known, as given; None for everything.
    """

    at: str | None = None
    known_at: str | None = None

    def to(self, path: str, **params: object) -> str:
        """Return the address of a page, at the time being viewed."""
        moment = {"at": self.at, "known_at": self.known_at}
        query = {name: value for name, value in {**params, **_late(moment, params)}.items() if value not in (None, "")}
        return f"{path}?{urlencode(query)}" if query else path

    def of(self, kind: str, id_: str) -> str:
        """Return the address of a thing's page; empty if it has none."""
        return _address(self, kind, id_)

    def key(self, key: str | None) -> str:
        """Return the address of a page by ``KIND:ID``."""
        if key is None:
            return ""
        kind, id_ = split_key(key)
        return self.of(kind, id_)


@lru_cache(maxsize=4_096)  # a page links to the same things repeatedly
def _address(links: Links, kind: str, id_: str) -> str:
    if kind == "action":
        return links.to("/who", action=id_)
    if kind == "revocation":
        return links.to(f"/revocations/{quote(id_, safe='')}")
    if kind == "case":
        return links.to(f"/cases/{quote(id_, safe='')}")
    if kind == "finding":
        return links.to(f"/findings/{quote(id_, safe='')}")
    if kind in _USED:
        return links.to("/usage", **{kind: id_})
    path = _PAGES.get(kind)
    return "" if path is None else links.to(path, of=f"{kind}:{id_}")


def _late(moment: Mapping[str, str | None], params: Mapping[str, object]) -> dict[str, object]:
    """Return the parts of the time being viewed that the parameters do not set."""
    return {name: value for name, value in moment.items() if name not in params}


class Nowhere(Links):
    """Builds no links, for a self-contained file."""

    def to(self, path: str, **params: object) -> str:  # noqa: ARG002 (of the base class)
        """Return nothing."""
        return ""

    def of(self, kind: str, id_: str) -> str:  # noqa: ARG002 (of the base class)
        """Return nothing."""
        return ""
