"""Patterns at run time: events in their order, alarms for windows that pass, and the state of it all."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from headrace.operators.footprint import Footprint
from headrace.operators.logic import FAILED, NEVER_MS, Emit
from headrace.operators.patterns.automaton import Automaton, Event
from headrace.operators.patterns.code import BEGINS, CAME, KEY, TIME, Layout
from headrace.operators.patterns.matcher import Found, Match, Matcher, Rules
from headrace.operators.patterns.matches import Taken
from headrace.operators.patterns.pending import Pending
from headrace.operators.patterns.runs import Runs
from headrace.operators.patterns.stored import RunStore, put
from headrace.operators.patterns.trace import Trace
from headrace.operators.view import StateView, instant, read_instant
from headrace.state.protocol import Batch
from headrace.time.instants import END_OF_TIME_MS, START_OF_TIME_MS
from headrace.topology.patterns import To

_READ = 1_000  # keys that are looked up at once


@dataclass(frozen=True, slots=True)
class PatternKit:
    """What a pattern's tasks share."""

    automaton: Automaton
    rules: Rules
    layout: Layout
    steps: tuple[str, ...]
    arrival: bool


class DetectLogic:
    """The runs of one task. Keys without runs are not known.

    In the order of event time an event waits until the watermark is behind it, and windows that end at an instant pass
    once the watermark is behind that; in the order of arrival an event is matched at once, and time is what events and
    watermark say it is.
    """

    def __init__(self, kit: PatternKit, view: StateView, emit: Emit, opened: Callable[[], None]) -> None:
        """Begin with nothing in memory."""
        self._kit, self._view, self._emit, self._opened = kit, view, emit, opened
        self._prefix = view.prefix
        self._matcher = Matcher(kit.automaton, kit.rules)
        self._store = RunStore(view, kit.automaton, kit.rules, kit.layout)
        self._pending = Pending(view, self._store)
        self.arrived: list[Event] = []
        self._live: dict[Any, Runs] = {}
        self._changed: list[Runs] = []
        self._alarms: list[tuple[int, int, Runs]] = []
        self._alarm = count()
        self._in_batch = False
        self._elsewhere = False  # whether the store may hold keys that are not in memory
        self._absent: set[Any] = set()
        self._looked_to = START_OF_TIME_MS
        self._stored_due_ms: int = NEVER_MS
        self._watermark = START_OF_TIME_MS
        self.overflowed = 0
        self.next_ms = NEVER_MS
        self.closed_ms = START_OF_TIME_MS
        self.footprint = Footprint()
        # A window that ends at W is over for sure once the watermark is W + 1: an event of that time may still come.
        self._hold_ms = 0 if kit.arrival else 1

    def restore(self, watermark_ms: int) -> None:
        """Let events wait as they did; runs are read when something happens to them."""
        self._watermark = watermark_ms
        self._pending.restore(watermark_ms)
        self._elsewhere = self._store.any()
        self._look_ahead()
        self._plan_next()

    def intake(self) -> Callable[[Event], None]:
        """Return what takes the events of a batch.

        Until the batch ends nothing need be done at any watermark: windows that pass are found in time by the events
        of their key, and by the watermark at the end.
        """
        self._in_batch = True
        self.next_ms = NEVER_MS
        self._opened()
        return self.arrived.append

    def catch_up(self) -> None:
        """Match what has come in a batch, or let it wait."""
        if self._in_batch or self.arrived:
            self._in_batch = False
            self._take_in()
            self._flush()
            self._plan_next()
            self._opened()

    def _take_in(self) -> None:
        if not self.arrived:
            return
        arrived = self.arrived[:]
        self.arrived.clear()
        if self._kit.arrival:
            self._match(arrived, CAME)
        else:
            self._pending.add(arrived)

    def advance(self, watermark_ms: int) -> None:
        """Match the events before the watermark; end the runs whose window has passed."""
        self._take_in()
        if watermark_ms >= self._pending.next_ms:
            self._match(self._pending.take(watermark_ms), TIME)
        self._ring(watermark_ms - self._hold_ms)
        if watermark_ms >= END_OF_TIME_MS:
            self._end()
        self._flush()
        self._watermark = max(self._watermark, watermark_ms)
        self._plan_next()

    def _match(self, events: list[Event], clock: int) -> None:
        """Let each event meet the runs of its key. ``clock``: where in an event the time is that it makes it."""
        if not events:
            return
        if self._elsewhere:
            self._read(list(dict.fromkeys(event[KEY] for event in events)))
        find, meet, matcher = self._live.get, self._matcher.event, self._matcher
        for event in events:
            runs = find(event[KEY])
            if runs is None:
                if not event[BEGINS]:
                    continue
                runs = Runs(event[KEY])
            now_ms = event[clock]
            try:
                if runs.due_ms > now_ms and not event[BEGINS]:
                    for place in runs.places:
                        if not place.patient or place.test(event, ()):
                            break
                    else:
                        continue  # all wait on
                if runs.due_ms <= now_ms:
                    self._touch(runs)
                    matcher.pass_time(runs, now_ms)
                if meet(runs, event, now_ms, event[BEGINS]):
                    self._touch(runs)
                if runs.due_ms < runs.timed_ms:
                    self._set_alarm(runs)
                if not runs.places and not runs.stored and not runs.waiting:
                    self._drop(runs)
            except Exception as error:  # whatever a condition raises, its event is a dead letter
                self._fail(event, error)
        self.closed_ms = max(self.closed_ms, events[-1][clock] + 1)

    def _fail(self, event: Event, error: Exception) -> None:
        row = (event[TIME], error, self._kit.layout.row(event))
        self._emit(FAILED, [(event[KEY], row)], 0, 0, self._watermark)

    def _touch(self, runs: Runs) -> None:
        """Note that the runs of a key are about to change, or have."""
        if not runs.changed:
            runs.changed = True
            self._changed.append(runs)
            self._live[runs.key] = runs

    def _drop(self, runs: Runs) -> None:
        """Forget a key without runs; if the store knows it, once the next cut has removed it there."""
        if runs.empty and not runs.stored:
            runs.due_ms = NEVER_MS
            if self._live.get(runs.key) is runs:  # the key may have begun anew
                del self._live[runs.key]

    def _set_alarm(self, runs: Runs) -> None:
        runs.timed_ms = runs.due_ms
        heapq.heappush(self._alarms, (runs.due_ms, next(self._alarm), runs))

    def _ring(self, now_ms: int) -> None:
        """Let time pass for all keys that have a window that ends by now."""
        if self._stored_due_ms <= now_ms:
            self._wake(now_ms)
        while self._alarms and self._alarms[0][0] <= now_ms:
            at_ms, _, runs = heapq.heappop(self._alarms)
            if runs.timed_ms != at_ms:
                continue
            runs.timed_ms = NEVER_MS
            if runs.due_ms <= now_ms:
                self.closed_ms = max(self.closed_ms, at_ms + 1)
                self._touch(runs)
                self._matcher.pass_time(runs, now_ms)
                self._drop(runs)
            if runs.due_ms < NEVER_MS:
                self._set_alarm(runs)

    def _wake(self, now_ms: int) -> None:
        """Read the keys that are only in the store, and have a window that ends by now."""
        prefix = self._prefix
        begin, end = prefix + instant(self._looked_to), prefix + instant(now_ms + 1)
        keys = [self._store.key(prefix + raw[len(end) :]) for raw, _ in self._view.beside("expiry").scan(begin, end)]
        self._read(keys)
        for key in keys:
            if (runs := self._live.get(key)) is not None:
                self._touch(runs)  # its note is past, and must be written anew
        self._looked_to = now_ms + 1
        self._look_ahead()

    def _look_ahead(self) -> None:
        """Find when the next window ends of a key that may be only in the store."""
        self._stored_due_ms = NEVER_MS
        if self._elsewhere:
            prefix = self._prefix
            begin, end = prefix + instant(self._looked_to), prefix + instant(NEVER_MS - 1)
            found = next(iter(self._view.beside("expiry").scan(begin, end)), None)
            if found is not None:
                self._stored_due_ms = read_instant(found[0], len(prefix))

    def _read(self, keys: list[Any]) -> None:
        """Bring keys into memory, as far as they are in the store and not here."""
        missing = [key for key in keys if key not in self._live and key not in self._absent]
        for begin in range(0, len(missing), _READ):
            some = missing[begin : begin + _READ]
            for key, runs in zip(some, self._store.read_many(some), strict=True):
                if runs is None:
                    self._absent.add(key)
                else:
                    self._admit(runs)

    def _admit(self, runs: Runs) -> None:
        self._live[runs.key] = runs
        self._matcher.plan(runs)
        if runs.due_ms < NEVER_MS:
            self._set_alarm(runs)

    def _end(self) -> None:
        """Release what waits behind runs that nothing can continue any more."""
        if self._kit.rules.skip.to is To.NONE:
            return
        if self._elsewhere:
            for runs in self._store.read_all():
                if runs.waiting and runs.key not in self._live:
                    self._admit(runs)
        now_ms = max(self.closed_ms - 1, self._watermark)
        for runs in list(self._live.values()):
            if runs.waiting:
                self._touch(runs)
                self._matcher.end(runs, now_ms)
                self._drop(runs)

    def _flush(self) -> None:
        """Emit what was found. What was found behind the old watermark is in time by it."""
        found = self._matcher.found
        if not (found.out or found.timed_out or found.overflow or found.failed):
            return
        self._matcher.found = Found()
        self.overflowed += len(found.overflow)
        for port, matches in (("out", found.out), ("timed_out", found.timed_out), ("overflow", found.overflow)):
            if matches:
                self._emit(port, map(_row, matches), 0, 0, self._watermark)
        for failure in found.failed:
            taken = {"taken": [self._kit.layout.row(node.event) for node in failure.match.node.chain()]}
            row = (failure.match.time_ms, failure.error, taken)
            self._emit(FAILED, [(failure.match.key, row)], 0, 0, self._watermark)

    def _plan_next(self) -> None:
        if self._in_batch:
            return
        alarms = self._alarms
        while alarms and (alarms[0][2].timed_ms != alarms[0][0] or alarms[0][2].due_ms >= NEVER_MS):
            at_ms, _, runs = heapq.heappop(alarms)
            if runs.timed_ms == at_ms:
                runs.timed_ms = NEVER_MS
        due_ms = min(alarms[0][0] if alarms else NEVER_MS, self._stored_due_ms)
        self.next_ms = min(self._pending.next_ms, due_ms + self._hold_ms)

    def cut(self, batch: Batch) -> None:
        """Write the keys that have changed, and the events that wait."""
        self._take_in()
        self._flush()
        self._pending.cut(batch, self._watermark)
        live: dict[bytes, bytes | None] = {}
        nodes: dict[bytes, bytes | None] = {}
        expiry: dict[bytes, bytes | None] = {}
        for runs in self._changed:
            runs.changed = False
            if runs.empty and not runs.stored:
                self._drop(runs)
                continue
            raw = self._store.raw(runs.key)
            self._write_alarm(runs, raw, expiry)
            self._store.write(runs, raw, live, nodes)
            runs.stored = not runs.empty
            if runs.empty:
                self._drop(runs)
                if self._elsewhere:
                    self._absent.add(runs.key)
        self._changed.clear()
        name = self._view.name
        self.footprint.learn([(name, key, value) for key, value in live.items() if value is not None], 0)
        put(batch, f"{name}/live", live)
        put(batch, name, nodes)
        put(batch, f"{name}/expiry", expiry)
        self._plan_next()

    def _write_alarm(self, runs: Runs, raw: bytes, expiry: dict[bytes, bytes | None]) -> None:
        """Note in the store when a window of the key ends, or earlier: a note that comes too early costs a look."""
        due_ms, noted_ms = NEVER_MS if runs.empty else runs.due_ms, runs.stored_due_ms
        if due_ms == noted_ms or self._watermark < noted_ms < due_ms < NEVER_MS:
            return
        prefix, key = self._prefix, raw[len(self._prefix) :]
        if noted_ms < NEVER_MS:
            expiry[prefix + instant(noted_ms) + key] = None
        if due_ms < NEVER_MS:
            expiry[prefix + instant(due_ms) + key] = b""
        runs.stored_due_ms = due_ms

    def size(self) -> int:
        """Return the number of keys in memory, and of events that wait."""
        return len(self._live) + len(self._pending) + len(self._absent) // 4

    def evict(self, keep: int) -> None:
        """Forget clean keys, those that came in first."""
        surplus = self.size() - keep
        if surplus <= 0:
            return
        self._absent.clear()
        clean = (key for key, runs in self._live.items() if not runs.changed)
        gone = [key for key, _ in zip(clean, range(surplus), strict=False)]
        for key in gone:
            runs = self._live.pop(key)
            runs.timed_ms = NEVER_MS - 1  # its alarm is void
            self._looked_to = min(self._looked_to, runs.stored_due_ms)
        if gone:
            self._elsewhere = True
            self._alarms = [alarm for alarm in self._alarms if alarm[2].timed_ms == alarm[0]]
            heapq.heapify(self._alarms)
            self._look_ahead()
            self._plan_next()

    def trace(self) -> Trace:
        """Begin to tell what happens to runs; for tests."""
        if self._matcher.trace is None:
            layout = self._kit.layout
            self._matcher.trace = Trace(self._kit.steps, lambda event: str(layout.row(event)))
        return self._matcher.trace

    def held(self, key: Any) -> list[dict[str, Any]]:
        """Return the kept columns of all events that the runs of a key hold, in order; for tests."""
        runs = self._live.get(key)
        if runs is None:
            runs = self._store.read_many([key])[0] if self._elsewhere else None
        if runs is None:
            return []
        nodes = {node.position: node for head in runs.heads() for node in head.chain()}
        return [self._kit.layout.row(nodes[position].event) for position in sorted(nodes)]


def _row(match: Match) -> tuple[Any, tuple[int, Taken]]:
    return match.key, (match.time_ms, Taken(match.node))
