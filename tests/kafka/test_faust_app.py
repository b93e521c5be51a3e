"""A topology beside a user's own Faust app: the example runs, and both parts do their work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from headrace.kafka import FleetSettings, Installation, install
from headrace.kafka.model import Columns
from headrace.kafka.topics_admin import TopicAdmin, TopicSpec
from tests.cli.commands import ROOT
from tests.kafka.fleets import Shop
from tests.kafka.support import run, unique, write

EXAMPLE = ROOT / "examples/faust_app.py"


def until(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        subprocess.run(["sleep", "0.3"], check=True)


def test_the_app_and_the_topology_both_work(tmp_path: Path, bootstrap: str) -> None:
    group = unique("app")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "HEADRACE_BROKERS": bootstrap,
        "HEADRACE_GROUP": group,
        "HEADRACE_STATE_DIR": str(tmp_path / "state"),
    }
    shop = Shop(group, tmp_path, bootstrap, {})

    async def create() -> None:
        async with TopicAdmin(bootstrap) as admin:
            names = ("visits", "totals", "payments")
            await admin.create([TopicSpec(f"{group}.{name}", 2) for name in names])
        paid = [json.dumps({"user": f"u{n % 5}", "amount": n, "at": n * 100}).encode() for n in range(100)]
        await write(bootstrap, f"{group}.payments", Columns(paid, [1_000] * 100))

    def counted() -> dict[str, int]:
        records = shop.records(f"{group}.totals")
        found: dict[str, int] = {}
        for _, _, value, _ in records:
            for user, count in json.loads(value or b"{}").items():
                found[user] = max(count, found.get(user, 0))
        return found

    def paid() -> dict[str, int]:
        found = [json.loads(value or b"") for _, _, value, _ in shop.records(f"{group}.paid-per-minute")]
        return {row["user"]: row["payments"] for row in found}

    run(create())
    log = tmp_path / "log"
    command = [sys.executable, str(EXAMPLE)]
    # Faust writes warnings of its own making; what counts here is what comes out.
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [*command, "worker", "--without-web"], cwd=tmp_path, env=environment, stdout=output, stderr=output
        )
    with worker:
        try:
            until(lambda: (tmp_path / "state").exists() and paid_is_there(shop, group), worker, log)
            for user in ("ada", "bob", "ada"):
                said = subprocess.run(
                    [*command, "say", user], cwd=tmp_path, env=environment, capture_output=True, timeout=60, check=False
                )
                assert said.returncode == 0, said.stderr.decode()
            until(lambda: paid() == {f"u{n}": 20 for n in range(5)}, worker, log)
            until(lambda: counted() == {"ada": 2, "bob": 1}, worker, log)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(40) == 0, log.read_text()
        finally:
            worker.kill()


def paid_is_there(shop: Shop, group: str) -> bool:
    try:
        return bool(shop.records(f"{group}.paid-per-minute"))
    except KeyError:
        return False


def test_install_is_where_users_look_for_it() -> None:
    assert callable(install)
    assert Installation.__name__ == "Installation"
    assert FleetSettings.of(brokers="localhost", group="g").group == "g"
