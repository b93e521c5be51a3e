"""Local state is brought to where the changelog is, and is built anew when it is of no use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from headrace.errors import StateError
from headrace.kafka.changelog import FORM
from headrace.kafka.layout import Changelog
from headrace.kafka.local_positions import LONGEST_IDLE_MS, LocalPositions
from headrace.kafka.model import Columns, Partition
from headrace.kafka.restoring import Restorer
from headrace.kafka.topics_admin import TopicAdmin, TopicSpec
from headrace.state.memory import MemoryBackend
from headrace.state.protocol import Batch
from tests.kafka.support import NOBODY, NOW_MS, client, producer, reader, run, topic, write

STORE = "shop/totals"
TAG, PREFIX = b"\x00", b"\x00\x00"  # the first store of the step, partition 0
FORMS = {STORE: b'{"columns":{"n":"int"},"details":"","key":["user"],"kind":"aggregate"}'}


@dataclass
class Desk:
    """A restorer and what is around it. ``now_ms`` moves by hand."""

    bootstrap: str
    changelog: Changelog
    backend: MemoryBackend = field(default_factory=MemoryBackend)
    now_ms: int = NOW_MS

    @property
    def partition(self) -> Partition:
        return Partition(self.changelog.topic, 0)

    @property
    def positions(self) -> LocalPositions:
        return LocalPositions(self.backend, lambda: self.now_ms)

    def state(self) -> dict[bytes, bytes]:
        return {key[2:]: value for key, value in self.backend.store(STORE).scan(b"", b"\xff\xff")}

    @asynccontextmanager
    async def restorer(self) -> AsyncIterator[Restorer]:
        async with client(self.bootstrap) as connection, reader(self.bootstrap) as consumer:
            yield Restorer(connection, consumer, self.backend, [self.changelog], FORMS, positions=self.positions)

    async def restore(self) -> Restorer:
        async with self.restorer() as restorer:
            await restorer.restore([self.partition])
            return restorer

    def put(self, key: bytes, value: bytes, *, at: int) -> None:
        batch = Batch()
        batch.put(STORE, PREFIX + key, value)
        self.positions.put(batch, self.changelog, 0, at)
        self.backend.write(batch)


def changes(**values: str | None) -> Columns:
    keys: list[bytes | None] = [TAG + PREFIX + key.encode() for key in values]
    return Columns([v.encode() if v is not None else None for v in values.values()], [NOW_MS] * len(keys), keys)


async def desk(bootstrap: str) -> Desk:
    name = await topic(bootstrap, cleanup_policy="compact")
    made = Desk(bootstrap, Changelog(name, STORE, "shop.orders", None))
    made.backend.store(STORE)
    return made


def test_state_is_what_the_changelog_says_last(bootstrap: str) -> None:
    async def scenario() -> None:
        at = await desk(bootstrap)
        await write(bootstrap, at.changelog.topic, changes(a="1", b="2"), changes(a="3", b=None))
        assert (await at.restore()).restored == 4
        assert at.state() == {b"a": b"3"}
        await write(bootstrap, at.changelog.topic, changes(c="4"))
        assert (await at.restore()).restored == 1
        assert at.state() == {b"a": b"3", b"c": b"4"}

    run(scenario())


def test_a_transaction_that_is_being_ended_is_waited_for(bootstrap: str) -> None:
    async def scenario() -> None:
        at = await desk(bootstrap)
        async with producer(bootstrap) as made:
            made.begin()
            made.append(at.changelog.topic, 0, changes(a="1"))
            await made.flush()
            restoring = asyncio.create_task(at.restore())
            await asyncio.wait([restoring], timeout=1)
            assert not restoring.done()
            await made.commit({}, NOBODY)
            await restoring
        assert at.state() == {b"a": b"1"}

    run(scenario())


@pytest.mark.parametrize("position", [1_000, 0])
def test_state_that_the_changelog_cannot_lead_on_from_is_built_anew(bootstrap: str, position: int) -> None:
    async def scenario() -> None:
        at = await desk(bootstrap)
        await write(bootstrap, at.changelog.topic, changes(a="1"))
        at.put(b"stale", b"x", at=position)
        if position == 0:
            at.now_ms += LONGEST_IDLE_MS + 1
        assert (await at.restore()).wiped == 1
        assert at.state() == {b"a": b"1"}

    run(scenario())


async def made_anew(bootstrap: str, name: str) -> None:
    """Delete a topic and create another one of that name."""
    async with TopicAdmin(bootstrap) as admin:
        await admin.delete([name])
        async with asyncio.timeout(30):
            while not await admin.create([TopicSpec(name, 1, configs={"cleanup.policy": "compact"})]):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


def test_state_of_a_changelog_that_was_deleted_and_made_anew_is_built_anew(bootstrap: str) -> None:
    async def scenario() -> None:
        at = await desk(bootstrap)
        await write(bootstrap, at.changelog.topic, changes(a="1", gone="1"))
        await at.restore()
        position = at.positions.get(at.partition)
        assert position is not None
        await made_anew(bootstrap, at.changelog.topic)
        await write(bootstrap, at.changelog.topic, *(changes(a=str(n), b="2") for n in range(5)))
        assert (await at.restore()).wiped == 1
        assert at.state() == {b"a": b"4", b"b": b"2"}
        assert (await at.restore()).wiped == 0
        await made_anew(bootstrap, at.changelog.topic)
        async with at.restorer() as restorer:
            restorer.follow([at.partition])
            await _until(lambda: restorer.wiped == 1)
            await restorer.close()

    run(scenario())


def test_state_of_brokers_without_topic_ids_is_kept(bootstrap: str) -> None:
    async def scenario() -> None:
        at = await desk(bootstrap)
        await write(bootstrap, at.changelog.topic, changes(a="1"))
        at.put(b"b", b"2", at=1)
        assert (await at.restore()).wiped == 0
        assert at.state() == {b"b": b"2"}, "read on from its position"

    run(scenario())


def test_old_state_that_misses_nothing_is_kept(bootstrap: str) -> None:
    async def scenario() -> None:
        at = await desk(bootstrap)
        await write(bootstrap, at.changelog.topic, changes(a="1"))
        await at.restore()
        at.now_ms += LONGEST_IDLE_MS * 10
        assert (await at.restore()).wiped == 0
        assert at.state() == {b"a": b"1"}

    run(scenario())


def test_a_store_that_has_lost_its_files_is_built_anew(bootstrap: str) -> None:
    async def scenario() -> None:
        at = await desk(bootstrap)
        await write(bootstrap, at.changelog.topic, changes(a="1"))
        await at.restore()
        lost = Batch()
        lost.delete_range(STORE, b"", b"\xff" * 8)
        at.backend.write(lost)
        assert (await at.restore()).wiped == 1
        assert at.state() == {b"a": b"1"}

    run(scenario())


def test_state_of_another_version_is_refused_by_the_name_of_the_step(bootstrap: str) -> None:
    async def scenario() -> str:
        at = await desk(bootstrap)
        form = FORMS[STORE].replace(b'"int"', b'"float"')
        await write(bootstrap, at.changelog.topic, Columns([form], [NOW_MS], [FORM]))
        with pytest.raises(StateError) as caught:
            await at.restore()
        return str(caught.value).replace(at.changelog.topic, "T")

    assert run(scenario()) == (
        "changelog topic 'T' holds state of another version of step 'totals' of topology 'shop', which this version "
        "cannot use: columns was {'n': 'float'}, is {'n': 'int'}. Run the old version, rename the step, or use a new "
        "group"
    )


def test_a_record_that_no_changelog_has_is_refused(bootstrap: str) -> None:
    async def scenario() -> None:
        at = await desk(bootstrap)
        await write(bootstrap, at.changelog.topic, Columns([b"?"], [NOW_MS], [b"\x40?"]))
        with pytest.raises(StateError, match=r"holds a record that no changelog has \(key b'@\?'\)"):
            await at.restore()

    run(scenario())


def test_a_copy_follows_the_changelog_and_stops_when_it_is_told(bootstrap: str) -> None:
    async def scenario() -> None:
        at = await desk(bootstrap)
        await write(bootstrap, at.changelog.topic, changes(a="1"))
        async with at.restorer() as restorer:
            restorer.follow([at.partition])
            await _until(lambda: at.state() == {b"a": b"1"})
            await write(bootstrap, at.changelog.topic, changes(a="2"))
            await _until(lambda: at.state() == {b"a": b"2"})
            restorer.follow([])
            await write(bootstrap, at.changelog.topic, changes(a="3"))
            await restorer.restore([at.partition])
            assert at.state() == {b"a": b"3"}
            await restorer.close()

    run(scenario())


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
