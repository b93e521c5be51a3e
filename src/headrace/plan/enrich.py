"""The port of an enrichment: the columns of the record, and one more."""

from __future__ import annotations

from headrace.event.dtypes import ANY, Kind
from headrace.plan.resolution import Resolution, extended
from headrace.topology.enrich import Enrich
from headrace.topology.operator import Port
from headrace.topology.typing import to_dtype

_SCALARS = {Kind.INT, Kind.FLOAT, Kind.DECIMAL, Kind.STR, Kind.BOOL, Kind.BYTES, Kind.TIMESTAMP, Kind.DATE, Kind.ANY}


def resolve_enrich(known: Resolution, node: Enrich) -> None:
    """Set its port."""
    for number, expr in enumerate(node.args, 1):
        dtype = known.infer(node.id, f"argument {number}", expr, node.input)
        if dtype.kind not in _SCALARS:
            remedy = "Take a scalar, such as a field of it: values are remembered by their arguments."
            known.fault(node.id, f"argument {number}", "a scalar", str(dtype), remedy)
    if not node.args:
        known.fault(node.id, "args", "at least one argument", "none", "Say what the function is called with.")
    columns = known.columns[node.input]
    if columns.kind is Kind.STRUCT and columns.field(node.name) is not None:
        got = f"{node.name!r}, which the record has"
        known.fault(node.id, "name", "a new column name", got, "Choose another name: name='...'.")
    try:
        dtype = to_dtype(node.returns)
    except TypeError as error:
        remedy = f"{str(error)[0].upper()}{str(error)[1:]}."
        known.fault(node.id, "returns", "a value type", repr(node.returns), remedy)
        dtype = ANY
    row = extended(columns, {node.name: dtype.optional()})
    known.set(Port(node.id), row, known.keys[node.input], known.keyed[node.input], direct=False)


__all__ = ["resolve_enrich"]
