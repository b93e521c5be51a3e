from hypothesis import given
from hypothesis import strategies as st

from headrace import Topology, agg, col, session
from headrace.operators.tops import insert, merge_tops, place_of, ranked
from headrace.testing import TopologyDriver
from tests.operators.support import click, clicks, only

numbers = st.lists(st.integers(0, 9), max_size=20)


def test_the_best_rows_in_their_order_and_the_first_among_equals() -> None:
    topology = Topology("t")
    best = clicks(topology).group_by("by", col.user).aggregate("best", top=agg.top(3, by=col.n, of=col.at))
    best.on_update().explode("rows", col.top, name="row").select(
        "shape", rank=col.row.rank, at=col.row.value, n=col.row.by
    ).sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", at, n=n) for at, n in enumerate((1, 5, None, 3, 5, 3, 0))])
    assert [(r["rank"], r["at"][17:19], r["n"]) for r in driver.output("out")] == [
        (1, "01", 5), (2, "04", 5), (3, "03", 3)
    ]  # fmt: skip


def test_values_that_do_not_compare_are_left_out_or_dead_letters() -> None:
    topology = Topology("t")
    source = clicks(topology).group_by("by", col.user)
    source.aggregate("best", rates=agg.top(2, by=col.rate, of=col.n), prices=agg.top(2, by=col.price, of=col.n))
    driver = TopologyDriver(topology)
    driver.pipe("clicks", click("a", 0, n=1, rate=1.0, price="1.5"))
    driver.pipe("clicks", click("a", 1, n=2, rate="NaN", price="2.5"))
    row = driver.table("best")[0]
    assert only(row["rates"], "value") == [1]
    assert only(row["prices"], "value") == [2, 1]


def test_rankings_of_sessions_that_merge_are_one() -> None:
    topology = Topology("t")
    visits = clicks(topology, out_of_orderness="1m").group_by("by", col.user).window(session("5s"))
    visits.aggregate("best", top=agg.top(2, by=col.n, of=col.n)).on_close().sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", at, n=n) for at, n in ((0, 3), (8, 9), (1, 4), (4, 1))])
    driver.finish()
    assert [only(row["top"], "by") for row in driver.output("out")] == [[9, 4]]


@given(numbers, numbers, st.integers(1, 5))
def test_a_merged_ranking_is_that_of_all(one: list[int], other: list[int], limit: int) -> None:
    tops = []
    for values in (one, other):
        best: list[int] = []
        shown: list[tuple[int, int]] = []
        for number, value in enumerate(values):
            insert(best, shown, place_of(best, value, limit), (value, (id(values), number)), limit)
        tops += [best, shown]
    best, shown = merge_tops(*tops, limit)
    rows = [(v, (id(values), n)) for values in (one, other) for n, v in enumerate(values)]
    rows.sort(key=lambda row: -row[0])
    expected = [{"rank": n, "value": mark, "by": value} for n, (value, mark) in enumerate(rows[:limit], 1)]
    assert ranked(best, shown) == expected
