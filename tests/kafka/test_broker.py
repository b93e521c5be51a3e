"""The harness itself: what the tests of faults rely on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from headrace.kafka.errors import UnreachableError
from headrace.kafka.model import Partition
from tests.kafka.broker import Broker
from tests.kafka.guard import alive
from tests.kafka.support import client, columns, read, run, topic, values, write


def test_records_survive_a_restart_and_a_kill(own_broker: Broker) -> None:
    async def scenario() -> list[bytes | None]:
        name = await topic(own_broker.bootstrap)
        await write(own_broker.bootstrap, name, columns(b"1"))
        own_broker.restart()
        await write(own_broker.bootstrap, name, columns(b"2"))
        own_broker.kill()
        assert not own_broker.running
        own_broker.start()
        return values(await read(own_broker.bootstrap, Partition(name, 0), 4))

    assert run(scenario()) == [b"1", b"2"]


def test_a_paused_broker_answers_nobody_until_it_goes_on(own_broker: Broker) -> None:
    async def scenario() -> None:
        own_broker.pause()
        with pytest.raises(UnreachableError, match="no broker answers at"):
            async with client(own_broker.bootstrap, request_timeout_ms=300):
                pass
        own_broker.resume()
        async with client(own_broker.bootstrap):
            pass

    run(scenario())


def test_a_guarded_process_ends_with_its_owner(tmp_path: Path) -> None:
    guard = Path(__file__).with_name("guard.py")
    with subprocess.Popen(["sleep", "300"]) as owner:
        command = [str(owner.pid), str(tmp_path / "pid"), str(tmp_path / "log"), "sleep", "300"]
        subprocess.run([sys.executable, str(guard), *command], check=True, timeout=10)
        pid = wait_for_pid(tmp_path / "pid")
        assert alive(pid)
        owner.kill()
    wait_for_end(pid)


def wait_for_pid(file: Path) -> int:
    while not file.exists():
        pass
    return int(file.read_text())


def wait_for_end(pid: int) -> None:
    while alive(pid):
        pass
