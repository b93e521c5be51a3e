"""The reference fleet on every driver, on a real broker with a worker killed in the middle: event for event."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.kafka.broker import Broker
from tests.kafka.support import run
from tests.parity.compare import Promise, faults
from tests.parity.day import disorderly, job_of
from tests.parity.fleet import DemoFleet
from tests.parity.job import Job, Record, Results
from tests.parity.on_driver import run_on_driver
from tests.parity.on_embedded import run_embedded
from workers.simulation import simulate

EVENTS = 30_000
DERIVED = (
    "access.brute-force",
    "access.impossible-travel",
    "commerce.unpaid",
    "commerce.orders-paid",
    "commerce.payments-differ",
    "inventory.stock-outs",
)
NEVER = {"commerce.unshipped"}  # two days are more than there are


def slices(records: list[Record], number: int) -> list[list[Record]]:
    """Cut the records of a day into parts of it, each with all topics."""
    ordered = sorted(records, key=lambda record: record.time_ms)
    borders = [ordered[len(ordered) * n // number].time_ms for n in range(1, number)]
    places: dict[tuple[str, int], int] = {}
    found: list[list[Record]] = [[] for _ in range(number)]
    for record in records:
        at = sum(record.time_ms > border for border in borders)
        # the order within a partition stays: what is late is written with what it was late behind
        at = places[record.topic, record.partition] = max(at, places.get((record.topic, record.partition), 0))
        found[at].append(record)
    return found


def comparable(results: Results, late: set[tuple[str, str]]) -> Results:
    """Return what does not depend on which partition is read first, and not on who counts what is late."""
    sessions = [row for row in results.outputs["commerce.sessions"] if _visitor(row.value) not in late]
    visits = [row for row in results.tables["user-sessions/user-sessions"] if _visitor(row) not in late]
    users = [_sorted(row) for row in results.tables["access-grants/role-changes-total"]]
    tables = {"user-sessions/user-sessions": visits, "access-grants/role-changes-total": users}
    outputs = results.outputs | {"commerce.sessions": sessions}
    return Results(outputs, results.tables | tables, results.letters)


def _visitor(text: str) -> tuple[str, str]:
    row = msgspec.json.decode(text)
    return row["tenant"], row["user_id"]


def _sorted(text: str) -> str:
    """Return a row with its users sorted: they are in the order of their arrival, from whatever partition."""
    row = msgspec.json.decode(text)
    return repr(row | {"users": sorted(row["users"])})


async def through(fleet: DemoFleet, job: Job) -> None:
    await fleet.make_topics()
    fleet.start("a", "b", "c")
    await fleet.running()
    first, second, third, fourth = slices(list(job.phases[0].records), 4)
    await fleet.write(first)
    await fleet.settle()
    await fleet.write(second)
    fleet.kill("b")
    await fleet.write(third)
    fleet.start("b")
    await fleet.write(fourth)
    await fleet.settle()
    for phase in job.phases[1:]:
        await fleet.write(phase.records)
        await fleet.settle()


def day_of(directory: Path) -> Job:
    return job_of(simulate(directory / "day", events=EVENTS, seed=21))


def check(got: Results, expected: Results, late: set[tuple[str, str]]) -> None:
    found = faults(comparable(got, late), comparable(expected, late), Promise(bags=tuple(expected.outputs)))
    assert not found, "\n".join(found)


@pytest.mark.slow
def test_the_test_driver_comes_to_the_results_of_the_embedded_worker(tmp_path: Path) -> None:
    job = day_of(tmp_path)
    expected = run_embedded(job, tmp_path)[-1]
    assert all(len(expected.outputs[topic]) > 2 for topic in DERIVED)
    check(run_on_driver(job)[-1], expected, disorderly(job.phases[0].records))


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.timeout(400)
def test_the_fleet_comes_to_the_results_of_the_embedded_worker_although_a_worker_is_killed(
    tmp_path: Path, own_broker: Broker
) -> None:
    job = day_of(tmp_path)
    expected = run_embedded(job, tmp_path)[-1]
    assert {topic for topic, rows in expected.outputs.items() if not rows} == NEVER
    late = disorderly(job.phases[0].records)
    with DemoFleet(own_broker.bootstrap, tmp_path, job) as fleet:
        run(through(fleet, job), 300)
        assert fleet.stop() == [0, 0, 0], fleet.logs()
        got = run(fleet.results())
    check(got, expected, late)
