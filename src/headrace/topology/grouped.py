"""Groupings: streams with a key, ready to be aggregated, kept as a table, joined or matched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from headrace.topology import nodes
from headrace.topology.aggregates import Aggregate
from headrace.topology.checking import Detecting, checked
from headrace.topology.declaration import Declaration, shown
from headrace.topology.deduplicate import Deduplicate
from headrace.topology.duration import Duration
from headrace.topology.expr import Column
from headrace.topology.joins import How, IntervalJoin, Within, bounds_ms, chosen
from headrace.topology.looking import Looking, declare_lookup
from headrace.topology.lookups import AsOf
from headrace.topology.operator import Port
from headrace.topology.outcomes import Detected, Distinct, Joined, LookedUp
from headrace.topology.patterns import Pattern, Recognition
from headrace.topology.rules import Condition
from headrace.topology.stream import Stream
from headrace.topology.tabled import Aggregated, Tabled, table_of
from headrace.topology.windows import Window


@dataclass(frozen=True, slots=True, repr=False)
class Grouped:
    """A stream with a key, ready to be aggregated or kept as a table. Made by :meth:`Stream.group_by`."""

    _declared: Declaration
    _port: Port
    _window: Window | None

    def window(self, window: Window) -> Grouped:
        """Return this grouping with a window for the aggregates.

        >>> from headrace import agg, col, tumbling
        >>> from headrace.testing import example
        >>> orders, run = example(time=col.at, user=str, at=int)
        >>> minutes = orders.group_by("by-user", col.user).window(tumbling("1m"))
        >>> minutes.aggregate("counts", orders=agg.count()).on_close().select("n", col.orders).sink("out", topic="out")
        >>> run({"user": "ada", "at": 0}, {"user": "ada", "at": 59_999}, {"user": "ada", "at": 60_000}).output("out")
        [{'orders': 2}, {'orders': 1}]
        """
        return replace(self, _window=self._declared.window(self._port.step, window))

    def aggregate(self, id: str, /, **aggregates: Aggregate) -> Aggregated:
        """Aggregate per key, and per window if there is one. The id is the table's name.

        >>> from headrace import agg, col
        >>> from headrace.testing import example
        >>> orders, run = example(user=str, amount=int)
        >>> totals = orders.group_by("by-user", col.user).aggregate("totals", n=agg.count(), sum=agg.sum(col.amount))
        >>> run({"user": "ada", "amount": 5}, {"user": "ada", "amount": 7}).table("totals")
        [{'user': 'ada', 'n': 2, 'sum': 12}]
        """
        node = nodes.Aggregate(id, self._port, self._window, self._declared.aggregates(id, aggregates))
        return Aggregated(self._declared, self._declared.add(node).step, self._window)

    def table(self, id: str, *, delete: Condition | None = None) -> Tabled:
        """Keep the latest record per key, by order of arrival. ``delete`` true removes the key.

        >>> from headrace import col
        >>> from headrace.testing import example
        >>> orders, run = example(user=str, city=str)
        >>> users = orders.group_by("by-user", col.user).table("users", delete=col.city == "")
        >>> ada, bob = {"user": "ada", "city": "Delft"}, {"user": "bob", "city": "Leiden"}
        >>> run(ada, bob, {"user": "ada", "city": "Gouda"}, {"user": "bob", "city": ""}).table("users")
        [{'user': 'ada', 'city': 'Gouda'}]
        """
        self._refuse_window(id, "A table keeps the latest record for all time: leave window() out, or aggregate().")
        where = None if delete is None else self._declared.condition(id, "delete", delete)
        return Tabled(self._declared, self._declared.add(nodes.Table(id, self._port, where)).step)

    def distinct(self, id: str, *, within: Duration, grace: Duration = "0s") -> Distinct:
        """Keep the first record of a key, by order of arrival; drop those less than ``within`` from one that was kept.

        Records more than ``grace`` behind the watermark are late: of their time nothing may be known any more.

        >>> from headrace import col
        >>> from headrace.testing import example
        >>> orders, run = example(id=str, amount=int)
        >>> orders.group_by("by-id", col.id).distinct("once", within="1h").sink("out", topic="once")
        >>> run({"id": "a", "amount": 5}, {"id": "a", "amount": 5}, {"id": "b", "amount": 7}).output("once")
        [{'id': 'a', 'amount': 5}, {'id': 'b', 'amount': 7}]
        """
        self._refuse_window(id, "Say within=... instead: leave window() out.")
        within_ms = self._declared.duration(id, "within", within, least=1)
        node = Deduplicate(id, self._port, within_ms, self._declared.duration(id, "grace", grace))
        return Distinct(self._declared, self._declared.add(node))

    def detect(
        self,
        id: str,
        pattern: Pattern | Recognition,
        *,
        emit: Mapping[str, object] | None = None,
        order: str = "event_time",
        runs: int = 10_000,
    ) -> Detected:
        """Find a pattern among the records of each key; the stream that is returned is that of the matches.

        Args:
            id: The step's id.
            pattern: What to find: :func:`~headrace.begin` begins one.
            emit: The columns of a match beside the key, as expressions over what was ``matched``. By default
                ``started`` and ``ended``: the times of its first and its last event.
            order: ``event_time``: records wait until the watermark has passed them, and are matched in the order of
                their times; those behind the watermark are late. ``arrival``: they are matched as they come.
            runs: How many runs one key may have; if there are more, the oldest one goes to ``overflow()``.

        >>> from pydantic import BaseModel
        >>> from headrace import Topology, begin, col, matched
        >>> from headrace.testing import TopologyDriver
        >>> class Price(BaseModel):
        ...     symbol: str
        ...     price: int
        >>> topology = Topology("stocks")
        >>> prices = topology.source("prices", topic="prices", schema=Price)
        >>> doubled = begin("low").followed_by("high", col.price >= 2 * matched.last("low").price).within("1h")
        >>> found = prices.group_by("by-symbol", col.symbol).detect(
        ...     "doubled", doubled, emit={"low": matched.last("low").price, "high": matched.last("high").price}
        ... )
        >>> found.sink("out", topic="doubled")
        >>> driver = TopologyDriver(topology)
        >>> driver.pipe("prices", [{"symbol": "acme", "price": price} for price in (5, 7, 11)])
        >>> driver.finish()
        >>> driver.output("doubled")
        [{'symbol': 'acme', 'low': 5, 'high': 11}]
        """
        self._refuse_window(id, "A pattern has a window of its own: leave window() out, say within('5m').")
        node = checked(self._declared, (id, self._port), Detecting(pattern, emit, order, runs), whole=False)
        return Detected(self._declared, self._declared.add(node))

    def join(  # noqa: PLR0913
        self,
        id: str,
        other: Grouped,
        *,
        within: Within,
        how: How | Literal["inner", "left", "right", "outer"] = How.INNER,
        grace: Duration = "0s",
        select: Mapping[str, object] | Sequence[Column] | None = None,
        suffix: str | None = None,
    ) -> Joined:
        """Join with the records of another stream that have the same key and lie near in event time.

        A row has the key, then the columns of both sides; its event time is the later one of its two records. A record
        without a partner is returned once, when its window closes, if its side is optional: with nulls in the columns
        of the other side, and its own event time.

        Args:
            id: The step's id.
            other: The right side, grouped by a key of the same types.
            within: How long after the left record the right one may be: from, to, both inclusive. The first may be
                negative: ``("-5m", "30m")``. One duration ``d`` means ``("-d", "d")``.
            how: ``inner``: pairs only. ``left``, ``right``, ``outer``: records without a partner of these sides, too.
            grace: Records further behind the watermark of their input are late.
            select: What a row has beside the key: names and expressions over ``left`` and ``right``, or columns of
                these. By default all columns; those that both sides have must then be told apart by ``suffix``.
            suffix: Is appended to the right side's columns whose names the left one has.

        >>> from pydantic import BaseModel
        >>> from headrace import Topology, col, left, right
        >>> from headrace.testing import TopologyDriver
        >>> class Event(BaseModel):
        ...     order: str
        ...     at: int
        >>> topology = Topology("shop")
        >>> orders = topology.source("orders", topic="orders", schema=Event, time=col.at).group_by("o", col.order)
        >>> paid = topology.source("payments", topic="payments", schema=Event, time=col.at).group_by("p", col.order)
        >>> chosen = {"ordered": left.at, "paid": right.at}
        >>> orders.join("paid", paid, within=("0s", "30m"), select=chosen).sink("out", topic="out")
        >>> driver = TopologyDriver(topology)
        >>> driver.pipe("orders", {"order": "a", "at": 1_000})
        >>> driver.pipe("payments", {"order": "a", "at": 60_000})
        >>> driver.output("out")
        [{'order': 'a', 'ordered': 1000, 'paid': 60000}]
        """
        declared = self._declared
        self._refuse_window(id, "Say within=... instead: leave window() out.")
        lower_ms, upper_ms = bounds_ms(declared, id, within)
        node = IntervalJoin(
            id,
            self._port,
            self._joinable(id, other),
            declared.choice(id, "how", How, how),
            lower_ms,
            upper_ms,
            declared.duration(id, "grace", grace),
            chosen(declared, id, select),
            None if suffix is None else declared.column_name(id, "suffix", suffix),
        )
        return Joined(declared, declared.add(node))

    def lookup(  # noqa: PLR0913
        self,
        id: str,
        table: Tabled,
        *,
        how: How | Literal["inner", "left"] = How.INNER,
        as_of: AsOf | Literal["latest", "event_time"] = AsOf.LATEST,
        versions: Duration = "0s",
        select: Mapping[str, object] | Sequence[Column] | None = None,
        suffix: str | None = None,
    ) -> LookedUp:
        """Add to every record what a table has for its key.

        ``latest`` finds the row that is there when the record is processed; a record that the table reads as well has
        set it before. Where records and rows come in on different topics, that depends on which comes in first.
        ``event_time`` finds the latest row at or before the record's time: the record waits until the watermark has
        passed it, and the results depend on event times only. Rows of one time and key count in order of arrival.

        Args:
            id: The step's id.
            table: A table, or an aggregate over all time, with a key of the same types.
            how: ``inner`` drops records that find nothing; ``left`` keeps them, with nulls.
            as_of: ``latest`` or ``event_time``.
            versions: How long rows are kept for ``event_time`` after the watermark has passed the next one. Records
                that are further behind the watermark of their input are ``late()``.
            select: What a record has beside the key: names and expressions over ``left`` and ``right``, or columns of
                these. By default all columns of both; those that both have must be told apart by ``suffix``.
            suffix: Is appended to the table's columns whose names the records have.

        >>> from pydantic import BaseModel
        >>> from headrace import Topology, col, left, right
        >>> from headrace.testing import TopologyDriver
        >>> class Price(BaseModel):
        ...     sku: str
        ...     price: int
        ...     at: int
        >>> class Sale(BaseModel):
        ...     sku: str
        ...     quantity: int
        ...     at: int
        >>> topology = Topology("shop")
        >>> prices = topology.source("prices", topic="prices", schema=Price, time=col.at)
        >>> sales = topology.source("sales", topic="sales", schema=Sale, time=col.at)
        >>> current = prices.group_by("price-by-sku", col.sku).table("current")
        >>> sales.group_by("sale-by-sku", col.sku).lookup(
        ...     "priced", current, as_of="event_time", select={"paid": left.quantity * right.price}
        ... ).sink("out", topic="priced")
        >>> driver = TopologyDriver(topology)
        >>> driver.pipe("sales", {"sku": "tea", "quantity": 2, "at": 2_000})
        >>> driver.pipe("prices", {"sku": "tea", "price": 3, "at": 1_000})
        >>> driver.pipe("prices", {"sku": "tea", "price": 4, "at": 3_000})
        >>> driver.finish()
        >>> driver.output("priced")
        [{'sku': 'tea', 'paid': 6}]
        """
        self._refuse_window(id, "A lookup needs no window: leave window() out.")
        declared = self._declared
        options = Looking(None, how, as_of, versions, select, suffix)
        found = table_of(declared, id, "table", table)
        return LookedUp(declared, declare_lookup(declared, id, self._port, found, options))

    def _joinable(self, id: str, other: object) -> Port:
        """Return the port of what is to be joined; our own in place of what cannot be."""
        expected, remedy = f"a grouping of topology {self._declared.name!r}", "Give it a key with group_by()."
        match other:
            case Grouped(declared, port, None) if declared is self._declared:
                return port
            case Grouped(declared, port, None):
                got, remedy = f"one of {declared.name!r}", f"Read here what {port.step!r} reads there, with source()."
            case Grouped():
                got, remedy = "a grouping with a window", "Say within=... instead: leave window() out."
            case _:
                got = shown(other)
        self._declared.fault(id, "other", expected, got, remedy)
        return self._port

    def stream(self) -> Stream:
        """Return the records as a stream with this key.

        >>> from headrace import col
        >>> from headrace.testing import example
        >>> orders, run = example(user=str)
        >>> orders.group_by("by-user", col.user).stream().sink("out", topic="by-user")
        >>> [record.key for record in run({"user": "ada"}).records("by-user")]
        [b'ada']
        """
        self._refuse_window(self._port.step, "A stream has no windows: leave window() out, or aggregate().")
        return Stream(self._declared, self._port)

    def _refuse_window(self, step: str, remedy: str) -> None:
        if self._window is not None:
            self._declared.fault(step, "window", "no window", str(self._window), remedy)
