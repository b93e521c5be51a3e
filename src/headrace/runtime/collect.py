"""What leaves the engine with a checkpoint: outputs by topic, dead letters, async side effects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import msgspec

from headrace.plan import Plan
from headrace.runtime.handlers import run_handler
from headrace.runtime.records import Headers, Output, Records
from headrace.runtime.task import DeadLetter, SinkBuffer, Task
from headrace.state.protocol import Batch

_encode = msgspec.json.Encoder(decimal_format="string").encode


class Collector:
    """Collects from the tasks of one engine."""

    def __init__(self, plan: Plan, outputs: Callable[[str], Output]) -> None:
        """Resolve topics by ``outputs``, each once."""
        self._plan, self._open = plan, outputs
        self._outputs: dict[str, Output] = {}
        self._failed: list[DeadLetter] = []
        self.records_out = 0
        self.failed_handles = 0

    def run_handlers(self, tasks: Iterable[Task]) -> None:
        """Run the async functions over what was queued for them."""
        for task in tasks:
            for node, queue in zip(task.code.handles, task.handles, strict=True):
                if not queue:
                    continue
                times = {id(row): time_ms for time_ms, row in queue}
                for row, error in run_handler(node, [row for _, row in queue]):
                    name, text = type(error).__name__, f"{type(error).__name__}: {error}"
                    place = (f"{node.id} (handler)", task.partition, -1)
                    value = _encode(row)
                    letter = DeadLetter(node.id, *place, name, text, times[id(row)], None, value)
                    self._failed.append(letter)
                    self.failed_handles += 1
                queue.clear()

    def stage(self, tasks: Iterable[Task], batch: Batch) -> list[Output]:
        """Add all outputs and dead letters to the batch; return the outputs that took part."""
        staged: dict[str, Output] = {}
        letters = [*self._failed]
        self._failed.clear()
        for task in tasks:
            for buffer in task.sinks:
                if buffer.values:
                    for topic, records in _by_topic(buffer):
                        self._stage(topic, records, batch, staged)
                    buffer.clear()
            letters.extend(task.dead_letters)
            task.dead_letters.clear()
        if letters:
            self._stage(self._plan.dead_letter_topic, _dead_letter_records(self._plan.name, letters), batch, staged)
        return list(staged.values())

    def _stage(self, topic: str, records: Records, batch: Batch, staged: dict[str, Output]) -> None:
        output = self._outputs.get(topic)
        if output is None:
            output = self._outputs[topic] = self._open(topic)
        if topic != self._plan.dead_letter_topic:
            self.records_out += len(records.values)
        output.stage(batch, records)
        staged[topic] = output


def _by_topic(buffer: SinkBuffer) -> list[tuple[str, Records]]:
    keys = buffer.keys
    if buffer.spec.topic is not None:
        return [(buffer.spec.topic, Records(buffer.values, keys, buffer.times))]
    topics: dict[str, list[int]] = {}
    for place, topic in enumerate(buffer.topics):
        topics.setdefault(topic, []).append(place)
    return [
        (
            topic,
            Records(
                [buffer.values[n] for n in places],
                [keys[n] for n in places],
                [buffer.times[n] for n in places],
            ),
        )
        for topic, places in topics.items()
    ]


def _dead_letter_records(topology: str, letters: list[DeadLetter]) -> Records:
    return Records(
        [letter.value for letter in letters],
        [letter.key for letter in letters],
        [letter.time_ms for letter in letters],
        [_headers(topology, letter) for letter in letters],
    )


def _headers(topology: str, letter: DeadLetter) -> Headers:
    at = datetime.fromtimestamp(letter.time_ms / 1000, UTC).isoformat()
    texts = {
        "topology": topology,
        "step": letter.step,
        "topic": letter.topic,
        "partition": str(letter.partition),
        "offset": str(letter.offset),
        "error": letter.error,
        "message": letter.message,
        "time": at,
    }
    return tuple((f"headrace-{name}", text.encode(errors="replace")) for name, text in texts.items())
