"""Workers killed, stopped, frozen, added and taken away under load: exactly once all the same.

``HEADRACE_SOAK=1`` runs the long forms (``make soak``).
"""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from tests.kafka.fleet_harness import SOAK, FleetUnderProof

KILLS = 30 if SOAK else 5
SESSION_S = 10.0 if SOAK else 6.0
SETTINGS = {"session_timeout": f"{SESSION_S:g}s"}

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(3600 if SOAK else 600)]


def test_nothing_is_lost_and_nothing_is_twice_when_workers_are_killed(bootstrap: str, tmp_path: Path) -> None:
    choose = random.Random(7)
    with FleetUnderProof(bootstrap, tmp_path, settings=SETTINGS) as fleet:
        workers = fleet.start("a", "b", "c")
        for number in range(KILLS):
            victim = choose.choice(workers)
            time.sleep(choose.uniform(0.5, 2.5))
            victim.kill()
            if number % 2:
                fleet.measured(f"kill -9 of {victim.name}, nobody comes back", SESSION_S + 5)
                fleet.joined(victim.start())
                fleet.measured(f"{victim.name} joins again", 5)
            else:
                victim.start()
                fleet.measured(f"kill -9 of {victim.name}, and restart", 5)
        fleet.end()


def test_a_zombie_writes_nothing_and_recovers_by_itself(bootstrap: str, tmp_path: Path) -> None:
    with FleetUnderProof(bootstrap, tmp_path, settings=SETTINGS) as fleet:
        zombie, other = fleet.start("zombie", "other")
        for _ in range(3 if SOAK else 1):
            zombie.signal(signal.SIGSTOP)
            fleet.measured("frozen past its session", SESSION_S + 5)
            (zombie.directory / "counters").unlink(missing_ok=True)
            zombie.signal(signal.SIGCONT)
            fleet.counted(zombie, "reopened")  # what it had in hand was dropped, and is read anew
            fleet.joined(zombie)
            fleet.measured("the zombie comes back", 5)
        other.stop()
        fleet.measured("the zombie is alone", 5)
        assert zombie.running
        fleet.end()


def test_a_zombie_with_an_open_transaction_is_fenced(bootstrap: str, tmp_path: Path) -> None:
    with FleetUnderProof(bootstrap, tmp_path, settings=SETTINGS) as fleet:
        (other,) = fleet.start("other")
        zombie = fleet.worker("zombie").start("--freeze", "written:20")
        zombie.frozen()
        fleet.measured("frozen in the middle of a transaction", SESSION_S + 5)
        fleet.counted(other, "fenced_workers")
        (zombie.directory / "counters").unlink(missing_ok=True)
        zombie.signal(signal.SIGCONT)
        fleet.counted(zombie, "commit_failures")
        fleet.counted(zombie, "reopened")
        fleet.measured("the zombie comes back", SESSION_S + 5)
        assert other.stop() == 0
        fleet.measured("the zombie is alone", 5)
        fleet.end()


def test_at_least_once_loses_nothing_when_workers_are_killed(bootstrap: str, tmp_path: Path) -> None:
    with FleetUnderProof(bootstrap, tmp_path, settings={**SETTINGS, "guarantee": "at_least_once"}) as fleet:
        a, b = fleet.start("a", "b")
        for victim in (a, b):
            time.sleep(1)
            victim.kill()
            fleet.measured(f"kill -9 of {victim.name}, nobody comes back", SESSION_S + 5)
            fleet.joined(victim.start())
            fleet.measured(f"{victim.name} joins again", 5)
        fleet.end()


def test_a_rolling_restart_stops_no_partition_for_long(bootstrap: str, tmp_path: Path) -> None:
    with FleetUnderProof(bootstrap, tmp_path, settings=SETTINGS) as fleet:
        workers = fleet.start("a", "b", "c")
        for _ in range(2):
            for worker in workers:
                assert worker.stop() == 0
                fleet.joined(worker.start())
                fleet.measured(f"SIGTERM of {worker.name}, and restart", 5)
        assert workers[0].stop() == 0
        fleet.measured("SIGTERM of a, which stays away", 5)
        fleet.end()


def test_workers_come_and_go_under_load(bootstrap: str, tmp_path: Path) -> None:
    with FleetUnderProof(bootstrap, tmp_path, settings={**SETTINGS, "standbys": "1"}) as fleet:
        fleet.start("a")
        time.sleep(2)
        fleet.joined(*(fleet.worker(name).start() for name in "bcd"))
        fleet.measured("from one worker to four", 5)
        time.sleep(2)
        assert fleet.worker("a").stop() == 0
        assert fleet.worker("b").stop() == 0
        fleet.measured("from four workers to two", 5)
        fleet.end()
