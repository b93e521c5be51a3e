"""Joins of tables by reference: what left rows refer to, who refers to a right row, and what came back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from headrace.event.dtypes import DType
from headrace.operators.codec import State, StateCodec
from headrace.operators.footprint import Footprint
from headrace.operators.latest import TableLogic
from headrace.operators.logic import NEVER_MS, Emit
from headrace.operators.lookups.entries import Entries
from headrace.operators.view import KeyForm, StateView
from headrace.state.keys import prefix_end
from headrace.state.protocol import Batch
from headrace.time.instants import START_OF_TIME_MS

Parts = tuple[Any, ...]
_opened = msgspec.msgpack.Decoder(list[tuple[bytes, bytes]]).decode


@dataclass(frozen=True, slots=True)
class ReferenceKit:
    """Keys of the left row and of the reference, their Python types, and those of the left columns that travel.

    ``right``: how many columns of the right row do; ``optional``: whether a left row may stand alone.
    """

    key: tuple[DType, ...]
    key_types: tuple[Any, ...]
    ref: tuple[DType, ...]
    ref_types: tuple[Any, ...]
    left_types: tuple[Any, ...]
    right: int
    optional: bool


class _Quiet:
    """A step that does everything at the cut."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._watermark = START_OF_TIME_MS
        self.next_ms = NEVER_MS
        self.closed_ms = START_OF_TIME_MS
        self.footprint = Footprint()

    def restore(self, watermark_ms: int) -> None:
        """Take the watermark of the last checkpoint."""
        self._watermark = watermark_ms

    def catch_up(self) -> None:
        """Do nothing."""

    def advance(self, watermark_ms: int) -> None:
        """Note the watermark."""
        self._watermark = max(self._watermark, watermark_ms)


class ReferencesLogic(_Quiet):
    """What the left rows of one task refer to. ``changes``: (key, time, reference or None, columns; None: removed)."""

    def __init__(self, kit: ReferenceKit, view: StateView, emit: Emit) -> None:
        """Begin with nothing in memory."""
        super().__init__(emit)
        codec, self._one = StateCodec(kit.ref_types), len(kit.key) == 1
        self._single, self._width = len(kit.ref) == 1, len(kit.ref)
        self._nulls = (None,) * len(kit.left_types)
        store = view.name, view.store
        self._refs: Entries[State] = Entries(store, view.prefix, view.keys(), codec.encode, codec.decode)
        self.changes: list[tuple[Any, int, Any, Parts | None]] = []
        self.changed = self.changes.append

    def cut(self, batch: Batch) -> None:
        """Tell who is referred to, and who no longer is."""
        out: list[tuple[Any, State]] = []
        alone: list[tuple[Any, State]] = []
        for key, time_ms, ref, columns in self.changes:
            own = (key,) if self._one else key
            new = None if columns is None else self._parts(ref)
            old = self._refs.get(key)
            if old is not None and old != new:
                (alone if None in old else out).append((key, [time_ms, *own, *old, True, *self._nulls]))
            if new is not None and columns is not None:
                (alone if None in new else out).append((key, [time_ms, *own, *new, False, *columns]))
            if old != new:
                self._refs.put(key, new)
        self.changes.clear()
        self._emit("out", out, 0, 0, self._watermark)
        self._emit("alone", alone, 0, 0, self._watermark)
        self._refs.cut(batch)

    def _parts(self, ref: Any) -> State:
        return [ref] if self._single else [None] * self._width if ref is None else list(ref)

    def size(self) -> int:
        """Return the number of references in memory."""
        return self._refs.size() + len(self.changes)

    def evict(self, keep: int) -> None:
        """Forget those that are in the store."""
        self._refs.evict(keep)


class MatchesLogic(_Quiet):
    """Who refers to the rows of one task. ``events``: (reference, message, right row), or None for the message.

    A message is (event time, is over, parts of the left key, left columns); a row (event time, columns), or None.
    ``_unwritten``: by reference, then left key, what the store does not have before the batch of the last cut is
    written: that is sure when there is a new one.
    """

    def __init__(self, kit: ReferenceKit, view: StateView, emit: Emit) -> None:
        """Begin with nothing in memory."""
        super().__init__(emit)
        self._name, self._store, self._prefix = f"{view.name}/live", view.beside("live"), view.prefix
        self._codec = StateCodec((int, *kit.key_types, *kit.left_types))
        self._ref, self._left, self._width = KeyForm(kit.ref).encode, KeyForm(kit.key).encode, len(kit.key)
        self._single, self._one = len(kit.ref) == 1, len(kit.key) == 1
        self._optional, self._nulls = kit.optional, (None,) * kit.right
        self._unwritten: dict[bytes, dict[bytes, bytes | None]] = {}
        self.events: list[tuple[Any, tuple[int, bool, Parts, Parts] | None, Parts | None]] = []
        self.noted = self.events.append

    def cut(self, batch: Batch) -> None:
        """Answer messages, and tell all who refer to a row that it has changed."""
        if not any(name == self._name for name, _, _ in batch.columns):
            self._unwritten.clear()
        written: dict[bytes, bytes | None] = {}
        out: list[tuple[Any, State]] = []
        for ref, message, row in self.events:
            raw = self._prefix + self._ref(ref)
            if message is None:
                for time_ms, *kept in map(self._codec.decode, list(self._referring(raw))):
                    own, columns = tuple(kept[: self._width]), tuple(kept[self._width :])
                    out.append((ref, self._answer(ref, (time_ms, False, own, columns), row)))
                continue
            time_ms, over, own, columns = message
            value = None if over else self._codec.encode([time_ms, *own, *columns])
            key = self._left(own[0] if self._one else own)
            self._unwritten.setdefault(raw, {})[key] = written[raw + key] = value
            out.append((ref, self._answer(ref, message, row)))
        self.events.clear()
        self._emit("out", out, 0, 0, self._watermark)
        if written:
            batch.put_all(self._name, list(written), list(written.values()))

    def _referring(self, raw: bytes) -> Iterator[bytes]:
        """Yield what is kept of the left rows that refer to a key."""
        unwritten = self._unwritten.get(raw, {})
        for key, value in self._store.scan(raw, prefix_end(raw)):
            if key[len(raw) :] not in unwritten:
                yield value
        yield from (value for value in unwritten.values() if value is not None)

    def _answer(self, ref: Any, message: tuple[int, bool, Parts, Parts], row: Parts | None) -> State:
        time_ms, over, own, columns = message
        refs = (ref,) if self._single else ref
        if row is None:
            return [time_ms, *own, *refs, over or not self._optional, *columns, *self._nulls]
        return [max(time_ms, row[0]), *own, *refs, over, *columns, *row[1:]]

    def size(self) -> int:
        """Return the number of events and of keys in memory."""
        return len(self.events) + len(self._unwritten)

    def evict(self, keep: int) -> None:
        """Forget nothing: what is here was not yet known to be written."""


class ReferenceJoinLogic(TableLogic):
    """The joined rows. Beside each, by reference, what has come and is not over: the last to come is the row."""

    def __init__(self, kit: ReferenceKit, view: StateView, emit: Emit) -> None:
        """Begin with nothing in memory."""
        super().__init__(view, emit, read=True)
        store = f"{view.name}/live", view.beside("live")
        self._open: Entries[list[tuple[bytes, bytes]]] = Entries(
            store, view.prefix, view.keys(), msgspec.msgpack.encode, _opened
        )
        self._ref = KeyForm(kit.ref).encode
        self._rows = view.codec()

    def take(self, key: Any, ref: Any, state: State | None) -> None:
        """Take a row that came by a reference; None: that one is over."""
        raw = self._ref(ref)
        opened = [one for one in self._open.get(key) or () if one[0] != raw]
        if state is not None:
            opened.append((raw, self._rows.encode(state)))
            self.hot[key] = state
        elif opened:
            self.hot[key] = self._rows.decode(opened[-1][1])
        else:
            self.remove(key)
        self._open.put(key, opened or None)

    def cut(self, batch: Batch) -> None:
        """Emit and write the changed rows, and what is open."""
        super().cut(batch)
        self._open.cut(batch)

    def size(self) -> int:
        """Return the number of rows in memory."""
        return super().size() + self._open.size()

    def evict(self, keep: int) -> None:
        """Forget what is in the store."""
        super().evict(keep)
        self._open.evict(max(keep - super().size(), 0))


__all__ = ["MatchesLogic", "ReferenceJoinLogic", "ReferenceKit", "ReferencesLogic"]
