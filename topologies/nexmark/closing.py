"""Which price an auction closes with, for q4 and q6: its highest bid until it expires, both ends included.

A bid counts if its time lies within its auction's, whichever of the two is read first. The closing price is known
when no such bid can come any more. No auction lasts longer than ``LONGEST``, so that is so long after the last bid
that counts: the session of the auction ends. An auction without a bid has no price. Where others correct an average
again and again as prices rise, here each auction counts once, when it has closed.
"""

from __future__ import annotations

from headrace import Topology, agg, col, left, right, session
from headrace.topology.stream import Stream
from topologies.nexmark import source

LONGEST = "10s"


def closing_prices(topology: Topology) -> Stream:
    """Declare auctions with ``auction``, ``seller``, ``category`` and ``price``, each once, when it has closed."""
    events = source.read(topology)
    offers = (
        source.auctions(events)
        .select("offer", col.auction.id, col.auction.seller, col.auction.category, col.auction.expires)
        .group_by("by-id", auction=col.id)
    )
    prices = (
        source.bids(events).select("price", col.bid.auction, col.bid.price, col.at).group_by("by-auction", col.auction)
    )
    return (
        offers.join(
            "bids-in-time",
            prices,
            within=("0s", LONGEST),
            select=[left.seller, left.category, left.expires, right.price, right.at],
        )
        .filter("in-time", col.at <= col.expires)
        .group_by("again-by-auction", col.auction)
        .window(session(LONGEST))
        .aggregate("closing", price=agg.max(col.price), seller=agg.first(col.seller), category=agg.first(col.category))
        .on_close()
    )
