"""Positions: those that a group has committed, the ends of partitions, and of which topics they are."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection
from enum import Enum
from typing import Any

from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.offset import OffsetRequest

from headrace.kafka.client import TRANSIENT, Client, Patience, leader_of, refuse_old_broker
from headrace.kafka.codes import LEADER_TROUBLE, Code, error_for, name_of
from headrace.kafka.coordination import Coordinator, Kind
from headrace.kafka.model import Partition, Position
from headrace.kafka.protocol import OffsetFetch, TopicIds, by_topic

_TIMEOUT_MS = 30_000
_NO_OFFSET = -1
_IDS = 1 << 64
_CLIENT = -1  # a replica id: we are none
_PENDING = frozenset({int(Code.UNSTABLE_OFFSET_COMMIT)})


class End(Enum):
    """Which end of a partition, as (timestamp in the request, isolation level)."""

    EARLIEST = (-2, 0)
    """The first record that there still is."""
    LATEST = (-1, 0)
    """Behind the last record that all in-sync replicas have."""
    LAST_STABLE = (-1, 1)
    """Before the first record of an open transaction: how far a read_committed consumer gets."""


async def committed(
    client: Client, group: str, partitions: Collection[Partition], *, timeout_ms: int = _TIMEOUT_MS
) -> dict[Partition, Position | None]:
    """Return the positions that the group has committed; None where there is none.

    While a transaction holds positions of these partitions that are neither committed nor aborted, waits: the answer
    never changes afterwards by what was sent before.

    Raises:
        UnreachableError: there is no answer in time, or a transaction stays open longer.
        BrokerError: the broker refuses.
    """
    if not partitions:
        return {}
    patience = Patience(f"reading the offsets of group {group!r}", timeout_ms)
    coordinator = Coordinator(client, Kind.GROUP, group)
    response = await coordinator.call(OffsetFetch(group, partitions), _codes, patience, busy=_PENDING)
    for code in _codes(response):
        if code != Code.NONE:
            raise error_for(code, patience.action)
    found: dict[Partition, Position | None] = dict.fromkeys((Partition(*p) for p in partitions), None)
    for topic, entries, _ in response.topics:
        for partition, offset, _epoch, metadata, *_ in entries:
            if offset != _NO_OFFSET:
                found[Partition(topic, partition)] = Position(offset, metadata or "")
    return found


async def list_offsets(
    client: Client, partitions: Collection[Partition], end: End, *, timeout_ms: int = _TIMEOUT_MS
) -> dict[Partition, int]:
    """Return the offset of one end of each partition, as its leader knows it.

    Raises:
        UnreachableError: a leader does not answer in time, or a topic is not known in that time.
        BrokerError: a broker refuses.
    """
    missing = {Partition(*partition) for partition in partitions}
    names = ", ".join(f"{p.topic}/{p.partition}" for p in sorted(missing)[:3])
    patience = Patience(f"looking up the {end.name.lower().replace('_', ' ')} offset of {names}", timeout_ms)
    found: dict[Partition, int] = {}
    while missing:
        shares: dict[int, list[Partition]] = defaultdict(list)
        why: object = Code.LEADER_NOT_AVAILABLE.name
        for partition in missing:
            node = leader_of(client, partition)
            if node is None:
                client.add_topic(partition.topic)
            else:
                shares[node].append(partition)
        answers = await asyncio.gather(*(_ask(client, node, share, end, patience) for node, share in shares.items()))
        for offsets, trouble in answers:
            found |= offsets
            missing -= offsets.keys()
            why = trouble or why
        if missing:
            await patience.refresh(client)
            await patience.pause(why)
    return found


async def topic_ids(client: Client, topics: Collection[str], *, timeout_ms: int = _TIMEOUT_MS) -> dict[str, str]:
    """Return the id of each topic, by name: offsets are those of this topic, not of one that had the name before.

    Brokers before Kafka 2.8 have no ids: then there are none.

    Raises:
        UnreachableError: there is no answer in time, or a topic is not known in that time.
        BrokerError: the broker refuses.
    """
    missing, found = set(topics), dict[str, str]()
    patience = Patience(f"looking up the ids of {', '.join(sorted(missing)[:3])}", timeout_ms)
    while missing:
        why: object = Code.UNKNOWN_TOPIC_OR_PARTITION.name
        try:
            request = TopicIds(sorted(missing))
            response = await asyncio.wait_for(client.send(client.get_random_node(), request), patience.remaining_s)
        except (IncompatibleBrokerVersion, NotImplementedError):
            return {}
        except TRANSIENT as error:
            why = error
        else:
            for code, name, high, low, *_ in response.topics:
                if code == Code.NONE:
                    missing.discard(name)
                    if high or low:
                        found[name] = f"{high % _IDS:016x}{low % _IDS:016x}"
                elif code not in LEADER_TROUBLE:
                    raise error_for(code, f"looking up the id of topic {name!r}")
        if missing:
            await patience.refresh(client)
            await patience.pause(why)
    return found


async def _ask(
    client: Client, node: int, partitions: list[Partition], end: End, patience: Patience
) -> tuple[dict[Partition, int], object]:
    """Return what one leader answers, and why something is missing."""
    timestamp, isolation = end.value
    topics = [(topic, [(p.partition, timestamp) for p in share]) for topic, share in by_topic(partitions)]
    try:
        request = OffsetRequest(_CLIENT, isolation, topics)
        response = await asyncio.wait_for(client.send(node, request), patience.remaining_s or 0.001)
    except TRANSIENT as error:
        refuse_old_broker(error, patience.action)
        return {}, error
    found: dict[Partition, int] = {}
    trouble: object = None
    for topic, entries in response.topics:
        for partition, code, _timestamp, offset in entries:
            if code == Code.NONE:
                found[Partition(topic, partition)] = offset
            elif code in LEADER_TROUBLE:
                trouble = name_of(code)
            else:
                raise error_for(code, f"looking up an offset of topic {topic!r} partition {partition}")
    return found, trouble


def _codes(response: Any) -> list[int]:
    return [response.error_code, *(entry[4] for topic in response.topics for entry in topic[1])]
