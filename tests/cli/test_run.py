"""``headrace run`` on real input, in a process of its own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.cli.commands import ORDERS, command, environment, headrace, running
from tests.skips import cannot

INPUT = ("--input", "orders=orders.ndjson")
NDJSON = {"content-type": "application/x-ndjson"}


def _lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_file_is_run_to_its_end(fleet: Path) -> None:
    done = headrace("run", "shop.py", *INPUT, "--output", "big-orders=big.ndjson", cwd=fleet)

    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines()[-1].startswith("done: 4 in, 5 out, ")
    assert [order["id"] for order in _lines(fleet / "big.ndjson")] == ["1", "3"]


def test_results_go_to_stdout_on_request(fleet: Path) -> None:
    done = headrace("run", "shop.py", *INPUT, "--output", "revenue-per-minute=-", cwd=fleet)

    rows = [json.loads(line) for line in done.out.splitlines()]
    assert {(row["country"], row["window_start"][11:16], row["total"]) for row in rows} == {
        ("DE", "12:00", 350),
        ("FR", "12:00", 7),
        ("DE", "12:01", 1),
    }


def test_standard_input_is_read_to_its_end(fleet: Path) -> None:
    done = headrace(
        "run", "shop.py", "--input", "orders=-", "--output", "big-orders=big.ndjson", cwd=fleet, stdin=ORDERS
    )

    assert done.code == 0
    assert len(_lines(fleet / "big.ndjson")) == 2


def test_a_second_run_finds_nothing_new(fleet: Path) -> None:
    args = ("run", "shop.py", *INPUT, "--output", "big-orders=big.ndjson")
    headrace(*args, cwd=fleet)
    done = headrace(*args, "--json", cwd=fleet)

    assert (done.code, json.loads(done.out)["records_in"]) == (0, 0)
    assert len(_lines(fleet / "big.ndjson")) == 2


def test_a_second_run_says_why_nothing_is_new(fleet: Path) -> None:
    first = headrace("run", "shop.py", *INPUT, cwd=fleet)
    again = headrace("run", "shop.py", *INPUT, cwd=fleet)
    hint = "nothing is new: the input was read to its end before. Another --data-dir than .headrace reads it again\n"
    assert hint not in first.err
    assert again.err.endswith(hint)
    (fleet / "orders.ndjson").write_text(ORDERS + ORDERS)
    assert hint not in headrace("run", "shop.py", *INPUT, cwd=fleet).err


def test_an_output_that_is_gone_is_begun_anew_with_a_warning(fleet: Path) -> None:
    args = ("run", "shop.py", *INPUT, "--output", "big-orders=big.ndjson")
    assert "begun anew" not in headrace(*args, cwd=fleet).err
    size = (fleet / "big.ndjson").stat().st_size
    (fleet / "big.ndjson").unlink()
    told = headrace(*args, cwd=fleet).err.splitlines()[0]
    assert told == f"{fleet / 'big.ndjson'} is not there any more, and {size} bytes were: it is begun anew"
    assert "begun anew" not in headrace(*args, cwd=fleet).err


def test_a_csv_without_a_column_that_is_needed_is_refused(fleet: Path) -> None:
    (fleet / "orders.csv").write_text("id,amount,at\n1,100,2024-05-01T12:00:00Z\n")
    done = headrace("run", "shop.py", "--input", "orders=orders.csv", cwd=fleet)
    assert (done.code, done.err) == (
        2,
        f"headrace: {fleet / 'orders.csv'} has no column 'country'; it has id, amount, at\n",
    )


def test_the_summary_is_json_on_request(fleet: Path) -> None:
    found = json.loads(headrace("run", "shop.py", *INPUT, "--json", cwd=fleet).out)

    assert {name: found[name] for name in ("records_in", "records_out", "dead_letters", "late", "ended")} == {
        "records_in": 4,
        "records_out": 5,
        "dead_letters": 0,
        "late": 0,
        "ended": True,
    }


def test_dead_letters_are_a_failure_on_request(fleet: Path) -> None:
    (fleet / "orders.ndjson").write_text("not json\n")

    assert headrace("run", "shop.py", *INPUT, "--fail-on-dead-letters", cwd=fleet).code == 1
    (fleet / "orders.ndjson").write_text(ORDERS)
    assert headrace("run", "shop.py", *INPUT, "--fail-on-dead-letters", "--data-dir", "other", cwd=fleet).code == 0


def test_dead_letters_are_told_and_are_no_failure(fleet: Path) -> None:
    (fleet / "orders.ndjson").write_text(ORDERS + '{"id": "5", "country": "DE", "amount": -1}\nnot json\n')
    done = headrace("run", "shop.py", *INPUT, cwd=fleet)

    assert done.code == 0
    assert "2 records are in shop.dead-letters: headrace topics tail shop.dead-letters shows why" in done.err
    letters = headrace("topics", "tail", "shop.dead-letters", "--json", cwd=fleet).out.splitlines()
    assert len({json.loads(letter)["headers"]["headrace-offset"] for letter in letters}) == 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--input", "orders"), "--input: expected TOPIC=PATH, got 'orders'"),
        (("--input", "orders=nope.ndjson"), "there is no input 'nope.ndjson'"),
        (("--input", "oders=orders.ndjson"), "input for topic 'oders': no topology reads it"),
        (
            ("--input", "orders=pyproject.toml"),
            "--input orders=pyproject.toml: a file without a known suffix is read as",
        ),
        ((*INPUT, "--output", "big-orders=big.csv"), "--output big-orders=big.csv: outputs are NDJSON, not .csv"),
        ((*INPUT, "--cache", "much"), "--cache: expected a size such as 64MB or 1GB, got 'much'"),
        ((*INPUT, "--checkpoint-interval", "0s"), "--checkpoint-interval: expected a duration above zero, got '0s'"),
        (
            (*INPUT, "--checkpoint-interval", "5"),
            "--checkpoint-interval: expected a duration such as 100ms, 90s or 1h30m, got '5'\n",
        ),
        ((*INPUT, "--http", "8642"), "--http: expected HOST:PORT such as 127.0.0.1:8642, got '8642'"),
        ((*INPUT, "--http", "127.0.0.1:0", "--no-http"), "expected --http or --no-http, got both"),
        ((*INPUT, "--output", "big-orders=-", "--json"), "--json and --output TOPIC=- would both write to stdout"),
        ((*INPUT, "--output", "big-orders=a", "--output", "big-orders=b"), "--output: topic 'big-orders' has several"),
    ],
)
def test_wrong_arguments_exit_with_2_and_touch_nothing(fleet: Path, args: tuple[str, ...], message: str) -> None:
    (fleet / "pyproject.toml").write_text('[project]\nname = "shop"\n')
    done = headrace("run", "shop.py", *args, cwd=fleet)

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"headrace: {message}")
    assert not (fleet / ".headrace").exists()


def test_a_file_of_another_suffix_is_read_if_it_begins_as_ndjson(fleet: Path) -> None:
    (fleet / "orders.log").write_text("\n" + ORDERS)

    assert "done: 4 in" in headrace("run", "shop.py", "--input", "orders=orders.log", cwd=fleet).err


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("CACHE_BYTES", "bogus", "HEADRACE_CACHE_BYTES: "),
        ("FSYNC", "perhaps", "HEADRACE_FSYNC: "),
        ("LOG_RETENTION", "long", "HEADRACE_LOG_RETENTION: "),
        ("MAX_RECORD_BYTES", "-1", "HEADRACE_MAX_RECORD_BYTES: "),
        ("CHECKPOINT_INTERVAL", "soon", "HEADRACE_CHECKPOINT_INTERVAL: "),
    ],
)
def test_a_wrong_setting_of_the_environment_is_refused(
    fleet: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(f"HEADRACE_{name}", value)
    done = headrace("run", "shop.py", *INPUT, cwd=fleet)

    assert done.code == 2
    assert message in done.err


def test_options_win_over_the_environment(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CACHE_BYTES", "bogus")
    monkeypatch.setenv("HEADRACE_DATA_DIR", "from-environment")
    monkeypatch.setenv("HEADRACE_PARTITIONS", "3")

    assert headrace("run", "shop.py", *INPUT, "--cache", "8MB", cwd=fleet).code == 0
    assert json.loads((fleet / "from-environment/headrace.json").read_text())["partitions"] == 3
    assert len(json.loads(headrace("query", "revenue", "--json", cwd=fleet).out)) == 3
    assert headrace("run", "shop.py", *INPUT, "--cache", "8MB", "--data-dir", "given", cwd=fleet).code == 0
    assert (fleet / "given/headrace.json").exists()


def test_the_longest_record_can_be_set(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_MAX_RECORD_BYTES", "1KiB")
    monkeypatch.setenv("HEADRACE_READ_BYTES", "512")
    (fleet / "orders.ndjson").write_text(ORDERS.replace('"1"', f'"{"x" * 5_000}"'))
    found = json.loads(headrace("run", "shop.py", *INPUT, "--json", cwd=fleet).out)

    assert (found["records_in"], found["dead_letters"]) == (4, 1)


def test_a_directory_of_something_else_exits_with_3(fleet: Path) -> None:
    done = headrace("run", "shop.py", *INPUT, "--data-dir", ".", cwd=fleet)

    assert done.code == 3
    assert "is no data directory of Headrace" in done.err


def test_a_data_directory_in_use_exits_with_3_and_names_the_process(fleet: Path) -> None:
    with running("shop.py", cwd=fleet) as worker:
        done = headrace("run", "shop.py", "--no-http", cwd=fleet)

        assert done.code == 3
        assert f"in use by another process (pid {worker.process.pid})" in done.err


def test_http_events_are_processed_and_queried_while_the_worker_runs(fleet: Path) -> None:
    with running("shop.py", "--checkpoint-interval", "10ms", cwd=fleet) as worker:
        reply = httpx.post(f"{worker.url}/topics/orders", content=ORDERS, headers=NDJSON, trust_env=False)
        assert reply.json() == {"accepted": 4}
        for _ in range(100):  # each query is a process start: time enough
            rows = json.loads(headrace("query", "revenue", "DE", "--json", cwd=fleet).out)
            if [row["total"] for row in rows] == [350, 1]:
                break
        assert [row["total"] for row in rows] == [350, 1]
        assert httpx.get(f"{worker.url}/status", trust_env=False).json()["records_in"] == 4


def test_ctrl_c_makes_a_checkpoint_and_exits_with_130(fleet: Path) -> None:
    with running("shop.py", "--checkpoint-interval", "1h", cwd=fleet) as worker:
        httpx.post(f"{worker.url}/topics/orders", content=ORDERS, headers=NDJSON, trust_env=False)
        done = worker.stop(signal.SIGINT)

    assert done.code == 130
    assert done.err.splitlines()[-1].startswith("stopped: ")
    assert not (fleet / ".headrace" / "http.url").exists()
    headrace("run", "shop.py", "--drain", cwd=fleet)
    rows = json.loads(headrace("query", "revenue", "--json", cwd=fleet).out)
    assert sum(int(row["orders"]) for row in rows) == 4


def test_sigterm_makes_a_checkpoint_and_exits_with_0(fleet: Path) -> None:
    with running("shop.py", cwd=fleet) as worker:
        assert worker.stop(signal.SIGTERM).code == 0


def test_a_killed_worker_goes_on_where_it_was(fleet: Path) -> None:
    with running("shop.py", cwd=fleet) as worker:
        httpx.post(f"{worker.url}/topics/orders", content=ORDERS, headers=NDJSON, trust_env=False)
        worker.stop(signal.SIGKILL)
    done = headrace("run", "shop.py", "--drain", cwd=fleet)

    assert done.code == 0
    rows = json.loads(headrace("query", "revenue", "--json", cwd=fleet).out)
    assert sum(int(row["orders"]) for row in rows) == 4


def test_partitions_of_an_existing_directory_are_kept(fleet: Path) -> None:
    headrace("run", "shop.py", *INPUT, "--partitions", "2", cwd=fleet)

    assert headrace("run", "shop.py", *INPUT, cwd=fleet).code == 0
    assert headrace("run", "shop.py", *INPUT, "--partitions", "3", cwd=fleet).code == 3


SECOND = """
returns = topology.source("returns", topic="returns", schema=Order, time=col.at)
returns.sink("returned", topic="returned")
"""


def test_a_topic_that_waits_for_http_is_named_at_the_start(fleet: Path) -> None:
    shop = fleet / "shop.py"
    shop.write_text(shop.read_text() + SECOND)
    with running("shop.py", *INPUT, cwd=fleet) as worker:
        assert worker.process.stderr is not None
        assert worker.process.stderr.readline() == (
            "topic returns has no --input: waiting for events over HTTP; Ctrl-C ends\n"
        )
    with running("shop.py", cwd=fleet) as worker:
        assert worker.process.stderr is not None
        assert worker.process.stderr.readline().startswith("topics orders, returns have no --input: waiting ")


def test_a_usual_port_that_is_taken_is_told_with_the_one_in_its_place(fleet: Path) -> None:
    holder = socket.socket()
    with suppress(OSError):  # taken by somebody else: as good
        holder.bind(("127.0.0.1", 8642))
        holder.listen()
    process = subprocess.Popen(
        command("run", "shop.py"), cwd=fleet, env=environment(), stderr=subprocess.PIPE, text=True
    )
    with holder, process:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.kill()
    assert first.startswith("port 8642 is taken (by another worker?): listening on http://127.0.0.1:")


def test_a_disk_that_is_full_exits_with_3_and_loses_nothing(fleet: Path) -> None:
    disk = fleet / "small"
    with _disk(disk, "8m"):
        minute = ORDERS.replace("12:01:00", "12:00:00")  # nothing is late
        (fleet / "orders.ndjson").write_text(
            "".join(minute.replace('"id": "', f'"id": "{n:0500}-') for n in range(9_000))
        )
        args = ("run", "shop.py", *INPUT, "--data-dir", str(disk / "data"))
        full = headrace(*args, cwd=fleet)
        _mount("-o", "remount,size=256m", str(disk))
        again = headrace(*args, cwd=fleet)
        rows = json.loads(headrace("query", "revenue", "--json", "--data-dir", f"{disk}/data", cwd=fleet).out)

    assert full.code == 3, full.err
    assert "Traceback" not in full.err
    assert again.code == 0, again.err
    assert sum(row["orders"] for row in rows) == 36_000


def test_a_disk_that_is_read_only_exits_with_3(fleet: Path) -> None:
    disk = fleet / "small"
    with _disk(disk, "32m"):
        args = ("run", "shop.py", *INPUT, "--data-dir", str(disk / "data"))
        assert headrace(*args, cwd=fleet).code == 0
        _mount("-o", "remount,ro", str(disk))
        done = headrace(*args, cwd=fleet)

    assert done.code == 3, done.err
    assert "Traceback" not in done.err
    assert done.err.startswith("headrace: ")


def _mount(*args: str) -> None:
    subprocess.run(["mount", *args], check=True, capture_output=True)


@contextmanager
def _disk(place: Path, size: str) -> Iterator[None]:
    """Mount a file system in memory of a size."""
    place.mkdir()
    try:
        _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
    except (OSError, subprocess.CalledProcessError) as error:
        cannot(f"mounting a small file system takes root: {error}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True, capture_output=True)
