"""fulfilment: how long orders wait until they are shipped, per warehouse and day."""

from __future__ import annotations

from headrace import Topology, agg, col, fn, tumbling
from schemas.commerce import ShipmentDispatched

topology = Topology("fulfilment")

shipments = topology.source(
    "shipments", topic="commerce.shipments", schema=ShipmentDispatched, out_of_orderness="5m"
).map("waited", hours=(fn.epoch_ms(col.envelope.time) - fn.epoch_ms(col.ordered_at)) / 3_600_000)

per_day = (
    shipments.group_by("by-warehouse", col.warehouse)
    .window(tumbling("1d", grace="1h", retention="30d"))
    .aggregate(
        "fulfilment-per-day",
        shipments=agg.count(),
        parcels=agg.sum(col.parcels),
        weight_kg=agg.sum(col.weight_kg),
        mean_hours=agg.mean(col.hours),
        spread_hours=agg.stddev(col.hours),
        slowest_order=agg.arg_max(col.order_id, col.hours),
    )
)
per_day.on_close().sink("daily", topic="commerce.fulfilment-per-day")
