"""The ports of a route by live rules, and what its control stream must look like."""

from __future__ import annotations

from typing import Protocol

from headrace.event.dtypes import INT, STR, DType, Kind, struct
from headrace.plan.resolution import Resolution, extended
from headrace.topology.operator import Port
from headrace.topology.routes import ADDED, CHANGE, Hold, Route, RuleCheck


def resolve_rule_check(known: Resolution, node: RuleCheck) -> None:
    """Set its ports; note what is wrong with the columns of the control stream."""
    check_control(known, node, CHANGE, "RuleChange")
    direct = node.input in known.direct
    known.set(Port(node.id), CHANGE, (), None, direct=direct)
    known.set(Port(node.id, "rejected"), struct(**dict(CHANGE.fields), reason=STR), (), None, direct=direct)


class _Check(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def input(self) -> Port: ...


def check_control(known: Resolution, node: _Check, schema: DType, model: str) -> None:
    """Note what is wrong with the columns of a control stream: those that it has must be of the schema's types."""
    found, remedy = known.columns[node.input], f"Declare the control stream's source with schema={model}."
    if found.kind is Kind.ANY:
        return
    if found.field("name") is None:
        known.fault(node.id, "control stream", "a column 'name'", str(found), remedy)
    for name, wanted in schema.fields:
        dtype = found.field(name)
        if dtype is None or Kind.ANY in {dtype.kind, wanted.kind}:
            continue
        nullable = dtype.nullable and not wanted.nullable
        if nullable or dtype.kind is not wanted.kind or (wanted.item and dtype.item and dtype.item != wanted.item):
            known.fault(node.id, f"control stream, {name}", str(wanted), str(dtype), remedy)


def resolve_hold(known: Resolution, node: Hold) -> None:
    """Set its ports: records that wait are made anew, so they have no place in a topic any more.

    ``out`` stands for its state, which holds records by the names of their columns: it fits, whatever they are.
    """
    key, keyed = known.keys[node.input], known.keyed[node.input]
    known.set(Port(node.id), struct(), key, keyed, direct=False)
    known.set(Port(node.id, "held"), known.columns[node.input], key, keyed, direct=False)


def resolve_route(known: Resolution, node: Route) -> None:
    """Set its ports; check the initial rules as any condition."""
    columns, keyed, direct = known.columns[node.input], known.keyed[node.input], node.input in known.direct
    for rule, condition in node.initial:
        known.boolean(node.id, f"rule {rule.name!r}", condition, node.input)
    names = {name for name, _ in ADDED.fields}
    replaced = keyed and tuple(None if column is None or column.path[0] in names else column for column in keyed)
    key = known.keys[node.input]
    matched = extended(columns, dict(ADDED.fields))
    kept = tuple((name, (matched.field(name) if name in names else None) or dtype) for name, dtype in key)
    known.set(Port(node.id, "matched"), matched, kept, replaced, direct=direct)
    known.set(Port(node.id, "unmatched"), columns, key, keyed, direct=direct)
    known.set(Port(node.id, "lapsed"), struct(rule=STR, rule_version=INT, reason=STR), (), None, direct=False)
