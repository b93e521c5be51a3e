"""A real Apache Kafka (KRaft) for the tests: one broker, or several.

Standard library only: ``scripts/kafka`` runs it without the virtual environment.
"""

from __future__ import annotations

import base64
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.kafka.guard import alive
from tests.kafka.install import libraries

HOST = "127.0.0.1"
# Below the ports that systems give to outgoing connections: a client that tries again and again to reach a stopped
# broker on such a port would sooner or later connect to itself, and then hold the port.
_PORTS = range(15_000, 30_000)
_START_S = 60
_STOP_S = 30
_TRIES = 3

_PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={directory}/data
num.partitions=4
default.replication.factor={replication}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replication}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replication}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
# A topic that a test forgot to create is a mistake, not a topic of four partitions.
auto.create.topics.enable=false
# Tests start groups of one and wait for nobody.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
# Compaction is a subject of tests; they do not wait 15 s for its next look.
log.cleaner.backoff.ms=200
log.retention.hours=-1
"""
_LOGGING = """\
<Configuration status="WARN">
  <Appenders><Console name="C" target="SYSTEM_OUT"><PatternLayout pattern="%d %p %m (%c{1})%n"/></Console></Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="C"/></Root></Loggers>
</Configuration>
"""


class BrokerFailed(Exception):
    """The broker did not start. The message has the end of its log."""


@dataclass
class Broker:
    """One broker, which is also a controller. Start it with :meth:`start`.

    ``owner`` is the process with whose end the broker ends too, at the latest.
    """

    directory: Path
    node: int = 1
    port: int = 0
    controller_port: int = 0
    owner: int = field(default_factory=os.getpid)
    heap: str = "512m"
    settings: dict[str, str] = field(default_factory=dict)
    cluster_id: str = field(
        # Kafka's tools take an id that begins with "-" for an option.
        default_factory=lambda: base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_"),
    )
    voters: str = ""
    replication: int = 1

    def __post_init__(self) -> None:
        if not self.port:
            self._choose_ports()

    @property
    def bootstrap(self) -> str:
        """Return the address for clients, as host:port."""
        return f"{HOST}:{self.port}"

    @property
    def running(self) -> bool:
        """Return whether the broker's process exists (a paused one does)."""
        pid = self._pid()
        return pid is not None and alive(pid)

    def start(self, *, wait: bool = True) -> Self:
        """Start the broker, on its data of before if there is any; return when it answers.

        Raises:
            BrokerFailed: it ended, or did not answer in a minute.
            Unavailable: there is no Java, or no jars.
        """
        for attempt in range(1, _TRIES + 1):
            self.launch()
            if not wait:
                return self
            try:
                self.wait_until_ready()
            except BrokerFailed:
                # Between the look for a free port and its use another process may have taken it.
                if self.voters or attempt == _TRIES or "already in use" not in self.log():
                    raise
                self._choose_ports()
                self._file("server.log").unlink()
            else:
                return self
        return self

    def launch(self) -> None:
        """Start the process and wait for nothing."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._file("server.pid").unlink(missing_ok=True)
        self._file("server.properties").write_text(self._properties())
        self._file("log4j2.xml").write_text(_LOGGING)
        if not self._file("data").exists():
            tool = [
                "kafka.tools.StorageTool",
                "format",
                "-c",
                str(self._file("server.properties")),
                "-t",
                self.cluster_id,
            ]
            self._run([*self._java("64m"), *tool])
        logging = f"-Dlog4j2.configurationFile={self._file('log4j2.xml')}"
        command = [*self._java(self.heap), logging, "kafka.Kafka", str(self._file("server.properties"))]
        files = [str(self.owner), str(self._file("server.pid")), str(self._file("server.log"))]
        self._run([sys.executable, str(Path(__file__).with_name("guard.py")), *files, *command])

    def wait_until_ready(self) -> None:
        """Return when the broker answers requests; raise BrokerFailed if it does not."""
        end = time.monotonic() + _START_S
        while not self._answers():
            pid = self._pid()
            if time.monotonic() > end or (pid is not None and not alive(pid)):
                self.kill()
                raise BrokerFailed(f"Kafka on port {self.port} did not start:\n{self.log()[-3000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Shut the broker down in good order; its data stay."""
        self._signal(signal.SIGTERM)
        if not self._ended(_STOP_S):
            self.kill()

    def kill(self) -> None:
        """End the process at once, as a power cut does (what the system has buffered survives)."""
        self._signal(signal.SIGKILL)
        self._ended(_STOP_S)

    def restart(self) -> None:
        """Shut down and start again on the same data and ports."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the process: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self._signal(signal.SIGCONT)

    def log(self) -> str:
        """Return what the broker has logged."""
        file = self._file("server.log")
        return file.read_text(errors="replace") if file.exists() else ""

    def _file(self, name: str) -> Path:
        return self.directory / name

    def _pid(self) -> int | None:
        try:
            return int(self._file("server.pid").read_text())
        except FileNotFoundError:
            return None

    def _signal(self, number: signal.Signals) -> None:
        pid = self._pid()
        if pid is not None and alive(pid):
            os.kill(pid, number)

    def _ended(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self.running and time.monotonic() < end:
            time.sleep(0.02)
        return not self.running

    def _choose_ports(self) -> None:
        self.port, self.controller_port = free_ports(2)

    def _java(self, heap: str) -> list[str]:
        options = [f"-Xmx{heap}", "-XX:+UseSerialGC", "-Xshare:auto"]
        return ["java", *options, "-cp", f"{libraries()}/*"]

    def _properties(self) -> str:
        text = _PROPERTIES.format(
            node=self.node,
            voters=self.voters or f"{self.node}@{HOST}:{self.controller_port}",
            host=HOST,
            port=self.port,
            controller_port=self.controller_port,
            directory=self.directory,
            replication=self.replication,
            in_sync=max(1, self.replication - 1),
        )
        return text + "".join(f"{name}={value}\n" for name, value in self.settings.items())

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            command,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if done.returncode:
            raise BrokerFailed(f"{command[-6:]} failed:\n{done.stdout}{done.stderr}")

    def _answers(self) -> bool:
        """Ask which versions it speaks: a broker answers that only when its start is complete."""
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                request = struct.pack(">hhih", 18, 0, 1, -1)
                connection.sendall(struct.pack(">i", len(request)) + request)
                return len(connection.recv(4)) == 4
        except OSError:
            return False


class Cluster:
    """Several brokers with every topic on as many of them: one may fail."""

    def __init__(self, directory: Path, size: int = 3, *, owner: int | None = None) -> None:
        ports = free_ports(2 * size)
        voters = ",".join(f"{n + 1}@{HOST}:{ports[2 * n + 1]}" for n in range(size))
        first = Broker(directory / "1", port=ports[0], controller_port=ports[1])
        self.brokers = [
            Broker(
                directory / str(n + 1),
                node=n + 1,
                port=ports[2 * n],
                controller_port=ports[2 * n + 1],
                owner=owner or os.getpid(),
                cluster_id=first.cluster_id,
                voters=voters,
                replication=size,
            )
            for n in range(size)
        ]

    @property
    def bootstrap(self) -> str:
        """Return the addresses for clients."""
        return ",".join(broker.bootstrap for broker in self.brokers)

    def broker(self, node: int) -> Broker:
        """Return the broker with this node id, from 1."""
        return self.brokers[node - 1]

    def start(self) -> Self:
        """Start all; return when all answer."""
        for broker in self.brokers:
            broker.launch()
        for broker in self.brokers:
            broker.wait_until_ready()
        return self

    def stop(self) -> None:
        """End all. Not in good order: the last of a quorum cannot shut down in good order."""
        for broker in self.brokers:
            broker.kill()


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on now."""
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise BrokerFailed(f"no {count} free ports from {_PORTS.start} to {_PORTS.stop}")
