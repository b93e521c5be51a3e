"""What a fleet's worker logs: changes, not repetitions; and of the libraries one line a second."""

from __future__ import annotations

import logging

import pytest

pytest.importorskip("faust")

from headrace.cli.logs import Throttle, _Line
from headrace.cli.narrator import Narrator, describe
from headrace.kafka.model import Partition
from headrace.kafka.status import WorkerStatus


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def partitions(*numbers: int) -> frozenset[Partition]:
    return frozenset(Partition("orders", number) for number in numbers)


def test_a_worker_tells_what_it_got_restored_and_did() -> None:
    lines: list[str] = []
    clock = Clock()
    narrator = Narrator(lines.append, clock)
    for seconds, status in [
        (0.0, WorkerStatus()),
        (1.0, WorkerStatus(restoring=partitions(0, 1, 2, 5))),
        (3.5, WorkerStatus(restoring=partitions(0), running=partitions(1, 2, 5), restored=700)),
        (3.7, WorkerStatus(running=partitions(0, 1, 2, 5), tasks=8, restored=1000)),
        (6.0, WorkerStatus(running=partitions(0, 1, 2, 5), tasks=8, restored=1000, records_in=600, commits=4)),
        (12.0, WorkerStatus(running=partitions(0, 1, 2, 5), tasks=8, restored=1000, records_in=600, commits=9)),
        (13.0, WorkerStatus(restored=1000, records_in=600, commits=9, records_out=6, late=1, dead_letters=2)),
    ]:
        clock.now = seconds
        narrator.tell(status)
    narrator.end()
    assert lines == [
        "partitions assigned: orders 0-2, 5",
        "restored 1,000 records in 3.7 s",
        "running: 8 tasks on 4 partitions",
        "600 in, 0 out, 100/s, 4 commits",
        "no partitions assigned",
        "stopped: 600 in, 6 out, 1 late, 2 dead letters, 9 commits",
    ]


def test_a_long_restore_tells_how_far_it_is() -> None:
    lines: list[str] = []
    clock = Clock()
    narrator = Narrator(lines.append, clock)
    narrator.tell(WorkerStatus(restoring=partitions(0)))
    clock.now = 5.0
    narrator.tell(WorkerStatus(restoring=partitions(0), restored=10_000, to_restore=90_000))
    assert lines[1:] == ["restoring: 10,000 records, 90,000 left"]


def test_a_worker_without_partitions_says_so_once() -> None:
    lines: list[str] = []
    clock = Clock()
    narrator = Narrator(lines.append, clock)
    for clock.now in (1, 6, 12, 18):
        narrator.tell(WorkerStatus())
    assert lines == ["no partitions assigned: waiting for others to leave, or for a rebalance to end"]


def test_partitions_are_listed_by_topic() -> None:
    assert describe({Partition("b", 1), Partition("a", 3), Partition("a", 1), Partition("a", 2)}) == "a 1-3; b 1"


def record(name: str, level: int = logging.ERROR, text: str = "gone") -> logging.LogRecord:
    return logging.LogRecord(name, level, "", 0, text, (), None)


def test_libraries_get_one_line_a_second_and_ours_all() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    passed = []
    for tenth in range(25):
        clock.now = tenth / 10
        storm = record("aiokafka.client")
        if throttle.filter(storm):
            passed.append(getattr(storm, "held", 0))
        assert throttle.filter(record("headrace.fleet", logging.INFO))
    assert passed == [0, 9, 9]
    clock.now = 9
    for normal in (
        record("faust.app", logging.INFO),
        record("headrace.kafka.transport", logging.INFO),
        record("aiokafka.consumer", logging.WARNING, "Heartbeat failed for group a because it is rebalancing"),
    ):
        assert not throttle.filter(normal)


def test_a_line_is_one_line_with_time_and_worker() -> None:
    storm = record("aiokafka.client", text="Unable\nto connect")
    storm.created, storm.held = 0.0, 3
    line = _Line("w-0", tracebacks=False)
    assert line.format(storm) == (
        "1970-01-01T00:00:00Z w-0: ERROR aiokafka.client: Unable (3 more of the libraries held back)"
    )
    ours = record("headrace.fleet", logging.WARNING, "taken back")
    ours.created = 0.0
    assert line.format(ours) == "1970-01-01T00:00:00Z w-0: WARNING taken back"
