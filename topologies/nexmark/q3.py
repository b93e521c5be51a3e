"""q3, local item suggestion: who sells in a category, and lives in one of three states.

The query joins all persons with all auctions there ever were. Here one forgets after a day: state that only grows is no
state for a stream. A person may register a little after the auction that names it.
"""

from __future__ import annotations

from headrace import Topology, col, left, right
from topologies.nexmark import source

CATEGORY = 10
KEPT = "1d"

topology = Topology("nexmark-q3")

events = source.read(topology)
sellers = (
    source.persons(events)
    .filter("states", col.person.state.is_in(["OR", "ID", "CA"]))
    .select("seller", col.person.id, col.person.name, col.person.city, col.person.state)
    .group_by("by-id", col.id)
)
offers = (
    source.auctions(events)
    .filter("category", col.auction.category == CATEGORY)
    .select("offer", seller=col.auction.seller, auction=col.auction.id)
    .group_by("by-seller", id=col.seller)
)
sellers.join("local", offers, within=KEPT, select=[left.name, left.city, left.state, right.auction]).sink(
    "out", topic="nexmark.q3"
)
