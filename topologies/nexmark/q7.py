"""q7, highest bid of every ten seconds; several if they are equal: the highest price, joined with the bids again."""

from __future__ import annotations

from headrace import Topology, agg, col, left, tumbling
from topologies.nexmark import source

WINDOW = "10s"
WINDOW_MS = 10_000

topology = Topology("nexmark-q7")

bids = source.bids(source.read(topology)).select(
    "bid",
    col.bid.auction,
    col.bid.bidder,
    col.bid.price,
    col.bid.extra,
    col.at,
    since=col.at - col.at % WINDOW_MS,
)
highest = (
    bids.group_by("by-window", col.since)
    .window(tumbling(WINDOW))
    .aggregate("highest", price=agg.max(col.price))
    .on_close()
    .group_by("highest-by-price", col.since, col.price)
)
# A row of a window has the window's last moment as its time.
bids.group_by("by-price", col.since, col.price).join(
    "highest-bids", highest, within=("0s", WINDOW), select=[left.auction, left.bidder, left.extra, left.at]
).sink("out", topic="nexmark.q7")
