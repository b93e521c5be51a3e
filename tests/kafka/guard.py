"""Run a command until it ends or its owner does: ``python guard.py OWNER PIDFILE LOG COMMAND...``.

A test run that is killed stops no fixture; without a guard its brokers would stay. Returns as soon as the command
runs; the command is no child of the caller, so any process may stop it by its pid and none has to reap it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_POLL_S = 0.2


def alive(pid: int) -> bool:
    """Return whether a process with this pid runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def watch(owner: int, pidfile: Path, log: Path, command: list[str]) -> None:
    """Start the command, leave its pid, and wait for its end or its owner's."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    partial = pidfile.with_suffix(".partial")
    partial.write_text(str(process.pid))
    partial.rename(pidfile)
    while True:
        try:
            process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            if alive(owner):
                continue
            process.kill()
            process.wait()
        return


if __name__ == "__main__":
    if os.fork() == 0:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)
        watch(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
