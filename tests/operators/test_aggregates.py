import math
from decimal import Decimal

import pytest

from headrace import Topology, agg, col
from headrace.operators.distinct import SCANNED, Distinct, add_distinct
from headrace.testing import TopologyDriver
from tests.operators.support import click, clicks


def aggregate(spec, records, *, batch=None, checkpoints=False):
    topology = Topology("t")
    clicks(topology).group_by("by", col.user).aggregate("table", value=spec)
    driver = TopologyDriver(topology, batch=batch)
    for record in records:
        driver.pipe("clicks", record)
        if checkpoints:
            driver.checkpoint()
            driver.restart()
    (row,) = driver.table("table")
    return row["value"]


def append(state: list, n: int, rate: float) -> list:
    return [*state, n * rate]


def concat(left: list, right: list) -> list:
    return left + right


def product(left: int, right: int) -> int:
    return left * right


NUMBERS = [click("a", t, n=n) for t, n in [(5, 4), (1, 7), (9, 2), (3, None), (9, 6), (1, 1)]]
CASES = [
    (agg.count(), 6),
    (agg.count(col.n), 5),
    (agg.sum(col.n), 20),
    (agg.min(col.n), 1),
    (agg.max(col.n), 7),
    (agg.mean(col.n), 4.0),
    (agg.variance(col.n), 6.5),
    (agg.stddev(col.n), math.sqrt(6.5)),
    (agg.first(col.n), 7),
    (agg.last(col.n), 6),
    (agg.arg_min(col.at, col.n), "2024-01-01T00:00:01+00:00"),
    (agg.arg_max(col.n * 10, col.at), 20),
    (agg.collect_list(col.n), [4, 7, 2, 6, 1]),
    (agg.collect_list(col.n, limit=2), [4, 7]),
    (agg.collect_set(col.n % 2), [0, 1]),
    (agg.collect_set(col.n, limit=3), [4, 7, 2]),
    (agg.reduce(product, col.n, returns=int), 336),
    (agg.custom(col.n, col.n / 2, init=list, add=append, merge=concat, result=len, returns=int), 5),
]


@pytest.mark.parametrize("checkpoints", [False, True], ids=["at-once", "restart-after-each"])
@pytest.mark.parametrize(("spec", "expected"), CASES, ids=lambda v: str(v)[:40] if hasattr(v, "function") else "")
def test_aggregate(spec, expected, checkpoints) -> None:
    value = aggregate(spec, NUMBERS, checkpoints=checkpoints)
    got = value.isoformat() if hasattr(value, "isoformat") else value
    assert got == pytest.approx(expected) if isinstance(expected, float) else got == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (agg.count(col.n), 0), (agg.sum(col.n), None), (agg.min(col.n), None), (agg.max(col.n), None),
        (agg.mean(col.n), None), (agg.variance(col.n), None), (agg.stddev(col.n), None), (agg.first(col.n), None),
        (agg.last(col.n), None), (agg.arg_min(col.n, col.at), None), (agg.arg_max(col.at, col.n), None),
        (agg.collect_list(col.n), []), (agg.collect_set(col.n), []), (agg.reduce(product, col.n, returns=int), None),
    ],
    ids=lambda v: str(v)[:30],
)  # fmt: skip
def test_over_nulls_only_the_result_is_null_or_empty(spec, expected) -> None:
    assert aggregate(spec, [click("a", 0), click("a", 1)]) == expected


def test_variance_of_one_value_is_null() -> None:
    assert aggregate(agg.variance(col.n), [click("a", 0, n=3)]) is None


def test_decimal_sums_are_exact() -> None:
    assert aggregate(agg.sum(col.price), [click("a", i, price="0.10") for i in range(7)]) == Decimal("0.70")


@pytest.mark.parametrize("checkpoints", [False, True], ids=["at-once", "restart-after-each"])
def test_float_sums_do_not_drift(checkpoints) -> None:
    rates = [1e16, 1.0, -1e16, 0.1, 1.0, 1e16, -1e16] * 3
    records = [click("a", i, rate=rate) for i, rate in enumerate(rates)]
    assert aggregate(agg.sum(col.rate), records, checkpoints=checkpoints) == pytest.approx(math.fsum(rates), rel=1e-12)


def test_variance_does_not_cancel_on_large_values() -> None:
    records = [click("a", i, rate=1e9 + i % 2) for i in range(10)]
    assert aggregate(agg.variance(col.rate), records) == pytest.approx(10 / 36)


def test_integer_sums_do_not_overflow() -> None:
    assert aggregate(agg.sum(col.n), [click("a", i, n=2**62) for i in range(4)]) == 2**64


def test_several_aggregates_share_one_row() -> None:
    topology = Topology("t")
    clicks(topology).group_by("by", col.user).aggregate(
        "table", n=agg.count(), total=agg.sum(col.n), top=agg.max(col.n)
    )
    driver = TopologyDriver(topology)
    driver.pipe("clicks", NUMBERS)
    assert driver.table("table") == [{"user": "a", "n": 6, "total": 20, "top": 7}]


@pytest.mark.parametrize("checkpoints", [False, True], ids=["at-once", "restart-after-each"])
def test_a_large_set_holds_the_first_distinct_values(checkpoints) -> None:
    records = [click("a", i, n=i * 7 % 30) for i in range(60)]
    expected = list(dict.fromkeys(record["n"] for record in records))
    assert aggregate(agg.collect_set(col.n), records, checkpoints=checkpoints) == expected
    assert aggregate(agg.collect_set(col.n, limit=20), records, checkpoints=checkpoints) == expected[:20]


def test_a_set_of_lists_and_dicts_holds_each_once() -> None:
    records = [click("a", i, lines=[{"sku": str(i % 20), "quantity": i % 2}]) for i in range(60)]
    assert aggregate(agg.collect_set(col.lines), records) == [record["lines"] for record in records[:20]]


def test_a_set_of_thousands_does_not_look_through_all_of_them() -> None:
    compared = 0

    class Counted(int):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return int(self) == other

        def __hash__(self) -> int:
            return int(self)

    known: list | Distinct = list(map(Counted, range(SCANNED)))
    for number in range(2 * SCANNED, 4000):
        known = add_distinct(known, Counted(number), Counted(number), 10_000)
    assert len(known) == SCANNED + 4000 - 2 * SCANNED
    assert compared < 4000


def test_a_mean_larger_than_any_float_is_infinite() -> None:
    assert aggregate(agg.mean(col.n), [click("a", i, n=10**400) for i in range(2)]) == math.inf
    assert aggregate(agg.mean(col.n), [click("a", i, n=-(10**400)) for i in range(2)]) == -math.inf
