"""A server over a worker in memory, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.query.client import Client
from headrace.query.server import serve
from tests.query.memory_worker import MemoryWorker


@pytest.fixture
def worker() -> MemoryWorker:
    return MemoryWorker()


@pytest.fixture
def url(worker: MemoryWorker, tmp_path: Path) -> Iterator[str]:
    with serve(worker, tmp_path) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as client:
        yield client
