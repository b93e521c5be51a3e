"""Records that wait until every input of their task has come as far as they.

What waits is kept in event-time order; a record that lies behind its own input's watermark takes its place as if it had
happened at that. So the order in which records go on is the same whenever, and in whatever batches, they came in.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

from headrace.event.dtypes import STR
from headrace.operators.agent import OperatorSpec
from headrace.operators.footprint import Footprint
from headrace.operators.frame import Frame
from headrace.operators.kind import RowForm, Shape
from headrace.operators.logic import NEVER_MS, Emit, Logic
from headrace.operators.rows import listed_form
from headrace.operators.view import StateCodec, StateView, instant, read_instant
from headrace.plan.model import PlannedStep
from headrace.state.keys import prefix_end
from headrace.state.protocol import Batch
from headrace.time.instants import END_OF_TIME_MS, START_OF_TIME_MS
from headrace.topology.operator import Port
from headrace.topology.routes import Hold

if TYPE_CHECKING:
    from headrace.operators.generator import Generator

Waiting = tuple[int, int, Any, list[Any]]
"""When a record is due, its number, its key and its state: event time, columns, own watermark, key as it came in."""

_INSTANT_BYTES = 8
_due, _order = itemgetter(0), itemgetter(0, 1)
_SLOTS = (Any,) * 5  # key, event time, columns by name, own watermark, key as it came in


class Clock(Protocol):
    """What a task tells of event time."""

    watermark_ms: int


class HoldKind:
    """Generated code notes each record; the logic lets go of them."""

    def prepare(self, g: Generator, step: PlannedStep, index: int) -> Shape:
        """Lay out the state: by name, so that it outlives a change of columns."""
        return Shape(index, _SLOTS)

    def visit(self, g: Generator, step: PlannedStep, port: Port, frame: Frame, *, tail: bool) -> None:
        """Put the record at hand with those that wait."""
        wait = g.bind(f"t.operators[{g.operators[step.id].index}].begin(t)", "hw")
        w = g.writer
        code, lag = frame.watermark
        own = w.fresh("w_")
        w.line(f"{own} = {code} - {lag}" if lag else f"{own} = {code}")
        values = [frame.column((name,))[0] for name, _ in g.plan.columns[Port(step.id, "held")].fields]
        state = ", ".join((frame.time, *values, own, frame.record_key()))
        due = f"{frame.time} if {frame.time} > {own} else {own}"
        w.line(f"{wait}(({due}, {frame.key_code}, [{state}]))")

    def row(self, g: Generator, step: PlannedStep, port: str) -> RowForm:
        """Return the form of rows: a record brings its own watermark along, by which steps behind judge it."""
        form = listed_form(g, step, port)
        last = len(g.plan.columns[Port(step.id, port)].fields) + 1
        g.names["_came_with"] = _text
        frame = replace(form.frame, watermark=(f"st[{last}]", 0))
        if not frame.key:
            metas = {**frame.metas, "key": (f"_came_with(st[{last + 1}])", STR.optional())}
            frame = replace(frame, key_code=None, raw_key=f"st[{last + 1}]", metas=metas)
        return replace(form, frame=frame)

    def delays(self, node: Any, before: int) -> Mapping[str, int]:
        """Return the delays: a record goes on before the watermark passes it."""
        return {"out": before, "held": before}

    def kit(self, g: Generator, step: PlannedStep, made: Callable[[str], Callable[..., Any]]) -> tuple[str, ...]:
        """Return the names of the columns."""
        return tuple(name for name, _ in g.plan.columns[Port(step.id, "held")].fields)

    def logic(self, spec: OperatorSpec, view: StateView, emit: Emit, opened: Callable[[], None]) -> HoldLogic:
        """Return the logic for one task."""
        if not isinstance(spec.step.node, Hold):
            raise TypeError(spec.step.id)
        return HoldLogic(spec, view, emit, opened)

    def preview(self, spec: OperatorSpec, view: StateView, logic: Logic) -> None:
        """Return nothing."""


class HoldLogic:
    """Records that wait, by when they are due.

    ``_waiting`` is sorted but for what has been added since. Records with a number up to ``_stored`` are in the store
    too; of those, the ones due at ``_loaded_to`` or later are only there.
    """

    def __init__(self, spec: OperatorSpec, view: StateView, emit: Emit, opened: Callable[[], None]) -> None:
        """Begin with nothing in memory."""
        self._view, self._emit, self._opened = view, emit, opened
        self._names: tuple[str, ...] = spec.kit
        self._delay_ms = spec.delay_ms
        self._codec = StateCodec(_SLOTS)
        self._came: list[tuple[int, Any, list[Any]]] = []
        self._waiting: list[Waiting] = []
        self._gone: list[bytes] = []
        self._number = self._stored = 0
        self._loaded_to = END_OF_TIME_MS
        self._first_ms = NEVER_MS
        self._watermark = START_OF_TIME_MS
        self._clock: Clock | None = None
        self._busy = False
        self.next_ms = NEVER_MS
        self.closed_ms = START_OF_TIME_MS
        self.footprint = Footprint()

    def restore(self, watermark_ms: int) -> None:
        """Take up what waited at the last checkpoint."""
        self._watermark = watermark_ms
        self._load(START_OF_TIME_MS, END_OF_TIME_MS + 1)
        self._number = self._stored = max((number for _, number, _, _ in self._waiting), default=0)
        self._plan()

    def begin(self, clock: Clock) -> Callable[[tuple[int, Any, list[Any]]], None]:
        """Begin a batch: return where its records go.

        To let go of them one by one as time passes would cost more than all else: within a batch this step acts only
        when another one has something to do.
        """
        self._clock, self._busy, self.next_ms = clock, True, NEVER_MS
        self._opened()
        return self._came.append

    def catch_up(self) -> None:
        """Take in the records of the batch, and let go of those that nothing holds."""
        if not self._busy:
            return
        self._busy = False
        self._take()
        if self._clock is not None:
            self._release(self._clock.watermark_ms - self._delay_ms)
        self._plan()
        self._opened()

    def advance(self, watermark_ms: int) -> None:
        """Let go of the records that the watermark has passed."""
        self._take()
        self._release(watermark_ms)
        self._plan()

    def cut(self, batch: Batch) -> None:
        """Write what waits and is not in the store, remove what has gone on."""
        self._take()
        name, begin = f"{self._view.name}/pending", len(batch.puts)
        for due, number, key, state in self._waiting if self._number > self._stored else ():
            if number > self._stored:
                batch.put(name, self._key(due, number), self._encode(key, state))
        for raw in self._gone:
            batch.delete(name, raw)
        self.footprint.learn(batch.puts, begin)
        self._gone, self._stored = [], self._number
        if self._loaded_to < END_OF_TIME_MS:
            self._waiting = [entry for entry in self._waiting if entry[0] < self._loaded_to]

    def size(self) -> int:
        """Return the number of records in memory."""
        return len(self._waiting)

    def evict(self, keep: int) -> None:
        """Forget records that are in the store, those that are due last."""
        if keep >= len(self._waiting) or self._number > self._stored:
            return
        self._waiting.sort(key=_order)
        self._loaded_to = self._waiting[keep][0]
        del self._waiting[bisect_left(self._waiting, self._loaded_to, key=_due) :]

    def _take(self) -> None:
        if not self._came:
            return
        number, self._first_ms = self._number, min(self._first_ms, *map(_due, self._came))
        for due, key, state in self._came:
            number += 1
            self._waiting.append((due, number, key, state))
        self._number = number
        self._came.clear()

    def _release(self, watermark_ms: int) -> None:
        if self._loaded_to < watermark_ms:
            begin, self._loaded_to = self._loaded_to, watermark_ms
            self._load(begin, watermark_ms)
        if self._first_ms < watermark_ms:
            self._waiting.sort(key=_order)  # nearly in order already
            place = bisect_left(self._waiting, watermark_ms, key=_due)
            due, self._waiting = self._waiting[:place], self._waiting[place:]
            self._gone += [self._key(at, number) for at, number, _, _ in due if number <= self._stored]
            self._first_ms = self._waiting[0][0] if self._waiting else NEVER_MS
            self._emit("held", [(key, state) for _, _, key, state in due], 0, 0, self._watermark)
        self._watermark = max(self._watermark, watermark_ms)

    def _plan(self) -> None:
        """Say when there is something to do."""
        if self._busy:
            self.next_ms = NEVER_MS
            return
        first = self._first_ms if self._loaded_to >= END_OF_TIME_MS else min(self._first_ms, self._loaded_to)
        self.next_ms = NEVER_MS if first >= NEVER_MS else first + 1

    def _load(self, begin: int, end: int) -> None:
        """Read what is due in [begin, end) from the store."""
        prefix = self._view.prefix
        start, stop = prefix + instant(begin), prefix + instant(end) if end < NEVER_MS else prefix_end(prefix)
        at = len(prefix)
        for raw, data in self._view.beside("pending").scan(start, stop):
            due, number = read_instant(raw, at), read_instant(raw, at + _INSTANT_BYTES)
            key, time_ms, columns, own, came_with = self._codec.decode(data)
            state = [time_ms, *(columns.get(name) for name in self._names), own, came_with]
            self._waiting.append((due, number, key, state))
            self._first_ms = min(self._first_ms, due)

    def _key(self, due: int, number: int) -> bytes:
        return self._view.prefix + instant(due) + instant(number)

    def _encode(self, key: Any, state: list[Any]) -> bytes:
        time_ms, *values, own, came_with = state
        columns = dict(zip(self._names, values, strict=True))
        return self._codec.encode([key, time_ms, columns, own, came_with])


def _text(key: bytes | None) -> str | None:
    return None if key is None else key.decode(errors="replace")
