"""Events to bytes and back. What comes out is checked (`read` excepted); what is wrong is a `BadRecordError`.

The one door to the two forms: ``json_form`` for lines and documents, ``avro_form`` for the values of the log.

Reasons, stable words for machines:

- ``too-large``, ``too-deep``, ``too-many``: the record, its nesting, a list or a map is over its bound
- ``utf-8``, ``json``, ``duplicate-key``, ``not-an-object``: the line is not one JSON object in UTF-8
- ``avro``, ``type-mismatch``, ``no-value``: the value is not one Avro record, says two types, or is null
- ``unknown-schema``, ``unknown-field``: a fingerprint, framing, type, word or field that a later version may
  know: an ``UnknownSchemaError``, which may be taken up again
- ``missing-field``, ``wrong-kind``: a field is not there, or not of its kind
- ``bad-id``, ``bad-text``, ``bad-time``, ``out-of-range``: a value is out of its bounds
- ``credential``: a raw credential stands somewhere: a ``CredentialError``, whatever else is wrong
"""

from ingest.codec.avro_form import apart, decode, encode, read
from ingest.codec.json_form import decode_line, encode_line, event_from_document

__all__ = ["apart", "decode", "decode_line", "encode", "encode_line", "event_from_document", "read"]
