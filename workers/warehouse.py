"""Pods of kind ``warehouse``: stock, and what to order."""

from __future__ import annotations

from topologies import low_stock, replenish

topologies = [low_stock.topology, replenish.topology]
