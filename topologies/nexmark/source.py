"""The one stream that all queries read, and its three parts."""

from __future__ import annotations

from headrace import Topology, col
from headrace.topology.stream import Stream
from schemas.nexmark import AuctionHouseEvent

TOPIC = "nexmark.events"


def read(topology: Topology) -> Stream:
    """Declare the stream of all events."""
    return topology.source("events", topic=TOPIC, schema=AuctionHouseEvent, time=col.at)


def bids(events: Stream) -> Stream:
    """Return the bids of it."""
    return events.filter("bids", col.bid.is_not_null())


def auctions(events: Stream) -> Stream:
    """Return the auctions of it."""
    return events.filter("auctions", col.auction.is_not_null())


def persons(events: Stream) -> Stream:
    """Return the persons of it."""
    return events.filter("persons", col.person.is_not_null())
