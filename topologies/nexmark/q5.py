"""q5, hot items: which auction had most bids in ten seconds, every two seconds; several if they had as many."""

from __future__ import annotations

from headrace import Topology, agg, col, hopping, tumbling
from topologies.nexmark import source

State = list[int]  # the highest number of bids, and the auctions that have it


def nothing() -> State:
    """Return the state before any auction."""
    return [0]


def add(state: State, auction: int, bids: int) -> State:
    """Take an auction."""
    if bids < state[0]:
        return state
    return [*state, auction] if bids == state[0] else [bids, auction]


def merge(one: State, other: State) -> State:
    """Take what another state has."""
    if one[0] == other[0]:
        return one + other[1:]
    return max(one, other, key=lambda state: state[0])


def hottest(state: State) -> list[int]:
    """Return the auctions with most bids."""
    return sorted(state[1:])


topology = Topology("nexmark-q5")

counts = (
    source.bids(source.read(topology))
    .select("bid", col.bid.auction)
    .group_by("by-auction", col.auction)
    .window(hopping("10s", "2s"))
    .aggregate("bids-per-auction", bids=agg.count())
    .on_close()
)
# The rows of one window have its end as their time: windows of two seconds keep them apart.
(
    counts.group_by("by-window", since=col.window_start)
    .window(tumbling("2s"))
    .aggregate(
        "hot",
        auctions=agg.custom(
            col.auction, col.bids, init=nothing, add=add, merge=merge, result=hottest, returns=list[int]
        ),
        bids=agg.max(col.bids),
    )
    .on_close()
    .explode("each", col.auctions, name="auction")
    .select("item", col.auction, col.bids, col.since)
    .sink("out", topic="nexmark.q5")
)
