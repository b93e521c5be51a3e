"""Fetched records arrive as columns, over gaps, markers and aborted transactions."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from headrace.kafka.errors import BrokerError, CorruptRecordError, OffsetOutOfRangeError
from headrace.kafka.model import Columns, Fetched, Partition
from headrace.kafka.offsets import End, list_offsets
from tests.kafka.support import (
    NOBODY,
    NOW_MS,
    client,
    columns,
    producer,
    read,
    read_until,
    reader,
    run,
    stable_end,
    topic,
    unique,
    values,
    write,
)


def joined(batches: list[Fetched]) -> tuple[list[bytes | None], list[int]]:
    return values(batches), [offset for batch in batches for offset in batch.offsets]


def test_keys_values_times_and_headers_are_kept(bootstrap: str) -> None:
    given = Columns(
        values=[b"v0", None, b"", b"v3"],
        times=[NOW_MS + 9, NOW_MS, NOW_MS + 5, 0],
        keys=[b"k", b"", None, None],
        headers=[[("a", b"1"), ("a", b"2"), ("nothing", None)], [], [("é", b"\xff")], []],
    )

    async def scenario() -> list[Fetched]:
        name = await topic(bootstrap)
        await write(bootstrap, name, given)
        return await read(bootstrap, Partition(name, 0), 5)

    batches = run(scenario())
    assert values(batches) == given.values
    assert [time for batch in batches for time in batch.times] == given.times
    assert [key for batch in batches for key in batch.keys] == given.keys
    assert [headers for batch in batches for headers in batch.headers or ()] == given.headers


def test_headers_are_none_where_no_record_has_any(bootstrap: str) -> None:
    async def scenario() -> list[Fetched]:
        name = await topic(bootstrap)
        await write(bootstrap, name, columns(b"a", b"b"))
        return await read(bootstrap, Partition(name, 0), 2)

    (batch,) = run(scenario())
    assert batch.headers is None
    assert batch.offsets == range(2)


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_compression_is_written_and_read(bootstrap: str, compression: str) -> None:
    expected = [b"value-%d" % n * 20 for n in range(5000)]

    async def scenario() -> list[Fetched]:
        name = await topic(bootstrap)
        await write(bootstrap, name, columns(*expected), compression=compression, batch_bytes=200_000)
        return await read(bootstrap, Partition(name, 0), 5001)

    assert values(run(scenario())) == expected


def test_aborted_transactions_are_passed_over_and_the_position_goes_behind_their_markers(bootstrap: str) -> None:
    async def scenario() -> tuple[list[Fetched], list[Fetched], int]:
        name = await topic(bootstrap)
        async with producer(bootstrap) as made, producer(bootstrap) as other:
            for n, keep in enumerate([True, False, False, True, False]):
                made.begin()
                other.begin()
                made.append(name, 0, columns(b"%d" % n))
                await made.flush()
                other.append(name, 0, columns(b"other-%d" % n))
                await other.flush()
                await (made.commit({}, NOBODY) if keep else made.abort())
                await (other.abort() if keep else other.commit({}, NOBODY))
        partition = Partition(name, 0)
        end = await stable_end(bootstrap, partition, at_least=20)
        dirty = await read(bootstrap, partition, end, isolation_level="read_uncommitted")
        return await read(bootstrap, partition, end), dirty, end

    clean, dirty, end = run(scenario())
    assert end == 20, "ten records, ten markers"
    assert joined(clean) == ([b"0", b"other-1", b"other-2", b"3", b"other-4"], [0, 5, 9, 12, 17])
    assert len(values(dirty)) == 10
    for batches in (clean, dirty):
        assert batches[0].first_offset == 0
        assert batches[-1].next_offset == end, "no record there, and yet the position is behind the last marker"
        assert all(a.next_offset == b.first_offset for a, b in pairwise(batches))


def test_a_batch_with_nothing_to_read_moves_the_position_all_the_same(bootstrap: str) -> None:
    async def scenario() -> list[Fetched]:
        name = await topic(bootstrap)
        async with producer(bootstrap) as made:
            made.begin()
            made.append(name, 0, columns(b"gone", b"gone"))
            await made.flush()
            await made.abort()
        return await read(bootstrap, Partition(name, 0), 3)

    batches = run(scenario())
    assert values(batches) == []
    assert batches[-1].next_offset == 3


def test_what_compaction_has_removed_is_passed_over(bootstrap: str) -> None:
    async def scenario() -> tuple[list[bytes | None], list[int]]:
        settings = {"cleanup_policy": "compact", "segment_ms": "1", "min_cleanable_dirty_ratio": "0.01"}
        name = await topic(bootstrap, **settings, delete_retention_ms="0")
        partition = Partition(name, 0)
        for n in range(4):
            keyed = Columns([b"%d" % n] * 3, [NOW_MS] * 3, [b"a", b"b", b"only-%d" % n])
            await write(bootstrap, name, keyed)
        while True:  # the cleaner works in the background, and never on the newest segment
            await write(bootstrap, name, Columns([b"x"], [NOW_MS], [b"last"]))
            async with client(bootstrap) as connection:
                end = (await list_offsets(connection, [partition], End.LATEST))[partition]
            found = await read(bootstrap, partition, end)
            early = [n for n in joined(found)[1] if n < 16]
            if early == [2, 6, 10, 12, 13, 14]:
                assert all(a.next_offset == b.first_offset for a, b in pairwise(found))
                return values(found)[:6], early

    assert run(scenario())[0] == [b"0", b"1", b"2", b"3", b"3", b"3"]


def test_reading_from_inside_a_batch_starts_at_the_position(bootstrap: str) -> None:
    async def scenario() -> list[Fetched]:
        name = await topic(bootstrap)
        await write(bootstrap, name, columns(*(b"%d" % n for n in range(10))))
        return await read(bootstrap, Partition(name, 0), 10, at=7)

    (batch,) = run(scenario())
    assert (batch.first_offset, batch.offsets, batch.values) == (7, range(7, 10), [b"7", b"8", b"9"])


def test_a_limit_on_records_cuts_between_record_batches_only(bootstrap: str) -> None:
    async def scenario() -> list[Fetched]:
        name = await topic(bootstrap)
        await write(bootstrap, name, *(columns(b"a", b"b", b"c") for _ in range(4)))
        async with reader(bootstrap, Partition(name, 0)) as consumer:
            found: list[Fetched] = []
            while not found or found[-1].next_offset < 15:
                found += (await consumer.fetch(timeout_ms=1000, max_records=4)).values()
            return found

    batches = run(scenario())
    assert sum(map(len, batches)) == 12
    assert {len(batch) for batch in batches} <= {3, 6}, "the second record batch passes the limit of 4"
    assert all(a.next_offset == b.first_offset for a, b in pairwise(batches))


def test_a_paused_partition_keeps_what_was_fetched_and_goes_on_at_once(bootstrap: str) -> None:
    async def scenario() -> None:
        name = await topic(bootstrap, 2)
        first, second = Partition(name, 0), Partition(name, 1)
        await write(bootstrap, name, columns(b"0"))
        await write(bootstrap, name, columns(b"1"), partition=1)
        async with reader(bootstrap, first, second) as consumer:
            await asyncio.wait_for(fetched(consumer, {first, second}), 10)
            consumer.pause(first)
            assert set(await consumer.fetch(timeout_ms=1000)) == {second}
            # a transaction's marker may still come: a batch without records
            assert not any(map(len, (await consumer.fetch(timeout_ms=50)).values()))
            waiting = asyncio.create_task(consumer.fetch(timeout_ms=20_000))
            await asyncio.sleep(0)
            consumer.resume(first)
            assert (await waiting)[first].values == [b"0"]

    run(scenario())


async def fetched(consumer: object, wanted: set[Partition]) -> None:
    while not wanted <= set(consumer._fetcher._records):  # type: ignore[attr-defined]  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.01)


def test_seek_goes_back_and_forth(bootstrap: str) -> None:
    async def scenario() -> None:
        name = await topic(bootstrap)
        partition = Partition(name, 0)
        await write(bootstrap, name, columns(*(b"%d" % n for n in range(5))))
        async with reader(bootstrap, partition) as consumer:
            await read_until(consumer, partition, 5)
            consumer.seek(partition, 1)
            assert values(await read_until(consumer, partition, 5)) == [b"1", b"2", b"3", b"4"]
            assert await consumer.position(partition) >= 5

    run(scenario())


def test_a_group_hands_out_partitions_and_tells_its_generation(bootstrap: str) -> None:
    async def scenario() -> None:
        name = await topic(bootstrap, 2)
        await write(bootstrap, name, columns(b"0"))
        await write(bootstrap, name, columns(b"1"), partition=1)
        group = unique("group")
        async with reader(bootstrap, group_id=group, auto_offset_reset="earliest") as consumer:
            consumer.subscribe([name])
            found: set[bytes | None] = set()
            while found != {b"0", b"1"}:
                for batch in (await consumer.fetch(timeout_ms=1000)).values():
                    found |= set(batch.values)
            member = consumer.membership()
            assert (member.group, member.generation, member.instance_id) == (group, 1, None)
            assert member.member_id

    run(scenario())


def test_a_position_that_does_not_exist_is_an_error(bootstrap: str) -> None:
    async def scenario() -> None:
        name = await topic(bootstrap)
        async with reader(bootstrap, Partition(name, 0), at=99) as consumer:
            with pytest.raises(OffsetOutOfRangeError, match="99"):
                await consumer.fetch(timeout_ms=5000)

    run(scenario())


def test_a_wrong_checksum_is_an_error_and_the_batches_before_it_are_not_lost(bootstrap: str) -> None:
    async def scenario() -> None:
        name = await topic(bootstrap, 2)
        first, second = Partition(name, 0), Partition(name, 1)
        await write(bootstrap, name, columns(b"good"))
        await write(bootstrap, name, columns(b"bad"), partition=1)
        async with reader(bootstrap, first, second) as consumer:
            await asyncio.wait_for(fetched(consumer, {first, second}), 10)
            records = consumer._fetcher._records
            records[second]._partition_records._records = Spoilt(records[second]._partition_records._records)
            if next(iter(records)) == second:
                records.move_to_end(second)
            assert (await consumer.fetch())[first].values == [b"good"]
            with pytest.raises(CorruptRecordError, match="checksum of a batch at or behind offset 0 is wrong"):
                await consumer.fetch()
            assert values(await read_until(consumer, second, 1)) == [b"bad"], "fetched anew, it is right"

    run(scenario())


class Spoilt:
    """Record batches of which every checksum is wrong."""

    def __init__(self, batches: object) -> None:
        self.batches = batches

    def has_next(self) -> bool:
        return True

    def next_batch(self) -> Spoilt:
        return self

    def validate_crc(self) -> bool:
        return False


def test_a_closed_consumer_says_so(bootstrap: str) -> None:
    async def scenario() -> None:
        name = await topic(bootstrap)
        async with reader(bootstrap, Partition(name, 0)) as consumer:
            pass
        with pytest.raises(BrokerError, match="the consumer is closed"):
            await consumer.fetch()

    run(scenario())


def test_log_append_time_is_the_brokers(bootstrap: str) -> None:
    async def scenario() -> list[Fetched]:
        name = await topic(bootstrap, message_timestamp_type="LogAppendTime")
        await write(bootstrap, name, columns(b"a", b"b"))
        return await read(bootstrap, Partition(name, 0), 2)

    (batch,) = run(scenario())
    assert batch.times[0] == batch.times[1] > NOW_MS + 1000
