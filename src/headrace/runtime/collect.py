"""What leaves the engine with a checkpoint: outputs by topic, dead letters, async side effects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

from headrace.errors import DataError
from headrace.plan import Plan
from headrace.runtime.handlers import call_handler
from headrace.runtime.records import Headers, Output, Records
from headrace.runtime.task import DeadLetter, OutputRecord, SinkBuffer, Task
from headrace.state.protocol import Batch
from headrace.topology.nodes import Handle

TooLarge = Callable[[str, Records], Mapping[int, str]]
"""Tells which records a topic does not take, by place, and why."""
SHORTENED = "headrace-shortened"
"""The header of a letter that has only the beginning of the record's value: how long that was."""
_KEPT_BYTES = 4_096


def _takes_all(_topic: str, _records: Records) -> Mapping[int, str]:
    return {}


class Collector:
    """Collects from the tasks of one engine."""

    def __init__(self, plan: Plan, outputs: Callable[[str], Output], too_large: TooLarge = _takes_all) -> None:
        """Resolve topics by ``outputs``, each once. Outputs that are ``too_large`` become dead letters."""
        self._plan, self._open, self._too_large = plan, outputs, too_large
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
                        self._stage(topic, self._sifted(task, buffer.spec.step, topic, records), batch, staged)
                    buffer.clear()
            letters.extend(task.dead_letters)
            task.dead_letters.clear()
        if letters:
            self._stage(self._plan.dead_letter_topic, self._letter_records(letters), batch, staged)
        return list(staged.values())

    def _sifted(self, task: Task, step: str, topic: str, records: Records) -> Records:
        """Return the records that the topic takes; the others fail in their task.

        Raises:
            DataError: there is such a record, and the policy of its sources is FAIL.
        """
        refused = self._too_large(topic, records)
        for place, why in refused.items():
            task.fail_output(DataError(why), step, topic, _record(records, place))
        return _picked(records, [n for n in range(len(records.values)) if n not in refused]) if refused else records

    def _letter_records(self, letters: list[DeadLetter]) -> Records:
        records = _dead_letter_records(self._plan.name, letters)
        refused = self._too_large(self._plan.dead_letter_topic, records)
        if not refused:
            return records
        fitting = [_shortened(letter) if place in refused else letter for place, letter in enumerate(letters)]
        return _dead_letter_records(self._plan.name, fitting)

    def _stage(self, topic: str, records: Records, batch: Batch, staged: dict[str, Output]) -> None:
        if not records.values:
            return
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
    places = range(len(buffer.values))
    headers = [buffer.headers.get(n, ()) for n in places] if buffer.headers else None
    records = Records(buffer.values, buffer.keys, buffer.times, headers)
    if buffer.spec.topic is not None:
        return [(buffer.spec.topic, records)]
    topics: dict[str, list[int]] = {}
    for place, topic in enumerate(buffer.topics):
        topics.setdefault(topic, []).append(place)
    return [(topic, _picked(records, places)) for topic, places in topics.items()]


def _picked(records: Records, places: Sequence[int]) -> Records:
    """Return the records of a sink at these places; without headers if none of them has any."""
    keys, times, headers = records.keys or (), records.times or (), records.headers
    own = [headers[n] for n in places] if headers is not None else None
    return Records([records.values[n] for n in places], [keys[n] for n in places], [times[n] for n in places], own)


def _record(records: Records, place: int) -> OutputRecord:
    keys, times, headers = records.keys or (), records.times or (), records.headers
    return times[place], keys[place], records.values[place], headers[place] if headers is not None else ()


def _shortened(letter: DeadLetter) -> DeadLetter:
    """Return a letter that any topic takes, and that says so."""
    whole = letter.value or b""
    value, size = whole[:_KEPT_BYTES], len(whole)
    key = letter.key if len(letter.key or b"") <= _KEPT_BYTES else None
    fit = sum(len(name) + len(text or b"") for name, text in letter.headers) <= _KEPT_BYTES
    headers = (*(letter.headers if fit else ()), (SHORTENED, str(size).encode()))
    message = (
        f"{letter.message} (shortened, the letter was too large for its topic: the value had {size} bytes, here are "
        f"the first {len(value)}{', without the key' * (key != letter.key)}{', without headers' * (not fit)})"
    )
    return replace(letter, value=value, key=key, headers=headers, message=message)


def _dead_letter_records(topology: str, letters: list[DeadLetter]) -> Records:
    # A record on Kafka may have had no value, and a letter there may have none; elsewhere all have one.
    values = cast("list[bytes]", [letter.value for letter in letters])
    return Records(
        values,
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
