"""order-fulfilment: orders on their way from the customer to the parcel, and those that are stuck.

``unpaid`` and ``unshipped`` tell what did not happen, at the moment at which it should have: by the watermark, so
also where nothing of that order ever comes again. Shops resend orders and providers resend payments; each counts once.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from headrace import Topology, agg, apply, begin, col, left, matched, meta, right, tumbling
from schemas.commerce import OrderPlaced, PaymentSettled, ShipmentDispatched

PAY_WITHIN = "30m"
SHIP_WITHIN = "2d"


def total(items: list[dict[str, Any]]) -> Decimal:
    """Return what the lines of an order come to."""
    return sum((Decimal(item["unit_price"]) * item["quantity"] for item in items), Decimal(0))


topology = Topology("order-fulfilment")

orders = (
    topology.source("orders", topic="commerce.orders", schema=OrderPlaced, out_of_orderness="2m")
    .select(
        "placed",
        col.order_id,
        col.currency,
        tenant=col.envelope.tenant,
        amount=apply(total, col.items, returns=Decimal),
        at=col.envelope.time,
    )
    .group_by("order-by-order", col.order_id)
    .distinct("orders-once", within="1h")
)
payments = (
    topology.source("payments", topic="commerce.payments", schema=PaymentSettled, out_of_orderness="2m")
    .filter("captured", col.status == "captured")
    .select("paid", col.order_id, col.provider, col.amount, tenant=col.envelope.tenant, at=col.envelope.time)
    .group_by("payment-by-order", col.order_id)
    .distinct("payments-once", within="1h")
)
shipments = (
    topology.source(
        "shipments", topic="commerce.shipments", schema=ShipmentDispatched, out_of_orderness="2m", validation="full"
    )
    .select("shipped", col.order_id, tenant=col.envelope.tenant, at=col.envelope.time, step="shipped")
    .group_by("shipment-by-order", col.order_id)
    .stream()
)

# What did not happen.
paying = (
    orders.select("order-step", col.order_id, col.tenant, col.amount, col.at, step="placed")
    .merge("paying", payments.select("payment-step", col.order_id, col.tenant, col.amount, col.at, step="paid"))
    .group_by("paying-by-order", col.order_id)
    .detect(
        "payment-due",
        begin("placed", col.step == "placed").followed_by("paid", col.step == "paid").within(PAY_WITHIN),
        emit={
            "tenant": matched.first("placed").tenant,
            "amount": matched.first("placed").amount,
            "since": matched.first("placed").at,
        },
    )
)
unpaid = paying.timed_out().select("unpaid", col.order_id, col.tenant, col.amount, col.since, due_at=meta.time)
unpaid.sink("remind", topic="commerce.unpaid", key=col.order_id)

shipping = (
    payments.select("due-step", col.order_id, col.tenant, col.at, step="paid")
    .merge("shipping", shipments)
    .group_by("shipping-by-order", col.order_id)
    .detect(
        "shipment-due",
        begin("paid", col.step == "paid").followed_by("shipped", col.step == "shipped").within(SHIP_WITHIN),
        emit={"tenant": matched.first("paid").tenant, "since": matched.first("paid").at},
    )
)
unshipped = shipping.timed_out().select("unshipped", col.order_id, col.tenant, col.since, due_at=meta.time)
unshipped.sink("chase", topic="commerce.unshipped", key=col.order_id)

# What did: each order with its payment, and those where the two do not agree.
paid = orders.group_by("orders-to-pay", col.order_id).join(
    "paid-orders",
    payments.group_by("payments-of-orders", col.order_id),
    within=("0s", PAY_WITHIN),
    select={
        "tenant": left.tenant,
        "amount": left.amount,
        "paid": right.amount,
        "currency": left.currency,
        "provider": right.provider,
        "placed_at": left.at,
        "paid_at": right.at,
    },
)
paid.sink("paid-out", topic="commerce.orders-paid", key=col.order_id)
paid.filter("differing", col.amount != col.paid).sink("differ", topic="commerce.payments-differ", key=col.order_id)

# For support: which orders of a shop wait for their money? A row lasts for a week.
unpaid.group_by("unpaid-by-tenant", col.tenant, col.order_id).window(tumbling("1d", retention="7d")).aggregate(
    "unpaid-orders", amount=agg.max(col.amount), since=agg.max(col.since)
)
