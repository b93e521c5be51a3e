from decimal import Decimal

from headrace import Topology, apply, col, fn, meta, when
from headrace.testing import TopologyDriver
from tests.operators.support import click, clicks, moment, only


def drive(declare, records):
    topology = Topology("t")
    declare(clicks(topology)).sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("clicks", records)
    return driver.output("out")


def test_filter_keeps_only_what_is_true() -> None:
    records = [click("a", 0, n=1), click("b", 1, n=None), click("c", 2, n=5)]
    assert only(drive(lambda s: s.filter("big", col.n > 2), records), "user") == ["c"]
    assert only(drive(lambda s: s.filter("not-big", ~(col.n > 2)), records), "user") == ["a"]


def test_a_rule_string_is_the_same_filter() -> None:
    records = [click("a", 0, n=1), click("b", 1, n=3), click("c", 2, n=5)]
    assert only(drive(lambda s: s.filter("f", "n > 2 and user in ['b', 'z']"), records), "user") == ["b"]


def test_select_keeps_only_the_named_columns() -> None:
    rows = drive(lambda s: s.select("shape", col.user, twice=col.n * 2), [click("a", 0, n=4)])
    assert rows == [{"user": "a", "twice": 8}]


def test_map_keeps_the_other_columns() -> None:
    (row,) = drive(lambda s: s.map("more", n=col.n + 1, loud=fn.upper(col.user)), [click("a", 0, n=4)])
    assert (row["user"], row["n"], row["loud"], row["at"]) == ("a", 5, "A", moment(0))


def test_columns_computed_in_one_step_are_read_by_the_next() -> None:
    rows = drive(
        lambda s: s.map("one", x=col.n + 1).map("two", y=col.x * 10).select("three", col.x, col.y),
        [click("a", 0, n=1)],
    )
    assert rows == [{"x": 2, "y": 20}]


def test_map_of_two_columns_sees_the_input_not_its_own_results() -> None:
    rows = drive(lambda s: s.select("start", a=col.n, b=col.n + 1).map("swap", a=col.b, b=col.a), [click("u", 0, n=1)])
    assert rows == [{"a": 2, "b": 1}]


def test_nulls_propagate() -> None:
    assert drive(lambda s: s.select("s", y=col.n + 1, z=col.n.fill_null(7)), [click("a", 0)]) == [{"y": None, "z": 7}]


def test_decimals_stay_exact() -> None:
    rows = drive(lambda s: s.select("s", total=col.price * 3), [click("a", 0, price="0.10")])
    assert [Decimal(row["total"]) for row in rows] == [Decimal("0.30")]


def test_conditionals_functions_and_record_properties() -> None:
    shape = lambda s: s.select(  # noqa: E731
        "s",
        size=when(col.n > 3).then("big").otherwise("small"),
        length=apply(len, col.user, returns=int),
        partition=meta.partition,
        offset=meta.offset,
        time=meta.time,
    )
    assert drive(shape, [click("ab", 1, n=3), click("abc", 2, n=4)]) == [
        {"size": "small", "length": 2, "partition": 0, "offset": 0, "time": moment(1)},
        {"size": "big", "length": 3, "partition": 0, "offset": 1, "time": moment(2)},
    ]


def test_a_sink_topic_may_be_an_expression() -> None:
    topology = Topology("t")
    clicks(topology).select("s", col.user).sink("out", topic=fn.concat("to-", col.user))
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", 0), click("b", 1), click("a", 2)])
    assert driver.output("to-a") == [{"user": "a"}, {"user": "a"}]
    assert driver.output("to-b") == [{"user": "b"}]
