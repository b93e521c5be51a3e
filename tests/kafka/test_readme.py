"""The commands of the README's part about Kafka run as they stand there, in their order."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.commands import ROOT
from tests.kafka.broker import HOST, Broker, free_ports
from tests.kafka.fleets import Process, Shop
from tests.kafka.support import unique


def commands() -> list[list[str]]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text[text.index("## On Kafka") :]
    block = section[: section.index("\n```\n")]
    return [shlex.split(line, comments=True) for line in re.findall(r"^\$ (.*)$", block, re.M)]


def two_ports() -> int:
    """Return the first of two free ports side by side."""
    while True:
        (port,) = free_ports(1)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port + 1))
            return port


def test_the_script_starts_a_broker_and_ends_it(tmp_path: Path, bootstrap: str) -> None:
    port, file = two_ports(), tmp_path / "log"
    command = [str(ROOT / "scripts/kafka"), str(tmp_path / "broker"), "--port", str(port), "--heap", "256m"]
    with file.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as script:
        process = Process(script, file)
        try:
            process.until(f"on {HOST}:{port}, data and log in {tmp_path / 'broker'}. Ctrl-C ends it.\n")
            with socket.create_connection((HOST, port), timeout=5):
                pass
            assert process.stop(signal.SIGINT) == 0, process.log
        finally:
            script.kill()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port), timeout=5)


def test_the_commands_of_the_readme_run(tmp_path: Path, own_broker: Broker) -> None:
    bootstrap = own_broker.bootstrap  # its own: the topics have the names of the reference fleet
    group = unique("readme")
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "HEADRACE_BROKERS": bootstrap,
        "HEADRACE_GROUP": group,
        "HEADRACE_STATE_DIR": str(tmp_path / "state"),
    }
    found = commands()
    assert found[0] == ["scripts/kafka"]
    assert found[1][:1] == ["export"]
    shop = Shop(group, tmp_path, bootstrap, {})
    for words in found[2:]:
        assert words[0] in (".venv/bin/headrace", ".venv/bin/python")
        program = [sys.executable, *(["-m", "headrace.cli.main"] if words[0].endswith("headrace") else [])]
        arguments = [word.replace("/tmp/day", str(tmp_path / "day")) for word in words[1:]]
        if arguments[0] != "worker":
            done = subprocess.run(
                [*program, *arguments],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
            continue
        file = tmp_path / "log"
        with file.open("wb") as output:
            fleet = subprocess.Popen([*program, *arguments], cwd=ROOT, env=environment, stdout=output, stderr=output)
        with fleet:
            try:
                process = Process(fleet, file)
                process.until("running: ", times=2)
                end = time.monotonic() + 90
                while not all(
                    shop.records(topic) for topic in ("commerce.revenue-per-hour", "order-revenue.dead-letters")
                ):
                    assert time.monotonic() < end, process.log
                    time.sleep(0.5)
                assert process.stop(15) == 0, process.log
            finally:
                fleet.kill()
