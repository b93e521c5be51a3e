"""What a kind of stateful step brings with it: its generated code, the form of its rows, its logic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from headrace.operators.agent import OperatorSpec
from headrace.operators.frame import Frame
from headrace.operators.logic import Emit, Logic
from headrace.operators.view import StateView
from headrace.plan.model import PlannedStep
from headrace.topology.operator import Port

if TYPE_CHECKING:
    from headrace.operators.generator import Generator

N = TypeVar("N")
S = TypeVar("S", bound="Shape")


@dataclass(frozen=True, slots=True)
class Shape:
    """A stateful step in its agent's code. ``index``: its place in ``task.operators``; ``types`` of a state's slots."""

    index: int
    types: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class RowForm:
    """How a row lies in (k, st): the locals of the key, the row's frame, and the code of its event time.

    ``lines`` run once for each row, before the steps behind it.
    """

    key: list[str]
    frame: Frame
    time: str
    lines: tuple[str, ...] = ()


class Kind(Protocol):
    """One kind of stateful step. Kinds keep nothing: one instance serves all steps."""

    def prepare(self, g: Generator, step: PlannedStep, index: int) -> Shape:
        """Lay out the state and generate the functions that stand beside the loops."""

    def visit(self, g: Generator, step: PlannedStep, port: Port, frame: Frame, *, tail: bool) -> None:
        """Generate what a record on one of the step's inputs does; ``tail``: nothing follows in the loop body."""

    def row(self, g: Generator, step: PlannedStep, port: str) -> RowForm:
        """Return the form of the rows that the logic emits on a port that is not inline."""

    def delays(self, node: Any, before: int) -> Mapping[str, int]:
        """Return by port how far event time there lies behind the task's watermark; ``before``: on its inputs."""

    def kit(self, g: Generator, step: PlannedStep, made: Callable[[str], Callable[..., Any]]) -> Any:
        """Return what the logic needs beside the state's types; ``made`` finds a generated function by its name."""

    def logic(self, spec: OperatorSpec, view: StateView, emit: Emit, opened: Callable[[], None]) -> Logic:
        """Return the logic for one task; ``opened`` is to be called when ``next_ms`` has become earlier."""

    def preview(self, spec: OperatorSpec, view: StateView, logic: Logic) -> Any:
        """Return what code in the loop asks before it changes anything; None: nothing."""


def node_of(step: PlannedStep, kind: type[N]) -> N:
    """Return the step's node, which is of this kind."""
    if not isinstance(step.node, kind):
        raise TypeError(step.id)
    return step.node


def shape_of(g: Generator, step: PlannedStep, kind: type[S]) -> S:
    """Return the step's shape, which is of this kind."""
    shape = g.operators[step.id]
    if not isinstance(shape, kind):
        raise TypeError(step.id)
    return shape
