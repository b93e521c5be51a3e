"""A job on a fleet worker in this process: real topics, until the committed positions are at their ends."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import defaultdict
from pathlib import Path

from headrace.kafka.at_least_once import AtLeastOnceProducer
from headrace.kafka.client import Client
from headrace.kafka.fleet import Fleet
from headrace.kafka.installation import Installation, install
from headrace.kafka.model import Columns, Partition
from headrace.kafka.offsets import End, committed, list_offsets
from headrace.kafka.producing import ProducerOptions
from headrace.kafka.settings import FleetSettings
from headrace.kafka.status import Observer
from headrace.kafka.topics_admin import TopicAdmin, TopicSpec
from headrace.kafka.worker import make_app
from headrace.runtime.tables import open_tables
from tests.kafka.support import NOBODY, client, run, unique
from tests.kafka.tries import TooSlow
from tests.kafka.workers import until
from tests.parity.job import Job, Letter, Phase, Record, Results, letter, row, table
from tests.parity.reading import everything
from tests.parity.renaming import renamed

_LONGEST_S = 60


def run_on_kafka(job: Job, directory: Path, bootstrap: str, **settings: object) -> list[Results]:
    """Return the results at the end of each phase, under the names that the job gives."""
    prefix = f"{unique('parity')}."
    chosen = FleetSettings.of(
        brokers=bootstrap,
        group=prefix.rstrip("."),
        worker="w",
        state_dir=directory / "state",
        **{"commit_interval": "20ms", "max_task_idle": "50ms", **settings},
    )
    return run(KafkaRun(job, prefix, chosen).results(), _LONGEST_S * 3)


class KafkaRun:
    """One worker, for one job. ``prefix`` is what the names of topics and topologies begin with on the broker."""

    def __init__(self, job: Job, prefix: str, settings: FleetSettings) -> None:
        self._job, self._prefix, self._settings = job, prefix, settings
        self._observer = Observer()

    async def results(self) -> list[Results]:
        app = make_app(self._settings)
        topologies = [renamed(topology, self._prefix) for topology in self._job.topologies]
        installation = install(app, *topologies, settings=self._settings)
        await self._make_topics(installation)
        async with client(self._settings.brokers) as connection:
            try:
                return [await self._after(phase, installation, connection) for phase in self._job.phases]
            finally:
                await app.stop()
                shutil.rmtree(app.conf.datadir, ignore_errors=True)

    async def restored(self) -> Results:
        """Return what there is when a worker has begun, and has restored all state."""
        app = make_app(self._settings)
        installation = install(app, *self._job.topologies, settings=self._settings)
        try:
            await app.start()
            await until(lambda: self._complete(installation), _LONGEST_S)
            return await self._read(installation)
        finally:
            await app.stop()
            shutil.rmtree(app.conf.datadir, ignore_errors=True)

    def _complete(self, installation: Installation) -> bool:
        fleet = _running(installation)
        places = sum(
            fleet.partitions(topic) for component in installation.layout.components for topic in component.topics
        )
        return len(self._observer.look(fleet).running) == places

    async def _make_topics(self, installation: Installation) -> None:
        # Only the sources: the worker makes all others, those that records choose among them.
        async with TopicAdmin(self._settings.brokers) as admin:
            await admin.create([TopicSpec(name, self._job.partitions) for name in installation.layout.sources])

    async def _after(self, phase: Phase, installation: Installation, connection: Client) -> Results:
        await self._produce(phase, connection)
        if not installation.app.started:
            await installation.app.start()  # what there is already comes in large batches
        await asyncio.sleep(phase.silence_s)
        await self._settle(installation, connection)
        return await self._read(installation)

    async def _produce(self, phase: Phase, connection: Client) -> None:
        places: dict[tuple[str, int], list[Record]] = defaultdict(list)
        for record in phase.records:
            places[record.topic, record.partition].append(record)
        if not places:
            return
        # Without a transaction: its markers would take offsets, which dead letters tell.
        made = AtLeastOnceProducer(connection, ProducerOptions())
        await made.start()
        made.begin()
        for (topic, partition), some in places.items():
            columns = Columns([r.value for r in some], [r.time_ms for r in some], [r.key for r in some])
            made.append(self._prefix + topic, partition, columns)
        await made.commit({}, NOBODY)
        await made.close()

    async def _settle(self, installation: Installation, connection: Client) -> None:
        """Wait until everything is read and committed, and what has come of it too."""
        layout = installation.layout
        topics = {*layout.sources, *layout.repartitions}
        deadline = time.monotonic() + _LONGEST_S
        before: object = None
        while True:
            fleet = _running(installation)
            places = [Partition(topic, n) for topic in topics for n in range(fleet.partitions(topic))]
            at = await committed(connection, self._settings.group, places)
            ends = await list_offsets(connection, places, End.LATEST)
            offsets = {place: 0 if (found := at[place]) is None else found.offset for place in places}
            missing = {place: (offsets[place], end) for place, end in ends.items() if offsets[place] < end}
            if not missing and before == ends:
                return
            before = None if missing else ends
            if before:
                await fleet.checkpoint()  # what the broker calls committed this worker may not have settled yet
            if time.monotonic() > deadline:
                msg = f"not read: {missing}"
                raise TooSlow(msg)
            await asyncio.sleep(0.02)

    async def _read(self, installation: Installation) -> Results:
        results, plans, fleet = Results(), installation.layout.plans, _running(installation)
        outputs = {name.removeprefix(self._prefix) for name in self._job.outputs(plans)}
        letters = [plan.dead_letter_topic for plan in plans]
        found = await everything(self._settings.brokers, [*(self._prefix + name for name in outputs), *letters])
        for name in outputs:
            records = found[self._prefix + name]
            results.outputs[name] = [row(one.key, one.value or b"", one.time_ms) for one in records]
        for one in (one for topic in letters for one in found[topic]):
            results.letters.append(self._letter(letter(one.key, one.value or b"", one.headers)))
        for plan in plans:
            name = plan.name.removeprefix(self._prefix)
            tables = open_tables(plan, fleet.backend).items()
            results.tables |= {f"{name}/{id}": table(reader.scan()) for id, reader in tables}
        results.late = self._observer.look(fleet).late
        return results

    def _letter(self, found: Letter) -> Letter:
        """Return a letter with the names that the job gives."""
        ours = self._prefix.encode()
        return found._replace(headers=tuple((k, v and v.replace(ours, b"")) for k, v in found.headers))


def _running(installation: Installation) -> Fleet:
    if installation.app.crash_reason is not None:
        raise installation.app.crash_reason
    assert installation.fleet is not None
    return installation.fleet
