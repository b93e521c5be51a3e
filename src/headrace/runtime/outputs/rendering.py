"""Records as lines of text."""

from __future__ import annotations

import msgspec

from headrace.runtime.records import Records

_encode = msgspec.json.Encoder().encode


def render(records: Records) -> bytes:
    """Return the records as NDJSON.

    A record with headers (a dead letter) becomes an object of its headers, key and value: its
    value need not be JSON, nor text, nor one line. What is no UTF-8 has its bad bytes replaced
    in ``value`` and stands whole in ``value_base64``.
    """
    if not records.values:
        return b""
    values = records.values
    if records.headers is not None:
        keys = records.keys or [None] * len(values)
        values = [_wrapped(*row) for row in zip(values, keys, records.headers, strict=True)]
    return b"\n".join(values) + b"\n"


def _wrapped(value: bytes, key: bytes | None, headers: tuple[tuple[str, bytes], ...]) -> bytes:
    row: dict[str, object] = {name: text.decode("utf-8", "replace") for name, text in headers}
    if key is not None:
        row["key"] = key.decode("utf-8", "replace")
    row["value"] = value.decode("utf-8", "replace")
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        row["value_base64"] = value
    return _encode(row)
