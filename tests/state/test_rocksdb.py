"""What RocksDB adds to the contract: what is written stays, and a directory that cannot be used says why."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.errors import StateError, StateLocked
from headrace.state.protocol import Batch
from headrace.state.rocksdb import RocksBackend
from tests.skips import cannot

_NOBODY = 65534

STORES = ("one", "two", "three")


def put(backend: RocksBackend, store: str, key: bytes, value: bytes) -> None:
    batch = Batch()
    batch.put(store, key, value)
    backend.write(batch)


def child(code: str, *args: object) -> subprocess.Popen[str]:
    """Start a process that runs ``code`` with the package on its path."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Return a function that mounts a memory file system, or remounts it with other options."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = False

    def mount(options: str) -> Path:
        nonlocal mounted
        flags = f"remount,{options}" if mounted else options
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", flags, "tmpfs", str(disk)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            cannot(f"a small file system cannot be mounted here: {done.stderr.strip()}")
        mounted = True
        return disk

    if shutil.which("mount") is None:
        cannot("there is no mount command here")
    yield mount
    if mounted:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    first = RocksBackend(tmp_path / "deep" / "data")
    put(first, "s", b"k", b"v")
    first.close()
    second = RocksBackend(tmp_path / "deep" / "data")
    assert second.names() == ("s",)
    assert second.store("s").get(b"k") == b"v"
    second.close()


def test_an_open_scan_does_not_keep_the_directory_after_close(tmp_path: Path) -> None:
    first = RocksBackend(tmp_path)
    put(first, "s", b"a", b"1")
    put(first, "s", b"b", b"2")
    scan = first.store("s").scan()
    next(scan)
    first.close()
    RocksBackend(tmp_path).close()
    assert list(scan) == []


def test_memory_stays_within_the_budget_whatever_the_number_of_stores(tmp_path: Path) -> None:
    backend = RocksBackend(tmp_path, write_buffer_bytes=4 << 20, block_cache_bytes=1 << 20, fsync=False)
    for round_ in range(30):
        batch = Batch()
        for n in range(50):
            for row in range(20):
                batch.put(f"s{n}", b"%d-%d" % (round_, row), os.urandom(500))
        backend.write(batch)
        assert backend._budget.used < 10 << 20  # flushes may be under way
    assert len(list(backend.store("s7").scan())) == 600
    backend.close()


WRITER = """
import os, sys
from headrace.state.protocol import Batch
from headrace.state.rocksdb import RocksBackend
backend = RocksBackend(sys.argv[1], write_buffer_bytes=1 << 20)
n = int(backend.store("one").get(b"n") or 0)
print("ready", flush=True)
while True:
    n += 1
    batch = Batch()
    for store in ("one", "two", "three"):
        batch.put(store, b"n", b"%d" % n)
        for row in range(20):
            batch.put(store, b"row-%d" % row, b"%d " % n + os.urandom(400))
        batch.delete_range(store, b"batch-", b"batch-%010d" % n)
        batch.put(store, b"batch-%010d" % n, b"")
    backend.write(batch)
    print(n, flush=True)
"""


def whole_batches(path: Path) -> int:
    """Check that the directory holds batches 1 to n of WRITER and no part of another; return n."""
    backend = RocksBackend(path)
    (n,) = {int(backend.store(store).get(b"n") or 0) for store in STORES}
    for store in STORES:
        rows = dict(backend.store(store).scan())
        assert {int(value.split()[0]) for key, value in rows.items() if key.startswith(b"row-")} <= {n}
        assert [key for key in rows if key.startswith(b"batch-")] == ([b"batch-%010d" % n] if n else [])
    backend.close()
    return n


def test_a_killed_writer_leaves_whole_batches_and_all_that_it_was_told_are_written(tmp_path: Path) -> None:
    for batches in (1, 3, 40, 7, 90, 2):
        writer = child(WRITER, tmp_path)
        assert line_of(writer) == "ready"
        told = [int(line_of(writer)) for _ in range(batches)][-1]
        writer.kill()
        told = max([told, *(int(line) for line in writer.communicate()[0].splitlines() if line)])
        assert whole_batches(tmp_path) >= told


@pytest.mark.parametrize("lost", [1, 7, 100, 5_000, 33_000, 60_000])
def test_a_torn_write_leaves_whole_batches(tmp_path: Path, lost: int) -> None:
    writer = child(WRITER, tmp_path)
    assert line_of(writer) == "ready"
    for _ in range(15):
        line_of(writer)
    writer.kill()
    writer.communicate()
    log = max(tmp_path.glob("*.log"))
    size = log.stat().st_size
    os.truncate(log, max(size - lost, 0))
    whole_batches(tmp_path)


OWNER = """
import sys
from headrace.state.rocksdb import RocksBackend
backend = RocksBackend(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_directory_in_use_names_the_process_and_is_free_once_it_is_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert line_of(owner) == "ready"
    with pytest.raises(StateLocked) as caught:
        RocksBackend(tmp_path)
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    assert str(caught.value) == (
        f"data directory {tmp_path} is in use by another process (pid {owner.pid}). "
        "Stop that process, or choose another data directory"
    )
    assert "lock" in str(caught.value.__cause__).lower()
    RocksBackend(tmp_path).close()


def test_a_directory_opened_twice_in_one_process_is_locked(tmp_path: Path) -> None:
    backend = RocksBackend(tmp_path)
    with pytest.raises(StateLocked, match=f"pid {os.getpid()}"):
        RocksBackend(tmp_path)
    put(backend, "s", b"k", b"v")
    backend.close()


def test_a_read_only_opening_reads_and_takes_no_writes(tmp_path: Path) -> None:
    backend = RocksBackend(tmp_path)
    put(backend, "s", b"k", b"v")
    while_running = RocksBackend(tmp_path, read_only=True)
    put(backend, "s", b"k2", b"v2")
    backend.close()
    reader = RocksBackend(tmp_path, read_only=True)
    assert reader.names() == ("s",)
    assert list(reader.store("s").scan()) == [(b"k", b"v"), (b"k2", b"v2")]
    assert reader.store("none").get(b"k") is None
    assert reader.store("none").get_many([b"k"]) == [None]
    assert list(reader.store("none").scan()) == []
    with pytest.raises(StateError) as caught:
        put(reader, "s", b"k", b"v")
    assert str(caught.value) == f"nothing can be written: data directory {tmp_path} was opened read-only"
    assert list(while_running.store("s").scan()) == [(b"k", b"v")]
    reader.close()
    while_running.close()


def test_a_read_only_opening_of_nothing_is_refused_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StateError) as caught:
        RocksBackend(tmp_path / "none", read_only=True)
    assert str(caught.value) == (
        f"cannot open data directory {tmp_path / 'none'}: there is none. "
        "Check the path, or start a worker on it, which makes it"
    )
    assert not (tmp_path / "none").exists()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(StateError, match="a part of the path is a file"):
            RocksBackend(path)


def test_a_full_disk_stops_writing_loses_nothing_and_goes_on_when_there_is_space(
    mount: Callable[[str], Path],
) -> None:
    path = mount("size=16m") / "data"
    backend = RocksBackend(path, write_buffer_bytes=64 << 20)
    written = 0
    with pytest.raises(StateError) as caught:  # noqa: PT012 - until it is full
        while True:
            batch = Batch()
            batch.put("n", b"n", b"%d" % (written + 1))
            batch.put("s", b"%d" % written, os.urandom(300_000))
            backend.write(batch)
            written += 1
    assert str(caught.value).startswith(
        f"cannot write to data directory {path}: the disk is full, or a limit on its use was reached. "
        "Free space and start again: it goes on from the last complete write (IO error: No space left on device"
    )
    assert backend.store("n").get(b"n") == b"%d" % written
    mount("size=64m")
    with pytest.raises(StateError, match=r"nothing can be written: an earlier write failed\. .* the disk is full"):
        put(backend, "s", b"small", b"")
    backend.close()
    again = RocksBackend(path)
    assert again.store("n").get(b"n") == b"%d" % written
    assert len(list(again.store("s").scan())) == written
    put(again, "s", b"small", b"")
    again.close()


LIMITED = """
import os, resource, sys
from headrace.errors import StateError
from headrace.state.protocol import Batch
from headrace.state.rocksdb import RocksBackend
resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))
backend = RocksBackend(sys.argv[1], write_buffer_bytes=64 << 20)
written = 0
try:
    while True:
        batch = Batch()
        batch.put("s", b"%d" % written, os.urandom(100_000))
        backend.write(batch)
        written += 1
except StateError as error:
    print(written, error)
backend.close()
"""


def test_a_limit_on_file_size_is_a_full_disk(tmp_path: Path) -> None:
    limited = child(LIMITED, tmp_path)
    out, err = limited.communicate()
    assert limited.returncode == 0, err
    written = re.match(r"(\d+) cannot write to data directory .*: the disk is full, or a limit", out)
    assert written, out
    backend = RocksBackend(tmp_path)
    assert len(list(backend.store("s").scan())) == int(written[1])
    backend.close()


def test_a_read_only_file_system_is_named(mount: Callable[[str], Path]) -> None:
    disk = mount("size=32m")
    RocksBackend(disk / "data").close()
    mount("ro")
    for path in (disk / "data", disk / "new"):
        with pytest.raises(StateError) as caught:
            RocksBackend(path)
        assert str(caught.value).startswith(
            f"cannot open data directory {path}: the file system is read-only. "
            "Mount it writable, or choose another data directory ("
        )


def test_a_directory_without_permission_is_named() -> None:
    directory, user = Path(tempfile.mkdtemp()), os.geteuid()  # not in pytest's, that is open to its owner alone
    directory.chmod(0o555)
    if user == 0:  # whom permissions do not bind
        os.seteuid(_NOBODY)
    try:
        with pytest.raises(StateError, match="permission denied"):
            RocksBackend(directory / "data")
    finally:
        os.seteuid(user)
        directory.rmdir()


def damaged(path: Path) -> None:
    """Make a directory with 20,000 rows, and zeros over the middle of its table file."""
    backend = RocksBackend(path)
    batch = Batch()
    for n in range(20_000):
        batch.put("s", b"%08d" % n, os.urandom(50))
    backend.write(batch)
    backend.close()
    table = max(path.glob("*.sst"), key=lambda file: file.stat().st_size)
    with table.open("r+b") as file:
        file.seek(table.stat().st_size // 2)
        file.write(bytes(5000))


def test_a_damaged_block_is_an_error_and_never_the_silent_end_of_a_scan(tmp_path: Path) -> None:
    damaged(tmp_path)
    backend = RocksBackend(tmp_path)
    remedy = "files in it are damaged or missing. Restore it from a backup"
    with pytest.raises(StateError, match=remedy):
        list(backend.store("s").scan())
    with pytest.raises(StateError, match=remedy):
        backend.store("s").get_many([b"%08d" % n for n in range(9_000, 12_000)])
    with pytest.raises(StateError, match=remedy):
        [backend.store("s").get(b"%08d" % n) for n in range(9_000, 12_000)]
    assert len(list(backend.store("s").scan(b"", b"%08d" % 1000))) == 1000
    backend.close()


def test_a_missing_file_is_told_at_opening(tmp_path: Path) -> None:
    damaged(tmp_path)
    for table in tmp_path.glob("*.sst"):
        table.unlink()
    with pytest.raises(StateError, match="files in it are damaged or missing"):
        RocksBackend(tmp_path)


def test_the_package_and_the_memory_backend_load_no_rocksdb() -> None:
    code = "import sys, headrace.state, headrace.state.memory, headrace.state.keys; print('rocksdict' in sys.modules)"
    assert child(code).communicate()[0].strip() == "False"


def test_without_rocksdb_the_import_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['rocksdict'] = None\n"
        "try: import headrace.state.rocksdb\n"
        "except ImportError as error: print(error)"
    )
    assert child(code).communicate()[0].strip() == "a data directory needs RocksDB: pip install 'headrace[embedded]'"
