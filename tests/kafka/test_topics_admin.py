"""Topics are listed, created and deleted."""

from __future__ import annotations

import pytest

from headrace.kafka.errors import BrokerError, UnreachableError
from headrace.kafka.topics_admin import TopicAdmin, TopicInfo, TopicSpec
from tests.kafka.broker import Cluster
from tests.kafka.support import run, unique


def test_a_created_topic_is_as_asked_for(bootstrap: str) -> None:
    async def scenario() -> None:
        name = unique("made")
        async with TopicAdmin(bootstrap) as admin:
            spec = TopicSpec(name, 3, configs={"cleanup.policy": "compact,delete", "retention.ms": "5000"})
            assert await admin.create([spec]) == [name]
            assert await admin.create([spec]) == [], "a second time it is there"
            assert await admin.topics([name, "not-there"]) == {name: TopicInfo(name, 3, 1)}
            configs = (await admin.configs([name]))[name]
            assert configs["cleanup.policy"] == "compact,delete"
            assert configs["retention.ms"] == "5000"
            assert configs["max.message.bytes"] == "1048588", "defaults are among them"
            await admin.delete([name, "not-there"])
            while name in await admin.topics():
                pass
            assert await admin.create([]) == []
            assert await admin.configs([]) == {}
            await admin.delete([])

    run(scenario())


def test_a_topic_that_the_broker_refuses_is_an_error_with_its_reason(bootstrap: str) -> None:
    async def scenario() -> None:
        async with TopicAdmin(bootstrap) as admin:
            with pytest.raises(BrokerError, match=r"creating topic 'bad': .*replication factor.*"):
                await admin.create([TopicSpec("bad", 1, replication=7)])
            with pytest.raises(BrokerError, match=r"creating topic 'bad': .*no\.such\.thing"):
                await admin.create([TopicSpec("bad", 1, configs={"no.such.thing": "1"})])
            with pytest.raises(BrokerError, match="reading the settings of topic 'not-there'"):
                await admin.configs(["not-there"])

    run(scenario())


@pytest.mark.slow
def test_replication_is_the_brokers_default_unless_given(cluster: Cluster) -> None:
    async def scenario() -> None:
        async with TopicAdmin(cluster.bootstrap) as admin:
            await admin.create([TopicSpec("three", 2), TopicSpec("one", 2, replication=1)])
            assert await admin.topics(["three", "one"]) == {
                "three": TopicInfo("three", 2, 3),
                "one": TopicInfo("one", 2, 1),
            }

    run(scenario())


def test_no_broker_is_said_so() -> None:
    async def scenario() -> None:
        with pytest.raises(UnreachableError, match="no broker answers at"):
            async with TopicAdmin("127.0.0.1:1"):
                pass

    run(scenario())
