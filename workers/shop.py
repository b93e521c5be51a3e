"""Pods of kind ``shop``: orders, payments, shipments."""

from __future__ import annotations

from topologies import fulfilment, order_fulfilment, order_revenue, payment_health

topologies = [order_revenue.topology, payment_health.topology, order_fulfilment.topology, fulfilment.topology]
