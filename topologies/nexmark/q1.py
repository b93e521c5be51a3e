"""q1, currency conversion: every bid with its price in euros, exact."""

from __future__ import annotations

from decimal import Decimal

from headrace import Topology, col
from topologies.nexmark import source

EUROS = Decimal("0.908")

topology = Topology("nexmark-q1")

(
    source.bids(source.read(topology))
    .select("bid", col.bid.auction, col.bid.bidder, col.at, col.bid.extra, price=col.bid.price * EUROS)
    .sink("out", topic="nexmark.q1")
)
