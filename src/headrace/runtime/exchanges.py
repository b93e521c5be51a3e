"""Rows on their way between the tasks of one engine: from each group_by to the tasks that own the keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from headrace.operators.logic import NEVER_MS
from headrace.runtime.task import ExchangeBuffer, Task
from headrace.time.instants import END_OF_TIME_MS
from headrace.time.watermark import Channel

TaskId = tuple[str, int]
"""Agent and partition."""


@dataclass(frozen=True, slots=True)
class _Route:
    """What one task sends through one group_by. ``ends``: (partition, receiving task, its channel for this sender)."""

    sender: Task
    buffer: ExchangeBuffer
    ends: tuple[tuple[int, Task, Channel], ...]


class Exchanges:
    """Connects the tasks of an engine. Watermarks travel with the rows: nothing is late that was not at its source."""

    def __init__(self, readers: Mapping[str, Sequence[str]]) -> None:
        """``readers`` names the agents that read each group_by."""
        self._readers = readers
        self._channels: dict[tuple[TaskId, str, TaskId], Channel] = {}
        self._routes: list[_Route] = []

    def connect(self, tasks: Mapping[TaskId, Task], partitions: int) -> None:
        """Give every task a channel for each task upstream of it."""
        self._routes = [
            _Route(sender, buffer, tuple(self._ends(sender_id, buffer.spec.step, tasks, partitions)))
            for sender_id, sender in tasks.items()
            for buffer in sender.exchanges
        ]

    def _ends(
        self, sender: TaskId, step: str, tasks: Mapping[TaskId, Task], partitions: int
    ) -> list[tuple[int, Task, Channel]]:
        receivers = [(agent, to) for agent in self._readers.get(step, ()) for to in range(partitions)]
        return [(to, tasks[agent, to], self._channel(sender, step, (agent, to), tasks)) for agent, to in receivers]

    def _channel(self, sender: TaskId, step: str, to: TaskId, tasks: Mapping[TaskId, Task]) -> Channel:
        channel = self._channels.get((sender, step, to))
        if channel is None:
            channel = Channel(step, to[1], f"{sender[0]}/{sender[1]}", NEVER_MS)
            channel.watermark_ms = channel.floor_ms = tasks[to].watermark_ms
            self._channels[sender, step, to] = channel
            tasks[to].watermarks.channels.append(channel)
        return channel

    def settle(self, now_ms: Callable[[], int]) -> bool:
        """Pass rows on until none are on their way; return whether there were any."""
        any_rows, moved = False, True
        while moved:
            moved = False
            for route in self._routes:
                batches = route.buffer.take()
                for to, receiver, channel in route.ends:
                    rows = batches[to]
                    if rows:
                        any_rows = True
                        receiver.now_ms = now_ms()
                        receiver.watermarks.wake(channel, receiver.watermark_ms, receiver.now_ms)
                        receiver.receive(channel, channel.source, rows)
                    moved |= _progress(route, receiver, channel) or bool(rows)
        return any_rows

    @property
    def waiting(self) -> bool:
        """Whether any rows are on their way."""
        return any(rows for route in self._routes for rows in route.buffer.rows)


def _progress(route: _Route, receiver: Task, channel: Channel) -> bool:
    """Bring the sender's watermark to the receiver; return whether that moved it on."""
    sender = route.sender
    channel.ended = sender.watermark_ms >= END_OF_TIME_MS
    if not channel.ended:
        channel.watermark_ms = max(channel.watermark_ms, sender.watermark_ms - route.buffer.spec.delay_ms)
    channel.idle = all(c.idle or c.ended for c in sender.watermarks.channels) and not channel.ended
    before = receiver.watermark_ms
    receiver.progress()
    return receiver.watermark_ms > before
