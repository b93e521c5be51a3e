"""Records as lines of text."""

from __future__ import annotations

import msgspec

from headrace.runtime.records import Records

_LETTER = "headrace-step"  # a header that every dead letter has
_encode = msgspec.json.Encoder().encode


def render(records: Records) -> bytes:
    """Return the records as NDJSON.

    A dead letter becomes an object of its headers, key and value: its value need not be JSON, nor text,
    nor one line. Other records have no place for headers here. What is no UTF-8 has its bad bytes replaced
    in ``value`` and stands whole in ``value_base64``.
    """
    if not records.values:
        return b""
    values = records.values
    if records.headers is not None:
        keys = records.keys or [None] * len(values)
        rows = zip(values, keys, records.headers, strict=True)
        values = [_wrapped(*row) if any(name == _LETTER for name, _ in row[2]) else row[0] for row in rows]
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
