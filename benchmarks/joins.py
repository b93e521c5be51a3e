"""Interval joins against a hand-written loop with a dict: orders, and payments within 30 minutes of them."""

from __future__ import annotations

import heapq
import random
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import msgspec
from pydantic import BaseModel

from benchmarks.engine import Counted
from benchmarks.events import BASE_MS, STEP_MS, Order, orders
from benchmarks.measure import in_turns, seconds, show
from headrace import Topology, col, left, right
from headrace.plan import compile_plan
from headrace.runtime.engine import Engine, EngineSettings
from headrace.runtime.garbage import calm
from headrace.runtime.records import Records
from headrace.state.memory import MemoryBackend
from headrace.state.protocol import Backend
from headrace.state.rocksdb import RocksBackend
from headrace.topology.joins import How
from headrace.topology.stream import Stream

WITHIN_MS = 1_800_000
CHECKPOINT_EVERY = 10

Batches = list[tuple[str, list[bytes]]]


class PaymentData(BaseModel):
    """The payload."""

    order_id: str


class Payment(BaseModel):
    """One payment as it stands in the topic."""

    timestamp: int
    data: PaymentData


def joining(placed: Stream, paid: Stream, output: str, how: How = How.INNER) -> None:
    """Join orders with the payments that follow within 30 minutes."""
    placed.group_by("by-order", col.data.order_id).join(
        "paid",
        paid.group_by("pay-by-order", col.data.order_id),
        within=("0s", "30m"),
        how=how,
        select={"amount": left.data.amount, "paid_at": right.timestamp},
    ).sink("out", topic=output)


def declared(how: How = How.INNER) -> Topology:
    """Declare the join over two topics that are keyed by order."""
    topology = Topology("w5")
    placed = topology.source("orders", topic="orders", schema=Order, time=col.timestamp, key=col.data.order_id)
    paid = topology.source("payments", topic="payments", schema=Payment, time=col.timestamp, key=col.data.order_id)
    joining(placed, paid, "out", how)
    return topology


def inputs(count: int) -> Batches:
    """Return batches of both topics as they come: four of five orders are paid, 0 to 60 minutes later."""
    rand = random.Random(44).random
    due: list[tuple[int, int]] = []
    batches: Batches = []
    placed: list[bytes] = []
    paid: list[bytes] = []
    for n, line in enumerate(orders(count, 1_000)):
        now = BASE_MS + n * STEP_MS
        while due and due[0][0] <= now:
            paid.append(_payment(*heapq.heappop(due)))
        placed.append(line)
        if rand() < 0.8:
            heapq.heappush(due, (now + int(rand() * 2 * WITHIN_MS), n))
        if len(placed) == 2000:
            batches += [("orders", placed), ("payments", paid)]
            placed, paid = [], []
    return [*batches, ("orders", placed), ("payments", paid)]


def _payment(at: int, n: int) -> bytes:
    return (
        f'{{"id":"pay-{n}","type":"payment.received","timestamp":{at},"tenant":"t{n % 40}",'
        f'"data":{{"order_id":"o{n}","user_id":"u{n % 1000}","paid":1.00,"method":"card"}}}}'
    ).encode()


def run_engine(topology: Topology, batches: Batches, backend: Backend, *, cache_bytes: int = 64 << 20) -> Engine:
    """Run the join, with checkpoints, and return the engine."""
    settings = EngineSettings(partitions=1, cache_bytes=cache_bytes)
    engine = Engine(compile_plan(topology), backend, settings, now_ms=lambda: 0, outputs=Counted)
    channels = {name: engine.channel(name, 0, name) for name in ("orders", "payments")}
    for number, (name, lines) in enumerate(batches, 1):
        engine.feed(channels[name], Records(lines), channels[name].position + len(lines))
        if number % CHECKPOINT_EVERY == 0 or engine.cache_full:
            engine.checkpoint()
    engine.checkpoint()
    return engine


class _Data(msgspec.Struct):
    order_id: str
    amount: float


class _Order(msgspec.Struct):
    timestamp: int
    data: _Data


class _PaymentData(msgspec.Struct):
    order_id: str


class _Payment(msgspec.Struct):
    timestamp: int
    data: _PaymentData


class _Row(msgspec.Struct):
    order_id: str
    amount: float
    paid_at: int


def by_hand(batches: Batches) -> Iterator[bytes]:
    """Join with a dict of orders, those over 30 minutes old removed in their order."""
    order, payment = msgspec.json.Decoder(_Order).decode, msgspec.json.Decoder(_Payment).decode
    encode = msgspec.json.Encoder().encode
    known: dict[str, _Order] = {}
    ages: deque[_Order] = deque()
    for name, lines in batches:
        if name == "orders":
            for line in lines:
                placed = order(line)
                known[placed.data.order_id] = placed
                ages.append(placed)
            continue
        for line in lines:
            paid = payment(line)
            at = paid.timestamp
            while ages and ages[0].timestamp < at - WITHIN_MS:
                del known[ages.popleft().data.order_id]
            found = known.get(paid.data.order_id)
            if found is not None and found.timestamp <= at <= found.timestamp + WITHIN_MS:
                yield encode(_Row(found.data.order_id, found.data.amount, at))


def against(name: str, target: str, batches: Batches, how: How) -> None:
    """Measure the engine with its state in memory against the loop."""
    count = sum(len(lines) for _, lines in batches)
    loop, engine = in_turns(
        lambda: list(by_hand(batches)),
        lambda: run_engine(declared(how), batches, MemoryBackend(), cache_bytes=1 << 30),
    )
    show(name, loop / engine, target, f"{count / engine / 1e3:.0f} K/s against {count / loop / 1e3:.0f} K/s")


def beyond_memory(batches: Batches) -> None:
    """Measure with state that does not fit into the cache, over RocksDB, in processor time, all threads counted."""
    count = sum(len(lines) for _, lines in batches)
    loop = seconds(lambda: list(by_hand(batches)))
    with tempfile.TemporaryDirectory() as folder:
        backend = RocksBackend(Path(folder), fsync=False)
        engine = seconds(lambda: run_engine(declared(), batches, backend, cache_bytes=16 << 20))
        backend.close()
    detail = f"{count / engine / 1e3:.0f} K/s against {count / loop / 1e3:.0f} K/s"
    show("interval join, 600,000 open orders, RocksDB / dict loop", loop / engine, "none", detail)


def main() -> None:
    """Run all of them."""
    calm()
    batches = inputs(400_000)
    against("interval join, inner / msgspec loop with a dict", ">= 0.40", batches, How.INNER)
    against("interval join, left / the same loop, which is inner", "none", batches, How.LEFT)
    beyond_memory(inputs(1_000_000))


if __name__ == "__main__":
    main()
