"""One topology at work: its engine and the inputs that feed it."""

from __future__ import annotations

from dataclasses import dataclass, field

from headrace.runtime.engine import Engine
from headrace.runtime.inputs.base import Input
from headrace.runtime.summary import TopologySummary
from headrace.time.instants import MAX_TIME_MS, MIN_TIME_MS, from_ms
from headrace.time.watermark import Channel


@dataclass(slots=True)
class Feeder:
    """An input and the channel of the engine that it feeds.

    ``committed`` is the position of the last checkpoint. ``partition`` is that of the log's
    topic; None: a file, which is not in the log. ``looked_at_ms`` is when it was last asked for more. ``begun`` is
    where this run began to read.
    """

    channel: Channel
    input: Input
    topic: str
    partition: int | None
    committed: int = 0
    ended: bool = False
    looked_at_ms: int = 0
    begun: int = field(init=False)

    def __post_init__(self) -> None:
        """Keep where this run begins."""
        self.begun = self.committed

    def look(self, now_ms: int) -> None:
        """Note for how long the input has had nothing to read, as far as somebody looked.

        What waits to be read is not silence, however long the worker takes over other things. And of the time
        between two looks at most half the timeout counts: senders may have been held up with the worker.
        """
        channel = self.channel
        since_ms, self.looked_at_ms = self.looked_at_ms or channel.seen_at_ms, now_ms
        if not self.input.drained(channel.position):
            channel.seen_at_ms = now_ms
            return
        away_ms = now_ms - since_ms - channel.idle_timeout_ms // 2
        channel.seen_at_ms = min(channel.seen_at_ms + max(away_ms, 0), now_ms)


class Pipeline:
    """Reads the inputs of one topology a slice at a time, furthest behind in event time first."""

    def __init__(self, engine: Engine, feeders: list[Feeder], read_bytes: int) -> None:
        """Feed ``engine`` from ``feeders``, about ``read_bytes`` at a time."""
        self.engine = engine
        self.feeders = feeders
        self.done = False
        self._read_bytes = read_bytes

    @property
    def name(self) -> str:
        """The topology's name."""
        return self.engine.plan.name

    def turn(self) -> bool:
        """Process one slice of one input; return whether there was anything to do."""
        live = [feeder for feeder in self.feeders if not feeder.ended]
        if len(live) > 1:
            live.sort(key=lambda feeder: feeder.channel.watermark_ms)
        for feeder in live:
            if self._read(feeder):
                self.engine.settle()
                return True
        return False

    def _read(self, feeder: Feeder) -> bool:
        channel = feeder.channel
        before = channel.position
        records, position, ended = feeder.input.read(before, self._read_bytes)
        if records.values or position != before:
            self.engine.feed(channel, records, position)
        if ended:
            self.engine.end(channel)
            feeder.ended = True
        return ended or position != before

    def advance(self, now_ms: int) -> None:
        """Look at the clock, and at what each input has to say about its silence."""
        for feeder in self.feeders:
            if not feeder.ended:
                feeder.look(now_ms)
        self.engine.advance()

    @property
    def ended(self) -> bool:
        """Whether every input has ended."""
        return all(feeder.ended for feeder in self.feeders)

    def committed(self) -> None:
        """Take note of a checkpoint."""
        for feeder in self.feeders:
            feeder.committed = feeder.channel.position
            feeder.input.committed(feeder.committed)

    def summary(self) -> TopologySummary:
        """Return the counters."""
        stats = self.engine.stats
        watermark = stats.watermark_ms
        # Before the first event and after the last one the watermark is no time of day.
        known = watermark is not None and MIN_TIME_MS <= watermark <= MAX_TIME_MS
        return TopologySummary(
            self.name,
            stats.records_in,
            stats.records_out,
            stats.dead_letters,
            stats.late,
            stats.skipped,
            from_ms(watermark) if known and watermark is not None else None,
        )

    def close(self) -> None:
        """Close the inputs."""
        for feeder in self.feeders:
            feeder.input.close()
