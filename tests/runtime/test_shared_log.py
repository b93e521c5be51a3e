"""Topologies that share a log: each reads all that is meant for it, each key in one place."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from pydantic import BaseModel

from headrace import Topology, agg, col
from headrace.config import WorkerSettings
from headrace.errors import ConfigError, StateError
from headrace.runtime.directory import read_marker
from headrace.runtime.records import Records
from headrace.runtime.retention import Retention
from headrace.runtime.schedule import wall_clock_ms
from headrace.runtime.worker import Worker
from headrace.state.protocol import Batch
from tests.runtime.support import Number, counting, doubling, logged, totals


@pytest.fixture
def settings(tmp_path):
    return WorkerSettings.of(data_dir=tmp_path / "data", checkpoint_interval="20ms", fsync=False)


def a(key=None):
    return counting("a", "numbers", "a-out", key=key)


def b(key=None):
    return counting("b", "numbers", "b-out", key=key)


def values(*numbers):
    return [json.dumps({"key": f"k{n % 7}", "n": n}).encode() for n in numbers]


def run(topologies, settings, *numbers, topic="numbers", **kept):
    """Append numbers, process all, trim the log; return the totals by topology."""
    settings = settings.model_copy(update=kept)
    with Worker(topologies, settings, drain=True) as worker:
        if numbers:
            worker.ingest(topic, values(*numbers))
        worker.run()
        # as a run of ten seconds and more does
        worker._retention.trim(wall_clock_ms(), worker._read_up_to())
        return {name: sum(totals(worker, name).values()) for name in worker.engines if name != "double"}


MANY = 30_000  # the log is measured, and trimmed by size, some thousand records at a time


def test_records_are_kept_for_a_topology_that_does_not_run(settings):
    run([a(), b()], settings, *range(100))
    run([a()], settings, *range(100, MANY), log_retention_bytes=1)
    assert run([a(), b()], settings) == {"a": sum(range(MANY)), "b": sum(range(MANY))}
    with Worker([a(), b()], settings.model_copy(update={"log_retention_bytes": 1}), drain=True) as worker:
        worker.run()
        assert worker.log.start("numbers", 0) > 0, "nobody needs them any more"


def test_retention_runs_with_the_worker(settings):
    with Worker([a()], settings.model_copy(update={"log_retention_bytes": 1000}), drain=True) as worker:
        worker.ingest("numbers", values(*range(MANY)))
        assert worker.run().ended
        assert 0 < worker.log.start("numbers", 0) < MANY
        assert totals(worker, "a") == {f"k{k}": sum(n for n in range(MANY) if n % 7 == k) for k in range(7)}


def test_a_topology_that_is_new_begins_with_what_is_kept(settings):
    run([a()], settings, *range(MANY), log_retention_bytes=1)
    found = run([a(), b()], settings, 7)
    assert found["a"] == sum(range(MANY)) + 7
    assert 7 < found["b"] < sum(range(MANY))
    assert run([b()], settings, 8)["b"] == found["b"] + 8


def test_records_that_were_given_up_unread_are_not_passed_over_silently(settings):
    run([a()], settings, *range(100))
    with Worker([a()], settings) as worker:
        worker.ingest("numbers", values(*range(100, 200)))
        worker.ingest("numbers", values(*range(200, 300)))
        with worker.log.lock:
            batch = Batch()
            worker.log.trim(batch, "numbers", 0, 200)
            worker.backend.write(batch)
            worker.log.committed()
    with pytest.raises(StateError) as caught:
        Worker([a()], settings)
    assert str(caught.value) == (
        "topic 'numbers', partition 0: read up to offset 100, and the log keeps records from 200 on: 100 were given up "
        "before they were read. Give the source another id to go on with what is kept, or begin with another data "
        "directory."
    )


def test_a_directory_remembers_all_topologies_that_ran_on_it(settings):
    Worker([a(), b()], settings, target="shop").close()
    Worker([a()], settings).close()
    Worker([b()], settings).close()
    marker = read_marker(settings.data_dir)
    assert (marker.topologies, marker.target) == (("a", "b"), "shop")


def test_two_topologies_of_one_name_are_refused(settings):
    with pytest.raises(ConfigError) as caught:
        Worker([a(), counting("a", "other", "x")], settings)
    assert str(caught.value) == "several topologies are named 'a'. Names must differ: rename all but one."
    assert not settings.data_dir.exists()


def test_the_declared_key_decides_the_partition_whatever_key_a_record_is_sent_with(settings):
    with Worker([a(col.key)], settings, drain=True) as worker:
        worker.ingest("numbers", values(*range(100)), [b"%d" % n for n in range(100)])
        worker.ingest("numbers", values(*range(100, 200)))
        worker.run()
        assert totals(worker, "a") == {f"k{k}": sum(n for n in range(200) if n % 7 == k) for k in range(7)}
        found = worker.log.read("numbers", next(n for n in range(4) if worker.log.end("numbers", n)), 0)
        assert found.keys[0] is not None
        assert json.loads(found.values[0])["n"] == int(found.keys[0]), "the record keeps its own key"


def test_equal_keys_that_are_written_differently_are_one_key(settings):
    class Price(BaseModel):
        price: Decimal

    topology = Topology("prices")
    prices = topology.source("in", topic="prices", schema=Price, key=col.price).group_by("by", col.price)
    prices.aggregate("counts", n=agg.count())
    with Worker([topology], settings.model_copy(update={"partitions": 16}), drain=True) as worker:
        worker.ingest("prices", [b'{"price": "1.5"}', b'{"price": "1.50"}', b'{"price": 1.500}'])
        worker.run()
        assert [row["n"] for row in worker.engines["prices"].tables["counts"].scan()] == [3]


def keyed_by_number():
    topology = Topology("double")
    topology.source("in", topic="numbers", schema=Number).sink("out", topic="doubles", key=col.n.cast(str))
    return topology


def test_a_sink_of_another_key_feeds_a_source_by_the_key_that_the_source_declares(settings):
    with Worker([keyed_by_number(), counting(key=col.key)], settings, drain=True) as worker:
        worker.ingest("numbers", values(*range(200)))
        worker.run()
        assert totals(worker) == {f"k{k}": sum(n for n in range(200) if n % 7 == k) for k in range(7)}
        keys = [key for n in range(4) for key in worker.log.read("doubles", n, 0).keys]
        assert sorted(keys) == sorted(b"%d" % n for n in range(200)), "the records keep the sink's key"


def test_a_topic_partitioned_by_another_key_cannot_be_declared_keyed_afterwards(settings):
    run([keyed_by_number()], settings, *range(200))
    with pytest.raises(ConfigError, match="source 'in' declares topic 'doubles' keyed by 'key', and the log holds rec"):
        Worker([keyed_by_number(), counting(key=col.key)], settings)
    assert run([keyed_by_number(), counting()], settings) == {"count": sum(range(200))}


def test_what_is_known_of_a_topics_key_is_forgotten_when_it_is_written_without(settings):
    both = [keyed_by_number(), counting(key=col.key)]
    assert run(both, settings, *range(100)) == {"count": sum(range(100))}
    assert run(both, settings, *range(100)) == {"count": 2 * sum(range(100))}
    run([keyed_by_number()], settings, *range(100))
    with pytest.raises(ConfigError, match="keyed by 'key'"):
        Worker(both, settings)


def test_a_topic_that_happens_to_be_partitioned_by_the_key_may_be_declared_so(settings):
    run([doubling()], settings, *range(100))
    found = run([doubling(), counting(key=col.key)], settings, *range(100))
    assert found == {"count": 4 * sum(range(100))}


def test_a_spread_topic_cannot_have_two_keys(settings):
    Worker([a(col.key)], settings).close()
    other = Topology("other")
    other.source("by-n", topic="numbers", schema=Number, key=col.n).sink("out", topic="x")
    with pytest.raises(ConfigError, match="cannot be partitioned by several keys: sources declare it keyed 'in' by"):
        Worker([a(col.key), other], settings)


def test_a_million_records_in_one_call_take_little_memory_each(settings):
    import tracemalloc

    count = 200_000
    given = values(1) * count
    with Worker([a(col.key)], settings) as worker:
        tracemalloc.start()
        try:
            places = worker.ingest("numbers", given)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(places) == count
        assert len({*places}) == count
    assert peak / count < 150


def test_a_topic_needs_a_legal_name(settings):
    with Worker([a()], settings) as worker:
        for name in ("", ".", "..", "../etc", "a b", "a\x00", "é", "x" * 250):
            with pytest.raises(ConfigError, match="expected a name of 1 to 249 letters"):
                worker.log.create(name, 1)
        worker.log.create("x" * 249, 1)


def test_topics_made_in_a_checkpoint_come_with_it_or_not_at_all(settings):
    with Worker([a()], settings) as worker, worker.log.lock:
        log = worker.log
        for written in (False, True):
            batch = Batch()
            log.stage_topic(batch, "fresh", 2)
            log.stage(batch, "fresh", 1, Records([b"1"], times=[1]))
            if written:
                worker.backend.write(batch)
                log.committed()
            else:
                log.rolled_back()
                assert log.partitions("fresh") is None
        assert logged(worker, "fresh") == [b"1"]


def test_retention_by_age_spares_what_a_topology_elsewhere_has_to_read(settings):
    run([a(), b()], settings, *range(10))
    run([a()], settings, *range(10))
    with Worker([a()], settings) as worker:
        retention = Retention(worker.log, worker.backend, age=timedelta(days=1), max_bytes=None)
        for day in range(4):
            retention.trim(day * 86_400_001, worker._read_up_to())
        assert worker.log.start("numbers", 0) <= 10
