"""The console blocks of the README's part "Try it" run as they stand there, on directories of their own."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from tests.cli.commands import environment, headrace, running
from tests.docs.test_examples import ROOT, Block, blocks, commands
from tests.skips import cannot

HEADRACE = ".venv/bin/headrace"


def console() -> list[Block]:
    """Return the blocks between "Try it" and "On Kafka"."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    begin, end = lines.index("## Try it"), lines.index("## On Kafka")
    return [b for b in blocks(ROOT / "README.md") if b.language == "console" and begin < b.line < end]


def test_the_targets_of_make_are_there() -> None:
    first, *_ = console()
    for command in commands(first):
        words = shlex.split(command, comments=True)
        assert words[0] == "make"
        done = subprocess.run(
            [*words, "--dry-run"], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_the_commands_after_it_run(tmp_path: Path) -> None:
    words = [shlex.split(command, comments=True) for command in commands(console()[1])]
    assert [one[:2] for one in words] == [[HEADRACE, name] for name in ("init", "run", "plan", "query")]
    init, run, plan, query = (one[1:] for one in words)
    data = ["--data-dir", str(tmp_path / "data")]
    made = headrace(*(word.replace("..", str(tmp_path)) for word in init), cwd=ROOT)
    assert (made.code, (tmp_path / "my-fleet" / "README.md").exists()) == (0, True), made.err
    planned = headrace(*plan, cwd=ROOT)
    assert (planned.code, "def " in planned.out) == (0, True), planned.err
    with running(*run[1:], *data, cwd=ROOT) as worker:
        asked = headrace(*query, *data, cwd=ROOT)
        assert (asked.code, "order-revenue" in asked.out + asked.err) == (0, True), asked
        assert worker.stop(signal.SIGTERM).code == 0
    offline = headrace(*query, *data, cwd=ROOT)
    assert (offline.code, offline.out) == (0, asked.out), offline


def test_the_commits_of_a_repository_go_through_a_pipe(tmp_path: Path) -> None:
    counted = subprocess.run(
        ["git", "rev-list", "--count", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if counted.returncode:
        cannot(f"this is no clone: {counted.stderr.strip()}")
    program = "\n".join(commands(console()[2])).replace(HEADRACE, f"{sys.executable} -m headrace.cli.main")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{program} --json"],
        cwd=ROOT,
        env={**environment(), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert sum(int(number) for number in re.findall(r'"commits": ?(\d+)', done.stdout)) == int(counted.stdout)
