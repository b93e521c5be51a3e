"""The language: methods that add nodes to a topology. Declaring checks single arguments and keeps their faults.

Types, columns and keys are checked by :func:`headrace.plan.compile_plan`, which reports all
faults of a topology at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.event.dtypes import DType
from headrace.topology import nodes
from headrace.topology.checking import Detecting, checked
from headrace.topology.declaration import UNKNOWN, shown
from headrace.topology.duration import Duration
from headrace.topology.expr import Column, Expr, apply, lift, when
from headrace.topology.lookup_steps import LookupSteps
from headrace.topology.patterns import Pattern, Recognition
from headrace.topology.ruled_steps import RuledSteps
from headrace.topology.rules import Condition

if TYPE_CHECKING:
    from headrace.topology.grouped import Grouped
    from headrace.topology.outcomes import Detected


@dataclass(frozen=True, slots=True, repr=False)
class Stream(RuledSteps, LookupSteps):
    """A stream of records: the output port of a step. Made by the methods of topologies and streams."""

    def _add(self, node: nodes.Node) -> Stream:
        return Stream(self._declared, self._declared.add(node))

    def filter(self, id: str, where: Condition) -> Stream:
        """Keep records for which ``where`` is true; false and null are dropped.

        >>> from headrace import col
        >>> from headrace.testing import example
        >>> orders, run = example(user=str, amount=int)
        >>> orders.filter("big", col.amount > 100).sink("out", topic="big")
        >>> run({"user": "ada", "amount": 120}, {"user": "bob", "amount": 5}).output("big")
        [{'user': 'ada', 'amount': 120}]
        """
        return self._add(nodes.Filter(id, self._port, self._declared.condition(id, "where", where)))

    def select(self, id: str, /, *columns: Column, **named: object) -> Stream:
        """Compute the named columns and keep no others. A bare column keeps its last name.

        >>> from headrace import col
        >>> from headrace.testing import example
        >>> orders, run = example(user=str, price=int, pieces=int)
        >>> orders.select("totals", col.user, total=col.price * col.pieces).sink("out", topic="totals")
        >>> run({"user": "ada", "price": 3, "pieces": 2}).output("totals")
        [{'user': 'ada', 'total': 6}]
        """
        return self._add(nodes.Select(id, self._port, self._declared.named(id, columns, named), extend=False))

    def map(self, id: str, /, *columns: Column, **named: object) -> Stream:
        """Compute the named columns beside the ones that are there.

        >>> from headrace import col
        >>> from headrace.testing import example
        >>> orders, run = example(user=str, amount=int)
        >>> orders.map("taxed", tax=col.amount * 0.25).sink("out", topic="taxed")
        >>> run({"user": "ada", "amount": 20}).output("taxed")
        [{'user': 'ada', 'amount': 20, 'tax': 5.0}]
        """
        return self._add(nodes.Select(id, self._port, self._declared.named(id, columns, named), extend=True))

    def explode(self, id: str, items: Expr, *, name: str = "item") -> Stream:
        """Emit one record per element of a list, in order; none for an empty or null list.

        >>> from headrace import col
        >>> from headrace.testing import example
        >>> orders, run = example(user=str, skus=list[str])
        >>> orders.explode("each", col.skus, name="sku").select("line", col.user, col.sku).sink("out", topic="lines")
        >>> run({"user": "ada", "skus": ["tea", "cup"]}).output("lines")
        [{'user': 'ada', 'sku': 'tea'}, {'user': 'ada', 'sku': 'cup'}]
        """
        found = self._declared.computed(id, "items", items)
        name = self._declared.column_name(id, "name", name)
        return self._add(nodes.Explode(id, self._port, UNKNOWN if found is None else found, name))

    def flat_map(
        self,
        id: str,
        function: Callable[..., Any],
        *args: object,
        returns: DType | type,
        name: str = "item",
    ) -> Stream:
        """Emit one record per element of the list that a Python function returns.

        >>> from headrace import col
        >>> from headrace.testing import example
        >>> orders, run = example(note=str)
        >>> words = orders.flat_map("words", str.split, col.note, returns=list[str], name="word")
        >>> words.select("word", col.word).sink("out", topic="words")
        >>> run({"note": "no sugar"}).output("words")
        [{'word': 'no'}, {'word': 'sugar'}]
        """
        given = [self._declared.expression(id, "args", arg) for arg in args]
        return self.explode(id, apply(function, *given, returns=returns), name=name)

    def branch(self, id: str, /, **conditions: Condition) -> dict[str, Stream]:
        """Split: each record goes to the first branch whose condition is true.

        A branch with the condition ``True`` takes the rest; without one the rest is dropped.

        >>> from headrace import col
        >>> from headrace.testing import example
        >>> orders, run = example(amount=int)
        >>> sizes = orders.branch("size", big=col.amount > 100, small=True)
        >>> sizes["big"].sink("big-out", topic="big")
        >>> sizes["small"].sink("small-out", topic="small")
        >>> done = run({"amount": 120}, {"amount": 5})
        >>> done.output("big"), done.output("small")
        ([{'amount': 120}], [{'amount': 5}])
        """
        if not conditions:
            self._declared.fault(id, "conditions", "at least one branch", "none", "Name them: big=col.amount > 100.")
            return {}
        tests = [(name, self._declared.condition(id, name, value)) for name, value in conditions.items()]
        number: Any = when(tests[0][1]).then(0)
        for place, (_, test) in enumerate(tests[1:], 1):
            number = number.when(test).then(place)
        chosen = number.otherwise(-1)
        return {
            name: self._add(nodes.Filter(f"{id}.{name}", self._port, chosen == place))
            for place, (name, _) in enumerate(tests)
        }

    def merge(self, id: str, *others: Stream) -> Stream:
        """Return the union with streams of the same columns; order is kept per input.

        >>> from headrace import col
        >>> from headrace.testing import example
        >>> orders, run = example(amount=int)
        >>> small, big = orders.filter("small", col.amount < 10), orders.filter("big", col.amount > 100)
        >>> small.merge("odd", big).sink("out", topic="odd")
        >>> run({"amount": 120}, {"amount": 50}, {"amount": 5}).output("odd")
        [{'amount': 120}, {'amount': 5}]
        """
        ports, given = [self._port], list[object](others)
        for other in given:
            match other:
                case Stream(declared, port) if declared is self._declared:
                    ports.append(port)
                case Stream(declared, port):
                    expected, got = f"a stream of topology {self._declared.name!r}", f"one of {declared.name!r}"
                    remedy = f"Read here as well what {port.step!r} reads there, with source()."
                    self._declared.fault(id, "others", expected, got, remedy)
                case _:
                    self._declared.fault(id, "others", "a stream", shown(other), "Of a table take on_update().")
        return self._add(nodes.Merge(id, tuple(ports)))

    def broadcast(self, id: str) -> Stream:
        """Send every record to all tasks behind this step, whatever partition it came from.

        >>> from headrace.testing import example
        >>> orders, run = example(user=str)
        >>> orders.broadcast("to-all").sink("out", topic="seen")
        >>> run({"user": "ada"}).output("seen")  # there is one task here: once
        [{'user': 'ada'}]
        """
        return self._add(nodes.Broadcast(id, self._port))

    def group_by(self, id: str, /, *columns: Column, **named: object) -> Grouped:
        """Set the key. Records of one key meet in one task, whatever partition they came from.

        >>> from headrace import agg, col, fn
        >>> from headrace.testing import example
        >>> orders, run = example(user=str)
        >>> counts = orders.group_by("by-user", user=fn.lower(col.user)).aggregate("counts", orders=agg.count())
        >>> run({"user": "ada"}, {"user": "Ada"}).table("counts")
        [{'user': 'ada', 'orders': 2}]
        """
        from headrace.topology.grouped import Grouped  # noqa: PLC0415 - groupings make streams

        node = nodes.GroupBy(id, self._port, self._declared.named(id, columns, named))
        return Grouped(self._declared, self._declared.add(node), None)

    def detect(
        self,
        id: str,
        pattern: Pattern | Recognition,
        *,
        emit: Mapping[str, object] | None = None,
        order: str = "event_time",
        runs: int = 10_000,
    ) -> Detected:
        """Find a pattern among all records, whatever their keys: they meet in one task. See :meth:`Grouped.detect`.

        >>> from headrace import begin, col, matched
        >>> from headrace.testing import example
        >>> orders, run = example(user=str, amount=int)
        >>> rise = begin("low", col.amount < 10).followed_by("high", col.amount > 100).within("1h")
        >>> found = orders.detect("rise", rise, emit={"by": matched.last("high").user})
        >>> found.select("who", col.by).sink("out", topic="rises")
        >>> run({"user": "ada", "amount": 5}, {"user": "bob", "amount": 120}).output("rises")
        [{'by': 'bob'}]
        """
        from headrace.topology.outcomes import Detected  # noqa: PLC0415 - outcomes are streams

        port = self._declared.add(nodes.GroupBy(f"{id}.all", self._port, (("all", lift("")),)))
        node = checked(self._declared, (id, port), Detecting(pattern, emit, order, runs), whole=True)
        return Detected(self._declared, self._declared.add(node))

    def sink(self, id: str, topic: str | Expr, *, key: Expr | None = None) -> None:
        """Write every record to a topic, as JSON. The key defaults to the stream's own.

        >>> from headrace import col
        >>> from headrace.testing import example
        >>> orders, run = example(user=str, amount=int)
        >>> orders.sink("out", topic="copies", key=col.user)
        >>> [(record.key, record.value) for record in run({"user": "ada", "amount": 5}).records("copies")]
        [(b'ada', b'{"user":"ada","amount":5}')]
        """
        name = topic if isinstance(topic, Expr) else self._declared.topic(id, topic)
        self._add(nodes.Sink(id, self._port, name, None if key is None else self._declared.computed(id, "key", key)))

    def handle(  # noqa: PLR0913
        self,
        id: str,
        function: Callable[[Any], Awaitable[None]],
        *,
        attempts: int = 5,
        backoff: Duration = "100ms",
        timeout: Duration = "10s",
        concurrency: int = 16,
    ) -> None:
        """Call an async function with every record (a dict), at least once, before the checkpoint.

        A call that fails or takes longer than ``timeout`` is tried again with exponential
        backoff; after ``attempts`` the record goes to the dead letters.

        >>> from headrace.testing import example
        >>> mails = []
        >>> async def mail(order):
        ...     mails.append(f"Thanks, {order['user']}!")
        >>> orders, run = example(user=str)
        >>> orders.handle("mail", mail)
        >>> done = run({"user": "ada"})
        >>> mails
        ['Thanks, ada!']
        """
        declared = self._declared
        node = nodes.Handle(
            id,
            self._port,
            declared.coroutine(id, function),
            declared.count(id, "attempts", attempts),
            declared.duration(id, "backoff", backoff),
            declared.duration(id, "timeout", timeout, least=1),
            declared.count(id, "concurrency", concurrency),
        )
        self._add(node)


__all__ = ["Stream"]
