"""Type resolution: the columns and the key of every port. Collects all faults, stops at none."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel, PydanticUserError

from headrace.event.dtypes import ANY, DType, Kind, struct
from headrace.event.schema import schema_type
from headrace.plan.deduplicate import resolve_deduplicate
from headrace.plan.enrich import resolve_enrich
from headrace.plan.joins import resolve_interval_join
from headrace.plan.lookups import (
    resolve_global_table,
    resolve_lookup,
    resolve_table_join,
    resolve_temporal_lookup,
)
from headrace.plan.parameters import resolve_parameter_check, resolve_parameters
from headrace.plan.patterns import resolve_detect
from headrace.plan.references import resolve_matches, resolve_reference_join, resolve_references
from headrace.plan.resolution import Keyed, Resolution, extended
from headrace.plan.routes import resolve_hold, resolve_route, resolve_rule_check
from headrace.plan.rows import resolve_aggregate
from headrace.topology.deduplicate import Deduplicate
from headrace.topology.detect import Detect
from headrace.topology.enrich import Enrich
from headrace.topology.expr import Column, Expr
from headrace.topology.joins import IntervalJoin
from headrace.topology.lookups import GlobalTable, Lookup, TableJoin, TemporalLookup
from headrace.topology.nodes import (
    Aggregate,
    Broadcast,
    Explode,
    Filter,
    GroupBy,
    Handle,
    Merge,
    Node,
    Select,
    Sink,
    Source,
    Table,
    inputs,
)
from headrace.topology.operator import ROWS, Operator, Port
from headrace.topology.parameters import ParameterCheck, Parameters
from headrace.topology.routes import Hold, Route, RuleCheck
from headrace.topology.table_references import Matches, ReferenceJoin, References
from headrace.topology.trees import metas

_KEYS = {Kind.INT, Kind.FLOAT, Kind.DECIMAL, Kind.STR, Kind.BOOL, Kind.TIMESTAMP, Kind.DATE, Kind.ANY}


def resolve(nodes: tuple[Node, ...], *, scattered: bool = False) -> Resolution:
    """Resolve all nodes in order of declaration; ``scattered`` as for :func:`headrace.plan.compile_plan`."""
    known = Resolution()
    if scattered:
        meeting = (node for node in nodes if isinstance(node, Operator) and len(set(node.inputs)) > 1)
        known.scattered.update(port.step for node in meeting for port in node.inputs)
    for node in nodes:
        _RESOLVERS[type(node)](known, node)
    return known


def moves(node: GroupBy, known: Resolution) -> bool:
    """Tell whether records must move: they are not partitioned by just these columns already."""
    if node.id in known.scattered:
        return True
    keyed = known.keyed[node.input]
    wanted = [expr.path if isinstance(expr, Column) else None for _, expr in node.keys]
    return keyed is None or None in wanted or [c.path if c is not None else None for c in keyed] != wanted


def _same_as_input(known: Resolution, node: Node, columns: DType | None = None) -> None:
    port = inputs(node)[0]
    direct = port in known.direct
    known.set(Port(node.id), columns or known.columns[port], known.keys[port], known.keyed[port], direct=direct)


def _source(known: Resolution, node: Source) -> None:
    port = Port(node.id)
    keyed: Keyed = (node.key,) if isinstance(node.key, Column) else None
    known.set(port, _record_type(known, node), (), keyed, direct=True)
    if node.time is not None:
        dtype = known.infer(node.id, "time", node.time, port)
        if dtype.kind not in {Kind.TIMESTAMP, Kind.INT, Kind.ANY}:
            known.fault(
                node.id, "time", "a timestamp, or epoch milliseconds as int", str(dtype), "Convert with fn or cast."
            )
        if "time" in metas(node.time):
            remedy = "Leave time out: by default it is the envelope's, else the record's timestamp."
            known.fault(node.id, "time", "a column", "meta.time, which it is to set", remedy)
    if node.key is not None:
        known.infer(node.id, "key", node.key, port)
        if not isinstance(node.key, Column):
            known.fault(node.id, "key", "a column", str(node.key), "Declare the column that the topic is keyed by.")


def _record_type(known: Resolution, node: Source) -> DType:
    schema: object = node.schema
    expected, remedy = "a pydantic model with fields", "Declare a class of BaseModel or Event with the fields to read."
    if not (isinstance(schema, type) and issubclass(schema, BaseModel)) or schema is BaseModel:
        known.fault(node.id, "schema", expected, repr(schema), remedy)
        return ANY
    try:
        dtype = schema_type(schema)
    except (PydanticUserError, NameError) as error:
        reason = f"{schema.__qualname__}, which is not complete: {str(error).splitlines()[0]}"
        known.fault(node.id, "schema", expected, reason, "Define the types that it names before the topology.")
        return ANY
    if dtype.kind is not Kind.STRUCT:
        known.fault(node.id, "schema", expected, f"{schema.__qualname__}, whose records are {dtype}", remedy)
        return ANY
    return dtype


def _filter(known: Resolution, node: Filter) -> None:
    known.boolean(node.id, "where", node.condition, node.input)
    _same_as_input(known, node)


def _select(known: Resolution, node: Select) -> None:
    schema = known.columns[node.input]
    computed = {name: known.infer(node.id, name, expr, node.input) for name, expr in node.columns}
    if not computed and not (node.extend and schema.kind is Kind.ANY) and not (node.extend and schema.fields):
        known.fault(node.id, "columns", "at least one column", "none", "Name the columns to keep.")
    columns = extended(schema, computed) if node.extend else struct(**computed)
    keyed, port = known.keyed[node.input], Port(node.id)
    types = dict(columns.fields)
    key = tuple((name, types[name]) for name, _ in known.keys[node.input] if name in types)
    renamed = keyed and tuple(_renamed(c, node) for c in keyed)
    known.set(port, columns, key, renamed, direct=node.input in known.direct)


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
    dtype = known.infer(node.id, "items", node.items, node.input)
    if dtype.kind not in {Kind.LIST, Kind.ANY}:
        known.fault(node.id, "items", "a list", f"{dtype}: {node.items}", "Explode a list column.")
    item = dtype.item if dtype.item is not None else ANY
    _same_as_input(known, node, extended(known.columns[node.input], {node.name: item}))


def _merge(known: Resolution, node: Merge) -> None:
    first = next((port for port in node.inputs if known.columns[port].kind is not Kind.ANY), node.inputs[0])
    fields = dict(known.columns[first].fields)
    for port in node.inputs:
        other = known.columns[port]
        if other.kind is Kind.ANY:
            continue
        if {n: t.required() for n, t in other.fields} != {n: t.required() for n, t in fields.items()}:
            remedy = "Bring the streams to the same columns with select()."
            known.fault(node.id, f"input {port.step!r}", f"the columns {known.columns[first]}", str(other), remedy)
            continue
        fields = {n: t.optional() if dict(other.fields)[n].nullable else t for n, t in fields.items()}
    columns = ANY if known.columns[first].kind is Kind.ANY else struct(**fields)
    paths = {tuple(c.path if c is not None else None for c in known.keyed[p] or ()) for p in node.inputs}
    keyed = known.keyed[node.inputs[0]] if len(paths) == 1 else None
    direct = all(port in known.direct for port in node.inputs)
    known.set(Port(node.id), columns, known.keys[node.inputs[0]], keyed, direct=direct)


def _group_by(known: Resolution, node: GroupBy) -> None:
    keys = []
    for name, expr in node.keys:
        dtype = known.infer(node.id, name, expr, node.input)
        if dtype.kind not in _KEYS:
            remedy = "Group by a scalar, such as a nested field of it."
            known.fault(node.id, name, "a key of a scalar type", str(dtype), remedy)
        keys.append((name, dtype.required()))
    if not keys:
        known.fault(node.id, "columns", "at least one key column", "none", "Name the columns to group by.")
    columns = extended(known.columns[node.input], dict(keys))
    keyed = tuple(Column((name,)) for name, _ in keys)
    direct = node.input in known.direct and not moves(node, known)
    known.set(Port(node.id), columns, tuple(keys), keyed, direct=direct)


def _broadcast(known: Resolution, node: Broadcast) -> None:
    known.set(Port(node.id), known.columns[node.input], (), None, direct=False)


def _table(known: Resolution, node: Table) -> None:
    if node.delete is not None:
        known.boolean(node.id, "delete", node.delete, node.input)
    found = known.columns[node.input], known.keys[node.input], known.keyed[node.input]
    for port in ("update", "change", ROWS):
        known.set(Port(node.id, port), *found, direct=False)


def _sink(known: Resolution, node: Sink) -> None:
    if isinstance(node.topic, Expr):
        dtype = known.infer(node.id, "topic", node.topic, node.input)
        if dtype.kind not in {Kind.STR, Kind.ANY}:
            known.fault(node.id, "topic", "a topic name of type str", str(dtype), "Build the name with fn.concat.")
    if node.key is not None:
        known.infer(node.id, "key", node.key, node.input)


def _handle(known: Resolution, node: Handle) -> None:
    """A handler takes any record; its arguments are checked where they are declared."""


_RESOLVERS: dict[type, Callable[..., None]] = {
    Source: _source,
    Filter: _filter,
    Select: _select,
    Explode: _explode,
    Merge: _merge,
    GroupBy: _group_by,
    Broadcast: _broadcast,
    Deduplicate: resolve_deduplicate,
    IntervalJoin: resolve_interval_join,
    Enrich: resolve_enrich,
    Lookup: resolve_lookup,
    TemporalLookup: resolve_temporal_lookup,
    GlobalTable: resolve_global_table,
    TableJoin: resolve_table_join,
    References: resolve_references,
    Matches: resolve_matches,
    ReferenceJoin: resolve_reference_join,
    Detect: resolve_detect,
    RuleCheck: resolve_rule_check,
    Hold: resolve_hold,
    Route: resolve_route,
    ParameterCheck: resolve_parameter_check,
    Parameters: resolve_parameters,
    Table: _table,
    Aggregate: resolve_aggregate,
    Sink: _sink,
    Handle: _handle,
}
