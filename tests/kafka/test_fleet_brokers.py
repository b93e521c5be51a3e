"""Brokers restarted, killed, frozen and cut off under load: workers recover by themselves, exactly once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.kafka.client import leader_of
from headrace.kafka.model import Partition
from tests.kafka.broker import HOST, Broker, Cluster, free_ports
from tests.kafka.fleet_harness import SOAK, FleetUnderProof
from tests.kafka.proxy import Proxy
from tests.kafka.support import client
from tests.kafka.test_fleet_kills import SESSION_S, SETTINGS

MISSED_S = 9
"""After that many seconds the brokers take one of them for dead (``broker.session.timeout.ms``)."""

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(3600 if SOAK else 600)]


def test_workers_outlive_a_restart_of_the_broker(own_broker: Broker, tmp_path: Path) -> None:
    with FleetUnderProof(own_broker.bootstrap, tmp_path / "fleet", settings=SETTINGS) as fleet:
        workers = fleet.start("a", "b")
        for _ in range(3 if SOAK else 1):
            began = time.monotonic()
            own_broker.restart()
            fleet.measured("broker restarted", time.monotonic() - began + SESSION_S + 5)
            began = time.monotonic()
            own_broker.kill()
            own_broker.start()
            fleet.measured("broker killed, and started", time.monotonic() - began + SESSION_S + 5)
        assert all(worker.running for worker in workers)
        fleet.end(kept=0)


def test_workers_outlive_a_frozen_broker_and_do_not_take_it_for_silence(
    own_broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_SOAK_IDLE", "20s" if SOAK else "5s")
    with FleetUnderProof(own_broker.bootstrap, tmp_path / "fleet", settings=SETTINGS) as fleet:
        workers = fleet.start("a", "b")
        for seconds in (30, 90) if SOAK else (8,):
            own_broker.pause()
            time.sleep(seconds)
            own_broker.resume()
            fleet.measured(f"broker frozen for {seconds} s", seconds + SESSION_S + 5)
        assert all(worker.running for worker in workers)
        fleet.end(kept=0)


def test_workers_outlive_the_loss_of_a_leader(cluster: Cluster, tmp_path: Path) -> None:
    with FleetUnderProof(cluster.bootstrap, tmp_path / "fleet", settings=SETTINGS) as fleet:
        workers = fleet.start("a", "b")
        for number in range(3 if SOAK else 1):
            place = Partition(fleet.names.orders, number)
            node = asyncio.run(_leader(cluster.bootstrap, place))
            cluster.broker(node).kill()
            fleet.measured(f"leader {node} killed", MISSED_S + SESSION_S + 5)
            cluster.broker(node).start()
            fleet.measured(f"broker {node} back", 5)
        assert all(worker.running for worker in workers)
        fleet.end(kept=0)


async def _leader(bootstrap: str, place: Partition) -> int:
    async with client(bootstrap) as connection:
        await connection.add_topic(place.topic)
        node = leader_of(connection, place)
        assert node is not None
        return node


@pytest.fixture
def two_doors(tmp_path: Path) -> Iterator[tuple[Broker, Proxy, str]]:
    """Return a broker, a proxy in front of a listener of its own, and the address of the proxy."""
    broker = Broker(tmp_path / "broker")
    behind, front = free_ports(2)
    broker.settings |= {
        "listeners": f"PLAINTEXT://{HOST}:{broker.port},CONTROLLER://{HOST}:{broker.controller_port},"
        f"FAR://{HOST}:{behind}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{broker.port},FAR://{HOST}:{front}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,FAR:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
    }
    broker.start()
    with Proxy(front, behind) as proxy:
        yield broker, proxy, f"{HOST}:{front}"
    broker.kill()


def test_a_worker_that_is_cut_off_writes_nothing_and_comes_back(
    two_doors: tuple[Broker, Proxy, str], tmp_path: Path
) -> None:
    broker, proxy, far = two_doors
    with FleetUnderProof(broker.bootstrap, tmp_path / "fleet", settings=SETTINGS) as fleet:
        distant = fleet.worker("distant", bootstrap=far)
        near = fleet.worker("near")
        for worker in (distant, near):
            worker.start()
        fleet.begin()
        fleet.joined(distant, near)
        for seconds in (2, SESSION_S + 6, 60) if SOAK else (2, SESSION_S + 6):
            proxy.cut()
            time.sleep(seconds)
            fleet.measured(f"cut off for {seconds:g} s", SESSION_S + 5) if seconds > SESSION_S else None
            proxy.join()
            (distant.directory / "counters").unlink(missing_ok=True)
            fleet.joined(distant)
            if seconds > SESSION_S:
                fleet.counted(distant, "reopened")
            fleet.measured("back on the network", SESSION_S + 5)
        assert near.stop() == 0
        fleet.measured("the one that was cut off is alone", 5)
        fleet.end()
