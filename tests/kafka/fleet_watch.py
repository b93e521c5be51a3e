"""How long partitions stand still: those that have records to read, and whose committed position does not move."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from headrace.kafka.client import Client, Patience, connect
from headrace.kafka.coordination import Coordinator, Kind
from headrace.kafka.errors import BrokerError
from headrace.kafka.model import Partition
from headrace.kafka.offsets import End, list_offsets
from headrace.kafka.protocol import OffsetFetch

_POLL_S = 0.25


class _Loose(OffsetFetch):
    REQUIRE_STABLE = False


@dataclass
class Still:
    """What is known of one partition."""

    position: int = -1
    since: float = field(default_factory=time.monotonic)
    longest_s: float = 0.0


class Watch:
    """Polls in a thread of its own. ``with Watch(...) as watch: ...; print(watch.longest_s)``."""

    def __init__(self, bootstrap: str, group: str, partitions: Sequence[Partition]) -> None:
        self._bootstrap, self._group, self._partitions = bootstrap, group, list(partitions)
        self.stills = {partition: Still() for partition in partitions}
        self._stop = threading.Event()
        self._reset = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    @property
    def longest_s(self) -> float:
        """Return the longest time that any partition stood still since the last :meth:`forget`."""
        return max(still.longest_s for still in self.stills.values())

    @property
    def where(self) -> Partition:
        return max(self.stills, key=lambda p: self.stills[p].longest_s)

    def forget(self) -> None:
        """Begin anew."""
        self._reset.set()
        while self._reset.is_set() and self._thread.is_alive():
            time.sleep(0.01)

    async def _run(self) -> None:
        client = await connect(self._bootstrap, request_timeout_ms=2_000)
        try:
            while not self._stop.is_set():
                with contextlib.suppress(BrokerError):
                    await self._look(client)
                await asyncio.sleep(_POLL_S)
        finally:
            await client.close()

    async def _positions(self, client: Client) -> dict[Partition, int]:
        """Return the committed offsets, also where a transaction is under way."""
        request = _Loose(self._group, self._partitions)
        coordinator = Coordinator(client, Kind.GROUP, self._group)
        patience = Patience("looking", 5_000)
        response = await coordinator.call(request, lambda answer: [answer.error_code], patience)
        return {
            Partition(topic, partition): offset
            for topic, entries, _ in response.topics
            for partition, offset, *_ in entries
        }

    async def _look(self, client: Client) -> None:
        ends = await list_offsets(client, self._partitions, End.LAST_STABLE, timeout_ms=5_000)
        positions = await self._positions(client)
        now = time.monotonic()
        if self._reset.is_set():
            self.stills = {partition: Still() for partition in self._partitions}
            self._reset.clear()
        for partition, still in self.stills.items():
            position = max(0, positions[partition])
            if position != still.position or position >= ends[partition]:
                still.position, still.since = position, now
            still.longest_s = max(still.longest_s, now - still.since)
