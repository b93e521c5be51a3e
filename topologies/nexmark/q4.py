"""q4, average price for a category: of the prices that auctions closed with (see :mod:`topologies.nexmark.closing`)."""

from __future__ import annotations

from headrace import Topology, agg, col
from topologies.nexmark.closing import closing_prices

topology = Topology("nexmark-q4")

average = (
    closing_prices(topology)
    .group_by("by-category", col.category)
    .aggregate("average-price", price=agg.mean(col.price), auctions=agg.count())
)
average.on_update().sink("out", topic="nexmark.q4")
