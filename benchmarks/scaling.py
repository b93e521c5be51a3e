"""Cost per event as the stream gets longer, and cost per step as the chain does."""

from __future__ import annotations

from functools import partial

from benchmarks.engine import projecting, run_engine
from benchmarks.events import Order, orders
from benchmarks.measure import seconds, show
from headrace import Topology, col
from headrace.state.memory import MemoryBackend

LONGEST = 10_000_000


def chain(steps: int) -> Topology:
    """Return a chain of computed columns, each of the one before, so that none can be left out."""
    topology = Topology("chain")
    stream = topology.source("orders", topic="orders", schema=Order, time=col.timestamp).select("s0", x=col.data.amount)
    for n in range(1, steps + 1):
        stream = stream.select(f"s{n}", x=col.x + 1)
    stream.filter("none", col.x < 0).sink("out", topic="out")
    return topology


def main() -> None:
    """Run both."""
    part = orders(100_000, 1_000)
    per_event = {}
    for count in (10_000, 100_000, 1_000_000, LONGEST):
        lines = part[:count] * max(1, count // len(part))
        per_event[count] = seconds(partial(run_engine, projecting(), lines, MemoryBackend())) / count
    detail = ", ".join(f"{n:,}: {1e6 * s:.2f} us" for n, s in per_event.items())
    show("us per event at 10^7 / at 10^5 events", per_event[LONGEST] / per_event[100_000], "flat (1)", detail)
    cost = {
        n: min(seconds(partial(run_engine, chain(n), part, MemoryBackend())) for _ in range(3)) / len(part)
        for n in (1, 2, 4, 8, 16, 32, 64)
    }
    early, later = (cost[16] - cost[1]) / 15, (cost[64] - cost[16]) / 48
    detail = ", ".join(f"{n}: {1e6 * s:.2f} us" for n, s in cost.items())
    show("cost of a step, from 16 to 64 / from 1 to 16 steps", later / early, "linear (1)", detail)


if __name__ == "__main__":
    main()
