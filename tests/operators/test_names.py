"""A column may have any name: of a local of the generated code, a keyword, a dunder, not ASCII, with spaces."""

import json
import keyword
from typing import Any

import pytest
from pydantic import BaseModel, Field, create_model

from headrace import Topology, agg, col, fn, meta, tumbling
from headrace.testing import TopologyDriver
from headrace.topology.expr import Column
from tests.operators.support import click, clicks

LOCALS = (
    "st k ts wm p v r it e t records values own nxt lim mx ch rk rt off m n u2 a_1 c1 k_2 k0 x0 s4 get6 w b i9 y z _0"
)
GLOBALS = "_encode _text _from_ms _Row3 _t0 _s _f0 head_1 init_0 self off work hash list"
ODD = [
    "__init__",
    "__class__",
    "__dict__",
    "ünï",
    "日本",
    "with space",
    "a.b",
    "a-b",
    "1st",
    "'",
    '"',
    "\\",
    "\n",
    "{x}",
    "#",
]
NAMES = [*LOCALS.split(), *GLOBALS.split(), *keyword.kwlist, *ODD]
NO_FIELDS = {'"', "\\", "\n"}  # msgspec cannot read these
RESERVED = {"and", "or", "not", "in", "is", "null", "true", "false", "True", "False", "None"}  # in rules


class Pair(BaseModel):
    a: int
    b: int


def pairs() -> tuple[Topology, Any]:
    topology = Topology("t")
    return topology, topology.source("in", topic="in", schema=Pair)


def ran(topology: Topology, record: dict[str, Any]) -> TopologyDriver:
    driver = TopologyDriver(topology, partitions=2)
    driver.pipe("in", record)
    driver.checkpoint()
    assert driver.dead_letters() == []
    return driver


@pytest.mark.parametrize("name", [n for n in NAMES if n not in NO_FIELDS])
def test_of_a_source(name) -> None:
    own = name.isidentifier() and not name.startswith("_")
    model = create_model("M", **{name: (int, ...)} if own else {"safe": (int, Field(alias=name))}, other=(int, ...))
    (field, _) = model.model_fields
    topology = Topology("t")
    source = topology.source("in", topic="in", schema=model)
    source.select("s", Column((field,))).sink("out", topic="out")
    source.group_by("by", Column((field,))).aggregate("table", total=agg.sum(Column((field,))))
    driver = ran(topology, {name: 1, "other": 2})
    assert driver.output("out") == [{field: 1}]
    assert driver.table("table") == [{field: 1, "total": 1}]


@pytest.mark.parametrize("name", NAMES)
def test_of_a_select_and_in_expressions(name) -> None:
    topology, source = pairs()
    selected = source.select("s", **{name: col.a + 1})
    selected.filter("f", Column((name,)) > 0).map("m", more=Column((name,)) * 2).sink("out", topic="out")
    assert ran(topology, {"a": 1, "b": 2}).output("out") == [{name: 2, "more": 4}]


@pytest.mark.parametrize("name", NAMES)
def test_of_a_key(name) -> None:
    topology, source = pairs()
    grouped = source.map("m", **{name: col.a * 2}).group_by("by", **{name: col.a * 2}, other=col.b)
    grouped.window(tumbling("1m")).aggregate("best", q=agg.max(Column((name,)))).on_close().sink("out", topic="out")
    grouped.table("latest")
    driver = ran(topology, {"a": 1, "b": 2})
    driver.restart()
    assert [(row[name], row["q"]) for row in driver.table("best")] == [(2, 2)]
    assert driver.table("latest") == [{"a": 1, "b": 2, name: 2, "other": 2}]
    driver.finish()
    assert [row[name] for row in driver.output("out")] == [2]


@pytest.mark.parametrize("name", NAMES)
def test_of_an_aggregate(name) -> None:
    topology, source = pairs()
    table = source.group_by("by", col.b if name != "b" else col.a).aggregate("table", **{name: agg.sum(col.a)})
    table.on_update().select("s", more=Column((name,)) + 1).sink("out", topic="out")
    assert ran(topology, {"a": 1, "b": 2}).output("out") == [{"more": 2}]


@pytest.mark.parametrize("name", [n for n in NAMES if n.isidentifier() and n not in RESERVED])
def test_in_a_rule(name) -> None:
    topology, source = pairs()
    source.select("s", **{name: col.a + 1}).filter("f", f"{name} > 0").sink("out", topic="out")
    assert ran(topology, {"a": 1, "b": 2}).output("out") == [{name: 2}]


@pytest.mark.parametrize("text", ["def head_", "rk", " rt", "off", "x = st[0]", "f(a0)", "'''", '"; import os; "'])
def test_a_constant_is_never_taken_for_code(text) -> None:
    topology = Topology("t")
    stream = clicks(topology).filter("f", fn.concat(col.user, text) != text + text)
    stream.select("s", col.n, key=meta.key, at=meta.offset).sink("out", topic="out", key=fn.concat(col.key, text))
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", 0, n=1), click(text, 1, n=2), click("b", 2, n=3)], key="k")
    records = driver.records("out")
    assert [r.json() for r in records] == [{"n": 1, "key": "k", "at": 0}, {"n": 3, "key": "k", "at": 2}]
    assert [r.key for r in records] == [f"k{text}".encode()] * 2
    assert driver.dead_letters() == []


class Job(BaseModel):
    work: int
    offset: int


def test_the_loop_walks_only_what_the_record_properties_need() -> None:
    topology = Topology("t")
    topology.source("jobs", topic="jobs", schema=Job).select("s", col.work, col.offset).sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("jobs", {"work": 1, "offset": 7}, key="own")
    (record,) = driver.records("out")
    assert (record.key, json.loads(record.value)) == (b"own", {"work": 1, "offset": 7})
