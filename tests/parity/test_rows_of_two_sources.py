"""Rows that tasks send to one another mean the same however many of them travel together."""

from __future__ import annotations

from headrace.operators.build import generate
from headrace.operators.heads import exchange_types
from headrace.operators.logic import NEVER_MS
from headrace.plan import compile_plan
from headrace.runtime.task import Task
from headrace.state.memory import MemoryBackend
from headrace.time.instants import START_OF_TIME_MS
from headrace.time.watermark import Channel
from tests.parity.cases import START_MS
from tests.parity.keyed import apart


def late(*batches: list[int]) -> int:
    """Receive rows, each at the watermark of a source of its own; return how many are late."""
    plan = compile_plan(apart())
    code = next(code for code in generate(plan) if "by" in code.heads)
    task = Task(plan.name, code, 0, 1, MemoryBackend())
    channel = Channel("by", 0, "upstream", NEVER_MS)
    task.watermarks.channels.append(channel)
    nothing = [None] * len(exchange_types(plan, plan.step("by"))[1])
    for seconds in batches:
        times = [START_MS + second * 1000 for second in seconds]
        task.receive(channel, "by", [(time, time, START_OF_TIME_MS, ("a",), *nothing) for time in times])
    return sum(task.counters.late.values())


def test_rows_of_sources_far_apart_are_judged_each_by_its_own() -> None:
    assert late([100], [1], [2]) == 0


def test_rows_of_sources_far_apart_are_judged_each_by_its_own_in_one_batch_too() -> None:
    assert late([100, 1, 2]) == 0
