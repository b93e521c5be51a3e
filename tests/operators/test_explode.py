from headrace import Topology, agg, col
from headrace.testing import TopologyDriver
from tests.operators.support import click, clicks, only

TWO = [{"sku": "tea", "quantity": 2}, {"sku": "milk", "quantity": 5}]


def drive(stream_of, records):
    topology = Topology("t")
    stream_of(clicks(topology)).sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("clicks", records)
    return driver.output("out")


def test_explode_emits_one_record_per_element_in_order() -> None:
    rows = drive(
        lambda s: s.explode("lines", col.lines).select("s", col.user, col.item.sku, col.item.quantity),
        [click("a", 0, lines=TWO), click("b", 1, lines=TWO[:1])],
    )
    assert only(rows, "user", "sku", "quantity") == [("a", "tea", 2), ("a", "milk", 5), ("b", "tea", 2)]


def test_explode_of_null_and_of_an_empty_list_emits_nothing() -> None:
    records = [click("a", 0, lines=None), click("b", 1, lines=[])]
    assert drive(lambda s: s.explode("lines", col.lines).select("s", col.user), records) == []


def test_explode_keeps_the_whole_element() -> None:
    rows = drive(lambda s: s.explode("lines", col.lines, name="line").select("s", col.line), [click("a", 0, lines=TWO)])
    assert only(rows, "line") == TWO


def test_flat_map_explodes_what_a_function_returns() -> None:
    rows = drive(
        lambda s: s.flat_map("letters", list, col.user, returns=list[str], name="letter").select("s", col.letter),
        [click("abc", 0)],
    )
    assert only(rows, "letter") == ["a", "b", "c"]


def test_exploded_elements_can_be_grouped_by_their_fields() -> None:
    topology = Topology("t")
    lines = clicks(topology).explode("lines", col.lines)
    lines.group_by("by-sku", col.item.sku).aggregate("sold", total=agg.sum(col.item.quantity))
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", 0, lines=TWO), click("b", 1, lines=TWO)])
    assert driver.table("sold") == [{"sku": "milk", "total": 10}, {"sku": "tea", "total": 4}]
