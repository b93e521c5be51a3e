"""A changed function is told, although its name is the same; where it is written is not told."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any

import pytest
from pydantic import BaseModel

from headrace import Topology, agg, apply, col
from headrace.plan import compile_plan, describe, diff
from headrace.plan.digest import PYTHON, digest

SOURCE = """
def score(amount, names=frozenset({'a', 'b', 'c', 'd'})):
    '''Score it.'''
    def inner(x):
        return x + 1
    return inner(amount) if amount in {'p', 'q', 'r', 's'} else len(names)
"""


class Order(BaseModel):
    user: str
    amount: int


def made(source: str, name: str = "score", filename: str = "a.py") -> Callable[..., Any]:
    scope: dict[str, Any] = {"__name__": "shop"}
    exec(compile(source, filename, "exec"), scope)
    return scope[name]


def above(limit: object) -> Callable[[int], bool]:
    return lambda amount: amount > limit


def test_a_digest_depends_neither_on_file_and_line_nor_on_the_docstring() -> None:
    moved = made("\n\n\n" + SOURCE.replace("Score it.", "Give points."), filename="elsewhere/b.py")
    assert digest(moved) == digest(made(SOURCE))


def test_a_digest_is_the_same_in_every_process() -> None:
    program = "from tests.plan.test_digest import *\nprint(digest(made(SOURCE)), digest(above(5)), digest(str.upper))"
    runs = [
        subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": "src:.", "PYTHONHASHSEED": seed}, text=True,
                       capture_output=True, check=True, timeout=60).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert runs[0] == runs[1] == f"{digest(made(SOURCE))} {digest(above(5))} {digest(str.upper)}\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [("x + 1", "x + 2"), ("x + 1", "x - 1"), ("'s'}", "'t'}"), ("'d'})", "'e'})"), ("len(names)", "max(names)")],
)
def test_a_digest_tells_code_constants_names_and_defaults_apart(old: str, new: str) -> None:
    assert digest(made(SOURCE.replace(old, new))) != digest(made(SOURCE))


def test_a_digest_covers_what_a_function_is_bound_to() -> None:
    bound = [above(1), above(2), partial(pow, 1), partial(pow, 2), itemgetter(0), itemgetter(1), len, max, list, dict]
    assert len({digest(function) for function in bound}) == len(bound)
    recursive = made("def outer():\n def f(n):\n  return f(n - 1)\n return f\nscore = outer()")
    assert digest(recursive).startswith(f"{PYTHON}:")


async def mail(record: object) -> None:
    pass


def shop(source: str = SOURCE, *, add: str = "score", threshold: int = 1) -> Topology:
    score = made(source)
    topology = Topology("shop")
    orders = topology.source("orders", topic="orders", schema=Order)
    big = orders.map("scored", score=apply(score, col.amount, returns=int)).filter("big", col.score > threshold)
    total = agg.custom(col.score, init=int, add=made(source, add), merge=max, result=abs, returns=int)
    big.group_by("by", col.user).aggregate("totals", total=total).on_update().handle("mail", mail)
    return topology


def saved(topology: Topology) -> dict[str, Any]:
    return describe(compile_plan(topology)).to_json()


def test_a_changed_function_is_told_and_keeps_the_state() -> None:
    old, new = shop(), shop(SOURCE.replace("x + 1", "x + 2"))
    found = diff(saved(old), compile_plan(new))
    assert found.compatible
    assert str(found) == (
        "scored: function shop.score changed\ntotals: function shop.score changed (state: kept)\nall state survives"
    )
    assert compile_plan(old).fingerprint == compile_plan(new).fingerprint


def test_an_unchanged_function_is_no_difference() -> None:
    assert str(diff(saved(shop()), compile_plan(shop("\n" + SOURCE)))) == "no change"


def test_a_function_saved_by_another_python_may_have_changed() -> None:
    old = saved(shop())
    for step in old["steps"]:
        if "functions" in step:
            step["functions"] = [[name, "cpython-3.99:0123456789abcdef"] for name, _ in step["functions"]]
    found = diff(old, compile_plan(shop()))
    assert found.compatible
    assert str(found.changes[0]) == (
        f"scored: function shop.score may have changed: saved by cpython-3.99, this is {PYTHON}"
    )


def test_a_plan_saved_without_digests_says_nothing_of_functions() -> None:
    old = saved(shop())
    for step in old["steps"]:
        step.pop("functions", None)
    assert str(diff(old, compile_plan(shop(SOURCE.replace("x + 1", "x + 2"))))) == "no change"


def test_a_plan_without_functions_has_no_digests() -> None:
    topology = Topology("shop")
    topology.source("orders", topic="orders", schema=Order).sink("out", topic="out")
    assert all("functions" not in step for step in copy.deepcopy(saved(topology))["steps"])
