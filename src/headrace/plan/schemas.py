"""Type resolution: the columns and the key of every port. Collects all faults, stops at none."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from headrace.errors import Fault
from headrace.event.dtypes import ANY, FLOAT, INT, TIMESTAMP, DType, Kind, struct
from headrace.event.schema import schema_type
from headrace.topology.aggregates import Aggregate as AggregateSpec
from headrace.topology.expr import Column, Expr
from headrace.topology.nodes import (
    Aggregate,
    Explode,
    Filter,
    GroupBy,
    Handle,
    Merge,
    Node,
    Port,
    Select,
    Sink,
    Source,
    Table,
    inputs,
)
from headrace.topology.typing import infer, to_dtype
from headrace.topology.windows import Hopping, Session

Columns = tuple[tuple[str, DType], ...]
_LEGAL = re.compile(r"[A-Za-z0-9._-]{1,200}")
_NAME_RULE = "letters, digits, '.', '_', '-', at most 200"
_NUMERIC = {Kind.INT, Kind.FLOAT, Kind.DECIMAL, Kind.ANY}
_ORDERED = _NUMERIC | {Kind.STR, Kind.TIMESTAMP, Kind.DATE, Kind.DURATION, Kind.BOOL}
_KEYS = {Kind.INT, Kind.FLOAT, Kind.DECIMAL, Kind.STR, Kind.BOOL, Kind.TIMESTAMP, Kind.DATE, Kind.ANY}


@dataclass(slots=True)
class Resolution:
    """What is known of every port, and what is wrong.

    ``keyed`` names the columns, as seen on that port, by which the records are partitioned.
    """

    columns: dict[Port, DType] = field(default_factory=dict)
    keys: dict[Port, Columns] = field(default_factory=dict)
    keyed: dict[Port, tuple[Column | None, ...] | None] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def fault(self, step: str, parameter: str, expected: str, got: str, remedy: str) -> None:
        """Note one fault."""
        self.faults.append(Fault(step, parameter, expected, got, remedy))

    def infer(self, step: str, parameter: str, expr: Expr, schema: DType) -> DType:
        """Return the type of an expression; note its faults."""

        def report(expected: str, got: str, remedy: str) -> None:
            self.fault(step, parameter, expected, got, remedy)

        return infer(expr, schema, report)

    def boolean(self, step: str, parameter: str, expr: Expr, schema: DType) -> None:
        """Note a fault if a condition is not of type bool."""
        dtype = self.infer(step, parameter, expr, schema)
        if dtype.kind not in {Kind.BOOL, Kind.ANY, Kind.NULL}:
            remedy = "Compare it with something, or test is_not_null()."
            self.fault(step, parameter, "a condition of type bool", f"{dtype}: {expr}", remedy)


def resolve(nodes: tuple[Node, ...]) -> Resolution:
    """Resolve all nodes in order of declaration."""
    known = Resolution()
    for node in nodes:
        if not _LEGAL.fullmatch(node.id):
            known.fault(
                node.id,
                "id",
                _NAME_RULE,
                repr(node.id),
                "Topics are named after it.",
            )
        _RESOLVERS[type(node)](known, node)
    return known


def _set(known: Resolution, port: Port, columns: DType, key: Columns, keyed: tuple[Column | None, ...] | None) -> None:
    known.columns[port], known.keys[port], known.keyed[port] = columns, key, keyed


def _same_as_input(known: Resolution, node: Node, columns: DType | None = None) -> None:
    port = inputs(node)[0]
    _set(known, Port(node.id), columns or known.columns[port], known.keys[port], known.keyed[port])


def _source(known: Resolution, node: Source) -> None:
    schema = schema_type(node.schema)
    if node.time is not None:
        dtype = known.infer(node.id, "time", node.time, schema)
        if dtype.kind not in {Kind.TIMESTAMP, Kind.INT, Kind.ANY}:
            known.fault(
                node.id, "time", "a timestamp, or epoch milliseconds as int", str(dtype), "Convert with fn or cast."
            )
    if node.key is not None:
        known.infer(node.id, "key", node.key, schema)
        if not isinstance(node.key, Column):
            known.fault(node.id, "key", "a column", str(node.key), "Declare the column that the topic is keyed by.")
    keyed = (node.key,) if isinstance(node.key, Column) else None
    _set(known, Port(node.id), schema, (), keyed)


def _filter(known: Resolution, node: Filter) -> None:
    known.boolean(node.id, "where", node.condition, known.columns[node.input])
    _same_as_input(known, node)


def _select(known: Resolution, node: Select) -> None:
    schema = known.columns[node.input]
    computed = {name: known.infer(node.id, name, expr, schema) for name, expr in node.columns}
    kept = dict(schema.fields) if node.extend else {}
    if not kept and not computed:
        known.fault(node.id, "columns", "at least one column", "none", "Name the columns to keep.")
    _same_as_input(known, node, struct(**(kept | computed)))
    keyed, key = known.keyed[node.input], known.keys[node.input]
    port = Port(node.id)
    known.keyed[port] = keyed and tuple(_renamed(c, node) for c in keyed)
    columns = dict(known.columns[port].fields)
    known.keys[port] = tuple((name, columns[name]) for name, _ in key if name in columns)


def _renamed(column: Column | None, node: Select) -> Column | None:
    """Return where a column is found behind a select; None if it is gone."""
    if column is None:
        return None
    for name, expr in node.columns:
        if isinstance(expr, Column) and expr.path == column.path:
            return Column((name,))
    computed = {name for name, _ in node.columns}
    return column if node.extend and column.path[0] not in computed else None


def _explode(known: Resolution, node: Explode) -> None:
    schema = known.columns[node.input]
    dtype = known.infer(node.id, "items", node.items, schema)
    if dtype.kind not in {Kind.LIST, Kind.ANY}:
        known.fault(node.id, "items", "a list", f"{dtype}: {node.items}", "Explode a list column.")
    item = dtype.item if dtype.item is not None else ANY
    _same_as_input(known, node, struct(**(dict(schema.fields) | {node.name: item})))


def _merge(known: Resolution, node: Merge) -> None:
    first, *others = [known.columns[port] for port in node.inputs]
    fields = dict(first.fields)
    for port, other in zip(node.inputs[1:], others, strict=True):
        if {n: t.required() for n, t in other.fields} != {n: t.required() for n, t in fields.items()}:
            remedy = "Bring the streams to the same columns with select()."
            known.fault(node.id, f"input {port.step!r}", f"the columns {first}", str(other), remedy)
            continue
        fields = {n: t.optional() if dict(other.fields)[n].nullable else t for n, t in fields.items()}
    paths = {tuple(c.path if c is not None else None for c in known.keyed[p] or ()) for p in node.inputs}
    keyed = known.keyed[node.inputs[0]] if len(paths) == 1 else None
    _set(known, Port(node.id), struct(**fields), known.keys[node.inputs[0]], keyed)


def _group_by(known: Resolution, node: GroupBy) -> None:
    schema = known.columns[node.input]
    keys = []
    for name, expr in node.keys:
        dtype = known.infer(node.id, name, expr, schema)
        if dtype.kind not in _KEYS:
            remedy = "Group by a scalar, such as a nested field of it."
            known.fault(node.id, name, "a key of a scalar type", str(dtype), remedy)
        keys.append((name, dtype.required()))
    if not keys:
        known.fault(node.id, "columns", "at least one key column", "none", "Name the columns to group by.")
    columns = struct(**(dict(schema.fields) | dict(keys)))
    _set(known, Port(node.id), columns, tuple(keys), tuple(Column((name,)) for name, _ in keys))


def _table(known: Resolution, node: Table) -> None:
    schema = known.columns[node.input]
    if node.delete is not None:
        known.boolean(node.id, "delete", node.delete, schema)
    _set(known, Port(node.id, "update"), schema, known.keys[node.input], known.keyed[node.input])


def _aggregate(known: Resolution, node: Aggregate) -> None:
    schema, key = known.columns[node.input], known.keys[node.input]
    _check_window(known, node)
    row = dict(key)
    if node.window is not None:
        row |= {"window_start": TIMESTAMP, "window_end": TIMESTAMP}
    if not node.aggregates:
        known.fault(node.id, "aggregates", "at least one aggregate", "none", "Add one, such as n=agg.count().")
    for name, spec in node.aggregates:
        if name in row:
            known.fault(node.id, name, "a new column name", f"{name!r}, which the row has", "Choose another name.")
        row[name] = _aggregate_type(known, node.id, name, spec, schema)
    ports = ["update", "close", *(f"every:{ms}" for ms in node.every_ms)]
    for port in ports:
        _set(known, Port(node.id, port), struct(**row), key, tuple(Column((name,)) for name, _ in key))
    _set(known, Port(node.id, "late"), schema, key, known.keyed[node.input])


def _check_window(known: Resolution, node: Aggregate) -> None:
    if any(every_ms <= 0 for every_ms in node.every_ms):
        known.fault(node.id, "every", "an interval above 0", "0 ms", "Use on_update() for every change.")
    match node.window:
        case Hopping(size, advance):
            if size <= 0 or advance <= 0 or advance > size:
                got = f"size {size} ms, advance {advance} ms"
                known.fault(node.id, "window", "0 < advance <= size", got, "Records between windows would be lost.")
        case Session(gap):
            if gap <= 0:
                known.fault(node.id, "window", "a gap above 0", f"{gap} ms", "Give the longest pause within a session.")
        case None:
            pass


def _aggregate_type(known: Resolution, step: str, name: str, spec: AggregateSpec, schema: DType) -> DType:
    types = [known.infer(step, name, arg, schema) for arg in spec.args]
    first = types[0] if types else INT
    match spec.function:
        case "count":
            return INT
        case "collect_list" | "collect_set":
            if spec.limit is not None and spec.limit <= 0:
                known.fault(step, f"{name}.limit", "a limit above 0", str(spec.limit), "Collections are bounded.")
            return DType(Kind.LIST, item=first.required())
        case "custom" | "reduce":
            return to_dtype(spec.returns if spec.returns is not None else ANY).optional()
        case "sum" | "mean" | "variance" | "stddev":
            if first.kind not in _NUMERIC:
                known.fault(step, name, "a number", f"{first}: {spec}", "Aggregate a numeric column, or cast.")
            return _numeric_result(spec.function, first).optional()
        case "arg_min" | "arg_max":
            _check_ordered(known, step, name, spec, types[1])
            return first.optional()
        case "min" | "max":
            _check_ordered(known, step, name, spec, first)
            return first.optional()
        case _:
            return first.optional()


def _numeric_result(function: str, dtype: DType) -> DType:
    if function == "sum" or (function == "mean" and dtype.kind is Kind.DECIMAL):
        return dtype
    return FLOAT


def _check_ordered(known: Resolution, step: str, name: str, spec: AggregateSpec, dtype: DType) -> None:
    if dtype.kind not in _ORDERED:
        known.fault(step, name, "a value with an order", f"{dtype}: {spec}", "Compare a number, text or time.")


def _sink(known: Resolution, node: Sink) -> None:
    schema = known.columns[node.input]
    if isinstance(node.topic, Expr):
        dtype = known.infer(node.id, "topic", node.topic, schema)
        if dtype.kind not in {Kind.STR, Kind.ANY}:
            known.fault(node.id, "topic", "a topic name of type str", str(dtype), "Build the name with fn.concat.")
    elif not _LEGAL.fullmatch(node.topic):
        known.fault(node.id, "topic", _NAME_RULE, repr(node.topic), "Rename it.")
    if node.key is not None:
        known.infer(node.id, "key", node.key, schema)


def _handle(known: Resolution, node: Handle) -> None:
    if node.attempts < 1 or node.concurrency < 1:
        got = f"attempts={node.attempts}, concurrency={node.concurrency}"
        known.fault(node.id, "attempts", "at least 1 of each", got, "Say how often to try.")


_RESOLVERS: dict[type, Callable[..., None]] = {
    Source: _source,
    Filter: _filter,
    Select: _select,
    Explode: _explode,
    Merge: _merge,
    GroupBy: _group_by,
    Table: _table,
    Aggregate: _aggregate,
    Sink: _sink,
    Handle: _handle,
}
