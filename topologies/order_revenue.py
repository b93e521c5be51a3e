"""order-revenue: what each tenant sells, per product and hour, and as a trend.

Shops resend orders when they get no answer. A resent order has the time of the first one, so
both fall into the same window of their order line: ``lines-once`` lets each line through once.
"""

from __future__ import annotations

from headrace import Topology, agg, col, hopping, tumbling
from schemas.commerce import OrderPlaced

topology = Topology("order-revenue")

lines = (
    topology.source("orders", topic="commerce.orders", schema=OrderPlaced, out_of_orderness="2m")
    .explode("lines", col.items, name="item")
    .select(
        "line",
        tenant=col.envelope.tenant,
        order_id=col.order_id,
        line=col.item.line,
        product=col.item.sku,
        units=col.item.quantity,
        amount=col.item.unit_price * col.item.quantity,
    )
)

# Five minutes divide the hour: a line that waits for its window to close stays within its hour.
once = lines.group_by("by-line", col.tenant, col.order_id, col.line).window(tumbling("5m", grace="1m"))
unique = (
    once.aggregate(
        "lines-once", product=agg.first(col.product), units=agg.first(col.units), amount=agg.first(col.amount)
    )
    .on_close()
    .select("sale", col.tenant, col.product, col.units, col.amount)
)

per_product = unique.group_by("by-product", col.tenant, col.product)
hourly = per_product.window(tumbling("1h", retention="7d")).aggregate(
    "revenue-per-hour", sales=agg.count(), units=agg.sum(col.units), revenue=agg.sum(col.amount)
)
hourly.on_close().sink("hourly", topic="commerce.revenue-per-hour")

per_tenant = unique.group_by("by-tenant", col.tenant)
trend = per_tenant.window(hopping("1h", "15m", retention="7d")).aggregate(
    "revenue-trend", sales=agg.count(), revenue=agg.sum(col.amount), largest=agg.max(col.amount)
)
trend.on_close().sink("trend", topic="commerce.revenue-trend")

per_tenant.aggregate("tenant-revenue", sales=agg.count(), units=agg.sum(col.units), revenue=agg.sum(col.amount))
