"""The engine against hand-written loops over the same bytes: filter + select, and tumbling windows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.events import Order, orders
from benchmarks.measure import in_turns, seconds, show
from headrace import Topology, agg, col, tumbling
from headrace.plan import compile_plan
from headrace.runtime.engine import Engine, EngineSettings
from headrace.runtime.garbage import calm
from headrace.runtime.records import Records
from headrace.state.memory import MemoryBackend
from headrace.state.protocol import Backend, Batch
from headrace.state.rocksdb import RocksBackend

BATCH = 5000
CHECKPOINT_EVERY = 10  # batches: at 500,000 events/s one in 100 ms


class Counted:
    """An output that counts bytes and lets them go."""

    def __init__(self, topic: str) -> None:
        """Begin at none."""
        self.topic, self.bytes = topic, 0

    def stage(self, batch: Batch, records: Records) -> None:
        """Count."""
        self.bytes += sum(map(len, records.values))

    def committed(self) -> None:
        """Nothing is kept."""


def projecting() -> Topology:
    """Filter and select."""
    topology = Topology("w1")
    source = topology.source("orders", topic="orders", schema=Order, time=col.timestamp)
    source.filter("big", col.data.amount > 500).select(
        "row", col.data.order_id, col.data.user_id, col.data.amount, col.timestamp
    ).sink("out", topic="out")
    return topology


def windowing(size: str = "1m") -> Topology:
    """Count, sum and max per user and window, on a topic that is keyed by user."""
    topology = Topology("w2")
    source = topology.source("orders", topic="orders", schema=Order, time=col.timestamp, key=col.data.user_id)
    source.group_by("by-user", col.data.user_id).window(tumbling(size, grace="10s")).aggregate(
        "totals", count=agg.count(), sum=agg.sum(col.data.amount), max=agg.max(col.data.amount)
    )
    return topology


def run_engine(topology: Topology, lines: list[bytes], backend: Backend, *, cache_bytes: int = 64 << 20) -> Engine:
    """Run a topology over the lines, with checkpoints, and return the engine."""
    settings = EngineSettings(partitions=1, cache_bytes=cache_bytes)
    engine = Engine(compile_plan(topology), backend, settings, now_ms=lambda: 0, outputs=Counted)
    channel = engine.channel("orders", 0, "lines")
    for number, at in enumerate(range(0, len(lines), BATCH), 1):
        engine.feed(channel, Records(lines[at : at + BATCH]), at + BATCH)
        if number % CHECKPOINT_EVERY == 0 or engine.cache_full:
            engine.checkpoint()
    engine.checkpoint()
    return engine


class _Data(msgspec.Struct):
    order_id: str
    user_id: str
    amount: float


class _Order(msgspec.Struct):
    timestamp: int
    data: _Data


class _Row(msgspec.Struct):
    order_id: str
    user_id: str
    amount: float
    timestamp: int


class _KeyData(msgspec.Struct):
    user_id: str
    amount: float


class _KeyOrder(msgspec.Struct):
    timestamp: int
    data: _KeyData


def hand_projection(lines: list[bytes]) -> list[bytes]:
    """Do by hand what :func:`projecting` declares."""
    decode, encode, out = msgspec.json.Decoder(_Order).decode, msgspec.json.Encoder().encode, []
    for line in lines:
        order = decode(line)
        data = order.data
        if data.amount > 500:
            out.append(encode(_Row(data.order_id, data.user_id, data.amount, order.timestamp)))
    return out


def hand_windows(lines: list[bytes], size_ms: int = 60_000) -> dict[tuple[str, int], list[Any]]:
    """Do by hand what :func:`windowing` declares; all windows stay in one dict."""
    decode = msgspec.json.Decoder(_KeyOrder).decode
    windows: dict[tuple[str, int], list[Any]] = {}
    for line in lines:
        order = decode(line)
        data = order.data
        amount = data.amount
        key = (data.user_id, order.timestamp - order.timestamp % size_ms)
        state = windows.get(key)
        if state is None:
            windows[key] = [1, amount, amount]
        else:
            state[0] += 1
            state[1] += amount
            state[2] = max(state[2], amount)
    return windows


def against(
    name: str, target: str, lines: list[bytes], hand: Callable[[list[bytes]], object], topology: Topology
) -> None:
    """Measure an engine run with its state in memory against a loop, and show the ratio of the rates."""
    loop, engine = in_turns(lambda: hand(lines), lambda: run_engine(topology, lines, MemoryBackend()))
    show(name, loop / engine, target, f"{len(lines) / engine / 1e3:.0f} K/s against {len(lines) / loop / 1e3:.0f} K/s")


def many_keys(size: str, size_ms: int, visits: int = 1) -> None:
    """Measure 1,000,000 keys over RocksDB with a cache of 64 MB, in processor time, all threads counted.

    ``visits``: how often each key comes; between two of them all others do, so that no cache that is smaller helps.
    """
    lines = orders(visits * 1_000_000, 1_000_000)
    loop = seconds(lambda: hand_windows(lines, size_ms))
    with tempfile.TemporaryDirectory() as folder:
        backend = RocksBackend(Path(folder), fsync=False)
        engine = seconds(lambda: run_engine(windowing(size), lines, backend))
        backend.close()
    detail = f"{len(lines) / engine / 1e3:.0f} K/s against {len(lines) / loop / 1e3:.0f} K/s"
    name = f"tumbling {size}, 1,000,000 keys{f' x {visits}' if visits > 1 else ''}, RocksDB / dict loop"
    show(name, loop / engine, ">= 0.25" if size == "1m" else "none", detail)


def main() -> None:
    """Run all of them."""
    calm()  # as the workers do
    lines = orders(500_000, 1_000)
    against("filter + select / msgspec loop", ">= 0.70", lines, hand_projection, projecting())
    against("tumbling, 1,000 keys / msgspec loop with a dict", ">= 0.60", lines, hand_windows, windowing())
    del lines
    many_keys("1m", 60_000)
    many_keys("1d", 86_400_000)
    many_keys("1d", 86_400_000, 3)


if __name__ == "__main__":
    main()
