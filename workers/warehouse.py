"""Pods of kind ``warehouse``: stock, what to order, and what will be sold out."""

from __future__ import annotations

from topologies import low_stock, replenish, stock_forecast

topologies = [low_stock.topology, replenish.topology, stock_forecast.topology]
