"""Windows that are as many as there are records: sliding ones and those by number, from all records of a key."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from headrace.topology import nodes
from headrace.topology.operator import Port
from headrace.topology.windows import Counted, Sliding
from tests.naive.aggregates import Entry, result

if TYPE_CHECKING:
    from tests.naive.interpreter import Interpreter, Record

Key = tuple[tuple[str, Any], ...]
NEVER = 10**19


@dataclass(frozen=True)
class Taken:
    """A record that an aggregate took."""

    key: Key
    arrival: int
    time_ms: int
    args: tuple[tuple[Any, ...], ...]


class Many:
    """The aggregates of an interpreter whose tables have the newest row of each key."""

    def __init__(self, interpreter: Interpreter) -> None:
        self.interpreter = interpreter
        self.taken: dict[str, list[Taken]] = defaultdict(list)
        self.open: dict[str, list[tuple[int, Key]]] = defaultdict(list)
        self.owed: dict[tuple[str, int], dict[Key, Any]] = defaultdict(dict)
        self.turn: dict[tuple[str, int], int] = defaultdict(lambda: NEVER)

    def process(
        self, node: nodes.Aggregate, record: Record, value: Callable[[Any], Any]
    ) -> Iterator[tuple[Port, Record]]:
        """Take a record, unless it is late."""
        args = tuple(tuple(value(arg) for arg in spec.args) for _, spec in node.aggregates)
        mine = Taken(record.key, len(self.taken[node.id]), record.time_ms, args)
        if isinstance(node.window, Sliding):
            if record.time_ms + 1 + node.window.grace_ms <= record.watermark:
                self.interpreter.late += 1
                yield Port(node.id, "late"), record
                return
            self.columns(node, [mine])  # its own values may be bad
            self.taken[node.id].append(mine)
            if (record.time_ms, record.key) not in self.open[node.id]:
                self.open[node.id].append((record.time_ms, record.key))
            return
        self.columns(node, [mine])
        self.taken[node.id].append(mine)
        before = [taken for taken in self.taken[node.id] if taken.key == record.key]
        if isinstance(node.window, Counted) and len(before) % node.window.every == 0:
            self.close(node, before[-node.window.size :], record.watermark, record.watermark)

    def columns(self, node: nodes.Aggregate, rows: list[Taken]) -> dict[str, Any]:
        """Return the aggregates over records."""
        return {
            name: result(spec, [Entry(row.time_ms, row.args[place]) for row in rows])
            for place, (name, spec) in enumerate(node.aggregates)
        }

    def close(self, node: nodes.Aggregate, rows: list[Taken], at_ms: int, watermark: int) -> None:
        """Make the row of a window."""
        from tests.naive.interpreter import moment

        times = [row.time_ms for row in rows]
        start, end = min(times), max(times) + 1
        if isinstance(node.window, Sliding):
            start = max(times) - node.window.size_ms
        key = rows[0].key
        row = dict(key) | {"window_start": moment(start), "window_end": moment(end)} | self.columns(node, rows)
        made = self.interpreter._derived(row, end - 1, watermark)
        self.interpreter.tables[node.id][key] = row
        for every in node.every_ms:
            owed = self.owed[node.id, every]
            if not owed:
                self.turn[node.id, every] = (at_ms // every + 1) * every
            owed[key] = made
        self.interpreter._pass_on(Port(node.id, "close"), made)
        self.interpreter._pass_on(Port(node.id, "update"), replace(made))

    def advance(self, node: nodes.Aggregate, watermark: int) -> None:
        """Close what has passed, and emit what is owed, in the order in which they are due."""
        wait = 1 + (node.window.grace_ms if isinstance(node.window, Sliding) else 0)
        known = self.interpreter._port_watermark(Port(node.id, "close"))
        while True:
            closing = min((time_ms + wait for time_ms, _ in self.open[node.id]), default=NEVER)
            turn = min((self.turn[node.id, every] for every in node.every_ms), default=NEVER)
            if min(closing, turn) > watermark:
                return
            if turn <= closing:
                self.emit(node, turn)
                continue
            for time_ms, key in [pair for pair in self.open[node.id] if pair[0] + wait == closing]:
                self.open[node.id].remove((time_ms, key))
                self.close(node, self.within(node, key, time_ms), closing, known)

    def within(self, node: nodes.Aggregate, key: Key, time_ms: int) -> list[Taken]:
        """Return the records of the window that ends at a moment, in order of event time, then of arrival."""
        begin = time_ms - node.window.size_ms  # type: ignore[union-attr]
        found = [row for row in self.taken[node.id] if row.key == key and begin <= row.time_ms <= time_ms]
        return sorted(found, key=lambda row: (row.time_ms, row.arrival))

    def emit(self, node: nodes.Aggregate, turn: int) -> None:
        """Emit the newest rows at a turn."""
        for every in node.every_ms:
            if self.turn[node.id, every] == turn:
                self.turn[node.id, every] = NEVER
                rows = list(self.owed.pop((node.id, every)).values())
                for row in rows:
                    self.interpreter._pass_on(Port(node.id, f"every:{every}"), row)
