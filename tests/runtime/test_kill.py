"""Killed at any moment and started again: nothing lost, nothing twice."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.runtime import fleet_under_test as fleet

PROGRAM = Path(__file__).with_name("fleet_under_test.py")
KILLS = 20


def start(*args: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, str(PROGRAM), *map(str, args)], stdout=subprocess.PIPE, text=True)


def test_twenty_kills_lose_nothing_and_double_nothing(tmp_path):
    source, report, failures = (tmp_path / name for name in ("in.ndjson", "report.ndjson", "failures.ndjson"))
    args = (tmp_path / "data", source, report, failures)
    fleet.write_input(source, 300_000)
    pick = random.Random()
    kills = met = 0
    while kills < KILLS:
        before = failures.stat().st_size if failures.exists() else 0
        with start(*args) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            time.sleep(pick.uniform(0.0, 0.1))
            ended = process.poll() is not None
            process.kill()
        assert not ended, f"the run was over after {kills} kills: give it more input"
        kills += 1
        met += failures.stat().st_size > before
    assert met > KILLS // 4, "the kills came too early to meet a run at work"
    with start(*args) as process:
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert json.loads(out.splitlines()[-1])["ended"]
    assert [json.loads(line)["number"] for line in failures.read_text().splitlines()] == fleet.expected_failures(source)
    assert fleet.report(report.read_text().splitlines()) == fleet.expected_report(source)


def test_a_signal_makes_a_checkpoint_and_the_next_run_goes_on(tmp_path):
    source, report, failures = (tmp_path / name for name in ("in.ndjson", "report.ndjson", "failures.ndjson"))
    args = (tmp_path / "data", source, report, failures)
    fleet.write_input(source, 60_000)
    with start(*args) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        first = json.loads(process.stdout.readline())
        assert process.wait(30) == 0
    assert first["stopped"]
    assert 0 <= first["records_in"] < 60_000
    with start(*args) as process:
        second = json.loads(process.communicate(timeout=60)[0].splitlines()[-1])
    assert first["records_in"] + second["records_in"] == 60_000
    assert [json.loads(line)["number"] for line in failures.read_text().splitlines()] == fleet.expected_failures(source)
    assert fleet.report(report.read_text().splitlines()) == fleet.expected_report(source)
