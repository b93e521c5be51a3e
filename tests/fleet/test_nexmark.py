"""Nexmark: every query against a direct computation over the same events."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from headrace.testing import CrashPoint, TopologyDriver
from headrace.topology.duration import duration_ms
from headrace.topology.topology import Topology
from schemas.nexmark import AuctionHouseEvent
from tests.fleet.nexmark_directly import EXACT, QUERIES, House, Row
from topologies.nexmark import closing, generator
from topologies.nexmark.source import TOPIC

EVENTS, PER_SECOND = 6_000, 150  # forty seconds: several windows of each query


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return list(generator.events(EVENTS, seed=3, per_second=PER_SECOND))


def topology(query: str) -> Topology:
    found = importlib.import_module(f"topologies.nexmark.{query}").topology
    assert isinstance(found, Topology)
    return found


def rows(query: str, driver: TopologyDriver) -> list[Row]:
    output = driver.output(f"nexmark.{query}")
    if query == "q4":  # changes: the newest of each category counts
        output = list({row["category"]: row for row in output}.values())
    exact = EXACT.get(query)
    return [tuple(Decimal(v) if name == exact else v for name, v in row.items()) for row in output]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_answers_what_plain_python_computes(query: str, lines: list[bytes]) -> None:
    driver = TopologyDriver(topology(query), start="2026-01-05T00:00:00Z")
    driver.pipe(TOPIC, lines)
    driver.finish()
    found, expected = rows(query, driver), QUERIES[query](House(lines))
    assert len(expected) > 2
    assert Counter(found) == Counter(expected)
    assert driver.dead_letters() == []
    assert driver.stats.late == 0


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_answers_the_same_record_by_record_and_through_crashes(query: str, lines: list[bytes]) -> None:
    driver = TopologyDriver(topology(query), start="2026-01-05T00:00:00Z", batch=1, cache_bytes=1)
    size = EVENTS // 12
    for number, start in enumerate(range(0, EVENTS, size)):
        driver.pipe(TOPIC, lines[start : start + size])
        driver.crash(list(CrashPoint)[number % len(CrashPoint)])
    driver.finish()
    assert Counter(rows(query, driver)) == Counter(QUERIES[query](House(lines)))


def test_the_averages_of_a_seller_come_in_the_order_of_the_closings(lines: list[bytes]) -> None:
    driver = TopologyDriver(topology("q6"), start="2026-01-05T00:00:00Z")
    driver.pipe(TOPIC, lines)
    driver.finish()
    found, expected = rows("q6", driver), QUERIES["q6"](House(lines))
    for seller in {row[0] for row in expected}:
        assert [row for row in found if row[0] == seller] == [row for row in expected if row[0] == seller]


def test_the_house_has_one_person_and_three_auctions_to_46_bids(lines: list[bytes]) -> None:
    house = House(lines)
    assert (len(house.persons), len(house.auctions), len(house.bids)) == (
        EVENTS // 50,
        EVENTS * 3 // 50,
        EVENTS * 46 // 50,
    )
    for line in lines[:200]:
        event = AuctionHouseEvent.model_validate_json(line)
        assert sum(part is not None for part in (event.person, event.auction, event.bid)) == 1


def test_no_auction_lasts_longer_than_the_queries_take_it_to(lines: list[bytes]) -> None:
    longest = max(auction["expires"] - auction["at"] for auction in House(lines).auctions)
    assert 0 < longest <= generator.LONGEST_MS < duration_ms(closing.LONGEST, "within")


def test_the_generator_writes_the_same_bytes_for_the_same_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def written(name: str, seed: str) -> bytes:
        path = tmp_path / name
        monkeypatch.setattr("sys.argv", ["generator", "--events", "200", "--seed", seed, "--out", str(path)])
        assert generator.main() == 0
        return path.read_bytes()

    first = written("a", "1")
    assert first == written("b", "1") != written("c", "2")
    parsed: list[dict[str, Any]] = [json.loads(line) for line in first.splitlines()]
    assert len(parsed) == 200
    assert [event["at"] for event in parsed] == sorted(event["at"] for event in parsed)
