"""Where ways through one function meet again: the steps behind a merge are generated once.

A record may reach a merge on several ways, behind a branch for example. Each way puts it into a
list; once all of them were gone, one loop takes it on from there. Without it, a chain of n
diamonds would repeat the code behind it 2^n times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from headrace.operators.frame import Frame, Value, type_at
from headrace.plan.model import Plan, PlannedStep
from headrace.plan.projection import Path
from headrace.topology.nodes import Handle, Merge, Sink
from headrace.topology.operator import ROWS, Operator, Port

if TYPE_CHECKING:
    from headrace.operators.generator import Generator


@dataclass(slots=True)
class Meeting:
    """A merge that several ways lead to. ``frames``: the record as each way brings it."""

    step: PlannedStep
    queue: str
    frames: list[Frame] = field(default_factory=list)


class Meetings:
    """The merges of an agent: where ways part that meet there."""

    def __init__(self, plan: Plan) -> None:
        """Know nothing yet."""
        self._plan = plan
        self._reached: dict[str, frozenset[str]] = {}
        self._open: dict[str, Meeting] = {}

    def begin(self, g: Generator, consumers: tuple[PlannedStep, ...]) -> list[Meeting]:
        """Open a list for every merge that more than one of these steps leads to."""
        if len(consumers) == 1:
            return []
        ways = Counter(merge for step in consumers for merge in self._reach(step))
        begun = []
        for step in self._plan.steps:  # in topological order: a loop may feed those behind it
            if ways[step.id] > 1 and step.id not in self._open:
                self._open[step.id] = Meeting(step, g.writer.fresh("q"))
                begun.append(self._open[step.id])
                g.writer.line(f"{self._open[step.id].queue} = []")
        return begun

    def arrive(self, g: Generator, step: PlannedStep, frame: Frame) -> bool:
        """Put the record at hand into the list of a merge; False: no ways meet there."""
        meeting = self._open.get(step.id)
        if meeting is None:
            return False
        meeting.frames.append(frame)
        values = [frame.column(path)[0] for path in _carried(g, step)] + [code for code, _ in _key(step, frame)]
        g.writer.line(f"{meeting.queue}.append(({''.join(f'{value}, ' for value in values)}))")
        return True

    def end(self, g: Generator, begun: list[Meeting]) -> Iterator[tuple[Port, Frame]]:
        """Open the loop behind each merge in turn; the caller generates its body."""
        for meeting in begun:
            del self._open[meeting.step.id]
            frame, names = _met(g, meeting)
            target = "".join(f"{name}, " for name in names) or "()"
            with (
                g.writer.step(meeting.step.id),
                g.writer.block(f"for {target.rstrip()} in {meeting.queue}:"),
                g.guarded(),
            ):
                yield Port(meeting.step.id), frame

    def _reach(self, step: PlannedStep) -> frozenset[str]:
        """Return the merges that a record may reach from a step without leaving the function."""
        known = self._reached.get(step.id)
        if known is not None:
            return known
        match step.node:
            case Sink() | Handle():
                ports = []
            case Operator() as node:  # its other ports have functions of their own
                ports = [Port(step.id, port) for port in sorted(node.inline - {ROWS})]
            case _:
                ports = [] if step.exchange else [Port(step.id)]
        found = {step.id} if isinstance(step.node, Merge) else set()
        for port in ports:
            for consumer in self._plan.consumers(port):
                found |= self._reach(consumer)
        self._reached[step.id] = frozenset(found)
        return self._reached[step.id]


def _carried(g: Generator, step: PlannedStep) -> list[Path]:
    return sorted(g.plan.required.get(Port(step.id), frozenset()))


def _key(step: PlannedStep, frame: Frame) -> tuple[Value, ...]:
    return frame.key if step.key else ()


def _met(g: Generator, meeting: Meeting) -> tuple[Frame, list[str]]:
    """Return the record behind a merge, and the locals that the loop sets."""
    first, step = meeting.frames[0], meeting.step
    columns: dict[Path, Value] = {p: (g.writer.fresh("c"), type_at(step.columns, p)) for p in _carried(g, step)}
    key = tuple((g.writer.fresh("k_"), dtype) for _, dtype in _key(step, first))
    names = [code for code, _ in (*columns.values(), *key)]
    key_code = f"({', '.join(code for code, _ in key)})" if len(key) > 1 else key[0][0] if key else None
    raw = first.raw if all(frame.raw == first.raw for frame in meeting.frames) else None
    frame = replace(
        first, schema=step.columns, columns=columns, key=key, key_code=key_code, raw=raw, origin=None, aliases={}
    )
    return frame, names
