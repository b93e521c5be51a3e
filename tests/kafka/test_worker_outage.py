"""A worker whose brokers are away: it says so quietly, goes on by itself, and stops in time."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.kafka.broker import Broker
from tests.kafka.fleets import make_shop, started

pytestmark = pytest.mark.slow
AWAY_S = 8


def test_a_broker_that_is_away_makes_one_line_a_second_and_the_worker_goes_on(
    tmp_path: Path, own_broker: Broker
) -> None:
    shop = make_shop(tmp_path, own_broker.bootstrap)
    shop.feed(0, 200)
    with started(shop, "worker", "shop.py", "--state-dir", "state", "--worker", "w") as worker:
        worker.until("running: ")
        shop.until_read(200)
        before = len(worker.log.splitlines())
        own_broker.stop()
        time.sleep(AWAY_S)
        lines = worker.log.splitlines()[before:]
        assert len([line for line in lines if "aiokafka" in line or "faust" in line]) <= AWAY_S + 3, "\n".join(lines)
        assert not any("Traceback" in line for line in lines)
        own_broker.start()
        shop.feed(200, 200)
        shop.until_read(400)
        assert worker.stop(signal.SIGTERM) == 0, worker.log
    assert sum(shop.revenue().values()) == 400


def test_a_worker_stops_within_a_bound_while_no_broker_answers(tmp_path: Path, own_broker: Broker) -> None:
    shop = make_shop(tmp_path, own_broker.bootstrap)
    shop.feed(0, 200)
    with started(shop, "worker", "shop.py", "--state-dir", "state") as worker:
        worker.until("running: ")
        shop.until_read(200)
        own_broker.kill()
        time.sleep(1)
        began = time.monotonic()
        code = worker.stop(signal.SIGTERM, 45)
        assert time.monotonic() - began < 30, worker.log
        assert code in (0, 1), worker.log
        assert "Traceback" not in worker.log
    own_broker.start()
    with started(shop, "worker", "shop.py", "--state-dir", "state") as worker:
        shop.feed(200, 200)
        shop.until_read(400)
        assert worker.stop(signal.SIGTERM) == 0, worker.log
    assert sum(shop.revenue().values()) == 400


def test_a_second_signal_ends_the_worker_at_once(tmp_path: Path, own_broker: Broker) -> None:
    shop = make_shop(tmp_path, own_broker.bootstrap)
    with started(shop, "worker", "shop.py", "--state-dir", "state") as worker:
        worker.until("running: ")
        own_broker.pause()
        worker.process.send_signal(signal.SIGTERM)
        worker.until("stopping on SIGTERM")
        if worker.process.poll() is None:
            assert worker.stop(signal.SIGTERM, 3) in (0, 128 + signal.SIGTERM)
        own_broker.resume()
