"""The ports of lookups, of joins of tables and of global tables."""

from __future__ import annotations

from headrace.event.dtypes import DType, Kind
from headrace.plan.joins import PAIR, pair_type, row_type
from headrace.plan.resolution import Columns, Resolution, extended
from headrace.topology.expr import Column, Expr
from headrace.topology.joins import LEFT, RIGHT, Pairing
from headrace.topology.lookups import GlobalTable, Lookup, TableJoin, TemporalLookup
from headrace.topology.operator import ROWS, Port

_KEYS = {Kind.INT, Kind.FLOAT, Kind.DECIMAL, Kind.STR, Kind.BOOL, Kind.TIMESTAMP, Kind.DATE, Kind.ANY}


def resolve_global_table(known: Resolution, node: GlobalTable) -> None:
    """Set the ports of a table that every task has: its rows are partitioned by nothing."""
    keys = []
    for name, expr in node.keys:
        dtype = known.infer(node.id, name, expr, node.input)
        if dtype.kind not in _KEYS:
            known.fault(node.id, name, "a key of a scalar type", str(dtype), "Take a scalar, such as a field of it.")
        keys.append((name, dtype.required()))
    if not keys:
        known.fault(node.id, "columns", "at least one key column", "none", "Name the columns to look up by.")
    if node.delete is not None:
        known.boolean(node.id, "delete", node.delete, node.input)
    columns = extended(known.columns[node.input], dict(keys))
    for port in ("update", "change", ROWS):
        known.set(Port(node.id, port), columns, tuple(keys), None, direct=False)


def resolve_lookup(known: Resolution, node: Lookup) -> None:
    """Set the port of a lookup: a record goes on with the row that it has found."""
    _resolve(known, node, node.on, direct=node.left in known.direct)


def resolve_temporal_lookup(known: Resolution, node: TemporalLookup) -> None:
    """Set the ports of a lookup as of event time: rows are made anew."""
    _resolve(known, node, node.on, direct=False)
    for name, port in (("late", node.left), ("late:table", node.changes)):
        found = known.columns[port], known.keys[port], known.keyed[port]
        known.set(Port(node.id, name), *found, direct=port in known.direct)


def resolve_table_join(known: Resolution, node: TableJoin) -> None:
    """Set the ports of a join of two tables."""
    key, other = known.keys[node.left], known.keys[node.right]
    check_sought(known, node, [dtype for _, dtype in key], other)
    keyed = tuple(Column((name,)) for name, _ in key)
    known.set(Port(node.id, PAIR), pair_type(known, node, key), key, keyed, direct=False)
    row = row_type(known, node, key, other)
    for port in ("update", "change", ROWS):
        known.set(Port(node.id, port), row, key, keyed, direct=False)


def _resolve(known: Resolution, node: Lookup | TemporalLookup, on: tuple[Expr, ...] | None, *, direct: bool) -> None:
    key, other = known.keys[node.left], known.keys[node.right]
    own = [dtype for _, dtype in key]
    sought = own if on is None else [known.infer(node.id, "on", expr, node.left) for expr in on]
    check_sought(known, node, sought, other)
    known.set(Port(node.id, PAIR), pair_type(known, node, key), key, None, direct=direct)
    keyed, kept = known.keyed[node.left], {(name,) for name, _ in key}
    if node.select is not None and keyed is not None and any(c is None or c.path not in kept for c in keyed):
        keyed = None  # only columns of the key are sure to be there
    known.set(Port(node.id), row_type(known, node, key, other), key, keyed, direct=direct)


def check_sought(known: Resolution, node: Pairing, sought: list[DType], other: Columns) -> None:
    """Note a fault where the keys of the two sides are not of the same types."""
    kinds, theirs = [dtype.kind for dtype in sought], [dtype.kind for _, dtype in other]
    if kinds != theirs and Kind.ANY not in {*kinds, *theirs}:
        expected = f"a key of the types of the table's: ({', '.join(str(dtype) for _, dtype in other)})"
        got = f"({', '.join(str(dtype.required()) for dtype in sought)})"
        known.fault(node.id, "key", expected, got, f"Convert one of them: {_example(other)}.cast(str).")
    for name, _ in known.keys[node.left]:
        if name in {LEFT, RIGHT}:
            remedy = "Group by it under another name."
            known.fault(node.id, name, "a key column of another name", f"{name!r}, which is a side", remedy)


def _example(key: Columns) -> str:
    return f"col.{key[0][0]}" if key else "col.key"
