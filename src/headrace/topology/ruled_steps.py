"""Steps of a stream by rules and parameters that are data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from headrace.topology.declaration import shown
from headrace.topology.duration import Duration
from headrace.topology.operator import Port
from headrace.topology.parameters import LiveParameters, ParameterChange, live_parameters
from headrace.topology.ports import Streamed
from headrace.topology.routes import (
    Consistency,
    LiveRules,
    RouteMode,
    control_source,
    fixed_route,
    given_rules,
    live_route,
)
from headrace.topology.rulesets import Rule, RuleChange, RuleSet

if TYPE_CHECKING:
    from pydantic import BaseModel

    from headrace.topology.outcomes import Parameterized, Routed
    from headrace.topology.stream import Stream


@dataclass(frozen=True, slots=True, repr=False)
class RuledSteps(Streamed):
    """Routing, and parameters that change while the topology runs."""

    def route(  # noqa: PLR0913
        self,
        id: str,
        rules: RuleSet | Sequence[Rule] | Stream | str,
        *,
        mode: RouteMode | Literal["first", "all"] = RouteMode.FIRST,
        initial: RuleSet | Sequence[Rule] | None = None,
        consistency: Consistency | Literal["event_time", "arrival"] = Consistency.EVENT_TIME,
        history: Duration = "7d",
    ) -> Routed:
        """Route records by rules that are data: each goes on with the rule that matched, its target and its tags.

        The result has the record's columns and ``rule``, ``rule_version``, ``target`` and ``tags``; a column of such
        a name is replaced.

        Args:
            id: The step's id.
            rules: The rules; or a control stream of :class:`~headrace.topology.rulesets.RuleChange`, or its topic: then
                rules change while the topology runs.
            mode: ``first``: the first rule that matches, by priority, decides. ``all``: one record for each match.
            initial: The rules in force before the control stream brings any; a change replaces one by its name.
            consistency: ``event_time``: a record waits until its own and the control stream's watermark have passed it,
                so that it meets the rules in force at its event time, whatever came first. ``arrival``: it meets those
                that are known when it comes.
            history: How long rules that are no longer in force are kept, for records that come late.

        >>> from pydantic import BaseModel
        >>> from headrace import Rule, RuleSet, Topology
        >>> from headrace.testing import TopologyDriver
        >>> class Order(BaseModel):
        ...     amount: int
        >>> topology = Topology("shop")
        >>> orders = topology.source("orders", topic="orders", schema=Order)
        >>> routed = orders.route("by-size", RuleSet([Rule(name="big", condition="amount > 100", target="review")]))
        >>> routed.to_targets("out")
        >>> driver = TopologyDriver(topology)
        >>> driver.pipe("orders", [{"amount": 5}, {"amount": 500}])
        >>> driver.output("review")
        [{'amount': 500, 'rule': 'big', 'rule_version': 1, 'target': 'review', 'tags': []}]
        """
        from headrace.topology.outcomes import Routed  # noqa: PLC0415 - outcomes are streams
        from headrace.topology.stream import Stream  # noqa: PLC0415 - a stream has these steps

        declared = self._declared
        how = declared.choice(id, "mode", RouteMode, mode)
        timing = declared.choice(id, "consistency", Consistency, consistency)
        history_ms = declared.duration(id, "history", history)
        control = self._control(id, rules, "rules", RuleChange)
        if control is None:
            fixed = () if isinstance(rules, Stream | str) else given_rules(declared, id, "rules", rules)
            if initial is not None:
                declared.fault(id, "initial", "no initial rules", shown(initial), "Give all of them as rules.")
            return Routed(declared, fixed_route(declared, id, self._port, fixed, how), id, self._port, fixed)
        begin = () if initial is None else given_rules(declared, id, "initial", initial)
        live = LiveRules(control, begin, timing, history_ms)
        return Routed(declared, live_route(declared, id, self._port, live, how), id, self._port, None)

    def with_parameters(
        self,
        id: str,
        control: Stream | str,
        *,
        consistency: Consistency | Literal["event_time", "arrival"] = Consistency.EVENT_TIME,
        history: Duration = "7d",
        **parameters: object,
    ) -> Parameterized:
        """Add columns whose values a control stream sets while the topology runs; ``parameters`` are the defaults.

        The columns are of the types of the defaults (bool, int, float, str), and may stand in the conditions of
        filters, patterns and joins behind. The control stream is one of
        :class:`~headrace.topology.parameters.ParameterChange`, or its topic; the rest is as for :meth:`route`.

        >>> from pydantic import BaseModel
        >>> from headrace import Topology, col
        >>> from headrace.testing import TopologyDriver
        >>> class Order(BaseModel):
        ...     amount: int
        >>> topology = Topology("shop")
        >>> orders = topology.source("orders", topic="orders", schema=Order)
        >>> limited = orders.with_parameters("limits", "limits", least=10)
        >>> limited.filter("large", col.amount >= col.least).sink("out", topic="large")
        >>> driver = TopologyDriver(topology)
        >>> driver.pipe("limits", {"name": "least", "value": 20}, time="2024-01-01T12:00:00Z")
        >>> driver.pipe("orders", {"amount": 15}, time="2024-01-01T11:59:59Z")
        >>> driver.pipe("orders", {"amount": 15}, time="2024-01-01T12:00:00Z")
        >>> driver.finish()
        >>> driver.output("large")
        [{'amount': 15, 'least': 10}]
        """
        from headrace.topology.outcomes import Parameterized  # noqa: PLC0415 - outcomes are streams
        from headrace.topology.stream import Stream  # noqa: PLC0415 - a stream has these steps

        declared = self._declared
        timing = declared.choice(id, "consistency", Consistency, consistency)
        port = self._control(id, control, "control", ParameterChange)
        if port is None:
            if not isinstance(control, Stream):
                declared.fault(id, "control", "a stream, or the name of a topic", shown(control), "Give either.")
            return Parameterized(declared, self._port)
        live = LiveParameters(port, timing, declared.duration(id, "history", history))
        return Parameterized(declared, live_parameters(declared, id, self._port, live, parameters))

    def _control(self, id: str, given: object, parameter: str, schema: type[BaseModel]) -> Port | None:
        """Return the port of a control stream; None if what is given is none."""
        from headrace.topology.stream import Stream  # noqa: PLC0415 - a stream has these steps

        match given:
            case Stream(declared, port) if declared is self._declared:
                return port
            case Stream(declared, _):
                expected, got = f"a stream of topology {self._declared.name!r}", f"one of {declared.name!r}"
                self._declared.fault(id, parameter, expected, got, "Read the control topic here, with source().")
            case str():
                return control_source(self._declared, id, given, schema)
            case _:
                pass
        return None
