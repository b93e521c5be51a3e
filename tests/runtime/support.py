"""What tests of the worker share."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from headrace import Topology, agg, col
from headrace.runtime.worker import Worker


class Number(BaseModel):
    key: str
    n: int


def doubling(name: str = "double", read: str = "numbers", written: str = "doubles") -> Topology:
    topology = Topology(name)
    source = topology.source("in", topic=read, schema=Number, key=col.key)
    source.map("twice", n=col.n * 2).sink("out", topic=written)
    return topology


def counting(name: str = "count", read: str = "doubles", written: str = "counts", *, key: Any = None) -> Topology:
    topology = Topology(name)
    rows = topology.source("in", topic=read, schema=Number, key=key).group_by("by-key", col.key)
    rows.aggregate("totals", n=agg.sum(col.n)).on_update().sink("out", topic=written)
    return topology


def numbers(path: Path, *values: int) -> str:
    path.write_text("".join(json.dumps({"key": f"k{n % 5}", "n": n}) + "\n" for n in values))
    return str(path)


def rows(path: Path | str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def logged(worker: Worker, topic: str) -> list[bytes]:
    return [
        value
        for partition in range(worker.log.partitions(topic) or 0)
        for value in worker.log.read(topic, partition, 0, max_records=10**6).values
    ]


def totals(worker: Worker, topology: str = "count") -> dict[str, int]:
    found = [(row["key"], row["n"]) for row in worker.engines[topology].tables["totals"].scan()]
    assert len(found) == len(dict(found)), f"a key has several rows: {found}"
    return dict(found)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not happen in 30 seconds"
        time.sleep(0.005)


@contextmanager
def running(worker: Worker) -> Iterator[list[BaseException]]:
    """Run the worker in a thread meanwhile; what ended it stands in the list."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            worker.run()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield errors
    finally:
        worker.stop()
        thread.join()
