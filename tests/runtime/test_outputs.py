"""Outputs: what a checkpoint wrote is there once, what it did not write is not there."""

import io
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from headrace.errors import ConfigError, StateError
from headrace.runtime.log import Log
from headrace.runtime.outputs import FileOutput, LogOutput, LogStaging, Outputs, StreamOutput
from headrace.runtime.partitioning import partition_for
from headrace.runtime.records import Records
from headrace.state.memory import MemoryBackend
from headrace.state.protocol import Batch


@pytest.fixture
def backend():
    return MemoryBackend()


def write(output, backend, *values):
    batch = Batch()
    output.stage(batch, Records(list(values)))
    backend.write(batch)
    output.committed()


def test_what_was_staged_and_not_committed_is_cut_off_at_the_next_start(tmp_path, backend):
    path = tmp_path / "out.ndjson"
    output = FileOutput(path, backend)
    write(output, backend, b"1", b"2")
    output.stage(Batch(), Records([b"3"]))
    output.close()
    assert path.read_bytes() == b"1\n2\n3\n"
    again = FileOutput(path, backend)
    assert path.read_bytes() == b"1\n2\n"
    write(again, backend, b"4")
    again.close()
    assert path.read_bytes() == b"1\n2\n4\n"


def test_what_a_first_checkpoint_left_behind_is_cut_off(tmp_path, backend):
    path = tmp_path / "out.ndjson"
    output = FileOutput(path, backend)
    output.stage(Batch(), Records([b"1"]))
    output.close()
    FileOutput(path, backend).close()
    assert path.read_bytes() == b""


def test_an_aborted_checkpoint_is_cut_off_at_once(tmp_path, backend):
    path = tmp_path / "out.ndjson"
    output = FileOutput(path, backend)
    write(output, backend, b"1")
    output.stage(Batch(), Records([b"2"]))
    output.abort()
    write(output, backend, b"3")
    output.close()
    assert path.read_bytes() == b"1\n3\n"


def test_a_file_of_somebody_else_is_not_overwritten(tmp_path, backend):
    path = tmp_path / "out.ndjson"
    path.write_text("precious")
    with pytest.raises(ConfigError) as caught:
        FileOutput(path, backend)
    assert str(caught.value) == (
        f"output file {path} holds 8 bytes that this data directory did not write. "
        "Move it away, or choose another file: nothing of it is overwritten."
    )
    assert path.read_text() == "precious"


def test_a_file_that_lost_a_part_is_refused_and_one_taken_away_is_begun_anew(tmp_path, backend):
    path = tmp_path / "out.ndjson"
    output = FileOutput(path, backend)
    write(output, backend, b"1", b"2")
    output.close()
    path.write_bytes(b"1\n")
    with pytest.raises(ConfigError, match="has 2 bytes, and 4 were written to it"):
        FileOutput(path, backend)
    path.unlink()
    again = FileOutput(path, backend)
    write(again, backend, b"3")
    again.close()
    assert path.read_bytes() == b"3\n"


def test_a_dead_letter_becomes_one_json_object_whatever_its_bytes(tmp_path, backend):
    path = tmp_path / "dead.ndjson"
    output = FileOutput(path, backend)
    headers = (("headrace-step", b"orders"), ("headrace-message", b"bad"))
    output.stage(Batch(), Records([b"a\nb", b"\xff{"], [b"k", None], [1, 2], [headers, headers]))
    output.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"headrace-step": "orders", "headrace-message": "bad", "key": "k", "value": "a\nb"},
        {"headrace-step": "orders", "headrace-message": "bad", "value": "�{", "value_base64": "/3s="},
    ]


def test_a_full_disk_is_a_state_error_and_leaves_the_committed_part(tmp_path):
    script = """
        import resource, sys
        from pathlib import Path
        from headrace.errors import StateError
        from headrace.runtime.outputs import FileOutput
        from headrace.runtime.records import Records
        from headrace.state.memory import MemoryBackend
        from headrace.state.protocol import Batch
        import signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        backend = MemoryBackend()
        output = FileOutput(Path(sys.argv[1]), backend)
        batch = Batch()
        output.stage(batch, Records([b"kept"]))
        backend.write(batch)
        output.committed()
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        try:
            output.stage(Batch(), Records([b"x" * 1000]))
        except StateError as error:
            print(error)
            output.abort()
    """
    path = tmp_path / "out.ndjson"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        f"output file {path} cannot be written: File too large. "
        "Free space or change its rights, then start again: nothing is lost, and nothing is written twice.\n"
    )
    assert path.read_bytes() == b"kept\n"


def test_a_directory_that_cannot_be_written_is_a_state_error(tmp_path, backend):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be written: File exists"):
        FileOutput(tmp_path / "file" / "out.ndjson", backend)


def test_standard_output_gets_what_was_committed_only(backend):
    stream = io.BytesIO()
    output = StreamOutput(stream)
    output.stage(Batch(), Records([b"1"]))
    assert stream.getvalue() == b""
    output.committed()
    output.stage(Batch(), Records([b"2"]))
    output.abort()
    output.committed()
    assert stream.getvalue() == b"1\n"


def test_a_reader_that_has_gone_is_told_once():
    class Gone(io.RawIOBase):
        def write(self, data):
            raise BrokenPipeError

    told = []
    output = StreamOutput(Gone(), on_closed=lambda: told.append(1))
    for _ in range(2):
        output.stage(Batch(), Records([b"1"]))
        output.committed()
    assert told == [1]


def log_values(log, topic):
    return {n: log.read(topic, n, 0).values for n in range(log.topics()[topic]) if log.end(topic, n)}


def test_records_of_one_key_keep_their_order_in_the_partition_of_the_key(backend):
    log = Log(backend)
    staging = LogStaging(log)
    output = LogOutput(staging, "out", 4, lambda: 7)
    batch = Batch()
    output.stage(batch, Records([b"1", b"2", b"3", b"4"], [b"ada", b"bob", b"ada", None]))
    backend.write(batch)
    staging.done()
    expected = {}
    for value, place in ((b"1", b"ada"), (b"2", b"bob"), (b"3", b"ada"), (b"4", None)):
        expected.setdefault(partition_for(place, 4) if place else 0, []).append(value)
    assert log_values(log, "out") == expected
    assert log_values(Log(backend), "out") == expected


def test_an_aborted_checkpoint_leaves_no_gap_in_the_log(backend):
    log = Log(backend)
    staging = LogStaging(log)
    output = LogOutput(staging, "out", 1, lambda: 7)
    output.stage(Batch(), Records([b"1"]))
    staging.abort()
    batch = Batch()
    output.stage(batch, Records([b"2"]))
    backend.write(batch)
    staging.done()
    assert log_values(log, "out") == {0: [b"2"]}
    assert log.end("out", 0) == 1


def test_a_topic_goes_to_its_file_and_to_the_log_if_it_is_read_as_well(tmp_path, backend):
    log = Log(backend)
    outputs = Outputs(LogStaging(log), lambda topic: 2, lambda: 7, read={"both": None})
    paths = {"both": str(tmp_path / "both"), "file": str(tmp_path / "file")}
    outputs.open(paths, backend, fsync=False, on_closed=lambda: None)
    batch = Batch()
    for topic in ("both", "file", "log"):
        outputs(topic).stage(batch, Records([topic.encode()]))
    backend.write(batch)
    outputs.done()
    outputs.close()
    assert Path(tmp_path / "both").read_bytes() == b"both\n"
    assert Path(tmp_path / "file").read_bytes() == b"file\n"
    assert log.topics() == {"both": 2, "log": 2}


def test_two_topics_cannot_share_a_file(tmp_path, backend):
    outputs = Outputs(LogStaging(Log(backend)), lambda topic: 1, lambda: 7, read={})
    path = str(tmp_path / "out")
    with pytest.raises(ConfigError, match="topics 'a' and 'b' both go to"):
        outputs.open({"a": path, "b": path}, backend, fsync=False, on_closed=lambda: None)
    outputs.close()


@pytest.mark.parametrize("change", ["removed", "renamed", "replaced", "cut"])
def test_a_file_that_is_taken_away_while_the_worker_runs_stops_it(tmp_path, backend, change):
    path = tmp_path / "out.ndjson"
    output = FileOutput(path, backend)
    write(output, backend, b"1")
    if change == "cut":
        path.write_bytes(b"")
    elif change == "removed":
        path.unlink()
    else:
        path.rename(tmp_path / "elsewhere")
        if change == "replaced":
            path.write_bytes(b"")
    with pytest.raises(StateError, match="Nothing that was to be written now counts as written"):
        output.stage(Batch(), Records([b"2"]))
    output.abort()
    output.close()
    assert backend.store("files").get(str(path).encode()) == b"2"


@pytest.mark.parametrize("link", ["symbolic", "hard", "directory"])
def test_two_topics_cannot_share_a_file_by_another_name_of_it(tmp_path, backend, link):
    (tmp_path / "real").mkdir()
    path, other = tmp_path / "real" / "out", tmp_path / "real" / "other"
    if link == "symbolic":
        other.symlink_to(path)
    elif link == "hard":
        path.write_bytes(b"")
        other.hardlink_to(path)
    else:
        (tmp_path / "alias").symlink_to(tmp_path / "real")
        other = tmp_path / "alias" / "out"
    outputs = Outputs(LogStaging(Log(backend)), lambda topic: 1, lambda: 7, read={})
    with pytest.raises(ConfigError, match="topics 'a' and 'b' both go to"):
        outputs.open({"a": str(path), "b": str(other)}, backend, fsync=False, on_closed=lambda: None)
    outputs.close()


def opened(backend, **paths):
    outputs = Outputs(LogStaging(Log(backend)), lambda topic: 1, lambda: 7, read={})
    try:
        outputs.open(paths, backend, fsync=False, on_closed=lambda: None)
    except BaseException:
        outputs.close()
        raise
    return outputs


def test_a_device_takes_records_as_a_stream(backend):
    outputs = opened(backend, t="/dev/null", u="/dev/null")
    for topic in ("t", "u"):
        write(outputs(topic), backend, b"1")
    outputs.abort()
    outputs.close()


def test_a_device_that_is_full_is_a_state_error(backend):
    outputs = opened(backend, t="/dev/full")
    with pytest.raises(StateError, match="No space left on device"):
        write(outputs("t"), backend, b"1")
    outputs.abort()
    outputs.close()


def test_a_pipe_takes_records_while_somebody_reads_it(tmp_path, backend):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="nobody reads this pipe: start its reader first"):
        opened(backend, t=str(path))
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    outputs = opened(backend, t=str(path))
    write(outputs("t"), backend, b"1", b"2")
    assert os.read(reader, 100) == b"1\n2\n"
    os.close(reader)
    write(outputs("t"), backend, b"3")
    outputs.close()
