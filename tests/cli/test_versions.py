"""Code and state of different versions: refused by whoever meets them, and nothing of the directory is changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import headrace

SHOP = """
from datetime import datetime
from pydantic import BaseModel
from headrace import Topology, agg, col, tumbling

class Order(BaseModel):
    sku: str
    amount: int
    at: datetime

topology = Topology("shop")
orders = topology.source("orders", topic="orders", schema=Order, time=col.at)
by_sku = orders.group_by("by-sku", col.sku)
by_sku.window(tumbling("1m")).aggregate("per-minute", total=agg.sum(col.amount))
by_sku.table("latest")
"""
ORDERS = """\
{"sku": "tea", "amount": 2, "at": "2024-05-01T12:00:00Z"}
{"sku": "tea", "amount": 3, "at": "2024-05-01T12:00:10Z"}
"""
INPUT = ("--input", "orders=orders.ndjson")
REFUSED = (
    "headrace: the data directory holds state of another version of topology 'shop' that this version cannot use:\n"
)
CHANGES = {
    "another aggregate": ("agg.sum", "agg.max"),
    "another window": ('"1m"', '"5m"'),
    "another key": ('"by-sku", col.sku', '"by-sku", name=col.sku'),
    "another type of a plain table": ("amount: int", "amount: float"),
    "another id": ('"latest"', '"newest"'),
}


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "orders.ndjson").write_text(ORDERS)
    assert headrace("run", "shop.py", *INPUT, cwd=tmp_path).code == 0
    return tmp_path


@pytest.mark.parametrize("change", CHANGES)
def test_a_query_by_other_code_than_the_state_is_refused(ran: Path, change: str) -> None:
    (ran / "shop.py").write_text(SHOP.replace(*CHANGES[change]))
    for target in ((), ("--target", "shop.py")):
        done = headrace("query", "per-minute", *target, cwd=ran)
        assert (done.code, done.out) == (3, "")
        assert done.err.startswith(REFUSED)


def test_a_query_by_code_that_can_use_the_state_is_answered(ran: Path) -> None:
    (ran / "shop.py").write_text(SHOP + 'orders.filter("big", col.amount > 2).sink("out", topic="big")\n')
    assert headrace("query", "per-minute", cwd=ran).out.splitlines()[1].endswith("\t5")


def test_a_run_that_is_refused_leaves_the_directory_as_it_was(ran: Path) -> None:
    marker = (ran / ".headrace" / "headrace.json").read_bytes()
    (ran / "both.py").write_text(SHOP.replace('"latest"', '"newest"') + 'other = Topology("other")\n' + OTHER)
    done = headrace("run", "both.py", *INPUT, cwd=ran)

    assert done.code == 3
    assert done.err.startswith(REFUSED)
    assert (ran / ".headrace" / "headrace.json").read_bytes() == marker
    assert headrace("query", "latest", "tea", cwd=ran).code == 0


OTHER = """
other.source("others", topic="orders", schema=Order).sink("copy", topic="copy")
"""


def test_what_the_refusal_advises_works(ran: Path) -> None:
    (ran / "shop.py").write_text(SHOP.replace('"per-minute", total=agg.sum', '"per-minute", total=agg.max'))
    refused = headrace("run", "shop.py", *INPUT, cwd=ran)
    assert refused.err.endswith(
        "\nGo back to the old version, or begin with another data directory and read all input from its beginning. "
        "To keep what is there, leave the old step as it was and add the changed one beside it, under an id of its "
        "own.\n"
    )

    assert headrace("run", "shop.py", *INPUT, "--data-dir", "fresh", cwd=ran).code == 0
    assert headrace("query", "per-minute", "--data-dir", "fresh", cwd=ran).out.splitlines()[1].endswith("\t3")
    beside = 'by_sku.window(tumbling("1m")).aggregate("highest", total=agg.max(col.amount))\n'
    (ran / "shop.py").write_text(SHOP + beside)
    assert headrace("run", "shop.py", *INPUT, cwd=ran).code == 0


def test_a_directory_of_other_topologies_is_refused_with_what_helps(ran: Path) -> None:
    (ran / "other.py").write_text(SHOP.replace('Topology("shop")', 'Topology("other")'))
    done = headrace("run", "other.py", *INPUT, cwd=ran)
    assert done.code == 3
    assert done.err == (
        "headrace: data directory .headrace belongs to shop, and this worker runs other. "
        "Run both in one worker, or choose another data directory.\n"
    )
