"""A key is one value in one form, in memory, in a partition, in the store and on the wire."""

import json
from decimal import Decimal

import pytest

from headrace import Topology, agg, col, meta, session, tumbling
from headrace.operators.keys import canonical_decimal, key_bytes
from headrace.testing import TopologyDriver
from tests.operators.support import click, clicks, only

NAN = col.rate - col.rate  # of infinity


def counting(*, key, partitions=1, window=None) -> TopologyDriver:
    topology = Topology("t")
    grouped = clicks(topology).group_by("by", of=key)
    grouped = grouped if window is None else grouped.window(window)
    grouped.aggregate("counts", n=agg.count()).on_update().sink("out", topic="out")
    return TopologyDriver(topology, partitions=partitions)


@pytest.mark.parametrize("window", [None, tumbling("1m"), session("1m")], ids=["all", "tumbling", "session"])
@pytest.mark.parametrize("batch", [True, False], ids=["batch", "one-by-one"])
def test_a_nan_key_is_a_dead_letter(window, batch) -> None:
    driver = counting(key=NAN, window=window)
    records = [click("a", i, rate=rate) for i, rate in enumerate(["Infinity", 1.0, "Infinity"])]
    for part in [records] if batch else [[record] for record in records]:
        driver.pipe("clicks", part)
        driver.checkpoint()
    assert only(driver.table("counts"), "of", "n") == [(0.0, 1)]
    assert [(d.step, d.offset) for d in driver.dead_letters()] == [("by", 0), ("by", 2)]


def test_the_message_of_a_nan_key_says_what_to_do() -> None:
    driver = counting(key=NAN)
    driver.pipe("clicks", click("a", 0, rate="Infinity"))
    (letter,) = driver.dead_letters()
    assert letter.message == (
        "step 'by': key is NaN: expected a value in key column 'of', got NaN. Filter such records out before"
    )


def test_the_message_of_a_null_key_says_what_to_do() -> None:
    driver = counting(key=col.rate)
    driver.pipe("clicks", click("a", 0))
    (letter,) = driver.dead_letters()
    assert letter.message == (
        "step 'by': key is null: expected a value in key column 'of', got null."
        " Filter such records out before, or give them a value with fill_null()"
    )


def test_a_decimal_nan_is_no_key_either() -> None:
    driver = counting(key=col.user.cast(Decimal))
    driver.pipe("clicks", [click(text, 0) for text in ("NaN", "sNaN", "1.0", "1")])
    assert only(driver.table("counts"), "of", "n") == [(Decimal(1), 2)]
    assert ["key is NaN" in letter.message for letter in driver.dead_letters()] == [True, True]


EQUAL = {"rate": ["-0.0", "0.0"], "price": ["1.50", "1.5", "15E-1"]}


@pytest.mark.parametrize("column", EQUAL)
@pytest.mark.parametrize("restarts", [False, True], ids=["at-once", "restart-after-each"])
def test_equal_keys_are_one_key_with_one_encoding(column, restarts) -> None:
    driver = counting(key=getattr(col, column), partitions=7)
    for i, text in enumerate(EQUAL[column]):
        driver.pipe("clicks", click("a", i, **{column: float(text) if column == "rate" else text}), partition=0)
        if restarts:
            driver.checkpoint()
            driver.restart()
    ((value, n),) = only(driver.table("counts"), "of", "n")
    assert (str(value), n) == (EQUAL[column][1], len(EQUAL[column]))
    assert {(record.key, record.json()["of"]) for record in driver.records("out")} == {
        (EQUAL[column][1].encode(), 0.0 if column == "rate" else "1.5")
    }


@pytest.mark.parametrize("text", ["100", "1E+2", "1E+60", "10E+59", "-0", "0.000", "12.3400", "-7E-30", "1E+1000000"])
def test_a_decimal_has_one_form(text) -> None:
    value = Decimal(text)
    form = canonical_decimal(value)
    assert form == value
    assert str(canonical_decimal(form)) == str(form)
    assert len(str(form)) < 50


def test_a_decimal_key_reads_the_same_from_the_store() -> None:
    driver = counting(key=col.price)
    driver.pipe("clicks", click("a", 0, price="100.00"))
    before = [str(row["of"]) for row in driver.table("counts")]
    driver.restart()
    driver.pipe("clicks", click("a", 0, price="1E+2"))
    assert before == [str(row["of"]) for row in driver.table("counts")] == ["100"]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (("a", 1), b'["a",1]'), ("a", b"a"), (1, b"1"), (True, b"true"), (-0.0, b"0.0"), (Decimal("1.50"), b"1.5"),
        (None, None), (b"\xff", b"\xff"),
        ((float("inf"), "a"), b'["inf","a"]'), ((float("-inf"), "a"), b'["-inf","a"]'),
    ],
)  # fmt: skip
def test_key_bytes(key, expected) -> None:
    assert key_bytes(key) == expected


@pytest.mark.parametrize("columns", [{"user": col.user}, {"user": col.user, "n": col.n}], ids=["one", "two"])
def test_meta_key_is_the_text_of_the_key(columns) -> None:
    topology = Topology("t")
    grouped = clicks(topology).group_by("by", **columns)
    table = grouped.aggregate("seen", key=agg.last(meta.key))
    table.on_update().select("s", col.key, behind=meta.key).sink("out", topic="out")
    driver = TopologyDriver(topology, partitions=3)
    driver.pipe("clicks", click("a", 0, n=1))
    (record,) = driver.records("out")
    row = json.loads(record.value)
    assert row["key"] == row["behind"] == record.key.decode() == ("a" if len(columns) == 1 else '["a",1]')
