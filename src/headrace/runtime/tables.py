"""Committed rows of tables, for queries: of a running engine from any thread, or of a data directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from headrace.errors import ConfigError
from headrace.operators.agent import OperatorSpec
from headrace.operators.build import generate, state_view
from headrace.operators.sessions import session_start
from headrace.operators.view import StateView, instant, read_instant
from headrace.plan import Plan, TableSpec
from headrace.state.protocol import Backend
from headrace.time.instants import to_ms
from headrace.topology.nodes import Aggregate
from headrace.topology.windows import Hopping, Session

Row = dict[str, Any]
_PREFIX = 2  # bytes of the partition
_INSTANT = 8
_sessions = msgspec.msgpack.Decoder(list[bytes]).decode


class TableReader:
    """Reads one table. Rows are dicts: key columns, window_start and window_end if windowed, the rest."""

    def __init__(self, spec: TableSpec, operator: OperatorSpec, view: StateView) -> None:
        """Read the states of ``operator`` through any partition's view of its store."""
        self.spec = spec
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
        for store in self._stores():
            at, seen = b"", set[bytes]()
            while (found := next(store.scan(at), None)) is not None:
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
            case None | Hopping():
                starts = self._starts(partition) if start_ms is None else iter((start_ms,))
                for start in starts:
                    found = self._view.store.get(partition + instant(start) + key)
                    if found is not None:
                        yield self._make(key, found, start)
            case Session():
                yield from self._session_rows(partition, key, start_ms)

    def _session_rows(self, partition: bytes, key: bytes, start_ms: int | None) -> Iterator[Row]:
        live = self._view.beside("live").get(partition + key)
        states = [] if live is None else _sessions(live)
        states += [data for _, data in self._view.scan(partition + key)]
        for data in states:
            state = self._codec.decode(data)
            if start_ms is None or state[0] == start_ms:
                yield self._row(self._keys.decode(key), state, 0, 0)

    def _starts(self, partition: bytes) -> Iterator[int]:
        """Yield the starts of the windows of a partition that are kept, by one seek each."""
        at = partition
        end = (int.from_bytes(partition) + 1).to_bytes(_PREFIX)
        while (found := next(self._view.store.scan(at, end), None)) is not None:
            start = read_instant(found[0], _PREFIX)
            yield start
            at = partition + instant(start + 1)

    def _make(self, key: bytes, data: bytes, start: int) -> Row:
        size = self._window.size_ms if isinstance(self._window, Hopping) else 0
        return self._row(self._keys.decode(key), self._codec.decode(data), start, start + size)

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
        number = 0
        for at, key, make in self._everything():
            if limit is not None and number >= limit:
                return
            if not key.startswith(wanted) or (low is not None and at < low) or (high is not None and at >= high):
                continue
            number += 1
            yield make

    def _everything(self) -> Iterator[tuple[int, bytes, Row]]:
        if isinstance(self._window, Session):
            for raw, data in self._view.beside("live").scan():
                for item in _sessions(data):
                    state = self._codec.decode(item)
                    yield state[0], raw[_PREFIX:], self._row(self._keys.decode(raw[_PREFIX:]), state, 0, 0)
            for raw, data in self._view.store.scan():
                key = raw[_PREFIX:-_INSTANT]
                state = self._codec.decode(data)
                yield session_start(raw), key, self._row(self._keys.decode(key), state, 0, 0)
            return
        skip = _PREFIX + (0 if self._plain else _INSTANT)
        for raw, data in self._view.store.scan():
            start = 0 if self._plain else read_instant(raw, _PREFIX)
            yield start, raw[skip:], self._make(raw[skip:], data, start)


def _order(row: Row) -> Any:
    return row.get("window_start") or 0


def open_tables(plan: Plan, backend: Backend) -> Mapping[str, TableReader]:
    """Return a reader for every table of a plan."""
    specs = {spec.name: spec for spec in plan.tables}
    operators = [operator for made in generate(plan) for operator in made.operators]
    return {
        operator.step.id: TableReader(specs[operator.step.id], operator, state_view(plan.name, operator, backend, 0))
        for operator in operators
    }


__all__ = ["TableReader", "open_tables"]
