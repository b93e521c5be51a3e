"""Dead letters on Kafka: read, and sent back to where they came from, once each.

What was replayed is noted in a topic beside the letters', in the transaction that replays it: a replay that was killed
leaves nothing half done, and the next one knows what is done. Two at a time cannot be: they share a transactional id,
and the later one fences the earlier.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property

import msgspec

from headrace.errors import ConfigError
from headrace.kafka.client import Client, connect
from headrace.kafka.fetching import BatchConsumer
from headrace.kafka.model import Columns, Fetched, GroupMember, Header, Headers, Partition
from headrace.kafka.offsets import End, list_offsets
from headrace.kafka.producing import ProducerOptions, TransactionalProducer
from headrace.kafka.security import connection_options
from headrace.kafka.settings import FleetSettings
from headrace.kafka.topics_admin import TopicAdmin, TopicSpec
from headrace.runtime.collect import SHORTENED
from headrace.runtime.partitioning import partition_for

SUFFIX = ".dead-letters"
REPLAYED = "headrace-replayed"
"""The header of a replayed record: where its letter lies, as topic/partition@offset."""

_NAMES = ("topology", "step", "topic", "partition", "offset", "error", "message", "time")
_OURS = tuple(f"headrace-{name}" for name in _NAMES)
_FETCH_MS = 1000
_NOBODY = GroupMember("none")


class Mark(msgspec.Struct):
    """What is noted of a letter that was replayed."""

    topic: str
    partition: int
    time: datetime
    digest: str
    """Of the letter: its topic may have been deleted and made anew, and offsets have begun again."""


@dataclass(frozen=True)
class Letter:
    """A dead letter: the record as it was, why it is here, and where it lies (``place``)."""

    place: Partition
    offset: int
    time_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    """The record's own."""
    reason: dict[str, str] = field(repr=False)
    """Our headers, without ``headrace-``: topology, step, topic, partition, offset, error, message, time."""
    replayed: Mark | None = None

    @classmethod
    def of(
        cls, place: Partition, offset: int, time_ms: int, record: tuple[bytes | None, bytes | None, Headers]
    ) -> Letter:
        """Return a letter of a record (key, value, headers)."""
        key, value, headers = record
        # Ours come last: the record may be a dead letter itself, that a topology has read, and bring such headers.
        ours = headers[-len(_OURS) :] if tuple(name for name, _ in headers[-len(_OURS) :]) == _OURS else ()
        own = tuple(headers[: len(headers) - len(ours)])
        reason = {name: _text(text) for name, (_, text) in zip(_NAMES, ours, strict=False)}
        return cls(place, offset, time_ms, key, value, own, reason)

    @property
    def position(self) -> str:
        """Return where it lies, as partition@offset."""
        return f"{self.place.partition}@{self.offset}"

    @property
    def origin(self) -> str:
        """Return where the record was, as topic-partition@offset; of what was derived, what it came from."""
        topic = self.reason.get("topic", "?")
        return f"{topic}-{self.reason.get('partition', '?')}@{self.reason['offset']}" if self.source else topic

    @cached_property
    def source(self) -> tuple[Partition, int] | None:
        """Return partition and offset of the record; None if it was derived, or the letter does not say."""
        try:
            partition, offset = int(self.reason["partition"]), int(self.reason["offset"])
            return (Partition(self.reason["topic"], partition), offset) if offset >= 0 else None
        except (KeyError, ValueError):
            return None

    @cached_property
    def digest(self) -> str:
        """Return what tells this letter from another one at the same place."""
        parts = (self.key, self.value, *(part for name, text in self.headers for part in (name.encode(), text)))
        return hashlib.blake2b(repr((parts, sorted(self.reason.items()))).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are meant: all conditions that are given hold."""

    step: str | None = None
    error: str | None = None
    topic: str | None = None
    partition: int | None = None
    """Of the dead-letter topic, as ``offsets``."""
    offsets: range | None = None

    def __contains__(self, letter: Letter) -> bool:
        """Tell whether a letter is meant."""
        wanted = ((self.step, "step"), (self.error, "error"), (self.topic, "topic"))
        return (
            all(text is None or letter.reason.get(name) == text for text, name in wanted)
            and self.partition in {None, letter.place.partition}
            and (self.offsets is None or letter.offset in self.offsets)
        )


@dataclass(slots=True)
class Outcome:
    """What a replay did."""

    replayed: int = 0
    before: int = 0
    """Letters that were meant, and replayed by an earlier run."""
    refused: dict[str, int] = field(default_factory=dict)
    """Letters that cannot be replayed, by reason."""


class DeadLetters:
    """The dead letters of one topology. Make it by :func:`open_letters`."""

    def __init__(self, topic: str, client: Client, consumer: BatchConsumer, admin: TopicAdmin) -> None:
        self.topic, self.marks_topic = topic, f"{topic}.replayed"
        self._client, self._consumer, self._admin = client, consumer, admin

    async def read(self) -> AsyncIterator[Letter]:
        """Yield the letters that are there now, oldest first within each partition."""
        marks = await self._marks()
        async for letter in self._letters(await self._ends(self.topic), marks):
            yield letter

    async def replay(
        self,
        selection: Selection,
        *,
        per_transaction: int = 500,
        options: ProducerOptions | None = None,
        on_progress: Callable[[Outcome], None] = lambda outcome: None,
    ) -> Outcome:
        """Send letters back to the topics and partitions that they came from: original key, value and own headers.

        Each is sent once, however often and from wherever this is called. What fails again is a new letter.

        Args:
            selection: which ones.
            per_transaction: how many are sent, and noted, together.
            options: how to write.
            on_progress: is called after each transaction.

        Raises:
            FencedError: another replay of these letters has begun.
            BrokerError: it could not be finished. What was committed is noted: call it again.
        """
        await self._admin.create([TopicSpec(self.marks_topic, 1, configs={"cleanup.policy": "compact"})])
        producer = TransactionalProducer(self._client, f"{self.topic}/replay", options)
        # First: from here on no other replay can commit. Then what they have noted is complete.
        await producer.start()
        try:
            return await self._replay(producer, selection, per_transaction, on_progress)
        finally:
            await producer.close()

    async def _replay(
        self,
        producer: TransactionalProducer,
        selection: Selection,
        per_transaction: int,
        on_progress: Callable[[Outcome], None],
    ) -> Outcome:
        counts = {name: info.partitions for name, info in (await self._admin.topics()).items()}
        marks, ends = await self._marks(), await self._ends(self.topic)
        outcome, waiting = Outcome(), list[tuple[Letter, Partition]]()
        async for letter in self._letters(ends, marks):
            if letter not in selection:
                continue
            if letter.replayed is not None:
                outcome.before += 1
                continue
            to = _target(letter, counts)
            if isinstance(to, str):
                outcome.refused[to] = outcome.refused.get(to, 0) + 1
                continue
            waiting.append((letter, to))
            if len(waiting) >= per_transaction:
                await self._send(producer, waiting, outcome)
                on_progress(outcome)
                waiting.clear()
        if waiting:
            await self._send(producer, waiting, outcome)
            on_progress(outcome)
        return outcome

    async def _send(
        self, producer: TransactionalProducer, letters: list[tuple[Letter, Partition]], outcome: Outcome
    ) -> None:
        """Write the records and the notes of them, in one transaction."""
        now = datetime.now(UTC)
        producer.begin()
        by_target: dict[Partition, list[Letter]] = {}
        for letter, to in letters:
            by_target.setdefault(to, []).append(letter)
        for to, found in by_target.items():
            columns = Columns(
                [letter.value for letter in found],
                [letter.time_ms for letter in found],
                [letter.key for letter in found],
                [_marked(letter) for letter in found],
            )
            producer.append(*to, columns)
        notes = [msgspec.json.encode(Mark(*to, now, letter.digest)) for letter, to in letters]
        keys = [letter.position.encode() for letter, _ in letters]
        producer.append(self.marks_topic, 0, Columns(notes, [int(now.timestamp() * 1000)] * len(notes), keys))
        await producer.commit({}, _NOBODY)
        outcome.replayed += len(letters)

    async def _letters(self, ends: dict[Partition, int], marks: dict[str, Mark]) -> AsyncIterator[Letter]:
        async for place, batch in self._scan(ends):
            headers = batch.headers or [()] * len(batch)
            records = zip(batch.offsets, batch.times, batch.keys, batch.values, headers, strict=True)
            for offset, time_ms, key, value, own in records:
                letter = Letter.of(place, offset, time_ms, (key, value, own))
                mark = marks.get(letter.position)
                yield letter if mark is None or mark.digest != letter.digest else replace(letter, replayed=mark)

    async def _marks(self) -> dict[str, Mark]:
        """Return what was replayed, by position."""
        marks: dict[str, Mark] = {}
        if self.marks_topic in await self._admin.topics():
            async for _, batch in self._scan(await self._ends(self.marks_topic)):
                for key, value in zip(batch.keys, batch.values, strict=True):
                    if key is not None and value is not None:
                        marks[key.decode()] = msgspec.json.decode(value, type=Mark)
        return marks

    async def _ends(self, topic: str) -> dict[Partition, int]:
        info = (await self._admin.topics()).get(topic)
        partitions = [Partition(topic, number) for number in range(info.partitions if info else 0)]
        return await list_offsets(self._client, partitions, End.LAST_STABLE)

    async def _scan(self, ends: dict[Partition, int]) -> AsyncIterator[tuple[Partition, Fetched]]:
        """Yield all committed records before the ends, one partition after the other."""
        first = await list_offsets(self._client, list(ends), End.EARLIEST)
        for partition, end in sorted(ends.items()):
            position = first[partition]
            if position >= end:
                continue
            self._consumer.assign([partition])
            self._consumer.seek(partition, position)
            while position < end:
                for batch in (await self._consumer.fetch(timeout_ms=_FETCH_MS)).values():
                    position = batch.next_offset
                    yield partition, batch


@asynccontextmanager
async def open_letters(settings: FleetSettings, name: str) -> AsyncIterator[DeadLetters]:
    """Connect to the dead letters of a topology, named by itself or by the topic.

    Raises:
        ConfigError: there is no such topic; says which there are.
        UnreachableError: no broker answers.
    """
    security = connection_options(settings)
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(TopicAdmin(settings.brokers, **security))
        topic = name if name.endswith(SUFFIX) else name + SUFFIX
        there = await letter_topics(admin)
        if topic not in there:
            msg = (
                f"there is no topic {topic!r} on {settings.brokers}; dead letters are in: {', '.join(there) or 'none'}"
            )
            raise ConfigError(msg)
        client = await connect(settings.brokers, **security)
        stack.push_async_callback(client.close)
        consumer = BatchConsumer(
            bootstrap_servers=settings.brokers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            **security,
        )
        stack.push_async_callback(consumer.stop)
        await consumer.start()
        yield DeadLetters(topic, client, consumer, admin)


async def letter_topics(admin: TopicAdmin) -> list[str]:
    """Return the topics of dead letters that there are."""
    return sorted(name for name in await admin.topics() if name.endswith(SUFFIX))


def _target(letter: Letter, counts: dict[str, int]) -> Partition | str:
    """Return where a letter goes, or why it cannot go anywhere."""
    if letter.source is None:
        return f"derived, the record that came in is not kept: {letter.reason.get('topic', 'no headrace-topic header')}"
    if any(name == SHORTENED for name, _ in letter.headers):
        return "shortened, the record was too large for the topic of dead letters: it is where it came from"
    (topic, partition), _ = letter.source
    count = counts.get(topic, 0)
    if not count:
        return f"topic {topic!r} does not exist any more"
    # Where it was: there lie the other records of its key, however the producer spreads keys.
    if partition < count:
        return Partition(topic, partition)
    return Partition(topic, partition_for(letter.key, count) if letter.key is not None else 0)


def _marked(letter: Letter) -> list[Header]:
    own = [header for header in letter.headers if header[0] != REPLAYED]
    return [*own, (REPLAYED, f"{letter.place.topic}/{letter.position}".encode())]


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")


def summarize(letters: Iterable[Letter]) -> list[dict[str, object]]:
    """Return counts of letters by step, topic and error, the most frequent first."""
    found: dict[tuple[str, ...], dict[str, object]] = {}
    counts: dict[tuple[str, ...], list[int]] = {}
    for letter in letters:
        names = ("topology", "step", "topic", "error")
        kind = tuple(letter.reason.get(name, "?") for name in names)
        count = counts.setdefault(kind, [0, 0])
        count[0] += 1
        count[1] += letter.replayed is not None
        latest = {"latest": datetime.fromtimestamp(letter.time_ms / 1000, UTC), "position": letter.position}
        found[kind] = dict(zip(names, kind, strict=True)) | latest | {"message": letter.reason.get("message", "")}
    ordered = sorted(found, key=lambda kind: -counts[kind][0])
    return [{"letters": counts[kind][0], "replayed": counts[kind][1], **found[kind]} for kind in ordered]
