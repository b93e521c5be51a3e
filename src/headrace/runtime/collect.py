"""What leaves the engine with a checkpoint: outputs by topic, dead letters, async side effects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headrace.plan import Plan
from headrace.runtime.handlers import call_handler
from headrace.runtime.records import Headers, Output, Records
from headrace.runtime.task import DeadLetter, SinkBuffer, Task
from headrace.state.protocol import Batch
from headrace.topology.nodes import Handle


class Collector:
    """Collects from the tasks of one engine."""

    def __init__(self, plan: Plan, outputs: Callable[[str], Output]) -> None:
        """Resolve topics by ``outputs``, each once."""
        self._plan, self._open = plan, outputs
        self._outputs: dict[str, Output] = {}
        self.records_out = 0

    def handling(self, tasks: Iterable[Task]) -> list[Handling]:
        """Take what was queued for async functions; see :func:`handle`."""
        taken = []
        for task in tasks:
            for place, node in enumerate(task.code.handles):
                if task.handles[place]:
                    taken.append(Handling(self, task, node, task.handles[place]))
                    task.handles[place] = []
        return taken

    def stage(self, tasks: Iterable[Task], batch: Batch, failed: Iterable[DeadLetter] = ()) -> list[Output]:
        """Add all outputs and dead letters to the batch, ``failed`` ones before the tasks' own.

        Returns:
            The outputs that took part.
        """
        staged: dict[str, Output] = {}
        letters = [*failed]
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


@dataclass(frozen=True, slots=True)
class Handling:
    """Calls of one async function that a checkpoint waits for: (event time in milliseconds, row) each."""

    collector: Collector
    task: Task
    node: Handle
    queue: list[tuple[int, dict[str, Any]]]


async def handle(handlings: Sequence[Handling]) -> list[tuple[Collector, DeadLetter]]:
    """Run the async functions; return the dead letters of the calls that failed for good.

    Raises:
        DataError: a call failed for good, and the policy of its sources is FAIL.
    """
    done = await asyncio.gather(*(call_handler(h.node, [row for _, row in h.queue]) for h in handlings))
    letters = []
    for handling, failures in zip(handlings, done, strict=True):
        task, times = handling.task, {id(row): time_ms for time_ms, row in handling.queue}
        for row, error in failures:
            before = len(task.dead_letters)
            task.fail_handled(error, handling.node.id, row, times[id(row)])
            letters += [(handling.collector, letter) for letter in task.dead_letters[before:]]
            del task.dead_letters[before:]
    return letters


def _by_topic(buffer: SinkBuffer) -> list[tuple[str, Records]]:
    keys = buffer.keys
    if buffer.spec.topic is not None:
        headers = _headers_at(buffer, range(len(buffer.values)))
        return [(buffer.spec.topic, Records(buffer.values, keys, buffer.times, headers))]
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
                _headers_at(buffer, places),
            ),
        )
        for topic, places in topics.items()
    ]


def _headers_at(buffer: SinkBuffer, places: Sequence[int]) -> list[Headers] | None:
    """Return the headers of the records at these places; None if no record of the sink has any."""
    return [buffer.headers.get(n, ()) for n in places] if buffer.headers else None


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
    ours = tuple((f"headrace-{name}", text.encode(errors="replace")) for name, text in texts.items())
    # ours come last: a record that was replayed and failed again has older ones of the same names
    return (*letter.headers, *ours)
