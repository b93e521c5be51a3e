"""replenish: turn notices of low stock into orders, at most one per warehouse, product and hour."""

from __future__ import annotations

from headrace import Topology, agg, col, tumbling
from schemas.inventory import StockLow

topology = Topology("replenish")

notices = topology.source(
    "notices", topic="inventory.low", schema=StockLow, time=col.counted_at, out_of_orderness="10m"
)

hourly = (
    notices.group_by("by-place", col.warehouse, col.sku)
    .window(tumbling("1h", grace="1m", retention="7d"))
    .aggregate("low-per-hour", notices=agg.count(), missing=agg.last(col.missing), last_at=agg.max(col.counted_at))
)

(
    hourly.on_close()
    .select("order", col.warehouse, col.sku, quantity=col.missing, ordered_at=col.last_at)
    .sink("orders", topic="inventory.replenish-orders")
)
