"""The ports of live parameters."""

from __future__ import annotations

from headrace.event.dtypes import STR, DType, struct
from headrace.plan.resolution import Resolution, extended
from headrace.plan.routes import check_control
from headrace.topology.operator import Port
from headrace.topology.parameters import SETTING, ParameterCheck, Parameters, types_of


def resolve_parameter_check(known: Resolution, node: ParameterCheck) -> None:
    """Set its ports; note what is wrong with the columns of the control stream."""
    check_control(known, node, SETTING, "ParameterChange")
    direct = node.input in known.direct
    known.set(Port(node.id), SETTING, (), None, direct=direct)
    known.set(Port(node.id, "rejected"), struct(**dict(SETTING.fields), reason=STR), (), None, direct=direct)


def resolve_parameters(known: Resolution, node: Parameters) -> None:
    """Set its port: the input's columns and the parameters."""
    columns, keyed, key = known.columns[node.input], known.keyed[node.input], known.keys[node.input]
    added: dict[str, DType] = types_of(node.defaults)
    for name in sorted({column for column, _ in key} & set(added)):
        remedy = "Choose another name for the parameter."
        known.fault(node.id, name, "a column that is no key", f"{name!r}, by which the stream is grouped", remedy)
    replaced = keyed and tuple(None if column is None or column.path[0] in added else column for column in keyed)
    direct = node.input in known.direct
    known.set(Port(node.id, "with"), extended(columns, added), key, replaced, direct=direct)
