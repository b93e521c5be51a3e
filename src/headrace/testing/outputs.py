"""Committed outputs of a topology under test, kept in the same backend as its state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from headrace.runtime.records import Headers, Records
from headrace.state.protocol import Backend, Batch

_STORE = "testing-outputs"
_OURS = "headrace-"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_Stored = tuple[bytes, bytes | None, int | None, Headers]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Stored).decode


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """One committed record of an output topic."""

    value: bytes
    key: bytes | None
    time: datetime | None
    headers: Headers

    def json(self) -> Any:
        """Return the value, decoded from JSON."""
        return msgspec.json.decode(self.value)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be processed: where, why, and its original bytes."""

    step: str
    topic: str
    partition: int
    offset: int
    error: str
    message: str
    value: bytes


class StoredOutput:
    """An output topic in the backend: its records are part of the checkpoint's own write."""

    __slots__ = ("_next", "_prefix", "_staged", "_store")

    def __init__(self, backend: Backend, topic: str) -> None:
        """Go on after the records that are there."""
        self._prefix = topic.encode() + b"\0"
        self._store = backend.store(_STORE)
        self._next = sum(1 for _ in self._scan(0))
        self._staged = 0

    def stage(self, batch: Batch, records: Records) -> None:
        """Add the records to the batch."""
        for place, value in enumerate(records.values):
            key = None if records.keys is None else records.keys[place]
            time = None if records.times is None else records.times[place]
            headers = () if records.headers is None else records.headers[place]
            batch.put(_STORE, self._key(self._next + self._staged), _encode((value, key, time, headers)))
            self._staged += 1

    def committed(self) -> None:
        """Take the staged records as written."""
        self._next += self._staged
        self._staged = 0

    def read(self, start: int = 0) -> list[OutputRecord]:
        """Return the committed records from position ``start`` on."""
        found = []
        for raw in self._scan(start):
            value, key, time, headers = _decode(raw)
            moment = None if time is None else _EPOCH + timedelta(milliseconds=time)
            found.append(OutputRecord(value, key, moment, headers))
        return found

    def _key(self, place: int) -> bytes:
        return self._prefix + place.to_bytes(8, "big")

    def _scan(self, start: int) -> Iterator[bytes]:
        for _, value in self._store.scan(self._key(start), self._prefix[:-1] + b"\1"):
            yield value


def dead_letter(record: OutputRecord) -> DeadLetter:
    """Read a record of a dead-letter topic."""
    # the record's own headers come first; one that was replayed and failed again has older ones of our names
    ours = {name: value for name, value in record.headers if name.startswith(_OURS)}
    text = {name.removeprefix(_OURS): value.decode() for name, value in ours.items()}
    return DeadLetter(
        step=text["step"],
        topic=text["topic"],
        partition=int(text["partition"]),
        offset=int(text["offset"]),
        error=text["error"],
        message=text["message"],
        value=record.value,
    )
