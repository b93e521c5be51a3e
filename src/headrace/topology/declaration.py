"""What has been declared of one topology: its nodes, and the faults that show at once.

Nothing is raised here. What is declared wrongly is noted as a fault and replaced by a stand-in
that causes no further one, so that declaring goes on and all faults are reported together.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from enum import Enum
from typing import Any, TypeVar

from headrace.errors import Fault
from headrace.event.dtypes import ANY
from headrace.topology import aggregates
from headrace.topology.duration import DurationError, duration_ms
from headrace.topology.expr import Cast, Column, Expr, Literal, lift
from headrace.topology.names import ID_RULE, TOPIC_RULE, callable_name, is_id, is_topic
from headrace.topology.nodes import Aggregate, Node
from headrace.topology.operator import Port
from headrace.topology.rules import RuleSyntaxError, parse_rule
from headrace.topology.windows import Window, tumbling

UNKNOWN = Cast(Literal(None), ANY)
"""Stands for an expression that was declared wrongly: of any type, so that nothing behind it is a fault as well."""

_E = TypeVar("_E", bound=Enum)
_SHOWN = 80  # characters of a value that a fault quotes


class Declaration:
    """The nodes of a topology under construction, and what is wrong with them."""

    __slots__ = ("_faults", "_intervals", "_nodes", "name")

    def __init__(self, name: object) -> None:
        """Begin without nodes."""
        self.name = str(name)
        self._nodes: dict[str, Node] = {}
        self._intervals: dict[str, list[int]] = {}
        self._faults: list[Fault] = []
        if not is_id(name):
            self.fault(name, "name", ID_RULE, shown(name), "Topics are named after it.")

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes, every one after its inputs."""
        return tuple(self._complete(node) for node in self._nodes.values())

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults so far, in the order in which they were found."""
        return tuple(self._faults)

    def add(self, node: Node) -> Port:
        """Add a node; return its port."""
        id = str(node.id)
        if not is_id(node.id):
            self.fault(id, "id", ID_RULE, shown(node.id), "Topics are named after it.")
        if id in self._nodes:
            self.fault(id, "id", "an id not used before", f"{id!r} again", "Choose another id.")
        while id in self._nodes:
            id += " again"  # what reads the second must not be checked against the first
        self._nodes[id] = replace(node, id=id)
        return Port(id)

    def node(self, id: str) -> Node:
        """Return a node that was added."""
        return self._nodes[id]

    def emit_every(self, aggregate: str, every_ms: int) -> None:
        """Have an aggregate emit its changes at an interval."""
        intervals = self._intervals.setdefault(aggregate, [])
        if every_ms not in intervals:
            intervals.append(every_ms)

    def fault(self, step: object, parameter: str, expected: str, got: str, remedy: str) -> None:
        """Note one fault."""
        self._faults.append(Fault(str(step), parameter, expected, got, remedy))

    def condition(self, step: str, parameter: str, value: object) -> Expr:
        """Return a condition as an expression; text is parsed as a rule."""
        if not isinstance(value, str):
            return self.expression(step, parameter, value)
        try:
            return parse_rule(value)
        except RuleSyntaxError as error:
            got = f"{shown(value)}; line {error.line}, column {error.column}: {error.reason}"
            self.fault(step, parameter, "a rule", got, "Mend the text.")
        return UNKNOWN

    def expression(self, step: str, parameter: str, value: object) -> Expr:
        """Return an expression or a constant as an expression."""
        try:
            return lift(value)
        except TypeError:
            remedy = "Build it from col, or call a function of yours with apply()."
            self.fault(step, parameter, "an expression or a constant", shown(value), remedy)
        return UNKNOWN

    def computed(self, step: str, parameter: str, value: object) -> Expr | None:
        """Return an expression, where a constant would make no sense; None if it is none."""
        if isinstance(value, Expr):
            return value
        self.fault(step, parameter, "an expression such as col.user", shown(value), _hint(value))
        return None

    def named(self, step: str, columns: Iterable[object], named: Mapping[str, object]) -> tuple[tuple[str, Expr], ...]:
        """Return columns by their names: bare ones under their last name, then the computed ones."""
        found: dict[str, Expr] = {}
        for value in columns:
            name, expr = self._column(step, value)
            if name in found or name in named:
                remedy = f"Name one of them otherwise: other={expr}."
                self.fault(step, name, "every column once", f"{name!r} twice", remedy)
            found[name] = expr
        return tuple((found | {name: self.expression(step, name, value) for name, value in named.items()}).items())

    def column_name(self, step: str, parameter: str, value: object) -> str:
        """Return the name of a column."""
        if not isinstance(value, str):
            self.fault(step, parameter, "the name of a column", shown(value), "Give it as text.")
        return str(value)

    def aggregates(self, step: str, named: Mapping[str, object]) -> tuple[tuple[str, aggregates.Aggregate], ...]:
        """Return the aggregates of a step by their columns."""
        found: list[tuple[str, aggregates.Aggregate]] = []
        for name, value in named.items():
            if isinstance(value, aggregates.Aggregate):
                found.append((name, value))
                continue
            self.fault(step, name, "an aggregate", shown(value), f"Say what to compute: {name}=agg.count().")
            found.append((name, aggregates.agg.count()))
        return tuple(found)

    def window(self, step: str, value: object) -> Window:
        """Return a window."""
        if isinstance(value, Window):
            return value
        self.fault(step, "window", "a window", shown(value), "Make one: tumbling('1m'), hopping(), session().")
        return tumbling("1m")

    def duration(self, step: str, parameter: str, value: object, *, least: int = 0) -> int:
        """Return a duration of at least ``least`` in milliseconds."""
        try:
            duration = duration_ms(value, parameter)
        except DurationError as error:
            self.fault(step, parameter, error.expected, error.got, "Give text with a unit, or a timedelta.")
            return max(least, 1)
        if duration < least:
            self.fault(step, parameter, f"a duration of at least {least} ms", shown(value), "Give a longer one.")
        return duration

    def count(self, step: str, parameter: str, value: object) -> int:
        """Return a number of at least 1."""
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            return value
        self.fault(step, parameter, "a whole number of at least 1", shown(value), "Give one.")
        return 1

    def choice(self, step: str, parameter: str, kind: type[_E], value: object) -> _E:
        """Return a member of an enumeration, given as such or as its text."""
        try:
            return kind(value)
        except ValueError:
            texts = [str(member.value) for member in kind]
            close = get_close_matches(str(value).lower(), texts, n=1)
            remedy = f"Did you mean {close[0]!r}?" if close else "Choose one of them."
            self.fault(step, parameter, " or ".join(map(repr, texts)), shown(value), remedy)
        return next(iter(kind))

    def topic(self, step: str, value: object) -> str:
        """Return the name of a topic."""
        if not is_topic(value):
            self.fault(step, "topic", TOPIC_RULE, shown(value), "Kafka takes no other name.")
        return str(value)

    def coroutine(self, step: str, value: Any) -> Any:
        """Return a function that must be async."""
        call = getattr(value, "__call__", None)  # noqa: B004 - an object may have an async one
        if not (inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(call)):
            remedy = "Declare it with 'async def': it is awaited, so that many calls may wait at once."
            self.fault(step, "function", "an async function", shown(value), remedy)
        return value

    def _column(self, step: str, value: object) -> tuple[str, Expr]:
        if isinstance(value, Column):
            return value.path[-1], value
        if isinstance(value, Expr):
            remedy = "Name what is computed: name=expression."
            self.fault(step, "columns", "a column, or a name for it", str(value), remedy)
            return str(value), value
        self.fault(step, "columns", "a column such as col.user", shown(value), _hint(value))
        return str(value), UNKNOWN

    def _complete(self, node: Node) -> Node:
        intervals = self._intervals.get(node.id)
        return replace(node, every_ms=tuple(intervals)) if intervals and isinstance(node, Aggregate) else node


def shown(value: object) -> str:
    """Return a value as a fault quotes it; functions by their names, without an address."""
    text = callable_name(value) if inspect.isroutine(value) else repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _hint(value: object) -> str:
    return f"Did you mean col.{value}?" if isinstance(value, str) else "Build it from col."
