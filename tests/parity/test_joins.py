"""Interval joins: the test driver, the embedded worker and Kafka come to the same results."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import msgspec
import pytest

from headrace import Topology, col, left, right
from tests.operators.support import Click, click
from tests.parity.cases import END_S, PARTITIONS, START_MS, mixture, records
from tests.parity.compare import Promise
from tests.parity.job import Job, Phase, Record, place
from tests.parity.running import check

# pairs come in the order in which their records happen to be read
ANY_ORDER = Promise(bags=("joined", "late-left", "late-right"))


def joining(*keyed: str) -> Topology:
    """Join clicks with views of one user; ``keyed`` are the topics that are said to be keyed by user."""
    topology = Topology("joining")
    sides = []
    for name in ("clicks", "views"):
        options = {"key": col.user} if name in keyed else {}
        source = topology.source(name, topic=name, schema=Click, time=col.at, out_of_orderness="5s", **options)
        sides.append(source.group_by(f"{name}-by", col.user))
    joined = sides[0].join(
        "joined",
        sides[1],
        within=("-3s", "10s"),
        how="outer",
        grace="1s",
        select={"clicked": left.n, "viewed": right.n, "price": left.price, "at": left.at},
    )
    joined.sink("out", topic="joined")
    joined.late("left").select("ll", col.user, col.n).sink("late-l", topic="late-left")
    joined.late("right").select("lr", col.user, col.n).sink("late-r", topic="late-right")
    return topology


@pytest.mark.slow
@pytest.mark.parametrize("keyed", [("clicks", "views"), ("clicks",), ("views",), ()], ids="-".join)
def test_a_join_of_keyed_and_other_topics(keyed: tuple[str, ...], tmp_path: Path, bootstrap: str) -> None:
    inputs = {"clicks": mixture(1, broken=False), "views": mixture(2, broken=False)}
    phases = [Phase(list(records(inputs, "user", PARTITIONS))), Phase([end for topic in inputs for end in ends(topic)])]
    check(Job([joining(*keyed)], phases, PARTITIONS), ANY_ORDER, tmp_path, bootstrap)


def ends(topic: str) -> Iterator[Record]:
    """Yield a record far ahead for every partition, each where its key belongs."""
    for partition in range(PARTITIONS):
        name = next(name for n in count() if place((name := f"end-{n}").encode(), PARTITIONS) == partition)
        yield Record(topic, partition, name.encode(), msgspec.json.encode(click(name, END_S)), START_MS)
