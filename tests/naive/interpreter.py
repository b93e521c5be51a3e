"""What a declared topology means, one record at a time over dicts: no plan, no batch, no generated code.

It reads only the declaration. Slow on purpose: an aggregate keeps every record of its group
and is computed anew from its definition.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from headrace.topology import nodes
from headrace.topology.aggregates import Aggregate as AggregateSpec
from headrace.topology.calendars import Calendar
from headrace.topology.deduplicate import Deduplicate
from headrace.topology.nodes import OnError
from headrace.topology.operator import Port
from headrace.topology.topology import Topology
from headrace.topology.windows import Counted, Hopping, Session, Sliding
from tests.naive.aggregates import Entry, result
from tests.naive.expressions import evaluate
from tests.naive.many import Many
from tests.naive.windows import Group, assign, joined, touching

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEVER = -(10**18)
END = 10**18
EARLIEST_MS, LATEST_MS = 0, int((datetime(2200, 1, 1, tzinfo=UTC) - EPOCH) / timedelta(milliseconds=1))


@dataclass(frozen=True)
class Record:
    """A record on its way: columns, event time, key, the watermark of the input that it came by."""

    columns: dict[str, Any]
    time_ms: int
    watermark: int
    origin: tuple[str, int, int, bytes]  # topic, partition, offset, original value
    on_error: OnError
    key: tuple[tuple[str, Any], ...] = ()

    @property
    def meta(self) -> dict[str, Any]:
        topic, partition, offset, _ = self.origin
        return {"time": moment(self.time_ms), "topic": topic, "partition": partition, "offset": offset, "key": None}


def moment(ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=ms)


def to_ms(value: datetime | int) -> int:
    if isinstance(value, int):
        return value
    aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return (aware - EPOCH) // timedelta(milliseconds=1)


def one_form(part: Any) -> Any:
    """Return a key's part so that equal parts are the same, or refuse it: it must equal itself."""
    if part is None or part != part:  # noqa: PLR0124 - as NaN does not
        raise ValueError("no key")
    if isinstance(part, Decimal):
        return Decimal(format(part.normalize(), "f")) if part else Decimal(0)
    return part + 0.0 if isinstance(part, float) else part


def patience(window: Hopping | Session | None) -> int:
    """Return how long after its end a window closes: a session one millisecond later, as its gap is inclusive."""
    return 0 if window is None or isinstance(window, Counted) else window.grace_ms + isinstance(window, Session)


class Interpreter:
    """Run a topology. Results: ``outputs`` by topic, ``dead`` letters, ``late`` count, ``calls`` of handlers."""

    def __init__(self, topology: Topology, partitions: int = 1) -> None:
        self.nodes, self.partitions = topology.nodes, partitions
        self.outputs: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.dead: list[tuple[str, bytes]] = []
        self.skipped = 0
        self.late = 0
        self.calls: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.tables: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = defaultdict(dict)
        self.channels: dict[str, dict[int, int]] = defaultdict(lambda: dict.fromkeys(range(partitions), NEVER))
        self.watermarks: dict[str, int] = defaultdict(lambda: NEVER)
        self.live: dict[str, list[Group]] = defaultdict(list)
        self.changed: dict[tuple[str, int], dict[tuple[Any, ...], Group]] = defaultdict(dict)
        self.offsets: dict[tuple[str, int], int] = defaultdict(int)
        self.arrival = 0
        self.passed: dict[str, list[tuple[object, int]]] = defaultdict(list)
        self.many = Many(self)

    def feed(self, topic: str, value: bytes, time_ms: int, partition: int = 0) -> None:
        """Process one record of a topic."""
        offset = self.offsets[topic, partition]
        self.offsets[topic, partition] += 1
        for node in self.nodes:
            if isinstance(node, nodes.Source) and node.topic == topic:
                self._read(node, (topic, partition, offset, value), time_ms)

    def finish(self) -> None:
        """End all inputs."""
        for node in self.nodes:
            if isinstance(node, nodes.Source):
                self.channels[node.id] = dict.fromkeys(self.channels[node.id], END)
        self._propagate()

    def _read(self, node: nodes.Source, origin: tuple[str, int, int, bytes], time_ms: int) -> None:
        record = Record({}, time_ms, NEVER, origin, node.on_error)
        try:
            model = node.schema.model_validate_json(origin[3])
            record = replace(record, columns=model.model_dump(mode="python"))
            if node.time is not None:
                record = replace(record, time_ms=to_ms(evaluate(node.time, record.columns, record.meta)))
            if not EARLIEST_MS <= record.time_ms < LATEST_MS:
                raise ValueError("event time out of range")
        except Exception:
            self._fail(node.id, record)
            return
        channel = self.channels[node.id]
        watermark = max(channel.get(origin[1], NEVER), record.time_ms - node.out_of_orderness_ms)
        channel[origin[1]] = watermark
        self._propagate()
        self._pass_on(Port(node.id), replace(record, watermark=watermark))

    def _fail(self, step: str, record: Record) -> None:
        match record.on_error:
            case OnError.DEAD_LETTER:
                self.dead.append((step, record.origin[3]))
            case OnError.SKIP:
                self.skipped += 1
            case OnError.FAIL:
                raise ValueError(step)

    def _pass_on(self, port: Port, record: Record) -> None:
        """Pass a record on, depth first in order of declaration; each step that reads the port fails for itself."""
        for node in self.nodes:
            if port in nodes.inputs(node):
                try:
                    results = list(self._process(node, record))
                except Exception:
                    self._fail(node.id, record)
                    continue
                for out, made in results:
                    self._pass_on(out, made)

    def _process(self, node: nodes.Node, record: Record) -> Iterator[tuple[Port, Record]]:
        def value(expr: Any) -> Any:
            return evaluate(expr, record.columns, record.meta)

        out = Port(node.id)
        match node:
            case nodes.Filter():
                if value(node.condition) is True:
                    yield out, record
            case nodes.Select():
                made = {name: value(expr) for name, expr in node.columns}
                yield out, replace(record, columns={**record.columns, **made} if node.extend else made)
            case nodes.Explode():
                for item in value(node.items) or []:
                    yield out, replace(record, columns={**record.columns, node.name: item})
            case nodes.Merge():
                yield out, record
            case nodes.Broadcast():
                yield from [(out, record)] * self.partitions
            case Deduplicate():
                yield from self._first(node, record)
            case nodes.GroupBy():
                key = tuple((name, one_form(value(expr))) for name, expr in node.keys)
                yield out, replace(record, key=key, columns={**record.columns, **dict(key)})
            case nodes.Table():
                yield from self._table(node, record, deleted=node.delete is not None and value(node.delete) is True)
            case nodes.Aggregate(window=Sliding() | Counted()):
                yield from self.many.process(node, record, value)
            case nodes.Aggregate():
                yield from self._aggregate(node, record)
            case nodes.Sink():
                topic = node.topic if isinstance(node.topic, str) else value(node.topic)
                if (
                    not isinstance(topic, str)
                    or not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", topic)
                    or set(topic) == {"."}
                ):
                    raise ValueError("no topic name")
                self.outputs[topic].append(dict(record.columns))
            case nodes.Handle():
                row = dict(record.columns)
                self.calls[node.id].append(row)
                try:
                    asyncio.run(node.function(row))
                except Exception:
                    # the handler's record is the row, as it was handed over
                    sent = msgspec.json.encode(row)
                    self._fail(node.id, replace(record, origin=(*record.origin[:3], sent)))

    def _table(self, node: nodes.Table, record: Record, *, deleted: bool) -> Iterator[tuple[Port, Record]]:
        ident = tuple(part for _, part in record.key)
        row = dict(record.columns)
        if deleted:
            self.tables[node.id].pop(ident, None)
            return
        self.tables[node.id][ident] = row
        yield Port(node.id, "update"), replace(record, columns=row)

    def _first(self, node: Deduplicate, record: Record) -> Iterator[tuple[Port, Record]]:
        passed, at = self.passed[node.id], record.time_ms
        if at + node.grace_ms < record.watermark:
            self.late += 1
            yield Port(node.id, "late"), record
        elif not any(key == record.key and abs(at - then) < node.within_ms for key, then in passed):
            passed.append((record.key, at))
            yield Port(node.id), record

    def _aggregate(self, node: nodes.Aggregate, record: Record) -> Iterator[tuple[Port, Record]]:
        args = tuple(
            tuple(evaluate(a, record.columns, record.meta) for a in spec.args) for _, spec in node.aggregates
        )  # fmt: skip
        changed = {every: dict(self.changed[node.id, every]) for every in node.every_ms}
        before = list(self.live[node.id]), dict(self.tables[node.id])
        groups = self._groups(node, record)
        if not groups:
            self.late += 1
            yield Port(node.id, "late"), record
        self.arrival += 1
        for group in groups:
            group.rows.append((self.arrival, record.time_ms, args))
        try:
            rows = [self._row(node, group, record.key) for group in groups]
        except Exception:
            self.live[node.id], self.tables[node.id] = before
            self.changed.update({(node.id, every): known for every, known in changed.items()})
            for group in groups:
                group.rows.pop()
            raise
        for group, columns in zip(groups, rows, strict=True):
            self.tables[node.id][group.ident] = columns
            for every in node.every_ms:
                self.changed[node.id, every][group.ident] = group
            yield Port(node.id, "update"), replace(record, columns=columns)

    def _groups(self, node: nodes.Aggregate, record: Record) -> list[Group]:
        live, window, time_ms = self.live[node.id], node.window, record.time_ms
        if window is None:
            return [self._group(node.id, record.key, None, None)]
        if isinstance(window, Hopping | Calendar):
            spans = assign(window, time_ms)
            return [self._group(node.id, record.key, *s) for s in spans if s[1] + window.grace_ms > record.watermark]
        near = touching(window, live, record.key, time_ms)
        if not near and time_ms + window.gap_ms + window.grace_ms < record.watermark:
            return []
        group = joined(window, near, record.key, time_ms)
        for old in near:
            live.remove(old)
            self.tables[node.id].pop(old.ident)
            for every in node.every_ms:
                self.changed[node.id, every].pop(old.ident, None)
        live.append(group)
        return [group]

    def _group(self, step: str, key: tuple[Any, ...], start: int | None, end: int | None) -> Group:
        for group in self.live[step]:
            if group.ident == (key, start, end):
                return group
        group = Group(key, start, end)
        self.live[step].append(group)
        return group

    def _row(self, node: nodes.Aggregate, group: Group, key: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
        row = dict(key)
        if group.end is not None:
            row |= {"window_start": moment(group.start), "window_end": moment(group.end)}
        return row | {name: self._value(spec, place, group) for place, (name, spec) in enumerate(node.aggregates)}

    @staticmethod
    def _value(spec: AggregateSpec, place: int, group: Group) -> Any:
        return result(spec, [Entry(time_ms, args[place]) for _, time_ms, args in group.rows])

    def _propagate(self) -> None:
        """Carry the watermarks down the graph, closing what they pass."""
        for node in self.nodes:
            if isinstance(node, nodes.Source):
                self.watermarks[node.id] = min(self.channels[node.id].values())
                continue
            old = self.watermarks[node.id]
            new = max(old, min(self._port_watermark(port) for port in nodes.inputs(node)))
            if isinstance(node, nodes.Aggregate) and isinstance(node.window, Sliding | Counted):
                self.many.advance(node, new)
            elif isinstance(node, nodes.Aggregate) and new > old:
                self._ticks(node, old, new)
                self._closes(node, new)
            self.watermarks[node.id] = new

    def _port_watermark(self, port: Port) -> int:
        """Return a port's watermark: a closing port lags by the grace of its windows."""
        watermark = self.watermarks[port.step]
        node = next(n for n in self.nodes if n.id == port.step)
        if port.name == "close" and isinstance(node, nodes.Aggregate) and node.window is not None:
            return watermark if watermark in (END, NEVER) else watermark - patience(node.window)
        return watermark

    def _ticks(self, node: nodes.Aggregate, old: int, new: int) -> None:
        """Emit early results: where a multiple was passed, and of every window that is about to close."""
        grace = patience(node.window)
        for every in node.every_ms:
            changed = self.changed[node.id, every]
            for ident, group in list(changed.items()):
                closes = group.end is not None and group.end + grace <= new
                if closes or new // every > old // every:
                    del changed[ident]
                    row = self._row(node, group, group.key)
                    self._pass_on(Port(node.id, f"every:{every}"), self._derived(row, new, old))

    def _closes(self, node: nodes.Aggregate, watermark: int) -> None:
        if node.window is None:
            return
        grace = patience(node.window)
        live = self.live[node.id]
        due = [group for group in live if group.end + grace <= watermark]
        for group in sorted(due, key=lambda g: g.end):
            live.remove(group)
            row = self._row(node, group, group.key)
            self._pass_on(
                Port(node.id, "close"),
                self._derived(row, group.end - 1, self._port_watermark(Port(node.id, "close"))),
            )

    @staticmethod
    def _derived(row: dict[str, Any], time_ms: int, watermark: int) -> Record:
        return Record(row, time_ms, watermark, ("", 0, 0, b""), OnError.DEAD_LETTER)
