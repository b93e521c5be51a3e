"""Whatever is declared wrongly is a fault of the plan: none is raised on the way, none hides another."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel, RootModel

from headrace import OnError, Topology, TopologyError, agg, apply, col, hopping, meta, session, tumbling
from headrace.plan import compile_plan
from headrace.topology.nodes import Source, Validation
from headrace.topology.stream import Stream


class Home(BaseModel):
    user: str


class Order(BaseModel):
    user: str
    home: Home
    amount: int
    at: datetime
    tags: list[str] = []


class Numbers(RootModel[list[int]]):
    pass


async def mail(record: object) -> None:
    pass


def post(record: object) -> None:
    pass


async def send(to: str, record: object) -> None:
    pass


def faults(topology: Topology) -> list[str]:
    try:
        compile_plan(topology)
    except TopologyError as error:
        return [str(fault) for fault in error.faults]
    return []


def faults_of(declare: Callable[[Stream], Any], **options: Any) -> list[str]:
    topology = Topology("shop")
    given: dict[str, Any] = {"topic": "orders", "schema": Order, "time": col.at} | options
    declare(topology.source("orders", **given))
    return faults(topology)


def to_sink(stream: Stream) -> None:
    stream.sink("out", topic="out")


SOURCES = [
    (
        {"validation": "Full"},
        "validation: expected 'fields' or 'full', got 'Full'. Did you mean 'full'?",
    ),
    (
        {"on_error": "ignore"},
        "on_error: expected 'dead_letter' or 'skip' or 'fail', got 'ignore'. Choose one of them.",
    ),
    (
        {"schema": int},
        "schema: expected a pydantic model with fields, got <class 'int'>."
        " Declare a class of BaseModel or Event with the fields to read.",
    ),
    (
        {"schema": Numbers},
        "schema: expected a pydantic model with fields, got Numbers, whose records are list[int]."
        " Declare a class of BaseModel or Event with the fields to read.",
    ),
    (
        {"topic": "a b/../x"},
        "topic: expected letters, digits, '.', '_', '-', at most 249, got 'a b/../x'. Kafka takes no other name.",
    ),
    (
        {"time": "at"},
        "time: expected an expression such as col.user, got 'at'. Did you mean col.at?",
    ),
    (
        {"time": meta.time},
        "time: expected a column, got meta.time, which it is to set."
        " Leave time out: by default it is the envelope's, else the record's timestamp.",
    ),
    (
        {"key": "user"},
        "key: expected an expression such as col.user, got 'user'. Did you mean col.user?",
    ),
    (
        {"idle_timeout": 5},
        "idle_timeout: expected a duration such as '90s', '1h30m' or a timedelta, got 5."
        " Give text with a unit, or a timedelta.",
    ),
    (
        {"out_of_orderness": timedelta(seconds=-1)},
        "out_of_orderness: expected a duration of whole milliseconds, not negative,"
        " got datetime.timedelta(days=-1, seconds=86399). Give text with a unit, or a timedelta.",
    ),
]


@pytest.mark.parametrize(("options", "fault"), SOURCES, ids=lambda value: str(value)[:40])
def test_a_wrong_argument_of_a_source_is_one_fault(options: dict[str, Any], fault: str) -> None:
    assert faults_of(to_sink, **options) == [f"step 'orders', {fault}"]


def grouped(stream: Stream) -> Any:
    return stream.group_by("by", col.user)


STEPS = [
    (
        lambda s: s.filter("f", "amount > > 5").sink("o", topic="o"),
        "step 'f', where: expected a rule, got 'amount > > 5'; line 1, column 10: ",
    ),
    (
        lambda s: s.filter("f", ["amount"]).sink("o", topic="o"),
        "step 'f', where: expected an expression or a constant, got ['amount'].",
    ),
    (
        lambda s: s.branch("b"),
        "step 'b', conditions: expected at least one branch, got none. Name them: big=col.amount > 100.",
    ),
    (
        lambda s: s.branch("b", one="((").get("one").sink("o", topic="o"),
        "step 'b', one: expected a rule, got '(('; line 1, column 3: ",
    ),
    (
        lambda s: s.select("s", col.user, col.home.user).sink("o", topic="o"),
        "step 's', user: expected every column once, got 'user' twice. Name one of them otherwise:"
        " other=col.home.user.",
    ),
    (
        lambda s: s.map("s", col.user, user=col.amount).sink("o", topic="o"),
        "step 's', user: expected every column once, got 'user' twice. Name one of them otherwise: other=col.user.",
    ),
    (
        lambda s: s.select("s", "user").sink("o", topic="o"),
        "step 's', columns: expected a column such as col.user, got 'user'. Did you mean col.user?",
    ),
    (
        lambda s: s.select("s", col.amount + 1).sink("o", topic="o"),
        "step 's', columns: expected a column, or a name for it, got (col.amount + 1)."
        " Name what is computed: name=expression.",
    ),
    (
        lambda s: s.explode("e", "tags").sink("o", topic="o"),
        "step 'e', items: expected an expression such as col.user, got 'tags'. Did you mean col.tags?",
    ),
    (
        lambda s: s.map("m", x=apply(5, col.user, returns=int)).sink("o", topic="o"),
        "step 'm', x: expected a function for apply(), got 5.",
    ),
    (
        lambda s: s.map("m", x=apply(mail, col.user, returns=int)).sink("o", topic="o"),
        "step 'm', x: expected a plain function for apply(), got test_faults.mail, which is async.",
    ),
    (
        lambda s: s.handle("h", post),
        "step 'h', function: expected an async function, got test_faults.post.",
    ),
    (
        lambda s: s.handle("h", mail, attempts=0),
        "step 'h', attempts: expected a whole number of at least 1, got 0. Give one.",
    ),
    (
        lambda s: s.handle("h", mail, timeout="0s"),
        "step 'h', timeout: expected a duration of at least 1 ms, got '0s'. Give a longer one.",
    ),
    (
        lambda s: s.sink("o", topic=".."),
        "step 'o', topic: expected letters, digits, '.', '_', '-', at most 249, got '..'.",
    ),
    (
        lambda s: s.filter("a b/c", col.amount > 1).sink("o", topic="o"),
        "step 'a b/c', id: expected letters, digits, '.', '_', '-', at most 200, got 'a b/c'.",
    ),
    (
        lambda s: s.merge("m", grouped(s).table("t")).sink("o", topic="o"),
        "step 'm', others: expected a stream, got ",
    ),
    (
        lambda s: grouped(s).aggregate("n", n=agg.count()).on_close().sink("o", topic="o"),
        "step 'n', on_close: expected an aggregate with a window, got one for all time."
        " Use on_update() or every(), or give the grouping a window().",
    ),
    (
        lambda s: grouped(s).aggregate("n", n=agg.count()).late().sink("o", topic="o"),
        "step 'n', late: expected an aggregate with a window, got one for all time.",
    ),
    (
        lambda s: grouped(s).window(tumbling("1m")).table("t"),
        "step 't', window: expected no window, got Hopping(size_ms=60000, ",
    ),
    (
        lambda s: grouped(s).window(tumbling("1m")).stream().sink("o", topic="o"),
        "step 'by', window: expected no window, got Hopping(size_ms=60000, ",
    ),
    (
        lambda s: grouped(s).window("1m").aggregate("n", n=agg.count()).on_close().sink("o", topic="o"),
        "step 'by', window: expected a window, got '1m'.",
    ),
    (
        lambda s: grouped(s).window(tumbling(5)).aggregate("n", n=agg.count()),
        "step 'n', window, size: expected a duration such as '90s', '1h30m' or a timedelta, got 5.",
    ),
    (
        lambda s: grouped(s).window(session("soon")).aggregate("n", n=agg.count()),
        "step 'n', window, gap: expected a duration such as '90s', '1h30m' or a timedelta, got 'soon'.",
    ),
    (
        lambda s: grouped(s).aggregate("n", n=agg.count()).every("0s").sink("o", topic="o"),
        "step 'n', every: expected a duration of at least 1 ms, got '0s'.",
    ),
    (
        lambda s: grouped(s).aggregate("n", n=agg.count),
        "step 'n', n: expected an aggregate, got headrace.topology.aggregates._Aggregates.count.",
    ),
    (
        lambda s: grouped(s).aggregate("n", n=agg.reduce(5, col.amount, returns=int)),
        "step 'n', n.add: expected a function, got 5.",
    ),
    (
        lambda s: grouped(s).aggregate("n", n=agg.reduce(max, col.amount, returns="int")),
        "step 'n', n.returns: expected a value type, got 'int'.",
    ),
    (
        lambda s: s.group_by("by", window_start=col.at).window(tumbling("1m")).aggregate("n", n=agg.count()),
        "step 'n', window_start: expected a key without it, got 'window_start', which the window sets."
        " Group by it under another name: of='window_start'.",
    ),
    (
        lambda s: grouped(s).window(tumbling("1m")).aggregate("n", window_end=agg.count()),
        "step 'n', window_end: expected a new column name, got 'window_end', which the row has.",
    ),
    (
        lambda s: grouped(s).stream().select("s", col.user, n=meta.offset).sink("o", topic="o"),
        "step 's', n: expected a property that the record has, got meta.offset behind a repartition, a table or an"
        " aggregate, where it is null. Keep it as a column before that: map('...', offset=meta.offset).",
    ),
    (
        lambda s: grouped(s).table("t").on_update().filter("f", meta.topic == "x").sink("o", topic="o"),
        "step 'f', where: expected a property that the record has, got meta.topic behind a repartition",
    ),
]


@pytest.mark.parametrize(("declare", "fault"), STEPS, ids=[fault[:50] for _, fault in STEPS])
def test_a_wrong_argument_of_a_step_is_one_fault(declare: Callable[[Stream], Any], fault: str) -> None:
    def beside_a_sink(stream: Stream) -> None:
        declare(stream)
        stream.sink("all", topic="all")

    (found,) = faults_of(beside_a_sink)
    assert found.replace(f"{__name__}.", "test_faults.").startswith(fault)


def test_faults_of_single_arguments_and_of_types_come_together_in_the_order_of_the_steps() -> None:
    topology = Topology("shop")
    orders = topology.source("orders", topic="orders", schema=Order, validation="Full", idle_timeout="never")
    orders.filter("big", col.amont > 1).sink("out", topic="a b")
    orders.filter("text", "amount >").handle("post", post)
    orders.group_by("by", col.usr).window(hopping("1x", 3)).aggregate("n", n=agg.count()).on_close()
    orders.filter("big", col.amount > 1).handle("again", mail)
    with pytest.raises(TopologyError) as caught:
        compile_plan(topology)
    assert [(fault.step, fault.parameter) for fault in caught.value.faults] == [
        ("orders", "idle_timeout"),
        ("orders", "validation"),
        ("big", "id"),
        ("big", "where"),
        ("out", "topic"),
        ("text", "where"),
        ("post", "function"),
        ("by", "usr"),
        ("n", "window, size"),
        ("n", "window, advance"),
    ]


def test_a_stream_of_another_topology_is_refused() -> None:
    topology, other = Topology("shop"), Topology("bank")
    foreign = other.source("payments", topic="payments", schema=Order)
    topology.source("orders", topic="orders", schema=Order).merge("all", foreign).sink("out", topic="out")
    assert faults(topology) == [
        "step 'all', others: expected a stream of topology 'shop', got one of 'bank'."
        " Read here as well what 'payments' reads there, with source()."
    ]


@pytest.mark.parametrize("name", ["a b/c", "", ".", "x" * 201, 5, None])
def test_an_illegal_name_of_a_topology_is_a_fault(name: Any) -> None:
    topology = Topology(name)
    to_sink(topology.source("orders", topic="orders", schema=Order))
    (fault,) = faults(topology)
    assert fault.startswith(f"step '{name}', name: expected letters, digits, '.', '_', '-', at most 200, got ")


def test_an_id_used_twice_is_a_fault_and_the_steps_behind_it_are_checked_against_their_own_input() -> None:
    topology = Topology("shop")
    orders = topology.source("orders", topic="orders", schema=Order)
    orders.select("shape", col.user).filter("one", col.user == "a").sink("a", topic="a")
    orders.select("shape", col.amount).filter("two", col.amount > 1).sink("b", topic="b")
    assert faults(topology) == [
        "step 'shape', id: expected an id not used before, got 'shape' again. Choose another id."
    ]


def test_the_window_columns_may_be_keys_where_no_window_sets_them() -> None:
    def declare(stream: Stream) -> None:
        rows = grouped(stream).window(tumbling("1m")).aggregate("n", n=agg.count()).on_close()
        rows.group_by("by-window", col.window_start).aggregate("m", m=agg.sum(col.n))

    assert faults_of(declare) == []


def test_properties_of_the_record_may_be_read_where_it_did_not_move() -> None:
    def declare(stream: Stream) -> None:
        kept = stream.group_by("by", col.user).window(tumbling("1m"))
        kept.aggregate("n", n=agg.max(meta.offset)).late().select("s", at=meta.partition).sink("late", topic="late")

    assert faults_of(declare, key=col.user) == []
    assert len(faults_of(declare)) == 2


def test_what_may_be_text_is_taken_as_text() -> None:
    topology = Topology("shop")
    to_sink(topology.source("orders", topic="orders", schema=Order, on_error="skip", validation="full"))
    node = topology.nodes[0]
    assert isinstance(node, Source)
    assert (node.on_error, node.validation, node.full_validation) == (OnError.SKIP, Validation.FULL, True)


class Mailer:
    async def __call__(self, record: object) -> None:
        pass

    async def send(self, record: object) -> None:
        pass


@pytest.mark.parametrize(
    "function", [mail, partial(send, "me"), Mailer(), Mailer().send], ids=["function", "partial", "object", "method"]
)
def test_all_that_is_async_may_handle(function: Any) -> None:
    assert faults_of(lambda stream: stream.handle("h", function)) == []
