"""q0, pass through: every bid as it is. What reading and writing cost."""

from __future__ import annotations

from headrace import Topology, col
from topologies.nexmark import source

topology = Topology("nexmark-q0")

(
    source.bids(source.read(topology))
    .select("bid", col.bid.auction, col.bid.bidder, col.bid.price, col.at, col.bid.extra)
    .sink("out", topic="nexmark.q0")
)
