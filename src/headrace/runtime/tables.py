"""Committed rows of tables, for queries: of a running engine from any thread, or of a data directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any

import msgspec

from headrace.errors import ConfigError, InternalError
from headrace.operators.agent import OperatorSpec
from headrace.operators.build import generate, state_view
from headrace.operators.view import StateView, instant, read_instant
from headrace.plan import Plan, TableSpec
from headrace.runtime.positions import task_watermark
from headrace.state.keys import prefix_end
from headrace.state.protocol import Backend
from headrace.time.instants import START_OF_TIME_MS, to_ms
from headrace.topology.calendars import Calendar
from headrace.topology.nodes import Aggregate
from headrace.topology.windows import Counted, Hopping, Session, Sliding

Row = dict[str, Any]
_PREFIX = 2  # bytes of the partition
_BEHIND = b"\xff" * _PREFIX  # no partition is as high: what lies from here on are no rows
_INSTANT = 8
_LAST = b"\xff" * (_INSTANT + 1)  # behind every instant
_sessions = msgspec.msgpack.Decoder(list[bytes]).decode


class TableReader:
    """Reads one table. Rows are dicts: key columns, window_start and window_end if windowed, the rest."""

    def __init__(self, topology: str, spec: TableSpec, operator: OperatorSpec, view: StateView) -> None:
        """Read the states of ``operator`` through any partition's view of its store."""
        self.spec = spec
        self._topology, self._operator = topology, operator
        if operator.row is None:
            raise InternalError(spec.name)
        self._row, self._view = operator.row, view
        self._codec, self._keys = view.codec(), view.keys()
        node = operator.step.node
        self._window = node.window if isinstance(node, Aggregate) else None
        self._plain = not isinstance(node, Aggregate)  # no window in the key: a table of latest rows

    def get(self, key: Any, window_start: datetime | None = None) -> list[Row]:
        """Return the rows of a key: one at most, or one per window, oldest first.

        ``key`` is the value of the key column, or a tuple if there are several.

        Raises:
            ConfigError: the key has another number of columns than the table's.
        """
        columns = len(self.spec.key)
        if columns > 1 and (not isinstance(key, tuple) or len(key) != columns):
            names = ", ".join(name for name, _ in self.spec.key)
            msg = f"table {self.spec.name!r}: expected a key of {columns} columns ({names}), got {key!r}"
            raise ConfigError(msg)
        encoded = self._keys.encode(key)
        start_ms = None if window_start is None else to_ms(window_start.astimezone(UTC))
        rows = [row for partition in self._partitions() for row in self._rows_of(partition, encoded, start_ms)]
        return sorted(rows, key=_order)

    def _partitions(self) -> Iterator[bytes]:
        """Yield the beginning of the keys of every partition that has rows."""
        seen: set[bytes] = set()
        for store in self._stores():
            at = b""
            while (found := next(store.scan(at, _BEHIND), None)) is not None:
                prefix = found[0][:_PREFIX]
                if prefix not in seen:
                    yield prefix
                seen.add(prefix)
                at = (int.from_bytes(prefix) + 1).to_bytes(_PREFIX)

    def _stores(self) -> list[Any]:
        if isinstance(self._window, Session):
            return [self._view.store, self._view.beside("live")]
        return [self._view.store]

    def _rows_of(self, partition: bytes, key: bytes, start_ms: int | None) -> Iterator[Row]:
        match self._window:
            case None if self._plain:
                found = self._view.store.get(partition + key)
                if found is not None:
                    yield self._make(key, found, 0)
            case Sliding() | Counted():
                behind = None if start_ms is None else start_ms + 1
                yield from self._newest_rows(partition, partition + key, partition + key + b"\0", (start_ms, behind))
            case None | Hopping() | Calendar():
                starts = self._starts(partition, start_ms, None if start_ms is None else start_ms + 1)
                for start in starts:
                    found = self._view.store.get(partition + instant(start) + key)
                    if found is not None:
                        yield self._make(key, found, start)
            case Session():
                rows = self._session_rows(partition, partition + key, partition + key + _LAST)
                yield from (row for at, raw, row in rows if raw == key and start_ms in {None, at})

    def _kept_from(self, partition: bytes) -> int:
        """Return the first end of windows, in epoch milliseconds, whose rows are still kept.

        Rows behind it may be there yet: what a query returns must not depend on when they were removed.
        """
        if self._window is None or isinstance(self._window, Counted):
            return START_OF_TIME_MS
        agent, number = self._operator.step.agent, int.from_bytes(partition)
        watermark = task_watermark(self._view.backend, self._topology, agent, number)
        if watermark == START_OF_TIME_MS:
            return START_OF_TIME_MS
        return watermark - self._operator.delay_ms - self._window.grace_ms - self._window.retention_ms

    def _session_rows(self, partition: bytes, low: bytes, high: bytes | None) -> Iterator[tuple[int, bytes, Row]]:
        """Yield (start, key bytes, row) of the sessions whose stored keys are in [low, high)."""
        if not isinstance(self._window, Session):
            return
        kept = self._kept_from(partition) - self._window.gap_ms
        live = (
            (raw[_PREFIX:], item) for raw, data in self._view.beside("live").scan(low, high) for item in _sessions(data)
        )
        closed = ((raw[_PREFIX:-_INSTANT], data) for raw, data in self._view.store.scan(low, high))
        for key, data in chain(live, closed):
            state = self._codec.decode(data)
            if state[1] > kept:
                yield state[0], key, self._row(self._keys.decode(key), state, 0, 0)

    def _newest_rows(
        self, partition: bytes, first: bytes, behind: bytes | None, starts: tuple[int | None, int | None]
    ) -> Iterator[Row]:
        """Yield the rows of a table with one per key, whose stored keys are in [first, behind)."""
        if not isinstance(self._window, Sliding | Counted):
            return
        kept, (low, high) = self._kept_from(partition), starts
        for raw, data in self._view.store.scan(first, behind):
            state = self._codec.decode(data)
            start, end = self._window.span(state)
            if end > kept and (low is None or start >= low) and (high is None or start < high):
                yield self._row(self._keys.decode(raw[_PREFIX:]), state, start, end)

    def _starts(self, partition: bytes, low: int | None, high: int | None) -> Iterator[int]:
        """Yield the starts in [low, high) of the windows of a partition that are kept, by one seek each."""
        kept = self._kept_from(partition)
        first = self._window.first_ms(kept) if isinstance(self._window, Hopping | Calendar) else kept
        at = partition + instant(max(first, START_OF_TIME_MS) if low is None else max(low, first))
        end = partition + instant(high) if high is not None else prefix_end(partition)
        while (found := next(self._view.store.scan(at, end), None)) is not None:
            start = read_instant(found[0], _PREFIX)
            yield start
            at = partition + instant(start + 1)

    def _make(self, key: bytes, data: bytes, start: int) -> Row:
        end = self._window.end_ms(start) if isinstance(self._window, Hopping | Calendar) else start
        return self._row(self._keys.decode(key), self._codec.decode(data), start, end)

    def scan(
        self,
        prefix: tuple[Any, ...] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[Row]:
        """Yield rows: those whose key begins with the columns of ``prefix``, of windows that start in [start, end)."""
        wanted = self._keys.encode_prefix(prefix) if prefix else b""
        low = None if start is None else to_ms(start.astimezone(UTC))
        high = None if end is None else to_ms(end.astimezone(UTC))
        rows = (row for partition in self._partitions() for row in self._scan(partition, wanted, low, high))
        return islice(rows, limit)

    def _scan(self, partition: bytes, wanted: bytes, low: int | None, high: int | None) -> Iterator[Row]:
        store = self._view.store
        match self._window:
            case None if self._plain:
                for raw, data in store.scan(partition + wanted, prefix_end(partition + wanted)):
                    yield self._make(raw[_PREFIX:], data, 0)
            case Sliding() | Counted():
                first = partition + wanted
                yield from self._newest_rows(partition, first, prefix_end(first), (low, high))
            case None | Hopping() | Calendar():
                for at in self._starts(partition, low, high):
                    window = partition + instant(at) + wanted
                    for raw, data in store.scan(window, prefix_end(window)):
                        yield self._make(raw[_PREFIX + _INSTANT :], data, at)
            case Session():
                for at, _, row in self._session_rows(partition, partition + wanted, prefix_end(partition + wanted)):
                    if (low is None or at >= low) and (high is None or at < high):
                        yield row


def _order(row: Row) -> Any:
    return row.get("window_start") or 0


def open_tables(plan: Plan, backend: Backend) -> Mapping[str, TableReader]:
    """Return a reader for every table of a plan."""
    specs = {spec.name: spec for spec in plan.tables}
    operators = [operator for made in generate(plan) for operator in made.operators]
    return {
        operator.step.id: TableReader(
            plan.name, specs[operator.step.id], operator, state_view(plan.name, operator, backend, 0)
        )
        for operator in operators
        if operator.step.id in specs
    }


__all__ = ["TableReader", "open_tables"]
