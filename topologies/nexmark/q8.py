"""q8, monitor new users: who registered, and opened an auction, within the same ten seconds: each once."""

from __future__ import annotations

from headrace import Topology, col, left
from topologies.nexmark import source

WINDOW = "10s"
WINDOW_MS = 10_000

topology = Topology("nexmark-q8")

events = source.read(topology)
newcomers = (
    source.persons(events)
    .select("newcomer", col.person.id, col.person.name, since=col.at - col.at % WINDOW_MS)
    .group_by("by-person", col.id, col.since)
)
# Who opens several auctions counts once: the window is a part of the key.
sellers = (
    source.auctions(events)
    .select("seller", id=col.auction.seller, since=col.at - col.at % WINDOW_MS)
    .group_by("by-seller", col.id, col.since)
    .distinct("sellers", within=WINDOW)
    .group_by("once-by-seller", col.id, col.since)
)
newcomers.join("both", sellers, within=WINDOW, select=[left.name]).sink("out", topic="nexmark.q8")
