"""Records without a value: in a topic of latest rows they say that the row of the key is gone.

Who keeps versions of the rows, for lookups as of event time, is told as well, with the time of the record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from headrace.event.dtypes import DType, Kind
from headrace.kafka.model import Fetched
from headrace.operators.latest import TableLogic
from headrace.operators.lookups.temporal_logic import TemporalLogic
from headrace.plan.model import Plan, PlannedStep
from headrace.runtime.task import Task
from headrace.time.watermark import Channel
from headrace.topology.lookups import TemporalLookup
from headrace.topology.nodes import GroupBy, Table
from headrace.topology.operator import Port

_PARSERS: dict[Kind, Callable[[bytes], Any]] = {Kind.STR: lambda key: key.decode(), Kind.INT: int}

_NO_VALUE = (
    "the record has no value: that removes a row only from a table right behind a source whose key= is the group_by's "
    "one column, of text or whole numbers, and only if the record has such a key"
)


class Tombstones:
    """The tables right behind a source whose key is that of its records."""

    def __init__(self, plan: Plan, source: PlannedStep, task: Task) -> None:
        """Find the tables: behind a group_by that moves no records, by one column of text or whole numbers."""
        self._tables: list[tuple[TableLogic | TemporalLogic, Callable[[bytes], Any]]] = []
        for group in plan.consumers(Port(source.id)):
            if not isinstance(group.node, GroupBy) or group.exchange or len(group.key) != 1:
                continue
            parse = _parser(group.key[0][1])
            for step in plan.consumers(Port(group.id)):
                if parse is not None and _is_told(step, Port(group.id)):
                    self._tables.append((_logic(task, step.id), parse))

    def __bool__(self) -> bool:
        """Tell whether records without a value mean anything here."""
        return bool(self._tables)

    def take(self, key: bytes | None, time_ms: int, channel: Channel) -> bool:
        """Remove the rows of a key, at a time that was read on a channel; False: it is no key of these tables."""
        if key is None:
            return False
        try:
            rows = [(logic, parse(key)) for logic, parse in self._tables]
        except ValueError:
            return False
        for logic, parsed in rows:
            if isinstance(logic, TableLogic):
                logic.hot[parsed] = None
            elif time_ms >= max(channel.watermark_ms, channel.floor_ms):
                logic.remove(parsed, time_ms)
        return True


def runs(batch: Fetched) -> list[tuple[int, int]]:
    """Return where records that have values follow one another, as [begin, end) of each run, in order.

    Between two runs lies one record without a value.
    """
    ends = [place for place, value in enumerate(batch.values) if value is None]
    return list(zip([0, *(end + 1 for end in ends)], [*ends, len(batch.values)], strict=True))


def no_values(batch: Fetched) -> dict[int, str]:
    """Return by place what is wrong with the records without a value, where they remove nothing."""
    return {place: _NO_VALUE for place, value in enumerate(batch.values) if value is None}


def _parser(dtype: DType) -> Callable[[bytes], Any] | None:
    return _PARSERS.get(dtype.kind)


def _is_told(step: PlannedStep, group: Port) -> bool:
    """Tell whether a step behind a group_by keeps rows of its records."""
    return isinstance(step.node, Table) or (isinstance(step.node, TemporalLookup) and step.node.changes == group)


def _logic(task: Task, step: str) -> TableLogic | TemporalLogic:
    specs: Sequence[Any] = task.code.operators
    found = next(logic for spec, logic in zip(specs, task.operators, strict=True) if spec.step.id == step)
    if not isinstance(found, TableLogic | TemporalLogic):
        raise TypeError(step)
    return found
