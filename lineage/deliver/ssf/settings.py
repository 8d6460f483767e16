"""What a transmitter of Shared Signals needs to know beside the keys that it signs with. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from lineage.core.model.errors import RefusedError

NAMES: Final = ("ssf_issuer", "ssf_ca_file", "ssf_loopback")
_YES_OR_NO: Final = {"yes": True, "no": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class SsfSettings:
    """Who transmits, and to where.

    Attributes:
        issuer: The URL under which the API is reached: ``iss`` of every event.
        ca_file: Who signs the certificates of receivers; None: whom the system trusts.
        loopback: Whether events may be pushed to this machine itself, and in the clear there.
    """

    issuer: str
    ca_file: Path | None = None
    loopback: bool = False

    @classmethod
    def of(cls, said: Mapping[str, str]) -> "SsfSettings | None":
        """Settings from what is said by name (``NAMES``, and others); None: nothing is to be transmitted.

        Raises:
            RefusedError: A value cannot be, or one is missing.
        """
        given = [name for name in NAMES if name in said]
        if not given:
            return None
        for name in ("ssf_issuer", "signing_key_file"):
            if name not in said:
                raise RefusedError(f"the setting {given[0]!r} has no effect without {name!r}; give both or none")
        loopback = said.get("ssf_loopback", "no")
        if loopback not in _YES_OR_NO:
            raise RefusedError(f"the setting 'ssf_loopback' is {loopback!a}; write yes or no")
        return cls(
            issuer=_issuer(said["ssf_issuer"]),
            ca_file=Path(said["ssf_ca_file"]) if "ssf_ca_file" in said else None,
            loopback=_YES_OR_NO[loopback],
        )

    def shown(self) -> dict[str, str]:
        """What is set, by name, without a secret."""
        shown = {"ssf_issuer": self.issuer}
        if self.ca_file is not None:
            shown["ssf_ca_file"] = str(self.ca_file)
        return shown | ({"ssf_loopback": "yes"} if self.loopback else {})


def _issuer(url: str) -> str:
    try:
        parts = urlsplit(url)
        clear = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"}
        whole = bool(parts.hostname) and not (parts.query or parts.fragment or "@" in parts.netloc)
    except ValueError:
        clear = whole = False
        parts = urlsplit("")
    # SSF 1.0 section 7.1: a URL of the scheme https without query or fragment.
    if not (whole and (parts.scheme == "https" or clear) and url.isascii() and url.isprintable() and " " not in url):
        raise RefusedError(
            f"the setting 'ssf_issuer' is {url!a}; write the URL of the API, such as https://api.example"
        )
    return url.rstrip("/")
