"""Crashes at every step of a commit, states lost and damaged, records that nobody can process: exactly once still."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.kafka.fleet_harness import SOAK, FleetUnderProof, Worker
from tests.kafka.fleet_worker import COMMIT_STEPS, CRASHED
from tests.kafka.test_fleet_kills import SESSION_S, SETTINGS

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(3600 if SOAK else 600)]


def test_a_crash_at_any_step_of_a_commit_leaves_nothing_or_a_committed_transaction(
    bootstrap: str, tmp_path: Path
) -> None:
    with FleetUnderProof(bootstrap, tmp_path, settings=SETTINGS) as fleet:
        steady, victim = fleet.start("steady", "victim")
        victim.kill()
        for _ in range(5 if SOAK else 1):
            for step in (*COMMIT_STEPS, "ending"):
                victim.start("--crash", f"{step}:8")
                assert victim.ended() == CRASHED, victim.log[-3000:]
                fleet.measured(f"crash at {step!r}", SESSION_S + 5)
        assert steady.counters["fenced_workers"] >= 1, "transactions that a dead worker left open were aborted"
        victim.start()
        fleet.end()


def test_a_crash_in_the_middle_of_a_restore_is_a_restore_begun_anew(bootstrap: str, tmp_path: Path) -> None:
    with FleetUnderProof(bootstrap, tmp_path, settings=SETTINGS) as fleet:
        (worker,) = fleet.start("only")
        time.sleep(3)
        for number in (1, 3, 2):
            worker.kill()
            if number == 1:
                fleet.wipe("only")
            worker.start("--crash", f"restoring:{number}")
            assert worker.ended() == CRASHED, worker.log[-3000:]
        fleet.joined(worker.start())
        assert worker.counters["restored"]
        fleet.end()


def test_a_long_restore_blocks_neither_other_tasks_nor_the_next_rebalance(bootstrap: str, tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    with FleetUnderProof(bootstrap, tmp_path, settings=SETTINGS) as fleet:
        (worker,) = fleet.start("only")
        time.sleep(2)
        worker.kill()
        fleet.wipe("only")
        hold.touch()
        time.sleep(1)
        before = fleet.positions()
        others = range(1, fleet.partitions)
        fleet.joined(worker.start("--hold", str(hold)))
        fleet.moving(*others)
        assert worker.counters["restoring"]
        newcomer = fleet.worker("newcomer").start("--hold", str(hold))
        fleet.joined(newcomer)
        fleet.moving(*others)
        assert worker.counters["restoring"] + newcomer.counters["restoring"]
        after = fleet.positions()
        assert all((after[place] == before[place]) == (place.partition == 0) for place in before)
        hold.unlink()
        fleet.moving()
        fleet.end()


def test_who_takes_over_from_a_standby_replays_little(bootstrap: str, tmp_path: Path) -> None:
    with FleetUnderProof(bootstrap, tmp_path, settings={**SETTINGS, "standbys": "1"}) as fleet:
        owner, heir = fleet.start("owner", "heir")
        time.sleep(8)
        before = heir.counters["restored"]
        owner.kill()
        fleet.measured("kill -9, a standby takes over", SESSION_S + 5)
        time.sleep(1)
        replayed = heir.counters["restored"] - before
        length = fleet.changelogs()
        print(f"{replayed:,} of {length:,} records of the changelogs replayed")
        assert before > 0
        assert replayed < length / 10
        fleet.end()


def test_state_that_is_gone_damaged_or_anothers_is_built_anew(bootstrap: str, tmp_path: Path) -> None:
    with FleetUnderProof(bootstrap, tmp_path, settings=SETTINGS) as fleet:
        a, b = fleet.start("a", "b")
        time.sleep(2)
        for damage in (_delete, _truncate, _swap, _garble):
            for worker in (a, b):
                worker.kill()
            damage(a, b)
            for worker in (a, b):
                worker.start()
            fleet.joined(a, b)
            told = f"{damage.__name__}: {a.counters['wiped']} wiped, {a.counters['restored']} restored"
            fleet.measured(told, SESSION_S + 5)
            if damage in (_truncate, _garble):
                assert a.counters["wiped"]
            time.sleep(1)
        fleet.end()


def _delete(a: Worker, _: Worker) -> None:
    shutil.rmtree(a.state)


def _swap(a: Worker, b: Worker) -> None:
    a.state.rename(a.directory / "mine")
    b.state.rename(a.state)
    (a.directory / "mine").rename(b.state)


def _truncate(a: Worker, _: Worker) -> None:
    for file in a.state.glob("MANIFEST-*"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _garble(a: Worker, _: Worker) -> None:
    for file in a.state.iterdir():
        if file.is_file() and file.name != "LOCK":
            file.write_bytes(b"\x5a" * file.stat().st_size)


def test_a_record_that_may_not_fail_ends_the_worker_and_leaves_nothing_half_done(
    bootstrap: str, tmp_path: Path
) -> None:
    with FleetUnderProof(bootstrap, tmp_path, settings=SETTINGS) as fleet:
        worker = fleet.worker("strict").start("--on-error", "fail")
        fleet.load()
        assert worker.ended() not in (0, -9)
        assert "DataError: step 'orders': " in worker.log
        assert f"(topic {fleet.names.orders}, partition " in worker.log
        worker.start()
        fleet.moving()
        fleet.end()
