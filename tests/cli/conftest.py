"""A small fleet in a directory of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import FLEET, ORDERS


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(FLEET)
    (tmp_path / "orders.ndjson").write_text(ORDERS)
    return tmp_path
