"""stock-forecast: where a product is sold out, or will be soon: the stock that is counted, and the hour's sales.

A count is looked up against the last hour of sales that had closed by then, as of the count's own time: the same
forecast, whichever topic is read first. All warehouses send a product, so each is taken to have its share of the sales.
"""

from __future__ import annotations

from headrace import Topology, agg, calendar, col, fn, left, right
from schemas.commerce import OrderPlaced
from schemas.inventory import StockLevel

ZONE = "Europe/Berlin"
WAREHOUSES = 8
WARN_HOURS = 6

topology = Topology("stock-forecast")

sales = (
    # In full: an order that is refused elsewhere sells nothing here either.
    topology.source("orders", topic="commerce.orders", schema=OrderPlaced, out_of_orderness="2m", validation="full")
    .explode("lines", col.items, name="item")
    .select("sale", sku=col.item.sku, units=col.item.quantity)
    .group_by("by-product", col.sku)
)
daily = sales.window(calendar("day", tz=ZONE, retention="30d")).aggregate("sales-per-day", units=agg.sum(col.units))
daily.on_close().sink("daily", topic="commerce.sales-per-day")

hourly = sales.window(calendar("hour", tz=ZONE)).aggregate("sales-per-hour", units=agg.sum(col.units))
demand = hourly.on_close().group_by("demand-by-product", col.sku).table("demand")

levels = (
    topology.source("levels", topic="inventory.levels", schema=StockLevel, time=col.counted_at, out_of_orderness="5m")
    .filter("kept", ~col.discontinued)
    .group_by("level-by-product", col.sku)
)
forecast = levels.lookup(
    "with-demand",
    demand,
    as_of="event_time",
    select=[left.warehouse, left.on_hand, left.counted_at, right.units, right.window_start],
).select(
    "forecast",
    col.warehouse,
    col.sku,
    col.on_hand,
    units_per_hour=col.units / WAREHOUSES,
    hours_left=fn.round(col.on_hand * WAREHOUSES / col.units, 1),
    demand_of=col.window_start,
    counted_at=col.counted_at,
)
forecast.filter("soon", col.hours_left < WARN_HOURS).sink("warn", topic="inventory.stock-outs", key=col.sku)

# For buyers: what will be empty, and when? The last forecast of each place that warns.
forecast.group_by("forecast-by-place", col.warehouse, col.sku).table("stock-outs", delete=col.hours_left >= WARN_HOURS)
