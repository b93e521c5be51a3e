"""Targets of the whole-process benchmarks."""

from __future__ import annotations

from benchmarks.events import Order
from headrace import Topology, agg, col, tumbling

projection = Topology("projection")
projection.source("orders", topic="orders", schema=Order, time=col.timestamp).filter(
    "big", col.data.amount > 500
).select("row", col.data.order_id, col.data.user_id, col.data.amount, col.timestamp).sink("out", topic="out")


def windows(name: str, size: str) -> Topology:
    """Return count, sum and max per user and window, written when it closes."""
    topology = Topology(name)
    source = topology.source("orders", topic="orders", schema=Order, time=col.timestamp, key=col.data.user_id)
    source.group_by("by-user", col.data.user_id).window(tumbling(size)).aggregate(
        "totals", count=agg.count(), sum=agg.sum(col.data.amount), max=agg.max(col.data.amount)
    ).on_close().sink("out", topic="out")
    return topology


minutes = windows("minutes", "1m")
days = windows("days", "1d")
