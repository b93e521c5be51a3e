"""Tables by name and rows by page: the same for the HTTP server and for a data directory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Protocol

from headrace.errors import ConfigError, DataError, HeadraceError
from headrace.plan import Plan, TableSpec
from headrace.query.keys import Key, format_key, parse_key
from headrace.topology.nodes import Aggregate
from headrace.topology.windows import Counted

Row = dict[str, Any]

DEFAULT_LIMIT = 100
MAX_LIMIT = 10_000


class Reader(Protocol):
    """The committed rows of one table. Thread-safe."""

    def get(self, key: Any, window_start: datetime | None = None) -> list[Row]:
        """Return the rows of a key, of all its windows or of the one that starts then.

        ``key`` is the value of the key column, or a tuple if there are several.
        """

    def scan(self, prefix: Key | None = None) -> Iterator[Row]:
        """Yield the rows whose key begins with the prefix, in the order of the store."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a topology, ready to be read.

    ``retention`` is how long the rows of a window are shown after it has closed; None: no windows.
    """

    topology: str
    spec: TableSpec
    reader: Reader
    retention: timedelta | None = None

    def describe(self) -> Row:
        """Return what there is to know before a query."""
        return {
            "table": self.spec.name,
            "topology": self.topology,
            "key": [name for name, _ in self.spec.key],
            "windowed": self.spec.windowed,
            "retention_s": None if self.retention is None else self.retention.total_seconds(),
            "columns": {name: str(dtype) for name, dtype in self.spec.row.fields},
        }

    def rows(self, key: str, window_start: datetime | None = None) -> list[Row]:
        """Return the rows of a key given as text; of a prefix where it has fewer values than columns.

        Raises:
            ConfigError: the text is no key of this table, or the table has no windows.
            DataError: a row cannot be computed.
        """
        if window_start is not None and not self.spec.windowed:
            msg = f"table {self.spec.name!r} has no windows; leave the window out"
            raise ConfigError(msg)
        values = parse_key(key, self.spec.key)
        with self._naming(lambda: f"of key {key}"):
            if len(values) == len(self.spec.key):
                return self.reader.get(values if len(values) > 1 else values[0], window_start)
            found = self.reader.scan(values)
            return [row for row in found if window_start is None or row["window_start"] == window_start]

    def page(self, limit: int, cursor: int = 0) -> tuple[list[Row], int | None]:
        """Return up to ``limit`` rows, and the cursor of the next page if there may be one.

        Raises:
            DataError: a row cannot be computed.
        """
        rows, before = list[Row](), list[Row]()
        with self._naming(lambda: f"behind key {self._key(before[0])}" if before else "at the beginning"):
            for place, row in enumerate(islice(self.reader.scan(), cursor + limit + 1)):
                before[:] = [row]
                if place >= cursor:
                    rows.append(row)
        return rows[:limit], (cursor + limit if len(rows) > limit else None)

    def _key(self, row: Row) -> str:
        return format_key(tuple(row[name] for name, _ in self.spec.key))

    @contextmanager
    def _naming(self, which: Callable[[], str]) -> Iterator[None]:
        """Say which row it is whose result raises: rows are computed as they are read, by functions of users too."""
        try:
            yield
        except HeadraceError:
            raise
        except Exception as error:
            msg = (
                f"table {self.spec.name!r}: the row {which()} cannot be computed: {type(error).__name__}: {error}. "
                f"Mend the result function of the aggregate {self.spec.name!r}; other keys can be asked for."
            )
            raise DataError(msg) from error


def tables_of(plan: Plan, readers: Mapping[str, Reader]) -> list[Table]:
    """Return the tables of a topology, each with what reads it."""
    found = []
    for spec in plan.tables:
        node = plan.step(spec.name).node
        window = node.window if isinstance(node, Aggregate) else None
        kept_ms = window.retention_ms if window is not None and not isinstance(window, Counted) else None
        retention = None if kept_ms is None else timedelta(milliseconds=kept_ms)
        found.append(Table(plan.name, spec, readers[spec.name], retention))
    return found


class Tables:
    """The tables of a worker, by name."""

    def __init__(self, tables: Iterable[Table]) -> None:
        """Keep the tables in their order."""
        self._tables = tuple(tables)

    def __iter__(self) -> Iterator[Table]:
        """Yield the tables."""
        return iter(self._tables)

    def find(self, name: str) -> Table | None:
        """Return the table; ``topology.table`` where two topologies have one of that name.

        Raises:
            ConfigError: several topologies have a table of that name.
        """
        qualified = [table for table in self._tables if f"{table.topology}.{table.spec.name}" == name]
        found = qualified or [table for table in self._tables if table.spec.name == name]
        if len(found) > 1:
            names = ", ".join(f"{table.topology}.{name}" for table in found)
            msg = f"several topologies have a table {name!r}: ask for one of {names}"
            raise ConfigError(msg)
        return found[0] if found else None

    def unknown(self, name: str) -> str:
        """Return the message for a table that is not there."""
        known = ", ".join(table.spec.name for table in self._tables) or "none"
        return f"no table {name!r}; there are: {known}"
