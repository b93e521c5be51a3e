"""A plan as text, JSON and Mermaid: stable, comparable, made for golden files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from headrace.plan.digest import digest, functions_of
from headrace.plan.model import Plan, PlannedStep, is_stateful
from headrace.topology.names import callable_name
from headrace.topology.nodes import (
    Broadcast,
    Explode,
    Filter,
    GroupBy,
    Handle,
    Merge,
    Node,
    Select,
    Sink,
    Source,
    inputs,
)
from headrace.topology.operator import Operator, Port

Json = dict[str, object]

FILE_MODULE = "_headrace_target_"
"""What the names of modules begin with that stand for a file named on the command line: nobody else's business."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a plan does. Compares by value; ``str()`` is the text form."""

    text: str
    json: tuple[tuple[str, object], ...]
    mermaid: str

    def __str__(self) -> str:
        """Return the text form."""
        return self.text

    def to_json(self) -> Json:
        """Return the form that :func:`headrace.plan.diff` reads."""
        return dict(self.json)

    def to_mermaid(self) -> str:
        """Return a Mermaid flowchart."""
        return self.mermaid


def describe(plan: Plan) -> Description:
    """Describe a plan."""
    lines = [f"topology {plan.name}"]
    for agent in plan.agents:
        lines.append(f"  agent {agent.id}")
        for step_id in agent.steps:
            lines.extend(f"    {line}" for line in step_lines(plan.step(step_id)))
    return Description("\n".join(lines), tuple(_json(plan).items()), _mermaid(plan))


def step_lines(step: PlannedStep) -> list[str]:
    """Return a step in one line, and its columns in a second."""
    reads = ", ".join(map(_port, inputs(step.node)))
    head = f"{type(step.node).__name__.lower()} {step.id}" + (f" <- {reads}" if reads else "")
    return [f"{head}: {details(step.node)}" + (" [repartition]" if step.exchange else ""), f"  {step.columns}"]


def details(node: Node) -> str:
    """Return the parameters of a node as text."""
    return public(_details(node))


def public(text: str) -> str:
    """Return text with the names of modules as users know them."""
    return text.replace(FILE_MODULE, "")


def _details(node: Node) -> str:
    match node:
        case Source():
            extra = f", key {node.key}" if node.key is not None else ""
            extra += f", time {node.time}" if node.time is not None else ""
            model = f"{node.schema.__module__}.{node.schema.__qualname__}"
            full = ", full validation" if node.full_validation else ""
            times = f"out of order {node.out_of_orderness_ms} ms, idle {node.idle_timeout_ms} ms"
            return f"topic {node.topic} of {model}{extra}, {times}, on error {node.on_error.value}{full}"
        case Filter():
            return str(node.condition)
        case Select():
            return ", ".join(f"{name} = {expr}" for name, expr in node.columns)
        case Explode():
            return f"{node.name} of {node.items}"
        case Merge():
            return "union"
        case GroupBy():
            return ", ".join(f"{name} = {expr}" for name, expr in node.keys)
        case Broadcast():
            return "to all tasks"
        case Operator():
            return node.details()
        case Sink():
            return f"topic {node.topic}" + (f", key {node.key}" if node.key is not None else "")
        case Handle():
            name = callable_name(node.function)
            return f"{name}, {node.attempts} attempts, timeout {node.timeout_ms} ms"
        case _:
            assert_never(node)


def _port(port: Port) -> str:
    return port.step if port.name == "out" else f"{port.step}.{port.name}"


def _json(plan: Plan) -> Json:
    steps: list[Json] = [
        {
            "id": step.id,
            "kind": type(step.node).__name__.lower(),
            "agent": step.agent,
            "inputs": [_port(p) for p in inputs(step.node)],
            "details": details(step.node),
            "columns": {name: str(dtype) for name, dtype in step.columns.fields},
            "key": _key(plan, step),
            "repartition": step.exchange,
            "stateful": is_stateful(step),
        }
        | _functions(step.node)
        for step in plan.steps
    ]
    return {"format": 1, "topology": plan.name, "fingerprint": plan.fingerprint, "steps": steps}


def _functions(node: Node) -> Json:
    """Return the names and digests of a step's Python functions, if it has any."""
    functions = [[public(callable_name(function)), digest(function)] for function in functions_of(node)]
    return {"functions": functions} if functions else {}


def _key(plan: Plan, step: PlannedStep) -> list[str]:
    """Return the key columns; for a step with state also what they are computed from, for that decides its rows."""
    read = [plan.step(port.step).node for port in dict.fromkeys(inputs(step.node))]
    if not is_stateful(step) or not isinstance(read[0], GroupBy):
        return [name for name, _ in step.key]
    return [f"{name} = {expr}" for node in read if isinstance(node, GroupBy) for name, expr in node.keys]


def _mermaid(plan: Plan) -> str:
    lines = ["flowchart LR"]
    number = {step.id: f"s{place}" for place, step in enumerate(plan.steps)}
    for place, agent in enumerate(plan.agents):
        lines.append(f'  subgraph a{place}["{agent.id}"]')
        for step_id in agent.steps:
            shape = ("[(", ")]") if is_stateful(plan.step(step_id)) else ("[", "]")
            lines.append(f'    {number[step_id]}{shape[0]}"{step_id}"{shape[1]}')
        lines.append("  end")
    for step in plan.steps:
        for port in inputs(step.node):
            label = "" if port.name == "out" else f"|{port.name}|"
            lines.append(f"  {number[port.step]} -->{label} {number[step.id]}")
        if isinstance(step.node, Operator):
            lines += step.node.drawing(number[step.id])
    return "\n".join(lines)
