"""A Faust app with an agent, a table, a timer and a command of its own, and a Headrace topology beside them.

    $ export HEADRACE_BROKERS=localhost:9092
    $ python examples/faust_app.py worker --without-web
    $ python examples/faust_app.py say ada

The agent counts visits in a Faust table, as it did before. The topology counts payments per user and minute, exactly
once, with state of its own: neither knows of the other. Both share the app's process, group and signals.
"""

import os
from datetime import timedelta

import faust
from faust.cli import argument
from pydantic import BaseModel

from headrace import Topology, agg, col, tumbling
from headrace.kafka import FleetSettings, install

GROUP = os.environ.get("HEADRACE_GROUP", "shop-app")
BROKERS = os.environ.get("HEADRACE_BROKERS", "localhost:9092")

# --- what was there before -----------------------------------------------------------------------

app = faust.App(
    GROUP,
    broker=f"kafka://{BROKERS.replace(',', ';')}",
    store="memory://",
    topic_partitions=2,
    topic_disable_leader=True,
    broker_session_timeout=10.0,
    broker_heartbeat_interval=2.0,
    broker_rebalance_timeout=30.0,
    broker_request_timeout=60.0,
)


class Visit(faust.Record):
    """Somebody came."""

    user: str


visits = app.topic(f"{GROUP}.visits", value_type=Visit)
totals = app.topic(f"{GROUP}.totals")
count = app.Table("count", default=int, partitions=2)


@app.agent(visits)
async def count_visits(stream):
    """Count visits by user."""
    async for visit in stream.group_by(Visit.user):
        count[visit.user] += 1


@app.timer(interval=timedelta(seconds=1))
async def tell():
    """Write what this worker has counted."""
    if found := dict(count.items()):
        await totals.send(key="totals", value=found)


@app.command(argument("user"))
async def say(self, user):
    """Write a visit."""
    await visits.send(value=Visit(user=user))


# --- what is new ---------------------------------------------------------------------------------


class Payment(BaseModel):
    """Somebody paid."""

    user: str
    amount: int
    at: int  # epoch milliseconds


topology = Topology("payments")
payments = topology.source("payments", topic=f"{GROUP}.payments", schema=Payment, time=col.at)
per_minute = (
    payments.group_by("by-user", col.user)
    .window(tumbling("1m", grace="1m"))
    .aggregate("paid", payments=agg.count(), total=agg.sum(col.amount))
)
per_minute.on_update().sink("report", topic=f"{GROUP}.paid-per-minute")

# The group is the app's id: topologies and agents are one member of it. The rest comes from HEADRACE_... variables.
install(app, topology, settings=FleetSettings.from_env(brokers=BROKERS, group=GROUP))

if __name__ == "__main__":
    app.main()
