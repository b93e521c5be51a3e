"""What is committed beside the offset of an input topic: event time, which must not go back.

Brokers bound the text (``offset.metadata.max.bytes``). A note of a few tasks is written as it is. One of many tasks,
or of a repartition topic that hundreds of tasks write, is packed: each topology's name once, watermarks as
differences, compressed. Some hundreds of senders fit; beyond that each channel gets the lowest watermark of its kind.
That is never too high, and lasts until the senders tell theirs again: at the next assignment.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterator

import msgspec

from headrace.time.instants import START_OF_TIME_MS

NOTE_BYTES = 4000
"""Of the text: brokers take 4,096."""
_PACKED, _COARSE = "~", "-"  # first characters; those of the plain form are base64's

Told = list[tuple[int, bool]]
"""(watermark, idle) of each channel."""
_Packed = tuple[str, int, dict[str, tuple[dict[str, int], dict[str, tuple[list[int], list[bool]]]]]]
"""Worker, base, and by topology: of each agent the watermark, and of each step those of its channels, less the base."""


class Note(msgspec.Struct, array_like=True):
    """The watermarks of one unit, as far as they belong to one of its topics."""

    worker: str
    tasks: dict[str, int]
    """Watermark by ``topology/agent``."""
    channels: dict[str, Told]
    """By ``topology/step``: of the source, or of each task that sends. An idle channel's floor is the task's own."""

    def encode(self) -> str:
        """Return the text, no longer than brokers take."""
        text = base64.b64encode(msgspec.msgpack.encode(self)).decode()
        if len(text) <= NOTE_BYTES:
            return text
        return next(shorter for shorter in self._shorter() if len(shorter) <= NOTE_BYTES)

    def _shorter(self) -> Iterator[str]:
        yield _PACKED + _pack(self)
        coarse = {name: _lowest(told) for name, told in self.channels.items()}
        yield _COARSE + _pack(Note(self.worker, self.tasks, coarse))
        lowest = min((ms for ms in self.tasks.values() if ms > START_OF_TIME_MS), default=START_OF_TIME_MS)
        yield _COARSE + _pack(Note(self.worker, {"": lowest}, {}))

    @staticmethod
    def decode(text: str) -> Note:
        """Return the note of a committed offset; an empty one for offsets that others committed."""
        read: Callable[[str], Note] = _plain
        if text[:1] in {_PACKED, _COARSE}:
            read, text = _unpack, text[1:]
        try:
            return read(text)
        except (ValueError, zlib.error, msgspec.MsgspecError):
            return Note("", {}, {})

    def task(self, name: str) -> int:
        """Return the watermark of ``topology/agent``."""
        return self.tasks.get(name, self.tasks.get("", START_OF_TIME_MS))


def is_coarse(text: str) -> bool:
    """Tell whether a note did not fit, and has lower watermarks than it was given."""
    return text.startswith(_COARSE)


def _plain(text: str) -> Note:
    return msgspec.msgpack.decode(base64.b64decode(text, validate=True), type=Note)


def _lowest(told: Told) -> Told:
    """Return the lowest watermark for all that are idle, and for all that are not."""
    lowest = {kind: min((ms for ms, idle in told if idle is kind), default=0) for kind in (True, False)}
    return [(lowest[idle], idle) for _, idle in told]


def _pack(note: Note) -> str:
    known = [*note.tasks.values(), *(ms for told in note.channels.values() for ms, _ in told)]
    base = min((ms for ms in known if ms > START_OF_TIME_MS), default=0)
    found: dict[str, tuple[dict[str, int], dict[str, tuple[list[int], list[bool]]]]] = {}
    for name, ms in note.tasks.items():
        topology, _, agent = name.partition("/")
        found.setdefault(topology, ({}, {}))[0][agent] = ms - base
    for name, told in note.channels.items():
        topology, _, step = name.partition("/")
        columns = [ms - base for ms, _ in told], [idle for _, idle in told]
        found.setdefault(topology, ({}, {}))[1][step] = columns
    packed: _Packed = (note.worker, base, found)
    return base64.b85encode(zlib.compress(msgspec.msgpack.encode(packed))).decode()


def _unpack(text: str) -> Note:
    worker, base, found = msgspec.msgpack.decode(zlib.decompress(base64.b85decode(text)), type=_Packed)
    tasks, channels = {}, {}
    for topology, (agents, steps) in found.items():
        for agent, ms in agents.items():
            tasks[f"{topology}/{agent}" if topology else ""] = ms + base
        for step, (column, idle) in steps.items():
            channels[f"{topology}/{step}"] = list(zip((ms + base for ms in column), idle, strict=True))
    return Note(worker, tasks, channels)
