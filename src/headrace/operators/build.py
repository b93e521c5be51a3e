"""From a plan to code, and from a stateful step to its logic."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from headrace.operators.agent import AgentCode, OperatorSpec
from headrace.operators.generator import Generator
from headrace.operators.latest import TableLogic
from headrace.operators.logic import Emit
from headrace.operators.sessions import SessionLogic
from headrace.operators.view import StateView, store_name
from headrace.operators.windowed import WindowedLogic
from headrace.plan.model import Plan
from headrace.state.protocol import Backend
from headrace.topology.nodes import Aggregate
from headrace.topology.windows import Hopping, Session

AnyLogic = WindowedLogic | SessionLogic | TableLogic


def generate(plan: Plan) -> tuple[AgentCode, ...]:
    """Generate the code of every agent of a plan."""
    return tuple(Generator(plan, agent).generate() for agent in plan.agents)


def code(plan: Plan) -> str:
    """Return the generated functions of a plan as text."""
    return "\n".join(f"# agent {made.agent}\n{made.text}" for made in generate(plan))


def state_view(plan_name: str, spec: OperatorSpec, backend: Backend, partition: int) -> StateView:
    """Return where the states of a step and a partition lie."""
    step = spec.step
    return StateView(
        store_name(plan_name, step.id), backend, partition, tuple(dtype for _, dtype in step.key), spec.slot_types
    )


def build_logic(spec: OperatorSpec, view: StateView, emit: Emit, opened: Callable[[], None]) -> AnyLogic:
    """Return the logic of a stateful step for one task."""
    node = spec.step.node
    if not isinstance(node, Aggregate):
        return TableLogic(view, emit)
    match node.window:
        case None | Hopping():
            return WindowedLogic(spec, node.window, view, emit, opened)
        case Session():
            return SessionLogic(spec, node.window, view, emit, opened)
        case _:
            assert_never(node.window)
