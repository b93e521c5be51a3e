"""Mistakes in a target that show while it is imported: one message with the user's own line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import ROOT, environment, headrace

HEAD = """\
from pydantic import BaseModel
from headrace import Topology, agg, col, tumbling

class Order(BaseModel):
    sku: str
    amount: int

topology = Topology("shop")
orders = topology.source("orders", topic="orders", schema=Order)
"""


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            'orders.filter("some", (col.amount > 1) and (col.amount < 9)).sink("out", topic="out")',
            "TypeError: an expression has no truth value while a topology is declared: "
            "use & | ~ in place of and, or, not, and is_in() in place of in",
        ),
        (
            'orders.group_by("by", col.sku).aggregate("n", n=agg.avg(col.amount))',
            "AttributeError: '_Aggregates' object has no attribute 'avg'. There are: arg_max, arg_min, collect_list, "
            "collect_set, count, count_distinct, custom, first, last, max, mean, min, quantiles, reduce, stddev, sum, "
            "top, top_k, variance",
        ),
        ('orders.filtre("some")', "AttributeError: 'Stream' object has no attribute 'filtre'. Did you mean 'filter'?"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_mistake_is_shown_with_its_line_and_no_traceback(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "shop.py").write_text(f"{HEAD}{line}\n")
    done = headrace("plan", "shop.py", cwd=tmp_path)

    assert (done.code, done.out) == (2, "")
    assert done.err == f"headrace: shop.py:10: {reason}\n    {line}\n"


@pytest.mark.parametrize(("was", "now"), [("Order)", 'Order).filter("x", "amount >")'), ('"shop"', '"my shop"')])
def test_a_fault_of_the_declaration_is_one_message(tmp_path: Path, was: str, now: str) -> None:
    (tmp_path / "shop.py").write_text(HEAD.replace(was, now))
    done = headrace("plan", "shop.py", cwd=tmp_path)

    assert done.code == 2
    assert "Traceback" not in done.err
    assert done.err.startswith("headrace: topology ")


def test_the_line_is_the_innermost_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("def broken():\n    raise KeyError('nope')\n")
    (tmp_path / "shop.py").write_text("import helper\nhelper.broken()\n")

    assert headrace("plan", "shop.py", cwd=tmp_path).err.startswith("headrace: helper.py:2: KeyError: 'nope'\n")


def test_a_module_that_cannot_be_imported_is_named_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(f"{HEAD}not col.amount\n")
    done = headrace("run", "shop", cwd=tmp_path)

    assert done.code == 2
    assert done.err.startswith("headrace: module 'shop' cannot be imported: TypeError: ")
    assert done.err.endswith("\n  at shop.py:10\n")


def test_debug_shows_the_traceback_of_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(f"{HEAD}1 / 0\n")
    done = headrace("--debug", "plan", "shop.py", cwd=tmp_path)

    assert done.code == 2
    assert done.err.startswith("Traceback")


def test_ctrl_c_while_the_target_is_imported_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("raise KeyboardInterrupt\n")
    done = headrace("plan", "shop.py", cwd=tmp_path)

    assert (done.code, done.out, done.err) == (130, "", "")


def test_ctrl_c_while_headrace_is_imported_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "headrace").mkdir()
    (tmp_path / "headrace/__init__.py").write_text("raise KeyboardInterrupt\n")
    script = f"import sys; sys.path.append({str(ROOT / 'src')!r}); from headrace_command import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
