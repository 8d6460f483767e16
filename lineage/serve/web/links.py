"""Where things lead: the address of the page of a thing, at the moment that is looked at."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import quote, urlencode

_PAGES: Final = {
    "token": "/chain",
    "delegation": "/chain",
    "principal": "/status",
    "workload": "/status",
    "session": "/status",
    "client": "/status",
    "decision": "/timeline",
}


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses that keep the moment.

    Attributes:
        at: The instant asked about, as it was said; None: now.
        known_at: Only what was recorded by then, as it was said; None: everything.
    """

    at: str | None = None
    known_at: str | None = None

    def to(self, path: str, **params: object) -> str:
        """The address of a page, with the moment."""
        moment = {"at": self.at, "known_at": self.known_at}
        said = {name: value for name, value in {**params, **_late(moment, params)}.items() if value not in (None, "")}
        return f"{path}?{urlencode(said)}" if said else path

    def of(self, kind: str, id_: str) -> str:
        """The address of the page of a thing; empty if it has none."""
        return _address(self, kind, id_)

    def key(self, key: str | None) -> str:
        """The same of a key, ``KIND:ID``."""
        if key is None:
            return ""
        kind, _, id_ = key.partition(":")
        return self.of(kind, id_)


@lru_cache(maxsize=4_096)  # one page leads to the same things again and again
def _address(links: Links, kind: str, id_: str) -> str:
    if kind == "action":
        return links.to("/who", action=id_)
    if kind == "revocation":
        return links.to(f"/revocations/{quote(id_, safe='')}")
    if kind == "finding":
        return links.to(f"/findings/{quote(id_, safe='')}")
    path = _PAGES.get(kind)
    return "" if path is None else links.to(path, of=f"{kind}:{id_}")


def _late(moment: Mapping[str, str | None], params: Mapping[str, object]) -> dict[str, object]:
    """The moment, unless the parameters say another."""
    return {name: value for name, value in moment.items() if name not in params}


class Nowhere(Links):
    """For a file that stands alone: nothing leads anywhere."""

    def to(self, path: str, **params: object) -> str:  # noqa: ARG002 (of the base class)
        """Nothing."""
        return ""

    def of(self, kind: str, id_: str) -> str:  # noqa: ARG002 (of the base class)
        """Nothing."""
        return ""
