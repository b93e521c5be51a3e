"""Rules that change while a fleet runs on a real broker: published, refused, removed; a worker killed in between."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from headrace.kafka.model import Columns
from headrace.kafka.topics_admin import TopicAdmin, TopicSpec
from tests.kafka.fleets import PARTITIONS, Shop, make_shop, started
from tests.kafka.support import run

ROUTED = """
from pydantic import BaseModel
from headrace import Rule, RuleChange, Topology

class Order(BaseModel):
    id: int
    amount: int

topology = Topology("{name}")
orders = topology.source("orders", topic="{name}.orders", schema=Order, idle_timeout="1s")
control = topology.source("rules", topic="{name}.rules", schema=RuleChange, idle_timeout="1s")
initial = [Rule(name="huge", condition="amount > 1000", target="{name}.blocked", priority=1)]
routed = orders.route("routed", control, initial=initial)
routed.to_targets("to-target")
routed.unmatched().sink("rest", topic="{name}.rest")
routed.rejected().sink("rejected", topic="{name}.rejected")
"""

WORKER = ("worker", "shop.py", "--state-dir", "state", "--worker", "w")


@pytest.fixture
def shop(tmp_path: Path, bootstrap: str) -> Shop:
    made = make_shop(tmp_path, bootstrap)
    (tmp_path / "shop.py").write_text(ROUTED.replace("{name}", made.name))

    async def topics() -> None:
        async with TopicAdmin(bootstrap) as admin:
            names = [f"{made.name}.{name}" for name in ("rules", "blocked", "review", "rest", "rejected")]
            await admin.create([TopicSpec(name, 2) for name in names])

    run(topics())
    return made


def order(shop: Shop, first: int, amount: int) -> None:
    """Write one order to every partition, as of now."""
    now = int(time.time() * 1000)
    values = {n: json.dumps({"id": first + n, "amount": amount}).encode() for n in range(PARTITIONS)}
    shop.write({n: Columns([value], [now], [b"k"]) for n, value in values.items()})


def wait_for(shop: Shop, topic: str, ids: list[int]) -> None:
    end = time.monotonic() + 60
    while True:
        found = sorted(json.loads(value or b"")["id"] for _, _, value, _ in shop.records(f"{shop.name}.{topic}"))
        if found == ids:
            return
        assert time.monotonic() < end, f"{topic}: expected {ids}, got {found}"
        assert len(found) <= len(ids), f"{topic}: expected {ids}, got {found}"
        time.sleep(0.2)


def test_rules_change_on_every_task_and_outlive_a_kill(shop: Shop) -> None:
    topic = f"{shop.name}.rules"
    (shop.directory / "rules.yaml").write_text(
        f'- {{name: big, condition: "amount > 100", target: {shop.name}.review, version: 2}}\n'
    )
    (shop.directory / "bad.yaml").write_text('- {name: bad, condition: "amont > 100"}\n')
    with started(shop, *WORKER) as worker:
        worker.until("running: ")
        order(shop, 0, 500)
        wait_for(shop, "rest", [0, 1, 2, 3])
        done = shop.run("rules", "put", topic, "rules.yaml", "--brokers", shop.brokers, "--target", "shop.py")
        assert (done.code, done.err) == (0, "published 1 rule\n")
        assert shop.run("rules", "put", topic, "bad.yaml", "--brokers", shop.brokers).code == 0  # as text it is a rule
        order(shop, 10, 500)
        wait_for(shop, "review", [10, 11, 12, 13])
        worker.process.send_signal(signal.SIGKILL)
        worker.process.wait(20)
    order(shop, 20, 500)
    with started(shop, *WORKER) as worker:
        wait_for(shop, "review", [10, 11, 12, 13, 20, 21, 22, 23])
        removed = shop.run("rules", "remove", topic, "big", "huge", "--version", "3", "--brokers", shop.brokers)
        assert (removed.code, removed.err) == (0, "removed 2 rules\n")
        order(shop, 30, 5000)
        wait_for(shop, "rest", [0, 1, 2, 3, 30, 31, 32, 33])
        assert worker.stop(signal.SIGTERM) == 0, worker.log
    (rejected,) = [json.loads(value or b"") for _, _, value, _ in shop.records(f"{shop.name}.rejected")]
    assert rejected["reason"] == "rule 'bad': condition: expected a field, got 'amont'. Did you mean 'amount'?"
    assert shop.records(f"{shop.name}.blocked") == []
    listed = shop.run("rules", "list", topic, "--brokers", shop.brokers, "--target", "shop.py", "--json")
    assert (json.loads(listed.out), listed.err) == ([], "1 change in the topic refused\n")
