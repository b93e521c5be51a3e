"""``headrace plan``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import headrace


@pytest.fixture
def saved(fleet: Path) -> Path:
    (fleet / "old.json").write_text(headrace("plan", "shop.py", "--json", cwd=fleet).out)
    return fleet


def test_a_plan_is_printed_as_text(fleet: Path) -> None:
    done = headrace("plan", "shop.py:topology", cwd=fleet)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("topology shop\n")
    assert "sum(col.amount)" in done.out


def test_a_plan_is_printed_as_json(fleet: Path) -> None:
    found = json.loads(headrace("plan", "shop", "--json", cwd=fleet).out)
    assert found["topology"] == "shop"
    assert [step["id"] for step in found["steps"]][:2] == ["orders", "big"]


def test_a_plan_is_printed_as_a_flow_chart(fleet: Path) -> None:
    assert headrace("plan", "shop.py", "--mermaid", cwd=fleet).out.startswith("flowchart LR\n")


def test_the_generated_code_is_printed_and_is_python(fleet: Path) -> None:
    done = headrace("plan", "shop.py", "--code", cwd=fleet)
    assert (done.code, done.err) == (0, "")
    compile(done.out, "plan", "exec")


def test_an_unchanged_topology_has_no_difference(saved: Path) -> None:
    done = headrace("plan", "shop.py", "--diff", "old.json", cwd=saved)
    assert (done.code, done.out, done.err) == (0, "no change\n", "")


def test_a_change_that_keeps_state_exits_with_0(saved: Path) -> None:
    shop = saved / "shop.py"
    shop.write_text(shop.read_text().replace(">= 100", ">= 200"))
    done = headrace("plan", "shop.py", "--diff", "old.json", "--json", cwd=saved)
    found = json.loads(done.out)
    assert (done.code, found["compatible"], [change["step"] for change in found["changes"]]) == (0, True, ["big"])


def test_a_change_that_loses_state_exits_with_1(saved: Path) -> None:
    shop = saved / "shop.py"
    shop.write_text(shop.read_text().replace('tumbling("1m")', 'tumbling("2m")'))
    done = headrace("plan", "shop.py", "--diff", "old.json", cwd=saved)
    assert done.code == 1
    assert "LOST" in done.out


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"topology": "shop"}', '{"topology":"shop","format":1}'])
def test_what_is_no_saved_plan_is_refused(fleet: Path, text: str) -> None:
    (fleet / "old.json").write_text(text)
    done = headrace("plan", "shop.py", "--diff", "old.json", cwd=fleet)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("headrace: ")
    assert "Traceback" not in done.err


def test_a_changed_function_is_told(fleet: Path) -> None:
    shop = fleet / "shop.py"
    shop.write_text(
        shop.read_text().replace("col.amount >= 100", "apply(lambda amount: amount >= 100, col.amount, returns=bool)")
        .replace("from headrace import", "from headrace import apply,")
    )  # fmt: skip
    (fleet / "old.json").write_text(headrace("plan", "shop.py", "--json", cwd=fleet).out)
    shop.write_text("\n\n" + shop.read_text().replace(">= 100", ">= 200"))
    done = headrace("plan", "shop.py", "--diff", "old.json", cwd=fleet)
    assert (done.code, done.err) == (0, "")
    assert done.out == "big: function shop.<lambda> changed\nall state survives\n"


def test_modules_are_named_as_users_know_them(fleet: Path) -> None:
    shop = fleet / "shop.py"
    saved = headrace("plan", "shop.py", "--json", cwd=fleet).out
    (fleet / "old.json").write_text(saved)
    (fleet / "older.json").write_text(saved.replace("of shop.Order", "of _headrace_target_shop.Order"))
    assert "topic orders of shop.Order" in saved
    assert headrace("plan", "shop.py", "--diff", "older.json", cwd=fleet).out == "no change\n"
    shop.write_text(
        shop.read_text().replace("class Order(", "class Purchase(").replace("schema=Order", "schema=Purchase")
    )
    told = headrace("plan", "shop.py", "--diff", "old.json", cwd=fleet).out
    assert "of shop.Order, " in told
    assert "of shop.Purchase, " in told
    assert "_headrace" not in told


def test_faults_of_a_declaration_are_listed_without_a_traceback(fleet: Path) -> None:
    shop = fleet / "shop.py"
    wrong = shop.read_text().replace("col.amount >= 100", "'amount >'").replace('tumbling("1m")', "tumbling(5)")
    shop.write_text(wrong)
    done = headrace("plan", "shop.py", cwd=fleet)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("headrace: topology 'shop' has 2 faults:\n  1. step 'big', where: expected a rule, ")
    assert "Traceback" not in done.err


def test_a_plan_of_another_topology_is_refused(saved: Path) -> None:
    shop = saved / "shop.py"
    shop.write_text(shop.read_text().replace('Topology("shop")', 'Topology("store")'))
    done = headrace("plan", "shop.py", "--diff", "old.json", cwd=saved)
    assert (done.code, done.err) == (
        2,
        "headrace: --diff: old.json holds the plan of 'shop', TARGET declares 'store'\n",
    )


def test_two_forms_at_once_are_refused(fleet: Path) -> None:
    assert headrace("plan", "shop.py", "--json", "--code", cwd=fleet).code == 2
