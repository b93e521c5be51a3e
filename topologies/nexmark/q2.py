"""q2, selection: the bids for some auctions, one in 123."""

from __future__ import annotations

from headrace import Topology, col
from topologies.nexmark import source

topology = Topology("nexmark-q2")

(
    source.bids(source.read(topology))
    .filter("some", col.bid.auction % 123 == 0)
    .select("bid", col.bid.auction, col.bid.price)
    .sink("out", topic="nexmark.q2")
)
