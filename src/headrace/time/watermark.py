"""Watermarks: how far event time has come on each input of a task."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.time.instants import END_OF_TIME_MS, START_OF_TIME_MS


@dataclass(slots=True, eq=False)
class Channel:
    """One input of a task: a partition, a file, or what one upstream task sends.

    ``watermark_ms`` never goes back. ``floor_ms`` is the task's watermark when an idle
    channel came back: what lies behind it is late, whatever the channel itself has seen.
    ``seen_at_ms`` is the time of day when it last had records, or may have had some that wait to be
    read: who feeds it says so, for what has not been read yet is not silence.
    """

    source: str
    partition: int
    name: str
    idle_timeout_ms: int
    position: int = 0
    watermark_ms: int = START_OF_TIME_MS
    floor_ms: int = START_OF_TIME_MS
    seen_at_ms: int = 0
    idle: bool = False
    ended: bool = False


@dataclass(slots=True)
class Watermarks:
    """The channels of one task and the watermark that they agree on."""

    channels: list[Channel]

    def minimum(self) -> int:
        """Return the lowest watermark of the inputs that are neither ended nor idle.

        If all that have not ended are idle, the highest of theirs; if all have ended, the end of time.
        """
        live = [c for c in self.channels if not c.ended]
        if not live:
            return END_OF_TIME_MS if self.channels else START_OF_TIME_MS
        active = [c.watermark_ms for c in live if not c.idle]
        return min(active) if active else max(c.watermark_ms for c in live)

    def others(self, channel: Channel) -> int:
        """Return the lowest watermark of the other inputs that hold the task back; the end of time if none does."""
        waiting = (c.watermark_ms for c in self.channels if c is not channel and not c.ended and not c.idle)
        return min(waiting, default=END_OF_TIME_MS)

    def wake(self, channel: Channel, task_ms: int, now_ms: int) -> None:
        """Note that a channel has records again."""
        channel.seen_at_ms = now_ms
        if channel.idle:
            channel.idle = False
            channel.floor_ms = task_ms

    def fall_idle(self, now_ms: int) -> None:
        """Take channels out that have been silent for longer than their timeout.

        When all are silent, event time follows the clock: each watermark moves on by the
        time that has passed since the timeout.
        """
        live = [c for c in self.channels if not c.ended]
        for channel in live:
            if now_ms - channel.seen_at_ms >= channel.idle_timeout_ms:
                channel.idle = True
        if not all(c.idle for c in live):
            return
        for channel in live:
            silent_ms = now_ms - channel.seen_at_ms - channel.idle_timeout_ms
            if channel.watermark_ms > START_OF_TIME_MS and silent_ms > 0:
                channel.watermark_ms += silent_ms
                channel.seen_at_ms = now_ms - channel.idle_timeout_ms
