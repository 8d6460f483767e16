"""Raw credentials: found wherever they stand, so that none is ever kept or shown (clauses 2.7 and 2.9).

This is the one scrubber. ``kept`` stands in front of everything that keeps bytes, ``scrubbed`` in front of every
sentence that is logged, printed or answered, and ``find`` in front of the log.

What is looked for:

- shapes: compact JWS and JWE, private keys in PEM, the prefixes that providers gave their secrets for this very
  purpose, session tokens of AWS, ``Authorization`` headers, passwords in URLs;
- names: ``password``, ``client_secret``, ``X-Amz-Security-Token``, ``refresh_token`` and the like, before a value;
- both in JSON, in JSON within strings, in tables, in ``key=value``, escaped any number of times, percent-encoded,
  in base64, and compressed with gzip.

A secret of no known shape, under no telling name, cannot be told from an id. Public handles, such as the access key
ids of AWS (``AKIA...``, ``ASIA...``) and the accessors of Vault, are ids and stay.
"""

from ingest.codec.credentials.columns import Columns, Table
from ingest.codec.credentials.door import find, find_raw, may_hold, scrubbed, scrubbed_value, speakable
from ingest.codec.credentials.found import handle
from ingest.codec.credentials.names import is_secret_of_ours
from ingest.codec.credentials.scrubber import kept, kept_under

__all__ = [
    "Columns", "Table", "find", "find_raw", "handle", "is_secret_of_ours", "kept", "kept_under", "may_hold",
    "scrubbed", "scrubbed_value", "speakable",
]  # fmt: skip
