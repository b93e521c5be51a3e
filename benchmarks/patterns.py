"""Patterns against hand-written loops over the same bytes, and the memory of many runs."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks.engine import BATCH, CHECKPOINT_EVERY, Counted
from benchmarks.events import BASE_MS, STEP_MS, Login, logins
from benchmarks.measure import in_turns, show
from headrace import Topology, begin, col, matched, skip
from headrace.plan import compile_plan
from headrace.runtime.engine import Engine, EngineSettings
from headrace.runtime.garbage import calm
from headrace.runtime.records import Records
from headrace.state.memory import MemoryBackend
from headrace.topology.patterns import Pattern

WITHIN_MS = 300_000


def failing() -> Pattern:
    """Five failed logins one after the other, then one that succeeds, within five minutes."""
    failures = begin("failed", col.type == "login.failed").times(5).consecutive()
    return failures.next("ok", col.type == "login.succeeded").within("5m").after_match(skip.past_last())


def relaxed() -> Pattern:
    """Three steps with anything in between; one event in ten begins a run."""
    first = begin("failed", col.type == "login.failed")
    again = first.followed_by("again", col.type == "login.failed")
    return again.followed_by("ok", col.type == "login.succeeded").within("5m")


def detecting(pattern: Pattern, runs: int = 10_000) -> Topology:
    """Find a pattern in the logins of each user, on a topic that is keyed by user."""
    topology = Topology("w4")
    source = topology.source("logins", topic="logins", schema=Login, time=col.timestamp, key=col.data.user_id)
    emit = {"ts": matched.last("ok").timestamp, "ip": matched.last("ok").data.ip}
    source.group_by("by-user", col.data.user_id).detect("found", pattern, emit=emit, runs=runs).sink("out", topic="out")
    return topology


def run_engine(topology: Topology, lines: list[bytes], *, checkpoints: bool = True) -> Engine:
    """Run a topology over the lines, with checkpoints, and return the engine."""
    settings = EngineSettings(partitions=1, cache_bytes=64 << 30)
    engine = Engine(compile_plan(topology), MemoryBackend(), settings, now_ms=lambda: 0, outputs=Counted)
    channel = engine.channel("logins", 0, "lines")
    for number, at in enumerate(range(0, len(lines), BATCH), 1):
        engine.feed(channel, Records(lines[at : at + BATCH]), at + BATCH)
        if checkpoints and number % CHECKPOINT_EVERY == 0:
            engine.checkpoint()
    if checkpoints:
        engine.checkpoint()
    return engine


class _Data(msgspec.Struct):
    user_id: str
    ip: str


class _Login(msgspec.Struct):
    type: str
    timestamp: int
    data: _Data


class _Row(msgspec.Struct):
    user_id: str
    ts: int
    ip: str


def hand_failing(lines: list[bytes]) -> list[bytes]:
    """Do by hand what :func:`failing` declares."""
    decode, encode, out = msgspec.json.Decoder(_Login).decode, msgspec.json.Encoder().encode, []
    failed: dict[str, list[int]] = {}
    for line in lines:
        login = decode(line)
        data, at = login.data, login.timestamp
        if login.type == "login.failed":
            times = failed.setdefault(data.user_id, [])
            times.append(at)
            if len(times) > 5:
                del times[0]
        else:
            times = failed.pop(data.user_id, [])
            if len(times) == 5 and at - times[0] < WITHIN_MS:
                out.append(encode(_Row(data.user_id, at, data.ip)))
    return out


def hand_relaxed(lines: list[bytes]) -> list[bytes]:
    """Do by hand what :func:`relaxed` declares."""
    decode, encode, out = msgspec.json.Decoder(_Login).decode, msgspec.json.Encoder().encode, []
    runs: dict[str, list[list[Any]]] = {}
    for line in lines:
        login = decode(line)
        data, at, failed = login.data, login.timestamp, login.type == "login.failed"
        mine = runs.get(data.user_id)
        if mine:
            kept = []
            for run in mine:
                if at - run[0] >= WITHIN_MS:
                    continue
                if run[1]:
                    if not failed:
                        out.append(encode(_Row(data.user_id, at, data.ip)))
                        continue
                elif failed:
                    run[1] = True
                kept.append(run)
            runs[data.user_id] = mine = kept
        if failed:
            if mine is None:
                mine = runs[data.user_id] = []
            mine.append([at, False])
    return out


def against(
    name: str, target: str, lines: list[bytes], hand: Callable[[list[bytes]], list[bytes]], pattern: Pattern
) -> None:
    """Measure a pattern against a loop, and show the ratio of the rates."""
    loop, engine = in_turns(lambda: hand(lines), lambda: run_engine(detecting(pattern), lines))
    expected, got = len(hand(lines)), run_engine(detecting(pattern), lines).stats.records_out
    # the last events of the input wait for the watermark
    assert expected - 5 <= got <= expected, (expected, got)
    detail = f"{len(lines) / engine / 1e3:.0f} K/s against {len(lines) / loop / 1e3:.0f} K/s, {got} matches"
    show(name, loop / engine, target, detail)


def resident_mb() -> float:
    """Return the memory of this process."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - a file of the kernel's
        return int(file.read().split()[1]) * 4096 / 1e6


def memory(name: str, count: int, keys: int, pattern: Pattern, *, runs: int = 10_000) -> None:
    """Show how much memory a run takes, with nothing evicted."""
    gc.collect()
    lines = [
        f'{{"id":"e{n}","type":"login.failed","timestamp":{BASE_MS + n * STEP_MS // 100},"tenant":"t",'
        f'"data":{{"user_id":"u{n % keys}","ip":"10.7.0.1"}}}}'.encode()
        for n in range(count)
    ]
    before = resident_mb()
    engine = run_engine(detecting(pattern, runs), lines, checkpoints=False)
    taken = resident_mb() - before
    print(f"{name:<58} {taken:>7.0f} MB, {taken * 1e6 / count:.0f} B an event", flush=True)
    del engine


def main() -> None:
    """Run all of them."""
    calm()  # as the workers do
    lines = logins(500_000, 1_000)
    against("five failures, then a success; 1,000 keys / dict loop", ">= 0.3", lines, hand_failing, failing())
    lines = logins(500_000, 10_000)
    against("three relaxed steps, 10,000 keys / loop over runs", ">= 0.3", lines, hand_relaxed, relaxed())
    del lines
    single = begin("failed", col.type == "login.failed").followed_by("ok", col.type == "login.succeeded").within("1d")
    memory("1,000,000 keys with one run each", 1_000_000, 1_000_000, single)
    memory("a key with 100,000 runs", 100_000, 1, single, runs=200_000)


if __name__ == "__main__":
    main()
