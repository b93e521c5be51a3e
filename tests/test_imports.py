"""Declaring a topology is cheap everywhere: ``import headrace`` loads no runtime dependency."""

from __future__ import annotations

import subprocess
import sys

import pytest

OPTIONAL = (
    "aiokafka", "fastapi", "faust", "httpx", "lark", "mode", "opentelemetry", "prometheus_client", "pyarrow", "rich",
    "rocksdict", "sqlalchemy", "structlog", "tenacity", "typer", "uvicorn", "zstandard",
)  # fmt: skip


def loaded_by(statement: str) -> set[str]:
    program = f"import sys\n{statement}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("package", ["headrace", "headrace.event", "headrace.topology", "headrace.plan"])
def test_declaring_loads_no_optional_package(package: str) -> None:
    assert loaded_by(f"import {package}") & set(OPTIONAL) == set()


def test_the_state_room_loads_rocksdb_only_when_its_store_is_used() -> None:
    assert "rocksdict" not in loaded_by("import headrace.state")


def test_declaring_a_topology_of_expressions_loads_no_parser() -> None:
    statement = """
from pydantic import BaseModel
from headrace import Topology, agg, col, tumbling
class Order(BaseModel):
    sku: str
    amount: float
orders = Topology("shop").source("orders", topic="orders", schema=Order)
grouped = orders.filter("big", col.amount > 100).group_by("by-sku", col.sku)
grouped.window(tumbling("1m")).aggregate("per-minute", total=agg.sum(col.amount))
"""
    assert loaded_by(statement) & set(OPTIONAL) == set()
