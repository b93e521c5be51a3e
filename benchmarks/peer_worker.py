"""The workloads that stream processors are compared on, as topologies on the fleet's worker.

python -m benchmarks.peer_worker --brokers B --group G --input T --output T --guarantee alo|eo --workload W1 --state DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.events import Login, Order
from benchmarks.joins import Payment, joining
from headrace import Topology, agg, begin, col, fn, matched, skip, tumbling
from headrace.kafka.settings import FleetSettings, Guarantee
from headrace.kafka.worker import run_worker
from headrace.plan import compile_plan
from headrace.topology.grouped import Grouped
from headrace.topology.stream import Stream

WORKLOADS = ("W1", "W2", "W3", "W4", "W5", "W6")


def filtering(orders: Stream, output: str) -> None:
    """W1: keep large orders, project four fields."""
    orders.filter("large", col.data.amount > 500).select(
        "row", col.data.order_id, col.data.user_id, col.data.amount, col.timestamp
    ).sink("out", topic=output)


def windowing(orders: Grouped, output: str, *, key: str, grace: str) -> None:
    """W2, W3, W6: count, sum and max per key and minute, every update out."""
    totals = orders.window(tumbling("60s", grace=grace)).aggregate(
        "totals", count=agg.count(), sum=agg.sum(col.data.amount), max=agg.max(col.data.amount)
    )
    totals.on_update().select(
        "row", key=col[key], start=fn.epoch_ms(col.window_start), count=col.count, sum=col.sum, max=col.max
    ).sink("out", topic=output)


def failing(logins: Grouped, output: str) -> None:
    """W4: five failed logins one after the other, then one that succeeds, at most five minutes after the first."""
    failures = begin("failed", col.type == "login.failed").times(5).consecutive()
    pattern = failures.next("ok", col.type == "login.succeeded").within("300001ms").after_match(skip.past_last())
    ok = matched.last("ok")
    logins.detect("brute-force", pattern, emit={"ts": ok.timestamp, "ip": ok.data.ip}).sink("out", topic=output)


def workload(name: str, topic: str, output: str, *, other: str = "") -> Topology:
    """Declare one workload; ``other`` is the second topic of W5."""
    topology = Topology(name.lower())
    if name == "W1":
        filtering(topology.source("orders", topic=topic, schema=Order, time=col.timestamp), output)
    elif name == "W5":
        at, order_id = col.timestamp, col.data.order_id
        placed = topology.source("orders", topic=topic, schema=Order, time=at, key=order_id)
        paid = topology.source("payments", topic=other, schema=Payment, time=at, key=order_id)
        joining(placed, paid, output)
    elif name == "W4":
        logins = topology.source("logins", topic=topic, schema=Login, time=col.timestamp, key=col.data.user_id)
        failing(logins.group_by("by-user", col.data.user_id), output)
    elif name == "W6":
        orders = topology.source("orders", topic=topic, schema=Order, time=col.timestamp)
        keyed = orders.group_by("by-currency", key=col.data.currency + "|" + col.tenant)
        windowing(keyed, output, key="key", grace="24h")
    else:
        orders = topology.source("orders", topic=topic, schema=Order, time=col.timestamp, key=col.data.user_id)
        windowing(orders.group_by("by-user", col.data.user_id), output, key="user_id", grace="10s")
    return topology


def main() -> None:
    """Run one workload until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("brokers", "group", "input", "output", "state"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--guarantee", choices=["alo", "eo"], default="eo")
    parser.add_argument("--workload", choices=WORKLOADS, required=True)
    args = parser.parse_args()
    topic, _, other = args.input.partition(",")
    topology = workload(args.workload, topic, args.output, other=other)
    settings = FleetSettings.of(
        brokers=args.brokers,
        group=args.group,
        worker="peer",
        state_dir=Path(args.state),
        guarantee=Guarantee.EXACTLY_ONCE if args.guarantee == "eo" else Guarantee.AT_LEAST_ONCE,
    )
    run_worker([compile_plan(topology)], settings)


if __name__ == "__main__":
    main()
