"""The log keeps what was appended, at the offsets that it said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.errors import ConfigError, InternalError, StateError
from headrace.runtime.log import Log, LogBatch
from headrace.runtime.log_format import CHUNK_BYTES, CHUNK_RECORDS
from headrace.runtime.records import Records
from headrace.state.memory import MemoryBackend
from headrace.state.protocol import Backend, Batch
from headrace.state.rocksdb import RocksBackend


class Disk:
    """A backend that can be closed and opened again; memory only keeps its contents."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.backend = self._open()

    def _open(self) -> Backend:
        return MemoryBackend() if self.path is None else RocksBackend(self.path, fsync=False)

    def restart(self) -> Log:
        if self.path is not None:
            self.backend.close()
            self.backend = self._open()
        return Log(self.backend)


@pytest.fixture(params=["memory", "rocksdb"])
def make_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Disk]]:
    made: list[Disk] = []

    def make() -> Disk:
        made.append(Disk(None if request.param == "memory" else tmp_path / str(len(made))))
        return made[-1]

    yield make
    for disk in made:
        disk.backend.close()


@pytest.fixture
def disk(make_disk: Callable[[], Disk]) -> Disk:
    return make_disk()


@pytest.fixture
def log(disk: Disk) -> Log:
    log = Log(disk.backend)
    log.create("t", 2)
    return log


def append(log: Log, *values: bytes, partition: int = 0, time: int = 0) -> int:
    return log.append("t", partition, Records(list(values), times=[time] * len(values)))


def read_all(log: Log, offset: int = 0, partition: int = 0, **limits: int) -> list[bytes]:
    values: list[bytes] = []
    while batch := log.read("t", partition, offset, **limits):
        values += batch.values
        offset = batch.next_offset
    return values


def test_offsets_count_records_by_partition(log: Log) -> None:
    assert append(log, b"a", b"b") == 0
    assert append(log, b"c") == 2
    assert append(log, b"x", partition=1) == 0
    assert (log.start("t", 0), log.end("t", 0), log.end("t", 1)) == (0, 3, 1)
    assert read_all(log) == [b"a", b"b", b"c"]


def test_a_record_comes_back_with_key_time_and_headers(log: Log) -> None:
    headers = [(("a", b"1"), ("a", b"2")), ()]
    log.append("t", 0, Records([b"v", b""], [b"k", None], [-62135596800000, 253402300799999], headers))
    append(log, b"bare", time=5)
    assert log.read("t", 0, 0) == LogBatch(
        0, [b"v", b"", b"bare"], [b"k", None, None], [-62135596800000, 253402300799999, 5], [*headers, ()]
    )
    assert log.read("t", 0, 2) == LogBatch(2, [b"bare"], [None], [5], None)


def test_headers_that_begin_in_a_later_chunk_stay_with_their_record(log: Log) -> None:
    append(log, b"bare")
    log.append("t", 0, Records([b"v"], [None], [0], [(("h", b"1"),)]))
    assert log.read("t", 0, 0).headers == [(), (("h", b"1"),)]


def test_a_restart_finds_topics_and_ends(disk: Disk, log: Log) -> None:
    append(log, b"a", b"b")
    log.create("other", 1)
    again = disk.restart()
    assert again.topics() == {"other": 1, "t": 2}
    assert (again.end("t", 0), again.end("t", 1), again.end("other", 0)) == (2, 0, 0)
    assert append(again, b"c") == 2
    assert read_all(again) == [b"a", b"b", b"c"]


def test_topics_are_apart(log: Log) -> None:
    log.create("u", 2)
    append(log, b"t")
    log.append("u", 0, Records([b"u"], times=[0]))
    assert read_all(log) == [b"t"]
    assert log.read("u", 0, 0).values == [b"u"]


def test_creating_a_topic_again_is_nothing_unless_the_partitions_differ(log: Log) -> None:
    append(log, b"a")
    log.create("t", 2)
    assert read_all(log) == [b"a"]
    with pytest.raises(StateError) as caught:
        log.create("t", 3)
    assert str(caught.value) == (
        "topic 't' has 2 partitions in this data directory, and 3 were asked for. "
        "Ask for 2, or use another data directory"
    )


def test_what_is_not_there_is_named(log: Log) -> None:
    with pytest.raises(ConfigError) as caught:
        log.read("none", 0, 0)
    assert str(caught.value) == "there is no topic 'none' in this data directory; topics there: t"
    with pytest.raises(ConfigError, match="topic 't' has partitions 0 to 1, and not 2"):
        log.end("t", 2)
    with pytest.raises(ConfigError, match="expected 1 to 65535 partitions, got 0"):
        log.create("u", 0)
    with pytest.raises(InternalError, match="differ in length"):
        log.append("t", 0, Records([b"a"], [], [0]))


def test_reading_at_the_end_or_past_it_gives_nothing(log: Log) -> None:
    append(log, b"a")
    assert log.read("t", 0, 1) == LogBatch(1)
    assert log.read("t", 0, 9) == LogBatch(9)
    assert log.read("t", 1, 0) == LogBatch(0)


def test_appending_nothing_changes_nothing(log: Log) -> None:
    append(log, b"a")
    assert append(log) == 1
    assert log.end("t", 0) == 1


def test_large_appends_are_read_back_within_the_limits(log: Log) -> None:
    values = [b"%d" % n for n in range(2 * CHUNK_RECORDS + 10)]
    append(log, *values)
    big = [bytes([n]) * (CHUNK_BYTES // 3) for n in range(10)]
    append(log, *big)
    append(log, b"huge" * CHUNK_BYTES)
    assert read_all(log) == [*values, *big, b"huge" * CHUNK_BYTES]
    assert read_all(log, offset=CHUNK_RECORDS + 5)[:2] == values[CHUNK_RECORDS + 5 : CHUNK_RECORDS + 7]
    assert len(log.read("t", 0, 0, max_records=100)) == 100
    assert len(log.read("t", 0, len(values), max_bytes=1)) <= 3
    assert len(log.read("t", 0, 0)) == CHUNK_RECORDS


def test_what_is_staged_is_there_after_the_write_and_not_before(disk: Disk, log: Log) -> None:
    with log.lock:
        batch = Batch()
        assert log.stage(batch, "t", 0, Records([b"a"], times=[0])) == 0
        assert log.stage(batch, "t", 0, Records([b"b"], times=[0])) == 1
        assert log.end("t", 0) == 0
        disk.backend.write(batch)
        log.committed()
    assert log.end("t", 0) == 2
    assert read_all(log) == [b"a", b"b"]


def test_what_was_staged_and_rolled_back_leaves_no_trace(disk: Disk, log: Log) -> None:
    append(log, b"a")
    log.stage(Batch(), "t", 0, Records([b"lost"], times=[0]))
    log.rolled_back()
    assert append(log, b"b") == 1
    assert read_all(disk.restart()) == [b"a", b"b"]


def trim(disk: Disk, log: Log, before: int) -> None:
    with log.lock:
        batch = Batch()
        log.trim(batch, "t", 0, before)
        disk.backend.write(batch)
        log.committed()


def test_trimming_takes_whole_chunks_and_reading_jumps_to_the_start(disk: Disk, log: Log) -> None:
    for pair in ((b"a", b"b"), (b"c", b"d"), (b"e", b"f")):
        append(log, *pair)
    append(log, b"other", partition=1)
    trim(disk, log, 3)
    assert (log.start("t", 0), log.end("t", 0)) == (2, 6)
    assert log.read("t", 0, 0).first_offset == 2
    again = disk.restart()
    assert again.start("t", 0) == 2
    assert read_all(again) == [b"c", b"d", b"e", b"f"]
    assert read_all(again, partition=1) == [b"other"]


def test_trimming_everything_keeps_the_end(disk: Disk, log: Log) -> None:
    append(log, b"a", b"b")
    trim(disk, log, 100)
    again = disk.restart()
    assert (again.start("t", 0), again.end("t", 0)) == (2, 2)
    assert again.read("t", 0, 0) == LogBatch(2)
    assert append(again, b"c") == 2
    assert read_all(again) == [b"c"]


def test_trimming_and_appending_share_a_batch(disk: Disk, log: Log) -> None:
    append(log, b"old", time=1)
    with log.lock:
        batch = Batch()
        log.stage(batch, "t", 0, Records([b"new"], times=[100]))
        log.trim(batch, "t", 0, 1)
        disk.backend.write(batch)
        log.committed()
    again = disk.restart()
    assert (again.start("t", 0), again.end("t", 0)) == (1, 2)
    assert read_all(again) == [b"new"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 5)),
        st.tuples(st.just("trim"), st.integers(0, 30)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("lose"), st.integers(1, 3)),
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(steps=STEPS, limit=st.integers(1, 7), size=st.integers(1, 200))
def test_any_history_reads_back_from_every_offset(
    make_disk: Callable[[], Disk], steps: list[tuple[str, int]], limit: int, size: int
) -> None:
    disk = make_disk()
    log = Log(disk.backend)
    log.create("t", 1)
    count = 0  # the record at offset n is b"n", of time n
    asked = 0  # below this offset records may go, and at or above it they may not
    for kind, n in steps:
        match kind:
            case "append":
                offsets = range(count, count + n)
                assert log.append("t", 0, Records([b"%d" % o for o in offsets], times=list(offsets))) == count
                count += n
            case "trim":
                trim(disk, log, n)
                asked = max(asked, n)
            case "lose":
                log.stage(Batch(), "t", 0, Records([b"lost"] * n, times=[0] * n))
                log.rolled_back()
            case _:
                log = disk.restart()
        start = log.start("t", 0)
        assert start <= min(asked, count)
        assert log.end("t", 0) == count
        for offset in range(count + 1):
            expected = [b"%d" % o for o in range(max(offset, start), count)]
            assert read_all(log, offset, max_records=limit, max_bytes=size) == expected
    disk.backend.close()
