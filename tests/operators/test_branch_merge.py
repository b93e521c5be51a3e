import pytest

from headrace import Topology, agg, col, tumbling
from headrace.operators import code
from headrace.testing import TopologyDriver
from tests.operators.support import Click, click, clicks, only


def test_each_record_goes_to_the_first_branch_that_holds() -> None:
    topology = Topology("t")
    branches = clicks(topology).branch("split", small=col.n < 10, even=(col.n % 2) == 0, rest=True)
    for name, stream in branches.items():
        stream.select(f"shape-{name}", col.n).sink(f"out-{name}", topic=name)
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("u", i, n=n) for i, n in enumerate([4, 12, 13, None])])
    assert only(driver.output("small"), "n") == [4]
    assert only(driver.output("even"), "n") == [12]
    assert only(driver.output("rest"), "n") == [13, None]


def test_without_a_rest_branch_the_rest_is_dropped() -> None:
    topology = Topology("t")
    (small,) = clicks(topology).branch("split", small=col.n < 10).values()
    small.select("s", col.n).sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("u", 0, n=1), click("u", 1, n=11)])
    assert only(driver.output("out"), "n") == [1]


def test_merge_of_branches_is_the_whole_again_in_order() -> None:
    topology = Topology("t")
    small, rest = clicks(topology).branch("split", small=col.n < 3, rest=True).values()
    rest.merge("both", small).select("s", col.n).sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("u", i, n=i) for i in range(6)])
    assert sorted(only(driver.output("out"), "n")) == [0, 1, 2, 3, 4, 5]


def test_one_stream_may_feed_several_steps() -> None:
    topology = Topology("t")
    source = clicks(topology)
    source.select("a", x=col.n).sink("out-a", topic="a")
    source.select("b", y=col.n * 2).sink("out-b", topic="b")
    driver = TopologyDriver(topology)
    driver.pipe("clicks", click("u", 0, n=4))
    assert driver.output("a") == [{"x": 4}]
    assert driver.output("b") == [{"y": 8}]


def test_a_merged_stream_closes_windows_by_the_slower_source() -> None:
    topology = Topology("t")
    left = topology.source("left", topic="left", schema=Click, time=col.at)
    right = topology.source("right", topic="right", schema=Click, time=col.at)
    counts = left.merge("both", right).group_by("by", col.user).window(tumbling("1m")).aggregate("c", n=agg.count())
    counts.on_close().sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("left", [click("u", 1), click("u", 200)])
    assert driver.output("out") == []
    driver.pipe("right", [click("u", 2)])
    assert driver.output("out") == []
    driver.pipe("right", [click("u", 100)])
    assert only(driver.output("out"), "n") == [2]


@pytest.mark.parametrize("batch", [1, 2, None])
def test_merge_keeps_the_order_of_what_was_branched_whatever_the_batches(batch) -> None:
    topology = Topology("t")
    small, rest = clicks(topology).branch("split", small=col.n < 3, rest=True).values()
    small.merge("both", rest).select("s", col.n).sink("out", topic="out")
    driver = TopologyDriver(topology, batch=batch)
    driver.pipe("clicks", [click("u", i, n=n) for i, n in enumerate([5, 1, 4, 2, 3, 0])])
    assert only(driver.output("out"), "n") == [5, 1, 4, 2, 3, 0]


def test_code_behind_diamonds_in_a_row_is_generated_once() -> None:
    topology = Topology("t")
    stream = clicks(topology)
    for n in range(16):
        low, rest = stream.branch(f"split-{n}", low=col.n < n, rest=True).values()
        stream = low.map(f"add-{n}", n=col.n + 1).merge(f"both-{n}", rest)
    stream.select("s", col.n).sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("u", i, n=i) for i in range(20)])
    grown = []
    for i in range(20):
        value = i
        for n in range(16):
            value += value < n
        grown.append(value)
    assert only(driver.output("out"), "n") == grown
    assert len(code(driver.plan).splitlines()) < 300


def test_ways_of_one_record_that_meet_keep_what_each_made_of_it() -> None:
    topology = Topology("t")
    source = clicks(topology).explode("each", col.lines, name="line").select("flat", col.user, col.n, sku=col.line.sku)
    doubled = source.map("double", n=col.n * 2)
    inverse = source.filter("known", col.n != 0).map("invert", n=12 // col.n)
    doubled.merge("all", inverse, source).group_by("by", col.user).aggregate("sums", n=agg.sum(col.n))
    doubled.merge("two", source).select("s", col.sku, col.n).sink("out", topic="out")
    driver = TopologyDriver(topology)
    lines = [{"sku": "a", "quantity": 1}, {"sku": "b", "quantity": 1}]
    driver.pipe("clicks", [click("u", 0, n=3, lines=lines), click("u", 1, n=None, lines=lines[:1])])
    assert driver.table("sums") == [{"user": "u", "n": 2 * (6 + 4 + 3)}]
    assert only(driver.output("out"), "sku", "n") == [("a", 6), ("a", 3), ("b", 6), ("b", 3), ("a", None), ("a", None)]


def test_a_way_that_fails_takes_nothing_from_the_others() -> None:
    topology = Topology("t")
    source = clicks(topology)
    source.merge("all", source.map("ratio", n=12 // col.n)).select("s", col.n).sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("u", 0, n=0), click("u", 1, n=4)])
    assert only(driver.output("out"), "n") == [0, 3, 4]
    assert [letter.step for letter in driver.dead_letters()] == ["ratio"]
