"""The command line as a whole: help, version, errors, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import ROOT, command, environment, headrace


def _least_cpu_seconds(args: list[str]) -> float:
    """Return processor time: the machine may be busy with other tests."""

    def once() -> float:
        with subprocess.Popen(args, env=environment(), stdout=subprocess.DEVNULL) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return usage.ru_utime + usage.ru_stime

    return min(once() for _ in range(5))


def test_completion_can_be_shown_and_set_up() -> None:
    done = headrace("--help", cwd=ROOT)
    assert "--show-completion" in done.out
    assert "--install-completion" in done.out


def test_help_takes_less_than_half_a_second_over_python_itself() -> None:
    assert _least_cpu_seconds(command("--help")) - _least_cpu_seconds([sys.executable, "-c", "pass"]) < 0.5


@pytest.mark.parametrize("name", ["run", "plan", "query", "topics", "init", "schema"])
def test_help_names_every_command(tmp_path: Path, name: str) -> None:
    done = headrace("--help", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert f"\n  {name} " in done.out


def test_help_loads_nothing_that_is_slow(tmp_path: Path) -> None:
    probe = (
        "import sys; from headrace.cli import main; slow = 'rich fastapi uvicorn httpx rocksdict pyarrow lark'; "
        "print([m for m in slow.split() if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], env=environment(), capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == "[]\n"


def test_version_is_printed(tmp_path: Path) -> None:
    done = headrace("--version", cwd=tmp_path)
    assert (done.code, done.out.split()[0]) == (0, "headrace")


@pytest.mark.parametrize(
    "args", [("nonsense",), ("run",), ("plan", "shop.py", "--nonsense"), ("topics", "tail"), ("query", "--limit", "0")]
)
def test_wrong_usage_exits_with_2(fleet: Path, args: tuple[str, ...]) -> None:
    done = headrace(*args, cwd=fleet)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err


def test_an_error_is_its_message_without_a_traceback(fleet: Path) -> None:
    done = headrace("plan", "nope.py", cwd=fleet)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("headrace: there is no file 'nope.py'")
    assert "Traceback" not in done.err


def test_debug_shows_the_traceback_and_keeps_the_exit_code(fleet: Path) -> None:
    done = headrace("--debug", "plan", "nope.py", cwd=fleet)
    assert done.code == 2
    assert "Traceback" in done.err


def test_a_fault_of_the_topology_is_listed_and_exits_with_2(fleet: Path) -> None:
    shop = fleet / "shop.py"
    shop.write_text(shop.read_text().replace("col.amount >= 100", "col.amont >= 100"))
    done = headrace("plan", "shop.py", cwd=fleet)
    assert done.code == 2
    assert done.err.startswith("headrace: topology 'shop' has 1 fault:\n  1. step 'big'")
