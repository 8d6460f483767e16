"""The codec: events to bytes and back. Decoded events are validated (except by ``read``).

The public interface to the two encodings: ``json_form`` for lines and documents, ``avro_form`` for the values of
the log. A record that cannot be accepted raises ``BadRecordError``, whose ``reason`` is a stable identifier:

- ``too-large``, ``too-deep``, ``too-many``: the record, its nesting, a list or a map exceeds its limit
- ``utf-8``, ``json``, ``duplicate-key``, ``not-an-object``: the line is not a single JSON object in UTF-8
- ``avro``, ``type-mismatch``, ``no-value``: the value is not an Avro record, states two types, or is null
- ``unknown-schema``, ``unknown-field``: a fingerprint, framing, type, enum symbol or field that a later version may
  know. Raised as ``UnknownSchemaError``; the record may be retried after an upgrade
- ``missing-field``, ``wrong-kind``: a required field is missing, or a field has the wrong JSON type
- ``bad-id``, ``bad-text``, ``bad-time``, ``out-of-range``: a value is outside its limits
- ``credential``: the record contains a raw credential. Raised as ``CredentialError``, whatever else is wrong
"""

from ingest.codec.avro_form import decode, encode, read, read_parts, split_values
from ingest.codec.json_form import decode_line, encode_line, encoded_from_document, event_from_document

__all__ = [
    "decode",
    "decode_line",
    "encode",
    "encode_line",
    "encoded_from_document",
    "event_from_document",
    "read",
    "read_parts",
    "split_values",
]
