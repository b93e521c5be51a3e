"""What the examples of the reference stand on: a stream, and one expression or aggregate tried on values at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import create_model

from headrace.errors import ConfigError
from headrace.testing.driver import TopologyDriver
from headrace.topology.aggregates import Aggregate
from headrace.topology.expr import Column, Expr
from headrace.topology.stream import Stream
from headrace.topology.topology import Topology

_Record = dict[str, object]
_Run = Callable[..., TopologyDriver]


def example(*, time: Expr | None = None, **fields: Any) -> tuple[Stream, _Run]:
    """Return the orders of a shop, with these fields, and a function that runs the shop on a few of them.

    The stream is that of ``topology.source("orders", topic="orders", schema=Order, time=time, on_error="fail")``. The
    function takes orders, and lists of what comes before them on other topics, by the names of these. It pipes all in
    one by one, ends the input and returns the driver. ``time`` is the event time: no field can have that name.

    >>> from headrace import col
    >>> from headrace.testing import example
    >>> orders, run = example(user=str, amount=int)
    >>> orders.filter("big", col.amount > 100).sink("out", topic="big")
    >>> run({"user": "ada", "amount": 120}, {"user": "bob", "amount": 5}).output("big")
    [{'user': 'ada', 'amount': 120}]
    """
    topology = Topology("shop")
    definitions: dict[str, Any] = {name: (kind, ...) for name, kind in fields.items()}
    schema = create_model("Order", **definitions)
    orders = topology.source("orders", topic="orders", schema=schema, time=time, on_error="fail")

    def run(*records: _Record, **others: list[_Record]) -> TopologyDriver:
        driver = TopologyDriver(topology)
        for topic, given in (*others.items(), ("orders", records)):
            for record in given:
                driver.pipe(topic, record)
        driver.finish()
        return driver

    return orders, run


def computed(expression: Expr, /, **record: object) -> Any:
    """Return the value of an expression for a record with these columns, as an output has it.

    The columns are of the types of their values, or null; one that is None is a text.

    Raises:
        TopologyError: the expression is wrong for these columns.
        DataError: it fails on the values.

    >>> from headrace import col, fn
    >>> from headrace.testing import computed
    >>> computed(fn.upper(col.name) + "!", name="ada")
    'ADA!'
    """
    orders, run = example(**{name: _kind(value) for name, value in record.items()})
    orders.select("computed", value=expression).sink("out", topic="out")
    return run(record).output("out")[0]["value"]


def aggregated(aggregate: Aggregate, /, *, time: Expr | None = None, **columns: list[Any]) -> Any:
    """Return an aggregate over records with these columns, each given as the list of its values; None is null.

    Raises:
        ConfigError: there is no record.
        TopologyError: the aggregate is wrong for these columns.
        DataError: it fails on the values.

    >>> from headrace import agg, col
    >>> from headrace.testing import aggregated
    >>> aggregated(agg.sum(col.amount), amount=[2, None, 3])
    5
    """
    kinds = {name: _kind(next((v for v in values if v is not None), None)) for name, values in columns.items()}
    orders, run = example(time=time, **kinds)
    orders.map("one", one=1).group_by("all", Column(("one",))).aggregate("aggregated", value=aggregate)
    records = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    if not records:
        msg = "columns: expected a value or more for each column, got none; the aggregate of no record has no row"
        raise ConfigError(msg)
    return run(*records).table("aggregated")[0]["value"]


def _kind(value: object) -> Any:
    """Return the type of a value, or null; that of a list's elements is that of the first one."""
    if isinstance(value, list):
        return list[_kind(value[0] if value else None)] | None  # type: ignore[misc]
    return str | None if value is None else type(value) | None
