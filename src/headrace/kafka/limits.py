"""How large a record each topic takes, and which records are larger."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from headrace.kafka.errors import TooLargeError
from headrace.kafka.model import Columns
from headrace.kafka.record_batches import Compression, RecordBatch, build
from headrace.runtime.records import Headers, Records

USUAL_BYTES = 1_048_588
"""Kafka's default of max.message.bytes."""
_UNLIMITED = 1 << 31
_FRAME_BYTES = 200  # of a batch and a record in it, beside key, value and headers


class TopicLimits:
    """What brokers take, by topic: the bytes of a batch as it is sent, compressed."""

    def __init__(self, compression: Compression = Compression.NONE) -> None:
        """``compression`` is that of what is written."""
        self._compression = compression
        self.known: dict[str, int] = {}
        self._careful: set[str] = set()

    def know(self, asked: Collection[str], found: Mapping[str, int]) -> None:
        """Note the limits of topics; one that we may not ask for has none, as far as we can tell."""
        self.known |= {topic: found.get(topic, _UNLIMITED) for topic in asked}

    def internal(self, topics: Collection[str]) -> None:
        """Leave topics to the broker whose records cannot become dead letters."""
        self._careful.update(topics)

    def check(self, topic: str, batches: Iterable[RecordBatch]) -> None:
        """Look for a batch that may be too large: from then on each record for the topic is looked at.

        Looking at each from the beginning would cost all those that have no such records.

        Raises:
            TooLargeError: there is one. Go back, and see :meth:`too_large`.
        """
        limit = self.known.get(topic, USUAL_BYTES)
        if topic not in self._careful and any(batch.size > limit for batch in batches):
            self._careful.add(topic)
            message = f"topic {topic!r} takes no record of more than {limit} bytes: one is taken out"
            raise TooLargeError(message)

    def too_large(self, topic: str, records: Records) -> dict[int, str]:
        """Return the places of the records that the topic does not take, and why; see :meth:`check`."""
        if topic not in self._careful:
            return {}
        limit = self.known.get(topic, USUAL_BYTES)
        room = limit - _FRAME_BYTES
        if _longest(records) <= room:
            return {}
        found = {}
        keys, headers = records.keys or (), records.headers or ()
        for place, value in enumerate(records.values):
            key, own = keys[place] if keys else None, headers[place] if headers else ()
            if len(value or b"") + len(key or b"") + _size(own) <= room:
                continue
            size = self._sent(Columns([value], [0], [key], [own]))
            if size > limit:
                found[place] = (
                    f"the record is {size} bytes, topic {topic!r} takes {limit}: "
                    "raise its max.message.bytes, or make the record smaller"
                )
        return found

    def _sent(self, columns: Columns) -> int:
        """Return how large the batch of one record is."""
        (batch,) = build(columns, self._compression, _UNLIMITED - 1, transactional=True)
        batch.bind(0, 0, 0)
        return len(batch.data())


def _longest(records: Records) -> int:
    """Return at least the size of the largest record."""
    longest = _most(records.values)
    if records.keys is not None:
        longest += _most(records.keys)
    if records.headers is not None:
        longest += max(map(_size, records.headers), default=0)
    return longest


def _most(column: Collection[bytes | None]) -> int:
    try:
        return max(map(len, column), default=0)  # type: ignore[arg-type]
    except TypeError:  # some are None
        return max((len(one) for one in column if one is not None), default=0)


def _size(headers: Headers) -> int:
    return sum(len(name) + len(value or b"") + _FRAME_BYTES // 20 for name, value in headers)
