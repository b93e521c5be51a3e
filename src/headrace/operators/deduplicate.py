"""Deduplication: which records of a key have passed, as long as another could be too near to one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.operators.agent import OperatorSpec
from headrace.operators.footprint import Footprint, forget
from headrace.operators.frame import Frame
from headrace.operators.kind import RowForm, Shape, node_of
from headrace.operators.late import behind, unless
from headrace.operators.logic import NEVER_MS, Emit, Logic
from headrace.operators.rows import listed_form
from headrace.operators.view import StateView, instant
from headrace.plan.model import PlannedStep
from headrace.state.protocol import Batch
from headrace.time.instants import MAX_TIME_MS, START_OF_TIME_MS
from headrace.topology.deduplicate import Deduplicate
from headrace.topology.operator import Port

if TYPE_CHECKING:
    from headrace.operators.generator import Generator

_times = msgspec.msgpack.Decoder(list[int]).decode


class DeduplicateKind:
    """A record passes, or nothing happens: the steps behind it run in the same loop."""

    def prepare(self, g: Generator, step: PlannedStep, index: int) -> Shape:
        """Lay out nothing: the logic knows its states."""
        return Shape(index, ())

    def visit(self, g: Generator, step: PlannedStep, port: Port, frame: Frame, *, tail: bool) -> None:
        """Go on with a record that is neither late nor a duplicate."""
        if not isinstance(step.node, Deduplicate):
            raise TypeError(step.id)
        admit = g.bind(f"t.operators[{g.operators[step.id].index}].admit", "adm")
        with unless(g, step, frame, behind(frame, frame.time, step.node.grace_ms), tail=tail):
            test = f"{admit}({frame.key_code}, {frame.time})"
            if tail:
                g.writer.line(f"if not {test}: continue")
                g.children(Port(step.id), frame, tail=True)
                return
            with g.writer.block(f"if {test}:"):
                g.children(Port(step.id), frame, tail=False)

    def row(self, g: Generator, step: PlannedStep, port: str) -> RowForm:
        """Return the form of rows: there are none."""
        return listed_form(g, step, port)

    def delays(self, node: Any, before: int) -> Mapping[str, int]:
        """Return the delays: records pass as they come in."""
        return {"out": before, "late": before}

    def kit(self, g: Generator, step: PlannedStep, made: Callable[[str], Callable[..., Any]]) -> None:
        """Return nothing."""

    def logic(self, spec: OperatorSpec, view: StateView, emit: Emit, opened: Callable[[], None]) -> DeduplicateLogic:
        """Return the logic for one task."""
        return DeduplicateLogic(node_of(spec.step, Deduplicate), view)

    def preview(self, spec: OperatorSpec, view: StateView, logic: Logic) -> None:
        """Return nothing."""


class DeduplicateLogic:
    """The event times that have passed, by key; ``hot`` ones have changed since the last cut."""

    def __init__(self, node: Deduplicate, view: StateView) -> None:
        """Begin with nothing in memory."""
        self._view, self._within_ms = view, node.within_ms
        self._kept_ms = node.within_ms + node.grace_ms
        self._keys, self._get = view.keys(), view.store.get
        self._hot: dict[Any, list[int]] = {}
        self._cold: dict[Any, list[int]] = {}
        self._watermark = self._expired_to = START_OF_TIME_MS
        self.next_ms = NEVER_MS
        self.closed_ms = START_OF_TIME_MS
        self.footprint = Footprint()

    def restore(self, watermark_ms: int) -> None:
        """Take the watermark of the last checkpoint."""
        self._watermark = watermark_ms

    def catch_up(self) -> None:
        """Do nothing: records are judged as they come."""

    def admit(self, key: Any, time_ms: int) -> bool:
        """Tell whether a record passes; if so, remember it."""
        times = self._hot.get(key)
        if times is None:
            times = self._cold.get(key)
            if times is None:
                found = self._get(self._view.prefix + self._keys.encode(key))
                times = self._cold[key] = [] if found is None else _times(found)
        within_ms = self._within_ms
        for passed in times:
            if -within_ms < time_ms - passed < within_ms:
                return False
        self._hot[key] = times
        self._cold.pop(key, None)
        times.append(time_ms)
        return True

    def advance(self, watermark_ms: int) -> None:
        """Note the watermark."""
        self._watermark = max(self._watermark, watermark_ms)

    def cut(self, batch: Batch) -> None:
        """Write the keys that have changed; remove what no record can be near to any more."""
        prefix, name, begin = self._view.prefix, self._view.name, len(batch.puts)
        oldest = min(self._watermark, MAX_TIME_MS) - self._kept_ms
        for key, times in self._hot.items():
            raw = prefix + self._keys.encode(key)
            times[:] = [time_ms for time_ms in times if time_ms >= oldest]
            if times:
                batch.put(name, raw, msgspec.msgpack.encode(times))
                batch.put(f"{name}/expiry", prefix + instant(max(times) + self._kept_ms) + raw, b"")
            else:
                batch.delete(name, raw)
        self.footprint.learn(batch.puts, begin)
        self._cold.update((key, times) for key, times in self._hot.items() if times)
        self._hot.clear()
        self._expire(batch)

    def _expire(self, batch: Batch) -> None:
        # the end of a bounded input is no point in time: more of the same may be read later
        if not START_OF_TIME_MS < self._watermark <= MAX_TIME_MS:
            return
        prefix, name = self._view.prefix, self._view.name
        begin, end = prefix + instant(self._expired_to), prefix + instant(self._watermark)
        for raw, _ in self._view.beside("expiry").scan(begin, end):
            batch.delete(f"{name}/expiry", raw)
            self._forget(batch, raw[len(end) :])
        self._expired_to = self._watermark

    def _forget(self, batch: Batch, raw: bytes) -> None:
        """Remove a key unless it has passed again since."""
        key = self._keys.decode(raw[len(self._view.prefix) :])
        times = self._cold.get(key)
        if times is None:
            found = self._get(raw)
            times = [] if found is None else _times(found)
        if times and max(times) + self._kept_ms >= self._watermark:
            return
        self._cold.pop(key, None)
        batch.delete(self._view.name, raw)

    def size(self) -> int:
        """Return the number of keys in memory."""
        return len(self._hot) + len(self._cold)

    def evict(self, keep: int) -> None:
        """Forget clean keys, those that came in first."""
        forget(self._cold, self.size() - keep)
