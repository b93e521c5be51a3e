"""Backends under one contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.state.memory import MemoryBackend
from headrace.state.overlay import OverlayBackend
from headrace.state.protocol import Backend, Batch
from headrace.state.rocksdb import RocksBackend


class OneBehind(OverlayBackend):
    """Holds the last batch back until the next one comes."""

    def write(self, batch: Batch) -> None:
        self.settle()
        super().write(batch)


@pytest.fixture(params=["memory", "rocksdb", "overlay"])
def make_backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Backend]]:
    """Return a function that makes a fresh backend; each is closed after the test."""
    made: list[Backend] = []

    def make() -> Backend:
        backend: Backend
        match request.param:
            case "memory":
                backend = MemoryBackend()
            case "overlay":
                backend = OneBehind(MemoryBackend())
            case _:
                backend = RocksBackend(tmp_path / str(len(made)), fsync=False, block_cache_bytes=1 << 20)
        made.append(backend)
        return backend

    yield make
    for backend in made:
        backend.close()


@pytest.fixture
def backend(make_backend: Callable[[], Backend]) -> Backend:
    return make_backend()
