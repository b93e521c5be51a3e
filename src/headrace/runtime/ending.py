"""When a run is over: each input at its end, and nothing on its way between topologies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.runtime.log import Log
from headrace.runtime.pipeline import Feeder, Pipeline
from headrace.runtime.streams import StreamReader
from headrace.runtime.wiring import Routes


class Ending:
    """Tells when a topic, and when the whole run has ended.

    A topic of the log ends with those who write it: streams, and topologies that are done. A topology is done
    once its inputs have ended and a checkpoint holds what their end has closed.
    """

    def __init__(
        self,
        routes: Routes,
        log: Log,
        pipelines: Mapping[str, Pipeline],
        streams: Mapping[str, Sequence[StreamReader]],
    ) -> None:
        """Watch ``pipelines`` and ``streams``, which may still be empty."""
        self._routes, self._log = routes, log
        self._pipelines, self._streams = pipelines, streams
        self._ring_ended = False

    def finished(self, *, pending: bool) -> bool:
        """Tell whether the run has ended, now that nothing moves. ``pending``: something waits for a checkpoint."""
        if all(pipeline.done for pipeline in self._pipelines.values()):
            return True
        streams = [reader for readers in self._streams.values() for reader in readers]
        if self._routes.bounded and not pending and all(reader.ended.is_set() for reader in streams):
            waiting = [feeder for p in self._pipelines.values() for feeder in p.feeders if not feeder.ended]
            # Topologies in a ring wait for each other's end: once all is read, none will write any more.
            self._ring_ended = all(self._is_drained(feeder) for feeder in waiting)
        return False

    def _is_drained(self, feeder: Feeder) -> bool:
        return feeder.partition is not None and feeder.input.drained(feeder.channel.position)

    def topic_closed(self, topic: str) -> bool:
        """Tell whether nothing will be appended to a topic any more in this run."""
        return (
            self._routes.bounded
            and all(reader.ended.is_set() for reader in self._streams.get(topic, []))
            and (self._ring_ended or all(self._pipelines[name].done for name in self._routes.writers[topic]))
        )
