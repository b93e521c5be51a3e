"""A real broker, started once and shared by all test processes of a run."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka.broker import Broker, Cluster
from tests.kafka.install import Unavailable
from tests.skips import cannot


def _owner() -> int:
    """Return the process that outlives every test: under xdist the one that started this one."""
    return os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()


@pytest.fixture(scope="session")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a broker to share. Use topics and groups of your own; do not stop it.

    ``HEADRACE_TEST_BROKERS`` names one that runs already.
    """
    there = os.environ.get("HEADRACE_TEST_BROKERS")
    if there:
        yield there
        return
    distributed = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if distributed else base
    try:
        broker = _shared_broker(shared)
    except Unavailable as error:
        cannot(f"no broker: {error}")
    yield broker.bootstrap
    if not distributed:  # else another process may still use it: the guard stops it after the last
        broker.kill()


def _shared_broker(directory: Path) -> Broker:
    address = directory / "broker-port"
    with (directory / "broker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if address.exists():
            port, controller_port = map(int, address.read_text().split())
            return Broker(directory / "broker", port=port, controller_port=controller_port)
        broker = Broker(directory / "broker", owner=_owner()).start()
        address.write_text(f"{broker.port} {broker.controller_port}")
        return broker


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """Return a running broker that the test may stop, kill and pause."""
    broker = Broker(tmp_path / "broker", owner=_owner())
    try:
        broker.start()
    except Unavailable as error:
        cannot(f"no broker: {error}")
    yield broker
    broker.kill()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Return three running brokers that the test may stop, kill and pause; topics are on all three."""
    try:
        made = Cluster(tmp_path / "cluster", owner=_owner()).start()
    except Unavailable as error:
        cannot(f"no broker: {error}")
    yield made
    made.stop()
