"""From a declared topology to a plan: resolve, check, cut into agents."""

from __future__ import annotations

import hashlib

from headrace.errors import Fault, TopologyError
from headrace.event.dtypes import DType, struct
from headrace.plan.cycles import check_cycles
from headrace.plan.describe import step_lines
from headrace.plan.limits import check_limits
from headrace.plan.model import Agent, Plan, PlannedStep
from headrace.plan.projection import required_columns
from headrace.plan.resolution import Resolution
from headrace.plan.schemas import moves, resolve
from headrace.topology.nodes import Broadcast, GroupBy, Handle, Node, Sink, Source, inputs
from headrace.topology.operator import Operator, Port
from headrace.topology.topology import Topology


def compile_plan(topology: Topology, *, scattered: bool = False) -> Plan:
    """Compile a topology.

    Args:
        topology: What was declared.
        scattered: Inputs of one key need not come by the same partition of their topics, as files do not: streams are
            repartitioned before they meet in one step, even if their topics are keyed alike.

    Raises:
        TopologyError: something in it is wrong; the error lists every fault.

    >>> from pydantic import BaseModel
    >>> from headrace import Topology, col
    >>> class Order(BaseModel):
    ...     amount: float
    >>> topology = Topology("shop")
    >>> topology.source("orders", topic="orders", schema=Order).filter("big", col.amont > 100).sink("out", topic="big")
    >>> compile_plan(topology)
    Traceback (most recent call last):
        ...
    headrace.errors.TopologyError: ...
    """
    nodes = topology.nodes
    known = resolve(nodes, scattered=scattered)
    exchanges = {n.id for n in nodes if isinstance(n, Broadcast) or (isinstance(n, GroupBy) and moves(n, known))}
    _check_whole(topology.name, nodes, known)
    check_limits(nodes, exchanges, known)
    agent_of = _assign_agents(nodes, exchanges)
    check_cycles(nodes, exchanges, agent_of, known)
    faults = _in_order([*topology.faults, *known.faults], nodes)
    if faults:
        raise TopologyError(topology.name, faults)
    steps = tuple(_plan_step(n, known, agent_of[n.id], exchange=n.id in exchanges) for n in nodes)
    agents = _agents(nodes, agent_of, exchanges)
    # Of the text only: digests of functions differ between versions of Python, and state survives that.
    text = "\n".join(line for step in steps for line in step_lines(step))
    fingerprint = hashlib.sha256(f"{topology.name}\n{text}".encode()).hexdigest()[:16]
    required = required_columns(nodes, known.columns)
    return Plan(topology.name, steps, agents, required, known.columns, known.keys, fingerprint)


def _in_order(faults: list[Fault], nodes: tuple[Node, ...]) -> tuple[Fault, ...]:
    """Return each fault once: those of the topology itself, then those of the steps as they are declared."""
    place = {node.id: number for number, node in enumerate(nodes)}
    return tuple(sorted(dict.fromkeys(faults), key=lambda fault: place.get(fault.step, -1)))


def _check_whole(topology: str, nodes: tuple[Node, ...], known: Resolution) -> None:
    if not nodes:
        known.fault(topology, "steps", "at least one source", "none", "Declare a source.")
    read = {port.step for node in nodes for port in inputs(node)}
    for node in nodes:
        queryable = isinstance(node, Operator) and node.queryable
        if node.id not in read and not queryable and not isinstance(node, Sink | Handle):
            remedy = "End the stream in a sink, a table, an aggregate or a handler, or remove the step."
            known.fault(node.id, "output", "a step that reads it", "none", remedy)


def _assign_agents(nodes: tuple[Node, ...], exchanges: set[str]) -> dict[str, str]:
    """Join steps that are connected without an exchange; name each group after its first head."""
    group: dict[str, str] = {}

    def join(a: str, b: str) -> None:
        old, new = group[b], group[a]
        group.update({step: new for step, name in group.items() if name == old})

    for node in nodes:
        # what lies behind an exchange is one group, whoever reads it; first, for groups are named after exchanges
        entries = sorted(inputs(node), key=lambda port: port.step not in exchanges)
        names = [f"{port.step}>" if port.step in exchanges else port.step for port in entries]
        for name in names:
            group.setdefault(name, name)
        group[node.id] = group[names[0]] if names else node.id
        for name in names[1:]:
            join(node.id, name)
    return {node.id: group[node.id].replace(">", ".in") for node in nodes}


def _agents(nodes: tuple[Node, ...], agent_of: dict[str, str], exchanges: set[str]) -> tuple[Agent, ...]:
    steps: dict[str, list[str]] = {}
    heads: dict[str, list[str]] = {}
    for node in nodes:
        agent = agent_of[node.id]
        steps.setdefault(agent, []).append(node.id)
        entries = heads.setdefault(agent, [])
        if isinstance(node, Source):
            entries.append(node.id)
        entries.extend(p.step for p in inputs(node) if p.step in exchanges and p.step not in entries)
    return tuple(Agent(name, tuple(heads[name]), tuple(ids)) for name, ids in steps.items())


def _plan_step(node: Node, known: Resolution, agent: str, *, exchange: bool) -> PlannedStep:
    ports = inputs(node)
    read = known.columns[ports[0]] if ports else struct()
    port = next((p for p in (Port(node.id), Port(node.id, "update")) if p in known.columns), None)
    columns: DType = known.columns[port] if port else read
    key = known.keys[port] if port else known.keys[ports[0]]
    return PlannedStep(node, agent, columns, read, key, exchange)
