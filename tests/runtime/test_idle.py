"""Silence closes windows; what waits to be read is not silence."""

import asyncio
import json
import threading
import time

import pytest
from pydantic import BaseModel

from headrace import Topology, agg, col, tumbling
from headrace.config import WorkerSettings
from headrace.runtime.pipeline import Feeder
from headrace.runtime.worker import Worker
from headrace.time.watermark import Channel
from tests.runtime.support import logged, running, wait_until

HOUR_MS = 3_600_000


class Ping(BaseModel):
    user: str
    at: int


def windows(*, slow=None):
    topology = Topology("windows")
    pings = topology.source("pings", topic="pings", schema=Ping, time=col.at, key=col.user, idle_timeout="500ms")
    if slow is not None:
        pings.handle("slow", slow, timeout="30s")
    counts = pings.group_by("by-user", col.user).window(tumbling("1s")).aggregate("per-second", n=agg.count())
    counts.on_close().sink("closed", topic="closed")
    counts.late().sink("late", topic="late")
    return topology


@pytest.fixture
def settings(tmp_path):
    return WorkerSettings.of(data_dir=tmp_path / "data", checkpoint_interval="20ms", fsync=False)


class Told:
    """An input that says of itself what the test wants."""

    def __init__(self):
        self.empty = True

    def drained(self, position):
        return self.empty


def feeder(timeout_ms=1000):
    return Feeder(Channel("s", 0, "log", timeout_ms, seen_at_ms=0), Told(), "t", 0)


def silent_ms(feeder, now_ms):
    return now_ms - feeder.channel.seen_at_ms


def test_an_input_is_silent_for_as_long_as_it_was_seen_drained():
    found = feeder()
    for now_ms in range(100, 1100, 100):
        found.look(now_ms)
    assert silent_ms(found, 1000) == 1000
    found.input.empty = False
    found.look(1100)
    assert silent_ms(found, 1100) == 0


def test_time_in_which_nobody_looked_is_silence_for_half_the_timeout_at_most():
    found = feeder()
    found.look(100)
    found.look(60_000)
    assert silent_ms(found, 60_000) == 600
    found.look(120_000)
    assert silent_ms(found, 120_000) == 1100, "a worker that is always slow must see silence in the end"


def test_a_clock_that_is_put_back_is_no_silence():
    found = feeder()
    found.channel.seen_at_ms = 10_000
    found.look(5000)
    assert silent_ms(found, 5000) == 0


def test_the_last_window_closes_by_the_clock_although_no_event_follows(settings):
    with Worker([windows()], settings) as worker, running(worker):
        worker.ingest("pings", [json.dumps({"user": f"u{n}", "at": HOUR_MS}).encode() for n in range(8)])
        wait_until(lambda: len(logged(worker, "closed")) == 8)


def test_a_backlog_in_order_is_not_late_however_long_a_handler_takes(settings):
    started = threading.Event()

    async def slow(row):
        if not started.is_set():
            started.set()
            await asyncio.sleep(2)

    with Worker([windows(slow=slow)], settings) as worker, running(worker):
        for n in range(40):
            values = [json.dumps({"user": f"u{u}", "at": HOUR_MS + n * 1000}).encode() for u in range(8)]
            worker.ingest("pings", values)
            if not n:
                started.wait(10)
            time.sleep(0.02)
        wait_until(lambda: len(logged(worker, "closed")) == 320)
        assert worker.status().late == 0
