"""The row of a table in generated code: of the table's own state, in the same task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.event.dtypes import INT
from headrace.operators.frame import Value
from headrace.plan.model import PlannedStep
from headrace.topology.nodes import Aggregate

if TYPE_CHECKING:
    from headrace.operators.generator import Generator

NO_TIME_MS = -1
"""The time of a row that is not there: before every event time."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row in generated code: the local ``code`` is None, or holds its event time and its columns in order."""

    code: str
    columns: Mapping[str, Value]

    @property
    def time(self) -> Value:
        """Code and type of its event time in milliseconds."""
        return f"{self.code}[0]", INT

    def or_nulls(self, g: Generator) -> str:
        """Return a line that puts a row of nulls in place of none."""
        g.names[nulls := f"_nulls{len(self.columns)}"] = (NO_TIME_MS, *(None for _ in self.columns))
        return f"if {self.code} is None: {self.code} = {nulls}"


def read_row(g: Generator, table: PlannedStep, key: str, parts: Sequence[str], *, nullable: bool = False) -> Row:
    """Generate the reading of the row of a key: ``key`` is its code, ``parts`` that of its columns.

    ``nullable``: where the key is None there is no row.
    """
    w, local = g.writer, g.writer.fresh("row")
    if isinstance(table.node, Aggregate):
        if nullable:
            w.line(f"{local} = None")
            with w.block(f"if {key} is not None:"):
                _read_aggregate(g, table, key, parts, local)
        else:
            _read_aggregate(g, table, key, parts, local)
    else:
        find = g.bind(f"t.operators[{g.operators[table.id].index}].find", "find")
        w.line(f"{local} = None if {key} is None else {find}({key})" if nullable else f"{local} = {find}({key})")
    fields = table.columns.fields
    return Row(local, {name: (f"{local}[{place}]", dtype) for place, (name, dtype) in enumerate(fields, 1)})


def _read_aggregate(g: Generator, table: PlannedStep, key: str, parts: Sequence[str], local: str) -> None:
    """Make the row of its state: aggregates over all time keep the highest event time first, -1 before any record."""
    # the kinds of all steps are known by their nodes there, this one among them
    from headrace.operators.kinds import kind_of  # noqa: PLC0415

    w, index = g.writer, g.operators[table.id].index
    operator, peek = g.bind(f"t.operators[{index}]", "agg"), g.bind(f"t.previews[{index}].state", "peek")
    form = kind_of(table).row(g, table, "update")
    keys = dict(zip((name for name, _ in table.key), parts, strict=True))
    values = [keys.get(name) or form.frame.column((name,))[0] for name, _ in table.columns.fields]
    w.line(f"if {operator}.behind: {operator}.catch_up()")
    w.line(f"st = {peek}(0, {key})")
    for line in form.lines:
        w.line(line)
    w.line(f"{local} = None if st[0] < 0 else ({', '.join(('st[0]', *values))},)")


__all__ = ["NO_TIME_MS", "Row", "read_row"]
