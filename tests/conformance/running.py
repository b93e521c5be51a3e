"""Run a case on the test driver: one key, or several inputs as keys of one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace.errors import HeadraceError
from headrace.testing import CrashPoint, TopologyDriver
from tests.conformance.translate import DETECT, Translation, time_stamp

Action = str | CrashPoint
Ids = tuple[str, ...]
Steps = tuple[tuple[str, Ids], ...]


@dataclass
class Result:
    """What came out for one key."""

    matches: list[Ids] = field(default_factory=list)
    by_step: list[Steps] = field(default_factory=list)
    known_at: list[float] = field(default_factory=list)
    timed_out: set[tuple[Ids, float]] = field(default_factory=set)
    overflow: list[Ids] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    error: str | None = None


@dataclass(frozen=True)
class Way:
    """How records reach the engine: the size of batches, and what happens between equal parts of the input.

    ``keyed``: whether the records come partitioned by the key, else there is a repartition before the pattern.
    ``ended``: whether the input ends, so that what waits is released.
    """

    batch: int | None = None
    actions: Sequence[Action] = ()
    cache_bytes: int = 64 << 20
    keyed: bool = True
    ended: bool = False


PLAIN = Way()
HARD = Way(batch=1, actions=("restart", CrashPoint.TORN_WRITE, "checkpoint", CrashPoint.AFTER_WRITE) * 3, cache_bytes=1)


def run(case: Mapping[str, Any], way: Way = PLAIN) -> Result:
    """Run a case by itself."""
    return run_all(case, [("the key", entry) for entry in case["events"]], way).get("the key", Result())


def run_all(
    case: Mapping[str, Any], entries: Iterable[tuple[str, Mapping[str, Any]]], way: Way = PLAIN
) -> dict[str, Result]:
    """Run entries of several keys, in their order, against the pattern of a case; return what came out per key."""
    given = list(entries)
    translation = Translation(case, [entry for _, entry in given], keyed=way.keyed)
    driver = TopologyDriver(translation.topology, batch=way.batch, cache_bytes=way.cache_bytes)
    found = {key: Result() for key, _ in given}
    try:
        _feed(driver, [translation.record(key, entry) for key, entry in given], way.actions)
        if way.ended:
            driver.finish()
    except HeadraceError as error:
        if "skip" not in str(error):
            raise
        for result in found.values():
            result.error = str(error)
        return found
    _collect(driver, translation, found)
    return found


def _feed(driver: TopologyDriver, records: list[dict[str, Any]], actions: Sequence[Action]) -> None:
    size = -(-len(records) // (len(actions) + 1)) or 1
    for turn, begin in enumerate(range(0, len(records), size)):
        driver.pipe("in", records[begin : begin + size])
        if turn < len(actions):
            perform(driver, actions[turn])


def perform(driver: TopologyDriver, action: Action) -> None:
    """Do what an action says."""
    match action:
        case "checkpoint":
            driver.checkpoint()
        case "restart":
            driver.restart()
        case CrashPoint():
            driver.crash(action)


def _collect(driver: TopologyDriver, translation: Translation, found: dict[str, Result]) -> None:
    letters = driver.dead_letters()
    assert not letters, letters
    for record in driver.records("matches"):
        row = record.json()
        result = found[row["k"]]
        assert record.time is not None
        result.known_at.append(time_stamp(record.time))
        result.matches.append(_ids(row["events"]))
        result.by_step.append(by_step({step: _ids(row[f"step_{n}"]) for n, step in enumerate(translation.steps)}))
    for record in driver.records("timed-out"):
        row = record.json()
        assert record.time is not None
        found[row["k"]].timed_out.add((_ids(row["events"]), time_stamp(record.time)))
    for record in driver.records("overflow"):
        row = record.json()
        found[row["k"]].overflow.append(_ids(row["events"]))
    for row in driver.output("late"):
        found[row["k"]].late.append(row["id"])
    for key, result in found.items():
        result.held = {event["id"] for event in driver.held(DETECT, key)}


def _ids(events: list[dict[str, Any]] | None) -> Ids:
    return tuple(event["id"] for event in events or ())


def by_step(match: Mapping[str, Iterable[str]]) -> Steps:
    """Return a match by step, steps without events left out, in a form that compares and hashes."""
    return tuple(sorted((step, tuple(ids)) for step, ids in match.items() if ids))


def differences(expected: Mapping[str, Any], result: Result) -> list[str]:
    """Return what is not as a case expects it; only what is present is checked."""
    got: dict[str, Any] = {
        "matches": Counter(result.matches),
        "by_step": Counter(result.by_step),
        "timed_out": result.timed_out,
        "held": result.held,
        "late": Counter(result.late),
        "error": None if result.error is None else "skip",
    }
    wanted: dict[str, Any] = {
        "matches": Counter(tuple(ids) for ids in expected.get("matches", ())),
        "by_step": Counter(by_step(match) for match in expected.get("by_step", ())),
        "timed_out": {(tuple(row["events"]), row["at"]) for row in expected.get("timed_out", ())},
        "held": set(expected.get("held", ())),
        "late": Counter(expected.get("late", ())),
        "error": expected.get("error"),
    }
    checked = [name for name in wanted if name in expected or name == "error"]
    return [f"{n}: expected {wanted[n]}, got {got[n]}" for n in checked if wanted[n] != got[n]]
