"""Read what is in topics."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import NamedTuple

from headrace.kafka.model import Fetched, Headers, Partition
from headrace.kafka.offsets import End, list_offsets
from headrace.kafka.topics_admin import TopicAdmin
from tests.kafka.support import client, reader

_LONGEST_S = 30


class Taken(NamedTuple):
    """One record."""

    key: bytes | None
    value: bytes | None
    time_ms: int
    headers: Headers


async def everything(bootstrap: str, topics: Collection[str]) -> dict[str, list[Taken]]:
    """Return all committed records of some topics; fail if an open transaction hides the end of one.

    A topic that is not there has none.
    """
    async with TopicAdmin(bootstrap) as admin:
        known = await admin.topics()
    places = [Partition(topic, n) for topic in topics if topic in known for n in range(known[topic].partitions)]
    async with client(bootstrap) as connection:
        ends = await list_offsets(connection, places, End.LATEST)
    found: dict[str, list[Taken]] = {topic: [] for topic in topics}
    left = {place for place in places if ends[place]}
    async with asyncio.timeout(_LONGEST_S), reader(bootstrap, *left) as consumer:
        while left:
            for place, batch in (await consumer.fetch(timeout_ms=1000)).items():
                found[place.topic] += _rows(batch)
                if batch.next_offset >= ends[place]:
                    left.discard(place)
    return found


def _rows(batch: Fetched) -> list[Taken]:
    headers = batch.headers or [()] * len(batch)
    return [Taken(*one) for one in zip(batch.keys, batch.values, batch.times, headers, strict=True)]
