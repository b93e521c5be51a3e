"""What the compiler finds out about the ports of a topology, and the faults on the way."""

from __future__ import annotations

from dataclasses import dataclass, field

from headrace.errors import Fault
from headrace.event.dtypes import ANY, DType, Kind, struct
from headrace.topology.expr import Column, Expr
from headrace.topology.operator import Port
from headrace.topology.trees import metas
from headrace.topology.typing import infer

Columns = tuple[tuple[str, DType], ...]
Keyed = tuple[Column | None, ...] | None

_OF_THE_INPUT = {"topic", "partition", "offset"}


@dataclass(slots=True)
class Resolution:
    """What is known of every port, and what is wrong.

    ``columns`` of a port are a STRUCT, or ANY behind a fault: then nothing is known of them.
    ``keyed`` names the columns, as seen on that port, by which the records are partitioned.
    ``scattered`` are the group_bys behind which records move, however they are partitioned.
    ``direct`` are the ports whose records came from a topic without a step that makes new ones in between.
    """

    columns: dict[Port, DType] = field(default_factory=dict)
    keys: dict[Port, Columns] = field(default_factory=dict)
    keyed: dict[Port, Keyed] = field(default_factory=dict)
    direct: set[Port] = field(default_factory=set)
    scattered: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)

    def set(self, port: Port, columns: DType, key: Columns, keyed: Keyed, *, direct: bool) -> None:
        """Note what a port holds."""
        self.columns[port], self.keys[port], self.keyed[port] = columns, key, keyed
        if direct:
            self.direct.add(port)

    def fault(self, step: str, parameter: str, expected: str, got: str, remedy: str) -> None:
        """Note one fault."""
        self.faults.append(Fault(step, parameter, expected, got, remedy))

    def infer(self, step: str, parameter: str, expr: Expr, port: Port) -> DType:
        """Return the type of an expression over the records of a port; note its faults."""

        def report(expected: str, got: str, remedy: str) -> None:
            self.fault(step, parameter, expected, got, remedy)

        if port not in self.direct:
            for name in sorted(metas(expr) & _OF_THE_INPUT):
                got = f"meta.{name} behind a repartition, a table or an aggregate, where it is null"
                remedy = f"Keep it as a column before that: map('...', {name}=meta.{name})."
                report("a property that the record has", got, remedy)
        return infer(expr, self.columns[port], report)

    def boolean(self, step: str, parameter: str, expr: Expr, port: Port) -> None:
        """Note a fault if a condition is not of type bool."""
        dtype = self.infer(step, parameter, expr, port)
        if dtype.kind not in {Kind.BOOL, Kind.ANY, Kind.NULL}:
            remedy = "Compare it with something, or test is_not_null()."
            self.fault(step, parameter, "a condition of type bool", f"{dtype}: {expr}", remedy)


def extended(schema: DType, columns: dict[str, DType]) -> DType:
    """Return the columns of a port with further ones; what is not known stays so."""
    return ANY if schema.kind is Kind.ANY else struct(**(dict(schema.fields) | columns))
