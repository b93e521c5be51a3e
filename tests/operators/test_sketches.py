import math
import random
import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace import Topology, TopologyError, agg, apply, col, hopping, session
from headrace.operators.codec import StateCodec
from headrace.operators.sketches import EXACT, Frequencies, Ranks, Uniques, named
from headrace.testing import TopologyDriver
from tests.operators.support import click, clicks, only

FAR = 50_000


def stored(state: Any) -> bytes:
    """Return a state as it comes back from the store."""
    codec = StateCodec((bytes,))
    found = codec.decode(codec.encode([state]))[0]
    assert isinstance(found, bytes)
    return found


def uniques(values: Any) -> Uniques:
    made = Uniques()
    for value in values:
        made.add(value)
    return made


def ranks(values: Any) -> Ranks:
    made = Ranks()
    for value in values:
        made.add(value)
    return made


def frequencies(values: Any) -> Frequencies:
    made = Frequencies()
    for value in values:
        made.add(value)
    return made


def test_few_different_values_are_counted_exactly() -> None:
    for count in (0, 1, EXACT - 1, EXACT):
        assert Uniques.result(uniques(n % count for n in range(3 * count))) == count


@pytest.mark.parametrize("count", [EXACT + 1, 5_000, FAR])
@pytest.mark.parametrize("kind", [str, int, float, Decimal])
def test_many_different_values_are_counted_within_the_bound(count: int, kind: Any) -> None:
    values = [kind(n) for n in range(count)]
    assert Uniques.result(uniques(values + values[::3])) == pytest.approx(count, rel=3 * 0.0163)


def test_different_values_in_parts_are_counted_within_the_bound() -> None:
    parts = [uniques(range(n, n + 4_000)) for n in range(0, 20_000, 2_000)]
    few = uniques(range(21_990, 22_100))
    whole: Any = few
    for part in parts:
        whole = Uniques.merged(whole, stored(part))
    assert Uniques.result(whole) == pytest.approx(22_100, rel=3 * 0.0163)
    assert Uniques.result(few) == 110


def test_equal_values_are_one_value_exact_or_not() -> None:
    berlin = timezone(timedelta(hours=2))
    equal: list[tuple[Any, Any]] = [
        (1, 1.0), (1, True), (0.0, -0.0), (Decimal("1.50"), Decimal("1.5")), (Decimal(7), 7), (1 << 70, float(1 << 70)),
        (datetime(2024, 5, 1, 12, tzinfo=UTC), datetime(2024, 5, 1, 14, tzinfo=berlin)),
        (float("nan"), float("nan")),
    ]  # fmt: skip
    for one, other in equal:
        assert Uniques.result(uniques([one, other])) == 1
        assert named(one) == named(other)
    different = [1, "1", "", b"1", date(2024, 5, 1), datetime(2024, 5, 1, tzinfo=UTC), "2024-05-01", 1 << 64, -1,
                 timedelta(seconds=1), math.inf, -math.inf, Decimal("1.5"), 2.5, "\ud800", None]  # fmt: skip
    assert len({(type(named(v)) is str, named(v)) for v in different}) == len(different)


def test_quantiles_of_few_values_are_exact() -> None:
    values = [float(n) for n in range(1, EXACT + 1)]
    random.Random(1).shuffle(values)
    found = Ranks.result(ranks([*values, math.nan]), [0, 0.001, 0.0015, 0.5, 0.99, 1])
    assert found == [1.0, 1.0, 2.0, 500.0, 990.0, 1000.0]
    assert Ranks.result(None, [0.5]) is None
    assert Ranks.result(ranks([math.nan]), [0.5]) is None


@pytest.mark.parametrize("count", [EXACT + 1, 5_000, FAR])
def test_quantiles_of_many_values_are_within_the_bound(count: int) -> None:
    values = [random.Random(count).lognormvariate(0, 3) for _ in range(count)] + list(map(float, range(count)))
    random.Random(2).shuffle(values)
    half, ordered = len(values) // 2, sorted(values)
    whole = ranks(values)
    parts = Ranks.merged(stored(ranks(values[:half])), ranks(values[half:]))
    wanted = [0, 0.01, 0.25, 0.5, 0.9, 0.99, 1]
    for state in (whole, parts):
        found = Ranks.result(state, wanted)
        assert found is not None
        for p, value in zip(wanted, found, strict=True):
            low, high = (sum(v < value for v in ordered), sum(v <= value for v in ordered))
            assert low / len(values) - 0.006 <= p <= high / len(values) + 0.006  # twice what holds in 99 of 100 cases
        assert (found[0], found[-1]) == (ordered[0], ordered[-1])


def test_a_quantile_read_twice_is_the_same() -> None:
    state = ranks(random.Random(3).random() for _ in range(FAR))
    wanted = [0.1, 0.5, 0.999]
    assert Ranks.result(state, wanted) == Ranks.result(stored(state), wanted) == Ranks.result(state, wanted)


def test_frequent_values_of_few_are_exact_and_the_first_to_arrive_comes_first() -> None:
    assert Frequencies.result(frequencies("abcabdbeeeb"), 3) == [
        {"value": "b", "count": 4}, {"value": "e", "count": 3}, {"value": "a", "count": 2}
    ]  # fmt: skip
    assert only(Frequencies.result(frequencies("zyxzyx"), 3), "value") == ["z", "y", "x"]
    assert Frequencies.result(None, 3) == []


@pytest.mark.parametrize("kind", [str, int, Decimal, lambda n: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=n)])
def test_frequent_values_of_many_are_found_and_counted_within_the_bound(kind: Any) -> None:
    draw = random.Random(4)
    values = [kind(int(draw.paretovariate(0.45)) % 70_000) for _ in range(FAR)]
    exact, half = Counter(values), FAR // 2
    error = 3.5 / 1024 * FAR
    for state in (
        frequencies(values), Frequencies.merged(stored(frequencies(values[:half])), frequencies(values[half:])),
        Frequencies.merged(frequencies(values[:300]), stored(frequencies(values[300:]))),
    ):  # fmt: skip
        found = {row["value"]: row["count"] for row in Frequencies.result(state, 1000)}
        assert len(exact) > EXACT
        assert all(exact[value] <= count <= exact[value] + error for value, count in found.items())
        assert all(value in found for value, count in exact.items() if count > error)


texts = st.text(st.characters(codec="utf-8"), max_size=3) | st.sampled_from(["\ud800", "\x00", "ÿ"])
scalars = st.one_of(texts, st.integers(), st.floats(), st.decimals(allow_nan=False), st.binary(max_size=3), st.dates())


@settings(max_examples=40, deadline=None)
@given(st.lists(scalars, max_size=30), st.lists(st.floats(), max_size=30))
def test_states_come_back_as_they_were(values: list[Any], numbers: list[float]) -> None:
    spilled = [f"v{n % 1300}" for n in range(2_000)]
    for begin in ([], spilled):
        unique, frequent = uniques([*begin, *values]), frequencies([*begin, *values])
        assert Uniques.result(stored(unique)) == Uniques.result(unique)
        assert repr(Frequencies.result(stored(frequent), 999)) == repr(Frequencies.result(frequent, 999))
        again = Frequencies.load(stored(frequent))
        more = Uniques.load(stored(unique))
        for value in [*values, *spilled]:
            frequent.add(value)
            unique.add(value)
            again.add(value)
            more.add(value)
        assert repr(Frequencies.result(again, 999)) == repr(Frequencies.result(frequent, 999))
        assert Uniques.result(more) == Uniques.result(unique)
    for first in ([], list(map(float, range(EXACT)))):
        found = ranks([*first, *numbers])
        assert Ranks.result(stored(found), [0, 0.5, 1]) == Ranks.result(found, [0, 0.5, 1])


def test_merging_changes_neither_part() -> None:
    for make, merge, result in (
        (uniques, Uniques.merged, Uniques.result),
        (lambda v: ranks(map(float, v)), Ranks.merged, lambda s: Ranks.result(s, [0.5])),
        (frequencies, Frequencies.merged, lambda s: Frequencies.result(s, 999)),
    ):
        for one, other in (
            (range(3), range(5)),
            (range(3_000), range(5)),
            (range(3), range(4_000)),
            (range(3_000),) * 2,
        ):
            a, b = make(one), make(other)
            before = result(a), result(b)
            merged = merge(a, b)
            for value in (7.0, 8.0, 9.0):
                merged.add(value)
            assert (result(a), result(b)) == before


def declared(window: Any) -> Topology:
    topology = Topology("t")
    rows = clicks(topology, out_of_orderness="1m").group_by("by", col.user).window(window)
    counts = rows.aggregate(
        "counts",
        users=agg.count_distinct(col.n),
        speeds=agg.quantiles(col.rate, [0.5, 1]),
        numbers=agg.top_k(col.n, 5),
        prices=agg.count_distinct(col.price),
    )
    counts.on_close().sink("closed", topic="closed")
    return topology


@pytest.mark.parametrize("window", [hopping("1m", "20s"), session("5s")])
def test_results_do_not_depend_on_restarts(window: Any) -> None:
    draw = random.Random(5)
    rows = [
        click("a", n / 50, n=int(draw.paretovariate(0.15)) % 9_001, rate=float(n), price=f"{n % 9}.50")
        for n in range(6_000)
    ]
    found = []
    for turn in (6_000, 400):
        driver = TopologyDriver(declared(window), cache_bytes=1 if turn < 6_000 else 1 << 24)
        for begin in range(0, 6_000, turn):
            driver.pipe("clicks", rows[begin : begin + turn])
            driver.checkpoint()
            driver.restart()
        driver.finish()
        found.append(driver.output("closed"))
    assert only(found[0], "users", "numbers", "prices") == only(found[1], "users", "numbers", "prices")
    assert any(row["users"] > EXACT for row in found[0])
    for one, other in zip(*found, strict=True):
        assert one["speeds"][0] == pytest.approx(other["speeds"][0], abs=0.012 * 6_000)
        assert one["speeds"][1] == other["speeds"][1]


def anything(n: int) -> Any:
    return [n] if n == 2 else n


def test_values_that_cannot_be_told_apart_are_dead_letters() -> None:
    topology = Topology("t")
    rows = clicks(topology).map("any", what=apply(anything, col.n, returns=object)).group_by("by", col.user)
    rows.aggregate("counts", n=agg.count_distinct(col.what), all=agg.count())
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", n, n=n % 3) for n in range(9)])
    assert only(driver.table("counts"), "n", "all") == [(2, 6)]
    assert "expected a scalar" in driver.dead_letters()[0].message


def test_faults() -> None:
    topology = Topology("t")
    clicks(topology).group_by("by", col.user).aggregate(
        "counts",
        a=agg.count_distinct(col.lines),
        b=agg.quantiles(col.user, [0.5]),
        c=agg.quantiles(col.n, [0.5, 1.5]),
        d=agg.quantiles(col.n, []),
        e=agg.top_k(col.n, 0),
        f=agg.top_k(col.n, 1001),
        g=agg.top(3, by=col.lines, of=col.n),
        h=agg.top("3", by=col.n, of=col.n),
        i=agg.quantiles(col.n, 0.5),
    )
    with pytest.raises(TopologyError) as caught:
        TopologyDriver(topology)
    assert sorted({fault.parameter.split(",")[0].split(".")[0] for fault in caught.value.faults}) == list("abcdefghi")


def test_without_datasketches_the_import_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['datasketches'] = None\n"
        "from headrace.testing import TopologyDriver\n"
        "try: import headrace.operators.sketches\n"
        "except ImportError as error: print(error)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = "count_distinct, quantiles and top_k need datasketches: pip install 'headrace[sketches]'"
    assert found.stdout.strip() == expected
