"""Session windows: they grow with each event of their key, and merge.

Open sessions of a key are one value in the store. A closed session becomes a row of its own,
kept for queries until its retention is over.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec

from headrace.operators.agent import OperatorSpec
from headrace.operators.footprint import Footprint, forget
from headrace.operators.logic import NEVER_MS, Emit
from headrace.operators.ticks import Ticks
from headrace.operators.view import State, StateView, instant
from headrace.state.protocol import Batch
from headrace.time.instants import MAX_TIME_MS, START_OF_TIME_MS
from headrace.topology.windows import Session

FIRST, LAST = 0, 1  # the session's own slots: event times of its first and its last event
_list = msgspec.msgpack.Decoder(list[bytes]).decode


class SessionLogic:
    """Session windows of one task. ``hot`` keys have changed since the last cut."""

    def __init__(
        self, spec: OperatorSpec, window: Session, view: StateView, emit: Emit, opened: Callable[[], None]
    ) -> None:
        """Begin with nothing in memory; ``opened`` is called when ``next_ms`` has become earlier."""
        self.window, self._view, self._emit, self._opened = window, view, emit, opened
        self._codec, self._keys = view.codec(), view.keys()
        self._init: Callable[[], State] = spec.kit.init
        self._merge: Callable[[State, State], None] = spec.kit.merge
        self._live = view.beside("live")
        self.hot: dict[Any, list[State]] = {}
        self.cold: dict[Any, list[State]] = {}
        self._closed: list[tuple[Any, State]] = []
        self._changed: dict[int, tuple[Any, State]] = {}
        self._due: list[tuple[int, int, Any]] = []
        self._number = count()
        # One more: an event that is just the gap behind the last one belongs to the session, and is no later than this.
        self._behind = window.grace_ms + 1
        self._wait = window.gap_ms + self._behind
        node: Any = spec.step.node
        self._ticks = Ticks(node.every_ms)
        self._owed: dict[int, dict[int, tuple[Any, State]]] = {interval: {} for interval in node.every_ms}
        self._watermark = START_OF_TIME_MS
        self.next_ms = NEVER_MS
        self.closed_ms = START_OF_TIME_MS
        self.footprint = Footprint()

    def restore(self, watermark_ms: int) -> None:
        """Find when the open sessions are due."""
        self._watermark = watermark_ms
        prefix = self._view.prefix
        for raw, data in self._live.scan(prefix, prefix + b"\xff"):
            key = self._keys.decode(raw[len(prefix) :])
            for state in self._decode(data):
                self._push(key, state)
        self._restore_owed()
        self._plan_next()

    def catch_up(self) -> None:
        """Do nothing: records are added as they come."""

    def _decode(self, data: bytes) -> list[State]:
        return [self._codec.decode(item) for item in _list(data)]

    def _push(self, key: Any, state: State) -> None:
        due = state[LAST] + self._wait
        heapq.heappush(self._due, (due, next(self._number), key))

    def _plan_next(self) -> None:
        self.next_ms = min(self._due[0][0], self._ticks.next_ms) if self._due else NEVER_MS

    def _sessions(self, key: Any) -> list[State]:
        """Return the open sessions of a key, hot from now on."""
        sessions = self.hot.get(key)
        if sessions is None:
            sessions = self.cold.pop(key, None)
            if sessions is None:
                found = self._live.get(self._view.prefix + self._keys.encode(key))
                sessions = [] if found is None else self._decode(found)
            self.hot[key] = sessions
        return sessions

    def touch(self, key: Any, time_ms: int, watermark_ms: int) -> State | None:
        """Return the session that an event belongs to, made or merged as needed; None if it is late."""
        sessions = self._sessions(key)
        gap = self.window.gap_ms
        near = [s for s in sessions if s[FIRST] - gap <= time_ms <= s[LAST] + gap]
        if not near:
            if time_ms + self._wait <= watermark_ms:
                return None
            state = self._init()
            state[FIRST] = state[LAST] = time_ms
            sessions.append(state)
            if not self._due:
                self._ticks.begin(max(watermark_ms, self._watermark))
            self._push(key, state)
            if self._ticks.intervals or self._due[0][0] < self.next_ms:
                self._plan_next()
                self._opened()
        else:
            state = near[0]
            for other in near[1:]:
                self._join(sessions, state, other)
            state[FIRST] = min(state[FIRST], time_ms)
            state[LAST] = max(state[LAST], time_ms)
        self._changed[id(state)] = (key, state)
        for owed in self._owed.values():
            owed[id(state)] = (key, state)
        return state

    def _join(self, sessions: list[State], state: State, other: State) -> None:
        self._merge(state, other)
        for changes in (self._changed, *self._owed.values()):
            changes.pop(id(other), None)
        state[FIRST], state[LAST] = min(state[FIRST], other[FIRST]), max(state[LAST], other[LAST])
        sessions[:] = [s for s in sessions if s is not other]

    def advance(self, watermark_ms: int) -> None:
        """Close the sessions that no event can reach any more."""
        wait = self._wait
        while self._due and self.next_ms <= watermark_ms:
            for interval in self._ticks.take(self.next_ms, watermark_ms):
                self._emit_owed(interval, list(self._owed[interval].values()))
            if self._due[0][0] > watermark_ms:
                self._plan_next()
                continue
            at, _, key = heapq.heappop(self._due)
            sessions = self._sessions(key)
            due = sorted((s for s in sessions if s[LAST] + wait <= at), key=lambda s: s[FIRST])
            for state in due:
                for interval, owed in self._owed.items():
                    if id(state) in owed:
                        self._emit_owed(interval, [(key, state)])
                self._emit("close", [(key, state)], 0, 0, self._watermark - self._behind)
                self._closed.append((key, state))
                self.closed_ms = max(self.closed_ms, state[LAST] + wait)
            if due:
                sessions[:] = [s for s in sessions if s[LAST] + wait > at]
            elif sessions:
                self._push(key, min(sessions, key=lambda s: s[LAST]))
            self._plan_next()
        self._watermark = max(self._watermark, watermark_ms)

    def _emit_owed(self, interval: int, rows: list[tuple[Any, State]]) -> None:
        """Emit sessions changed since the interval's last turn."""
        self._emit(f"every:{interval}", rows, 0, 0, self._watermark - self._behind)
        for _, state in rows:
            self._owed[interval].pop(id(state), None)

    def _write_owed(self, batch: Batch) -> None:
        """Keep which rows the next early emission owes: it must not depend on when a checkpoint was."""
        if not self._ticks.intervals:
            return
        owed = [
            (interval, [(self._keys.encode(key), state[FIRST]) for key, state in rows.values()])
            for interval, rows in self._owed.items()
        ]
        data = msgspec.msgpack.encode((list(self._ticks.due.items()), owed))
        batch.put(f"{self._view.name}/pending", self._view.prefix, data)

    def _restore_owed(self) -> None:
        data = self._view.beside("pending").get(self._view.prefix) if self._ticks.intervals else None
        if data is None:
            return
        due, owed = msgspec.msgpack.decode(data)
        self._ticks.due.update({interval: at for interval, at in due if interval in self._ticks.due})
        for interval, rows in owed:
            for raw, first in rows if interval in self._owed else ():
                key = self._keys.decode(raw)
                for state in self._sessions(key):
                    if state[FIRST] == first:
                        self._owed[interval][id(state)] = (key, state)

    def cut(self, batch: Batch) -> None:
        """Emit one change per changed session; write open sessions and closed rows; expire old rows."""
        self._emit("update", self._changed.values(), 0, 0, self._watermark - self._behind)
        prefix, name, begin = self._view.prefix, self._view.name, len(batch.puts)
        for key, sessions in self.hot.items():
            raw = prefix + self._keys.encode(key)
            if sessions:
                packed = [self._codec.encode(state) for state in sessions]
                batch.put(f"{name}/live", raw, msgspec.msgpack.encode(packed))
            else:
                batch.delete(f"{name}/live", raw)
        self.footprint.learn(batch.puts, begin)
        self._write_closed(batch)
        self._write_owed(batch)
        self.cold.update((key, sessions) for key, sessions in self.hot.items() if sessions)
        self.hot.clear()
        self._changed.clear()

    def _write_closed(self, batch: Batch) -> None:
        prefix, name = self._view.prefix, self._view.name
        for key, state in self._closed:
            row = prefix + self._keys.encode(key) + instant(state[FIRST])
            expiry = state[LAST] + self.window.gap_ms + self.window.grace_ms + self.window.retention_ms
            batch.put(name, row, self._codec.encode(state))
            batch.put(f"{name}/expiry", prefix + instant(expiry) + row, b"")
        self._closed.clear()
        # the end of a bounded input is no point in time: what it closed stays readable
        if not START_OF_TIME_MS < self._watermark <= MAX_TIME_MS:
            return
        end = prefix + instant(self._watermark)
        for raw, _ in self._view.beside("expiry").scan(prefix, end):
            batch.delete(name, raw[len(end) :])
            batch.delete(f"{name}/expiry", raw)

    def size(self) -> int:
        """Return the number of keys in memory."""
        return len(self.hot) + len(self.cold)

    def evict(self, keep: int) -> None:
        """Forget clean keys, those that came in first."""
        forget(self.cold, self.size() - keep)
