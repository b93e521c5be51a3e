"""Bodies of ingest requests to events."""

from __future__ import annotations

import msgspec

from headrace.errors import HeadraceError

MAX_BODY_BYTES = 64 << 20

_ONE = ("application/json", "application/cloudevents+json")
_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
_BATCH = ("application/cloudevents-batch+json",)
_batch_decoder = msgspec.json.Decoder(list[msgspec.Raw])


class BadRequest(HeadraceError):
    """A request is wrong; nothing of it was taken. ``status`` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        """Keep the status beside the message."""
        super().__init__(message)
        self.status = status


def split_events(content_type: str, body: bytes) -> list[bytes]:
    r"""Return the events of a body, unread: what is no good becomes a dead letter later.

    >>> split_events("application/x-ndjson", b'{"a": 1}\n\n{"a": 2}\r\n')
    [b'{"a": 1}', b'{"a": 2}']

    Raises:
        BadRequest: the body is empty, or of a type that is not known.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _ONE:
        events = [body] if body.strip() else []
    elif kind in _LINES:
        events = [line for line in (line.strip() for line in body.split(b"\n")) if line]
    elif kind in _BATCH:
        events = _split_array(body)
    else:
        expected = ", ".join((*_ONE, *_LINES, *_BATCH))
        raise BadRequest(415, f"Content-Type: expected one of {expected}, got {kind!r}")
    if not events:
        raise BadRequest(400, "the body is empty: expected one JSON event, or one a line")
    return events


def _split_array(body: bytes) -> list[bytes]:
    try:
        return [bytes(event) for event in _batch_decoder.decode(body)]
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadRequest(400, f"the body is no JSON array of events: {error}") from error
