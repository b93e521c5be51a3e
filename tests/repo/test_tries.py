"""Which failures of a test on a broker get a further try: those of time, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = "from tests.conftest import *\n"
BROKEN = """
import subprocess
import pytest
from tests.kafka.tries import TooSlow

times = []

def once(name, error):
    times.append(name)
    if times.count(name) == 1:
        raise error

def test_slow():
    once("slow", TooSlow("not yet"))

def test_nothing_in_time():
    once("nothing", ExceptionGroup("all", [TimeoutError(), subprocess.TimeoutExpired("x", 1)]))

def test_wrong():
    once("wrong", AssertionError("2 twice"))

def test_wrong_and_slow():
    once("both", ExceptionGroup("both", [TimeoutError(), AssertionError("2 twice")]))

@pytest.mark.faults
def test_of_faults():
    once("faults", TooSlow("not yet"))

def test_always_slow():
    times.append("always")
    raise TooSlow("never")

def test_how_often():
    names = ("slow", "nothing", "wrong", "both", "faults", "always")
    assert [times.count(name) for name in names] == [2, 2, 1, 1, 1, 2]
"""


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_only_what_was_too_slow_is_tried_again_and_the_summary_says_so(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pytester.makeini("[pytest]\nmarkers = faults\n")
    pytester.makeconftest(CONFTEST)
    room = pytester.mkdir("kafka")
    (room / "test_broken.py").write_text(BROKEN)
    result = pytester.runpytest_subprocess(*workers)
    result.assert_outcomes(passed=3, failed=4)
    result.stdout.fnmatch_lines(["*tried again, too slow: 3*", "*test_always_slow: 2 tries", "*test_slow: 2 tries"])
