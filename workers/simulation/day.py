"""The simulated day: which topics there are, how big each is, and writing them out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from workers.simulation import access, commerce, inventory
from workers.simulation.mistakes import Mistakes, Tally, Weak, disturb
from workers.simulation.world import Message, Timed, World


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic: its share of all events, what makes them, and where they break."""

    share: float
    events: Callable[[World, Random, int], Iterator[Timed]]
    weak: Weak


def _data(message: Message) -> dict[str, object]:
    data = message["data"]
    if not isinstance(data, dict):
        raise TypeError(data)
    return data


def _spoil_login(message: Message) -> None:
    data = _data(message)
    data.pop("success", None)
    data["outcome"] = "maybe"


def _spoil_order(message: Message) -> None:
    items = _data(message)["items"]
    if isinstance(items, list):
        items[0]["quantity"] = -1


def _set(name: str, value: object) -> Callable[[Message], None]:
    return lambda message: _data(message).__setitem__(name, value)


def _set_plain(name: str, value: object) -> Callable[[Message], None]:
    return lambda message: message.__setitem__(name, value)


_USER = ("data", "user_id")
_TIME = ("time",)

TOPICS: Mapping[str, Topic] = {
    "access.logins": Topic(0.2, access.logins, Weak(_USER, _TIME, _spoil_login)),
    "access.roles": Topic(0.01, access.roles, Weak(_USER, _TIME, _set("change", "borrowed"))),
    "commerce.views": Topic(0.38, commerce.views, Weak(("user_id",), ("at",), _set_plain("path", "no-slash"))),
    "commerce.orders": Topic(0.15, commerce.orders, Weak(("tenant",), _TIME, _spoil_order)),
    "commerce.payments": Topic(0.15, commerce.payments, Weak(("data", "provider"), _TIME, _set("status", "lost"))),
    "commerce.shipments": Topic(0.04, commerce.shipments, Weak(("data", "warehouse"), _TIME, _set("weight_kg", -1.0))),
    "inventory.levels": Topic(0.07, inventory.levels, Weak(("sku",), ("counted_at",), _set_plain("on_hand", -3))),
}


def _count(topic: str, events: int) -> int:
    return max(1, round(events * TOPICS[topic].share))


@dataclass(frozen=True, slots=True)
class Day:
    """What was written: a file and a tally per topic."""

    files: dict[str, Path]
    tallies: dict[str, Tally]

    @property
    def records(self) -> int:
        """All records of all topics."""
        return sum(tally.records for tally in self.tallies.values())


def simulate(directory: Path, *, events: int, seed: int, tenants: int = 100, mistakes: Mistakes | None = None) -> Day:
    """Write a day of about so many events to ``directory``: one NDJSON file per topic, and ``tally.json``.

    Every topic has a random stream of its own, so that changing one leaves the others as they were; but payments and
    shipments follow the orders.
    """
    directory.mkdir(parents=True, exist_ok=True)
    world = World.of(tenants, seed=seed, orders=_count("commerce.orders", events))
    day = Day({}, {})
    for name, topic in TOPICS.items():
        rng = world.stream(name)
        produced = list(topic.events(world, rng, _count(name, events)))  # before its mistakes: it can be drawn again
        lines, tally = disturb(rng, produced, topic.weak, mistakes or Mistakes())
        path = directory / f"{name}.ndjson"
        path.write_bytes(b"\n".join(lines) + b"\n")
        day.files[name], day.tallies[name] = path, tally
    tallies = {name: tally.to_json() for name, tally in day.tallies.items()}
    (directory / "tally.json").write_text(json.dumps(tallies, indent=2) + "\n", encoding="utf-8")
    return day
