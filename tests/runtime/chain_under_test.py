"""Two topologies in a chain over the log, fed by HTTP, and their results recomputed in plain Python.

Run as a program it is the worker that the tests kill: ``chain_under_test.py DATA`` serves until it is killed;
with ``drain`` behind it processes all that is in the log, and prints the log and the tables.
"""

import json
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from headrace import Topology, agg, col, session
from headrace.config import WorkerSettings
from headrace.query.server import serve
from headrace.query.worker import ServedWorker
from headrace.runtime.worker import Worker
from tests.runtime.support import logged

GAP_MS = 5000
START_MS = 1_700_000_000_000


class Visit(BaseModel):
    user: str
    at: int
    number: int


class Closed(BaseModel):
    user: str
    n: int
    last: int


def topologies() -> list[Topology]:
    first = Topology("visits")
    visits = first.source("visits", topic="visits", schema=Visit, time=col.at, key=col.user)
    by_user = visits.group_by("by-user", col.user)
    by_user.table("latest")
    sessions = by_user.window(session("5s")).aggregate("sessions", n=agg.count(), last=agg.max(col.number))
    sessions.on_close().select("closed", user=col.user, n=col.n, last=col.last).sink("closed-out", topic="closed")
    second = Topology("loyalty")
    closed = second.source("closed", topic="closed", schema=Closed, key=col.user)
    closed.group_by("by-user", col.user).aggregate("loyalty", sessions=agg.count(), visits=agg.sum(col.n))
    return [second, first]


def expected(visits: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the results for the visits, which are in the order of their users' partitions."""
    by_user: dict[str, list[dict[str, Any]]] = {}
    for visit in visits:
        by_user.setdefault(visit["user"], []).append(visit)
    closed: Counter[tuple[str, int, int]] = Counter()
    for user, mine in by_user.items():
        run: list[dict[str, Any]] = []
        for visit in mine:
            if run and visit["at"] - run[-1]["at"] > GAP_MS:
                closed[user, len(run), run[-1]["number"]] += 1
                run = []
            run.append(visit)
        closed[user, len(run), run[-1]["number"]] += 1
    loyalty = {
        user: (sum(count for (u, _, _), count in closed.items() if u == user), len(mine))
        for user, mine in by_user.items()
    }
    return {"closed": closed, "latest": {u: mine[-1]["number"] for u, mine in by_user.items()}, "loyalty": loyalty}


def found(state: dict[str, Any]) -> dict[str, Any]:
    """Return what the worker made, in the form of :func:`expected`."""
    return {
        "closed": Counter((row["user"], row["n"], row["last"]) for row in state["closed"]),
        "latest": {row["user"]: row["number"] for row in state["latest"]},
        "loyalty": {row["user"]: (row["sessions"], row["visits"]) for row in state["loyalty"]},
    }


def main(data: str, *drain: str) -> None:
    settings = WorkerSettings.of(data_dir=data, checkpoint_interval="5ms", read_bytes=4096, cache_bytes=100_000)
    with Worker(topologies(), settings, drain=bool(drain)) as worker:
        if not drain:
            thread = threading.Thread(target=worker.run, daemon=True)
            thread.start()
            with serve(ServedWorker(worker), Path(data)) as url:
                print(url, flush=True)
                thread.join()
            return
        worker.run()
        state: dict[str, Any] = {
            topic: [json.loads(v) for v in logged(worker, topic)] for topic in ("visits", "closed")
        }
        state["late"] = worker.status().late
        state["latest"] = list(worker.engines["visits"].tables["latest"].scan())
        state["loyalty"] = list(worker.engines["loyalty"].tables["loyalty"].scan())
        print(json.dumps(state, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
