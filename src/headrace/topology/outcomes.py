"""Streams that come out of a step which has further ports."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from headrace.topology.declaration import shown
from headrace.topology.expr import Column, Expr
from headrace.topology.lookups import TemporalLookup
from headrace.topology.operator import Port
from headrace.topology.routes import unmatched
from headrace.topology.rulesets import Rule
from headrace.topology.stream import Stream


@dataclass(frozen=True, slots=True, repr=False)
class Routed(Stream):
    """The records that a rule matched. Made by :meth:`Stream.route`."""

    _id: str
    _input: Port
    _fixed: tuple[Rule, ...] | None

    def unmatched(self) -> Stream:
        """Return the records that no rule matches, with the columns of the input."""
        if self._fixed is None:
            return Stream(self._declared, replace(self._port, name="unmatched"))
        return Stream(self._declared, unmatched(self._declared, self._id, self._input, self._fixed))

    def rejected(self) -> Stream:
        """Return the changes of rules that were refused, with the ``reason``. Each is a dead letter, too."""
        if self._fixed is not None:
            remedy = "Rules that are fixed are checked when the topology is compiled."
            self._declared.fault(self._id, "rejected", "rules from a control stream", "a RuleSet", remedy)
            return Stream(self._declared, self._input)
        return Stream(self._declared, Port(f"{self._id}.check", "rejected"))

    def lapsed(self) -> Stream:
        """Return rules that no longer fit the records since an upgrade, with the ``reason``.

        They are left out. Every task that keeps them reports them.
        """
        if self._fixed is not None:
            self._declared.fault(self._id, "lapsed", "rules from a control stream", "a RuleSet", "They cannot lapse.")
            return Stream(self._declared, self._input)
        return Stream(self._declared, replace(self._port, name="lapsed"))

    def to_targets(self, id: str, *, key: Expr | None = None) -> None:
        """Write every record to the topic that its rule names as ``target``. One without a target is a dead letter."""
        self.sink(id, Column(("target",)), key=key)


@dataclass(frozen=True, slots=True, repr=False)
class Parameterized(Stream):
    """Records with live parameters. Made by :meth:`Stream.with_parameters`."""

    def rejected(self) -> Stream:
        """Return the changes that were refused, with the ``reason``. Each is a dead letter, too."""
        return Stream(self._declared, Port(f"{self._port.step}.check", "rejected"))


@dataclass(frozen=True, slots=True, repr=False)
class Distinct(Stream):
    """A stream without duplicates. Made by :meth:`Grouped.distinct`."""

    def late(self) -> Stream:
        """Return the records that came too late to tell."""
        return Stream(self._declared, replace(self._port, name="late"))


@dataclass(frozen=True, slots=True, repr=False)
class Detected(Stream):
    """The matches of a pattern. Made by :meth:`Grouped.detect`."""

    def timed_out(self) -> Stream:
        """Return the runs whose window passed before they were complete, with the columns of a match."""
        return Stream(self._declared, replace(self._port, name="timed_out"))

    def overflow(self) -> Stream:
        """Return the runs that were given up because their key had too many, with the columns of a match."""
        return Stream(self._declared, replace(self._port, name="overflow"))

    def late(self) -> Stream:
        """Return the records that came too late to be matched in order, with the columns of the input."""
        return Stream(self._declared, replace(self._port, name="late"))


@dataclass(frozen=True, slots=True, repr=False)
class Joined(Stream):
    """The rows of an interval join. Made by :meth:`Grouped.join`."""

    def late(self, side: Literal["left", "right"]) -> Stream:
        """Return the records of a side that came too late to be joined, with the columns of that side."""
        found = "left" if side == "left" else "right"
        if side != found:
            self._declared.fault(self._port.step, "late", "'left' or 'right'", shown(side), "Choose one of them.")
        return Stream(self._declared, replace(self._port, name=f"late:{found}"))


@dataclass(frozen=True, slots=True, repr=False)
class LookedUp(Stream):
    """Records with what a table has for them. Made by :meth:`Grouped.lookup` and :meth:`Stream.lookup`."""

    def late(self) -> Stream:
        """Return the records that came too late to tell what was the row at their time."""
        return self._late("late")

    def late_table(self) -> Stream:
        """Return the records of the table that came too late: the row at their time may have been looked up."""
        return self._late("late:table")

    def _late(self, port: str) -> Stream:
        if not isinstance(self._declared.node(self._port.step), TemporalLookup):
            remedy = "Leave it out, or say as_of='event_time'."
            self._declared.fault(self._port.step, "late", "a lookup as of event time", "one of the latest row", remedy)
            return self
        return Stream(self._declared, replace(self._port, name=port))
