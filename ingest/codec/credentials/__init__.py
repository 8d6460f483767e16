"""Detection and removal of raw credentials, so that none is ever stored or shown (clauses 2.7 and 2.9).

The only scrubber of the project. ``kept`` guards everything that stores raw bytes, ``scrubbed`` every text that is
logged, printed or returned, and ``find`` the log itself.

What is detected:

- shapes: compact JWS and JWE, private keys in PEM, secrets with the prefixes that providers introduced for secret
  scanning, session tokens of AWS, ``Authorization`` headers, passwords in URLs;
- values of names such as ``password``, ``client_secret``, ``X-Amz-Security-Token`` and ``refresh_token``;
- both in JSON, in JSON within strings, in tables, in ``key=value``, in multipart bodies, XML and YAML, in command
  lines, escaped any number of times, percent-encoded, in base64 or hexadecimal, and compressed with gzip or deflate.

A secret without a known shape or a telling name cannot be distinguished from an id. Public handles, such as the access
key ids of AWS (``AKIA...``, ``ASIA...``) and the accessors of Vault, are ids and are not removed.
"""

from ingest.codec.credentials.columns import Columns, ColumnTable
from ingest.codec.credentials.door import (
    CLEAN,
    find,
    find_raw,
    may_hold,
    scrubbed,
    scrubbed_member,
    scrubbed_value,
    speakable,
)
from ingest.codec.credentials.found import handle
from ingest.codec.credentials.names import KINDS, is_secret_of_ours, kind_of
from ingest.codec.credentials.scrubber import kept, kept_under

__all__ = [
    "CLEAN",
    "KINDS",
    "ColumnTable",
    "Columns",
    "find",
    "find_raw",
    "handle",
    "is_secret_of_ours",
    "kept",
    "kept_under",
    "kind_of",
    "may_hold",
    "scrubbed",
    "scrubbed_member",
    "scrubbed_value",
    "speakable",
]  # fmt: skip
