"""Processes are kept running, and stopped together. The processes here are small scripts, not workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from headrace.kafka.supervisor import Child, Restarts
from tests.cli.commands import ROOT

SUPERVISE = """
import logging, sys
from headrace.kafka.supervisor import Child, Restarts, supervise
logging.basicConfig(level=logging.INFO, format="%(message)s")
restarts = Restarts(first_s=0.1, longest_s=0.4, healthy_s=60, most=4, stop_s=3)
scripts = dict(arg.split("=", 1) for arg in sys.argv[1:])
children = [Child(name, (sys.executable, "-c", script), {}) for name, script in scripts.items()]
sys.exit(supervise(children, restarts))
"""
OBEDIENT = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
print("up", flush=True)
time.sleep(60)
"""


def start(**scripts: str) -> subprocess.Popen[str]:
    arguments = [f"{name}={script}" for name, script in scripts.items()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", SUPERVISE, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def until_up(supervisor: subprocess.Popen[str], count: int) -> None:
    assert supervisor.stdout is not None
    while count:
        count -= supervisor.stdout.readline() == "up\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_reaches_every_process_and_one_code_comes_back(number: int, code: int) -> None:
    with start(a=OBEDIENT, b=OBEDIENT) as supervisor:
        until_up(supervisor, 2)
        supervisor.send_signal(number)
        log, _ = supervisor.communicate(timeout=10)
    assert supervisor.returncode == code, log
    assert f"{number.name}: passing it on to 2 processes" in log


def test_a_process_that_dies_is_started_again_and_later_each_time(tmp_path: Path) -> None:
    times = tmp_path / "times"
    flaky = f"""
import os, signal, time
with open({str(times)!r}, "a") as file:
    print(time.time(), file=file)
if len(open({str(times)!r}).readlines()) < 4:
    os.kill(os.getpid(), signal.SIGKILL)
{OBEDIENT}"""
    with start(flaky=flaky, other=OBEDIENT) as supervisor:
        until_up(supervisor, 2)
        supervisor.terminate()
        log, _ = supervisor.communicate(timeout=10)
    assert supervisor.returncode == 0, log
    began = [float(line) for line in times.read_text().splitlines()]
    pauses = [after - before for before, after in pairwise(began)]
    assert [pause > least for pause, least in zip(pauses, (0.1, 0.2, 0.4), strict=True)] == [True] * 3


@pytest.mark.parametrize(
    ("script", "code", "why"),
    [
        ("raise SystemExit(2)", 2, "bad ended with exit code 2 (a restart would not help): stopping all"),
        ("raise SystemExit(3)", 3, "bad ended with exit code 3 (a restart would not help): stopping all"),
        ("raise SystemExit(1)", 1, "bad ended with exit code 1 (4 times in a row): stopping all"),
    ],
)
def test_a_process_that_cannot_go_on_ends_all_with_its_code(script: str, code: int, why: str) -> None:
    with start(good=OBEDIENT, bad=script) as supervisor:
        log, _ = supervisor.communicate(timeout=20)
    assert supervisor.returncode == code, log
    assert why in log


def test_a_process_that_does_not_stop_is_killed_within_the_bound() -> None:
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)" + OBEDIENT.replace("sys.exit(0)", "None")
    with start(deaf=deaf, good=OBEDIENT) as supervisor:
        until_up(supervisor, 2)
        began = time.monotonic()
        supervisor.terminate()
        log, _ = supervisor.communicate(timeout=20)
    assert supervisor.returncode == 1, log
    assert 3 <= time.monotonic() - began < 6
    assert "killing what did not stop in 3 s: deaf" in log


def test_a_process_that_fails_while_it_stops_is_told_by_the_code() -> None:
    with start(bad=OBEDIENT.replace("sys.exit(0)", "sys.exit(1)"), good=OBEDIENT) as supervisor:
        until_up(supervisor, 2)
        supervisor.terminate()
        log, _ = supervisor.communicate(timeout=20)
    assert supervisor.returncode == 1, log
    assert "bad ended with exit code 1 while stopping" in log


def test_the_environment_of_a_process_is_not_shown() -> None:
    assert "hunter2" not in repr(Child("a", ("true",), {"HEADRACE_SASL_PASSWORD": "hunter2"}))


def test_pauses_between_restarts_are_bounded() -> None:
    assert [Restarts().pause_s(failures) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 30, 30, 30]
