"""Committed positions are stable, and the ends of partitions are told apart."""

from __future__ import annotations

import asyncio

import pytest

from headrace.kafka.errors import UnreachableError
from headrace.kafka.model import GroupMember, Partition, Position
from headrace.kafka.offsets import End, committed, list_offsets
from tests.kafka.support import NOBODY, client, columns, producer, run, stable_end, topic, unique, write


def test_positions_come_back_with_their_metadata(bootstrap: str) -> None:
    async def scenario() -> None:
        name, group = await topic(bootstrap, 3), unique("group")
        wanted = [Partition(name, n) for n in range(3)]
        positions = {wanted[0]: Position(5, "watermark=é"), wanted[1]: Position(0)}
        async with producer(bootstrap) as made, client(bootstrap) as connection:
            made.begin()
            await made.commit(positions, GroupMember(group))
            assert await committed(connection, group, wanted) == {**positions, wanted[2]: None}
            assert await committed(connection, group, []) == {}

    run(scenario())


@pytest.mark.parametrize("keep", [True, False])
def test_positions_in_an_open_transaction_are_waited_for(bootstrap: str, keep: bool) -> None:
    async def scenario() -> Position | None:
        name, group = await topic(bootstrap), unique("group")
        partition = Partition(name, 0)
        async with producer(bootstrap) as made, client(bootstrap) as connection:
            made.begin()
            await made.commit({partition: Position(1)}, GroupMember(group))
            made.begin()
            await made._send_offsets({partition: Position(2)}, GroupMember(group))
            with pytest.raises(UnreachableError, match=r"reading the offsets of group .* UNSTABLE_OFFSET_COMMIT"):
                await committed(connection, group, [partition], timeout_ms=300)
            reading = asyncio.create_task(committed(connection, group, [partition]))
            await (made.commit({}, NOBODY) if keep else made.abort())
            return (await reading)[partition]

    assert run(scenario()) == Position(2 if keep else 1)


def test_the_ends_of_partitions_are_told_apart(bootstrap: str) -> None:
    async def scenario() -> None:
        name = await topic(bootstrap, 2)
        first, second = Partition(name, 0), Partition(name, 1)
        await write(bootstrap, name, columns(b"a", b"b"))
        async with producer(bootstrap) as made, client(bootstrap) as connection:
            made.begin()
            made.append(name, 0, columns(b"open"))
            await made.flush()
            both = [first, second]
            assert await list_offsets(connection, both, End.EARLIEST) == {first: 0, second: 0}
            assert await list_offsets(connection, both, End.LATEST) == {first: 4, second: 0}
            assert await list_offsets(connection, both, End.LAST_STABLE) == {first: 3, second: 0}
            await made.abort()
            assert await stable_end(bootstrap, first, at_least=5) == 5
            assert await list_offsets(connection, [], End.LATEST) == {}

    run(scenario())


def test_a_topic_that_is_not_there_is_an_error_in_the_end(bootstrap: str) -> None:
    async def scenario() -> None:
        async with client(bootstrap) as connection:
            with pytest.raises(UnreachableError, match="latest offset of not-there/0"):
                await list_offsets(connection, [Partition("not-there", 0)], End.LATEST, timeout_ms=300)

    run(scenario())
