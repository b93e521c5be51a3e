"""low-stock: what every warehouse has of every product, and a notice where it runs low.

The notices are a topic of their own, which :mod:`topologies.replenish` reads. They come from the
counts themselves, in their order: the table's changes are one per product and checkpoint, which
is what a display wants, and not what event time downstream can rely on.
"""

from __future__ import annotations

from headrace import Topology, col
from schemas.inventory import StockLevel

topology = Topology("low-stock")

levels = topology.source(
    "levels", topic="inventory.levels", schema=StockLevel, time=col.counted_at, out_of_orderness="5m"
)

levels.group_by("by-place", col.warehouse, col.sku).table("stock", delete=col.discontinued)

(
    levels.filter("low", (col.on_hand < col.reorder_point) & ~col.discontinued)
    .select(
        "notice",
        col.warehouse,
        col.sku,
        col.on_hand,
        missing=col.capacity - col.on_hand,
        counted_at=col.counted_at,
    )
    .sink("notices", topic="inventory.low", key=col.sku)
)
