"""The generator: fuses the steps between two stateful steps into one Python function.

A *head* is a loop over a batch of records of a source or of an exchange; a *rows* function is
a loop over the rows that a stateful step emits on one of its ports. Both end in sinks,
exchanges, handlers and stateful steps. There is no call per step and record.

A generated function takes the task as ``t`` and binds what it uses of it at the start of each
batch. Any exception within one record becomes a dead letter of the step whose line raised it.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from headrace.errors import InternalError
from headrace.event.dtypes import DType
from headrace.operators import leaves, steps
from headrace.operators.agent import AgentCode, ExchangeSpec, OperatorSpec, SinkSpec
from headrace.operators.expressions import Emitter
from headrace.operators.frame import Frame
from headrace.operators.heads import exchange_head, source_head
from headrace.operators.kind import Shape
from headrace.operators.kinds import kind_of
from headrace.operators.meetings import Meetings
from headrace.operators.rows import row_function, rows_head
from headrace.operators.traces import traced
from headrace.operators.writer import Writer
from headrace.plan.model import Agent, Plan, PlannedStep
from headrace.topology.expr import Expr
from headrace.topology.nodes import (
    Broadcast,
    Explode,
    Filter,
    GroupBy,
    Handle,
    Merge,
    OnError,
    Select,
    Sink,
    Source,
    inputs,
)
from headrace.topology.operator import Operator, Port
from headrace.topology.typing import infer


class Generator:
    """Generates the functions of one agent. One instance an agent."""

    def __init__(self, plan: Plan, agent: Agent) -> None:
        """Prepare for an agent of a plan."""
        self.plan = plan
        self.agent = agent
        self.writer = Writer()
        self.names: dict[str, object] = {}
        self.emitter = Emitter(self.names)
        self.sinks: list[SinkSpec] = []
        self.exchanges: list[ExchangeSpec] = []
        self.handles: list[Handle] = []
        self.operators: dict[str, Shape] = {}
        self.delays = _delays(plan)
        self.meetings = Meetings(plan)
        self.traced = traced(plan)
        self.prologue: list[str] = []
        self.failure = ""
        self.refire: str | None = None

    def generate(self) -> AgentCode:
        """Generate all functions of the agent."""
        mine = [self.plan.step(step_id) for step_id in self.agent.steps]
        keeping = [step for step in mine if isinstance(step.node, Operator)]
        for step in keeping:
            self.operators[step.id] = kind_of(step).prepare(self, step, len(self.operators))
        heads = {head: self._head(self.plan.step(head)) for head in self.agent.heads}
        rows = {(s.id, port): self._rows(s, port) for s in keeping for port in _row_ports(self.plan, s)}
        filename = f"<headrace {self.plan.name}/{self.agent.id}>"
        reads = {s.id: row_function(self, s, kind_of(s).row(self, s, "update")) for s in keeping if _is_table(s)}
        text = self.writer.text()
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
        exec(compile(text, filename, "exec"), self.names)  # noqa: S102 - our own text, never a user's
        return AgentCode(
            agent=self.agent.id,
            text=text,
            heads={head: self._function(name) for head, name in heads.items()},
            rows={port: self._function(name) for port, name in rows.items()},
            steps_by_line=tuple(self.writer.steps),
            sinks=tuple(self.sinks),
            exchanges=tuple(self.exchanges),
            operators=tuple(self._operator(s, reads.get(s.id)) for s in keeping),
            handles=tuple(self.handles),
            policies=_policies(self.plan),
            filename=filename,
        )

    def _function(self, name: str) -> Callable[..., Any]:
        function = self.names[name]
        if not callable(function):
            msg = f"generated name {name} is no function"
            raise InternalError(msg)
        return function

    def _operator(self, step: PlannedStep, read: str | None) -> OperatorSpec:
        delay = max(self.delays[port] for port in inputs(step.node))
        row = None if read is None else self._function(read)
        kit = kind_of(step).kit(self, step, self._function)
        return OperatorSpec(step, delay, self.operators[step.id].types, row, kit)

    def _head(self, step: PlannedStep) -> str:
        with self.function(step.id):
            name = f"head_{len(self.writer.steps)}"
            if isinstance(step.node, Source):
                source_head(self, step, name)
            else:
                exchange_head(self, step, name)
        return name

    def _rows(self, step: PlannedStep, port: str) -> str:
        name = f"rows_{len(self.writer.steps)}"
        with self.function(step.id):
            rows_head(self, step, port, kind_of(step).row(self, step, port), name)
        return name

    @contextmanager
    def function(self, step_id: str) -> Iterator[None]:
        """Begin a new function: what it binds at its start is collected anew."""
        self.prologue, self.refire = [], None
        with self.writer.step(step_id):
            yield

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Take the record out of what is generated within if that fails, and go on behind it."""
        with self.writer.block("try:"):
            yield
        with self.writer.block("except Exception as e:"):
            self.writer.line(self.failure)

    def argument_type(self, step: PlannedStep, expr: Expr) -> DType:
        """Return the type of an aggregate's argument over the input of its step."""
        return infer(expr, step.input, _no_fault)

    def bind(self, code: str, prefix: str) -> str:
        """Bind a value to a local at the start of the function; return the local's name."""
        name = self.writer.fresh(prefix)
        self.prologue.append(f"{name} = {code}")
        return name

    def value(self, expr: Expr, frame: Frame) -> tuple[str, Any]:
        """Return code and type of an expression over the record at hand."""
        made = self.emitter.emit(expr, frame)
        return made.text, made.dtype

    def children(self, port: Port, frame: Frame, *, tail: bool) -> None:
        """Generate every step that reads a port. ``tail``: nothing follows in the loop body."""
        consumers = self.plan.consumers(port)
        meetings = self.meetings.begin(self, consumers)
        for place, step in enumerate(consumers):
            last = place == len(consumers) - 1 and not meetings
            with self.writer.step(step.id), nullcontext() if last else self.guarded():
                self._step(step, port, frame, tail=tail and last)
        for met, record in self.meetings.end(self, meetings):
            self.children(met, record, tail=True)

    def _step(self, step: PlannedStep, port: Port, frame: Frame, *, tail: bool) -> None:
        match step.node:
            case Filter():
                steps.emit_filter(self, step.node, frame, tail=tail)
            case Select():
                steps.emit_select(self, step, step.node, frame, tail=tail)
            case Explode():
                steps.emit_explode(self, step, step.node, frame)
            case Merge():
                if not self.meetings.arrive(self, step, frame):
                    self.children(Port(step.id), frame, tail=tail)
            case GroupBy():
                leaves.emit_group_by(self, step, step.node, frame, tail=tail)
            case Sink():
                leaves.emit_sink(self, step, step.node, frame)
            case Handle():
                leaves.emit_handle(self, step, step.node, frame)
            case Broadcast():
                leaves.emit_broadcast(self, step, frame)
            case Operator():
                kind_of(step).visit(self, step, port, frame, tail=tail)
            case Source():
                msg = f"source {step.id} reads no port"
                raise InternalError(msg)


def _no_fault(expected: str, got: str, remedy: str) -> None:
    """Refuse faults: the plan was checked when it was compiled."""
    msg = f"fault in a checked plan: expected {expected}, got {got}. {remedy}"
    raise InternalError(msg)


def _row_ports(plan: Plan, step: PlannedStep) -> list[str]:
    ports = {p.name for s in plan.steps for p in inputs(s.node) if p.step == step.id}
    return sorted(ports - step.node.inline) if isinstance(step.node, Operator) else []


def _is_table(step: PlannedStep) -> bool:
    return isinstance(step.node, Operator) and step.node.queryable


def _delays(plan: Plan) -> dict[Port, int]:
    """Return how far event time on each port lies behind the task's watermark: the graces on the way."""
    delays: dict[Port, int] = {}
    for step in plan.steps:
        before = max((delays[p] for p in inputs(step.node)), default=0)
        delays[Port(step.id)] = before
        if isinstance(step.node, Operator):
            delays |= {Port(step.id, port): delay for port, delay in kind_of(step).delays(step.node, before).items()}
    return delays


_STRICTEST = (OnError.FAIL, OnError.DEAD_LETTER, OnError.SKIP)


def _policies(plan: Plan) -> dict[str, OnError]:
    """Return for each step what to do with a record that it fails on: what its sources say, the strictest of them."""
    found: dict[str, OnError] = {}
    for step in plan.steps:
        above = {found[port.step] for port in inputs(step.node)}
        own = step.node.on_error if isinstance(step.node, Source) else next(p for p in _STRICTEST if p in above)
        found[step.id] = own
    return found
