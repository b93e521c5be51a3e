"""``headrace worker`` on a real broker."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from headrace.kafka.topics_admin import TopicAdmin, TopicSpec
from tests.kafka.fleets import Shop, make_shop, started
from tests.kafka.support import run

WORKER = ("worker", "shop.py", "--state-dir", "state")


@pytest.fixture
def shop(tmp_path: Path, bootstrap: str) -> Shop:
    return make_shop(tmp_path, bootstrap)


def test_a_worker_says_what_it_does_and_ends_well_on_sigterm(shop: Shop) -> None:
    shop.feed(0, 400)
    with started(shop, *WORKER, "--worker", "w") as worker:
        worker.until("running: 8 tasks on 8 partitions")
        shop.until_read(400)
        worker.until("400 in, ")
        assert worker.stop(signal.SIGTERM, 25) == 0
        lines = [line.split(" w: ", 1) for line in worker.log.splitlines()]

    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line[0]) for line in lines), worker.log
    said = [line[1] for line in lines if not line[1].startswith(("WARNING aiokafka", "ERROR aiokafka"))]
    name = shop.name
    assert said[0] == f"worker of group {name} on {shop.brokers}: {name}, exactly_once"
    assert said[1].startswith("created topics: ")
    assert said[2] == f"partitions assigned: {name}.orders 0-3; {name}.{name}.by-country.repartition 0-3"
    assert said[-2] == "stopping on SIGTERM: committing and leaving the group"
    assert re.match(r"stopped: 400 in, 2\d\d out, ", said[-1])
    assert sum(shop.revenue().values()) == 400


def test_a_worker_that_comes_back_says_what_it_restored_and_counts_nothing_twice(shop: Shop) -> None:
    shop.feed(0, 200)
    with started(shop, *WORKER) as worker:
        shop.until_read(200)
        assert worker.stop(signal.SIGINT) == 130, "as every command that Ctrl-C has ended"
    shop.feed(200, 200)
    with started(shop, "worker", "shop.py", "--state-dir", "elsewhere", "--commit-interval", "20ms") as worker:
        worker.until("restored ")
        shop.until_read(400)
        worker.stop(signal.SIGTERM)
    assert sum(shop.revenue().values()) == 400


def test_at_least_once_runs_without_transactions(shop: Shop) -> None:
    shop.feed(0, 400)
    with started(shop, *WORKER, "--guarantee", "at_least_once", "--group", shop.name) as worker:
        worker.until(f"{shop.name}, at_least_once")
        shop.until_read(400)
        assert worker.stop(signal.SIGTERM) == 0, worker.log
    assert sum(shop.revenue().values()) == 400


def test_of_two_workers_of_one_name_one_ends_and_says_why(shop: Shop) -> None:
    with started(shop, *WORKER, "--worker", "w") as first:
        first.until("running: ")
        with started(shop, "worker", "shop.py", "--state-dir", "other", "--worker", "w") as second:
            second.until("running: ")
            assert first.process.wait(60) == 1, first.log
            last = first.log.splitlines()[-1]
            assert last.startswith(f"headrace: the membership in group '{shop.name}' ended: "), first.log
            assert last.endswith("If another worker has the same instance id (w), stop one of them")
            shop.feed(0, 40)
            shop.until_read(40)
            assert second.stop(signal.SIGTERM) == 0, second.log


def test_no_broker_is_said_with_each_address_and_how_long_it_was_tried(shop: Shop) -> None:
    done = shop.run(*WORKER, "--brokers", "127.0.0.1:1,no-such-host:9", HEADRACE_CONNECT_TIMEOUT="1s")

    assert done.code == 1
    assert done.err.splitlines()[-1] == (
        "headrace: no broker answers (tried for 1 s): 127.0.0.1:1: Connection refused; no-such-host:9: "
        "Name or service not known. Check the addresses, and that the brokers run"
    )


def test_an_input_topic_that_is_not_there_is_waited_for(tmp_path: Path, bootstrap: str) -> None:
    shop = make_shop(tmp_path, bootstrap, create=False)
    done = shop.run(*WORKER, HEADRACE_TOPIC_TIMEOUT="1s")
    assert done.code == 2
    assert done.err.splitlines()[-1] == (
        f"headrace: input topics {shop.orders} do not exist on {bootstrap} (waited 1 s). "
        "Create them, or check the topologies' topic names"
    )

    with started(shop, *WORKER) as worker:
        worker.until("waiting up to 60 s for input topics that do not exist yet: ")
        shop.create_input()
        worker.until("running: ")
    with started(make_shop(tmp_path, bootstrap, create=False), *WORKER) as worker:
        worker.until("waiting up to 60 s")
        assert worker.stop(signal.SIGTERM, 15) == 0, "also while it waits"


def test_inputs_whose_partitions_do_not_match_are_refused_with_their_counts(tmp_path: Path, bootstrap: str) -> None:
    shop = make_shop(tmp_path, bootstrap)
    topic = f"{shop.name}.{shop.name}.by-country.repartition"

    async def create() -> None:
        async with TopicAdmin(bootstrap) as admin:
            await admin.create([TopicSpec(f"{shop.name}.{shop.name}.revenue.changelog", 3), TopicSpec(topic, 2)])

    run(create())
    done = shop.run(*WORKER)

    assert done.code == 2
    assert f"changelog topic '{shop.name}.{shop.name}.revenue.changelog' has 3 partitions, expected 2" in done.err


def test_settings_that_are_missing_or_wrong_are_named(shop: Shop) -> None:
    done = shop.run(*WORKER, HEADRACE_BROKERS="")
    assert (done.code, done.err) == (
        2,
        "headrace: which brokers? Name them with --brokers HOST:PORT, or with HEADRACE_BROKERS in the environment\n",
    )
    done = shop.run(*WORKER, "--commit-interval", "soon", "--set", "sasl_username=ada")
    assert done.code == 2
    assert "commit_interval: Value error, expected a duration such as '100ms' or '1h30m', got 'soon'" in done.err
    done = shop.run(*WORKER, "--set", "sasl_password=hunter2")
    assert done.code == 2
    assert "Use HEADRACE_SASL_PASSWORD" in done.err
    assert "hunter2" not in done.err
    done = shop.run(*WORKER, HEADRACE_SASL_PASSWORD="hunter2", HEADRACE_SASL_USERNAME="ada")
    assert done.code == 2
    assert "does not use sasl_username, sasl_password: set it to SASL_PLAINTEXT or SASL_SSL" in done.err
    assert "hunter2" not in done.err


def test_processes_that_are_killed_come_back_and_nothing_is_lost_or_counted_twice(shop: Shop) -> None:
    shop.feed(0, 400)
    environ = {"HEADRACE_SESSION_TIMEOUT": "6s"}
    with started(shop, *WORKER, "--worker", "w", "--processes", "2", **environ) as fleet:
        fleet.until("running: 4 tasks on 4 partitions", times=2)
        shop.until_read(400)
        os.kill(children(fleet.process.pid)[0], signal.SIGKILL)
        shop.feed(400, 400)
        fleet.until("was ended by SIGKILL: starting it again in 1 s")
        shop.until_read(800)
        assert len(children(fleet.process.pid)) == 2
        assert fleet.stop(signal.SIGTERM) == 0
        assert fleet.log.count("stopping on SIGTERM") == 2
    assert sorted(path.name for path in (shop.directory / "state").iterdir()) == ["0", "1"]
    assert sum(shop.revenue().values()) == 800


def test_processes_end_when_their_supervisor_is_gone(shop: Shop) -> None:
    with started(shop, *WORKER, "--processes", "2") as fleet:
        fleet.until("running: ", times=2)
        below = children(fleet.process.pid)
        fleet.process.kill()
        fleet.process.wait()
        for _ in range(600):
            if not any(alive(pid) for pid in below):
                break
            subprocess.run(["sleep", "0.1"], check=True)
        assert not any(alive(pid) for pid in below)
        assert fleet.log.count("the supervisor is gone: stopping") == 2


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sorted(int(child) for child in found)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
