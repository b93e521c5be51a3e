"""Streams that are joined meet in one task, from wherever they come."""

import json
from pathlib import Path

from pydantic import BaseModel

from headrace import Topology, col, left, right
from headrace.config import WorkerSettings
from headrace.runtime.worker import Worker
from tests.runtime.support import rows


class Order(BaseModel):
    id: str
    n: int
    at: int


def joining() -> Topology:
    """One topic is keyed by the column, the other is not."""
    topology = Topology("joining")
    orders = topology.source("orders", topic="orders", schema=Order, time=col.at, key=col.id)
    paid = topology.source("paid", topic="paid", schema=Order, time=col.at, out_of_orderness="1h")
    both = orders.group_by("by", col.id).join(
        "both", paid.group_by("paid-by", col.id), within="1m", how="outer", select={"o": left.n, "p": right.n}
    )
    both.sink("out", topic="out")
    return topology


def written(path: Path, ids: range) -> str:
    path.write_text("".join(json.dumps({"id": f"o{n}", "n": n, "at": n * 1000}) + "\n" for n in ids))
    return str(path)


def test_files_of_a_keyed_and_of_another_topic_are_joined(tmp_path: Path) -> None:
    settings = WorkerSettings.of(data_dir=tmp_path / "data", partitions=4, fsync=False)
    inputs = {
        "orders": [written(tmp_path / "o.ndjson", range(40))],
        "paid": [written(tmp_path / "p.ndjson", range(20, 60))],
    }
    with Worker([joining()], settings, inputs=inputs, outputs={"out": str(tmp_path / "out.ndjson")}) as worker:
        worker.run()
    found = {(row["o"], row["p"]) for row in rows(tmp_path / "out.ndjson")}
    ones, twos = range(40), range(20, 60)
    assert found == {(n if n in ones else None, n if n in twos else None) for n in range(60)}


def test_a_file_is_joined_with_what_is_taken_in(tmp_path: Path) -> None:
    settings = WorkerSettings.of(data_dir=tmp_path / "data", partitions=4, fsync=False)
    orders = written(tmp_path / "o.ndjson", range(40))
    with Worker([joining()], settings) as worker:
        worker.ingest("paid", Path(written(tmp_path / "p.ndjson", range(40))).read_bytes().splitlines())
    inputs, out = {"orders": [orders]}, str(tmp_path / "out.ndjson")
    with Worker([joining()], settings, inputs=inputs, outputs={"out": out}, drain=True) as worker:
        worker.run()
    assert sorted((row["o"], row["p"]) for row in rows(out)) == [(n, n) for n in range(40)]
