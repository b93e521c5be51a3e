"""Workers, a load, a watch and a check: a fleet that a test can maltreat."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from headrace.kafka.model import Partition
from headrace.kafka.offsets import End, list_offsets
from headrace.kafka.topics_admin import TopicAdmin, TopicSpec
from tests.kafka.fleet_check import Checker, settled
from tests.kafka.fleet_topology import Names
from tests.kafka.fleet_watch import Watch
from tests.kafka.support import client, unique

SOAK = os.environ.get("HEADRACE_SOAK") == "1"
"""Whether to run the long forms (``make soak``), on a machine that has nothing else to do."""
RATE = float(os.environ.get("HEADRACE_SOAK_RATE", "21000" if SOAK else "8000"))
"""Orders a second."""
SLACK = float(os.environ.get("HEADRACE_SOAK_SLACK", "1" if SOAK else "6"))
"""By what to stretch bounds: the short form runs on small machines, where a process takes seconds to start."""
_KEPT = 20 / 21
"""Of the rate that is asked for: the long form asks for 21,000 a second, to be over 20,000."""
_ROOT = Path(__file__).parents[2]
_START_S = 60.0


@dataclass
class Worker:
    """One worker: its process, which may end and start anew, and its directory, which stays."""

    name: str
    directory: Path
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    started: int = 0

    @property
    def state(self) -> Path:
        return self.directory / "state"

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    @property
    def counters(self) -> dict[str, int]:
        file = self.directory / "counters"
        text = file.read_text() if file.exists() else ""
        return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", text)}

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, *more: str) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "counters").unlink(missing_ok=True)
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, *more], cwd=_ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self.started += 1
        return self

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def frozen(self, seconds: float = _START_S) -> None:
        """Wait until the process has stopped itself."""
        assert self.process is not None
        deadline = time.monotonic() + seconds
        while Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < deadline, f"{self.name} is not frozen\n{self.log[-3000:]}"
            time.sleep(0.05)

    def stop(self, seconds: float = 40) -> int:
        """End it in good order; return the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(seconds)

    def ended(self, seconds: float = 60) -> int:
        """Wait for the end; return the exit code."""
        assert self.process is not None
        return self.process.wait(seconds)


@dataclass
class FleetUnderProof:
    """A run: topics of its own, workers, a load. Use it as a context manager."""

    bootstrap: str
    directory: Path
    partitions: int = 4
    settings: dict[str, str] = field(default_factory=dict)
    names: Names = field(default_factory=lambda: Names(unique("proof")))
    workers: dict[str, Worker] = field(default_factory=dict)
    _load: subprocess.Popen[bytes] | None = None
    _rate: float = RATE
    _watch: Watch | None = None

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        asyncio.run(self._topics())
        self._watch = Watch(self.bootstrap, self.names.run, self.inputs).__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            if worker.running:
                worker.kill()
        if self._load is not None:
            if self._load.poll() is None:
                self._load.kill()
            self._load.communicate()
        assert self._watch is not None
        self._watch.__exit__()

    async def _topics(self) -> None:
        async with TopicAdmin(self.bootstrap) as admin:
            await admin.create([TopicSpec(self.names.orders, self.partitions)])
            layout = self.names.layout()
            await admin.create([TopicSpec(topic, self.partitions) for topic in layout.repartitions])

    @property
    def inputs(self) -> list[Partition]:
        topics = [self.names.orders, *self.names.layout().repartitions]
        return [Partition(topic, n) for topic in topics for n in range(self.partitions)]

    @property
    def watch(self) -> Watch:
        assert self._watch is not None
        return self._watch

    def changelogs(self) -> int:
        """Return how many records all changelogs have by now, with the marks of transactions."""

        async def main() -> int:
            places = [Partition(log.topic, n) for log in self.names.layout().changelogs for n in range(self.partitions)]
            async with client(self.bootstrap) as connection:
                return sum((await list_offsets(connection, places, End.LATEST)).values())

        return asyncio.run(main())

    def worker(self, name: str, *, bootstrap: str | None = None, **settings: str) -> Worker:
        """Return a worker, which is made if it is not there yet; start it with ``start``."""
        if name not in self.workers:
            directory = self.directory / name
            chosen = {**self.settings, **settings}
            command = [sys.executable, "-m", "tests.kafka.fleet_worker", "--brokers", bootstrap or self.bootstrap]
            command += ["--run", self.names.run, "--worker", name, "--state", str(directory / "state")]
            command += ["--counters", str(directory / "counters")]
            command += [text for key, value in chosen.items() for text in ("--set", f"{key}={value}")]
            self.workers[name] = Worker(name, directory, command)
        return self.workers[name]

    def start(self, *names: str) -> list[Worker]:
        """Start workers, and wait until every partition is being read."""
        made = [self.worker(name).start() for name in names]
        self.begin()
        self.joined(*made)
        self.moving()
        self.watch.forget()
        return made

    def begin(self, rate: float = RATE) -> None:
        """Begin the load, once; wait until all is moving, then forget how long that took."""
        self.load(rate)
        self.moving()
        self.watch.forget()

    def load(self, rate: float = RATE) -> None:
        """Begin the load, once."""
        if self._load is None:
            self._rate = rate
            command = [sys.executable, "-m", "tests.kafka.fleet_load", self.bootstrap, self.names.orders]
            with (self.directory / "load.log").open("ab") as log:
                self._load = subprocess.Popen(
                    [*command, str(self.partitions), str(rate)], cwd=_ROOT, stdout=subprocess.PIPE, stderr=log
                )

    def moving(self, *numbers: int, seconds: float = _START_S) -> None:
        """Wait until the committed position of every partition moves, or of those with these numbers."""
        time.sleep(1)  # what is seen from now on was committed from now on
        before = {p: pos for p, pos in self.positions().items() if not numbers or p.partition in numbers}
        deadline = time.monotonic() + seconds
        while any(self.watch.stills[place].position <= position for place, position in before.items()):
            assert time.monotonic() < deadline, f"not moving after {seconds} s\n{self.tails()}"
            time.sleep(0.1)

    def positions(self) -> dict[Partition, int]:
        """Return the committed positions, as last seen."""
        return {place: max(0, still.position) for place, still in self.watch.stills.items()}

    def measured(self, what: str, limit_s: float) -> float:
        """Wait until all is moving again; return, print and begin anew the longest stand-still; fail over the limit."""
        self.moving()
        time.sleep(0.5)
        longest, where, limit_s = self.watch.longest_s, self.watch.where, limit_s * SLACK
        name = f"{where.topic.split('.')[-1]}/{where.partition}"
        print(f"{what}: longest stand-still {longest:.1f} s of {limit_s:.0f} s ({name})", flush=True)
        assert longest <= limit_s, f"{what}: {where} stood still for {longest:.1f} s\n{self.tails()}"
        self.watch.forget()
        return longest

    def joined(self, *workers: Worker, seconds: float = _START_S) -> None:
        """Wait until workers that were started have committed something."""
        deadline = time.monotonic() + seconds
        while not all(worker.counters.get("commits") for worker in workers):
            assert time.monotonic() < deadline, f"nothing committed after {seconds} s\n{self.tails()}"
            time.sleep(0.1)

    def counted(self, worker: Worker, name: str, *, seconds: float = _START_S) -> None:
        """Wait until a worker has counted something of this kind."""
        deadline = time.monotonic() + seconds
        while not worker.counters.get(name):
            assert time.monotonic() < deadline, f"{worker.name}, no {name}: {worker.counters}\n{self.tails()}"
            time.sleep(0.1)

    def tails(self) -> str:
        """Return the end of every worker's log."""
        return "\n".join(f"--- {worker.name}\n{worker.log[-3000:]}" for worker in self.workers.values())

    def wipe(self, name: str) -> None:
        shutil.rmtree(self.workers[name].state)

    def end(self, seconds: float = 300, *, kept: float = _KEPT) -> int:
        """End the load, let the workers come to the end of it, check everything; return the number of records.

        ``kept``: which part of the rate the load must have reached; none where it stood still with the broker.
        """
        made = self._ended(seconds, kept)
        try:
            asyncio.run(settled(self.bootstrap, self.names.run, self.inputs, seconds))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tails()}") from None
        checker = Checker(
            self.bootstrap, self.names, self.partitions, once=self.settings.get("guarantee") != "at_least_once"
        )
        asyncio.run(checker.check())
        records = checker.expected.records
        assert records == made + self.partitions, f"not the fleet: the load made {made}, its topic has {records}"
        assert not checker.faults, "\n".join([*checker.faults, self.tails()])
        return records

    def _ended(self, seconds: float, kept: float) -> int:
        """End the load; return how many records it has made, without the last of each partition."""
        assert self._load is not None
        self._load.send_signal(signal.SIGTERM)
        told, _ = self._load.communicate(timeout=seconds)
        assert self._load.returncode == 0, (self.directory / "load.log").read_text()
        made, took_s = told.split()
        rate, least = int(made) / float(took_s), self._rate * kept / SLACK
        print(f"{int(made):,} orders, {rate:,.0f} a second", flush=True)
        assert rate >= least, f"the load was {rate:,.0f} orders a second, less than {least:,.0f}"
        return int(made)
