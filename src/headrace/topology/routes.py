"""Routing by rules that are data: rules fixed in the topology, and rules that a control topic changes.

Fixed rules compose out of ``filter``, ``map`` and ``merge``: plain conditions in the generated loop. Rules of a control
stream take three steps: ``<id>.check`` refuses bad changes once, at the control stream itself; ``<id>.rules`` sends
the good ones to all tasks; the route keeps them in its state, and asks them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import ClassVar, TypeGuard

from pydantic import BaseModel, ValidationError

from headrace.event.dtypes import BOOL, INT, STR, TIMESTAMP, DType, Kind, struct
from headrace.topology.declaration import Declaration, shown
from headrace.topology.expr import Case, Cast, Column, Expr, Literal, apply
from headrace.topology.nodes import Broadcast, Filter, Merge, OnError, Select, Source, Validation
from headrace.topology.operator import Operator, Path, Port
from headrace.topology.rulesets import Rule, RuleChange, RuleSet

CHANGE = struct(
    name=STR,
    op=STR.optional(),
    condition=STR.optional(),
    priority=INT.optional(),
    target=STR.optional(),
    enabled=BOOL.optional(),
    tags=DType(Kind.LIST, nullable=True, item=STR),
    version=INT.optional(),
    effective_from=TIMESTAMP.optional(),
)
"""The columns of a change, as :class:`~headrace.topology.rulesets.RuleChange` has them. Only ``name`` must be there."""

ADDED = struct(rule=STR, rule_version=INT, target=STR.optional(), tags=DType(Kind.LIST, item=STR))
"""The columns that a route adds to a record."""

_IDLE_MS = 1_000  # a control topic is silent most of the time, and must not hold the records up for long


class RouteMode(Enum):
    """Which of the rules that match a record decide."""

    FIRST = "first"
    ALL = "all"


class Consistency(Enum):
    """When a record meets the rules: once they are known up to its event time, or as they are when it comes."""

    EVENT_TIME = "event_time"
    ARRIVAL = "arrival"


@dataclass(frozen=True, slots=True, eq=False)
class RuleCheck(Operator):
    """Let changes pass whose rule fits the records of the port ``against``; say of the others what is wrong."""

    id: str
    input: Port
    against: Port
    inline: ClassVar[frozenset[str]] = frozenset({"out", "rejected"})

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The port that it reads."""
        return (self.input,)

    def details(self) -> str:
        """Return its parameters as text."""
        return f"rules over {self.against.step}"


@dataclass(frozen=True, slots=True, eq=False)
class Hold(Operator):
    """Hold records until the task's watermark has passed them: then all its inputs have come as far.

    They go on in the order of event time; one behind its input's watermark as if it had happened at that.
    """

    id: str
    input: Port
    inline: ClassVar[frozenset[str]] = frozenset()

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The port that it reads."""
        return (self.input,)

    def details(self) -> str:
        """Return its parameters as text."""
        return "until all inputs have come as far"


@dataclass(frozen=True, slots=True, eq=False)
class Route(Operator):
    """Match records against the rules in force at their event time. ``initial`` rules are in force from the start.

    Superseded rules are kept until the watermark is ``history_ms`` past their end.
    """

    id: str
    input: Port
    control: Port
    mode: RouteMode
    history_ms: int
    initial: tuple[tuple[Rule, Expr], ...]
    inline: ClassVar[frozenset[str]] = frozenset({"matched", "unmatched"})

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The ports that it reads: the changes first, for its state is made of them, whatever the records look like."""
        return (self.control, self.input)

    def details(self) -> str:
        """Return what decides the state: not the initial rules, which are no part of it."""
        return f"{self.mode.value} match, history {self.history_ms} ms"

    def expressions(self) -> Iterable[object]:
        """Return the conditions of the initial rules."""
        return [condition for _, condition in self.initial]

    def reads(self, port: Port, needed: Callable[[str], set[Path]], columns: DType) -> set[Path]:
        """Return all columns: rules that nobody knows yet may read any."""
        return {(name,) for name, _ in columns.fields}


def fixed_route(declared: Declaration, id: str, port: Port, rules: tuple[Rule, ...], mode: RouteMode) -> Port:
    """Add the steps of a route by fixed rules; return the port of the records that matched."""
    tests = conditions(declared, id, rules)
    if mode is RouteMode.ALL and len(tests) > 1:
        ways = []
        for number, (rule, test) in enumerate(tests, 1):
            kept = declared.add(Filter(f"{id}.{number}", port, test))
            ways.append(declared.add(Select(f"{id}.{number}.columns", kept, _columns([rule]), extend=True)))
        return declared.add(Merge(id, tuple(ways)))
    chosen = _case([(test, Literal(rule.name)) for rule, test in tests], Cast(Literal(None), STR))
    named = declared.add(Select(f"{id}.rule", port, (("rule", chosen),), extend=True))
    kept = declared.add(Filter(f"{id}.matched", named, Column(("rule",)).is_not_null()))
    return declared.add(Select(id, kept, _columns([rule for rule, _ in tests]), extend=True))


def unmatched(declared: Declaration, id: str, port: Port, rules: tuple[Rule, ...]) -> Port:
    """Add the filter that keeps what no fixed rule matches."""
    added = Port(f"{id}.unmatched")
    if any(node.id == added.step for node in declared.nodes):
        return added
    tests = [(parsed, Literal(value=False)) for _, parsed in conditions(declared, id, rules)]
    return declared.add(Filter(f"{id}.unmatched", port, _case(tests, Literal(value=True))))


def conditions(declared: Declaration, id: str, rules: Iterable[Rule]) -> list[tuple[Rule, Expr]]:
    """Return the rules that are enabled, in their order, each with its condition."""
    ordered = RuleSet(tuple(rules)).ordered()
    return [(rule, declared.condition(id, f"rule {rule.name!r}", rule.condition)) for rule in ordered if rule.enabled]


def _case(branches: Sequence[tuple[Expr, Expr]], otherwise: Expr) -> Expr:
    return Case(tuple(branches), otherwise) if branches else otherwise


def _columns(rules: list[Rule]) -> tuple[tuple[str, Expr], ...]:
    """Return the columns of a match: constants of one rule, or looked up by the rule's name."""
    name: Expr = Column(("rule",)) if len(rules) != 1 else Literal(rules[0].name)
    targets: dict[str, object] = {rule.name: rule.target for rule in rules}
    versions: dict[str, object] = {rule.name: rule.version for rule in rules}
    tags: dict[str, object] = {rule.name: list(rule.tags) for rule in rules}
    return (
        ("rule", name),
        ("rule_version", apply(partial(dict.get, versions), name, returns=INT)),
        ("target", apply(partial(dict.get, targets), name, returns=STR.optional())),
        ("tags", apply(partial(dict.get, tags), name, returns=ADDED.field("tags") or STR)),
    )


@dataclass(frozen=True, slots=True)
class LiveRules:
    """How a route by a control stream was declared."""

    control: Port
    initial: tuple[Rule, ...]
    consistency: Consistency
    history_ms: int


def live_route(declared: Declaration, id: str, port: Port, live: LiveRules, mode: RouteMode) -> Port:
    """Add the steps of a route by changing rules; return the port of the records that match."""
    checked = declared.add(RuleCheck(f"{id}.check", live.control, port))
    changes = declared.add(Broadcast(f"{id}.rules", checked))
    if live.consistency is Consistency.EVENT_TIME:
        port = Port(declared.add(Hold(f"{id}.held", port)).step, "held")
    initial = tuple(conditions(declared, id, live.initial))
    node = Route(id, port, changes, mode, live.history_ms, initial)
    return Port(declared.add(node).step, "matched")


def control_source(declared: Declaration, id: str, topic: str, schema: type[BaseModel] = RuleChange) -> Port:
    """Add the source of a control topic that was given by its name alone."""
    node = Source(
        id=f"{id}.control",
        topic=declared.topic(id, topic),
        schema=schema,
        key=None,
        time=None,
        out_of_orderness_ms=0,
        idle_timeout_ms=_IDLE_MS,
        on_error=OnError.DEAD_LETTER,
        validation=Validation.FIELDS,
    )
    return declared.add(node)


def given_rules(declared: Declaration, id: str, parameter: str, value: object) -> tuple[Rule, ...]:
    """Return rules that are given as a rule set or as a sequence of rules."""
    found = tuple(value.rules()) if isinstance(value, RuleSet) else tuple(value) if _is_sequence(value) else None
    if found is None or not all(isinstance(rule, Rule) for rule in found):
        remedy = "Make one: RuleSet([Rule(name=..., condition=...)]), or RuleSet.from_yaml(path)."
        declared.fault(id, parameter, "a RuleSet", shown(value), remedy)
        return ()
    try:
        return RuleSet(found).ordered()
    except ValidationError as error:
        declared.fault(id, parameter, "a RuleSet", error.errors()[0]["msg"], "Rename one of them.")
    return ()


def _is_sequence(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
