"""Cases of lookups, of joins of tables, and of enrichment."""

from __future__ import annotations

from typing import Any

from headrace import Topology, agg, col, left, right
from headrace.topology.stream import Stream
from tests.operators.support import Click, clicks
from tests.parity.cases import Case, mixture
from tests.parity.compare import Promise

IN_TIME = "20s"
INPUTS = {"clicks": mixture(1), "users": mixture(2)}
PAIR = {"at": left.at, "n": left.n, "then": right.at, "value": right.n}


def _users(topology: Topology) -> Stream:
    return topology.source("users", topic="users", schema=Click, time=col.at, out_of_orderness=IN_TIME)


def as_of_event_time() -> Topology:
    topology = Topology("as-of")
    users = _users(topology).group_by("users-by", col.user).table("users-now", delete=col.n.is_null())
    by_user = clicks(topology, out_of_orderness=IN_TIME).group_by("by", col.user)
    found = by_user.lookup("then", users, as_of="event_time", how="left", select=PAIR)
    found.sink("o", topic="found")
    found.late().select("l", col.user, col.at).sink("lo", topic="late")
    return topology


def everywhere() -> Topology:
    topology = Topology("everywhere")
    users = _users(topology).filter("some", col.user.is_not_null()).global_table("all-users", col.user)
    source = clicks(topology, out_of_orderness=IN_TIME)
    chosen = {"user": left.user} | PAIR
    source.lookup("then", users, on=col.user, as_of="event_time", how="left", select=chosen).sink("o", topic="found")
    return topology


def own_table() -> Topology:
    topology = Topology("own")
    by_user = clicks(topology).group_by("by", col.user)
    by_user.lookup("newest", by_user.table("rows"), select=PAIR).sink("o", topic="found")
    by_user.lookup("so-far", by_user.aggregate("sums", clicks=agg.count()), select=[left.at, right.clicks]).sink(
        "s", topic="sums"
    )
    return topology


def tables() -> Topology:
    topology = Topology("tables")
    users = _users(topology)
    table = users.group_by("users-by", col.user).table("users-now", delete=col.n.is_null())
    source = clicks(topology)
    counts = source.group_by("by", col.user).aggregate("counts", clicks=agg.count())
    both = table.join("both", counts, how="outer", select=[left.n, right.clicks])
    both.on_update().sink("u", topic="update")
    return topology


def references() -> Topology:
    topology = Topology("references")
    table = _users(topology).group_by("users-by", col.user).table("users-now", delete=col.n.is_null())
    numbered = clicks(topology).filter("numbered", col.n.is_not_null())
    per_n = numbered.group_by("by-n", col.n).aggregate("per-n", clicks=agg.count())
    table.join("both", per_n, on=col.n, how="left", select=[left.at, right.clicks])
    table.join("only", per_n, on=col.n, select=[left.at, right.clicks])
    return topology


async def _twice(n: int) -> int:
    if n % 7 == 0:
        msg = "no luck"
        raise ValueError(msg)
    return 2 * n


def enriched() -> Topology:
    topology = Topology("enriched")
    source = clicks(topology, out_of_orderness="2s").enrich("twice", _twice, col.n, returns=int, attempts=1)
    by_user = source.group_by("by", col.user)
    by_user.stream().select("s", col.user, col.n, col.value).sink("o", topic="found")
    return topology


CASES: dict[str, Any] = {
    "as of event time": Case(as_of_event_time, inputs=INPUTS),
    "a table of every task": Case(everywhere, inputs=INPUTS),
    "a table of the same records": Case(own_table),
    "joined tables": Case(tables, inputs=INPUTS, promise=Promise(newest=("update",))),
    "joined by reference": Case(references, inputs=INPUTS),
    "enriched": Case(enriched),
}
