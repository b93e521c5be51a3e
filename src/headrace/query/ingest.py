"""Bodies of ingest requests to events."""

from __future__ import annotations

import msgspec

from headrace.errors import HeadraceError

MAX_BODY_BYTES = 64 << 20

_ONE = ("application/json", "application/cloudevents+json")
_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
_BATCH = ("application/cloudevents-batch+json",)
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_raw = msgspec.json.Decoder(msgspec.Raw).decode
_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_WRONG = (msgspec.DecodeError, UnicodeError, RecursionError)


class BadRequest(HeadraceError):
    """A request is wrong; nothing of it was taken. ``status`` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        """Keep the status beside the message."""
        super().__init__(message)
        self.status = status


def split_events(content_type: str, body: bytes) -> list[bytes]:
    r"""Return the events of a body as they came: JSON objects, of which nothing more is known yet.

    >>> split_events("application/x-ndjson", b'{"a": 1}\n\n{"a": 2}\r\n')
    [b'{"a": 1}', b'{"a": 2}']

    Raises:
        BadRequest: the body is empty, of a type that is not known, or something in it is no
            JSON object; the message names the line.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in {*_ONE, *_LINES, *_BATCH}:
        expected = ", ".join((*_ONE, *_LINES, *_BATCH))
        raise BadRequest(415, f"Content-Type: expected one of {expected}, got {kind!r}")
    if not body.strip():
        raise BadRequest(400, "the body is empty: expected one JSON event, or one a line")
    if body.startswith((_GZIP, _ZSTD)):
        raise BadRequest(400, "line 1: expected JSON, got compressed bytes; send the body uncompressed")
    _check_text(body)
    if kind in _LINES:
        return _split_lines(body)
    return _split_array(body) if kind in _BATCH else [_one(body)]


def _check_text(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(400, f"line {_line_at(body, error.start)}: expected UTF-8, got {error}") from error


def _one(body: bytes) -> bytes:
    try:
        _raw(body)
    except _WRONG as error:
        if "trailing characters" in str(error):
            msg = f"expected one JSON event; several, one a line, go as {_LINES[0]}, an array of them as {_BATCH[0]}"
            raise BadRequest(400, msg) from error
        # Byte positions count from the first byte; a truncated event ends with its last line.
        found = str(error).rpartition("(byte ")[2].rstrip(")")
        line = _line_at(body, int(found) if found.isdigit() else len(body.rstrip()))
        raise BadRequest(400, f"line {line}: {_reason(error)}") from error
    first = len(body) - len(body.lstrip())
    if body[first : first + 1] != b"{":
        hint = f"; an array of events goes as {_BATCH[0]}" if body[first : first + 1] == b"[" else ""
        raise BadRequest(400, f"line {_line_at(body, first)}: expected a JSON object, got {_shown(body)}{hint}")
    return body


def _split_lines(body: bytes) -> list[bytes]:
    events = []
    for number, line in enumerate(body.split(b"\n"), 1):
        event = line.strip()
        if not event:
            continue
        try:
            _raw(event)
        except _WRONG as error:
            raise BadRequest(400, f"line {number}: {_reason(error)}: {_shown(event)}") from error
        if not event.startswith(b"{"):
            raise BadRequest(400, f"line {number}: expected a JSON object, got {_shown(event)}")
        events.append(event)
    return events


def _split_array(body: bytes) -> list[bytes]:
    try:
        events = [bytes(event) for event in _raws(body)]
    except _WRONG as error:
        raise BadRequest(400, f"the body is no JSON array of events: {_reason(error)}") from error
    if not events:
        raise BadRequest(400, "the body is empty: expected an array with at least one event")
    for number, event in enumerate(events, 1):
        if not event.startswith(b"{"):
            raise BadRequest(400, f"event {number}: expected a JSON object, got {_shown(event)}")
    return events


def _reason(error: BaseException) -> str:
    return "JSON is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _shown(text: bytes) -> str:
    return repr(text.strip()[:60].decode(errors="replace"))


def _line_at(body: bytes, offset: int) -> int:
    return body.count(b"\n", 0, offset) + 1
