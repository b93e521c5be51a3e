"""What the operator tests share: one schema, one way to write records and moments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from headrace import Topology, col
from headrace.topology.stream import Stream

START = datetime(2024, 1, 1, tzinfo=UTC)


class Line(BaseModel):
    sku: str
    quantity: int


class Click(BaseModel):
    user: str | None = None
    at: datetime
    n: int | None = None
    price: Decimal | None = None
    rate: float | None = None
    lines: list[Line] | None = None


def moment(seconds: float) -> str:
    """Return START + seconds as it is written in JSON output."""
    time = START + timedelta(seconds=seconds)
    return time.isoformat().replace("+00:00", "Z")


def click(user: str | None, seconds: float, **fields: Any) -> dict[str, Any]:
    """Return one record that happened ``seconds`` after START."""
    return {"user": user, "at": moment(seconds), **fields}


def clicks(topology: Topology, **options: Any) -> Stream:
    """Declare the source of all operator tests."""
    return topology.source("clicks", topic="clicks", schema=Click, time=col.at, **options)


def only(rows: list[dict[str, Any]], *names: str) -> list[Any]:
    """Return the named columns of each row: tuples, or bare values if only one is named."""
    return [row[names[0]] if len(names) == 1 else tuple(row[name] for name in names) for row in rows]
