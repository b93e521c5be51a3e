"""The embedded worker: files in, files and topics out, and on from where it was."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel

from headrace import Topology, agg, col, tumbling
from headrace.config import WorkerSettings
from headrace.errors import ConfigError, StateError, StateLocked
from headrace.runtime.directory import read_marker
from headrace.runtime.loading import load_target
from headrace.runtime.partitioning import partition_for
from headrace.runtime.records import Records
from headrace.runtime.retention import Retention
from headrace.runtime.worker import Worker
from tests.runtime import fleet_under_test as fleet
from tests.runtime.support import Number, counting, doubling, logged, numbers, rows, running, wait_until


@pytest.fixture
def settings(tmp_path):
    return WorkerSettings.of(data_dir=tmp_path / "data", checkpoint_interval="20ms", fsync=False)


def test_a_bounded_run_ends_with_the_final_watermark_and_a_summary(tmp_path, settings):
    source = tmp_path / "in.ndjson"
    fleet.write_input(source, 5000)
    outputs = {"report": str(tmp_path / "report"), "failures": str(tmp_path / "failures")}
    with Worker([fleet.topology], settings, inputs={"attempts": [str(source)]}, outputs=outputs) as worker:
        summary = worker.run()
    assert summary.ended
    assert not summary.stopped
    assert (summary.records_in, summary.dead_letters, summary.late) == (5000, 0, 0)
    assert summary.records_out == len(rows(outputs["report"])) + len(rows(outputs["failures"]))
    assert [t.name for t in summary.topologies] == ["attempts"]
    assert [row["number"] for row in rows(outputs["failures"])] == fleet.expected_failures(source)
    assert fleet.report(Path(outputs["report"]).read_text().splitlines()) == fleet.expected_report(source)


def test_a_second_run_on_the_same_directory_reads_nothing_twice(tmp_path, settings):
    source = numbers(tmp_path / "in.ndjson", *range(10))
    outputs = {"doubles": str(tmp_path / "out")}
    for expected in (10, 0):
        with Worker([doubling()], settings, inputs={"numbers": source}, outputs=outputs) as worker:
            assert worker.run().records_in == expected
    assert [row["n"] for row in rows(tmp_path / "out")] == [n * 2 for n in range(10)]


@pytest.mark.parametrize("kind", ["ndjson", "ndjson.gz", "ndjson.zst", "csv", "csv.gz", "parquet"])
def test_a_run_stopped_within_a_file_goes_on_there(tmp_path, settings, kind):
    import gzip

    import zstandard

    values = [{"key": f"k{n % 5}", "n": n} for n in range(20_000)]
    text = "".join(json.dumps(value) + "\n" for value in values).encode()
    if kind.startswith("csv"):
        text = b"key,n\n" + "".join(f"{value['key']},{value['n']}\n" for value in values).encode()
    path = tmp_path / f"in.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(values), path, row_group_size=3000)
    else:
        path.write_bytes(
            gzip.compress(text) if kind.endswith("gz") else zstandard.compress(text) if kind.endswith("zst") else text
        )
    small = settings.model_copy(update={"read_bytes": 20_000})
    read = 0
    for turns in (1, 3, None):
        outputs = {"doubles": str(tmp_path / "out")}
        with Worker([doubling()], small, inputs={"numbers": str(path)}, outputs=outputs) as worker:
            if turns is None:
                summary = worker.run()
                assert summary.ended
            else:
                for _ in range(turns):
                    worker._turn()
                worker.stop()
                summary = worker.run()
                assert 0 < summary.records_in < 20_000
            read += summary.records_in
    assert read == 20_000
    assert [row["n"] for row in rows(tmp_path / "out")] == [n * 2 for n in range(20_000)]


def test_a_chain_of_topologies_ends_when_all_of_it_is_drained(tmp_path, settings):
    source = numbers(tmp_path / "in.ndjson", *range(1000))
    # Declared downstream first: the order must not matter.
    chain = [counting(), doubling()]
    with Worker(chain, settings, inputs={"numbers": source}, outputs={"counts": str(tmp_path / "out")}) as worker:
        summary = worker.run()
        totals = {row["key"]: row["n"] for row in worker.engines["count"].tables["totals"].scan()}
        assert len(logged(worker, "doubles")) == 1000
    assert summary.ended
    expected = {f"k{k}": sum(2 * n for n in range(1000) if n % 5 == k) for k in range(5)}
    assert totals == expected
    assert {row["key"]: row["n"] for row in rows(tmp_path / "out")} == expected


def test_a_ring_of_topologies_ends_once_nothing_moves(tmp_path, settings):
    ring = Topology("ring")
    source = ring.source("in", topic="numbers", schema=Number)
    source.filter("again", col.n < 100).map("next", n=col.n * 2 + 1).sink("out", topic="back")
    back = doubling("returning", "back", "numbers-out")
    other = Topology("closing")
    other.source("in", topic="numbers-out", schema=Number).filter("small", col.n < 50).sink("out", topic="back")
    path = numbers(tmp_path / "in.ndjson", 1, 2, 3)
    with Worker([ring, back, other], settings, inputs={"numbers": path}) as worker:
        assert worker.run().ended


def test_several_files_of_one_topic_are_read_in_event_time_order(tmp_path, settings):
    class Timed(BaseModel):
        at: str
        n: int

    topology = Topology("merge")
    source = topology.source("in", topic="t", schema=Timed, time=col.at.cast(__import__("datetime").datetime))
    counts = source.group_by("by-all", everything=col.n * 0).window(tumbling("1h"))
    counts.aggregate("hourly", n=agg.count()).on_close().sink("out", topic="hourly")
    for part in range(3):
        lines = [json.dumps({"at": f"2024-01-0{part + 1}T{h:02}:30:00Z", "n": h}) for h in range(24) for _ in range(50)]
        (tmp_path / f"day{part}.ndjson").write_text("\n".join(lines))
    small = settings.model_copy(update={"read_bytes": 1000})
    outputs = {"hourly": str(tmp_path / "out")}
    with Worker([topology], small, inputs={"t": str(tmp_path / "day*.ndjson")}, outputs=outputs) as worker:
        assert worker.run().late == 0
    assert [row["n"] for row in rows(tmp_path / "out")] == [50] * 72


def test_bad_records_become_dead_letters_and_the_rest_goes_on(tmp_path, settings):
    path = tmp_path / "in.ndjson"
    bad = [b'{"key":"a","n":', b'{"key":"a","n":"x"}', b'{"key":"\xff","n":1}', b"[]", b"x" * 3_000_000]
    path.write_bytes(b'{"key":"a","n":1}\n' + b"\n".join(bad) + b'\n{"key":"b","n":2}\n')
    outputs = {"doubles": str(tmp_path / "out"), "double.dead-letters": str(tmp_path / "dead")}
    small = settings.model_copy(update={"max_record_bytes": 1_000_000})
    with Worker([doubling()], small, inputs={"numbers": str(path)}, outputs=outputs) as worker:
        summary = worker.run()
    assert [row["n"] for row in rows(tmp_path / "out")] == [2, 4]
    dead = rows(tmp_path / "dead")
    assert summary.dead_letters == len(dead) == len(bad)
    assert [row["value"] for row in dead[:2]] == ['{"key":"a","n":', '{"key":"a","n":"x"}']
    assert len(dead[4]["value"]) == 1_000_000
    assert all(row["headrace-topology"] == "double" and row["headrace-message"] for row in dead)


def test_an_unbounded_run_takes_records_until_it_is_stopped(settings):
    with Worker([doubling()], settings) as worker:
        assert not worker.bounded
        assert worker.topics == ("numbers",)
        found = []
        thread = threading.Thread(target=lambda: found.append(worker.run()))
        thread.start()
        try:
            values = [b'{"key":"k%d","n":%d}' % (n % 5, n) for n in range(100)]
            places = [place for n in range(0, 100, 10) for place in worker.ingest("numbers", values[n : n + 10])]
            wait_until(lambda: len(logged(worker, "doubles")) == 100 if "doubles" in worker.log.topics() else False)
        finally:
            worker.stop()
            thread.join()
        assert [partition for partition, _ in places] == [partition_for(b"k%d" % (n % 5), 4) for n in range(100)]
        assert len(set(places)) == 100
        by_partition = Counter(partition for partition, _ in places)
        assert {p: worker.log.end("numbers", p) for p in by_partition} == dict(by_partition)
        assert found[0].stopped
        assert sorted(json.loads(v)["n"] for v in logged(worker, "doubles")) == [n * 2 for n in range(100)]
    with pytest.raises(StateError, match="has stopped"):
        worker.ingest("numbers", [b"{}"])


def test_ingest_refuses_a_topic_that_is_not_read(settings):
    with Worker([doubling()], settings) as worker, pytest.raises(ConfigError) as caught:
        worker.ingest("other", [b"{}"])
    assert str(caught.value) == (
        "topic 'other' is not read from the log by any topology here; topics that are: numbers"
    )


def test_what_was_logged_is_processed_by_the_next_run(tmp_path, settings):
    with Worker([doubling()], settings) as worker:
        worker.ingest("numbers", [b'{"key":"a","n":1}', b'{"key":"b","n":2}'])
    outputs = {"doubles": str(tmp_path / "out")}
    with Worker([doubling()], settings, outputs=outputs, drain=True) as worker:
        assert worker.bounded
        assert worker.run().ended
    assert sorted(row["n"] for row in rows(tmp_path / "out")) == [2, 4]


def test_standard_input_is_logged_first_and_ends_the_run(tmp_path):
    program = (
        "import sys\n"
        "from headrace.config import WorkerSettings\n"
        "from headrace.runtime.worker import Worker\n"
        "from tests.runtime.support import doubling\n"
        "with Worker([doubling()], WorkerSettings.of(data_dir=sys.argv[1]), inputs={'numbers': '-'},"
        " outputs={'doubles': '-'}) as worker:\n"
        "    assert worker.run().ended\n"
    )
    text = "".join(f'{{"key":"k","n":{n}}}\n' for n in range(20_000)).removesuffix("\n")
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "data")],
        input=text, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["n"] for line in done.stdout.splitlines()] == [n * 2 for n in range(20_000)]


def test_a_followed_file_is_read_on_as_it_grows(tmp_path, settings):
    path = Path(numbers(tmp_path / "in.ndjson", 1, 2))
    outputs = {"doubles": str(tmp_path / "out")}
    with Worker([doubling()], settings, inputs={"numbers": str(path)}, outputs=outputs, follow=True) as worker:
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            wait_until(lambda: len(rows(tmp_path / "out")) == 2)
            with path.open("a") as file:
                file.write('{"key":"a","n":3}\n')
            wait_until(lambda: len(rows(tmp_path / "out")) == 3)
        finally:
            worker.stop()
            thread.join()


def test_a_replaced_input_file_is_refused(tmp_path, settings):
    path = tmp_path / "in.ndjson"
    for n, message in ((range(10), None), (range(50, 60), "was replaced"), (range(2), "truncated or replaced")):
        source = numbers(path, *n)
        if message is None:
            with Worker([doubling()], settings, inputs={"numbers": source}) as worker:
                worker.run()
        else:
            with pytest.raises(ConfigError, match=message):
                Worker([doubling()], settings, inputs={"numbers": source}).run()


def test_an_input_for_a_topic_that_is_not_read_is_refused(tmp_path, settings):
    with pytest.raises(ConfigError, match="input for topic 'other': no topology reads it; topics that are read: num"):
        Worker([doubling()], settings, inputs={"other": numbers(tmp_path / "in", 1)})
    assert not settings.data_dir.exists()


def test_an_output_for_a_topic_that_is_not_written_is_refused(settings):
    with pytest.raises(ConfigError) as caught:
        Worker([doubling()], settings, outputs={"other": "x"})
    assert str(caught.value) == (
        "output for topic 'other': no topology writes it; topics that are written: double.dead-letters, doubles"
    )


def test_a_second_worker_is_told_who_owns_the_directory(settings):
    with (
        Worker([doubling()], settings),
        pytest.raises(StateLocked, match=f"in use by another process \\(pid {os.getpid()}\\)"),
    ):
        Worker([doubling()], settings)


def test_a_directory_of_another_version_is_refused(settings):
    settings.data_dir.mkdir()
    (settings.data_dir / "headrace.json").write_text('{"format": 99}')
    with pytest.raises(StateError) as caught:
        Worker([doubling()], settings)
    assert str(caught.value) == (
        f"data directory {settings.data_dir} has format 99; this version of Headrace reads 1. "
        "Use the version of Headrace that wrote it."
    )


def test_a_directory_of_other_topologies_or_partitions_is_refused(settings):
    Worker([doubling()], settings, target="shop:double").close()
    assert read_marker(settings.data_dir).target == "shop:double"
    with pytest.raises(StateError, match="belongs to double, and this worker runs count"):
        Worker([counting()], settings)
    with pytest.raises(StateError, match="was made with 4 partitions, and 2 are asked for"):
        Worker([doubling()], settings.model_copy(update={"partitions": 2}))


def test_a_directory_with_something_else_in_it_is_refused(settings):
    settings.data_dir.mkdir()
    (settings.data_dir / "letter.txt").write_text("dear")
    with pytest.raises(StateError, match="is not empty and is no data directory of Headrace"):
        Worker([doubling()], settings)
    assert [path.name for path in settings.data_dir.iterdir()] == ["letter.txt"]


def test_a_directory_that_cannot_be_made_is_a_state_error(tmp_path, settings):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"cannot be written|cannot be read"):
        Worker([doubling()], settings.model_copy(update={"data_dir": tmp_path / "file" / "data"}))


FULL_DISK = """
import json, resource, signal, sys
from headrace.config import WorkerSettings
from headrace.errors import StateError
from headrace.runtime.worker import Worker
from tests.runtime import fleet_under_test as fleet
from tests.runtime.support import Number, counting, doubling, logged, numbers, rows, running, wait_until
data, source, report, failures, limit = sys.argv[1:]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
settings = WorkerSettings.of(data_dir=data, read_bytes=20_000, checkpoint_interval="1ms", log_retention="1d")
outputs = {"report": report, "failures": failures}
with Worker([fleet.topology], settings, inputs={"attempts": [source]}, outputs=outputs) as worker:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    try:
        worker.run()
    except StateError as error:
        print(error)
        sys.exit(3)
"""


def test_a_full_disk_stops_the_run_and_the_next_one_goes_on(tmp_path):
    source, report, failures = (tmp_path / name for name in ("in", "report", "failures"))
    fleet.write_input(source, 30_000)
    args = [str(tmp_path / "data"), str(source), str(report), str(failures)]
    env = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    codes = []
    for limit in (60_000, 400_000, 800_000, 1 << 40):
        done = subprocess.run(
            [sys.executable, "-c", FULL_DISK, *args, str(limit)], capture_output=True, text=True, env=env, check=False
        )
        codes.append(done.returncode)
        if done.returncode:
            assert done.returncode == 3, done.stderr
            assert "then start again" in done.stdout or "start again" in done.stdout
    assert codes[0] == 3
    assert codes[-1] == 0
    assert [row["number"] for row in rows(failures)] == fleet.expected_failures(source)
    assert fleet.report(report.read_text().splitlines()) == fleet.expected_report(source)


def test_old_records_are_given_up_once_they_were_read(tmp_path, settings):
    with Worker([doubling()], settings, drain=True) as worker:
        values = [b'{"key":"a","n":%d}' % n for n in range(10)]
        partition = worker.ingest("numbers", values)[0][0]
        place = ("numbers", partition)
        retention = Retention(worker.log, worker.backend, age=settings.log_retention, max_bytes=None)
        day = 24 * 3600 * 1000
        now = time.time_ns() // 1_000_000
        retention.trim(now, {place: 0})
        retention.trim(now + 8 * day, {place: 0})
        assert worker.log.start(*place) == 0, "a topology has still to read them"
        retention.trim(now + 6 * day, {place: 10})
        assert worker.log.start(*place) == 0, "they are not old enough"
        again = Retention(worker.log, worker.backend, age=settings.log_retention, max_bytes=None)
        again.trim(now + 8 * day, {place: 10})
        assert worker.log.start(*place) == 10


def test_history_in_the_log_is_not_taken_for_old(tmp_path, settings):
    with Worker([doubling()], settings) as worker:
        worker.log.append("numbers", 0, Records([b"1"], times=[0]))
        retention = Retention(worker.log, worker.backend, age=settings.log_retention, max_bytes=None)
        retention.trim(time.time_ns() // 1_000_000, {})
        assert worker.log.start("numbers", 0) == 0


def test_a_partition_is_kept_to_its_size(settings):
    with Worker([doubling()], settings) as worker:
        retention = Retention(worker.log, worker.backend, age=None, max_bytes=5_000)
        for n in range(20):
            worker.log.append("numbers", 0, Records([b"x" * 1000], times=[n]))
            retention.trim(0, {("numbers", 0): n + 1})
        assert worker.log.start("numbers", 0) == 15


def test_targets_are_found_as_files_and_as_modules(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.py").write_text(
        "from headrace import Topology\na = Topology('a')\nb = Topology('b')\nboth = [b, a]\nnumber = 7\n"
    )
    (tmp_path / "listed.py").write_text("from two import a, b\ntopologies = [b]\n")
    (tmp_path / "broken.py").write_text("import no_such_thing\n")

    def names(target):
        return [topology.name for topology in load_target(target)]

    assert names("two.py") == names("two") == ["a", "b"]
    assert names("two.py:both") == names("two:both") == ["b", "a"]
    assert names("two:b") == ["b"]
    assert names("listed") == names("listed.py") == ["b"]
    for target, message in {
        "two:c": "has no 'c'; it holds a, b, both",
        "two:number": "expected a Topology or a list of them, got int",
        "none": "there is no module 'none': tried 'none' from",
        "none.py": f"there is no file 'none.py': tried {tmp_path / 'none.py'}",
        "broken": "module 'broken' cannot be imported: ModuleNotFoundError: No module named 'no_such_thing'",
        "broken.py": "'broken.py' cannot be imported: ModuleNotFoundError",
        "": "expected 'package.module'",
    }.items():
        with pytest.raises(ConfigError) as caught:
            load_target(target)
        assert message in str(caught.value)


def test_settings_come_from_the_environment_only_where_asked_for():
    environ = {"HEADRACE_PARTITIONS": "8", "HEADRACE_LOG_RETENTION": "none", "HEADRACE_CACHE_BYTES": "1MiB", "X": "y"}
    found = WorkerSettings.from_env(environ=environ, fsync=False)
    assert (found.partitions, found.log_retention, found.cache_bytes, found.fsync) == (8, None, 1 << 20, False)
    with pytest.raises(ConfigError, match=r"checkpoint_interval: .* expected a duration such as '100ms'"):
        WorkerSettings.of(checkpoint_interval="soon")
    with pytest.raises(ConfigError, match="colour"):
        WorkerSettings.of(colour="red")


def headrace(*args):
    command = [sys.executable, "-m", "headrace.cli.main", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


FIFTY_MB = """
from pydantic import BaseModel
from headrace import Topology, col

class Note(BaseModel):
    n: int
    text: str

topology = Topology("notes")
topology.source("in", topic="notes", schema=Note).select("out", n=col.n, text=col.text).sink("sink", topic="copies")
"""


def test_a_record_of_fifty_megabytes_goes_through_a_run(tmp_path):
    (tmp_path / "notes.py").write_text(FIFTY_MB)
    path, out = tmp_path / "in.ndjson", tmp_path / "out.ndjson"
    sizes = [10, 50 << 20, 10]
    with path.open("w") as file:
        for n, size in enumerate(sizes):
            file.write(json.dumps({"n": n, "text": "x" * size}) + "\n")
    done = headrace(
        "run", tmp_path / "notes.py", "--input", f"notes={path}", "--output", f"copies={out}",
        "--data-dir", tmp_path / "data", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["dead_letters"] == 0
    assert [(row["n"], len(row["text"])) for row in rows(out)] == list(enumerate(sizes))


def test_a_schema_that_changed_makes_old_records_dead_letters_and_the_rest_goes_on(tmp_path, settings):
    class Older(BaseModel):
        key: str
        n: int

    class Newer(BaseModel):
        key: str
        n: int
        unit: str

    def topology(schema):
        made = Topology("counted")
        source = made.source("in", topic="numbers", schema=schema, key=col.key)
        columns = {"unit": col.unit} if schema is Newer else {}
        source.map("out", n=col.n, **columns).sink("sink", topic="out")
        source.group_by("by-key", col.key).aggregate("totals", n=agg.sum(col.n))
        return made

    outputs = {"out": str(tmp_path / "out"), "counted.dead-letters": str(tmp_path / "dead")}
    with Worker([topology(Older)], settings, outputs=outputs, drain=True) as worker:
        worker.ingest("numbers", [b'{"key": "a", "n": 1}'])
        worker.run()
        worker.ingest("numbers", [b'{"key": "a", "n": 2}'])  # logged, and not yet processed
    with Worker([topology(Newer)], settings, outputs=outputs, drain=True) as worker:
        worker.ingest("numbers", [b'{"key": "a", "n": 4, "unit": "kg"}'])
        assert worker.run().ended
        assert next(iter(worker.engines["counted"].tables["totals"].scan()))["n"] == 5
    assert [row["n"] for row in rows(tmp_path / "out")] == [1, 4]
    assert [(row["value"], row["headrace-message"]) for row in rows(tmp_path / "dead")] == [
        ('{"key": "a", "n": 2}', "field 'unit': expected a value, got nothing: the field is missing")
    ]


def test_the_dead_letter_of_a_csv_row_says_what_is_wrong_with_the_row(tmp_path, settings):
    path = tmp_path / "in.csv"
    path.write_text('key,n\na,1\nb\n"c"x,3\nd,4\n')
    outputs = {"doubles": str(tmp_path / "out"), "double.dead-letters": str(tmp_path / "dead")}
    with Worker([doubling()], settings, inputs={"numbers": str(path)}, outputs=outputs) as worker:
        worker.run()
    assert [row["n"] for row in rows(tmp_path / "out")] == [2, 8]
    assert [(row["value"], row["headrace-message"]) for row in rows(tmp_path / "dead")] == [
        ("b", "record: expected 2 columns as in the header, got 1"),
        ('"c"x,3', "record: expected a row of CSV, got one that cannot be read (',' expected after '\"')"),
    ]


def test_a_last_line_without_a_newline_is_a_record(tmp_path, settings):
    path = tmp_path / "in.ndjson"
    path.write_text('{"key":"a","n":1}\n{"key":"a","n":2}')
    with Worker([doubling()], settings, inputs={"numbers": str(path)}) as worker:
        assert worker.run().records_in == 2


def test_a_followed_file_is_read_on_over_a_rotation(tmp_path, settings):
    path = Path(numbers(tmp_path / "in.ndjson", 1, 2))
    outputs = {"doubles": str(tmp_path / "out")}

    def worker():
        return Worker([doubling()], settings, inputs={"numbers": str(path)}, outputs=outputs, follow=True)

    with worker() as first, running(first):
        wait_until(lambda: len(rows(tmp_path / "out")) == 2)
        with path.open("a") as file:
            path.rename(tmp_path / "in.ndjson.1")
            file.write('{"key":"a","n":3}\n')
        numbers(path, 4)
        wait_until(lambda: len(rows(tmp_path / "out")) == 4)
    with path.open("a") as file:
        file.write('{"key":"a","n":5}\n')
    with worker() as second, running(second):
        wait_until(lambda: len(rows(tmp_path / "out")) == 5)
    assert [row["n"] for row in rows(tmp_path / "out")] == [2, 4, 6, 8, 10]


def test_a_followed_file_that_is_truncated_stops_the_run(tmp_path, settings):
    path = Path(numbers(tmp_path / "in.ndjson", 1, 2))
    outputs = {"doubles": str(tmp_path / "out")}
    with (
        Worker([doubling()], settings, inputs={"numbers": str(path)}, outputs=outputs, follow=True) as worker,
        running(worker) as errors,
    ):
        wait_until(lambda: len(rows(tmp_path / "out")) == 2)
        with path.open("w") as file:
            file.write('{"key":"a","n":33333}\n' * 10)
        wait_until(lambda: bool(errors))
    assert isinstance(errors[0], ConfigError)
    assert "it was replaced" in str(errors[0])


def test_an_output_file_that_is_removed_stops_the_run_and_nothing_is_lost(tmp_path, settings):
    outputs = {"doubles": str(tmp_path / "out")}
    with Worker([doubling()], settings, outputs=outputs) as worker, running(worker) as errors:
        worker.ingest("numbers", [b'{"key":"a","n":1}'])
        wait_until(lambda: len(rows(tmp_path / "out")) == 1)
        (tmp_path / "out").unlink()
        worker.ingest("numbers", [b'{"key":"a","n":2}'])
        wait_until(lambda: bool(errors))
    assert isinstance(errors[0], StateError)
    with Worker([doubling()], settings, outputs=outputs, drain=True) as worker:
        worker.run()
    assert [row["n"] for row in rows(tmp_path / "out")] == [4]
