"""Fetched records as columns, a batch at a time.

Asking aiokafka for records builds a ``ConsumerRecord`` for each in Python, which takes longer than everything else
that a simple topology does. Here the list of Cython records of each record batch is turned into columns at once.

This is the one module that reaches into ``aiokafka.consumer.fetcher``: a ``FetchResult`` in ``Fetcher._records``
holds a ``PartitionRecords``, whose generator is never started; its raw batches are read instead. The contract test
``tests/kafka/test_aiokafka_contract.py`` fails when a new version changes any part that is used.
"""

# ruff: noqa: SLF001 - the library has no public way to get at a whole batch

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchError, FetchResult
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    GroupAuthorizationFailedError,
    KafkaError,
    NoOffsetForPartitionError,
    TopicAuthorizationFailedError,
)
from aiokafka.errors import OffsetOutOfRangeError as LibraryOutOfRangeError

from headrace.kafka.errors import BrokerError, CorruptRecordError, NotAuthorizedError, OffsetOutOfRangeError
from headrace.kafka.model import Fetched, GroupMember, Headers, Partition
from headrace.runtime.schedule import wall_clock_ms

_NO_TIME = -1  # the oldest record format has none


class BatchConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """An aiokafka consumer that hands over columns; everything else is the library's.

    ``isolation_level="read_committed"`` and ``auto_offset_reset="none"`` are what tasks use.
    """

    async def fetch(
        self, *partitions: Partition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[Partition, Fetched]:
        """Return what has been fetched, and move the positions behind it.

        Args:
            partitions: which ones; none stands for all that are assigned. Paused ones are left as they are.
            timeout_ms: how long to wait if nothing is there. An answer may be empty.
            max_records: take no further record batch once there are so many. Batches are taken whole, so there may
                be more; there is at least one.

        Raises:
            OffsetOutOfRangeError: a position does not exist (any more), or there is none.
            CorruptRecordError: a checksum is wrong. The next call asks the broker again.
            NotAuthorizedError: the topic or group is not for us.
            BrokerError: the consumer is closed, or the group's protocol failed.
        """
        if self._closed:
            message = "the consumer is closed"
            raise BrokerError(message)
        try:
            self._coordinator.check_errors()
            with self._subscription.fetch_context():
                return await fetch_columns(self._fetcher, partitions, timeout_ms / 1000, max_records)
        except (KafkaError, ConsumerStoppedError) as error:
            raise _translated(error) from error

    def resume(self, *partitions: Partition) -> None:
        """Go on with paused partitions; what was fetched before the pause is handed over first."""
        super().resume(*partitions)
        for waiter in list(self._fetcher._fetch_waiters):
            self._fetcher._notify(waiter)

    def is_drained(self, partition: Partition, position: int, *, within_ms: int) -> bool:
        """Tell whether a broker has said, no longer ago than this, that there is nothing from ``position`` on."""
        polled_ms, end = self.last_poll_timestamp(partition), self.highwater(partition)
        return (
            polled_ms is not None and end is not None and position >= end and wall_clock_ms() - polled_ms <= within_ms
        )

    async def stop(self) -> None:
        """Leave the group and close all connections."""
        # A task of the library's that is cancelled before its first step would cancel who stops the consumer.
        await asyncio.sleep(0)
        await super().stop()

    def membership(self) -> GroupMember:
        """Return this consumer's place in its group, for committing offsets in a transaction."""
        coordinator = self._coordinator
        if self._group_id is None:
            message = "the consumer has no group"
            raise BrokerError(message)
        member = coordinator.member_id if coordinator.generation >= 0 else ""
        return GroupMember(self._group_id, coordinator.generation, member, self._group_instance_id)


async def fetch_columns(
    fetcher: Any, partitions: Sequence[Partition], timeout_s: float, max_records: int | None
) -> dict[Partition, Fetched]:
    """Do for columns what ``Fetcher.fetched_records`` does for records."""
    end = time.monotonic() + timeout_s
    while True:
        if fetcher._subscriptions.reassignment_in_progress:
            # What is there may belong to somebody else after the rebalance.
            await fetcher._subscriptions.wait_for_assignment()
        taken = _take_all(fetcher, partitions, max_records)
        remaining_s = end - time.monotonic()
        if taken or remaining_s <= 0:
            return taken
        waiter = fetcher._create_fetch_waiter()
        done, _ = await asyncio.wait([waiter], timeout=remaining_s)
        if not done:
            waiter.cancel()
            return {}
        waiter.result()  # raises what the coordinator passed to those who wait
        if fetcher._closed:
            return {}


def _take_all(fetcher: Any, partitions: Sequence[Partition], max_records: int | None) -> dict[Partition, Fetched]:
    taken: dict[Partition, Fetched] = {}
    room = max_records
    for key in list(fetcher._records):
        if partitions and key not in partitions:
            if not fetcher._subscriptions.is_assigned(key):
                del fetcher._records[key]
            continue
        result = fetcher._records[key]
        if type(result) is not FetchResult:
            if not taken:  # else the error is raised by the next call
                _forget(fetcher, key)
                result.check_raise()
            continue
        if _is_paused(result):
            continue
        try:
            batch = _take(fetcher, key, result, room)
        except KafkaError as error:
            if not taken:
                raise
            fetcher._records[key] = FetchError(error=error, backoff=0)
            continue
        if batch is not None:
            taken[Partition(*key)] = batch
            if room is not None:
                room -= len(batch)
                if room <= 0:
                    break
    return taken


def _take(fetcher: Any, key: Any, result: Any, room: int | None) -> Fetched | None:
    """Return the columns of one partition; None if what was fetched is of no use any more."""
    if not result.check_assignment(key) or not result.has_more():
        _forget(fetcher, key)
        return None
    source = result._partition_records
    try:
        batch = _read(source, room)
    except Exception:
        _forget(fetcher, key)  # fetched anew from the position, which has not moved
        raise
    result._update_position()
    if not source._records.has_next():
        _forget(fetcher, key)
    return batch if batch.next_offset > batch.first_offset else None


def _is_paused(result: Any) -> bool:
    """Return whether the partition is paused: then what was fetched is kept for later, not thrown away."""
    assignment = result._assignment
    return bool(assignment.active and assignment.state_value(result._topic_partition).paused)


def _forget(fetcher: Any, key: Any) -> None:
    """Drop what was fetched of a partition, and let the fetcher ask for more."""
    fetcher._records.pop(key, None)
    fetcher._notify(fetcher._wait_consume_future)


def _read(source: Any, room: int | None) -> Fetched:
    """Return the columns of a ``PartitionRecords``, as ``_unpack_records`` would give its records."""
    records: list[Any] = []
    first = source.next_fetch_offset
    batches = source._records
    while batches.has_next() and (room is None or len(records) < room):
        batch = batches.next_batch()
        if source._check_crcs and not batch.validate_crc():
            message = f"the checksum of a batch at or behind offset {source.next_fetch_offset} is wrong"
            raise CorruptRecordException(message)
        if _is_visible(source, batch):
            found = list(batch)
            if found and found[0].offset < source.next_fetch_offset:
                # The position is inside the batch: brokers send batches whole.
                found = [record for record in found if record.offset >= source.next_fetch_offset]
            records += found
        # Behind the last offset the batch ever had, whether or not compaction left that record: else the position
        # would stay before the batch, and it would be fetched for ever.
        source.next_fetch_offset = max(source.next_fetch_offset, batch.next_offset)
    return _columns(source._tp, records, first, source.next_fetch_offset)


def _is_visible(source: Any, batch: Any) -> bool:
    """Return whether a batch has records for the reader: no marker, and not of an aborted transaction."""
    if source._isolation_level == READ_COMMITTED and batch.producer_id is not None:
        source._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch:
            if source._contains_abort_marker(batch):
                source._aborted_producers.discard(batch.producer_id)
        elif batch.is_transactional and batch.producer_id in source._aborted_producers:
            return False
    return not batch.is_control_batch


def _columns(key: Any, records: list[Any], first: int, following: int) -> Fetched:
    times = [record.timestamp for record in records]
    if None in times[:1]:
        times = [_NO_TIME if time is None else time for time in times]
    headers: list[Headers] | None = [record.headers for record in records]
    if headers is not None and not any(headers):
        headers = None
    return Fetched(
        key.topic,
        key.partition,
        first,
        following,
        values=[record.value for record in records],
        keys=[record.key for record in records],
        times=times,
        offsets=_offsets(records),
        headers=headers,
    )


def _offsets(records: list[Any]) -> Sequence[int]:
    """Return the offsets; as a range, which costs nothing, where there is no gap."""
    if not records:
        return range(0)
    first, last = records[0].offset, records[-1].offset
    if last - first + 1 == len(records):
        return range(first, last + 1)
    return [record.offset for record in records]


def _translated(error: Exception) -> BrokerError:
    """Return our error for one of the library's."""
    text = str(error) or type(error).__name__
    kinds: tuple[tuple[Any, type[BrokerError]], ...] = (
        ((LibraryOutOfRangeError, NoOffsetForPartitionError), OffsetOutOfRangeError),
        (CorruptRecordException, CorruptRecordError),
        ((TopicAuthorizationFailedError, GroupAuthorizationFailedError), NotAuthorizedError),
    )
    kind = next((ours for theirs, ours in kinds if isinstance(error, theirs)), BrokerError)
    return kind(f"fetching failed: {text}", code=getattr(error, "errno", -1))
