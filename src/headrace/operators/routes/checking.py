"""Changes of rules are checked where they come in: what is wrong is told once, and no task ever sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from headrace.errors import DataError
from headrace.event.dtypes import STR, DType
from headrace.operators.agent import OperatorSpec
from headrace.operators.frame import Frame, Value
from headrace.operators.kind import RowForm, Shape
from headrace.operators.logic import Emit, Logic
from headrace.operators.routes.deciding import compilable
from headrace.operators.rows import listed_form
from headrace.operators.stateless import Stateless
from headrace.operators.view import StateView
from headrace.plan.model import PlannedStep
from headrace.topology.operator import Port
from headrace.topology.routes import RuleCheck
from headrace.topology.rulechecks import RuleRefusedError
from headrace.topology.rulesets import MAX_VERSION

if TYPE_CHECKING:
    from headrace.operators.generator import Generator

OPERATIONS = ("put", "remove")

ChangeRow = tuple[
    str, str | None, str | None, int | None, str | None, bool | None, list[str] | None, int | None, datetime | None
]
"""A change, in the order of its columns."""


@dataclass(frozen=True, slots=True)
class CheckKind:
    """A change passes, or it is rejected: the steps behind it run in the same loop.

    ``schema`` are the columns of a change. ``checker`` makes, for a step, the function that says what is wrong with a
    change, a tuple of its columns; None if nothing is.
    """

    schema: DType
    checker: Callable[[Generator, PlannedStep], Callable[[Any], str | None]]

    def prepare(self, g: Generator, step: PlannedStep, index: int) -> Shape:
        """Lay out nothing: what is checked needs no state."""
        return Shape(index, ())

    def visit(self, g: Generator, step: PlannedStep, port: Port, frame: Frame, *, tail: bool) -> None:
        """Go on with a good change; pass a bad one to those who read of it, and make it a dead letter."""
        checker = f"_check_{len(g.names)}"
        g.names |= {checker: self.checker(g, step), "_refused": refused}
        values = change_values(frame, self.schema)
        w = g.writer
        reason = w.fresh("e_")
        w.line(f"{reason} = {checker}(({', '.join(code for code, _ in values.values())}))")
        missing = {name: value for name, value in values.items() if frame.schema.field(name) is None}
        with w.block(f"if {reason} is not None:"):
            told = Port(step.id, "rejected")
            if g.plan.consumers(told):
                with g.guarded():
                    rejected = {**missing, "reason": (reason, STR)}
                    g.children(told, frame.computed(g.plan.columns[told], rejected, {}), tail=False)
            w.line(f"raise _refused({step.id!r}, {reason})")
        g.children(Port(step.id), frame.computed(step.columns, missing, {}), tail=tail)

    def row(self, g: Generator, step: PlannedStep, port: str) -> RowForm:
        """Return the form of rows: there are none."""
        return listed_form(g, step, port)

    def delays(self, node: Any, before: int) -> Mapping[str, int]:
        """Return the delays: changes pass as they come in."""
        return {"out": before, "rejected": before}

    def kit(self, g: Generator, step: PlannedStep, made: Callable[[str], Callable[..., Any]]) -> None:
        """Return nothing."""

    def logic(self, spec: OperatorSpec, view: StateView, emit: Emit, opened: Callable[[], None]) -> Stateless:
        """Return a logic that does nothing."""
        return Stateless()

    def preview(self, spec: OperatorSpec, view: StateView, logic: Logic) -> None:
        """Return nothing."""


def rule_checker(g: Generator, step: PlannedStep) -> Callable[[ChangeRow], str | None]:
    """Return the function that says what is wrong with a change of rules over the route's records."""
    if not isinstance(step.node, RuleCheck):
        raise TypeError(step.id)
    return checker_of(g.plan.columns[step.node.against])


def change_values(frame: Frame, schema: DType) -> dict[str, Value]:
    """Return code and type of every column of a change; null for those that the stream does not have."""
    found: dict[str, Value] = {}
    for name, dtype in schema.fields:
        there = frame.schema.field(name) is not None
        found[name] = frame.column((name,)) if there else ("None", dtype)
    return found


def checker_of(columns: DType) -> Callable[[ChangeRow], str | None]:
    """Return the function that says what is wrong with a change of rules over these columns; None if nothing is."""

    def check(change: ChangeRow) -> str | None:
        name, op, condition, priority, _, _, _, version, _ = change
        if not name:
            return "expected the name of a rule, got none."
        wrong = operation(f"rule {name!r}", op, version)
        if wrong is not None:
            return wrong
        if priority is not None and abs(priority) > MAX_VERSION:
            return f"rule {name!r}: priority: expected -{MAX_VERSION} to {MAX_VERSION}, got {priority}."
        if op == "remove":
            return None
        if not condition:
            return f"rule {name!r}: condition: expected a rule, got none."
        try:
            compilable(condition, columns)
        except RuleRefusedError as error:
            return f"rule {name!r}: {error}"
        return None

    return check


def operation(of: str, op: str | None, version: int | None) -> str | None:
    """Return what is wrong with the operation and the version of a change; None if nothing is."""
    if op is not None and op not in OPERATIONS:
        return f"{of}: op: expected {' or '.join(map(repr, OPERATIONS))}, got {op!r}."
    if version is not None and not 0 <= version <= MAX_VERSION:
        return f"{of}: version: expected 0 to {MAX_VERSION}, got {version}."
    return None


def refused(step: str, reason: str) -> DataError:
    """Return the error that makes a change a dead letter."""
    message = f"step {step!r}: {reason} What is in force stays as it is: publish the change again, mended"
    return DataError(message, field="name")
