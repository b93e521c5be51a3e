"""The events of Nexmark: of 50 one person, three auctions and 46 bids, as Beam's and Flink's generators make them.

``python -m topologies.nexmark.generator --events 1000000 --out events.ndjson`` writes one JSON object a line, in the
order of event time. Half of the bids go to one hot auction in a hundred; three of four come from one hot bidder in a
hundred, and three of four auctions are of one hot seller in a hundred. Auctions and bids may name persons, and bids
auctions, that only come a little later.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

PERSONS, AUCTIONS, BIDS = 1, 3, 46  # of every 50 events
ROUND = PERSONS + AUCTIONS + BIDS
PER_SECOND = 10_000
LONGEST_MS = 8_000
BASE_MS = 1_767_571_200_000  # 2026-01-05T00:00:00Z
FIRST_ID = 1_000
FIRST_CATEGORY, CATEGORIES = 10, 5
ACTIVE_PERSONS, IN_FLIGHT, LEAD, HOT = 1_000, 100, 10, 100
CITIES = (
    "Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne",
)  # fmt: skip
STATES = ("AZ", "CA", "ID", "OR", "WA", "WY")
FIRST_NAMES = ("Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter")
LAST_NAMES = ("Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris")
CHANNELS = ("apple", "google", "facebook", "baidu")


def events(count: int, *, seed: int = 1, per_second: int = PER_SECOND) -> Iterator[bytes]:
    """Yield so many events, as JSON, so many for each second of event time."""
    rng = Random(seed)  # noqa: S311 - made up
    for number in range(count):
        at = BASE_MS + number * 1000 // per_second
        turn, place = divmod(number, ROUND)
        persons = turn + 1  # the one of this round comes first
        if place < PERSONS:
            yield _person(rng, at, turn)
        elif place < PERSONS + AUCTIONS:
            yield _auction(rng, at, (turn * AUCTIONS + place - PERSONS, persons), per_second)
        else:
            yield _bid(rng, at, (turn + 1) * AUCTIONS, persons)


def _person(rng: Random, at: int, number: int) -> bytes:
    first, last = rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)
    card = " ".join(f"{rng.randrange(10_000):04d}" for _ in range(4))
    return (
        f'{{"at":{at},"person":{{"id":{FIRST_ID + number},"name":"{first} {last}",'
        f'"email":"{first.lower()}.{last.lower()}@example.com","credit_card":"{card}",'
        f'"city":"{rng.choice(CITIES)}","state":"{rng.choice(STATES)}","extra":"{_extra(rng, 40)}"}}}}'
    ).encode()


def _auction(rng: Random, at: int, numbers: tuple[int, int], per_second: int) -> bytes:
    number, persons = numbers
    seller = (persons - 1) // HOT * HOT if rng.randrange(4) else _some_person(rng, persons)
    # About as long as a hundred further auctions take to come, twice that at most; and never as long as q4 looks.
    longest = min(LONGEST_MS, max(1, 2 * IN_FLIGHT * ROUND // AUCTIONS * 1000 // per_second))
    first = _price(rng)
    return (
        f'{{"at":{at},"auction":{{"id":{FIRST_ID + number},"item":"item {number}","description":"{_extra(rng, 80)}",'
        f'"initial_bid":{first},"reserve":{first + _price(rng)},"expires":{at + 1 + rng.randrange(longest)},'
        f'"seller":{FIRST_ID + seller},"category":{FIRST_CATEGORY + rng.randrange(CATEGORIES)},'
        f'"extra":"{_extra(rng, 250)}"}}}}'
    ).encode()


def _bid(rng: Random, at: int, auctions: int, persons: int) -> bytes:
    if rng.randrange(2):
        auction = (auctions - 1) // HOT * HOT
    else:
        oldest = max(0, auctions - IN_FLIGHT)
        auction = oldest + rng.randrange(auctions - oldest + LEAD)
    bidder = (persons - 1) // HOT * HOT + 1 if rng.randrange(4) else _some_person(rng, persons)
    channel = rng.choice(CHANNELS)
    return (
        f'{{"at":{at},"bid":{{"auction":{FIRST_ID + auction},"bidder":{FIRST_ID + bidder},"price":{_price(rng)},'
        f'"channel":"{channel}","url":"https://www.example.com/{channel}/item.htm","extra":"{_extra(rng, 20)}"}}}}'
    ).encode()


def _some_person(rng: Random, persons: int) -> int:
    active = min(persons, ACTIVE_PERSONS)
    return persons - active + rng.randrange(active + LEAD)


def _price(rng: Random) -> int:
    return int(10 ** (rng.random() * 6) * 100)


def _extra(rng: Random, length: int) -> str:
    return f"{rng.getrandbits(4 * length):0{length}x}"


def main() -> int:
    """Write events to a file."""
    parser = argparse.ArgumentParser(prog="python -m topologies.nexmark.generator", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="how many (default 1000000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed writes the same bytes (default 1)")
    parser.add_argument("--per-second", type=int, default=PER_SECOND, help="of event time (default 10000)")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    options = parser.parse_args()
    with options.out.open("wb") as file:
        file.writelines(
            line + b"\n" for line in events(options.events, seed=options.seed, per_second=options.per_second)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
