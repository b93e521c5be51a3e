"""Targets of the whole-process benchmarks."""

from __future__ import annotations

from benchmarks.events import Order
from headrace import Topology, agg, col, tumbling

projection = Topology("projection")
projection.source("orders", topic="orders", schema=Order, time=col.timestamp).filter(
    "big", col.data.amount > 500
).select("row", col.data.order_id, col.data.user_id, col.data.amount, col.timestamp).sink("out", topic="out")

windows = Topology("windows")
windows.source("orders", topic="orders", schema=Order, time=col.timestamp, key=col.data.user_id).group_by(
    "by-user", col.data.user_id
).window(tumbling("1d")).aggregate(
    "totals", count=agg.count(), sum=agg.sum(col.data.amount), max=agg.max(col.data.amount)
).on_close().sink("out", topic="out")
