"""The reference fleet as processes, on topics of the names that its topologies give."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from headrace.kafka.at_least_once import AtLeastOnceProducer
from headrace.kafka.layout import lay_out
from headrace.kafka.model import Columns, Partition
from headrace.kafka.producing import ProducerOptions
from headrace.kafka.settings import FleetSettings
from headrace.kafka.topics_admin import TopicAdmin, TopicSpec
from headrace.plan import compile_plan
from tests.cli.commands import ROOT, command, environment
from tests.kafka.fleet_check import settled
from tests.kafka.support import NOBODY, client
from tests.parity.job import Job, Record, Results
from tests.parity.on_kafka import KafkaRun

GROUP, TARGET = "demo", "workers.demo:TOPOLOGIES"
_LONGEST_S = 120


class DemoFleet:
    """Three workers, or as many as are started. Use it as a context manager."""

    def __init__(self, bootstrap: str, directory: Path, job: Job) -> None:
        self._bootstrap, self._directory, self._job = bootstrap, directory, job
        self.layout = lay_out(GROUP, [compile_plan(topology) for topology in job.topologies])
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> DemoFleet:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._processes):
            self.kill(name)

    async def make_topics(self) -> None:
        async with TopicAdmin(self._bootstrap) as admin:
            names = {record.topic for record in self._job.phases[0].records}
            await admin.create([TopicSpec(name, self._job.partitions) for name in sorted(names)])

    def start(self, *names: str) -> None:
        for name in names:
            options = ["--group", GROUP, "--worker", name, "--state-dir", str(self._directory / name)]
            with self._log(name).open("ab") as log:
                self._processes[name] = subprocess.Popen(
                    command("worker", TARGET, "--brokers", self._bootstrap, *options, "--session-timeout", "6s"),
                    cwd=ROOT,
                    env=environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )

    async def running(self) -> None:
        """Return when each worker that was started has run: before that, inputs would seem to be idle."""
        deadline = time.monotonic() + _LONGEST_S
        while not all(" running: " in self._log(name).read_text() for name in self._processes):
            assert time.monotonic() < deadline, self.logs()
            await asyncio.sleep(0.2)

    def kill(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.wait(30)

    def stop(self) -> list[int]:
        """End all workers in good order; return their exit codes."""
        for process in self._processes.values():
            process.terminate()
        codes = [process.wait(60) for process in self._processes.values()]
        self._processes.clear()
        return codes

    async def write(self, records: Iterable[Record]) -> None:
        places: dict[tuple[str, int], list[Record]] = defaultdict(list)
        for record in records:
            places[record.topic, record.partition].append(record)
        async with client(self._bootstrap) as connection:
            made = AtLeastOnceProducer(connection, ProducerOptions())
            await made.start()
            made.begin()
            for (topic, partition), some in places.items():
                columns = Columns([r.value for r in some], [r.time_ms for r in some], [r.key for r in some])
                made.append(topic, partition, columns)
            await made.commit({}, NOBODY)
            await made.close()

    async def settle(self) -> None:
        topics = [*self.layout.sources, *self.layout.repartitions]
        places = [Partition(topic, n) for topic in topics for n in range(self._job.partitions)]
        try:
            await settled(self._bootstrap, GROUP, places, _LONGEST_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None

    def logs(self) -> str:
        return "\n".join(f"--- {name}\n{self._log(name).read_text()[-3000:]}" for name in ("a", "b", "c"))

    def _log(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    async def results(self) -> Results:
        """Return what is there at the end: tables as a new worker restores them from the changelogs."""
        settings = FleetSettings.of(
            brokers=self._bootstrap, group=GROUP, worker="reader", state_dir=self._directory / "reader"
        )
        return await KafkaRun(Job(self._job.topologies, [], self._job.partitions), "", settings).restored()
