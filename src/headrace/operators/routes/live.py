"""What a control stream changes, in one task: every change in the store, and what follows from them at an instant."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from headrace.operators.footprint import Footprint
from headrace.operators.frame import Frame
from headrace.operators.logic import NEVER_MS
from headrace.operators.routes.timeline import Change, Timeline
from headrace.operators.view import StateView, instant
from headrace.state.protocol import Batch
from headrace.time.instants import MAX_TIME_MS, START_OF_TIME_MS

if TYPE_CHECKING:
    from headrace.operators.generator import Generator

T = TypeVar("T")

_REMEMBERED = 64  # made values that are kept; more are needed only by records from all over the past


def at_hand(g: Generator, frame: Frame, logic: str) -> str:
    """Return code of what holds for the record at hand: bound once per batch as long as nothing changes."""
    now, begin, end, at = (g.bind(f"{logic}.{name}", "lv") for name in ("now", "begin_ms", "end_ms", "at"))
    code, lag = frame.watermark
    return f"({now} if {begin} <= {frame.time} < {end} else {at}({frame.time}, {code} - {lag}))"


class LiveLogic(ABC, Generic[T]):
    """The changes that one task knows. ``now`` holds for records of event times in [``begin_ms``, ``end_ms``).

    Superseded changes are forgotten once the watermark is ``history_ms`` past their end, but for removals of what is
    ``lasting``: there again at every start.
    """

    def __init__(self, view: StateView, history_ms: int, lasting: frozenset[str], empty: T) -> None:
        """Begin without changes."""
        self._view, self._history_ms, self._empty = view, history_ms, empty
        self._timeline = Timeline(lasting)
        self._made: dict[int, T] = {}
        self._new: list[Change] = []
        self._watermark = START_OF_TIME_MS
        self._superseded_ms: int | None = None
        self.now, self.begin_ms, self.end_ms = empty, START_OF_TIME_MS, START_OF_TIME_MS
        self.next_ms = NEVER_MS
        self.closed_ms = START_OF_TIME_MS
        self.footprint = Footprint()

    @abstractmethod
    def _make(self, changes: Iterator[Change]) -> T:
        """Return what follows from the changes that count at one instant."""

    @abstractmethod
    def _read(self, data: bytes) -> Change:
        """Return a change as it was stored."""

    def _learn(self, change: Change) -> None:
        """Take note of a change that is new in memory."""

    def _unlearn(self, change: Change) -> None:
        """Forget a change."""

    def restore(self, watermark_ms: int) -> None:
        """Take up the changes of the last checkpoint."""
        self._watermark = watermark_ms
        for _, data in self._view.scan(self._view.prefix):
            self._admit(self._read(data))
        self._settle()

    def take(self, data: bytes) -> None:
        """Take in a change that has just come."""
        change = self._read(data)
        if self._admit(change):
            self._new.append(change)
            self._settle()

    def at(self, time_ms: int, watermark_ms: int) -> T:
        """Return what holds for records of an event time; for one that is long past, the oldest that is known."""
        at_ms = max(time_ms, watermark_ms - self._history_ms)
        begin, end = self._timeline.span(at_ms)
        if begin in self._made:
            made = self._made[begin]
        else:
            if len(self._made) >= _REMEMBERED:
                self._made.clear()
            made = self._made[begin] = self._make(self._timeline.at(at_ms))
        if begin >= self.begin_ms:
            self.now, self.begin_ms, self.end_ms = made, begin, end
        return made

    def catch_up(self) -> None:
        """Do nothing: changes and records are taken as they come."""

    def advance(self, watermark_ms: int) -> None:
        """Note the watermark."""
        self._watermark = max(self._watermark, watermark_ms)

    def cut(self, batch: Batch) -> None:
        """Forget changes that count for no record any more; write new ones."""
        self._forget(batch)
        begin = len(batch.puts)
        for change in self._new:
            batch.put(self._view.name, self._key(change), change.data)
        self.footprint.learn(batch.puts, begin)
        self._new = []

    def size(self) -> int:
        """Return the number of changes in memory."""
        return len(self._timeline)

    def evict(self, keep: int) -> None:
        """Keep all: changes are few, and asked for with every record."""

    def _admit(self, change: Change) -> bool:
        new = self._timeline.add(change)
        if new:
            self._learn(change)
        return new

    def _forget(self, batch: Batch) -> None:
        if self._superseded_ms is None:
            self._superseded_ms = self._timeline.superseded_ms()
        horizon = self._watermark - self._history_ms
        if self._superseded_ms > horizon or self._watermark > MAX_TIME_MS:
            return
        for change in self._timeline.forget(horizon):
            self._unlearn(change)
            if change in self._new:
                self._new.remove(change)
            elif change.data:
                batch.delete(self._view.name, self._key(change))
        self._settle()

    def _settle(self) -> None:
        """Drop what was made of the changes so far: it is made anew when a record asks for it."""
        if self._made:
            self._made = {}
        self._superseded_ms = None
        self.now, self.begin_ms, self.end_ms = self._empty, START_OF_TIME_MS, START_OF_TIME_MS

    def _key(self, change: Change) -> bytes:
        digest = hashlib.blake2b(change.data, digest_size=16).digest()
        return self._view.prefix + instant(change.start_ms) + digest
