"""A worker's side of the HTTP server, in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace.errors import StateError
from headrace.event.dtypes import DECIMAL, INT, STR, TIMESTAMP, struct
from headrace.plan import TableSpec
from headrace.query.keys import Key
from headrace.query.tables import Row, Table, Tables

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
ONE = datetime(2024, 5, 1, 13, tzinfo=UTC)


class RowsReader:
    def __init__(self, spec: TableSpec, rows: list[Row]) -> None:
        self._names = [name for name, _ in spec.key]
        self._rows = rows
        self.spoilt: Key | None = None

    def get(self, key: Any, window_start: datetime | None = None) -> list[Row]:
        found = self.scan(key if len(self._names) > 1 else (key,))
        return [row for row in found if window_start is None or row["window_start"] == window_start]

    def scan(self, prefix: Key | None = None) -> Iterator[Row]:
        wanted = prefix or ()
        for row in self._rows:
            key = tuple(row[name] for name in self._names)
            if key[: len(wanted)] == wanted:
                if key == self.spoilt:
                    msg = "too large"
                    raise OverflowError(msg)
                yield row


class MemoryWorker:
    def __init__(self) -> None:
        windowed = TableSpec(
            "per-hour",
            (("user", STR),),
            windowed=True,
            session=False,
            row=struct(user=STR, window_start=TIMESTAMP, n=INT),
        )
        stock = TableSpec(
            "stock",
            (("shop", STR), ("sku", INT)),
            windowed=False,
            session=False,
            row=struct(shop=STR, sku=INT, price=DECIMAL),
        )
        hours = [{"user": user, "window_start": at, "n": 1} for at in (NOON, ONE) for user in ("ada", "a/b c?é", "..")]
        items = [{"shop": shop, "sku": sku, "price": f"{sku}.50"} for shop in ("x", "y") for sku in range(150)]
        day = timedelta(days=1)
        self._stock = RowsReader(stock, items)
        self.tables = Tables(
            [
                Table("guard", windowed, RowsReader(windowed, hours), day),
                Table("shop", stock, self._stock),
                Table("other", windowed, RowsReader(windowed, []), day),
            ]
        )
        self.topics = ("logins",)
        self.log: list[tuple[str, list[bytes], list[bytes | None] | None]] = []
        self.broken = False

    def spoil(self, *key: str | int) -> None:
        """Have the row of a key of the stock raise when it is computed."""
        self._stock.spoilt = key

    def ingest(self, topic: str, values: list[bytes], keys: list[bytes | None] | None) -> None:
        if self.broken:
            msg = "the disk is full"
            raise StateError(msg)
        self.log.append((topic, values, keys))

    def status(self) -> Mapping[str, Any]:
        return {"records_in": sum(len(values) for _, values, _ in self.log), "at": NOON}
