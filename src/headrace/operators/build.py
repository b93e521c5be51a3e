"""From a plan to code, and where the states of its steps lie."""

from __future__ import annotations

from headrace.operators.agent import AgentCode, OperatorSpec
from headrace.operators.generator import Generator
from headrace.operators.view import StateView, store_name
from headrace.plan.model import Plan
from headrace.state.protocol import Backend


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
