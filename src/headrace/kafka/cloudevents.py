"""CloudEvents in binary mode: attributes in headers, only the data in the value.

Brought into structured mode, in which events are declared and read. After the Kafka protocol binding for CloudEvents
1.0.2, section 3.2: headers begin with ``ce_``; ``content-type`` is that of the data.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from headrace.kafka.model import Fetched, Headers
from headrace.runtime.task import DeadLetter

_PREFIX, _MARK, _TYPE = "ce_", "ce_specversion", "content-type"
_NUMBERS = frozenset({"dataversion", "sequence"})
_FLAGS = {"true": True, "false": False}
_encode = msgspec.json.Encoder().encode
_check = msgspec.json.Decoder(msgspec.Raw).decode


def is_binary(headers: Headers) -> bool:
    """Tell whether a record with these headers is an event in binary mode whose data is JSON."""
    found = dict(headers)
    if _MARK not in found:
        return False
    content = (found.get(_TYPE) or b"application/json").partition(b";")[0].strip().lower()
    return content.endswith((b"/json", b"+json")) and not content.startswith(b"application/cloudevents")


def structured(value: bytes | None, headers: Headers) -> bytes:
    """Return the event of a record in binary mode as one in structured mode.

    A value that is no JSON is returned as it is: it will be refused for what it is.

    >>> structured(b'{"n":1}', [("ce_specversion", b"1.0"), ("ce_id", b"a"), ("ce_dataversion", b"2")])
    b'{"specversion":"1.0","id":"a","dataversion":2,"data":{"n":1}}'
    """
    data = value or b"null"
    try:
        _check(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return value or b""
    attributes = {
        name[len(_PREFIX) :]: _attribute(name[len(_PREFIX) :], (text or b"").decode(errors="replace"))
        for name, text in headers
        if name.startswith(_PREFIX)
    }
    return _encode(attributes)[:-1] + b',"data":' + data + b"}"


def bring(batch: Fetched) -> Fetched:
    """Return a batch with the events in binary mode brought into structured mode; the same one if there is none.

    Their headers lose the attributes, and say what the value is now: a sink may pass both on.
    """
    if batch.headers is None or not any(map(is_binary, batch.headers)):
        return batch
    values, headers = list(batch.values), list(batch.headers)
    for place, own in enumerate(batch.headers):
        if is_binary(own):
            values[place] = structured(values[place], own)
            rest = (header for header in own if header[0] != _TYPE and not header[0].startswith(_PREFIX))
            headers[place] = (*rest, (_TYPE, b"application/cloudevents+json"))
    return replace(batch, values=values, headers=headers)


def give_back(letters: list[DeadLetter], begin: int, came: Fetched) -> None:
    """Put the records as they came into the dead letters from place ``begin`` on: a letter's record is untouched."""
    if begin >= len(letters):
        return
    places = {offset: place for place, offset in enumerate(came.offsets)}
    for number in range(begin, len(letters)):
        letter = letters[number]
        place = places.get(letter.offset)
        if place is not None and (letter.topic, letter.partition) == (came.topic, came.partition):
            headers: Any = () if came.headers is None else tuple(came.headers[place])
            letters[number] = replace(letter, value=came.values[place], headers=headers)


def _attribute(name: str, text: str) -> str | int | bool:
    """Return the value of an attribute: all headers are texts, and some attributes are not."""
    if name in _NUMBERS and text.isascii() and text.isdigit():
        return int(text)
    return _FLAGS.get(text, text) if name == "replay" else text
