"""Nexmark: an auction house. One stream of persons, auctions and bids, each event with just one of the three.

The fields are those of Flink's and Beam's implementations; ``extra`` makes records as long as they are there. Times are
epoch milliseconds.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Person(BaseModel):
    """Someone who sells and bids has registered."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    email: str
    credit_card: str
    city: str
    state: str
    extra: str = ""


class Auction(BaseModel):
    """Something is for sale until ``expires``."""

    model_config = ConfigDict(frozen=True)

    id: int
    item: str
    description: str
    initial_bid: int
    reserve: int
    expires: int
    seller: int
    category: int
    extra: str = ""


class Bid(BaseModel):
    """Someone offers a price, in cents."""

    model_config = ConfigDict(frozen=True)

    auction: int
    bidder: int
    price: int
    channel: str
    url: str
    extra: str = ""


class AuctionHouseEvent(BaseModel):
    """What happened at ``at``: one of the three is there."""

    model_config = ConfigDict(frozen=True)

    at: int
    person: Person | None = None
    auction: Auction | None = None
    bid: Bid | None = None
