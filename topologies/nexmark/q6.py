"""q6, average selling price by seller: of its last ten auctions, each time that one closes.

The prices are those of :mod:`topologies.nexmark.closing`. Auctions close in the order of their last bids that count.
"""

from __future__ import annotations

from headrace import Topology, agg, col, count_window
from topologies.nexmark.closing import closing_prices

topology = Topology("nexmark-q6")

(
    closing_prices(topology)
    .group_by("by-seller", col.seller)
    .window(count_window(10, every=1))
    .aggregate("last-ten", price=agg.mean(col.price), auction=agg.last(col.auction))
    .on_close()
    .select("average", col.seller, col.auction, col.price)
    .sink("out", topic="nexmark.q6")
)
