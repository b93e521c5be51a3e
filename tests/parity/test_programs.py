"""Random topologies: the test driver, the embedded worker and Kafka come to the same results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.parity import job
from tests.parity.cases import END_S, START_MS
from tests.parity.compare import Promise
from tests.parity.running import check
from tests.properties.programs import (
    COMMUTATIVE,
    Program,
    aggregates,
    declare,
    hoppings,
    keys,
    lags,
    record,
    sessions,
    steps,
    tumblings,
    value_of,
)

# A run takes seconds, so what fails is not shrunk.
few = settings(
    max_examples=8,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
inputs = st.lists(record, min_size=20, max_size=60)
anything = st.builds(
    Program,
    steps=steps,
    key=keys,
    window=st.none() | tumblings | hoppings | sessions,
    aggregates=aggregates,
    early=st.booleans(),
    out_of_orderness_s=lags,
) | st.builds(Program, steps=steps, key=keys, table=st.just(True))
in_any_order = st.builds(
    Program,
    steps=steps,
    key=keys,
    window=tumblings | hoppings,
    aggregates=st.lists(st.sampled_from(COMMUTATIVE), min_size=1, max_size=4, unique=True).map(tuple),
    chained=st.booleans(),
    two_sources=st.booleans(),
    out_of_orderness_s=lags,
)


@pytest.mark.slow
@few
@given(anything, inputs)
def test_any_program_on_one_partition(bootstrap: str, program: Program, values: list[bytes]) -> None:
    compare(program, values, 1, bootstrap)


@pytest.mark.slow
@few
@given(in_any_order, inputs)
def test_programs_of_any_order_on_several_partitions(bootstrap: str, program: Program, values: list[bytes]) -> None:
    compare(program, values, 3, bootstrap)


def compare(program: Program, values: Sequence[bytes], partitions: int, bootstrap: str) -> None:
    topics = ["in", "other"] if program.two_sources else ["in"]
    phases = [job.Phase(list(fed(values, topics, partitions))), job.Phase(list(ends(topics, partitions)))]
    chosen = ("high", "a", "b", "c", "end")
    # of two sources, and of the tasks of other partitions, each has its own order
    bags = ("late", "second", *(("plain", *chosen) if program.two_sources else ()))
    growing = program.window is not None and program.window[0] == "session"
    changes = {"growing" if growing else "newest": ("update",)}
    promise = Promise(bags=bags, **changes)
    with TemporaryDirectory() as directory:
        made = job.Job([declare(program)], phases, partitions, chosen)
        check(made, promise, Path(directory), bootstrap)


def fed(values: Sequence[bytes], topics: Sequence[str], partitions: int) -> Iterable[job.Record]:
    for number, value in enumerate(values):
        key = key_of(value)
        topic = topics[number % len(topics)]
        yield job.Record(topic, job.place(key, partitions), key, value, START_MS + number)


def key_of(value: bytes) -> bytes | None:
    try:
        found: Any = msgspec.json.decode(value)
    except msgspec.DecodeError:
        return None
    user = found.get("user")
    return user.encode() if isinstance(user, str) else None


def ends(topics: Sequence[str], partitions: int) -> Iterable[job.Record]:
    value = value_of(END_S, {"user": "end", "n": 1, "m": 5, "tags": [5], "x": 0.0, "d": "1"})
    for topic in topics:
        for partition in range(partitions):
            yield job.Record(topic, partition, b"end", value, START_MS)
