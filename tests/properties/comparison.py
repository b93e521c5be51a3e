"""Run a program on the driver, with checkpoints, restarts and crashes, and beside it naively; compare."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from headrace.testing import CrashPoint, TopologyDriver
from tests.naive.interpreter import Interpreter
from tests.properties.programs import CALLS, Program, declare

TOPICS = ("plain", "close", "late", "second", "every", "update", "first", "all")
CHOSEN = ("high", "a", "b", "c")
Action = str | CrashPoint


class Runs:
    """The committed results of both runs, ended: rows by topic, dead letters, calls, the table before the end.

    ``final`` is the naive table after the end.
    """

    def __init__(
        self,
        program: Program,
        records: Sequence[bytes],
        actions: Sequence[Action],
        batch: int | None,
        partitions: int = 1,
    ) -> None:
        CALLS.clear()
        topology = declare(program)
        self.driver = TopologyDriver(topology, batch=batch, partitions=partitions)
        self.naive = Interpreter(topology, partitions=partitions)
        self._inputs = [("in", n) for n in range(partitions)] + [("other", 0)] * program.two_sources
        self._feed(records, actions)
        self.table = plain_rows(self.driver.table("table")) if program.within is None else []
        self.naive_table = plain_rows(self.naive.tables["table"].values())
        self.driver.finish()
        self.naive.finish()
        self.final = plain_rows(self.naive.tables["table"].values())
        self.got = {topic: plain_rows(self.driver.output(topic)) for topic in TOPICS + CHOSEN}
        self.expected = {topic: plain_rows(self.naive.outputs[topic]) for topic in TOPICS + CHOSEN}
        self.calls = Counter(as_bag(plain_rows(CALLS)))
        self.naive_calls = Counter(as_bag(plain_rows(self.naive.calls["note"])))
        self.dead = _counted((letter.step, letter.value) for letter in self.driver.dead_letters())
        self.naive_dead = _counted(self.naive.dead)

    def _feed(self, records: Sequence[bytes], actions: Sequence[Action]) -> None:
        size = -(-len(records) // len(actions))
        for turn, action in enumerate(actions):
            for number, (topic, partition) in enumerate(self._inputs):
                part = records[turn * size : (turn + 1) * size][number :: len(self._inputs)]
                if part:
                    self.driver.pipe(topic, list(part), partition=partition)
                calls = len(CALLS)
                for value in part:
                    self.naive.feed(topic, value, self.driver.clock(), partition)
                del CALLS[calls:]
            perform(self.driver, action)


def _counted(letters: Iterable[tuple[str, bytes]]) -> Counter[tuple[str, bytes]]:
    """Count dead letters; those of a step behind a repartition hold a row, which a naive run has not."""
    return Counter((step, b"" if step == "table" else value) for step, value in letters)


def perform(driver: TopologyDriver, action: Action) -> None:
    """Do what an action says."""
    match action:
        case "checkpoint":
            driver.checkpoint()
        case "restart":
            driver.restart()
        case CrashPoint():
            driver.crash(action)


def plain_rows(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows as their JSON says, floats rounded to what summation order may change."""
    return [{name: _rounded(value) for name, value in row.items()} for row in _json(list(rows))]


def _json(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    decoded: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(rows))
    return decoded


def _rounded(value: Any) -> Any:
    return float(f"{value:.9g}") if isinstance(value, float) and math.isfinite(value) else value


def as_bag(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return rows in an order of their own."""
    return sorted(map(_text, rows))


def by_key(rows: Iterable[dict[str, Any]], program: Program) -> dict[str, list[str]]:
    """Return rows per key, in order."""
    names = ["user", "third"] if program.key == "both" else [program.key]
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(repr([row[name] for name in names]), []).append(_text(row))
    return found


def newest(rows: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return the last row per key and window."""
    names = ("user", "parity", "third", "zero", "price", "window_start", "window_end")
    return {repr([row.get(name) for name in names]): _text(row) for row in rows}


def _text(row: dict[str, Any]) -> str:
    return msgspec.json.encode(dict(sorted(row.items()))).decode()
