"""payment-health: how many payments each provider declines, over the last hour, every quarter."""

from __future__ import annotations

from headrace import Topology, agg, col, hopping, when
from schemas.commerce import PaymentSettled

topology = Topology("payment-health")

payments = topology.source("payments", topic="commerce.payments", schema=PaymentSettled, out_of_orderness="2m").map(
    "outcome",
    declined=when(col.status == "declined").then(1).otherwise(0),
    captured=when(col.status == "captured").then(col.amount).otherwise(None),
)

health = (
    payments.group_by("by-provider", col.provider)
    .window(hopping("1h", "15m", grace="1m", retention="7d"))
    .aggregate("provider-health", payments=agg.count(), declined=agg.sum(col.declined), captured=agg.sum(col.captured))
)
(
    health.on_close()
    .map("rate", declined_share=col.declined / col.payments)
    .sink("health", topic="commerce.provider-health")
)
