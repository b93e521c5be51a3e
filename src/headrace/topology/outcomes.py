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
        """Return the records that no rule matches, with the columns of the input.

        >>> from headrace import Rule
        >>> from headrace.testing import example
        >>> orders, run = example(amount=int)
        >>> routed = orders.route("routed", [Rule(name="big", condition="amount > 100")])
        >>> routed.sink("big-out", topic="big")
        >>> routed.unmatched().sink("rest-out", topic="rest")
        >>> run({"amount": 120}, {"amount": 5}).output("rest")
        [{'amount': 5}]
        """
        if self._fixed is None:
            return Stream(self._declared, replace(self._port, name="unmatched"))
        return Stream(self._declared, unmatched(self._declared, self._id, self._input, self._fixed))

    def rejected(self) -> Stream:
        """Return the changes of rules that were refused, with the ``reason``. Each is a dead letter, too.

        >>> from headrace import col
        >>> from headrace.testing import example
        >>> orders, run = example(amount=int)
        >>> routed = orders.route("routed", "rules")
        >>> routed.to_targets("out")
        >>> routed.rejected().select("told", col.name, col.condition).sink("rejected-out", topic="rejected")
        >>> run(rules=[{"name": "big", "condition": "amuont > 100"}]).output("rejected")
        [{'name': 'big', 'condition': 'amuont > 100'}]
        """
        if self._fixed is not None:
            remedy = "Rules that are fixed are checked when the topology is compiled."
            self._declared.fault(self._id, "rejected", "rules from a control stream", "a RuleSet", remedy)
            return Stream(self._declared, self._input)
        return Stream(self._declared, Port(f"{self._id}.check", "rejected"))

    def lapsed(self) -> Stream:
        """Return rules that no longer fit the records since an upgrade, with the ``reason``.

        They are left out. Every task that keeps them reports them.

        >>> from headrace.testing import example
        >>> orders, run = example(amount=int)
        >>> routed = orders.route("routed", "rules")
        >>> routed.to_targets("out")
        >>> routed.lapsed().sink("lapsed-out", topic="lapsed")
        >>> run(rules=[{"name": "big", "condition": "amount > 100"}]).output("lapsed")  # there was no upgrade here
        []
        """
        if self._fixed is not None:
            self._declared.fault(self._id, "lapsed", "rules from a control stream", "a RuleSet", "They cannot lapse.")
            return Stream(self._declared, self._input)
        return Stream(self._declared, replace(self._port, name="lapsed"))

    def to_targets(self, id: str, *, key: Expr | None = None) -> None:
        """Write every record to the topic that its rule names as ``target``. One without a target is a dead letter.

        >>> from headrace import Rule
        >>> from headrace.testing import example
        >>> orders, run = example(amount=int)
        >>> rule = Rule(name="big", condition="amount > 100", target="vip")
        >>> orders.route("routed", [rule]).to_targets("out")
        >>> [(row["amount"], row["rule"]) for row in run({"amount": 120}).output("vip")]
        [(120, 'big')]
        """
        self.sink(id, Column(("target",)), key=key)


@dataclass(frozen=True, slots=True, repr=False)
class Parameterized(Stream):
    """Records with live parameters. Made by :meth:`Stream.with_parameters`."""

    def rejected(self) -> Stream:
        """Return the changes that were refused, with the ``reason``. Each is a dead letter, too.

        >>> from headrace import col
        >>> from headrace.testing import example
        >>> orders, run = example(amount=int)
        >>> limited = orders.with_parameters("limited", "limits", least=10)
        >>> limited.filter("large", col.amount >= col.least).sink("out", topic="large")
        >>> limited.rejected().select("told", col.name).sink("rejected-out", topic="rejected")
        >>> run(limits=[{"name": "least", "value": "ten"}]).output("rejected")
        [{'name': 'least'}]
        """
        return Stream(self._declared, Port(f"{self._port.step}.check", "rejected"))


@dataclass(frozen=True, slots=True, repr=False)
class Distinct(Stream):
    """A stream without duplicates. Made by :meth:`Grouped.distinct`."""

    def late(self) -> Stream:
        """Return the records that came too late to tell.

        >>> from headrace import col
        >>> from headrace.testing import example
        >>> orders, run = example(time=col.at, id=str, at=int)
        >>> once = orders.group_by("by-id", col.id).distinct("once", within="1m", grace="10s")
        >>> once.late().sink("out", topic="late")
        >>> run({"id": "a", "at": 60_000}, {"id": "b", "at": 50_000}, {"id": "c", "at": 49_999}).output("late")
        [{'id': 'c', 'at': 49999}]
        """
        return Stream(self._declared, replace(self._port, name="late"))


@dataclass(frozen=True, slots=True, repr=False)
class Detected(Stream):
    """The matches of a pattern. Made by :meth:`Grouped.detect`."""

    def timed_out(self) -> Stream:
        """Return the runs whose window passed before they were complete, with the columns of a match.

        >>> from headrace import begin, col, matched
        >>> from headrace.testing import example
        >>> orders, run = example(time=col.at, user=str, at=int)
        >>> twice = begin("one").followed_by("two").within("1m")
        >>> found = orders.group_by("by-user", col.user).detect("twice", twice, emit={"since": matched.first("one").at})
        >>> found.timed_out().sink("out", topic="once")
        >>> run({"user": "ada", "at": 0}, {"user": "bob", "at": 90_000}).output("once")
        [{'user': 'ada', 'since': 0}, {'user': 'bob', 'since': 90000}]
        """
        return Stream(self._declared, replace(self._port, name="timed_out"))

    def overflow(self) -> Stream:
        """Return the runs that were given up because their key had too many, with the columns of a match.

        >>> from headrace import begin, col, matched
        >>> from headrace.testing import example
        >>> orders, run = example(user=str, n=int)
        >>> pair = begin("a", col.n < 9).followed_by("b", col.n == 9).within("1h")
        >>> found = orders.group_by("u", col.user).detect("pair", pair, emit={"n": matched.first("a").n}, runs=1)
        >>> found.overflow().sink("out", topic="given-up")
        >>> run({"user": "ada", "n": 1}, {"user": "ada", "n": 2}).output("given-up")
        [{'user': 'ada', 'n': 1}]
        """
        return Stream(self._declared, replace(self._port, name="overflow"))

    def late(self) -> Stream:
        """Return the records that came too late to be matched in order, with the columns of the input.

        >>> from headrace import begin, col
        >>> from headrace.testing import example
        >>> orders, run = example(time=col.at, user=str, at=int)
        >>> twice = begin("one").followed_by("two").within("1m")
        >>> orders.group_by("by-user", col.user).detect("twice", twice).late().sink("out", topic="late")
        >>> run({"user": "ada", "at": 60_000}, {"user": "ada", "at": 50_000}).output("late")
        [{'user': 'ada', 'at': 50000}]
        """
        return Stream(self._declared, replace(self._port, name="late"))


@dataclass(frozen=True, slots=True, repr=False)
class Joined(Stream):
    """The rows of an interval join. Made by :meth:`Grouped.join`."""

    def late(self, side: Literal["left", "right"]) -> Stream:
        """Return the records of a side that came too late to be joined, with the columns of that side.

        >>> from headrace import col
        >>> from headrace.testing import example
        >>> orders, run = example(time=col.at, id=str, at=int)
        >>> one, two = orders.group_by("one", col.id), orders.group_by("two", col.id)
        >>> joined = one.join("joined", two, within="1m", suffix="_2")
        >>> joined.late("right").sink("out", topic="late")
        >>> run({"id": "a", "at": 60_000}, {"id": "a", "at": 50_000}).output("late")
        [{'id': 'a', 'at': 50000}]
        """
        found = "left" if side == "left" else "right"
        if side != found:
            self._declared.fault(self._port.step, "late", "'left' or 'right'", shown(side), "Choose one of them.")
        return Stream(self._declared, replace(self._port, name=f"late:{found}"))


@dataclass(frozen=True, slots=True, repr=False)
class LookedUp(Stream):
    """Records with what a table has for them. Made by :meth:`Grouped.lookup` and :meth:`Stream.lookup`."""

    def late(self) -> Stream:
        """Return the records that came too late to tell what was the row at their time.

        >>> from headrace import col
        >>> from headrace.testing import example
        >>> orders, run = example(time=col.at, sku=str, at=int)
        >>> by_sku = orders.group_by("by-sku", col.sku)
        >>> found = by_sku.lookup("before", by_sku.table("newest"), as_of="event_time", suffix="_2")
        >>> found.late().sink("out", topic="late")
        >>> run({"sku": "tea", "at": 60_000}, {"sku": "tea", "at": 50_000}).output("late")
        [{'sku': 'tea', 'at': 50000}]
        """
        return self._late("late")

    def late_table(self) -> Stream:
        """Return the records of the table that came too late: the row at their time may have been looked up.

        >>> from headrace import col
        >>> from headrace.testing import example
        >>> orders, run = example(time=col.at, sku=str, at=int)
        >>> by_sku = orders.group_by("by-sku", col.sku)
        >>> found = by_sku.lookup("before", by_sku.table("newest"), as_of="event_time", suffix="_2")
        >>> found.late_table().sink("out", topic="late")
        >>> run({"sku": "tea", "at": 60_000}, {"sku": "tea", "at": 50_000}).output("late")
        [{'sku': 'tea', 'at': 50000}]
        """
        return self._late("late:table")

    def _late(self, port: str) -> Stream:
        if not isinstance(self._declared.node(self._port.step), TemporalLookup):
            remedy = "Leave it out, or say as_of='event_time'."
            self._declared.fault(self._port.step, "late", "a lookup as of event time", "one of the latest row", remedy)
            return self
        return Stream(self._declared, replace(self._port, name=port))
