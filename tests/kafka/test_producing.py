"""Transactions: all or nothing, fenced, and never a silent failure."""

from __future__ import annotations

import asyncio

import pytest

from headrace.errors import InternalError, TaskMigrated
from headrace.kafka.client import connect
from headrace.kafka.errors import (
    CommitFailedError,
    CommitUnknownError,
    FencedError,
    RefusedError,
    StaleMemberError,
)
from headrace.kafka.model import Columns, GroupMember, Partition, Position
from headrace.kafka.offsets import committed
from headrace.kafka.producing import ProducerOptions, State, TransactionalProducer, fence
from tests.kafka.broker import Broker, Cluster
from tests.kafka.support import (
    NOBODY,
    NOW_MS,
    client,
    columns,
    producer,
    read,
    reader,
    run,
    stable_end,
    topic,
    unique,
    values,
    write,
)


async def content(bootstrap: str, name: str, records: int, partition: int = 0) -> list[bytes | None]:
    """Return the committed values, once there is an end behind ``records`` offsets."""
    where = Partition(name, partition)
    return values(await read(bootstrap, where, await stable_end(bootstrap, where, at_least=records)))


def test_a_commit_holds_all_partitions_and_the_positions(bootstrap: str) -> None:
    async def scenario() -> None:
        name, group = await topic(bootstrap, 4), unique("group")
        async with producer(bootstrap) as made:
            made.begin()
            for n in range(4):
                made.append(name, n, columns(b"%d" % n))
            await made.commit({Partition(name, 3): Position(7, "noted")}, GroupMember(group))
            assert made.buffered_bytes == 0
        for n in range(4):
            assert await content(bootstrap, name, 2, n) == [b"%d" % n]
        async with client(bootstrap) as connection:
            assert await committed(connection, group, [Partition(name, 3)]) == {
                Partition(name, 3): Position(7, "noted")
            }

    run(scenario())


def test_an_abort_takes_back_all_and_the_sequence_goes_on(bootstrap: str) -> None:
    async def scenario() -> None:
        name, group = await topic(bootstrap), unique("group")
        async with producer(bootstrap, batch_bytes=20_000) as made:
            epoch = made._delivery.producer.epoch
            for n in range(6):
                made.begin()
                made.append(name, 0, columns(*[b"%d" % n * 1000] * 200))
                if n % 3 == 0:
                    await made.commit({}, NOBODY)
                elif n % 3 == 1:
                    await asyncio.sleep(0.002)  # some batches are sent, one is on its way, others wait
                    await made.abort()
                else:
                    await made.abort()  # nothing was sent
            assert made._delivery.producer.epoch == epoch, "nothing was in doubt"
            made.begin()
            made.append(name, 0, columns(b"end"))
            await made.commit({Partition(name, 0): Position(1)}, GroupMember(group))
        found = await content(bootstrap, name, 404)
        assert found == [b"0" * 1000] * 200 + [b"3" * 1000] * 200 + [b"end"]

    run(scenario())


def test_a_transaction_with_nothing_in_it_ends_without_asking_the_broker(own_broker: Broker) -> None:
    async def scenario() -> None:
        async with producer(own_broker.bootstrap) as made:
            own_broker.pause()
            made.begin()
            await made.commit({}, NOBODY)
            made.begin()
            await made.abort()
            assert made.state is State.READY
            own_broker.resume()

    run(scenario())


def test_starting_a_producer_fences_the_one_before_and_aborts_its_transaction(bootstrap: str) -> None:
    async def scenario() -> None:
        name, ours = await topic(bootstrap), unique("tx")
        async with producer(bootstrap, ours) as zombie:
            zombie.begin()
            zombie.append(name, 0, columns(b"lost"))
            await zombie.flush()
            async with producer(bootstrap, ours) as owner:
                owner.begin()
                owner.append(name, 0, columns(b"kept"))
                with pytest.raises(FencedError, match=r"INVALID_PRODUCER_EPOCH|PRODUCER_FENCED") as caught:
                    await zombie.commit({}, NOBODY)
                assert isinstance(caught.value, TaskMigrated)
                await owner.commit({}, NOBODY)
            assert zombie.state is State.FENCED
            for use in (zombie.begin, lambda: zombie.append(name, 0, columns(b"x"))):
                with pytest.raises(FencedError, match="is fenced: another one owns the id now"):
                    use()
            for wait in (zombie.start, zombie.abort, zombie.flush, lambda: zombie.commit({}, NOBODY)):
                with pytest.raises(FencedError):
                    await wait()
        assert await content(bootstrap, name, 4) == [b"kept"]

    run(scenario())


def test_a_fenced_producer_is_told_when_it_writes(bootstrap: str) -> None:
    async def scenario() -> None:
        name, ours = await topic(bootstrap), unique("tx")
        async with producer(bootstrap, ours) as zombie, client(bootstrap) as connection:
            zombie.begin()
            zombie.append(name, 0, columns(b"1"))
            await zombie.flush()
            await fence(connection, ours)
            zombie.append(name, 0, columns(b"2"))
            with pytest.raises(FencedError):
                await zombie.flush()
            with pytest.raises(FencedError):
                zombie.append(name, 0, columns(b"3"))
        assert await content(bootstrap, name, 2) == []

    run(scenario())


def test_fencing_ends_a_transaction_that_a_dead_worker_left_open(bootstrap: str) -> None:
    async def scenario() -> None:
        name, ours, group = await topic(bootstrap), unique("tx"), unique("group")
        async with producer(bootstrap, ours) as dead, client(bootstrap) as connection:
            dead.begin()
            dead.append(name, 0, columns(b"lost"))
            await dead._send_offsets({Partition(name, 0): Position(9)}, GroupMember(group))
            await dead.flush()
            await fence(connection, ours)
            await fence(connection, unique("never-used"))
            assert await committed(connection, group, [Partition(name, 0)]) == {Partition(name, 0): None}
        await write(bootstrap, name, columns(b"after"))
        assert await content(bootstrap, name, 4) == [b"after"]

    run(scenario())


def test_a_member_of_an_older_generation_cannot_commit(bootstrap: str) -> None:
    async def scenario() -> None:
        source, target, group = await topic(bootstrap, 2), await topic(bootstrap), unique("group")
        options = {"group_id": group, "auto_offset_reset": "earliest", "heartbeat_interval_ms": 100}
        position = {Partition(source, 0): Position(1)}
        async with reader(bootstrap, **options) as first, producer(bootstrap) as made:
            first.subscribe([source])
            await until_assigned(first, 2)
            old = first.membership()
            made.begin()
            made.append(target, 0, columns(b"by the old"))
            async with reader(bootstrap, **options) as second:
                second.subscribe([source])
                await asyncio.gather(until_assigned(first, 1), until_assigned(second, 1))
                with pytest.raises(StaleMemberError, match="ILLEGAL_GENERATION") as caught:
                    await made.commit(position, old)
                assert isinstance(caught.value, CommitFailedError)
                assert made.state is State.FAILED
                await made.abort()
                made.begin()
                made.append(target, 0, columns(b"by the new"))
                await made.commit(position, first.membership())
                made.begin()
                with pytest.raises(StaleMemberError, match="UNKNOWN_MEMBER_ID"):
                    await made.commit(position, GroupMember(group, old.generation + 1, "stranger"))
                await made.abort()
        async with client(bootstrap) as connection:
            assert await committed(connection, group, list(position)) == position
        assert await content(bootstrap, target, 2) == [b"by the new"]

    run(scenario())


async def until_assigned(consumer: object, partitions: int) -> None:
    while len(consumer.assignment()) != partitions:  # type: ignore[attr-defined]
        await consumer.fetch(timeout_ms=20)  # type: ignore[attr-defined]


def test_a_static_member_that_was_replaced_cannot_commit(bootstrap: str) -> None:
    async def scenario() -> None:
        source, group = await topic(bootstrap), unique("group")
        options = {"group_id": group, "auto_offset_reset": "earliest", "group_instance_id": "pod-0"}
        async with reader(bootstrap, **options) as first, producer(bootstrap) as made:
            first.subscribe([source])
            await until_assigned(first, 1)
            old = first.membership()
            assert old.instance_id == "pod-0"
            # The pod comes back while the old process hangs: here the old one is stopped without leaving.
            await first._coordinator.close()
            async with reader(bootstrap, **options) as second:
                second.subscribe([source])
                await until_assigned(second, 1)
                made.begin()
                with pytest.raises(StaleMemberError, match="FENCED_INSTANCE_ID"):
                    await made.commit({Partition(source, 0): Position(1)}, old)
                await made.abort()
                made.begin()
                await made.commit({Partition(source, 0): Position(1)}, second.membership())

    run(scenario())


def test_a_record_of_more_than_a_megabyte_goes_where_the_topic_takes_it(bootstrap: str) -> None:
    large = bytes(range(256)) * 8192

    async def scenario() -> None:
        small, wide = await topic(bootstrap), await topic(bootstrap, max_message_bytes="3000000")
        async with producer(bootstrap) as made:
            made.begin()
            made.append(wide, 0, columns(b"before", large, b"behind"))
            await made.commit({}, NOBODY)
            made.begin()
            made.append(small, 0, columns(b"x"))
            made.append(small, 0, columns(large))
            with pytest.raises(CommitFailedError, match=r"MESSAGE_TOO_LARGE.*max\.message\.bytes") as caught:
                await made.commit({}, NOBODY)
            assert isinstance(caught.value.__cause__, RefusedError)
            await made.abort()
            made.begin()
            made.append(small, 0, columns(b"after"))
            await made.commit({}, NOBODY)
        where = Partition(wide, 0)
        assert values(await read(bootstrap, where, 3)) == [b"before", large, b"behind"]
        assert await content(bootstrap, small, 3) == [b"after"]

    run(scenario())


def test_a_transaction_that_is_open_for_too_long_is_aborted_and_its_producer_told(own_broker: Broker) -> None:
    own_broker.settings["transaction.abort.timed.out.transaction.cleanup.interval.ms"] = "200"
    own_broker.restart()
    bootstrap = own_broker.bootstrap

    async def scenario() -> None:
        name = await topic(bootstrap)
        async with producer(bootstrap, transaction_timeout_ms=300) as made:
            made.begin()
            made.append(name, 0, columns(b"too slow"))
            await made.flush()
            await stable_end(bootstrap, Partition(name, 0), at_least=2)
            with pytest.raises(FencedError):
                await made.commit({}, NOBODY)
        assert await content(bootstrap, name, 2) == []

    run(scenario())


def test_a_topic_that_is_not_there_fails_the_commit_in_bounded_time(bootstrap: str) -> None:
    async def scenario() -> None:
        async with producer(bootstrap, timeout_ms=500) as made:
            made.begin()
            made.append("not-there", 0, columns(b"x"))
            with pytest.raises(CommitFailedError, match=r"not done in 0\.5 s: UNKNOWN_TOPIC_OR_PARTITION"):
                await made.commit({}, NOBODY)
            await made.abort()
            assert made.state is State.READY

    run(scenario())


def test_a_batch_whose_fate_is_unknown_starts_a_new_epoch(own_broker: Broker) -> None:
    bootstrap = own_broker.bootstrap

    async def scenario() -> None:
        name = await topic(bootstrap)
        async with producer(bootstrap, timeout_ms=4000, request_timeout_ms=1000) as made:
            made.begin()
            made.append(name, 0, columns(b"first"))
            await made.commit({}, NOBODY)
            epoch = made._delivery.producer.epoch
            made.begin()
            made.append(name, 0, columns(b"known"))
            await made.flush()
            own_broker.pause()
            made.append(name, 0, columns(b"unknown"))
            await asyncio.sleep(0.2)  # it is on its way
            aborting = asyncio.create_task(made.abort())
            await asyncio.sleep(1.2)  # the request has run out of time
            own_broker.resume()
            await aborting
            assert made._delivery.producer.epoch == epoch + 1
            made.begin()
            made.append(name, 0, columns(b"last"))
            await made.commit({}, NOBODY)
        assert await content(bootstrap, name, 6) == [b"first", b"last"]

    run(scenario())


def test_a_commit_without_an_answer_is_in_doubt_until_the_producer_starts_again(own_broker: Broker) -> None:
    bootstrap = own_broker.bootstrap

    async def scenario() -> None:
        name, group = await topic(bootstrap), unique("group")
        where = Partition(name, 0)
        async with producer(bootstrap, timeout_ms=1500, request_timeout_ms=700) as made:
            made.begin()
            made.append(name, 0, columns(b"1"))
            await made._send_offsets({where: Position(1)}, GroupMember(group))
            await made.flush()
            own_broker.pause()
            with pytest.raises(CommitUnknownError, match="start the producer again"):
                await made.commit({}, NOBODY)
            assert made.state is State.UNKNOWN
            with pytest.raises(CommitUnknownError, match="start it again"):
                made.begin()
            own_broker.resume()
            await made.start()
            made.begin()
            made.append(name, 0, columns(b"2"))
            await made.commit({}, NOBODY)
            async with client(bootstrap) as connection:
                position = (await committed(connection, group, [where]))[where]
        # What was in doubt is one thing for the records and the position: all there, or nothing.
        found = await content(bootstrap, name, 4)
        assert found == ([b"1", b"2"] if position == Position(1) else [b"2"])

    run(scenario())


def test_an_interrupted_commit_must_be_aborted_and_can_be(bootstrap: str) -> None:
    async def scenario() -> None:
        name = await topic(bootstrap)
        async with producer(bootstrap) as made:
            made.begin()
            made.append(name, 0, columns(b"x" * 100_000))
            task = asyncio.create_task(made.commit({}, NOBODY))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(InternalError, match="is in a failed transaction, expected ready"):
                made.begin()
            await made.abort()
            made.begin()
            made.append(name, 0, columns(b"y"))
            await made.commit({}, NOBODY)
        found = await content(bootstrap, name, 2)
        assert found == [b"y"]

    run(scenario())


def test_misuse_is_refused_with_the_state(bootstrap: str) -> None:
    async def scenario() -> None:
        connection = await connect(bootstrap)
        made = TransactionalProducer(connection, "tx-misused")
        with pytest.raises(InternalError, match=r"^the producer of 'tx-misused' is not started, expected ready$"):
            made.begin()
        await made.start()
        with pytest.raises(InternalError, match="is ready, expected in a transaction"):
            made.append("t", 0, columns(b"x"))
        await made.close()
        with pytest.raises(InternalError, match="is closed"):
            made.begin()
        await connection.close()

    run(scenario())


def test_room_waits_while_too_much_is_on_its_way(bootstrap: str) -> None:
    async def scenario() -> None:
        name = await topic(bootstrap)
        async with producer(bootstrap, buffer_bytes=300_000, batch_bytes=100_000) as made:
            made.begin()
            for n in range(20):
                made.append(name, 0, columns(*[b"%d" % n * 50_000] * 2))
                await made.room()
                assert made.buffered_bytes < 300_000
            await made.commit({}, NOBODY)
        assert len(await content(bootstrap, name, 40)) == 40

    run(scenario())


def test_many_producers_share_one_connection(bootstrap: str) -> None:
    async def scenario() -> None:
        name = await topic(bootstrap, 8)
        async with client(bootstrap) as connection:
            made = [TransactionalProducer(connection, unique("tx"), ProducerOptions()) for _ in range(8)]
            await asyncio.gather(*(one.start() for one in made))

            async def work(number: int) -> None:
                for n in range(10):
                    made[number].begin()
                    made[number].append(name, number, Columns([b"%d" % n], [NOW_MS], [b"key"]))
                    await made[number].commit({}, NOBODY)

            await asyncio.gather(*(work(number) for number in range(8)))
            assert len(connection._conns) <= 2  # type: ignore[attr-defined]
        for number in range(8):
            assert await content(bootstrap, name, 20, number) == [b"%d" % n for n in range(10)]

    run(scenario())


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["kill", "restart", "pause"])
def test_transactions_go_on_when_a_broker_fails_and_nothing_is_lost_or_twice(cluster: Cluster, fault: str) -> None:
    bootstrap = cluster.bootstrap
    rounds = 60

    async def scenario() -> None:
        name, group = await topic(bootstrap, 3), unique("group")
        where = Partition(name, 0)
        async with producer(bootstrap, timeout_ms=60_000, request_timeout_ms=3000) as made:
            for n in range(rounds):
                if n == 20:
                    getattr(cluster.broker(1), "kill" if fault == "restart" else fault)()
                if n == 40 and fault == "restart":
                    await asyncio.to_thread(cluster.broker(1).start)
                made.begin()
                for partition in range(3):
                    made.append(name, partition, columns(*[b"%d" % n] * 20))
                await made.commit({where: Position(n)}, GroupMember(group))
            if fault == "pause":
                cluster.broker(1).resume()
            async with client(bootstrap, request_timeout_ms=3000) as connection:
                assert await committed(connection, group, [where]) == {where: Position(rounds - 1)}
            for partition in range(3):
                found = await content(bootstrap, name, 21 * rounds, partition)
                assert found == [b"%d" % n for n in range(rounds) for _ in range(20)]

    run(scenario(), 150)
